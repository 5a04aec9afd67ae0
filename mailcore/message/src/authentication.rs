//! What was found out about who sent a message, and the field that carries it (RFC 8601).

use std::fmt;

use crate::tokens::Tokens;
use crate::{Field, Path};

/// Characters of one identity. RFC 5321 §4.5.3.1.3: a path has at most 256 octets.
const IDENTITY_CHARS_MAX: usize = 256;

/// One result of a check of who sent a message (RFC 8601 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationResult {
    /// What was checked.
    pub method: AuthenticationMethod,
    /// What came of it.
    pub outcome: AuthenticationOutcome,
    /// The domain or address that it is about.
    pub identity: String,
}

/// The methods of RFC 8601 §2.7 that this server is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// RFC 4954: the client logged in, and the reverse-path belongs to that person.
    Auth,
    /// RFC 7208.
    Spf,
    /// RFC 6376.
    Dkim,
    /// RFC 7489.
    Dmarc,
    /// The name of the peer's address, RFC 8601 §3.
    Iprev,
}

/// The results of RFC 8601 §2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationOutcome {
    /// Nothing to check.
    None,
    /// It is who it says.
    Pass,
    /// It is not.
    Fail,
    /// Probably not (SPF).
    SoftFail,
    /// The domain says neither.
    Neutral,
    /// It could not be checked now.
    TempError,
    /// It cannot be checked.
    PermError,
}

impl AuthenticationResult {
    /// Of a login whose reverse-path it is.
    pub fn of_login(reverse_path: &Path) -> Self {
        let (method, outcome) = (AuthenticationMethod::Auth, AuthenticationOutcome::Pass);
        Self { method, outcome, identity: reverse_path.to_string() }
    }

    /// The whole Authentication-Results field with its line end; empty without results.
    pub fn field<'a>(hostname: &str, results: impl Iterator<Item = &'a Self>) -> String {
        let results: String = results.map(|result| format!(";\r\n\t{result}")).collect();
        if results.is_empty() { results } else { format!("{}: {hostname}{results}\r\n", Self::FIELD_NAME) }
    }

    /// The name of that field.
    pub const FIELD_NAME: &str = "Authentication-Results";

    /// Whether a field has the name of this host as its authserv-id: when it came with a message it is forged, or says what
    /// this host found about an earlier one (RFC 8601 §5).
    pub fn is_named_after(field: &Field<'_>, hostname: &str) -> bool {
        if !field.is(Self::FIELD_NAME) {
            return false;
        }
        let value = field.unfolded();
        let mut tokens = Tokens::new(&value);
        tokens.skip_space();
        let id = tokens.run_until(b"; \t(").trim_ascii();
        id.eq_ignore_ascii_case(hostname.as_bytes())
    }
}

impl fmt::Display for AuthenticationResult {
    /// `spf=pass smtp.mailfrom=a@b.example`. An identity from elsewhere cannot end its value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let property = match self.method {
            AuthenticationMethod::Auth | AuthenticationMethod::Spf => "smtp.mailfrom",
            AuthenticationMethod::Dkim => "header.d",
            AuthenticationMethod::Dmarc => "header.from",
            AuthenticationMethod::Iprev => "policy.iprev",
        };
        write!(f, "{}={} {property}=", self.method.as_str(), self.outcome.as_str())?;
        for c in self.identity.chars().take(IDENTITY_CHARS_MAX) {
            let is_plain = c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@:[]".contains(c);
            write!(f, "{}", if is_plain { c } else { '?' })?;
        }
        Ok(())
    }
}

impl AuthenticationMethod {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Iprev => "iprev",
        }
    }
}

impl AuthenticationOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    #[test]
    fn is_written_as_rfc_8601_says() {
        let login = AuthenticationResult::of_login(&Path::parse("a@b.example").unwrap());
        let (method, outcome) = (AuthenticationMethod::Dkim, AuthenticationOutcome::TempError);
        let dkim = AuthenticationResult { method, outcome, identity: "x;\r\nspf=pass (y) é".into() };
        assert_eq!(
            AuthenticationResult::field("mx.example.edu", [&login, &dkim].into_iter()),
            "Authentication-Results: mx.example.edu;\r\n\tauth=pass smtp.mailfrom=a@b.example;\r\n\t\
             dkim=temperror header.d=x???spf=pass??y???\r\n"
        );
        assert_eq!(AuthenticationResult::field("mx.example.edu", std::iter::empty()), "");
    }

    #[test]
    fn knows_fields_with_our_name() {
        for (field, expect) in [
            ("Authentication-Results: mx.example.edu; spf=pass", true),
            ("authentication-results:\r\n (a comment) MX.example.edu 1; spf=pass", true),
            ("Authentication-Results: mx.example.edu(c); none", true),
            ("Authentication-Results: mx.example.edu", true),
            ("Authentication-Results: mx.example.edu.test; spf=pass", false),
            ("Authentication-Results: mx.example.org; mx.example.edu=pass", false),
            ("Authentication-Results:", false),
            ("X-Results: mx.example.edu; spf=pass", false),
        ] {
            let message = format!("{field}\r\n\r\n");
            let read = Headers::of(message.as_bytes()).iter().next().unwrap();
            assert_eq!(AuthenticationResult::is_named_after(&read, "mx.example.edu"), expect, "{field}");
        }
    }
}

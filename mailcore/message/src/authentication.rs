//! Results of sender authentication, and the Authentication-Results field that carries them (RFC 8601).

use std::fmt;

use crate::tokens::TokenCursor;
use crate::{HeaderField, Path};

/// Longest identity, characters. RFC 5321 §4.5.3.1.3: a path has at most 256 octets.
const IDENTITY_CHARS_MAX: usize = 256;

/// One result of sender authentication (RFC 8601 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationResult {
    /// The method used.
    pub method: AuthenticationMethod,
    /// The result of the method.
    pub outcome: AuthenticationOutcome,
    /// The domain or address that was authenticated.
    pub identity: String,
}

/// The methods of RFC 8601 §2.7 that a stage can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// SMTP AUTH (RFC 4954): the client logged in, and the reverse-path belongs to that person.
    Auth,
    /// SPF (RFC 7208).
    Spf,
    /// DKIM (RFC 6376).
    Dkim,
    /// DMARC (RFC 7489).
    Dmarc,
    /// Reverse DNS of the peer's address (RFC 8601 §3).
    Iprev,
}

/// The results of RFC 8601 §2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationOutcome {
    /// The message offers nothing to check.
    None,
    /// The identity is authentic.
    Pass,
    /// The identity is not authentic.
    Fail,
    /// SPF: the host is probably not authorized (RFC 7208 §2.6.5).
    SoftFail,
    /// The domain makes no statement about the identity.
    Neutral,
    /// A temporary error: a later attempt may succeed.
    TempError,
    /// A permanent error: the sender's published records are unusable.
    PermError,
}

impl AuthenticationResult {
    /// Returns the result for a login whose person owns the reverse-path.
    pub fn of_login(reverse_path: &Path) -> Self {
        let (method, outcome) = (AuthenticationMethod::Auth, AuthenticationOutcome::Pass);
        Self { method, outcome, identity: reverse_path.to_string() }
    }

    /// Returns the whole Authentication-Results field with its line end; empty without results.
    pub fn field<'a>(hostname: &str, results: impl Iterator<Item = &'a Self>) -> String {
        let results: String = results.map(|result| format!(";\r\n\t{result}")).collect();
        if results.is_empty() { results } else { format!("{}: {hostname}{results}\r\n", Self::FIELD_NAME) }
    }

    /// The name of the field.
    pub const FIELD_NAME: &str = "Authentication-Results";

    /// Whether a field carries this host's name as its authserv-id. Such a field in an incoming message is forged, or
    /// was written when the message passed this host before: the server removes it (RFC 8601 §5).
    pub fn is_named_after(field: &HeaderField<'_>, hostname: &str) -> bool {
        if !field.is(Self::FIELD_NAME) {
            return false;
        }
        let value = field.unfolded();
        let mut tokens = TokenCursor::new(&value);
        tokens.skip_cfws();
        // RFC 8601 §2.2: the id is a `value` of RFC 2045 §5.1, a token or a quoted string, which mean the same.
        match tokens.peek() {
            Some(b'"') => tokens.quoted().trim_ascii().eq_ignore_ascii_case(hostname.as_bytes()),
            _ => tokens.run_until(b"; \t(").trim_ascii().eq_ignore_ascii_case(hostname.as_bytes()),
        }
    }
}

impl fmt::Display for AuthenticationResult {
    /// Writes `spf=pass smtp.mailfrom=a@b.example`. Characters of the identity that could end the value become `?`.
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
    use crate::HeaderSection;

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
    fn recognises_fields_that_name_this_host() {
        for (field, expect) in [
            ("Authentication-Results: mx.example.edu; spf=pass", true),
            ("authentication-results:\r\n (a comment) MX.example.edu 1; spf=pass", true),
            ("Authentication-Results: mx.example.edu(c); none", true),
            ("Authentication-Results: mx.example.edu", true),
            ("Authentication-Results: \"mx.example.edu\"; dkim=pass", true),
            ("Authentication-Results: (c) \"mx.exa\\mple.edu\" 1; dkim=pass", true),
            ("Authentication-Results: \"mx.example.org\"; dkim=pass", false),
            ("Authentication-Results: mx.example.edu.test; spf=pass", false),
            ("Authentication-Results: mx.example.org; mx.example.edu=pass", false),
            ("Authentication-Results:", false),
            ("X-Results: mx.example.edu; spf=pass", false),
        ] {
            let message = format!("{field}\r\n\r\n");
            let read = HeaderSection::of(message.as_bytes()).iter().next().unwrap();
            assert_eq!(AuthenticationResult::is_named_after(&read, "mx.example.edu"), expect, "{field}");
        }
    }
}

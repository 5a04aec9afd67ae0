//! The site's rules for passwords: those that a new password must keep, and how long one lasts.

use std::fmt;

use crate::forbidden::{is_common, is_personal};
use crate::{PasswordValues, Scheme, ScramVerifier, Secret, hash};

/// The rules of a site. [`PasswordPolicy::default`] holds for a site that states none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// `password-scheme`: how new passwords are stored.
    pub scheme: Scheme,
    /// `scram-iterations`: cost of new SCRAM verifiers, [`SCRAM_ITERATIONS_MIN`](crate::SCRAM_ITERATIONS_MIN) to
    /// [`SCRAM_ITERATIONS_MAX`](crate::SCRAM_ITERATIONS_MAX); `None` makes no verifiers.
    pub scram_iterations: Option<u32>,
    /// `password-min-length`: characters.
    pub length_min: u8,
    /// `password-history`: number of earlier passwords that may not be set again.
    pub history: u8,
    /// `password-max-age`: days after which a password must be changed; `None` is never.
    pub age_max_days: Option<u16>,
    /// `must-change-initial`: whether a person must replace a password that somebody else has chosen.
    pub must_change_initial: bool,
    /// `must-change-allows-mail`: whether such a password opens the mailbox until it is replaced or expires.
    pub must_change_allows_mail: bool,
    /// `activation-days`: days for which an activation link, or the mail access of an initial password, lasts.
    pub activation_days: u16,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            scheme: Scheme::Argon2,
            scram_iterations: Some(crate::SCRAM_ITERATIONS_MIN),
            length_min: 10,
            history: 5,
            age_max_days: None,
            must_change_initial: true,
            must_change_allows_mail: true,
            activation_days: 30,
        }
    }
}

/// What a new password must not consist of.
#[derive(Clone, Copy, Debug, Default)]
pub struct AboutPerson<'a> {
    /// Names and logins of the person, and names of the site; words of fewer than three letters are ignored.
    pub words: &'a [&'a str],
    /// Birth date, YYYYMMDD.
    pub birth_date: Option<&'a str>,
}

/// A rule that a new password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRule {
    /// It has fewer characters than this.
    Short(u8),
    /// It cannot be used: empty, longer than 512 octets, or with a NUL.
    Unusable,
    /// It is one of the passwords that guessers try first.
    Common,
    /// It consists of the person's names, login or birth date, or of the site's name.
    Personal,
    /// It is the present password, or one of this many earlier ones.
    Reused(u8),
}

impl fmt::Display for PasswordRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(least) => write!(f, "shorter than {least} characters"),
            Self::Unusable => f.write_str("empty, longer than 512 octets, or with a control character"),
            Self::Common => f.write_str("one of the passwords that guessers try first"),
            Self::Personal => f.write_str("made of the person's own names, login or birth date, or of the site's name"),
            Self::Reused(count) => write!(f, "the present password or one of the last {count}"),
        }
    }
}

impl PasswordPolicy {
    /// Checks a password that a person chooses, all rules but that of the history
    /// ([`FormerPasswords::check`](crate::FormerPasswords::check)).
    pub fn check(&self, password: &Secret, about: AboutPerson<'_>) -> Result<(), PasswordRule> {
        let text = password.reveal();
        if text.chars().count() < usize::from(self.length_min) {
            return Err(PasswordRule::Short(self.length_min));
        }
        if !password.is_usable() {
            return Err(PasswordRule::Unusable);
        }
        if is_common(text) {
            return Err(PasswordRule::Common);
        }
        if is_personal(text, about) { Err(PasswordRule::Personal) } else { Ok(()) }
    }

    /// Hashes a password, and makes its SCRAM verifier. Slow by design: call it off the async threads.
    pub fn hash(&self, password: &Secret) -> PasswordValues {
        let user_password = hash(password, self.scheme);
        let verifier =
            self.scram_iterations.map(|count| ScramVerifier::bound_to(user_password.as_bytes(), password, count));
        PasswordValues { scram: verifier.map(|verifier| verifier.to_string()), user_password }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_checked() {
        let policy = PasswordPolicy::default();
        let words = ["Zoé", "Lécuyer", "zoe.lecuyer", "example.edu"];
        let about = AboutPerson { words: &words, birth_date: Some("20040517") };
        for (text, expect) in [
            ("", Err(PasswordRule::Short(10))),
            ("kx4m-29ab", Err(PasswordRule::Short(10))),
            ("kx4m-29abc", Ok(())),
            ("ééééééééé", Err(PasswordRule::Short(10))),
            (&"x".repeat(513), Err(PasswordRule::Unusable)),
            ("with\0a NUL octet", Err(PasswordRule::Unusable)),
            ("Password123!", Err(PasswordRule::Common)),
            ("zoe.lecuyer!", Err(PasswordRule::Personal)),
            ("correct horse battery", Ok(())),
        ] {
            assert_eq!(policy.check(&Secret::new(text), about), expect, "{text:?}");
        }
    }
}

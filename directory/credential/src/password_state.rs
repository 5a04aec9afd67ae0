//! Whether a person must change the password before it opens the mailbox.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{MUST_CHANGE, PasswordPolicy, ScramVerifier};

/// Maximum number of SCRAM verifiers that are compared with the passwords.
const VERIFIERS_MAX: usize = 4;

/// What the directory states of a person's password. By default nothing is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordState {
    /// Whether somebody else has chosen the password, so that the person must replace it.
    pub must_change: bool,
    /// When the password was set; `None` when the directory does not state it.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub since: Option<Timestamp>,
}

/// Why a password must be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordDue {
    /// Somebody else has chosen it.
    Initial,
    /// It is older than the site allows.
    Expired,
}

/// The values of an entry that decide its [`PasswordState`].
#[derive(Clone, Copy, Debug)]
pub struct StatedPassword<'a> {
    /// Values of `userPassword`.
    pub passwords: &'a [Vec<u8>],
    /// Values of `provostScram`.
    pub verifiers: &'a [Vec<u8>],
    /// `provostCredentialState`.
    pub state: Option<&'a str>,
    /// `provostPasswordSince`.
    pub since: Option<Timestamp>,
}

impl PasswordState {
    /// The state that an entry shows. A password that was replaced by other means, such as `ldappasswd` on OpenLDAP, is
    /// the person's own, and its age is unknown: what the entry states is of the password before. The verifiers show
    /// this, because each belongs to one value of `userPassword`.
    pub fn of(stated: StatedPassword<'_>) -> Self {
        let texts = stated.verifiers.iter().take(VERIFIERS_MAX).filter_map(|value| std::str::from_utf8(value).ok());
        let verifiers: Vec<ScramVerifier> = texts.filter_map(ScramVerifier::parse).collect();
        let belongs = |verifier: &ScramVerifier| stated.passwords.iter().any(|value| verifier.is_bound_to(value));
        if !verifiers.is_empty() && !stated.passwords.is_empty() && !verifiers.iter().any(belongs) {
            return Self::default();
        }
        let must_change = stated.state.is_some_and(|state| state.eq_ignore_ascii_case(MUST_CHANGE));
        Self { must_change, since: stated.since }
    }

    /// Why the password must be changed at `now`; `None` when it need not be.
    pub fn due(&self, policy: &PasswordPolicy, now: Timestamp) -> Option<PasswordDue> {
        if self.must_change {
            return Some(PasswordDue::Initial);
        }
        let is_old = |days| self.is_older_than(days, now);
        policy.age_max_days.is_some_and(is_old).then_some(PasswordDue::Expired)
    }

    /// Whether the password opens the mailbox at `now`: mail programs cannot show a page for a new one.
    pub fn opens_mail(&self, policy: &PasswordPolicy, now: Timestamp) -> bool {
        match self.due(policy, now) {
            None => true,
            Some(PasswordDue::Expired) => false,
            Some(PasswordDue::Initial) => {
                policy.must_change_allows_mail && !self.is_older_than(policy.activation_days, now)
            }
        }
    }

    /// Whether the password was set more than `days` ago; false when the time is unknown.
    fn is_older_than(&self, days: u16, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) > SignedDuration::from_hours(24 * i64::from(days)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scheme, Secret};

    fn day(n: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + n * 86_400).unwrap()
    }

    #[test]
    fn a_due_password_opens_the_mailbox_as_the_policy_says() {
        use PasswordDue::{Expired, Initial};
        let policy = PasswordPolicy { activation_days: 30, ..PasswordPolicy::default() };
        let aged = PasswordPolicy { age_max_days: Some(100), ..policy.clone() };
        let strict = PasswordPolicy { must_change_allows_mail: false, ..policy.clone() };
        for (must_change, since, policy, now, due, mail) in [
            (false, None, &aged, day(5000), None, true),
            (false, Some(day(0)), &policy, day(5000), None, true),
            (false, Some(day(0)), &aged, day(100), None, true),
            (false, Some(day(0)), &aged, day(101), Some(Expired), false),
            (true, Some(day(0)), &policy, day(30), Some(Initial), true),
            (true, Some(day(0)), &policy, day(31), Some(Initial), false),
            (true, None, &policy, day(31), Some(Initial), true),
            (true, Some(day(0)), &strict, day(0), Some(Initial), false),
        ] {
            let state = PasswordState { must_change, since };
            assert_eq!((state.due(policy, now), state.opens_mail(policy, now)), (due, mail), "{state:?} {now}");
        }
    }

    #[test]
    fn the_state_ends_when_the_password_is_replaced_by_other_means() {
        let policy = PasswordPolicy { scheme: Scheme::Ssha, ..PasswordPolicy::default() };
        let values = policy.hash(&Secret::new("of the file"));
        let scram = values.scram.as_deref();
        let other = policy.hash(&Secret::new("of ldappasswd")).user_password;
        for (password, scram, must_change) in [
            (&values.user_password, scram, true),
            (&other, scram, false),
            // Without a verifier nothing shows a change.
            (&other, None, true),
            (&other, Some("malformed"), true),
        ] {
            let verifiers: Vec<Vec<u8>> = scram.into_iter().map(|value| value.as_bytes().to_vec()).collect();
            let stated = StatedPassword {
                passwords: &[password.clone().into_bytes()],
                verifiers: &verifiers,
                state: Some("Must-Change"),
                since: Some(day(0)),
            };
            let state = PasswordState::of(stated);
            assert_eq!((state.must_change, state.since.is_some()), (must_change, must_change), "{scram:?}");
        }
    }
}

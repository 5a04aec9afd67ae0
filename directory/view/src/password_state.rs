//! Whether a person must change the password before it opens the mailbox.

use jiff::{SignedDuration, Timestamp};
use provost_credential::{MUST_CHANGE, PasswordPolicy, ScramVerifier};
use provost_entry::{Entry, time};
use provost_schema::attr;
use provost_settings::SharedSettings;
use serde::{Deserialize, Serialize};

/// Maximum number of `provostScram` values that are compared with the passwords.
const VERIFIERS_MAX: usize = 4;
/// Path of the page on which people change their password.
const CHANGE_PATH: &str = "/password";

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

impl PasswordState {
    /// Reads the state. A password that was replaced by other means, such as `ldappasswd` on OpenLDAP, is the person's
    /// own, and its age is unknown: what the entry states is of the password before. The verifiers show this, because
    /// each belongs to one value of userPassword.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        let passwords = entry.values(attr::USER_PASSWORD);
        let belongs = |verifier: &ScramVerifier| passwords.iter().any(|value| verifier.is_bound_to(value));
        let mut verifiers =
            entry.texts(attr::PROVOST_SCRAM).take(VERIFIERS_MAX).filter_map(ScramVerifier::parse).peekable();
        if verifiers.peek().is_some() && !passwords.is_empty() && !verifiers.any(|verifier| belongs(&verifier)) {
            return Self::default();
        }
        let state = entry.first(attr::PROVOST_CREDENTIAL_STATE);
        Self {
            must_change: state.is_some_and(|state| state.eq_ignore_ascii_case(MUST_CHANGE)),
            since: entry.first(attr::PROVOST_PASSWORD_SINCE).and_then(time::parse_generalized),
        }
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

/// The text for a mail program whose user must change the password first: one line of ASCII.
pub(crate) fn change_first(settings: &SharedSettings) -> Box<str> {
    let page = settings.web_url.as_ref().map(|url| format!("{url}{CHANGE_PATH}"));
    let page = page.as_deref().unwrap_or("the web page for passwords of your institution");
    format!("The password must be changed first at {page}").into()
}

#[cfg(test)]
mod tests {
    use provost_credential::{Scheme, Secret};
    use provost_entry::Dn;

    use super::*;

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
        let entry = |password: &str, scram: Option<&str>| {
            let entry = Entry::new(Dn::root())
                .with(attr::USER_PASSWORD, password)
                .with(attr::PROVOST_CREDENTIAL_STATE, "must-change")
                .with(attr::PROVOST_PASSWORD_SINCE, "20260101000000Z");
            scram.into_iter().fold(entry, |entry, value| entry.with(attr::PROVOST_SCRAM, value))
        };
        let scram = values.scram.as_deref();
        let other = policy.hash(&Secret::new("of ldappasswd")).user_password;
        for (password, scram, must_change) in [
            (&values.user_password, scram, true),
            (&other, scram, false),
            // Without a verifier nothing shows a change.
            (&other, None, true),
            (&other, Some("malformed"), true),
        ] {
            let state = PasswordState::of_entry(&entry(password, scram));
            assert_eq!((state.must_change, state.since.is_some()), (must_change, must_change), "{scram:?}");
        }
    }
}

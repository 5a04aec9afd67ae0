//! What one change of a password writes to a person's entry. Every interface that sets a password uses this: the
//! attributes must never come from two changes.

use provost_schema::attr;

use crate::{PasswordPolicy, PasswordRule, Secret, Verification, verify};

/// `provostCredentialState` of a person who must replace a password that somebody else has chosen.
pub const MUST_CHANGE: &str = "must-change";
/// `provostCredentialState` of a person who has an activation link and no password of their own yet.
pub const ACTIVATION: &str = "activation";

/// Longest value of the history that is read, octets.
const HISTORY_OCTETS_MAX: usize = 1024;
/// Maximum number of values that one check compares, each at the cost of a hash.
const COMPARED_MAX: usize = 32;

/// What is stored of a new password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordValues {
    /// The value of `userPassword`.
    pub user_password: String,
    /// The value of `provostScram`; `None` when the policy makes no verifiers.
    pub scram: Option<String>,
}

impl std::fmt::Debug for PasswordValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordValues(..)")
    }
}

impl PasswordValues {
    /// The attributes of an entry that has no password yet: name and value of each. `now` is a GeneralizedTime.
    pub fn of_new_entry(&self, must_change: bool, now: &str) -> Vec<(&'static str, String)> {
        let mut attributes = vec![(attr::USER_PASSWORD, self.user_password.clone())];
        attributes.extend(self.scram.clone().map(|scram| (attr::PROVOST_SCRAM, scram)));
        attributes.push((attr::PROVOST_PASSWORD_SINCE, now.to_owned()));
        if must_change {
            attributes.push((attr::PROVOST_CREDENTIAL_STATE, MUST_CHANGE.to_owned()));
        }
        attributes
    }

    /// The attributes to replace in an entry that may have a password: name and all values of each; no value removes
    /// the attribute. An open activation link ends with the change.
    pub fn replacing(
        &self,
        former: &FormerPasswords,
        policy: &PasswordPolicy,
        must_change: bool,
        now: &str,
    ) -> Vec<(&'static str, Vec<String>)> {
        let state = must_change.then(|| MUST_CHANGE.to_owned());
        vec![
            (attr::USER_PASSWORD, vec![self.user_password.clone()]),
            (attr::PROVOST_SCRAM, self.scram.iter().cloned().collect()),
            (attr::PROVOST_PASSWORD_SINCE, vec![now.to_owned()]),
            (attr::PROVOST_CREDENTIAL_STATE, state.into_iter().collect()),
            (attr::PROVOST_PASSWORD_HISTORY, former.history(policy, now)),
            (attr::PROVOST_ACTIVATION, Vec::new()),
        ]
    }
}

/// The present and earlier passwords of an entry.
#[derive(Clone, Default)]
pub struct FormerPasswords {
    present: Vec<String>,
    /// Values of `provostPasswordHistory`, the latest first: the time at which the password was replaced, a space, and
    /// its hash.
    earlier: Vec<String>,
}

impl FormerPasswords {
    /// From the values of `userPassword` and `provostPasswordHistory`; values that are not text are ignored.
    pub fn new<'a>(present: impl IntoIterator<Item = &'a [u8]>, earlier: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let text = |value: &'a [u8]| std::str::from_utf8(value).ok().map(str::to_owned);
        let mut earlier: Vec<String> =
            earlier.into_iter().filter_map(text).filter(|value| value.len() <= HISTORY_OCTETS_MAX).collect();
        // The values of an attribute have no order, and GeneralizedTimes sort by time.
        earlier.sort_unstable_by(|a, b| b.cmp(a));
        Self { present: present.into_iter().filter_map(text).collect(), earlier }
    }

    /// Refuses the present password and the earlier ones that the policy remembers. A history of zero refuses none. A
    /// hash of an unknown scheme matches nothing. Slow by design: call it off the async threads.
    pub fn check(&self, password: &Secret, policy: &PasswordPolicy) -> Result<(), PasswordRule> {
        if policy.history == 0 {
            return Ok(());
        }
        let earlier = self.earlier.iter().filter_map(|value| value.split_once(' ')).map(|(_, hash)| hash);
        let compared = self.present.iter().map(String::as_str).chain(earlier.take(policy.history.into()));
        let is_known = |hash: &str| verify(password, hash.as_bytes()) == Verification::Match;
        if compared.take(COMPARED_MAX).any(is_known) { Err(PasswordRule::Reused(policy.history)) } else { Ok(()) }
    }

    /// `now` with a fraction that sorts after the values of the same second: the values of an attribute have no order of
    /// their own, and the oldest one has to be known.
    fn time_after(&self, now: &str) -> String {
        let second = now.trim_end_matches('Z');
        let fraction = |value: &String| {
            let (number, _) = value.strip_prefix(second)?.strip_prefix('.')?.split_once('Z')?;
            number.parse::<u8>().ok()
        };
        let newest = self.earlier.iter().filter_map(fraction).max();
        format!("{second}.{:02}Z", newest.map_or(0, |newest| newest.saturating_add(1).min(99)))
    }

    /// The history after the present passwords were replaced at `now`.
    fn history(&self, policy: &PasswordPolicy, now: &str) -> Vec<String> {
        let at = self.time_after(now);
        let replaced = self.present.iter().map(|hash| format!("{at} {hash}"));
        let replaced = replaced.filter(|value| value.len() <= HISTORY_OCTETS_MAX);
        let mut kept: Vec<String> = Vec::new();
        for value in replaced.chain(self.earlier.iter().cloned()) {
            if kept.len() < usize::from(policy.history) && !kept.contains(&value) {
                kept.push(value);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    fn policy(history: u8) -> PasswordPolicy {
        PasswordPolicy { scheme: Scheme::Ssha, history, ..PasswordPolicy::default() }
    }

    /// Sets one password after the other; returns what the entry holds in the end.
    fn set_all(policy: &PasswordPolicy, passwords: &[&str]) -> FormerPasswords {
        let mut former = FormerPasswords::default();
        for (n, password) in passwords.iter().enumerate() {
            let values = policy.hash(&Secret::new(*password));
            let attributes = values.replacing(&former, policy, false, &format!("2026010{n}000000Z"));
            let of = |name: &str| attributes.iter().find(|(known, _)| *known == name).unwrap().1.clone();
            let (present, earlier) = (of(attr::USER_PASSWORD), of(attr::PROVOST_PASSWORD_HISTORY));
            let octets = |values: &[String]| values.iter().map(|v| v.clone().into_bytes()).collect::<Vec<_>>();
            let (present, mut earlier) = (octets(&present), octets(&earlier));
            earlier.reverse();
            former = FormerPasswords::new(present.iter().map(Vec::as_slice), earlier.iter().map(Vec::as_slice));
        }
        former
    }

    #[test]
    fn the_present_password_and_the_last_ones_are_refused() {
        let passwords = ["first", "second", "third", "fourth"];
        for (history, refused) in [
            (0, &[][..]),
            (1, &["third", "fourth"][..]),
            (2, &["second", "third", "fourth"]),
            (5, &["first", "second", "third", "fourth"]),
        ] {
            let policy = policy(history);
            let former = set_all(&policy, &passwords);
            assert_eq!(former.earlier.len(), usize::from(history).min(3), "{history}");
            for password in passwords {
                let expect = if refused.contains(&password) { Err(PasswordRule::Reused(history)) } else { Ok(()) };
                assert_eq!(former.check(&Secret::new(password), &policy), expect, "{password}, history {history}");
            }
            assert_eq!(former.check(&Secret::new("fifth"), &policy), Ok(()));
        }
    }

    #[test]
    fn changes_within_one_second_keep_their_order() {
        let policy = policy(2);
        let mut former = FormerPasswords::default();
        for password in ["first", "second", "third", "fourth"] {
            let values = policy.hash(&Secret::new(password));
            let attributes = values.replacing(&former, &policy, false, "20260101000000Z");
            let earlier = &attributes.iter().find(|(name, _)| *name == attr::PROVOST_PASSWORD_HISTORY).unwrap().1;
            let earlier: Vec<&[u8]> = earlier.iter().map(String::as_bytes).collect();
            former = FormerPasswords::new([values.user_password.as_bytes()], earlier);
        }
        let times: Vec<&str> = former.earlier.iter().filter_map(|value| value.split(' ').next()).collect();
        assert_eq!(times, ["20260101000000.02Z", "20260101000000.01Z"]);
        assert_eq!(former.check(&Secret::new("first"), &policy), Ok(()));
        assert!(former.check(&Secret::new("second"), &policy).is_err());
    }

    #[test]
    fn a_change_ends_the_link_and_the_verifier_of_before() {
        let policy = PasswordPolicy { scram_iterations: None, ..policy(5) };
        let values = policy.hash(&Secret::new("x"));
        let attributes = values.replacing(&FormerPasswords::default(), &policy, true, "20260101000000Z");
        for name in [attr::PROVOST_SCRAM, attr::PROVOST_ACTIVATION, attr::PROVOST_PASSWORD_HISTORY] {
            assert!(attributes.contains(&(name, Vec::new())), "{name}");
        }
        assert!(attributes.contains(&(attr::PROVOST_CREDENTIAL_STATE, vec![MUST_CHANGE.to_owned()])));
        let own = values.replacing(&FormerPasswords::default(), &policy, false, "20260101000000Z");
        assert!(own.contains(&(attr::PROVOST_CREDENTIAL_STATE, Vec::new())));
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", policy(0).hash(&Secret::new("x"))), "PasswordValues(..)");
    }

    #[test]
    fn values_that_are_malformed_are_ignored() {
        let long = format!("20260101000000Z {}", "x".repeat(2000));
        let former = FormerPasswords::new([&b"\xff"[..]], [b"no-time".as_slice(), b"\xff", long.as_bytes()]);
        assert_eq!(former.check(&Secret::new("x"), &policy(5)), Ok(()));
    }
}

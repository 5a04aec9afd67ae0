//! Locks of an account: `provostLock`, `NAME SINCE UNTIL OWNER REASON`. Several may stand at once.

use jiff::Timestamp;
use provost_entry::Entry;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_schema::attr;

use crate::people_list::lock_stands;

/// Maximum number of locks of a person: the mail core reads 32.
pub(crate) const LOCKS_MAX: usize = 32;
/// Longest name of a lock and of an owner, in characters.
pub(crate) const LOCK_WORD_CHARS_MAX: usize = 64;

/// A lock: while it stands, the person cannot log in by any protocol, and mail is still received.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PersonLock {
    /// Name of the lock, such as `abuse`; a person has each name once.
    pub name: String,
    /// First second; `None` when it is not stated.
    pub since: Option<Timestamp>,
    /// Last second; `None` stands until it is released.
    pub until: Option<Timestamp>,
    /// Who is responsible for it.
    pub owner: String,
    /// Why it was set.
    pub reason: String,
    /// Whether it stands now.
    pub stands: bool,
}

impl PersonLock {
    /// Reads a value of provostLock.
    pub(crate) fn parse(value: &str, now: Timestamp) -> Self {
        let mut words = value.trim().splitn(5, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (name, since, until, owner, reason) = (word(), word(), word(), word(), word());
        Self {
            name: name.to_owned(),
            since: parse_generalized(since),
            until: parse_generalized(until),
            owner: owner.to_owned(),
            reason: reason.to_owned(),
            stands: lock_stands(value, now),
        }
    }

    /// The locks of an entry, by name.
    pub(crate) fn all_of(entry: &Entry, now: Timestamp) -> Vec<Self> {
        let mut locks: Vec<Self> =
            entry.texts(attr::PROVOST_LOCK).take(LOCKS_MAX).map(|value| Self::parse(value, now)).collect();
        locks.sort_by(|one, other| (&one.name, one.since).cmp(&(&other.name, other.since)));
        locks
    }

    /// The value of provostLock.
    pub(crate) fn value(&self) -> String {
        let moment = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), format_generalized);
        format!("{} {} {} {} {}", self.name, moment(self.since), moment(self.until), self.owner, self.reason)
    }

    /// Whether the lock has ended at `now`: nothing needs it any more.
    pub(crate) fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until < now)
    }
}

/// Whether `name` can be the name of a lock: lower-case letters, digits and hyphens, beginning with a letter.
pub(crate) fn is_lock_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= LOCK_WORD_CHARS_MAX
        && name.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let now = "2027-01-05T00:00:00Z".parse().unwrap();
        for (text, stands, ended) in [
            ("abuse 20270101000000Z 20270110000000Z cli:helen spam run", true, false),
            ("abuse 20270101000000Z - cli:helen spam", true, false),
            ("abuse 20260101000000Z 20260110000000Z cli:helen spam", false, true),
            ("abuse 20280101000000Z - cli:helen spam", false, false),
        ] {
            let lock = PersonLock::parse(text, now);
            assert_eq!((lock.value().as_str(), lock.stands, lock.has_ended(now)), (text, stands, ended));
        }
        assert!(PersonLock::parse("damaged", now).stands, "a lock that cannot be read stands");
    }

    #[test]
    fn names_are_words() {
        for (name, is_one) in [("abuse", true), ("unpaid-fees2", true), ("", false), ("2fa", false), ("Abuse", false)] {
            assert_eq!(is_lock_name(name), is_one, "{name}");
        }
        assert!(!is_lock_name("a b") && !is_lock_name(&"a".repeat(65)));
    }
}

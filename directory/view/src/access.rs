//! What state and locks forbid to a person, and where their mail goes on to.

use jiff::Timestamp;
use provost_entry::{Address, Entry, time};
use provost_schema::attr;
use serde::{Deserialize, Serialize};

use crate::person::{Person, PersonState};

/// Maximum number of locks read of a person.
const LOCKS_MAX: usize = 32;
/// Maximum number of `mailForwardingAddress` values read.
const FORWARDS_MAX: usize = 10;
/// Maximum number of `provostRestriction` and `mailDeliveryOption` values read.
const WORDS_MAX: usize = 16;

/// What the state of an account forbids (`provostRestriction`), its locks (`provostLock`), and its forwarding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `no-login`: no login by any protocol.
    pub no_login: bool,
    /// What else is forbidden.
    pub forbidden: Forbidden,
    /// What happens to mail for the person.
    pub receiving: MailIntake,
    /// Locks, each with its bounds. A lock that stands forbids login; mail is still received.
    pub locks: Box<[LockSpan]>,
    /// The forwarding; `None` without an address. Its dates may lie in the past.
    pub forwarding: Option<Box<Forwarding>>,
}

/// What a person who may log in may not do, one bit for each, as saved files have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Forbidden(u8);

impl Forbidden {
    /// `no-send`: no message by submission.
    pub const SEND: Self = Self(1);
    /// `read-only`: no change of the mail by IMAP and POP3.
    pub const CHANGE: Self = Self(2);

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What happens to mail for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailIntake {
    /// It is delivered to the mailbox.
    #[default]
    Mailbox,
    /// `forward-only`: it goes on to the forwarding address and not into the mailbox.
    ForwardOnly,
    /// `no-receive`: it is refused.
    Refuse,
}

/// When a lock stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSpan {
    /// First second.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub since: Option<Timestamp>,
    /// Last second; `None` stands until it is lifted.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub until: Option<Timestamp>,
}

/// Where the mail of a person goes on to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// The addresses.
    pub to: Box<[Address]>,
    /// First second; `None` has no beginning.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub start: Option<Timestamp>,
    /// Last second; `None` has no end.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub end: Option<Timestamp>,
    /// Whether the mailbox gets a copy too.
    pub keeps_copy: bool,
}

impl LockSpan {
    /// Reads `NAME SINCE UNTIL OWNER REASON`. A lock whose times cannot be read stands: the safe choice.
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace().skip(1);
        let mut moment = || words.next().and_then(time::parse_generalized);
        Self { since: moment(), until: moment() }
    }

    fn stands_at(&self, now: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= now) && self.until.is_none_or(|until| now <= until)
    }
}

impl Forwarding {
    fn is_on(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now <= end)
    }
}

impl Access {
    /// Reads the attributes of a person's entry. An unknown restriction forbids login: the safe choice.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        let mut access = Self { locks: locks(entry), forwarding: forwarding(entry).map(Box::new), ..Self::default() };
        for word in entry.texts(attr::PROVOST_RESTRICTION).take(WORDS_MAX) {
            match word.to_ascii_lowercase().as_str() {
                "no-send" => access.forbidden.add(Forbidden::SEND),
                "read-only" => access.forbidden.add(Forbidden::CHANGE),
                "forward-only" if access.receiving == MailIntake::Mailbox => access.receiving = MailIntake::ForwardOnly,
                "forward-only" => {}
                "no-receive" => access.receiving = MailIntake::Refuse,
                _ => access.no_login = true,
            }
        }
        access
    }
}

fn locks(entry: &Entry) -> Box<[LockSpan]> {
    entry.texts(attr::PROVOST_LOCK).take(LOCKS_MAX).map(LockSpan::parse).collect()
}

/// The forwarding of `mailForwardingAddress`. `mailDeliveryOption` (Netscape) says whether a copy stays: with `forward`
/// and without `mailbox`, none does; without any value, one does.
fn forwarding(entry: &Entry) -> Option<Forwarding> {
    let to: Box<[Address]> = entry
        .texts(attr::MAIL_FORWARDING_ADDRESS)
        .filter_map(|text| Address::parse(text).ok())
        .take(FORWARDS_MAX)
        .collect();
    let options: Vec<String> =
        entry.texts(attr::MAIL_DELIVERY_OPTION).take(WORDS_MAX).map(str::to_ascii_lowercase).collect();
    let has = |word: &str| options.iter().any(|option| option == word);
    let date = |name| entry.first(name).and_then(time::parse_generalized);
    (!to.is_empty()).then(|| Forwarding {
        to,
        start: date(attr::PROVOST_FORWARD_START),
        end: date(attr::PROVOST_FORWARD_END),
        keeps_copy: has("mailbox") || !has("forward"),
    })
}

impl Person {
    /// Whether the person may log in at `now`: the account is active, its state allows login, and no lock stands.
    pub fn may_log_in(&self, now: Timestamp) -> bool {
        let is_locked = self.access.locks.iter().any(|lock| lock.stands_at(now));
        self.state == PersonState::Active && !self.access.no_login && !is_locked
    }

    /// Whether the person may send by submission; who may not log in cannot.
    pub fn may_send(&self) -> bool {
        !self.access.forbidden.has(Forbidden::SEND)
    }

    /// Whether the person may change their mail by IMAP and POP3, and not only read it.
    pub fn may_change_mail(&self) -> bool {
        !self.access.forbidden.has(Forbidden::CHANGE)
    }

    /// The forwarding that is on at `now`.
    pub fn forwarding(&self, now: Timestamp) -> Option<&Forwarding> {
        self.access.forwarding.as_deref().filter(|forwarding| forwarding.is_on(now))
    }

    /// Whether mail for the person is accepted, apart from the dates of a forwarding: the account is not closed, its
    /// state does not refuse mail, and one that only forwards has an address to forward to.
    pub fn receives(&self) -> bool {
        let has_place = match self.access.receiving {
            MailIntake::Mailbox => true,
            MailIntake::ForwardOnly => self.access.forwarding.is_some(),
            MailIntake::Refuse => false,
        };
        self.state != PersonState::Closed && has_place
    }
}

#[cfg(test)]
mod tests {
    use provost_entry::Dn;

    use super::*;
    use crate::testing::bare_person;

    fn person(values: &[(&str, &str)]) -> Person {
        let mut entry = Entry::new(Dn::root());
        for (name, value) in values {
            entry.push(provost_entry::AttributeDescription::parse(name).unwrap(), value.as_bytes().to_vec());
        }
        Person { access: Access::of_entry(&entry), ..bare_person(1, "zoe") }
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn each_restriction_forbids_what_it_names() {
        for (restrictions, login, send, changes, receives) in [
            (&[][..], true, true, true, true),
            (&["no-login"], false, true, true, true),
            (&["no-send"], true, false, true, true),
            (&["Read-Only"], true, true, false, true),
            (&["no-receive"], true, true, true, false),
            (&["No-Send", "NO-RECEIVE"], true, false, true, false),
            (&["no-receive", "forward-only"], true, true, true, false),
            // Without an address to forward to.
            (&["forward-only"], true, true, true, false),
            (&["no-something"], false, true, true, true),
        ] {
            let values: Vec<(&str, &str)> = restrictions.iter().map(|word| ("provostRestriction", *word)).collect();
            let person = person(&values);
            let may_log_in = person.may_log_in(at("2027-01-01T00:00:00Z"));
            let found = (may_log_in, person.may_send(), person.may_change_mail(), person.receives());
            assert_eq!(found, (login, send, changes, receives), "{restrictions:?}");
        }
    }

    #[test]
    fn locks_stand_within_their_bounds() {
        let locked = person(&[
            ("provostLock", "abuse 20270101000000Z 20270110000000Z cli:helen spam"),
            ("provostLock", "fees 20270105000000Z 20270120000000Z sis unpaid"),
        ]);
        for (time, may) in [
            ("2026-12-31T23:59:59Z", true),
            ("2027-01-01T00:00:00Z", false),
            ("2027-01-10T00:00:00Z", false),
            ("2027-01-20T00:00:00Z", false),
            ("2027-01-20T00:00:01Z", true),
        ] {
            assert_eq!(locked.may_log_in(at(time)), may, "{time}");
        }
        let without_end = person(&[("provostLock", "abuse 20270101000000Z - cli:helen spam")]);
        assert!(!without_end.may_log_in(at("2099-01-01T00:00:00Z")));
        let damaged = person(&[("provostLock", "damaged")]);
        assert!(!damaged.may_log_in(at("2027-01-01T00:00:00Z")) && damaged.receives());
    }

    #[test]
    fn a_forwarding_has_dates_and_may_keep_a_copy() {
        let base = [
            ("mailForwardingAddress", "zoe@example.net"),
            ("mailForwardingAddress", "not an address"),
            ("provostForwardStart", "20270101000000Z"),
            ("provostForwardEnd", "20270131235959Z"),
        ];
        for (options, keeps_copy) in [(&[][..], true), (&["forward"], false), (&["forward", "mailbox"], true)] {
            let values: Vec<(&str, &str)> =
                base.into_iter().chain(options.iter().map(|option| ("mailDeliveryOption", *option))).collect();
            let person = person(&values);
            let on = person.forwarding(at("2027-01-15T00:00:00Z")).unwrap();
            assert_eq!((on.to.len(), on.keeps_copy), (1, keeps_copy), "{options:?}");
            assert!(person.forwarding(at("2027-02-01T00:00:00Z")).is_none());
            assert!(person.forwarding(at("2026-12-31T00:00:00Z")).is_none());
        }
        let only = person(&[("mailForwardingAddress", "zoe@example.net"), ("provostRestriction", "forward-only")]);
        assert!(only.receives());
    }
}

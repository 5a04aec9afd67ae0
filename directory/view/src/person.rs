//! A person with an account, as the mail core uses it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::Address;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Access, PasswordState};

/// The eduPerson affiliations that Provost distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affiliation {
    /// An enrolled student.
    Student,
    /// A teacher.
    Faculty,
    /// An employee.
    Staff,
    /// A former student.
    Alum,
    /// Any other affiliation.
    Other,
}

impl Affiliation {
    /// Returns the eduPerson value in lower case; `other` for any other.
    pub fn word(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Faculty => "faculty",
            Self::Staff => "staff",
            Self::Alum => "alum",
            Self::Other => "other",
        }
    }
}

/// What a person may do: receive mail, log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersonState {
    /// Receives mail and may log in.
    Active,
    /// Receives mail, may not log in.
    Suspended,
    /// Neither receives mail nor may log in.
    Closed,
}

/// A vacation rule from the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacation {
    /// First second of the absence; `None` when it has no beginning.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub start: Option<Timestamp>,
    /// Last second of the absence; `None` when it has no end.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub end: Option<Timestamp>,
    /// Subject for readers of any language.
    pub subject: Option<Box<str>>,
    /// Subject of the reply in French.
    pub subject_fr: Option<Box<str>>,
    /// Subject of the reply in English.
    pub subject_en: Option<Box<str>>,
    /// Text for readers of any language.
    pub text: Option<Box<str>>,
    /// Text of the reply in French.
    pub text_fr: Option<Box<str>>,
    /// Text of the reply in English.
    pub text_en: Option<Box<str>>,
    /// Days between two replies to one sender.
    pub interval_days: u16,
}

impl Vacation {
    /// Whether the rule is in force at `now`.
    pub fn is_on(&self, now: Timestamp) -> bool {
        let last = |end: Timestamp| now.as_second() <= end.as_second();
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(last)
    }
}

/// A person with an account. `Debug` redacts the passwords.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The entryUUID, key of the account in the store; never reused.
    pub entry_uuid: Uuid,
    /// The DN of the entry.
    pub dn: Box<str>,
    /// Login name (uid, RFC 4519 §2.39), unique at the site.
    pub uid: Box<str>,
    /// The display name.
    pub display_name: Box<str>,
    /// The primary address, shown on pages and printed slips.
    pub primary: Address,
    /// What the person may do.
    pub state: PersonState,
    /// The affiliation, which selects the quota of a person without their own.
    pub affiliation: Affiliation,
    /// The preferred language: `fr`, `en`, or `None` for any other or none.
    pub language: Option<Box<str>>,
    /// userPassword values; empty when there are none, or the mail core may not read them.
    pub passwords: Vec<Box<str>>,
    /// The person's own quota, octets; `None` selects that of the affiliation, else the default.
    pub quota_octets: Option<u64>,
    /// The vacation rule; `None` when it is switched off. Its dates may lie in the past.
    pub vacation: Option<Box<Vacation>>,
    /// The values of provostRole, as in the directory.
    pub roles: Vec<Box<str>>,
    /// Whether the password must be changed, and its age.
    pub password_state: PasswordState,
    /// What state and locks forbid, and the forwarding.
    pub access: Access,
    /// The quota class that replaces the affiliation; `None` for the affiliation's.
    pub quota_class: Option<Box<str>>,
    /// Last second of the own quota and quota class; `None` when they have no end.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub quota_until: Option<Timestamp>,
}

/// A person, shared between the snapshots and sessions that refer to it.
pub type PersonRef = Arc<Person>;

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("entry_uuid", &self.entry_uuid)
            .field("dn", &self.dn)
            .field("uid", &self.uid)
            .field("display_name", &self.display_name)
            .field("primary", &self.primary)
            .field("state", &self.state)
            .field("affiliation", &self.affiliation)
            .field("language", &self.language)
            .field("passwords", &format_args!("[{} redacted]", self.passwords.len()))
            .field("quota_octets", &self.quota_octets)
            .field("vacation", &self.vacation)
            .field("roles", &self.roles)
            .field("password_state", &self.password_state)
            .field("access", &self.access)
            .field("quota_class", &self.quota_class)
            .field("quota_until", &self.quota_until)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::bare_person;

    #[test]
    fn debug_redacts_the_passwords() {
        let mut person = bare_person(1, "zoe");
        person.passwords = vec!["{SSHA}hash".into()];
        let text = format!("{person:?}");
        assert!(text.contains("zoe") && text.contains("[1 redacted]") && !text.contains("hash"), "{text}");
    }
}

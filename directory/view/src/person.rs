//! A person as the mail core sees them.

use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::Address;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// eduPerson affiliations that Provost knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affiliation {
    /// Somebody enrolled.
    Student,
    /// Somebody who teaches.
    Faculty,
    /// Somebody employed.
    Staff,
    /// Graduated: keeps account and address.
    Alum,
    /// Any affiliation that this version does not know.
    Other,
}

impl Affiliation {
    /// The eduPerson word, lower case; `other` for anything else.
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

/// What a person may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersonState {
    /// Receives and logs in.
    Active,
    /// Receives, does not log in.
    Suspended,
    /// Neither receives nor logs in.
    Closed,
}

/// A vacation rule as the directory holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacation {
    /// First moment; `None` is always. Seconds since 1970.
    pub start: Option<i64>,
    /// Last moment; `None` is no end.
    pub end: Option<i64>,
    /// Subject without language, `fr`, `en`.
    pub subject: Option<Box<str>>,
    /// Subject of the reply in French.
    pub subject_fr: Option<Box<str>>,
    /// Subject of the reply in English.
    pub subject_en: Option<Box<str>>,
    /// Text without language.
    pub text: Option<Box<str>>,
    /// Text of the reply in French.
    pub text_fr: Option<Box<str>>,
    /// Text of the reply in English.
    pub text_en: Option<Box<str>>,
    /// Days between two replies to one sender.
    pub interval_days: u16,
}

impl Vacation {
    /// Whether it answers at `now`.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now.as_second()) && self.end.is_none_or(|end| now.as_second() <= end)
    }
}

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Key of the account in the store: never reused.
    pub entry_uuid: Uuid,
    /// Their DN, for a bind.
    pub dn: Box<str>,
    /// Login name (uid, RFC 4519 §2.39), unique at the site.
    pub uid: Box<str>,
    /// Name as shown.
    pub display_name: Box<str>,
    /// Primary address: the one of the person's that pages and letters show.
    pub primary: Address,
    /// What they may do.
    pub state: PersonState,
    /// Affiliation that decides.
    pub affiliation: Affiliation,
    /// `fr` or `en` when the directory says so.
    pub language: Option<Box<str>>,
    /// userPassword values; empty when the mail core may not read them.
    pub passwords: Vec<Box<str>>,
    /// Octets; `None` is the default.
    pub quota_octets: Option<u64>,
    /// The vacation rule, on or not yet or no longer.
    pub vacation: Option<Box<Vacation>>,
    /// Values of provostRole as they are in the directory.
    pub roles: Vec<Box<str>>,
}

/// People are shared, never copied.
pub type PersonRef = Arc<Person>;

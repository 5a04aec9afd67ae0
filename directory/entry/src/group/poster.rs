//! Who may send to a list.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Address;

/// What stands before the name of a group in `provostPoster`.
const GROUP_PREFIX: &str = "group:";

/// One value of `provostPoster`. Owners may always send. A person of the site counts only when logged in: anybody can
/// write a sender's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Poster {
    /// `anyone`: every sender.
    Anyone,
    /// `members`: the members, also of groups within; members by an address elsewhere, by their reverse-path.
    Members,
    /// `owners`: the owners.
    Owners,
    /// `site`: every person of the site.
    Site,
    /// `group:NAME`: the members of another group.
    Group(Box<str>),
    /// An address: a person of the site, or a reverse-path elsewhere.
    Address(Address),
}

impl Poster {
    /// Parses a value; `None` for one that is no word of [`Poster`] and no address. Case is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "anyone" => Some(Self::Anyone),
            "members" => Some(Self::Members),
            "owners" => Some(Self::Owners),
            "site" => Some(Self::Site),
            _ => match lower.strip_prefix(GROUP_PREFIX).map(str::trim) {
                Some("") => None,
                Some(name) => Some(Self::Group(name.into())),
                None => Address::parse(text).ok().map(Self::Address),
            },
        }
    }
}

impl fmt::Display for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Members => f.write_str("members"),
            Self::Owners => f.write_str("owners"),
            Self::Site => f.write_str("site"),
            Self::Group(name) => write!(f, "{GROUP_PREFIX}{name}"),
            Self::Address(address) => f.write_str(address.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_written() {
        for (text, expect) in [
            (" Anyone", Some("anyone")),
            ("members", Some("members")),
            ("OWNERS", Some("owners")),
            ("site", Some("site")),
            ("group: Staff ", Some("group:staff")),
            ("Dean@Example.EDU", Some("dean@example.edu")),
            ("group:", None),
            ("everybody", None),
            ("", None),
        ] {
            assert_eq!(Poster::parse(text).map(|poster| poster.to_string()).as_deref(), expect, "{text}");
        }
    }
}

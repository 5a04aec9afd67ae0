//! How a plan found a new address: for people, and for the explanation of the address.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a name could not be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameConflict {
    /// It belongs to an office.
    Reserved,
    /// It looks like the name of an office.
    Lookalike,
    /// A word came about that the site does not want in an address.
    Vetted,
    /// Somebody has the address; their address or name.
    Held(String),
    /// The address was taken from somebody and is not yet free.
    Quarantined,
    /// Somebody has the login; their address or name.
    Login(String),
    /// The person of this line gets it in the same plan.
    Line(u64),
}

/// The policy and the pattern that gave an address, and what it collided with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamingNote {
    /// Name of the policy document; `built-in` without one.
    pub policy: String,
    /// The pattern.
    pub pattern: String,
    /// The name that the pattern gives without a number, when it could not be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Why it could not be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<NameConflict>,
}

impl NamingNote {
    /// Whether a plan has something to say that its rule does not say already.
    pub(crate) fn is_of_interest(&self) -> bool {
        self.conflict.is_some() || !self.is_of_built_in_policy()
    }

    /// Whether no document gave the address.
    pub(crate) fn is_of_built_in_policy(&self) -> bool {
        self.policy == provost_policy::BUILT_IN_NAMING
    }
}

impl fmt::Display for NamingNote {
    /// `policy students-2027, {given}.{family}; zoe.roy: held by Zoé Roy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {}, {}", self.policy, self.pattern)?;
        match (&self.wanted, &self.conflict) {
            (Some(wanted), Some(conflict)) => write!(f, "; {wanted}: {conflict}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for NameConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("the name of an office"),
            Self::Lookalike => f.write_str("looks like the name of an office"),
            Self::Vetted => f.write_str("a word that the site does not want"),
            Self::Held(who) => write!(f, "the address of {who}"),
            Self::Quarantined => f.write_str("in quarantine"),
            Self::Login(who) => write!(f, "the login of {who}"),
            Self::Line(line) => write!(f, "given to the person of line {line}"),
        }
    }
}

//! The rules that plans and explanations name, each by a stable id.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::source::Column;

/// Why an attribute gets a value, or why a change is made at all. Serialised as its id (`column.family_name`); a
/// published id keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonRule {
    /// The value comes from a column of the record.
    Column(Column),
    /// The column exists and its cell is blank: the held value is removed.
    Blank(Column),
    /// Given name and family name, a space between them.
    FullName,
    /// The source's name and the source's number for the person.
    SourceNumber,
    /// The id that is derived from the source's number, so that the same record always gives the same entry.
    PersonId,
    /// `given.family` folded, with a number when another person has it; a login, once given, stays.
    Login,
    /// The primary address: the login's pattern in the site's domain.
    PrimaryAddress,
    /// An address that the person had or has stays theirs.
    KeptAddress,
    /// A former primary address stays with the person for the time that the policy states.
    RetainedAddress,
    /// The time of an address is over.
    AddressEnded,
    /// The quarantine of an address is over.
    QuarantineEnded,
    /// Alumni get an address in the alumni domain.
    AlumniAddress,
    /// A further address that the policy gives.
    FurtherAddress,
    /// An address of the person has no entry of its own, or an entry of another kind.
    AddressEntry,
    /// A new account is active.
    NewAccount,
    /// Reason of a change: no person in the directory has the number.
    UnknownPerson,
    /// Reason of a change: the name leads to an address other than the one held.
    NameChanged,
    /// Reason of a change: the source has given the person another number.
    NumberChanged,
    /// Reason of a change: the record differs from what the directory holds.
    RecordDiffers,
    /// The batch that set the value is undone.
    BatchUndone,
    /// The person's first affiliation has not begun.
    LifecycleStaged,
    /// The person has an affiliation.
    LifecycleAffiliated,
    /// The last affiliation has ended, and a phase of the policy runs.
    LifecyclePhase,
    /// All phases of the policy have ended.
    LifecycleEnded,
    /// A closed account is purged: its policy says so, or two people do.
    LifecyclePurge,
    /// A complete file of a source does not name the person.
    Absent,
    /// A file of a source names the person again.
    Present,
    /// The enrolments of a source name the class.
    Enrolment,
    /// The term of a class is over.
    ClassEnded,
}

/// Ids of the rules that concern no column.
const IDS: [(ReasonRule, &str); 27] = [
    (ReasonRule::FullName, "name.full"),
    (ReasonRule::SourceNumber, "identity.source-number"),
    (ReasonRule::PersonId, "identity.person-id"),
    (ReasonRule::Login, "naming.login"),
    (ReasonRule::PrimaryAddress, "address.primary"),
    (ReasonRule::KeptAddress, "address.kept"),
    (ReasonRule::RetainedAddress, "address.retained"),
    (ReasonRule::AddressEnded, "address.ended"),
    (ReasonRule::QuarantineEnded, "address.freed"),
    (ReasonRule::AlumniAddress, "address.alumni"),
    (ReasonRule::FurtherAddress, "address.further"),
    (ReasonRule::AddressEntry, "address.entry"),
    (ReasonRule::NewAccount, "account.new"),
    (ReasonRule::UnknownPerson, "person.unknown"),
    (ReasonRule::NameChanged, "person.renamed"),
    (ReasonRule::NumberChanged, "person.renumbered"),
    (ReasonRule::RecordDiffers, "person.differs"),
    (ReasonRule::BatchUndone, "undo.batch"),
    (ReasonRule::LifecycleStaged, "lifecycle.staged"),
    (ReasonRule::LifecycleAffiliated, "lifecycle.affiliated"),
    (ReasonRule::LifecyclePhase, "lifecycle.phase"),
    (ReasonRule::LifecycleEnded, "lifecycle.ended"),
    (ReasonRule::LifecyclePurge, "lifecycle.purge"),
    (ReasonRule::Absent, "source.absent"),
    (ReasonRule::Present, "source.present"),
    (ReasonRule::Enrolment, "class.enrolment"),
    (ReasonRule::ClassEnded, "class.ended"),
];
const COLUMN: &str = "column.";
const BLANK: &str = "blank.";

impl ReasonRule {
    /// The rule with an id; `None` when this version of the program has no such rule.
    pub fn parse(id: &str) -> Option<Self> {
        if let Some(column) = id.strip_prefix(COLUMN) {
            return Column::of_name(column).map(Self::Column);
        }
        if let Some(column) = id.strip_prefix(BLANK) {
            return Column::of_name(column).map(Self::Blank);
        }
        IDS.iter().find(|(_, known)| *known == id).map(|(rule, _)| *rule)
    }
}

impl fmt::Display for ReasonRule {
    /// Writes the id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => write!(f, "{COLUMN}{column}"),
            Self::Blank(column) => write!(f, "{BLANK}{column}"),
            other => f.write_str(IDS.iter().find(|(rule, _)| rule == other).map_or("", |(_, id)| id)),
        }
    }
}

impl Serialize for ReasonRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReasonRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::parse(&id).ok_or_else(|| D::Error::custom(format!("unknown rule '{id}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_found_by_its_id() {
        let columns =
            Column::ALL.into_iter().flat_map(|column| [ReasonRule::Column(column), ReasonRule::Blank(column)]);
        for rule in columns.chain(IDS.map(|(rule, _)| rule)) {
            let id = rule.to_string();
            assert!(!id.is_empty() && ReasonRule::parse(&id) == Some(rule), "{rule:?}: '{id}'");
        }
        for unknown in ["", "column.", "column.colour", "blank.", "address"] {
            assert_eq!(ReasonRule::parse(unknown), None, "{unknown}");
        }
    }
}

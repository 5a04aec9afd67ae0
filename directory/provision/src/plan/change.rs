//! What a plan changes: for each person the writes, for each write the attributes before and after, with the reason.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Rule, Write};

/// What a change is, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A new person.
    Create,
    /// A new primary address.
    Rename,
    /// Any other change.
    Update,
}

/// Why a change is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The rule that asks for it.
    pub rule: Rule,
    /// The same for people.
    pub words: String,
}

/// One person's change, in words and in writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Place of the source that names the person, among the sources of the plan.
    pub source: u16,
    /// Line of the record.
    pub line: u64,
    /// For people: `create zoe.tremblay@example.edu (Zoé Tremblay, student)`.
    pub what: String,
    /// Which count of [`crate::PlanSummary`] it belongs to.
    pub kind: ChangeKind,
    /// Why the change is made.
    pub reason: Reason,
    /// The writes, in the order that keeps every state between them valid.
    pub writes: Vec<Write>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Change {
    /// The reason and, for a person who is there already, each attribute before and after: one line each.
    pub fn explanation(&self) -> impl Iterator<Item = String> {
        let reason = format!("because {} [{}]", self.reason.words, self.reason.rule);
        // All values of a new person are new, and the line of the change names them well enough.
        let is_new = self.kind == ChangeKind::Create;
        let writes = self.writes.iter().filter(move |_| !is_new);
        let lines = writes.flat_map(|write| {
            let password = write.password.map(|of| format!("userPassword: none -> that of line {}", of.line));
            let address = write.dn.rdn_value(provost_schema::attr::PROVOST_ADDRESS);
            let about = address.map(|address| format!("{address} ")).unwrap_or_default();
            write.attributes.iter().map(move |change| format!("{about}{change}")).chain(password)
        });
        std::iter::once(reason).chain(lines)
    }
}

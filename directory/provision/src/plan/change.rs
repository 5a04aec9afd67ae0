//! What a plan changes: for each person the writes, for each write the attributes before and after, with the reason.

use std::fmt;

use provost_entry::{AttributeDescription, Filter, Modification};
use serde::{Deserialize, Serialize};

use super::serial;
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
    /// For counting.
    pub kind: ChangeKind,
    /// Why.
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

/// How an attribute is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The values after take the place of all there are.
    #[default]
    Set,
    /// The values after that were not there before are added; others stay, whether the plan knew of them or not.
    Add,
}

/// One attribute of one entry: its values before and after, and the rule that leads from one to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeChange {
    /// Which attribute.
    #[serde(with = "serial::attribute")]
    pub name: AttributeDescription,
    /// How.
    #[serde(default, skip_serializing_if = "is_default")]
    pub how: How,
    /// Values that the directory held when the plan was made; none for a new entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Values that it will hold; none takes the attribute away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Why.
    pub rule: Rule,
}

fn is_default(how: &How) -> bool {
    *how == How::default()
}

impl AttributeChange {
    /// An attribute of a new entry.
    pub(crate) fn new(name: &'static str, after: Vec<String>, rule: Rule) -> Self {
        Self { name: AttributeDescription::of(name), how: How::Set, before: Vec::new(), after, rule }
    }

    /// Values that join those that are held.
    pub(crate) fn add(name: &'static str, held: Vec<String>, more: Vec<String>, rule: Rule) -> Self {
        let after = held.iter().cloned().chain(more).collect();
        Self { name: AttributeDescription::of(name), how: How::Add, before: held, after, rule }
    }

    /// The modification of RFC 4511 §4.6.
    pub(crate) fn modification(&self) -> Modification {
        let octets = |value: &String| value.clone().into_bytes();
        match self.how {
            How::Set => Modification::replace(self.name.clone(), self.after.iter().map(octets).collect()),
            How::Add => {
                let new = self.after.iter().filter(|value| !self.before.contains(value)).map(octets).collect();
                Modification::add(self.name.clone(), new)
            }
        }
    }

    /// The condition that the entry still holds the values before.
    pub(crate) fn is_as_before(&self) -> Filter {
        if self.before.is_empty() {
            return Filter::Not(Box::new(Filter::Present(self.name.clone())));
        }
        let equal = |value: &String| Filter::Equal(self.name.clone(), value.clone().into_bytes());
        Filter::And(self.before.iter().map(equal).collect())
    }
}

impl fmt::Display for AttributeChange {
    /// `sn: Roy -> Côté [column.family_name]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |values: &[String]| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
        write!(f, "{}: {} -> {} [{}]", self.name, shown(&self.before), shown(&self.after), self.rule)
    }
}

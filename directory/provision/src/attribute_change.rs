//! One attribute before and after a change, and the LDAP modification that makes the change.

use std::collections::BTreeSet;
use std::fmt;

use provost_entry::{AttributeDescription, Entry, Filter, Modification};
use serde::{Deserialize, Serialize};

use crate::{ReasonRule, text_form};

/// How an attribute is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeMode {
    /// The values of `after` replace all values held.
    #[default]
    Set,
    /// The values of `after` that are not in `before` are added. All other values stay, even those that the plan did
    /// not know.
    Add,
    /// The values of `before` are removed, and those of `after` are added. All other values stay: an attribute of many
    /// values is not written whole.
    Exchange,
}

/// One attribute of one entry: its values before and after, and the rule that leads from one to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeChange {
    /// Name of the attribute.
    #[serde(with = "text_form::attribute")]
    pub name: AttributeDescription,
    /// Whether the values of `after` replace those held or are added to them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub how: ChangeMode,
    /// Values that the directory held when the plan was made; none for a new entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Values that the entry will hold; for [`ChangeMode::Set`], an empty list removes the attribute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// The rule that leads to the values of `after`.
    pub rule: ReasonRule,
}

fn is_default(how: &ChangeMode) -> bool {
    *how == ChangeMode::default()
}

impl AttributeChange {
    /// An attribute of a new entry.
    pub(crate) fn new(name: &'static str, after: Vec<String>, rule: ReasonRule) -> Self {
        Self { name: AttributeDescription::of(name), how: ChangeMode::Set, before: Vec::new(), after, rule }
    }

    /// The change that replaces the held values, `before`, by `after`.
    pub(crate) fn set(name: &'static str, before: Vec<String>, after: Vec<String>, rule: ReasonRule) -> Self {
        Self { before, ..Self::new(name, after, rule) }
    }

    /// The change that adds the values `more` to the held ones, `before`.
    pub(crate) fn add(name: &'static str, before: Vec<String>, more: Vec<String>, rule: ReasonRule) -> Self {
        let after = before.iter().cloned().chain(more).collect();
        Self { name: AttributeDescription::of(name), how: ChangeMode::Add, before, after, rule }
    }

    /// The change that removes the values `gone` and adds the values `new`.
    pub(crate) fn exchange(name: &'static str, gone: Vec<String>, new: Vec<String>, rule: ReasonRule) -> Self {
        let name = AttributeDescription::of(name);
        Self { name, how: ChangeMode::Exchange, before: gone, after: new, rule }
    }

    /// The change as modifications of one LDAP Modify (RFC 4511 §4.6).
    pub(crate) fn modifications(&self) -> Vec<Modification> {
        let octets = |value: &String| value.clone().into_bytes();
        match self.how {
            ChangeMode::Set => vec![Modification::replace(self.name.clone(), self.after.iter().map(octets).collect())],
            ChangeMode::Add => {
                let new = self.after.iter().filter(|value| !self.before.contains(value)).map(octets).collect();
                vec![Modification::add(self.name.clone(), new)]
            }
            ChangeMode::Exchange => {
                let (gone, new) = (&self.before, &self.after);
                let delete = || Modification::delete(self.name.clone(), gone.iter().map(octets).collect());
                let add = || Modification::add(self.name.clone(), new.iter().map(octets).collect());
                let gone = (!gone.is_empty()).then(delete);
                gone.into_iter().chain((!new.is_empty()).then(add)).collect()
            }
        }
    }

    /// Whether the entry holds exactly the values of `after`; for an exchange, these and none of `before`.
    pub(crate) fn is_after_in(&self, entry: &Entry) -> bool {
        self.holds(entry, &self.after, &self.before)
    }

    /// Whether the entry holds exactly the values of `before`; for an exchange, these and none of `after`.
    pub(crate) fn is_before_in(&self, entry: &Entry) -> bool {
        self.holds(entry, &self.before, &self.after)
    }

    fn holds(&self, entry: &Entry, wanted: &[String], unwanted: &[String]) -> bool {
        let held: BTreeSet<&str> = entry.texts(self.name.as_str()).collect();
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        match self.how {
            ChangeMode::Set | ChangeMode::Add => held == wanted,
            ChangeMode::Exchange => {
                wanted.is_subset(&held) && !unwanted.iter().any(|value| held.contains(value.as_str()))
            }
        }
    }

    /// The condition that the entry still holds all values of `before`, or has no value when `before` is empty.
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
        let list = |values: &[String]| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
        if self.how == ChangeMode::Exchange {
            let (gone, new) = (list(&self.before), list(&self.after));
            return write!(f, "{}: removed {gone}; added {new} [{}]", self.name, self.rule);
        }
        write!(f, "{}: {} -> {} [{}]", self.name, list(&self.before), list(&self.after), self.rule)
    }
}

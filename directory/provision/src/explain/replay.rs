//! Takes recorded changes back, and finds the change that led to each value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use provost_entry::Entry;
use provost_schema::attr;

use super::{Batches, ExplainedOrigin, NOT_EXPLAINED, TimedRecord};
use crate::recorded_change::{RecordedChange, recorded_value};

/// An attribute of the person's entry, or of the entry of one of their addresses. Both in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueKey {
    pub(super) address: Option<String>,
    pub(super) attribute: String,
}

/// Values of all attributes at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<ValueKey, Vec<String>>);

/// The origin of each value.
pub(super) type Origins = BTreeMap<(ValueKey, String), ExplainedOrigin>;

impl ValueKey {
    pub(super) fn of_person(attribute: &str) -> Self {
        Self { address: None, attribute: attribute.to_ascii_lowercase() }
    }

    pub(super) fn of_address(address: &str, attribute: &str) -> Self {
        Self { address: Some(address.to_lowercase()), attribute: attribute.to_ascii_lowercase() }
    }

    fn of(change: &RecordedChange) -> Self {
        Self { address: change.address.clone(), attribute: change.attribute.to_ascii_lowercase() }
    }
}

impl Values {
    /// The values of the present entries.
    pub(super) fn present(person: &Entry, addresses: &[Entry]) -> Self {
        let mut values = Self::default();
        values.add(None, person);
        for entry in addresses {
            let named = entry.first(attr::PROVOST_ADDRESS).map(str::to_lowercase);
            if let Some(address) = named.or_else(|| entry.dn.rdn_value(attr::PROVOST_ADDRESS)) {
                values.add(Some(&address), entry);
            }
        }
        values
    }

    fn add(&mut self, address: Option<&str>, entry: &Entry) {
        for (name, _) in entry.attributes().filter(|(name, _)| !NOT_EXPLAINED.iter().any(|not| name.is(not))) {
            let held = entry.texts(name.as_str()).map(|value| recorded_value(name.as_str(), value)).collect();
            let key = ValueKey { address: address.map(str::to_owned), attribute: name.as_str().to_ascii_lowercase() };
            self.0.insert(key, held);
        }
    }

    pub(super) fn get(&self, key: &ValueKey) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The values of an attribute of the person.
    pub(super) fn of_person(&self, attribute: &str) -> &[String] {
        self.get(&ValueKey::of_person(attribute))
    }

    /// The first value of an attribute of the person.
    pub(super) fn first(&self, attribute: &str) -> Option<&str> {
        self.of_person(attribute).first().map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ValueKey, &Vec<String>)> {
        self.0.iter()
    }

    /// Takes back every change after `at`, newest first. Returns the attributes whose values were others than the
    /// change had left: somebody changed them outside Provost, so that their values in between are not known.
    pub(super) fn rewind(&mut self, records: &[TimedRecord<'_>], at: Timestamp) -> Vec<(ValueKey, Timestamp)> {
        let mut outside = Vec::new();
        for record in records.iter().filter(|record| record.at > at) {
            for change in record.changes.iter().rev() {
                let key = ValueKey::of(change);
                let held = self.get(&key).to_vec();
                if record.is_uncertain && !is_done(change, &held) {
                    continue;
                }
                if !is_done(change, &held) {
                    outside.push((key.clone(), record.at));
                }
                let former = before(change, held);
                if former.is_empty() {
                    self.0.remove(&key)
                } else {
                    self.0.insert(key, former)
                };
            }
        }
        outside
    }

    /// The origin of each value, by the changes up to `at`.
    pub(super) fn origins(&self, records: &[TimedRecord<'_>], at: Timestamp, batches: &Batches) -> Origins {
        let mut open: Vec<(ValueKey, String)> =
            self.iter().flat_map(|(key, values)| values.iter().map(|value| (key.clone(), value.clone()))).collect();
        let mut origins = Origins::new();
        let until_then = records.iter().filter(|record| record.at <= at);
        let mut oldest = None;
        for record in until_then {
            oldest = Some(record.record.at.clone());
            let is_creation = record.record.action == "person.create";
            open.retain(|(key, value)| {
                let found =
                    record.changes.iter().rev().find_map(|change| origin_by(record, change, key, value, batches));
                // The entry did not exist before its creation, so nothing older can have set a value.
                let outside = || ExplainedOrigin::Outside { after: Some(record.record.at.clone()), before: None };
                let origin = found.or_else(|| (is_creation && key.address.is_none()).then(outside));
                let is_open = origin.is_none();
                origins.extend(origin.map(|origin| ((key.clone(), value.clone()), origin)));
                is_open
            });
        }
        let outside = ExplainedOrigin::Outside { after: None, before: oldest };
        origins.extend(open.into_iter().map(|left| (left, outside.clone())));
        origins
    }
}

/// The origin of a value by one change; `None` when an older change must have set it.
fn origin_by(
    record: &TimedRecord<'_>,
    change: &RecordedChange,
    key: &ValueKey,
    value: &str,
    batches: &Batches,
) -> Option<ExplainedOrigin> {
    if ValueKey::of(change) != *key {
        return None;
    }
    if has(change, &change.gained(), value) {
        return Some(record.origin(change, batches));
    }
    let is_kept = change.is_whole && has(change, &change.after.iter().collect::<Vec<_>>(), value);
    let was_absent = if change.is_whole { !is_kept } else { has(change, &change.lost(), value) };
    // After this change the entry did not hold the value, so it was set later, and no later record did.
    let is_certain = was_absent && !record.is_uncertain;
    is_certain.then(|| ExplainedOrigin::Outside { after: Some(record.record.at.clone()), before: None })
}

/// Whether the values held are those that the change left.
fn is_done(change: &RecordedChange, held: &[String]) -> bool {
    let held: Vec<&String> = held.iter().collect();
    if change.is_whole {
        let after: Vec<&String> = change.after.iter().collect();
        return after.iter().all(|value| has(change, &held, value))
            && held.iter().all(|value| has(change, &after, value));
    }
    change.gained().iter().all(|value| has(change, &held, value))
        && (change.is_secret() || change.lost().iter().all(|value| !has(change, &held, value)))
}

/// The values before the change, given those after it.
fn before(change: &RecordedChange, held: Vec<String>) -> Vec<String> {
    if change.is_whole {
        return change.before.clone();
    }
    let (gained, lost) = (change.gained(), change.lost());
    let mut former: Vec<String> = held.into_iter().filter(|value| !has(change, &gained, value)).collect();
    for value in lost {
        if !has(change, &former.iter().collect::<Vec<_>>(), value) {
            former.push(value.clone());
        }
    }
    former
}

/// Whether a value is among others; addresses are compared without case.
fn has(change: &RecordedChange, values: &[&String], value: &str) -> bool {
    let is_same = |held: &&&String| {
        if change.is_of_addresses() { held.eq_ignore_ascii_case(value) } else { held.as_str() == value }
    };
    values.iter().any(|held| is_same(&held))
}

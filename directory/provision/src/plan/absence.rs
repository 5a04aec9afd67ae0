//! People whom a complete file of their source does not name.
//!
//! Absence is not departure: the first complete file that lacks a person is only counted, in a value of provostAbsence. A
//! second file, with other content and not older, confirms it: the affiliations of that source then end on the day of the
//! first one, and the lifecycle's policy says what follows. A file that names the person again takes the mark away. A
//! file that names only some people says nothing of the others.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use provost_entry::AttributeDescription;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_schema::attr;

use super::actual::DirectoryContent;
use super::change::{ChangeKind, PersonChange, Reason};
use super::people::DirectoryPerson;
use super::planner::former_id;
use crate::attribute_change::AttributeChange;
use crate::lifecycle::LifecycleRules;
use crate::source::{Coverage, Source, person_key};
use crate::wanted::{WantedState, affiliation_source};
use crate::write::{Write, WriteKind};
use crate::{ReasonRule, calendar};

/// Octets of a digest that a mark states, hex: enough to tell two files apart.
const DIGEST_OCTETS: usize = 32;
/// Files that must lack a person.
const CONFIRMED: u32 = 2;

/// The marks of the people whom the sources' complete files do not name.
pub(super) fn absences(
    wanted: &WantedState<'_>,
    actual: &DirectoryContent,
    lifecycle: &LifecycleRules,
) -> Vec<PersonChange> {
    let complete = (0u16..).zip(wanted.sources).filter(|(_, source)| source.coverage == Coverage::Complete);
    // A row whose number cannot be read may mean anybody.
    let readable = complete.filter(|(_, source)| source.unreadable == 0 && wanted.counts_absences);
    let mut changes = Vec::new();
    for (place, source) in readable {
        let file = CompleteFile::of(place, source, wanted, lifecycle);
        changes.extend(actual.people.iter().filter_map(|person| file.change(person)));
    }
    changes
}

/// A file that names everybody of its source.
struct CompleteFile<'a> {
    place: u16,
    /// Name of the source, as provostAffiliation has it.
    source: String,
    /// `source:`, the beginning of the source ids.
    prefix: String,
    digest: &'a str,
    /// When the source made the file, or the first second of today.
    extracted: Timestamp,
    hasher: RandomState,
    /// Hashes of the keys of everybody whom the file names: a million keys themselves would take 100 MB.
    named: HashSet<u64>,
    lifecycle: &'a LifecycleRules,
}

impl<'a> CompleteFile<'a> {
    fn of(place: u16, source: &'a Source, wanted: &WantedState<'_>, lifecycle: &'a LifecycleRules) -> Self {
        let (name, hasher) = (source.name.as_str(), RandomState::new());
        let key = |id: &str| hasher.hash_one(person_key(id));
        let mut named = HashSet::with_capacity(source.records.len());
        for record in &source.records {
            named.insert(key(&format!("{name}:{}", record.person_id)));
            named.extend(former_id(name, record).map(|id| key(&id)));
        }
        named.extend(source.rejected_ids.iter().map(|id| key(&format!("{name}:{id}"))));
        // Without a stated time, the day counts: with the time of planning in it, the same file would make another plan
        // each second.
        let extracted = wanted.extracted.unwrap_or_else(|| calendar::first_second(wanted.at, &lifecycle.zone));
        let digest = source.digest.get(..DIGEST_OCTETS).unwrap_or(&source.digest);
        let prefix = format!("{name}:");
        Self { place, source: affiliation_source(name), prefix, digest, extracted, hasher, named, lifecycle }
    }

    /// The change of a person whom the file should name and does not.
    fn change(&self, person: DirectoryPerson<'_>) -> Option<PersonChange> {
        if !self.lacks(person) {
            return None;
        }
        let held: Vec<String> = person.absences().map(str::to_owned).collect();
        let own = held.iter().find(|value| is_of(value, &self.source));
        let mark = self.mark(own.map(String::as_str))?;
        let is_confirmed = mark.count >= CONFIRMED;
        let mut after: Vec<String> = held.iter().filter(|value| !is_of(value, &self.source)).cloned().collect();
        after.push(mark.text(self));
        after.sort_unstable();
        let mut entry = person.to_entry();
        entry.set(
            AttributeDescription::of(attr::PROVOST_ABSENCE),
            after.iter().map(|value| value.clone().into_bytes()).collect(),
        );
        let rule = ReasonRule::Absent;
        let mut attributes = vec![AttributeChange::set(attr::PROVOST_ABSENCE, held, after, rule)];
        let label = person.mail().map_or_else(|| person.dn().to_string(), str::to_owned);
        let mut what = format!("absent {label} ({} of {CONFIRMED} files of {})", mark.count, self.source);
        if let Some(compared) = is_confirmed.then(|| self.lifecycle.compare(&entry)).flatten() {
            if let Some(former) = &compared.former_state {
                what = format!("{what}: {former} -> {}", compared.decision.state);
            }
            attributes.extend(compared.attributes);
        }
        let words = format!("the complete file of {} does not name the person", self.source);
        let action = WriteKind::ModifyPerson { csn: person.csn().map(Into::into) };
        let last_batch = person.last_batch().map(Into::into);
        let write = Write { last_batch, ..Write::new(person.dn(), action, attributes) };
        let reason = Reason { rule, words };
        Some(PersonChange { source: self.place, line: 0, what, kind: ChangeKind::Absence, reason, writes: vec![write] })
    }

    /// Whether the source knows the person, the person has an affiliation of it, and the file does not name them. A
    /// person with a role is never absent.
    fn lacks(&self, person: DirectoryPerson<'_>) -> bool {
        let mut of_source = person.sources().filter(|id| id.starts_with(&self.prefix)).peekable();
        if of_source.peek().is_none() || person.has_role() {
            return false;
        }
        let is_named = of_source.any(|id| self.named.contains(&self.hasher.hash_one(person_key(id))));
        !is_named && self.has_affiliation(person)
    }

    /// Whether an affiliation of the source stands or begins later. Somebody whose entry states none (provostAffiliation)
    /// was never named by a file: the entry was made by hand or by an earlier version, and no file can miss them.
    fn has_affiliation(&self, person: DirectoryPerson<'_>) -> bool {
        let has_ended = |end: Option<Timestamp>| end.is_some_and(|end| end < self.lifecycle.now);
        person.affiliations().iter().any(|period| period.source == self.source && !has_ended(period.end))
    }

    /// The mark after this file; `None` when the held one stays.
    fn mark(&self, held: Option<&str>) -> Option<AbsenceMark> {
        let Some(held) = held.and_then(AbsenceMark::parse) else {
            return Some(AbsenceMark { count: 1, since: self.extracted, digest: String::new() });
        };
        let confirms = held.count < CONFIRMED && held.digest != self.digest && held.since <= self.extracted;
        confirms.then(|| AbsenceMark { count: held.count + 1, ..held })
    }
}

/// What provostAbsence states besides the source.
struct AbsenceMark {
    count: u32,
    since: Timestamp,
    digest: String,
}

impl AbsenceMark {
    /// Reads `SOURCE COUNT SINCE DIGEST`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').skip(1);
        let (count, since) = (words.next()?.parse().ok()?, parse_generalized(words.next()?)?);
        Some(Self { count, since, digest: words.next().unwrap_or_default().to_owned() })
    }

    /// The value that names the file.
    fn text(&self, file: &CompleteFile<'_>) -> String {
        format!("{} {} {} {}", file.source, self.count, format_generalized(self.since), file.digest)
    }
}

/// Whether a value of provostAbsence is of this source.
pub(super) fn is_of(value: &str, source: &str) -> bool {
    value.split(' ').next() == Some(source)
}

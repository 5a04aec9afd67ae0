//! Derives the wanted state of each person and their address from sources and policies, with the origin of each value.
//!
//! Pure: the same sources, policies and moment give the same state. This module does not know the directory, so a
//! wanted address is a pattern; `plan` chooses an address that the person already has, or the first free one.

mod affiliation;
mod stated_part;

use std::collections::HashMap;

use jiff::Timestamp;
use provost_credential::Secret;

pub(crate) use self::affiliation::{WantedAffiliation, affiliation_source};
pub(crate) use self::stated_part::StatedPart;
use crate::attributes::WantedAttributes;
pub use crate::attributes::{RecordAttribute, WantedValue};
use crate::naming::{NameForms, NameParts};
use crate::source::{Column, RecordError, RecordRef, Source, SourceRecord};
use crate::{NamingPolicy, Policies};

/// Maximum number of sources of one state: a reference to a source has 16 bits.
const SOURCES_MAX: usize = u16::MAX as usize;

/// People who are derived at once, and such lots that wait for the planner.
const LOT_PEOPLE: usize = 1024;
const LOTS_WAITING: usize = 8;

/// The wanted state of all people that the sources name, as far as it is stored: see [`WantedState::people`].
#[derive(Debug)]
pub struct WantedState<'a> {
    pub(crate) sources: &'a [Source],
    pub(crate) policies: &'a Policies,
    pub(crate) at: Timestamp,
    /// Problems of the rows that the sources left out, each with the index of its source. Those of records that break a
    /// policy come with [`WantedState::for_each`].
    pub(crate) rejected: Vec<(u16, RecordError)>,
    /// Problems of fields left out, in the order of the sources.
    pub(crate) warnings: Vec<RecordError>,
    /// When the sources made their files, if somebody stated it.
    pub(crate) extracted: Option<Timestamp>,
    /// Whether people whom complete files do not name are marked.
    pub(crate) counts_absences: bool,
}

/// The wanted state of one person.
#[derive(Debug)]
pub struct WantedPerson<'a> {
    pub(crate) origin: RecordRef,
    pub(crate) record: &'a SourceRecord,
    pub(crate) source_id: String,
    pub(crate) attributes: WantedAttributes<'a>,
    pub(crate) affiliation: WantedAffiliation,
    pub(crate) address: WantedAddress,
    /// The naming rules for the person.
    pub(crate) naming: &'a NamingPolicy,
}

/// A person, or the problem of a record with the index of its source.
type DerivedPerson<'a> = Result<WantedPerson<'a>, (u16, RecordError)>;

/// The wanted login, as the forms that a pattern gives: `plan` takes the first one that is free, with a number when
/// another person has the name. Numbers are assigned in file order, and a person keeps theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedAddress {
    /// Login without number; `zoe.tremblay` becomes `zoe.tremblay2` when another person has it.
    pub base: String,
    pub(crate) forms: NameForms,
}

/// Origin of a wanted value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedOrigin<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Digest of the file that was read as the source (blake3, hex).
    pub digest: &'a str,
    /// Line of the record.
    pub line: u64,
    /// Version of the policies.
    pub policies: &'a str,
}

/// Derives the wanted state. A record that breaks a policy is left out and reported; the person that it names stays as
/// is.
///
/// Sources beyond 65,535 are ignored.
pub fn wanted<'a>(sources: &'a [Source], policies: &'a Policies, now: Timestamp) -> WantedState<'a> {
    let mut state = WantedState {
        sources,
        policies,
        at: now,
        rejected: Vec::new(),
        warnings: Vec::new(),
        extracted: None,
        counts_absences: true,
    };
    for (place, source) in numbered(sources) {
        state.warnings.extend(source.warnings.iter().cloned());
        state.rejected.extend(source.rejected.iter().map(|problem| (place, problem.clone())));
    }
    state
}

/// The sources with their indexes, as far as a reference to a source reaches.
fn numbered(sources: &[Source]) -> impl Iterator<Item = (u16, &Source)> {
    (0u16..).zip(sources.iter().take(SOURCES_MAX))
}

impl<'a> WantedPerson<'a> {
    fn of(
        record: &'a SourceRecord,
        place: u16,
        source: &Source,
        (policies, at): (&'a Policies, Timestamp),
    ) -> Result<Self, RecordError> {
        if let Some(column) = record.lacking.iter().next().filter(|_| !record.is_completed) {
            let words = "the record does not state it, and it was not completed from the directory";
            return Err(refuse(record, column, "record.incomplete", words));
        }
        if !policies.affiliations.admitted.contains(&record.affiliation) {
            return Err(refuse(
                record,
                Column::Affiliation,
                "policy.affiliation",
                "by policy this affiliation is given no account",
            ));
        }
        let naming = policies.naming_for(record.affiliation.as_str(), record.program.as_deref(), at);
        let Some(forms) = naming.login_forms(name_parts(record)) else {
            return Err(refuse(record, Column::FamilyName, "name.no-login", "no login can be made from this name"));
        };
        Ok(Self {
            origin: RecordRef { source: place, line: record.line },
            record,
            source_id: format!("{}:{}", source.name, record.person_id),
            attributes: WantedAttributes::of(record),
            affiliation: WantedAffiliation::of(record, source, policies)?,
            address: WantedAddress { base: forms.base(), forms },
            naming,
        })
    }

    /// The source's name and its number for the person: `registrar:12345`.
    pub fn source_id(&self) -> &str {
        &self.source_id
    }

    /// The record that names the person.
    pub fn origin(&self) -> RecordRef {
        self.origin
    }

    /// The wanted primary address, as a pattern.
    pub fn address(&self) -> &WantedAddress {
        &self.address
    }

    /// Every attribute that a record decides, with the wanted value and its rule.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &WantedValue<'a>)> {
        self.attributes.iter()
    }
}

impl<'a> WantedState<'a> {
    /// The same state, of files that the sources made at a stated time.
    pub(crate) fn extracted_at(self, extracted: Option<Timestamp>) -> Self {
        Self { extracted, ..self }
    }

    /// The same state, in which complete files say nothing of people whom they do not name.
    pub(crate) fn without_absences(self) -> Self {
        Self { counts_absences: false, ..self }
    }

    /// The people, in the order of the sources and of their records. Each is made when the iterator comes to it: a
    /// million of them, stored, would take 600 MB.
    pub fn people(&self) -> impl Iterator<Item = WantedPerson<'a>> {
        self.derived().filter_map(Result::ok)
    }

    /// The people, and the problems of the records that break a policy, each with the index of its source.
    fn derived(&self) -> impl Iterator<Item = DerivedPerson<'a>> {
        let (policies, at) = (self.policies, self.at);
        numbered(self.sources).flat_map(move |(place, source)| {
            let person = move |record| {
                WantedPerson::of(record, place, source, (policies, at)).map_err(|problem| (place, problem))
            };
            source.records.iter().map(person)
        })
    }

    /// Calls `each` with every person, or with the problem of the record, in the order of the records. Another thread
    /// derives the next ones meanwhile.
    pub(crate) fn for_each(&self, mut each: impl FnMut(DerivedPerson<'a>)) {
        std::thread::scope(|scope| {
            let (sender, lots) = std::sync::mpsc::sync_channel::<Vec<DerivedPerson<'a>>>(LOTS_WAITING);
            scope.spawn(move || {
                let mut people = self.derived();
                loop {
                    let lot: Vec<_> = people.by_ref().take(LOT_PEOPLE).collect();
                    if lot.is_empty() || sender.send(lot).is_err() {
                        return;
                    }
                }
            });
            lots.into_iter().flatten().for_each(&mut each);
        });
    }

    /// The moment for which the state holds.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Problems of the records left out, in the order of the sources and of their lines.
    pub fn rejected(&self) -> Vec<RecordError> {
        let mut rejected = self.rejected.clone();
        rejected.extend(self.derived().filter_map(Result::err));
        rejected.sort_by_key(|(source, problem)| (*source, problem.line));
        rejected.into_iter().map(|(_, problem)| problem).collect()
    }

    /// Origin of the values of a person of this state; `None` when this state has no such source.
    pub fn origin(&self, person: &WantedPerson<'_>) -> Option<WantedOrigin<'a>> {
        let source = self.sources.get(usize::from(person.origin.source))?;
        let policies = &self.policies.version;
        Some(WantedOrigin { source: &source.name, digest: &source.digest, line: person.origin.line, policies })
    }
}

/// The initial passwords of sources, kept apart from plans: a plan names only the records whose password is to be set.
#[derive(Debug, Default)]
pub struct InitialPasswords {
    /// Digest of each source, in the order of the sources.
    digests: Vec<String>,
    secrets: HashMap<RecordRef, Secret>,
}

impl InitialPasswords {
    /// Takes the passwords out of the sources of a state and drops everything else.
    pub fn of(sources: Vec<Source>) -> Self {
        let digests = sources.iter().map(|source| source.digest.clone()).collect();
        let mut secrets = HashMap::new();
        for (place, source) in (0u16..).zip(sources) {
            let passwords = source.records.into_iter().filter_map(|record| Some((record.line, record.password?)));
            secrets.extend(passwords.map(|(line, password)| (RecordRef { source: place, line }, password)));
        }
        Self { digests, secrets }
    }

    /// The password of a record; `None` when the record has none.
    pub(crate) fn get(&self, of: RecordRef) -> Option<&Secret> {
        self.secrets.get(&of)
    }

    /// Whether these passwords come from exactly the files from which a plan was made.
    pub(crate) fn are_of<'a>(&self, digests: impl Iterator<Item = &'a str>) -> bool {
        self.digests.iter().map(String::as_str).eq(digests)
    }
}

/// The name from which a record's login is made: the chosen given name comes before the legal one.
pub(crate) fn name_parts(record: &SourceRecord) -> NameParts<'_> {
    let chosen = record.more.as_ref().and_then(|more| more.preferred_given_name.as_deref());
    NameParts { given: chosen.unwrap_or(&record.given_name), family: &record.family_name, number: &record.person_id }
}

/// The problem that leaves out a record: a stable rule id and its words.
pub(crate) fn refuse(record: &SourceRecord, column: Column, rule: &'static str, words: &str) -> RecordError {
    RecordError::error(record.line, column, rule, words)
}

#[cfg(test)]
mod tests;

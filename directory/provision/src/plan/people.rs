//! The people of the directory, in packed form.

use std::sync::{Arc, OnceLock};

use provost_client::ReceivedEntry;
use provost_entry::{AttributeDescription, Dn, Entry};
use provost_lifecycle::{AffiliationPeriod, PERIODS_MAX};
use provost_schema::attr;

use super::dated::{SUBJECT_EN, SUBJECT_FR, TEXT_EN, TEXT_FR};
use super::index::Index;
use super::packed::{Keep, KeptAttribute, PackedEntries, PackedEntry};
use super::person_name::{PersonName, PersonNames};
use crate::attributes::{HeldAttributes, PERSON_ATTRIBUTES};
use crate::source::person_key;

/// What is kept of a person besides [`PERSON_ATTRIBUTES`]. A new attribute that planning compares or shows goes here,
/// unless a record decides it: then it goes into [`PERSON_ATTRIBUTES`]. The search asks for exactly these attributes.
/// [`DirectoryPerson`] has an accessor for each.
const FURTHER_ATTRIBUTES: [&str; 40] = [
    attr::UID,
    attr::MAIL,
    attr::MAIL_LOCAL_ADDRESS,
    attr::PROVOST_SOURCE_ID,
    attr::USER_PASSWORD,
    attr::PROVOST_ROLE,
    attr::PROVOST_LAST_BATCH,
    attr::ENTRY_CSN,
    attr::EDU_PERSON_AFFILIATION,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_START_DATE,
    attr::PROVOST_END_DATE,
    attr::PROVOST_STATE,
    attr::PROVOST_STATE_SINCE,
    attr::PROVOST_STATE_UNTIL,
    attr::PROVOST_NEXT_STATE,
    attr::PROVOST_RESTRICTION,
    attr::PROVOST_POLICY,
    attr::PROVOST_AFFILIATION,
    attr::PROVOST_ABSENCE,
    attr::PROVOST_ORIGIN,
    attr::PROVOST_EXTENSION,
    attr::PROVOST_LAST_LOGIN,
    attr::PROVOST_QUOTA_CLASS,
    attr::PROVOST_QUOTA_UNTIL,
    attr::MAIL_QUOTA,
    attr::MAIL_FORWARDING_ADDRESS,
    attr::PROVOST_FORWARD_START,
    attr::PROVOST_FORWARD_END,
    attr::MAIL_AUTO_REPLY_MODE,
    attr::MAIL_AUTO_REPLY_SUBJECT,
    attr::MAIL_AUTO_REPLY_TEXT,
    SUBJECT_FR,
    SUBJECT_EN,
    TEXT_FR,
    TEXT_EN,
    attr::VACATION_START_DATE,
    attr::VACATION_END_DATE,
    attr::PROVOST_VACATION_INTERVAL,
];

/// Attributes of which only the presence is kept.
const PRESENCE: [&str; 2] = [attr::USER_PASSWORD, attr::PROVOST_ROLE];

/// Attributes whose value is another for nearly every person. The values of all others are kept once for all people
/// who have them.
const PERSONAL: [&str; 9] = [
    attr::CN,
    attr::DISPLAY_NAME,
    attr::EMPLOYEE_NUMBER,
    attr::PROVOST_PRIVATE_MAIL,
    attr::UID,
    attr::MAIL,
    attr::MAIL_LOCAL_ADDRESS,
    attr::PROVOST_SOURCE_ID,
    attr::ENTRY_CSN,
];

/// All people of the directory, with indexes by source id, name and login.
pub(super) struct PeopleTable {
    names: Arc<PersonNames>,
    entries: PackedEntries,
    /// Name of each entry.
    own_names: Vec<PersonName>,
    /// By source id without case and leading zeros.
    by_source: Index,
    /// By name; made when the first person is looked up by name.
    by_name: OnceLock<Index>,
    /// By login in lower case; made when the first login is looked up.
    by_uid: OnceLock<Index>,
}

/// A person as the directory holds them: values in the directory's spelling.
#[derive(Clone, Copy)]
pub(super) struct DirectoryPerson<'a> {
    names: &'a PersonNames,
    entry: PackedEntry<'a>,
    pub(super) name: &'a PersonName,
    /// Place among the people.
    pub(super) place: u32,
}

/// The people who have a source id.
pub(super) enum SourceIdState<'a> {
    Nobody,
    One(DirectoryPerson<'a>),
    /// Two or more people.
    Many,
}

impl PeopleTable {
    /// Nobody. `names` converts the names of entries.
    pub(super) fn new(names: Arc<PersonNames>) -> Self {
        let keep = |name: &&'static str| match *name {
            name if PRESENCE.contains(&name) => (name, Keep::Presence),
            name if PERSONAL.contains(&name) => (name, Keep::Own),
            name => (name, Keep::Shared),
        };
        let kept: Vec<KeptAttribute> = PERSON_ATTRIBUTES.iter().chain(&FURTHER_ATTRIBUTES).map(keep).collect();
        Self {
            names,
            entries: PackedEntries::new(kept),
            own_names: Vec::new(),
            by_source: Index::default(),
            by_name: OnceLock::new(),
            by_uid: OnceLock::new(),
        }
    }

    /// The attributes that [`PeopleTable::add`] reads.
    pub(super) fn attributes() -> Vec<&'static str> {
        PERSON_ATTRIBUTES.into_iter().chain(FURTHER_ATTRIBUTES).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own_names.is_empty()
    }

    pub(super) fn add(&mut self, entry: &ReceivedEntry) {
        let Some(name) = self.names.of_text(&entry.dn) else {
            tracing::warn!(dn = entry.dn, "a person's entry without a readable name is left out");
            return;
        };
        let place = self.entries.push_entry(entry);
        for source in entry.texts(attr::PROVOST_SOURCE_ID) {
            self.by_source.insert(zeros_key(&person_key(source)), place);
        }
        self.own_names.push(name);
        (self.by_name, self.by_uid) = (OnceLock::new(), OnceLock::new());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = DirectoryPerson<'_>> {
        (0..self.own_names.len() as u32).filter_map(|place| self.at(place))
    }

    pub(super) fn at(&self, place: u32) -> Option<DirectoryPerson<'_>> {
        let (entry, name) = (self.entries.get(place)?, self.own_names.get(place as usize)?);
        Some(DirectoryPerson { names: &self.names, entry, name, place })
    }

    /// The people with the source id whose [`person_key`] is `key`.
    pub(super) fn known(&self, key: &str) -> SourceIdState<'_> {
        let has_key = |person: &DirectoryPerson<'_>| person.has_source(key);
        let mut found = self.with_number(key).filter(has_key);
        match (found.next(), found.next()) {
            (None, _) => SourceIdState::Nobody,
            (Some(person), None) => SourceIdState::One(person),
            (Some(_), Some(_)) => SourceIdState::Many,
        }
    }

    /// People with a source id that equals the one of `key` when leading zeros are ignored.
    pub(super) fn alike(&self, key: &str) -> impl Iterator<Item = DirectoryPerson<'_>> {
        let is_alike = |person: &DirectoryPerson<'_>| {
            let mut sources = person.sources();
            sources.any(|source| zeros_key(&person_key(source)) == zeros_key(key))
        };
        self.with_number(key).filter(is_alike)
    }

    fn with_number(&self, key: &str) -> impl Iterator<Item = DirectoryPerson<'_>> {
        self.by_source.places(zeros_key(key)).into_iter().filter_map(|place| self.at(place))
    }

    /// The person whose entry has this name; of several, which only a faulty directory has, the last.
    pub(super) fn named(&self, name: &PersonName) -> Option<DirectoryPerson<'_>> {
        let key = |name| self.names.key(name);
        let index = self.by_name.get_or_init(|| {
            let mut index = Index::default();
            self.iter().for_each(|person| index.insert(self.names.key(person.name), person.place));
            index
        });
        let mut found = index.places(key(name)).into_iter().rev().filter_map(|place| self.at(place));
        found.find(|person| self.names.key(person.name) == key(name))
    }

    /// A person who has this login, in lower case.
    pub(super) fn with_uid(&self, uid: &str) -> Option<DirectoryPerson<'_>> {
        let index = self.by_uid.get_or_init(|| {
            let mut index = Index::default();
            for person in self.iter() {
                person.uids().for_each(|uid| index.insert(uid.as_str(), person.place));
            }
            index
        });
        index
            .places(uid)
            .into_iter()
            .filter_map(|place| self.at(place))
            .find(|person| person.uids().any(|held| held == uid))
    }
}

impl Extend<ReceivedEntry> for PeopleTable {
    fn extend<I: IntoIterator<Item = ReceivedEntry>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.add(&entry));
    }
}

impl<'a> DirectoryPerson<'a> {
    pub(super) fn dn(self) -> Dn {
        self.names.dn(self.name)
    }

    /// The version of the entry (entryCSN), for the condition of a write.
    pub(super) fn csn(self) -> Option<&'a str> {
        self.entry.first(attr::ENTRY_CSN)
    }

    /// The batch that last wrote the entry (provostLastBatch), which an undo puts back.
    pub(super) fn last_batch(self) -> Option<&'a str> {
        self.entry.first(attr::PROVOST_LAST_BATCH)
    }

    /// The login in lower case.
    pub(super) fn uid(self) -> Option<String> {
        self.uids().next()
    }

    /// All logins in lower case. The schema permits only one.
    fn uids(self) -> impl Iterator<Item = String> {
        self.entry.texts(attr::UID).map(str::to_lowercase)
    }

    pub(super) fn mail(self) -> Option<&'a str> {
        self.entry.first(attr::MAIL)
    }

    /// All addresses in mailLocalAddress, in the directory's spelling.
    pub(super) fn local_addresses(self) -> impl Iterator<Item = &'a str> {
        self.entry.texts(attr::MAIL_LOCAL_ADDRESS)
    }

    /// The addresses in `mailLocalAddress` and `mail` in lower case, each once.
    pub(super) fn addresses(self) -> Vec<String> {
        let mut addresses: Vec<String> = Vec::new();
        for address in self.local_addresses().chain(self.mail()).map(str::to_lowercase) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// The source ids (provostSourceId), as `registrar:12345`.
    pub(super) fn sources(self) -> impl Iterator<Item = &'a str> {
        self.entry.texts(attr::PROVOST_SOURCE_ID)
    }

    /// Whether the person has the source id whose [`person_key`] is `key`.
    pub(super) fn has_source(self, key: &str) -> bool {
        self.sources().any(|source| person_key(source) == key)
    }

    pub(super) fn has_password(self) -> bool {
        self.entry.has(attr::USER_PASSWORD)
    }

    /// Whether the person has a `provostRole`.
    pub(super) fn has_role(self) -> bool {
        self.entry.has(attr::PROVOST_ROLE)
    }

    /// provostAbsence: the sources whose files lack the person.
    pub(super) fn absences(self) -> impl Iterator<Item = &'a str> {
        self.entry.texts(attr::PROVOST_ABSENCE)
    }

    /// Whether the account is closed.
    pub(super) fn is_closed(self) -> bool {
        self.entry.first(attr::PROVOST_STATE).is_some_and(|state| state.eq_ignore_ascii_case("closed"))
    }

    /// provostAffiliation, as far as values can be read.
    pub(super) fn affiliations(self) -> Vec<AffiliationPeriod> {
        let texts = self.entry.texts(attr::PROVOST_AFFILIATION);
        texts.take(PERIODS_MAX).filter_map(AffiliationPeriod::parse).collect()
    }

    /// The entry with all attributes that are kept. For the few people whose state is to be decided.
    pub(super) fn to_entry(self) -> Entry {
        let mut entry = Entry::new(self.dn());
        for (name, value) in self.entry.named_values() {
            entry.push(AttributeDescription::of(name), value.as_bytes().to_vec());
        }
        entry
    }

    /// The attributes that a record decides.
    pub(super) fn attributes(self) -> HeldAttributes<'a> {
        HeldAttributes::new(self.entry.values())
    }

    /// The least value of an attribute that a record decides.
    pub(super) fn attribute(self, name: &str) -> Option<&'a str> {
        self.entry.texts(name).min()
    }
}

/// Source and number without leading zeros, of the [`person_key`] of a source id. Equal for numbers that are equal in
/// the sense of [`crate::source::without_zeros`].
fn zeros_key(key: &str) -> (&str, &str) {
    let (source, digits) = key.split_once(':').unwrap_or(("", key));
    (source, digits.trim_start_matches('0'))
}

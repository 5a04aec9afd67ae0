//! One immutable state of the directory, with its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::{Address, Dn, Facets};
use provost_settings::{Fallback, SharedSettings, StatedEntry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::claims::ClaimIndex;
use crate::cow_map::{CowMap, MapKey, key_of};
use crate::group::{Groups, ListAddress};
use crate::guard::{EntryCounts, EntryKind};
use crate::setting::StatedSettings;
use crate::{Group, Person};

/// Login and local part of the postmaster (RFC 5321 §4.5.1).
const POSTMASTER: &str = "postmaster";

/// The kind of an address entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressKind {
    /// The address from which the person sends.
    Primary,
    /// An alias, which reaches the person in addition to the primary address.
    Alias,
    /// A former primary address, which still reaches the person.
    Retained,
    /// The address of a function, such as `helpdesk@` (RFC 2142).
    Role,
    /// An address of a list.
    List,
    /// An address that waits before it may be assigned again, and receives nothing.
    Quarantined,
}

/// What the View knows about the recipient of mail for an address.
#[derive(Clone, Debug)]
pub enum RecipientStatus {
    /// The person who receives the mail.
    Person(Arc<Person>),
    /// The list that distributes the mail, or whose owners receive it; it may have ended.
    List(Box<ListAddress>),
    /// The address certainly does not exist, or is quarantined: 550 5.1.1.
    Unknown,
    /// The View has no such domain, so mail for the domain would be relayed. This is certain only when
    /// [`crate::View::is_foreign`] is true.
    NotLocal,
    /// The account exists and accepts no mail: 550 5.2.1.
    Closed,
    /// The View cannot tell now, or does not contain the owner of the address entry: 451 4.3.0.
    Unavailable,
}

/// An address entry. It refers to its owner by DN digest, because the owner's entry may arrive later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressRecord {
    pub(crate) entry_uuid: Uuid,
    pub(crate) address: Address,
    pub(crate) kind: AddressKind,
    pub(crate) owner: Option<MapKey>,
    /// When the present owner got the address; `None` when it is not recorded.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub(crate) since: Option<Timestamp>,
    /// When the address ends for its owner; `None` for no end.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub(crate) until: Option<Timestamp>,
    /// Where mail to the address of a role goes.
    pub(crate) targets: Box<[Address]>,
}

impl AddressRecord {
    /// Whether the address receives nothing at `now`, although its entry is there.
    fn has_ended(&self, now: Timestamp) -> bool {
        let may_end = matches!(self.kind, AddressKind::Alias | AddressKind::Retained);
        self.kind == AddressKind::Quarantined || may_end && self.until.is_some_and(|until| until <= now)
    }
}

/// Whether a mailbox has had one owner since a moment (RFC 7293).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerSince {
    /// It has had its owner since then, or is the address of a role, which is a function and not a person.
    Same,
    /// It came to its owner later.
    Changed,
    /// When it came to its owner is not recorded.
    NotRecorded,
}

/// The record that one directory entry becomes.
///
/// The saved file holds these in postcard: a variant by its number, fields in order. A new variant goes to the end, and
/// existing ones never change in place: see [`crate::file`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ViewRecord {
    Person(Arc<PersonRecord>),
    Address(Arc<AddressRecord>),
    Domain(Arc<str>),
    Group(Arc<Group>),
    Setting(Arc<StatedEntry>),
    /// A container directly below the suffix, by its `ou` in lower case.
    Container(Arc<str>),
}

impl ViewRecord {
    /// Returns the key by which an entry that was deleted and created again counts as the same: its address or domain,
    /// else its DN.
    ///
    /// The key of a person is the entryUUID, so a person who was created again counts as another. Accounts are keyed by
    /// entryUUID: such a person would get new, empty mailboxes, a loss that the removal guard has to stop.
    pub(crate) fn identity(&self) -> (EntryKind, MapKey) {
        let of_dn = |dn: &str| dn_key(dn).unwrap_or_else(|| key_of(dn));
        let key = match self {
            Self::Person(record) => *record.person.entry_uuid.as_bytes(),
            Self::Address(record) => address_key(&record.address),
            Self::Domain(domain) => key_of(domain),
            Self::Group(group) => of_dn(&group.dn),
            Self::Setting(stated) => of_dn(&stated.dn),
            // The name gives the DN, because every container is directly below the suffix.
            Self::Container(name) => key_of(name),
        };
        (EntryKind::of(self), key)
    }
}

/// The served domains, each with the entryUUIDs of its entries; more than one is an error of the site.
pub(crate) type Domains = BTreeMap<Arc<str>, BTreeSet<MapKey>>;

/// A person, with the attributes that only the indexes need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PersonRecord {
    pub(crate) person: Arc<Person>,
    /// `mailLocalAddress` values other than the primary address. They receive mail unless an address entry claims them.
    pub(crate) local_addresses: Box<[Address]>,
    /// What filters of groups compare.
    pub(crate) facets: Facets,
}

/// What an address resolves to in one snapshot, however old the snapshot is.
pub(crate) enum Lookup {
    Person(Arc<Person>, AddressKind),
    /// The address is that of this group.
    List(Arc<Group>),
    /// The address has an entry, but the entry names no owner, or the owner is not in the snapshot.
    Orphan,
    Quarantined,
    Absent,
}

/// Returns the digest by which a DN is found, whatever its spelling. `None` when the text is not a DN.
pub(crate) fn dn_key(dn: &str) -> Option<MapKey> {
    Dn::parse(dn).ok().map(|dn| key_of(dn.normalised()))
}

fn address_key(address: &Address) -> MapKey {
    key_of(address.as_str())
}

fn login_key(uid: &str) -> MapKey {
    key_of(&uid.to_lowercase())
}

/// One immutable state of the directory.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The records by entryUUID; all indexes below derive from them.
    entries: CowMap<ViewRecord>,
    /// Index: DN of a person to entryUUID.
    names: ClaimIndex,
    /// Index: `uid` to entryUUID.
    logins: ClaimIndex,
    /// Index: address to entryUUID of its address entry.
    addresses: ClaimIndex,
    /// Index: address to the person whose `mail` or `mailLocalAddress` names it.
    person_addresses: ClaimIndex,
    /// Index: DN of an owner to that owner's address entries.
    owned: CowMap<Arc<[Arc<AddressRecord>]>>,
    domains: Arc<Domains>,
    groups: Arc<Groups>,
    settings: Arc<StatedSettings>,
    counts: EntryCounts,
}

impl Snapshot {
    /// Makes an empty snapshot; `fallback` applies where the directory states no setting.
    pub(crate) fn new(fallback: Fallback) -> Self {
        Self { settings: Arc::new(StatedSettings::new(fallback)), ..Self::default() }
    }

    /// Returns the settings that all nodes share, with the origin of each value. Read them where a value is needed and
    /// do not keep them: the next snapshot may hold others.
    pub fn settings(&self) -> &Arc<SharedSettings> {
        self.settings.in_force()
    }

    /// Returns the account's quota at `now`, octets: the person's own, else that of their quota class, else that of the
    /// affiliation, else the default; `None` is unlimited.
    pub fn quota(&self, person: &Person, now: Timestamp) -> Option<u64> {
        let is_own = person.quota_until.is_none_or(|until| now <= until);
        let (octets, class) = if is_own { (person.quota_octets, person.quota_class.as_deref()) } else { (None, None) };
        self.settings().quota(octets, class, person.affiliation.word())
    }

    /// Returns the group of that name, ignoring case.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.named(name).cloned()
    }

    /// Returns every group, ordered by name.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.all()
    }

    /// Returns the entryUUIDs of the group's members that are people, in no particular order.
    pub fn members(&self, group: &Group) -> Vec<Uuid> {
        let people = group.members.iter().filter_map(|member| self.names.holder(member));
        people.map(|key| Uuid::from_bytes(*key)).collect()
    }

    /// Whether the person is a member of the group.
    pub fn is_member(&self, person: &Person, group: &Group) -> bool {
        dn_key(&person.dn).is_some_and(|key| group.has(&key))
    }

    /// Returns the person with this entryUUID.
    pub fn person(&self, entry_uuid: Uuid) -> Option<Arc<Person>> {
        self.person_by_key(entry_uuid.as_bytes())
    }

    /// Returns the person with this login name: an address or `uid`, ignoring case.
    pub fn by_login(&self, name: &str) -> Option<Arc<Person>> {
        if let Some(person) = self.logins.holder(&login_key(name)).and_then(|key| self.person_by_key(key)) {
            return Some(person);
        }
        self.by_address(&Address::parse(name).ok()?).map(|(person, _)| person)
    }

    /// Returns the owner of an address, and its kind; `None` when the address is quarantined or absent, or its owner is
    /// not in the snapshot.
    pub fn by_address(&self, address: &Address) -> Option<(Arc<Person>, AddressKind)> {
        // The time is read here and not passed in: an address that has ended is nobody's for every caller.
        match self.look_up(address, Timestamp::now()) {
            Lookup::Person(person, kind) => Some((person, kind)),
            Lookup::List(_) | Lookup::Orphan | Lookup::Quarantined | Lookup::Absent => None,
        }
    }

    /// Returns all addresses that reach one person with their kinds, the primary one first; none that has ended or is in
    /// quarantine.
    pub fn addresses_of(&self, entry_uuid: Uuid) -> Vec<(Address, AddressKind)> {
        let Some(ViewRecord::Person(record)) = self.entries.get(entry_uuid.as_bytes()) else { return Vec::new() };
        let owned = dn_key(&record.person.dn).and_then(|key| self.owned.get(&key).cloned());
        let now = Timestamp::now();
        let owned = owned.iter().flat_map(|list| list.iter()).filter(|record| !record.has_ended(now));
        let mut all: Vec<_> = owned.map(|record| (record.address.clone(), record.kind)).collect();
        let of_person = [&record.person.primary].into_iter().chain(&record.local_addresses);
        let without_entry = of_person.filter(|address| self.addresses.holder(&address_key(address)).is_none());
        all.extend(without_entry.map(|address| (address.clone(), kind_without_entry(&record.person, address))));
        all.sort_by(|a, b| (a.1 != AddressKind::Primary, &a.0).cmp(&(b.1 != AddressKind::Primary, &b.0)));
        all
    }

    /// Returns the number of people.
    pub fn people(&self) -> usize {
        self.counts.of(EntryKind::Person)
    }

    /// Returns the domains served here, in alphabetical order.
    pub fn domains(&self) -> Vec<String> {
        self.domains.keys().map(|domain| domain.to_string()).collect()
    }

    /// Whether `domain` (lower case) is served here.
    pub(crate) fn serves(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }

    /// Whether the owner of `address` at `now` has had it since `moment`; `None` when the address reaches nobody.
    pub fn owner_since(&self, address: &Address, moment: Timestamp, now: Timestamp) -> Option<OwnerSince> {
        let Lookup::Person(_, kind) = self.look_up(address, now) else { return None };
        let record = self.addresses.holder(&address_key(address)).and_then(|entry| self.address_by_key(entry));
        Some(match record.map(|record| record.since) {
            Some(_) if kind == AddressKind::Role => OwnerSince::Same,
            Some(Some(since)) if since <= moment => OwnerSince::Same,
            Some(Some(_)) => OwnerSince::Changed,
            Some(None) | None => OwnerSince::NotRecorded,
        })
    }

    /// The person who gets the mail of a role: the first target that can take it, else the person whose login is
    /// `postmaster` (RFC 5321 §4.5.1). A target that is a role itself is not followed.
    fn person_of_role(&self, record: &AddressRecord, now: Timestamp) -> Option<Arc<Person>> {
        let of_target = |address: &Address| match self.addresses.holder(&address_key(address)) {
            Some(entry) if self.address_by_key(entry).is_some_and(|target| target.kind == AddressKind::Role) => None,
            _ => match self.look_up(address, now) {
                Lookup::Person(person, _) => Some(person),
                _ => None,
            },
        };
        let takes_mail = |person: &Arc<Person>| person.receives();
        let postmaster = || self.logins.holder(&login_key(POSTMASTER)).and_then(|key| self.person_by_key(key));
        record.targets.iter().filter_map(of_target).find(takes_mail).or_else(postmaster)
    }

    /// Resolves `address` at `now`: by its address entry, else by a person's `mail` or `mailLocalAddress`.
    pub(crate) fn look_up(&self, address: &Address, now: Timestamp) -> Lookup {
        let key = address_key(address);
        let Some(record) = self.addresses.holder(&key).and_then(|entry| self.address_by_key(entry)) else {
            let owner = self.person_addresses.holder(&key).and_then(|owner| self.person_by_key(owner));
            return owner.map_or(Lookup::Absent, |person| {
                let kind = kind_without_entry(&person, address);
                Lookup::Person(person, kind)
            });
        };
        if record.has_ended(now) {
            return Lookup::Quarantined;
        }
        if record.kind == AddressKind::Role && record.owner.is_none() {
            let person = self.person_of_role(record, now);
            return person.map_or(Lookup::Orphan, |person| Lookup::Person(person, AddressKind::Role));
        }
        if let Some(group) =
            record.owner.filter(|_| record.kind == AddressKind::List).and_then(|dn| self.group_by_dn(&dn))
        {
            return Lookup::List(Arc::clone(group));
        }
        let owner = record.owner.and_then(|owner| self.names.holder(&owner)).and_then(|key| self.person_by_key(key));
        owner.map_or(Lookup::Orphan, |person| Lookup::Person(person, record.kind))
    }

    /// Returns the record of the entry.
    pub(crate) fn record(&self, entry_uuid: Uuid) -> Option<&ViewRecord> {
        self.entries.get(entry_uuid.as_bytes())
    }

    /// Returns the owner of an address; `None` when the address names no owner, or while the owner's entry is absent.
    pub(crate) fn owner_of(&self, address: &AddressRecord) -> Option<Uuid> {
        address.owner.and_then(|owner| self.names.holder(&owner)).map(|key| Uuid::from_bytes(*key))
    }

    /// Returns every record, with its entryUUID.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&MapKey, &ViewRecord)> {
        self.entries.iter()
    }

    /// Returns the number of entries of each kind.
    pub(crate) fn counts(&self) -> &EntryCounts {
        &self.counts
    }

    /// Returns the number of entries of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts the entries of this snapshot that `next` lacks.
    pub(crate) fn missing_from(&self, next: &Self) -> EntryCounts {
        let mut missing = EntryCounts::default();
        for (key, record) in self.entries.iter() {
            if next.lacks(Uuid::from_bytes(*key), record) {
                missing.add(EntryKind::of(record));
            }
        }
        missing
    }

    /// Counts the people of this snapshot whose DN another entryUUID has in `next`.
    pub(crate) fn people_created_again_in(&self, next: &Self) -> usize {
        let is_created_again = |key: &MapKey, record: &ViewRecord| match record {
            ViewRecord::Person(record) => {
                let holder = dn_key(&record.person.dn).and_then(|name| next.names.holder(&name));
                next.entries.get(key).is_none() && holder.is_some()
            }
            ViewRecord::Address(_)
            | ViewRecord::Domain(_)
            | ViewRecord::Group(_)
            | ViewRecord::Setting(_)
            | ViewRecord::Container(_) => false,
        };
        self.entries.iter().filter(|(key, record)| is_created_again(key, record)).count()
    }

    /// Whether this snapshot has neither the entry, with the same kind, nor another entry that replaces it.
    pub(crate) fn lacks(&self, entry_uuid: Uuid, record: &ViewRecord) -> bool {
        self.record(entry_uuid).map(EntryKind::of) != Some(EntryKind::of(record))
            && !self.is_replaced(entry_uuid, record)
    }

    /// Whether another entry has the [`ViewRecord::identity`] of `record`, the record of `entry_uuid`: an entry that
    /// was deleted and created again has a new entryUUID. Nothing replaces a person.
    pub(crate) fn is_replaced(&self, entry_uuid: Uuid, record: &ViewRecord) -> bool {
        let key = entry_uuid.as_bytes();
        match record {
            ViewRecord::Person(_) => false,
            ViewRecord::Address(record) => self.addresses.has_other_claimant(&address_key(&record.address), key),
            ViewRecord::Domain(domain) => {
                self.domains.get(domain).is_some_and(|entries| entries.iter().any(|other| other != key))
            }
            ViewRecord::Group(group) => {
                let dn = dn_key(&group.dn);
                self.groups
                    .all_named(&group.name)
                    .any(|other| other.entry_uuid != entry_uuid && dn_key(&other.dn) == dn)
            }
            ViewRecord::Setting(stated) => {
                let dn = dn_key(&stated.dn);
                self.settings.entries().any(|(other, found)| other != key && dn_key(&found.dn) == dn)
            }
            ViewRecord::Container(name) => self
                .records()
                .any(|(other, found)| matches!(found, ViewRecord::Container(found) if other != key && found == name)),
        }
    }

    /// Whether an entry of this snapshot has the name of `record`: the DN or login of a person, the address, the
    /// domain, or the name of a group, setting or container.
    pub(crate) fn has_namesake(&self, record: &ViewRecord) -> bool {
        match record {
            ViewRecord::Person(record) => {
                let person = &record.person;
                let has_dn = dn_key(&person.dn).is_some_and(|key| self.names.holder(&key).is_some());
                has_dn || self.logins.holder(&login_key(&person.uid)).is_some()
            }
            ViewRecord::Address(record) => self.addresses.holder(&address_key(&record.address)).is_some(),
            ViewRecord::Domain(domain) => self.domains.contains_key(domain),
            ViewRecord::Group(group) => self.groups.named(&group.name).is_some(),
            ViewRecord::Setting(stated) => self.records().any(|(_, other)| match other {
                ViewRecord::Setting(other) => other.name.eq_ignore_ascii_case(&stated.name),
                _ => false,
            }),
            ViewRecord::Container(name) => {
                self.records().any(|(_, other)| matches!(other, ViewRecord::Container(other) if other == name))
            }
        }
    }

    /// Returns the entry of a list's address, whether or not it has ended.
    pub(crate) fn list_record(&self, address: &Address) -> Option<&AddressRecord> {
        let record = self.addresses.holder(&address_key(address)).and_then(|entry| self.address_by_key(entry))?;
        (record.kind == AddressKind::List).then_some(record)
    }

    /// Returns the group whose DN has this digest.
    pub(crate) fn group_by_dn(&self, dn: &MapKey) -> Option<&Arc<Group>> {
        self.groups.by_dn(dn)
    }

    /// Returns the person whose DN has this digest.
    pub(crate) fn person_by_dn(&self, dn: &MapKey) -> Option<Arc<Person>> {
        self.names.holder(dn).and_then(|key| self.person_by_key(key))
    }

    fn person_by_key(&self, key: &MapKey) -> Option<Arc<Person>> {
        match self.entries.get(key)? {
            ViewRecord::Person(record) => Some(Arc::clone(&record.person)),
            ViewRecord::Address(_)
            | ViewRecord::Domain(_)
            | ViewRecord::Group(_)
            | ViewRecord::Setting(_)
            | ViewRecord::Container(_) => None,
        }
    }

    fn address_by_key(&self, key: &MapKey) -> Option<&AddressRecord> {
        match self.entries.get(key)? {
            ViewRecord::Address(record) => Some(record),
            ViewRecord::Person(_)
            | ViewRecord::Domain(_)
            | ViewRecord::Group(_)
            | ViewRecord::Setting(_)
            | ViewRecord::Container(_) => None,
        }
    }

    /// Stores a record in place of the entry's previous one.
    pub(crate) fn insert(&mut self, entry_uuid: Uuid, record: ViewRecord) {
        let key = *entry_uuid.as_bytes();
        let record = match record {
            ViewRecord::Setting(stated) => {
                ViewRecord::Setting(self.settings.with_last_good(&key, stated, &self.domains))
            }
            other => other,
        };
        self.remove(entry_uuid);
        match &record {
            ViewRecord::Person(record) => self.index_person(key, record),
            ViewRecord::Address(record) => self.index_address(key, record),
            ViewRecord::Domain(domain) => {
                Arc::make_mut(&mut self.domains).entry(Arc::clone(domain)).or_default().insert(key);
                self.resolve_settings();
            }
            ViewRecord::Group(group) => Arc::make_mut(&mut self.groups).insert(key, Arc::clone(group)),
            ViewRecord::Setting(stated) => {
                Arc::make_mut(&mut self.settings).insert(key, Arc::clone(stated));
                self.resolve_settings();
            }
            ViewRecord::Container(_) => {}
        }
        self.counts.add(EntryKind::of(&record));
        self.entries.insert(key, record);
    }

    /// Removes an entry; returns whether it was there.
    pub(crate) fn remove(&mut self, entry_uuid: Uuid) -> bool {
        let key = *entry_uuid.as_bytes();
        let Some(record) = self.entries.remove(&key) else { return false };
        self.counts.subtract(EntryKind::of(&record));
        match record {
            ViewRecord::Person(record) => self.forget_person(&key, &record),
            ViewRecord::Address(record) => self.forget_address(&key, &record),
            ViewRecord::Domain(domain) => {
                let domains = Arc::make_mut(&mut self.domains);
                if let Some(entries) = domains.get_mut(&domain) {
                    entries.remove(&key);
                }
                if domains.get(&domain).is_some_and(BTreeSet::is_empty) {
                    domains.remove(&domain);
                    self.resolve_settings();
                }
            }
            ViewRecord::Group(group) => Arc::make_mut(&mut self.groups).remove(&key, &group),
            ViewRecord::Setting(_) => {
                Arc::make_mut(&mut self.settings).remove(&key);
                self.resolve_settings();
            }
            ViewRecord::Container(_) => {}
        }
        true
    }

    fn resolve_settings(&mut self) {
        Arc::make_mut(&mut self.settings).resolve(&self.domains);
    }

    /// Releases spare capacity after a bulk load.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink();
        self.names.shrink();
        self.logins.shrink();
        self.addresses.shrink();
        self.person_addresses.shrink();
        self.owned.shrink();
    }

    fn index_person(&mut self, key: MapKey, record: &PersonRecord) {
        if let Some(name) = dn_key(&record.person.dn) {
            self.names.insert(name, key);
        }
        self.logins.insert(login_key(&record.person.uid), key);
        for address in [&record.person.primary].into_iter().chain(&record.local_addresses) {
            self.person_addresses.insert(address_key(address), key);
        }
    }

    /// Removes the index entries of a person. Another entry that has the same login or address then holds it.
    fn forget_person(&mut self, key: &MapKey, record: &PersonRecord) {
        if let Some(name) = dn_key(&record.person.dn) {
            self.names.remove(&name, key);
        }
        self.logins.remove(&login_key(&record.person.uid), key);
        for address in [&record.person.primary].into_iter().chain(&record.local_addresses) {
            self.person_addresses.remove(&address_key(address), key);
        }
    }

    fn index_address(&mut self, key: MapKey, record: &Arc<AddressRecord>) {
        self.addresses.insert(address_key(&record.address), key);
        if let Some(owner) = record.owner {
            let before = self.owned.get(&owner).map_or(&[][..], |list| list);
            let list = before.iter().chain([record]).cloned().collect();
            self.owned.insert(owner, list);
        }
    }

    fn forget_address(&mut self, key: &MapKey, record: &AddressRecord) {
        self.addresses.remove(&address_key(&record.address), key);
        let Some(owner) = record.owner else { return };
        let before = self.owned.get(&owner).map_or(&[][..], |list| list);
        let rest: Arc<[_]> = before.iter().filter(|r| r.entry_uuid != record.entry_uuid).cloned().collect();
        if rest.is_empty() {
            self.owned.remove(&owner);
        } else {
            self.owned.insert(owner, rest);
        }
    }
}

/// Returns the kind of an address of `person` that has no entry of its own.
fn kind_without_entry(person: &Person, address: &Address) -> AddressKind {
    if person.primary == *address { AddressKind::Primary } else { AddressKind::Alias }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_settings::ValueOrigin;

    use crate::PersonState;
    use crate::testing::{address_entry, bare_person, container, domain, group, person, person_dn, setting, uuid};

    fn filled() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.insert(uuid(1), person(1, "zoe.tremblay"));
        snapshot.insert(uuid(2), person(2, "li.wei"));
        snapshot.insert(uuid(11), address_entry(11, "zoe.tremblay@example.edu", AddressKind::Primary, Some(1)));
        snapshot.insert(uuid(12), address_entry(12, "zoe.roy@example.edu", AddressKind::Retained, Some(1)));
        snapshot.insert(uuid(13), address_entry(13, "old@example.edu", AddressKind::Quarantined, None));
        snapshot.insert(uuid(14), address_entry(14, "early@example.edu", AddressKind::Primary, Some(9)));
        snapshot.insert(uuid(21), domain("example.edu"));
        snapshot
    }

    fn resolved(snapshot: &Snapshot, address: &str) -> &'static str {
        match snapshot.look_up(&Address::parse(address).unwrap(), Timestamp::UNIX_EPOCH) {
            Lookup::Person(person, _) if person.entry_uuid == uuid(1) => "zoe",
            Lookup::Person(..) => "another",
            Lookup::List(_) => "list",
            Lookup::Orphan => "orphan",
            Lookup::Quarantined => "quarantined",
            Lookup::Absent => "absent",
        }
    }

    #[test]
    fn people_are_found_by_login_and_address() {
        let snapshot = filled();
        assert_eq!(snapshot.people(), 2);
        assert_eq!(snapshot.len(), 7);
        assert_eq!(snapshot.domains(), ["example.edu"]);
        for name in ["zoe.tremblay", "ZOE.TREMBLAY", "zoe.tremblay@Example.EDU", "zoe.roy@example.edu"] {
            assert_eq!(snapshot.by_login(name).unwrap().entry_uuid, uuid(1), "{name}");
        }
        assert!(snapshot.by_login("old@example.edu").is_none());
        for (address, expect) in [
            ("zoe.tremblay@example.edu", "zoe"),
            ("zoe.roy@example.edu", "zoe"),
            ("li.wei@example.edu", "another"),
            ("old@example.edu", "quarantined"),
            ("early@example.edu", "orphan"),
            ("nobody@example.edu", "absent"),
        ] {
            assert_eq!(resolved(&snapshot, address), expect, "{address}");
        }
        let addresses = snapshot.addresses_of(uuid(1));
        assert_eq!(addresses.len(), 2);
        assert_eq!(addresses[0].1, AddressKind::Primary);
        let li = snapshot.addresses_of(uuid(2));
        let primary = Address::parse("li.wei@example.edu").unwrap();
        assert_eq!(li, [(primary, AddressKind::Primary)], "a primary address without an entry");
    }

    #[test]
    fn an_address_may_come_before_its_owner_and_outlive_it() {
        let mut snapshot = filled();
        snapshot.insert(uuid(9), person(9, "early"));
        assert_eq!(resolved(&snapshot, "early@example.edu"), "another");
        assert!(snapshot.remove(uuid(9)));
        assert_eq!(resolved(&snapshot, "early@example.edu"), "orphan");
        assert!(!snapshot.remove(uuid(9)));
    }

    #[test]
    fn an_address_that_went_to_another_entry_stays_when_the_old_one_goes() {
        let mut snapshot = filled();
        // The new entry's event arrives before the old one's deletion.
        snapshot.insert(uuid(31), address_entry(31, "zoe.roy@example.edu", AddressKind::Primary, Some(2)));
        snapshot.remove(uuid(12));
        assert_eq!(resolved(&snapshot, "zoe.roy@example.edu"), "another");
    }

    // Two entries must not have the same login, address or domain, but LDAP permits it.
    #[test]
    fn what_two_entries_claim_goes_to_the_other_when_one_gives_it_up() {
        let holds = |snapshot: &Snapshot, n: u128| {
            let address = Address::parse("twin@example.edu").unwrap();
            let by_login = snapshot.by_login("twin").map(|person| person.entry_uuid);
            let by_address = snapshot.by_address(&address).map(|(person, _)| person.entry_uuid);
            assert_eq!((by_login, by_address), (Some(uuid(n)), Some(uuid(n))));
        };
        for order in [[1, 2], [2, 1]] {
            let mut snapshot = Snapshot::default();
            for n in order {
                snapshot.insert(uuid(n), person(n, "twin"));
            }
            holds(&snapshot, 1);
            snapshot.insert(uuid(1), person(1, "zoe"));
            holds(&snapshot, 2);
            snapshot.insert(uuid(1), person(1, "twin"));
            holds(&snapshot, 1);
            snapshot.remove(uuid(1));
            holds(&snapshot, 2);
        }
        let mut snapshot = filled();
        for n in [31, 41] {
            let owner = if n == 31 { 1 } else { 2 };
            snapshot.insert(uuid(n), address_entry(n, "desk@example.edu", AddressKind::Role, Some(owner)));
            snapshot.insert(uuid(n + 1), domain("twin.example"));
        }
        assert_eq!(resolved(&snapshot, "desk@example.edu"), "zoe");
        snapshot.remove(uuid(31));
        assert_eq!(resolved(&snapshot, "desk@example.edu"), "another");
        snapshot.remove(uuid(42));
        assert!(snapshot.serves("twin.example"));
        snapshot.remove(uuid(32));
        assert!(!snapshot.serves("twin.example"));
    }

    #[test]
    fn a_mail_local_address_receives_until_an_address_entry_claims_it() {
        let mut snapshot = filled();
        let ViewRecord::Person(record) = person(1, "zoe.tremblay") else { unreachable!() };
        let local_addresses = ["z@example.edu", "old@example.edu"].map(|text| Address::parse(text).unwrap());
        let record = PersonRecord {
            person: Arc::clone(&record.person),
            local_addresses: local_addresses.into(),
            facets: Facets::default(),
        };
        snapshot.insert(uuid(1), ViewRecord::Person(Arc::new(record)));
        assert_eq!(resolved(&snapshot, "z@example.edu"), "zoe");
        assert_eq!(resolved(&snapshot, "old@example.edu"), "quarantined");
        assert_eq!(snapshot.addresses_of(uuid(1)).len(), 3);
        snapshot.insert(uuid(32), address_entry(32, "z@example.edu", AddressKind::Alias, Some(2)));
        assert_eq!(resolved(&snapshot, "z@example.edu"), "another");
        snapshot.insert(uuid(1), person(1, "zoe.tremblay"));
        snapshot.remove(uuid(32));
        assert_eq!(resolved(&snapshot, "z@example.edu"), "absent");
    }

    #[test]
    fn an_address_reaches_its_owner_until_its_end() {
        let mut snapshot = filled();
        let at = |second| Timestamp::from_second(second).unwrap();
        let dated = |n, address: &str, kind, since, until| {
            let ViewRecord::Address(record) = address_entry(n, address, kind, Some(1)) else { panic!("no address") };
            ViewRecord::Address(Arc::new(AddressRecord { since, until, ..(*record).clone() }))
        };
        let alias = dated(41, "dean@example.edu", AddressKind::Alias, Some(at(100)), Some(at(200)));
        snapshot.insert(uuid(41), alias);
        snapshot.insert(uuid(42), dated(42, "zoe@example.edu", AddressKind::Alias, None, None));
        let address = |text: &str| Address::parse(text).unwrap();
        for (second, reaches) in [(150, true), (199, true), (200, false), (201, false)] {
            let found = snapshot.look_up(&address("dean@example.edu"), at(second));
            assert_eq!(matches!(found, Lookup::Person(..)), reaches, "{second}");
            assert!(reaches || matches!(found, Lookup::Quarantined));
        }
        // RFC 7293: the sender asks whether the owner has been the same since a moment.
        for (text, moment, now, expect) in [
            ("dean@example.edu", 100, 150, Some(OwnerSince::Same)),
            ("dean@example.edu", 99, 150, Some(OwnerSince::Changed)),
            ("dean@example.edu", 150, 250, None),
            ("zoe@example.edu", 99, 150, Some(OwnerSince::NotRecorded)),
            ("nobody@example.edu", 99, 150, None),
        ] {
            assert_eq!(snapshot.owner_since(&address(text), at(moment), at(now)), expect, "{text} {moment} {now}");
        }
    }

    #[test]
    fn the_address_of_a_role_reaches_a_person() {
        let mut snapshot = filled();
        let role = |n, address: &str, targets: &[&str]| {
            let ViewRecord::Address(record) = address_entry(n, address, AddressKind::Role, None) else {
                panic!("no address")
            };
            let targets = targets.iter().map(|target| Address::parse(target).unwrap()).collect();
            ViewRecord::Address(Arc::new(AddressRecord { targets, ..(*record).clone() }))
        };
        let reached = |snapshot: &Snapshot, address: &str| match snapshot
            .look_up(&Address::parse(address).unwrap(), Timestamp::UNIX_EPOCH)
        {
            Lookup::Person(person, AddressKind::Role) => person.uid.to_string(),
            Lookup::Orphan => "nobody".to_owned(),
            _ => panic!("{address}"),
        };
        snapshot.insert(uuid(51), role(51, "abuse@example.edu", &["gone@example.edu", "zoe.tremblay@example.edu"]));
        snapshot.insert(uuid(52), role(52, "security@example.edu", &["abuse@example.edu"]));
        assert_eq!(reached(&snapshot, "abuse@example.edu"), "zoe.tremblay");
        // A role does not lead to another role, so there is no loop.
        assert_eq!(reached(&snapshot, "security@example.edu"), "nobody");
        snapshot.insert(uuid(53), person(53, "postmaster"));
        assert_eq!(reached(&snapshot, "security@example.edu"), "postmaster");
        let mut closed = bare_person(1, "zoe.tremblay");
        closed.state = PersonState::Closed;
        let record =
            PersonRecord { person: Arc::new(closed), local_addresses: Box::default(), facets: Default::default() };
        snapshot.insert(uuid(1), ViewRecord::Person(Arc::new(record)));
        assert_eq!(reached(&snapshot, "abuse@example.edu"), "postmaster");
    }

    #[test]
    fn the_spelling_of_a_dn_does_not_matter() {
        let dn = person_dn(1);
        assert_eq!(dn_key(&dn), dn_key(&dn.to_uppercase().replace(',', ", ")));
        assert_eq!(dn_key("not a dn"), None);
    }

    #[test]
    fn groups_are_found_by_name_and_have_people_as_members() {
        let mut snapshot = filled();
        snapshot.insert(uuid(31), group(31, "Help Desk", &[1, 7]));
        let desk = snapshot.group("help desk").unwrap();
        assert_eq!(snapshot.members(&desk), [uuid(1)], "7 has no entry yet");
        snapshot.insert(uuid(7), person(7, "late"));
        assert_eq!(snapshot.members(&desk).len(), 2);
        let is_member = |n| snapshot.is_member(&snapshot.person(uuid(n)).unwrap(), &desk);
        assert!(is_member(1) && is_member(7) && !is_member(2));
        // After a rename, the old name finds nothing.
        snapshot.insert(uuid(31), group(31, "Desk", &[1]));
        assert!(snapshot.group("help desk").is_none());
        snapshot.insert(uuid(32), group(32, "desk", &[2]));
        assert!(snapshot.remove(uuid(31)));
        assert_eq!(snapshot.group("DESK").unwrap().entry_uuid, uuid(32));
        assert_eq!(snapshot.groups().count(), 1);
    }

    #[test]
    fn a_bad_value_leaves_the_last_good_one_in_force() {
        let mut fallback = Fallback::default();
        fallback.add("removal-guard", "directory.removal_guard_percent", "30").unwrap();
        let mut snapshot = Snapshot::new(fallback);
        let guard = |snapshot: &Snapshot| {
            let settings = snapshot.settings();
            (settings.removal_guard, settings.faults().len())
        };
        let dn = "cn=removal-guard,ou=policies,dc=example,dc=edu".to_owned();
        assert_eq!(guard(&snapshot), (30, 0));
        snapshot.insert(uuid(1), setting("removal-guard", "5"));
        assert_eq!(guard(&snapshot), (5, 0));
        for bad in ["500", "many", "0"] {
            snapshot.insert(uuid(1), setting("removal-guard", bad));
            assert_eq!(guard(&snapshot), (5, 1), "{bad}");
            assert_eq!(snapshot.settings().origin("removal-guard"), ValueOrigin::LastGood(dn.clone()));
        }
        // Another entry of the same name, as after a refill of the directory, before the old one is known to be gone.
        snapshot.insert(uuid(2), setting("removal-guard", "many"));
        snapshot.remove(uuid(1));
        assert_eq!(guard(&snapshot), (5, 1));
        snapshot.insert(uuid(2), setting("removal-guard", "7"));
        assert_eq!(guard(&snapshot), (7, 0));
        snapshot.remove(uuid(2));
        assert_eq!(guard(&snapshot), (30, 0), "a deleted entry still applies");
    }

    #[test]
    fn the_mail_domain_is_one_of_the_served_ones() {
        let mut snapshot = Snapshot::default();
        let in_force =
            |snapshot: &Snapshot| (snapshot.settings().mail_domain.clone(), snapshot.settings().faults().len());
        snapshot.insert(uuid(1), setting("mail-domain", "old.example"));
        assert_eq!(in_force(&snapshot), ("old.example".into(), 0), "refused while no domain is known");
        for (n, name) in [(21, "example.edu"), (22, "old.example")] {
            snapshot.insert(uuid(n), domain(name));
        }
        assert_eq!(in_force(&snapshot), ("old.example".into(), 0));
        snapshot.insert(uuid(1), setting("mail-domain", "nowhere.example"));
        assert_eq!(in_force(&snapshot), ("old.example".into(), 1), "not the last good one");
        snapshot.insert(uuid(23), domain("nowhere.example"));
        assert_eq!(in_force(&snapshot), ("nowhere.example".into(), 0), "refused although the domain is served now");
        snapshot.remove(uuid(23));
        assert_eq!(in_force(&snapshot), ("old.example".into(), 1));
    }

    #[test]
    fn too_many_settings_are_not_read() {
        let mut snapshot = Snapshot::default();
        for n in 0..400 {
            snapshot.insert(uuid(n), setting(&format!("unknown-{n}"), "1"));
        }
        assert_eq!(snapshot.settings().faults().len(), provost_settings::SETTINGS_MAX);
    }

    #[test]
    fn an_entry_of_the_same_kind_and_name_replaces_another_but_for_a_person() {
        let people = [person(1, "zoe"), person(1, "zoe")];
        for (records, is_replaced) in [
            (people, false),
            (["a@example.edu", "A@Example.edu"].map(|a| address_entry(1, a, AddressKind::Alias, None)), true),
            (["a@example.edu", "b@example.edu"].map(|a| address_entry(1, a, AddressKind::Alias, None)), false),
            (["example.edu"; 2].map(domain), true),
            (["example.edu", "example.com"].map(domain), false),
            ([group(1, "Desk", &[1]), group(2, "desk", &[2])], true),
            ([group(1, "desk", &[1]), group(2, "board", &[1])], false),
            ([setting("time-zone", "Europe/Paris"), setting("time-zone", "UTC")], true),
            ([setting("time-zone", "UTC"), setting("retry-max", "60")], false),
            (["policies"; 2].map(container), true),
            (["policies", "people"].map(container), false),
            ([domain("people"), container("people")], false),
        ] {
            let [old, new] = records;
            let mut snapshot = Snapshot::default();
            snapshot.insert(uuid(1), old.clone());
            assert!(!snapshot.is_replaced(uuid(1), &old) && !snapshot.lacks(uuid(1), &old), "{old:?} by itself");
            snapshot.insert(uuid(2), new.clone());
            assert_eq!(snapshot.is_replaced(uuid(1), &old), is_replaced, "{old:?} by {new:?}");
            snapshot.remove(uuid(1));
            assert_eq!(snapshot.lacks(uuid(1), &old), !is_replaced, "{old:?} by {new:?}");
            // Both records of the person have one entryUUID: their identities are equal, but nothing is replaced.
            if !matches!(old, ViewRecord::Person(_)) {
                assert_eq!(old.identity() == new.identity(), is_replaced, "{old:?} and {new:?}");
            }
        }
    }

    #[test]
    fn a_copy_does_not_change_with_its_original() {
        let mut snapshot = filled();
        let copy = snapshot.clone();
        snapshot.remove(uuid(1));
        assert_eq!(copy.missing_from(&snapshot).of(EntryKind::Person), 1);
        assert_eq!(resolved(&copy, "zoe.tremblay@example.edu"), "zoe");
        assert_eq!((copy.people(), snapshot.people()), (2, 1));
    }
}

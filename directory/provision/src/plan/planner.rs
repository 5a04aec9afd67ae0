//! Plans one person after the other: the entry in the directory, the address, and the changes.

use std::collections::{HashMap, HashSet};

use provost_entry::{Address, AttributeDescription, Entry};
use provost_lifecycle::AffiliationPeriod;
use provost_schema::attr;
use uuid::Uuid;

use super::actual::DirectoryContent;
use super::change::{ChangeKind, PersonChange, Reason};
use super::people::{DirectoryPerson, SourceIdState};
use super::person_name::PersonName;
use crate::attribute_change::{AttributeChange, ChangeMode};
use crate::lifecycle::LifecycleRules;
use crate::naming::{is_numbered, numbered};
use crate::source::{Column, RecordError, person_key, without_zeros};
use crate::wanted::{WantedPerson, WantedState, refuse};
use crate::write::{AddressKind, NEW_STATE, Write, WriteKind};
use crate::{NamingPolicy, ReasonRule, SourceRecord, tree};

/// Namespace of person ids (RFC 9562 §5.5), which must never change: a source id always gives the same DN, so that a
/// repeated import finds the entries of an interrupted one.
const PERSON_NAMESPACE: Uuid = uuid::uuid!("b1f0a2f4-6c1d-4f0e-9a77-2f7a1f3c5d88");

/// The provostPersonId of the person that has `source_id`.
pub(crate) fn person_uuid(source_id: &str) -> Uuid {
    Uuid::new_v5(&PERSON_NAMESPACE, person_key(source_id).as_bytes())
}

/// Plans people in the order of the records and remembers the addresses that this plan gives.
pub(super) struct Planner<'a> {
    naming: &'a NamingPolicy,
    lifecycle: LifecycleRules,
    actual: &'a DirectoryContent,
    given: HashSet<String>,
    /// For each base of [`numbered`], the lowest number that may be free. No number becomes free while planning, so a
    /// thousand people of one name cost about a thousand look-ups, not half a million.
    next_number: HashMap<String, u32>,
    /// Records of new people of this plan, by their numbers without leading zeros.
    new_people: HashMap<String, Vec<&'a SourceRecord>>,
}

/// The address that results from a person's name.
struct ChosenAddress {
    address: Address,
    /// Whether an address entry must be made.
    needs_entry: bool,
    rule: ReasonRule,
}

impl<'a> Planner<'a> {
    pub(super) fn new(wanted: &WantedState<'a>, actual: &'a DirectoryContent) -> Self {
        Self {
            naming: &wanted.policies.naming,
            lifecycle: LifecycleRules {
                policies: wanted.policies.lifecycle.clone(),
                zone: wanted.policies.time_zone.clone(),
                now: wanted.at,
            },
            actual,
            given: HashSet::new(),
            next_number: HashMap::new(),
            new_people: HashMap::new(),
        }
    }

    /// The change that brings a person to the wanted state; `None` when there is nothing to change.
    pub(super) fn change(&mut self, wanted: &WantedPerson<'a>) -> Result<Option<PersonChange>, RecordError> {
        let key = person_key(&wanted.source_id);
        match self.actual.known(&key, || PersonName::OfId(person_uuid(&wanted.source_id))) {
            SourceIdState::Nobody => self.create(wanted).map(Some),
            SourceIdState::One(person) if self.is_somebody_else(wanted, person) => {
                let rule = "the directory has another family name and birth date for this number: was it reassigned?";
                Err(refuse(wanted.record, Column::PersonId, rule))
            }
            SourceIdState::One(person) => self.update(wanted, &key, person),
            SourceIdState::Many => {
                Err(refuse(wanted.record, Column::PersonId, "two people in the directory have this number"))
            }
        }
    }

    fn create(&mut self, wanted: &WantedPerson<'a>) -> Result<PersonChange, RecordError> {
        self.check_zeros(wanted)?;
        let id = person_uuid(&wanted.source_id);
        let name = PersonName::OfId(id);
        let choice = self.choose(wanted, &name, None)?;
        let record = wanted.record;
        let what = format!(
            "create {} ({} {}, {})",
            choice.address,
            record.given_name,
            record.family_name,
            record.affiliation.as_str()
        );
        let reason = Reason {
            rule: ReasonRule::UnknownPerson,
            words: format!("no person in the directory has the number {}", wanted.source_id),
        };
        let attributes = self.new_person(wanted, id, &choice);
        let mut writes = self.settle_kinds(&name, &choice.address, choice.needs_entry.then_some(choice.rule));
        let password = record.password.is_some().then_some(wanted.origin);
        // Write the address before the person: of two concurrent imports, only one gets the address. The other then
        // leaves no person without an address, and an address without a person is harmless.
        let dn = tree::person(self.actual.suffix(), id);
        writes.before.push(Write { password, ..Write::new(dn, WriteKind::AddPerson, attributes) });
        Ok(change(wanted, what, ChangeKind::Create, reason, writes))
    }

    /// Refuses a new person who has the name and birth date of another, and the same number but for leading zeros:
    /// probably a spreadsheet has removed them.
    fn check_zeros(&mut self, wanted: &WantedPerson<'a>) -> Result<(), RecordError> {
        let (record, naming) = (wanted.record, self.naming);
        let folds_alike = |name: &str, other: &str| naming.fold(name) == naming.fold(other);
        let is_same_person = |person: &DirectoryPerson<'_>| {
            folds_alike(given_name(*person), &record.given_name)
                && folds_alike(family_name(*person), &record.family_name)
                && person.attribute(attr::SCHAC_DATE_OF_BIRTH) == record.birth_date.as_deref()
        };
        if let Some(known) = self.actual.people.alike(&person_key(&wanted.source_id)).find(is_same_person) {
            let rule = format!(
                "probably {}, who has the same name and birth date and a number that differs in leading zeros only",
                known.mail().unwrap_or("a person in the directory")
            );
            return Err(refuse(record, Column::PersonId, &rule));
        }
        let same_number = self.new_people.entry(without_zeros(&wanted.source_id)).or_default();
        let is_recorded_person = |other: &&&SourceRecord| {
            folds_alike(&other.given_name, &record.given_name)
                && folds_alike(&other.family_name, &record.family_name)
                && other.birth_date == record.birth_date
        };
        if let Some(other) = same_number.iter().find(is_recorded_person) {
            let rule = format!("probably the person of line {}: the numbers differ in leading zeros only", other.line);
            return Err(refuse(record, Column::PersonId, &rule));
        }
        same_number.push(record);
        Ok(())
    }

    fn new_person(&self, wanted: &WantedPerson<'_>, id: Uuid, choice: &ChosenAddress) -> Vec<AttributeChange> {
        let one = |name, value: &str, rule| AttributeChange::new(name, vec![value.to_owned()], rule);
        let address = choice.address.as_str();
        let mut attributes = vec![
            one(attr::PROVOST_PERSON_ID, &id.to_string(), ReasonRule::PersonId),
            one(attr::PROVOST_SOURCE_ID, &wanted.source_id, ReasonRule::SourceNumber),
            one(attr::UID, choice.address.local(), ReasonRule::Login),
            one(attr::MAIL, address, choice.rule),
            one(attr::MAIL_LOCAL_ADDRESS, address, choice.rule),
        ];
        let held = self.actual.held_by(&PersonName::OfId(id)).into_iter().map(|held| held.address.into_owned());
        let old_addresses: Vec<String> = held.filter(|held| *held != address).collect();
        if !old_addresses.is_empty() {
            attributes.push(AttributeChange::new(attr::MAIL_LOCAL_ADDRESS, old_addresses, ReasonRule::KeptAddress));
        }
        attributes.extend(wanted.attributes.of_new_person());
        let dn = tree::person(self.actual.suffix(), id);
        let affiliations = self.affiliation_changes(wanted, &[], || Entry::new(dn));
        let has_state = affiliations.iter().any(|change| change.name.is(attr::PROVOST_STATE));
        attributes.extend(affiliations);
        if !has_state {
            attributes.push(one(attr::PROVOST_STATE, NEW_STATE, ReasonRule::NewAccount));
        }
        attributes
    }

    /// The changes that follow from the affiliation of a record: the affiliation itself, and what the lifecycle makes of
    /// it. None when the person has this affiliation already. `entry` makes the person's entry as it is.
    fn affiliation_changes(
        &self,
        wanted: &WantedPerson<'_>,
        held: &[AffiliationPeriod],
        entry: impl FnOnce() -> Entry,
    ) -> Vec<AttributeChange> {
        let periods = wanted.affiliation.among(held);
        let values = |periods: &[AffiliationPeriod]| periods.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (mut before, after) = (values(held), values(&periods));
        before.sort_unstable();
        if before == after {
            return Vec::new();
        }
        let mut entry = entry();
        let name = AttributeDescription::of(attr::PROVOST_AFFILIATION);
        entry.set(name.clone(), after.iter().map(|value| value.clone().into_bytes()).collect());
        let rule = ReasonRule::Column(Column::Affiliation);
        let stated = AttributeChange { name, how: ChangeMode::Set, before, after, rule };
        let mut changes = vec![stated];
        if let Some(compared) = self.lifecycle.compare(&entry) {
            let is_of_record = compared.decision.period().source == wanted.affiliation.source();
            let with_rule = |change| if is_of_record { with_column(change) } else { change };
            changes.extend(compared.attributes.into_iter().map(with_rule));
        }
        changes
    }

    fn update(
        &mut self,
        wanted: &WantedPerson<'_>,
        key: &str,
        person: DirectoryPerson<'_>,
    ) -> Result<Option<PersonChange>, RecordError> {
        let mut attributes = wanted.attributes.changes(&person.attributes());
        attributes.extend(self.affiliation_changes(wanted, &person.affiliations(), || person.to_entry()));
        let primary = person.mail().and_then(|mail| Address::parse(mail).ok());
        let is_renamed = self.is_renamed(wanted, person, primary.as_ref());
        let mut writes = OrderedWrites::default();
        let mut label = primary.as_ref().map_or_else(|| wanted.record.person_id.clone(), Address::to_string);
        if is_renamed {
            let choice = self.choose(wanted, person.name, person.uid().as_deref())?;
            label = format!("{label} -> {}", choice.address);
            attributes.extend(new_primary(person, &choice));
            writes = self.settle_kinds(person.name, &choice.address, choice.needs_entry.then_some(choice.rule));
        } else if let Some(primary) = &primary {
            writes =
                self.settle_kinds(person.name, primary, self.lacks_entry(primary).then_some(ReasonRule::AddressEntry));
        }
        if !person.has_source(key) {
            let sources = person.sources().map(str::to_owned).collect();
            let more = vec![wanted.source_id.clone()];
            attributes.push(AttributeChange::add(attr::PROVOST_SOURCE_ID, sources, more, ReasonRule::SourceNumber));
        }
        // An import sets no password for a person with a role: a registrar must not choose an administrator's password.
        let is_to_get_one = !person.has_password() && !person.has_role();
        let password = (wanted.record.password.is_some() && is_to_get_one).then_some(wanted.origin);
        if attributes.is_empty() && password.is_none() && writes.is_empty() {
            return Ok(None);
        }
        let (kind, reason) = reason(wanted, person, is_renamed, &attributes);
        let what = describe(is_renamed, &label, &attributes, password.is_some(), &writes);
        if !attributes.is_empty() || password.is_some() {
            let action = WriteKind::ModifyPerson { csn: person.csn().map(Into::into) };
            let last_batch = person.last_batch().map(Into::into);
            writes.before.push(Write { last_batch, password, ..Write::new(person.dn(), action, attributes) });
        }
        Ok(Some(change(wanted, what, kind, reason, writes)))
    }

    /// Whether the person needs another primary address. A person without one does. Otherwise the address is kept when
    /// its local part is the wanted base, with or without a number, or when the name in the directory folds to that
    /// base too: a change of accents alone keeps the address.
    fn is_renamed(&self, wanted: &WantedPerson<'_>, person: DirectoryPerson<'_>, primary: Option<&Address>) -> bool {
        let base = wanted.address.base.as_str();
        let Some(held) = primary else { return true };
        let of_held_name = || self.naming.login_base(given_name(person), family_name(person));
        !is_numbered(held.local(), base) && of_held_name().as_deref() != Some(base)
    }

    /// The address for a name: one that the person already holds, or the first numbered one that is free.
    fn choose(
        &mut self,
        wanted: &WantedPerson<'_>,
        name: &PersonName,
        own_uid: Option<&str>,
    ) -> Result<ChosenAddress, RecordError> {
        let (domain, base) = (&self.naming.domain, wanted.address.base.as_str());
        let own = self.actual.held_by(name).into_iter();
        let own = own.filter_map(|held| Some((Address::parse(&held.address).ok()?, held.has_entry)));
        let own = own.filter(|(held, _)| held.domain() == domain && is_numbered(held.local(), base));
        // A reserved address that the person also receives, such as postmaster's, does not become the primary one.
        let own = own.filter(|(held, _)| !self.naming.is_reserved(held.local()));
        // The shortest one has the lowest number.
        if let Some((address, has_entry)) = own.min_by_key(|(held, _)| (held.as_str().len(), held.clone())) {
            return Ok(ChosenAddress { needs_entry: !has_entry, address, rule: ReasonRule::KeptAddress });
        }
        let mut number = self.next_number.get(base).copied().unwrap_or(1);
        loop {
            let local = numbered(base, number);
            let address = Address::from_parts(&local, domain).map_err(|error| {
                refuse(wanted.record, Column::FamilyName, &format!("no address can be made: {error}"))
            })?;
            let is_login_free = !self.actual.people.has_uid(&local) || own_uid == Some(&local);
            if self.is_free(&address) && is_login_free {
                self.next_number.insert(base.to_owned(), number + 1);
                self.given.insert(address.as_str().to_owned());
                return Ok(ChosenAddress { address, needs_entry: true, rule: ReasonRule::PrimaryAddress });
            }
            number += 1;
        }
    }

    fn is_free(&self, address: &Address) -> bool {
        !self.naming.is_reserved(address.local())
            && !self.actual.has_address(address.as_str())
            && !self.given.contains(address.as_str())
    }

    /// Whether an address that a person holds is in the site's domain but has no address entry. An import always writes
    /// one, so the person was written by other means.
    fn lacks_entry(&self, address: &Address) -> bool {
        address.domain() == self.naming.domain && !self.actual.addresses.contains(address.as_str())
    }

    /// The writes that make `primary` the only primary address of its owner; `new_entry` is the rule that asks for a
    /// new address entry. `primary` becomes primary before the person is written, and former ones become aliases
    /// afterwards: no write leaves the person's `mail` without a primary address entry.
    fn settle_kinds(&self, owner: &PersonName, primary: &Address, new_entry: Option<ReasonRule>) -> OrderedWrites {
        let (mut writes, suffix) = (OrderedWrites::default(), self.actual.suffix());
        let kind = AddressKind::Primary;
        if let Some(rule) = new_entry {
            writes.before.push(Write::add_address(suffix, primary, &self.actual.dn(owner), kind, rule));
        }
        for held in self.actual.addresses.of_owner(owner) {
            let Ok(address) = Address::parse(held.address) else { continue };
            let (held_kind, last_batch) = (held.kind, held.last_batch.map(Into::into));
            let is_primary = held_kind == kind.as_str();
            if address == *primary && !is_primary {
                let rule = ReasonRule::PrimaryAddress;
                writes.before.push(Write::set_kind(suffix, &address, held_kind, kind, last_batch, rule));
            } else if address != *primary && is_primary {
                let (alias, rule) = (AddressKind::Alias, ReasonRule::KeptAddress);
                writes.after.push(Write::set_kind(suffix, &address, held_kind, alias, last_batch, rule));
            }
        }
        writes
    }

    /// Whether the source has given the number to another person: birth date and family name both differ. A single
    /// difference counts as a correction.
    fn is_somebody_else(&self, wanted: &WantedPerson<'_>, person: DirectoryPerson<'_>) -> bool {
        let born = person.attribute(attr::SCHAC_DATE_OF_BIRTH);
        let birth_date = wanted.record.birth_date.as_deref();
        let other_birth = matches!((born, birth_date), (Some(held), Some(stated)) if held != stated);
        other_birth && self.naming.fold(family_name(person)) != self.naming.fold(&wanted.record.family_name)
    }
}

/// The writes of one person in order.
#[derive(Default)]
struct OrderedWrites {
    /// Writes to address entries, then the write to the person's entry.
    before: Vec<Write>,
    /// Writes to address entries after the person's entry is written.
    after: Vec<Write>,
}

impl OrderedWrites {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    fn all(mut self) -> Vec<Write> {
        self.before.append(&mut self.after);
        self.before
    }
}

fn given_name(person: DirectoryPerson<'_>) -> &str {
    person.attribute(attr::GIVEN_NAME).unwrap_or_default()
}

fn family_name(person: DirectoryPerson<'_>) -> &str {
    person.attribute(attr::SN).unwrap_or_default()
}

fn change(
    wanted: &WantedPerson<'_>,
    what: String,
    kind: ChangeKind,
    reason: Reason,
    writes: OrderedWrites,
) -> PersonChange {
    PersonChange { source: wanted.origin.source, line: wanted.origin.line, what, kind, reason, writes: writes.all() }
}

/// Names the column as the rule of a value that a record states and the lifecycle only passes on.
fn with_column(change: AttributeChange) -> AttributeChange {
    const COLUMNS: [(&str, Column); 3] = [
        (attr::PROVOST_PROGRAM, Column::Program),
        (attr::PROVOST_START_DATE, Column::StartDate),
        (attr::PROVOST_END_DATE, Column::EndDate),
    ];
    match COLUMNS.iter().find(|(name, _)| change.name.is(name)) {
        Some((_, column)) if change.after.is_empty() => AttributeChange { rule: ReasonRule::Blank(*column), ..change },
        Some((_, column)) => AttributeChange { rule: ReasonRule::Column(*column), ..change },
        None => change,
    }
}

/// The changes of `mail` and `mailLocalAddress` for a new primary address; the former one stays among the person's
/// addresses.
fn new_primary(person: DirectoryPerson<'_>, choice: &ChosenAddress) -> Vec<AttributeChange> {
    let address = choice.address.as_str();
    let before = person.mail().map(str::to_owned).into_iter().collect();
    let mail = AttributeChange { before, ..AttributeChange::new(attr::MAIL, vec![address.to_owned()], choice.rule) };
    let local_addresses: Vec<String> = person.local_addresses().map(str::to_owned).collect();
    let mut missing = vec![address.to_owned()];
    missing.extend(person.mail().map(str::to_lowercase));
    missing.retain(|missing| !local_addresses.iter().any(|held| held.to_lowercase() == *missing));
    if missing.is_empty() {
        return vec![mail];
    }
    vec![mail, AttributeChange::add(attr::MAIL_LOCAL_ADDRESS, local_addresses, missing, ReasonRule::KeptAddress)]
}

fn reason(
    wanted: &WantedPerson<'_>,
    person: DirectoryPerson<'_>,
    is_renamed: bool,
    attributes: &[AttributeChange],
) -> (ChangeKind, Reason) {
    let has_primary = person.mail().is_some_and(|mail| Address::parse(mail).is_ok());
    if is_renamed {
        let (record, given, family) = (wanted.record, given_name(person), family_name(person));
        let (rule, words) = if has_primary {
            let words = format!("the name {given} {family} became {} {}", record.given_name, record.family_name);
            (ReasonRule::NameChanged, words)
        } else {
            (ReasonRule::PrimaryAddress, "the person has no primary address".to_owned())
        };
        return (ChangeKind::Rename, Reason { rule, words });
    }
    let (rule, words) = if attributes.is_empty() {
        (
            ReasonRule::AddressEntry,
            "an address entry is missing or of another kind, or the person has no password".to_owned(),
        )
    } else {
        (ReasonRule::RecordDiffers, format!("the record of {} differs from the directory", wanted.source_id))
    };
    (ChangeKind::Update, Reason { rule, words })
}

fn describe(
    is_renamed: bool,
    label: &str,
    attributes: &[AttributeChange],
    has_password: bool,
    address_writes: &OrderedWrites,
) -> String {
    let mut names: Vec<&str> = attributes.iter().map(|change| change.name.as_str()).collect();
    names.retain(|name| *name != attr::MAIL && *name != attr::MAIL_LOCAL_ADDRESS);
    if has_password {
        names.push(attr::USER_PASSWORD);
    }
    if !address_writes.is_empty() && !is_renamed {
        names.push("address entries");
    }
    format!("{} {label} ({})", if is_renamed { "rename" } else { "update" }, names.join(", "))
}

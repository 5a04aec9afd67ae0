//! Plans one person after the other: the entry in the directory, the address, and the changes.

use std::collections::HashMap;

use provost_entry::{Address, Entry};
use provost_lifecycle::AffiliationPeriod;
use provost_schema::attr;
use uuid::Uuid;

use super::absence::is_of;
use super::actual::DirectoryContent;
use super::addresses::AddressEntry;
use super::change::{ChangeKind, PersonChange, Reason};
use super::dated::{dated_changes, states_dated_values};
use super::names::{AddressSource, ChosenAddress, ChosenNames, NameChooser, NamingSubject, keeps_address};
use super::people::{DirectoryPerson, SourceIdState};
use super::person_name::PersonName;
use super::suspects::Suspects;
use crate::attribute_change::AttributeChange;
use crate::calendar::last_second;
use crate::lifecycle::LifecycleRules;
use crate::naming::{NameForms, NameParts};
use crate::source::{Column, RecordError, Source, check_source_name, person_key, without_zeros};
use crate::wanted::{WantedPerson, WantedState, name_parts, refuse};
use crate::write::{AddressKind, NEW_STATE, Write, WriteKind};
use crate::{NamingPolicy, ReasonRule, SourceRecord, tree};

/// Namespace of person ids (RFC 9562 §5.5), which must never change: a source id always gives the same DN, so that a
/// repeated import finds the entries of an interrupted one.
const PERSON_NAMESPACE: Uuid = uuid::uuid!("b1f0a2f4-6c1d-4f0e-9a77-2f7a1f3c5d88");

/// The provostPersonId of the person that has `source_id`.
pub(crate) fn person_uuid(source_id: &str) -> Uuid {
    Uuid::new_v5(&PERSON_NAMESPACE, person_key(source_id).as_bytes())
}

/// The source id under which the source or another one knew the person of a record before.
pub(super) fn former_id(source: &str, record: &SourceRecord) -> Option<String> {
    let former = record.former_person_id()?;
    let is_qualified = former.split_once(':').is_some_and(|(source, _)| check_source_name(source).is_ok());
    Some(if is_qualified { former.to_owned() } else { format!("{source}:{former}") })
}

/// Plans people in the order of the records and remembers the addresses that this plan gives.
pub(super) struct Planner<'a> {
    naming: &'a NamingPolicy,
    lifecycle: LifecycleRules,
    actual: &'a DirectoryContent,
    names: NameChooser<'a>,
    /// Records of new people of this plan, by their numbers without leading zeros.
    new_people: HashMap<String, Vec<&'a SourceRecord>>,
    sources: &'a [Source],
    suspects: Suspects<'a>,
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
            names: NameChooser::new(actual),
            new_people: HashMap::new(),
            sources: wanted.sources,
            suspects: Suspects::new(&wanted.policies.naming, actual),
        }
    }

    /// The rules by which the states of people are decided.
    pub(super) fn lifecycle(&self) -> &LifecycleRules {
        &self.lifecycle
    }

    /// The change that brings a person to the wanted state; `None` when there is nothing to change.
    pub(super) fn change(&mut self, wanted: &WantedPerson<'a>) -> Result<Option<PersonChange>, RecordError> {
        let key = person_key(&wanted.source_id);
        let former = self.former(wanted)?;
        match (self.actual.known(&key, || PersonName::OfId(person_uuid(&wanted.source_id))), former) {
            (SourceIdState::Nobody, None) => self.create(wanted).map(Some),
            (SourceIdState::Nobody, Some(person)) => {
                self.check_not_reassigned(wanted, person, Column::FormerPersonId)?;
                self.check_not_swapped(wanted, person)?;
                self.update(wanted, &key, person)
            }
            (SourceIdState::One(person), Some(former)) if person.place != former.place => {
                let words = "the directory has one person with this number and another one with the former number: \
                             which of them stays must be decided by hand";
                Err(refuse(wanted.record, Column::FormerPersonId, "number.two-people", words))
            }
            (SourceIdState::One(person), _) => {
                self.check_not_reassigned(wanted, person, Column::PersonId)?;
                self.check_not_swapped(wanted, person)?;
                self.update(wanted, &key, person)
            }
            (SourceIdState::Many, _) => {
                let words = "two people in the directory have this number";
                Err(refuse(wanted.record, Column::PersonId, "number.ambiguous", words))
            }
        }
    }

    /// The person whom the directory knows under the former number of a record.
    fn former(&self, wanted: &WantedPerson<'_>) -> Result<Option<DirectoryPerson<'a>>, RecordError> {
        let source = wanted.source_id.split(':').next().unwrap_or_default();
        let Some(id) = former_id(source, wanted.record) else { return Ok(None) };
        match self.actual.known(&person_key(&id), || PersonName::OfId(person_uuid(&id))) {
            SourceIdState::Nobody => Ok(None),
            SourceIdState::One(person) => Ok(Some(person)),
            SourceIdState::Many => {
                let words = "two people in the directory have the former number";
                Err(refuse(wanted.record, Column::FormerPersonId, "number.ambiguous", words))
            }
        }
    }

    fn check_not_reassigned(
        &self,
        wanted: &WantedPerson<'_>,
        person: DirectoryPerson<'_>,
        column: Column,
    ) -> Result<(), RecordError> {
        if !self.is_somebody_else(wanted, person) {
            return Ok(());
        }
        let words = "the directory has another family name and birth date for this number: was it reassigned?";
        Err(refuse(wanted.record, column, "number.reassigned", words))
    }

    /// Refuses the names of somebody known the other way round, unless somebody has confirmed the number: the columns
    /// of the file are probably interchanged, and everybody would get another address.
    fn check_not_swapped(&self, wanted: &WantedPerson<'_>, person: DirectoryPerson<'_>) -> Result<(), RecordError> {
        let (record, fold) = (wanted.record, |name: &str| self.naming.fold(name));
        // Names in their own places are not interchanged. Folding takes longer than all else of an unchanged person.
        if *record.given_name == *given_name(person) && *record.family_name == *family_name(person) {
            return Ok(());
        }
        let (given, family) = (fold(&record.given_name), fold(&record.family_name));
        let is_swapped = given != family && given == fold(family_name(person)) && family == fold(given_name(person));
        if !is_swapped || self.is_confirmed(wanted) {
            return Ok(());
        }
        let words = "given name and family name are those of the directory, interchanged: are the columns right? If \
                     the names are, confirm this number (--new-person)";
        Err(refuse(record, Column::GivenName, "name.swapped", words))
    }

    /// Whether somebody has confirmed what is doubtful about a number.
    fn is_confirmed(&self, wanted: &WantedPerson<'_>) -> bool {
        let key = person_key(&wanted.record.person_id);
        let source = self.sources.get(usize::from(wanted.origin.source));
        source.is_some_and(|source| source.distinct.iter().any(|distinct| person_key(distinct) == key))
    }

    /// Refuses a new person who is probably known under another number, unless somebody has confirmed the number.
    fn check_duplicate(&mut self, wanted: &WantedPerson<'a>) -> Result<(), RecordError> {
        let record = wanted.record;
        let known = if self.is_confirmed(wanted) { None } else { self.suspects.find(record) };
        if let Some(known) = known {
            let words = format!(
                "probably {known}: the same name, with the same birth date or private address. If the number has \
                 changed, state the former one in former_person_id; if it is another person, confirm this number \
                 (--new-person)"
            );
            return Err(refuse(record, Column::PersonId, "person.duplicate", &words));
        }
        self.suspects.add(record);
        Ok(())
    }

    fn create(&mut self, wanted: &WantedPerson<'a>) -> Result<PersonChange, RecordError> {
        self.check_zeros(wanted)?;
        self.check_duplicate(wanted)?;
        let id = person_uuid(&wanted.source_id);
        let name = PersonName::OfId(id);
        let chosen = self.names.choose(named(wanted, &name, None, None), &wanted.address.forms)?;
        let record = wanted.record;
        let what = format!(
            "create {} ({} {}, {})",
            chosen.primary.address,
            record.given_name,
            record.family_name,
            record.affiliation.as_str()
        );
        let reason = Reason {
            rule: ReasonRule::UnknownPerson,
            words: format!("no person in the directory has the number {}", wanted.source_id),
        };
        let attributes = self.new_person(wanted, id, &chosen);
        let mut writes = self.settle_kinds(&name, &chosen.primary, wanted.naming);
        self.add_further(&mut writes, &name, &chosen.further);
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
                && person.attribute(attr::SCHAC_DATE_OF_BIRTH) == record.birth_digits().as_deref()
        };
        if let Some(known) = self.actual.people.alike(&person_key(&wanted.source_id)).find(is_same_person) {
            let rule = format!(
                "probably {}, who has the same name and birth date and a number that differs in leading zeros only",
                known.mail().unwrap_or("a person in the directory")
            );
            return Err(refuse(record, Column::PersonId, "number.zeros", &rule));
        }
        let same_number = self.new_people.entry(without_zeros(&wanted.source_id)).or_default();
        let is_recorded_person = |other: &&&SourceRecord| {
            folds_alike(&other.given_name, &record.given_name)
                && folds_alike(&other.family_name, &record.family_name)
                && other.birth_date == record.birth_date
        };
        if let Some(other) = same_number.iter().find(is_recorded_person) {
            let rule = format!("probably the person of line {}: the numbers differ in leading zeros only", other.line);
            return Err(refuse(record, Column::PersonId, "number.zeros", &rule));
        }
        same_number.push(record);
        Ok(())
    }

    fn new_person(&self, wanted: &WantedPerson<'_>, id: Uuid, chosen: &ChosenNames) -> Vec<AttributeChange> {
        let one = |name, value: &str, rule| AttributeChange::new(name, vec![value.to_owned()], rule);
        let (primary, address) = (&chosen.primary, chosen.primary.address.as_str());
        let further = || chosen.further.iter().map(|further| further.address.as_str());
        let mut attributes = vec![
            one(attr::PROVOST_PERSON_ID, &id.to_string(), ReasonRule::PersonId),
            one(attr::PROVOST_SOURCE_ID, &wanted.source_id, ReasonRule::SourceNumber),
            one(attr::UID, &chosen.login, ReasonRule::Login),
            one(attr::MAIL, address, primary.rule),
            one(attr::MAIL_LOCAL_ADDRESS, address, primary.rule),
        ];
        if !chosen.further.is_empty() {
            let addresses = further().map(str::to_owned).collect();
            attributes.push(AttributeChange::new(attr::MAIL_LOCAL_ADDRESS, addresses, ReasonRule::FurtherAddress));
        }
        let held = self.actual.held_by(&PersonName::OfId(id)).into_iter().map(|held| held.address.into_owned());
        let is_new = |held: &String| *held != address && !further().any(|further| further == held);
        let old_addresses: Vec<String> = held.filter(is_new).collect();
        if !old_addresses.is_empty() {
            attributes.push(AttributeChange::new(attr::MAIL_LOCAL_ADDRESS, old_addresses, ReasonRule::KeptAddress));
        }
        attributes.extend(wanted.attributes.of_new_person());
        let dn = tree::person(self.actual.suffix(), id);
        let affiliations = self.affiliation_changes(wanted, &[], &[], || Entry::new(dn));
        let has_state = affiliations.iter().any(|change| change.name.is(attr::PROVOST_STATE));
        attributes.extend(affiliations);
        if states_dated_values(wanted.record) {
            let new = Entry::new(tree::person(self.actual.suffix(), id)).with(attr::MAIL, address);
            add_new(&mut attributes, dated_changes(wanted.record, &new, &self.lifecycle));
        }
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
        absences: &[String],
        entry: impl FnOnce() -> Entry,
    ) -> Vec<AttributeChange> {
        let periods = wanted.affiliation.among(held, self.lifecycle.now);
        let values = |periods: &[AffiliationPeriod]| periods.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (mut before, after) = (values(held), values(&periods));
        before.sort_unstable();
        let returned = returned(absences, wanted.affiliation.source());
        if before == after && returned.is_none() {
            return Vec::new();
        }
        let mut changes: Vec<AttributeChange> = returned.into_iter().collect();
        if before != after {
            let rule = ReasonRule::Column(Column::Affiliation);
            changes.push(AttributeChange::set(attr::PROVOST_AFFILIATION, before, after, rule));
        }
        let mut entry = entry();
        for change in &changes {
            let values = change.after.iter().map(|value| value.clone().into_bytes()).collect();
            entry.set(change.name.clone(), values);
        }
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
        let absences: Vec<String> = person.absences().map(str::to_owned).collect();
        let held = person.affiliations();
        attributes.extend(self.affiliation_changes(wanted, &held, &absences, || person.to_entry()));
        if states_dated_values(wanted.record) {
            add_new(&mut attributes, dated_changes(wanted.record, &person.to_entry(), &self.lifecycle));
        }
        let primary = person.mail().and_then(|mail| Address::parse(mail).ok());
        let is_renamed = self.is_renamed(wanted, person, primary.as_ref());
        let mut writes = OrderedWrites::default();
        let mut label = primary.as_ref().map_or_else(|| wanted.record.person_id.to_string(), Address::to_string);
        if is_renamed {
            let uid = person.uid();
            let subject = named(wanted, person.name, uid.as_deref(), kept_chosen(wanted, person));
            let chosen = self.names.choose(subject, &login_forms(subject, wanted))?;
            label = format!("{label} -> {}", chosen.primary.address);
            attributes.extend(new_login(person, wanted.naming, &chosen.login));
            attributes.extend(new_addresses(person, &chosen));
            writes = self.settle_kinds(person.name, &chosen.primary, wanted.naming);
            self.add_further(&mut writes, person.name, &chosen.further);
        } else if let Some(address) = &primary {
            let how =
                if self.lacks_entry(address, wanted.naming) { AddressSource::Claimed } else { AddressSource::Held };
            let held = ChosenAddress { address: address.clone(), how, rule: ReasonRule::AddressEntry, note: None };
            writes = self.settle_kinds(person.name, &held, wanted.naming);
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

    /// Whether the person needs another primary address: they have none, or their name leads to another one.
    fn is_renamed(&self, wanted: &WantedPerson<'_>, person: DirectoryPerson<'_>, primary: Option<&Address>) -> bool {
        let Some(held) = primary else { return true };
        let uid = person.uid();
        let number = person.attribute(attr::EMPLOYEE_NUMBER).unwrap_or_default();
        let given = person.attribute(attr::PROVOST_CHOSEN_NAME).unwrap_or_else(|| given_name(person));
        let former = NameParts { given, family: family_name(person), number };
        let subject = named(wanted, person.name, uid.as_deref(), kept_chosen(wanted, person));
        !keeps_address(subject, &login_forms(subject, wanted), held, former)
    }

    /// Whether an address that a person holds is in the site's domain but has no address entry. An import always writes
    /// one, so the person was written by other means.
    fn lacks_entry(&self, address: &Address, naming: &NamingPolicy) -> bool {
        let domains = [self.naming.domain.as_str(), naming.primary_domain()];
        domains.contains(&address.domain()) && !self.actual.addresses.contains(address.as_str())
    }

    /// The writes that make `primary` the only primary address of its owner. It becomes primary before the person is
    /// written, and former ones become aliases afterwards: no write leaves the person's `mail` without a primary address
    /// entry.
    fn settle_kinds(&self, owner: &PersonName, primary: &ChosenAddress, naming: &NamingPolicy) -> OrderedWrites {
        let (mut writes, suffix) = (OrderedWrites::default(), self.actual.suffix());
        let kind = AddressKind::Primary;
        writes.before.extend(self.obtain(owner, primary, kind));
        for held in self.actual.addresses.of_owner(owner) {
            let Ok(address) = Address::parse(held.address) else { continue };
            let is_primary = held.kind == kind.as_str();
            if address == primary.address && !is_primary {
                let rule = ReasonRule::PrimaryAddress;
                writes.before.push(Write::settle(suffix, &held.into(), kind, None, rule));
            } else if address != primary.address && is_primary && naming.rules.keep_days.is_none() {
                let (alias, rule) = (AddressKind::Alias, ReasonRule::KeptAddress);
                writes.after.push(Write::settle(suffix, &held.into(), alias, held.until, rule));
            } else if address != primary.address && is_primary {
                writes.after.push(self.retain(&held, naming));
            }
        }
        writes
    }

    /// The write that gives an address of its own entry to `owner`; `None` for one that the owner has.
    fn obtain(&self, owner: &PersonName, chosen: &ChosenAddress, kind: AddressKind) -> Option<Write> {
        let suffix = self.actual.suffix();
        if chosen.how == AddressSource::Quarantine {
            let (held, _) = self.actual.addresses.find(chosen.address.as_str())?;
            return Some(Write::settle(suffix, &held.into(), kind, None, ReasonRule::KeptAddress));
        }
        let new = || Write::add_address(suffix, &chosen.address, &self.actual.dn(owner), kind, chosen.rule);
        chosen.how.needs_entry().then(|| new().with_note(chosen.note.as_ref()))
    }

    /// The write by which a former primary address stays with its owner for the days that the policy states. The end is
    /// that of a day: with the time of planning in it, the same file would make another plan each second.
    fn retain(&self, held: &AddressEntry<'_>, naming: &NamingPolicy) -> Write {
        let days = naming.rules.keep_days.unwrap_or_default();
        let until = last_second(self.lifecycle.now, days, &self.lifecycle.zone);
        let rule = ReasonRule::RetainedAddress;
        Write::settle(self.actual.suffix(), &(*held).into(), AddressKind::Retained, until.as_deref(), rule)
    }

    fn add_further(&self, writes: &mut OrderedWrites, owner: &PersonName, further: &[ChosenAddress]) {
        writes.before.extend(further.iter().filter_map(|chosen| self.obtain(owner, chosen, AddressKind::Alias)));
    }

    /// Whether the source has given the number to another person: birth date and family name both differ. A single
    /// difference counts as a correction.
    fn is_somebody_else(&self, wanted: &WantedPerson<'_>, person: DirectoryPerson<'_>) -> bool {
        let born = person.attribute(attr::SCHAC_DATE_OF_BIRTH);
        let birth_date = wanted.record.birth_digits();
        let other_birth = matches!((born, &birth_date), (Some(held), Some(stated)) if held != stated);
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

/// The change that takes away the mark of somebody whom their source names again; `None` where there is no mark of it.
fn returned(absences: &[String], source: &str) -> Option<AttributeChange> {
    let after: Vec<String> = absences.iter().filter(|value| !is_of(value, source)).cloned().collect();
    let change = AttributeChange::new(attr::PROVOST_ABSENCE, after, ReasonRule::Present);
    (change.after.len() < absences.len()).then(|| AttributeChange { before: absences.to_vec(), ..change })
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

/// The chosen name of a person that stays, because the record says nothing of it.
fn kept_chosen<'p>(wanted: &WantedPerson<'_>, person: DirectoryPerson<'p>) -> Option<&'p str> {
    let record = wanted.record;
    let states_one = record.more.as_ref().is_some_and(|more| more.preferred_given_name.is_some());
    let says_nothing = !states_one && !record.cleared.contains(Column::PreferredGivenName);
    person.attribute(attr::PROVOST_CHOSEN_NAME).filter(|_| says_nothing)
}

/// The forms of the login for the name that counts.
fn login_forms(subject: NamingSubject<'_>, wanted: &WantedPerson<'_>) -> NameForms {
    let is_of_record = subject.parts == name_parts(wanted.record);
    let of_chosen = || subject.naming.login_forms(subject.parts);
    Some(()).filter(|()| !is_of_record).and_then(|()| of_chosen()).unwrap_or_else(|| wanted.address.forms.clone())
}

/// Adds changes of attributes that nothing else in the plan of the person changes.
fn add_new(attributes: &mut Vec<AttributeChange>, changes: Vec<AttributeChange>) {
    let is_new = |change: &AttributeChange| attributes.iter().all(|known| known.name != change.name);
    let new: Vec<AttributeChange> = changes.into_iter().filter(is_new).collect();
    attributes.extend(new);
}

/// The person of a record, for the choice of names. `chosen` is the chosen name that the directory holds and the record
/// does not mention.
fn named<'p>(
    wanted: &'p WantedPerson<'_>,
    entry: &'p PersonName,
    uid: Option<&'p str>,
    chosen: Option<&'p str>,
) -> NamingSubject<'p> {
    let parts = name_parts(wanted.record);
    let parts = NameParts { given: chosen.unwrap_or(parts.given), ..parts };
    NamingSubject { record: wanted.record, entry, uid, parts, naming: wanted.naming }
}

/// The change of the login after a rename, where the policy lets it follow the name.
fn new_login(person: DirectoryPerson<'_>, naming: &NamingPolicy, login: &str) -> Option<AttributeChange> {
    let held = person.uid();
    let changes = naming.rules.login_follows && held.as_deref() != Some(login);
    let change = AttributeChange::new(attr::UID, vec![login.to_owned()], ReasonRule::Login);
    changes.then(|| AttributeChange { before: held.into_iter().collect(), ..change })
}

/// The changes of `mail` and `mailLocalAddress` for new addresses; the former ones stay among the person's addresses.
fn new_addresses(person: DirectoryPerson<'_>, chosen: &ChosenNames) -> Vec<AttributeChange> {
    let address = chosen.primary.address.as_str();
    let before = person.mail().map(str::to_owned).into_iter().collect();
    let mail = AttributeChange::new(attr::MAIL, vec![address.to_owned()], chosen.primary.rule);
    let mail = AttributeChange { before, ..mail };
    let local_addresses: Vec<String> = person.local_addresses().map(str::to_owned).collect();
    let mut missing = vec![address.to_owned()];
    missing.extend(chosen.further.iter().map(|further| further.address.as_str().to_owned()));
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
        let (record, family) = (wanted.record, family_name(person));
        let given = person.attribute(attr::PROVOST_CHOSEN_NAME).unwrap_or_else(|| given_name(person));
        let (rule, words) = if has_primary {
            let now = name_parts(record);
            let words = format!("the name {given} {family} became {} {}", now.given, now.family);
            (ReasonRule::NameChanged, words)
        } else {
            (ReasonRule::PrimaryAddress, "the person has no primary address".to_owned())
        };
        return (ChangeKind::Rename, Reason { rule, words });
    }
    if wanted.record.former_person_id().is_some() && !person.has_source(&person_key(&wanted.source_id)) {
        let former = wanted.record.former_person_id().unwrap_or_default();
        let words = format!("the number {former} became {}", wanted.record.person_id);
        return (ChangeKind::Update, Reason { rule: ReasonRule::NumberChanged, words });
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

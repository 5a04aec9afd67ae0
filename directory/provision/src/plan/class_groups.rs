//! The groups of classes, made of enrolments.
//!
//! A class that a source's enrolments name has a group while its term lasts: who takes or teaches it is a member, and who
//! teaches it is an owner. The source decides members, owners, title, course, term and end; who may post, and the size
//! of messages, are set by hand and stay. Absence is not the end of a class: a class that a file does not name keeps its
//! group, and the lifecycle drops the group after the term.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::ToSpan;
use jiff::civil::Date;
use provost_client::ReceivedEntry;
use provost_entry::{Address, Dn, OWNER_SUFFIX};
use provost_policy::LOCAL_PART_OCTETS_MAX;
use provost_schema::attr;

use super::actual::DirectoryContent;
use super::change::{ChangeKind, PersonChange, Reason};
use super::group_table::ENROLMENT;
use super::people::SourceIdState;
use super::person_name::PersonName;
use super::planner::person_uuid;
use crate::attribute_change::AttributeChange;
use crate::desk::GROUP_MEMBERS_MAX;
use crate::naming::looks_like_an_office;
use crate::source::{ClassLists, Enrolment, EnrolmentRole, LOSS_SHARE, RecordError, Source, person_key};
use crate::wanted::WantedState;
use crate::write::{AddressKind, Write, WriteKind};
use crate::{ReasonRule, calendar, tree};

/// Longest name of a group, octets: it is also the local part of an address, and so is the address of its owners.
const NAME_OCTETS_MAX: usize = LOCAL_PART_OCTETS_MAX - OWNER_SUFFIX.len();
/// Members that a class may lose at once, whatever their share.
const LOSS_MIN: usize = 10;
/// Names that are tried for one class: the name itself, then with 2, 3, and so on.
const NAMES_TRIED_MAX: u32 = 1000;
/// Longest description, course and term, characters: the bounds of the schema.
const TITLE_CHARS_MAX: usize = 200;
const TERM_CHARS_MAX: usize = 64;

/// What the enrolments of all sources lead to.
#[derive(Default)]
pub(super) struct ClassPlan {
    pub(super) changes: Vec<PersonChange>,
    /// Enrolments that are left out.
    pub(super) warnings: Vec<RecordError>,
}

/// Plans the groups of the classes. `changes` are those of people, of whom some may be new.
pub(super) fn class_changes(
    wanted: &WantedState<'_>,
    actual: &DirectoryContent,
    changes: &[PersonChange],
) -> ClassPlan {
    let mut plan = ClassPlan::default();
    let has_classes = |source: &Source| !source.enrolments.rows.is_empty() && source.classes.lists != ClassLists::Off;
    if !wanted.sources.iter().any(has_classes) {
        return plan;
    }
    let mut given = GivenNames::of(changes);
    for (place, source) in (0u16..).zip(wanted.sources).filter(|(_, source)| has_classes(source)) {
        let people = EnrolledPeople::of(place, source, actual, changes);
        let planner = ClassPlanner { place, source, wanted, actual };
        for class in classes(source, &people, wanted, &mut plan.warnings) {
            match planner.change(&class, &mut given) {
                Ok(change) => plan.changes.extend(change),
                Err(problem) => plan.warnings.push(problem),
            }
        }
    }
    plan
}

/// Addresses that this plan gives, and names of the groups that it makes, in lower case.
struct GivenNames {
    addresses: HashSet<String>,
    groups: HashSet<String>,
}

impl GivenNames {
    fn of(changes: &[PersonChange]) -> Self {
        let added = changes.iter().flat_map(|change| &change.writes);
        let added = added.filter(|write| write.action == WriteKind::AddAddress);
        let addresses = added.filter_map(|write| write.dn.rdn_value(attr::PROVOST_ADDRESS)).collect();
        Self { addresses, groups: HashSet::new() }
    }
}

/// The entries of the people whom a source's enrolments name.
struct EnrolledPeople<'a> {
    source: &'a str,
    actual: &'a DirectoryContent,
    /// People whom this plan makes, or to whom it gives a new number, by the source's id.
    planned: HashMap<String, Dn>,
}

impl<'a> EnrolledPeople<'a> {
    fn of(place: u16, source: &'a Source, actual: &'a DirectoryContent, changes: &[PersonChange]) -> Self {
        let of_source = changes.iter().filter(|change| change.source == place && change.line > 0);
        let by_line: HashMap<u64, &Dn> = of_source
            .filter_map(|change| {
                let write = change.writes.iter().find(|write| write.is_of_person())?;
                Some((change.line, &write.dn))
            })
            .collect();
        let planned = source.records.iter().filter_map(|record| {
            let dn = by_line.get(&record.line)?;
            Some((person_key(&format!("{}:{}", source.name, record.person_id)), Dn::clone(dn)))
        });
        Self { source: &source.numbers_of, actual, planned: planned.collect() }
    }

    fn dn(&self, number: &str) -> Option<Dn> {
        let source_id = format!("{}:{number}", self.source);
        let key = person_key(&source_id);
        match self.actual.known(&key, || PersonName::OfId(person_uuid(&source_id))) {
            SourceIdState::One(person) => Some(person.dn()),
            SourceIdState::Many => None,
            SourceIdState::Nobody => self.planned.get(&key).cloned(),
        }
    }
}

/// A class with the people whom the enrolments name.
#[derive(Default)]
struct EnrolledClass<'a> {
    id: &'a str,
    /// Line of its first enrolment.
    line: u64,
    course: &'a str,
    section: &'a str,
    title: &'a str,
    term: &'a str,
    end: Option<Date>,
    is_described: bool,
    /// Whether an enrolment names somebody whom nobody knows: perhaps a member, whose number is damaged.
    has_unknown: bool,
    /// Who takes or teaches the class, by their DN.
    members: BTreeSet<String>,
    teachers: BTreeSet<String>,
    /// Whose enrolment has ended, with the role.
    gone: BTreeMap<String, EnrolmentRole>,
}

/// The classes in the order of their first enrolments.
fn classes<'a>(
    source: &'a Source,
    people: &EnrolledPeople<'_>,
    wanted: &WantedState<'_>,
    warnings: &mut Vec<RecordError>,
) -> Vec<EnrolledClass<'a>> {
    let today = wanted.policies.time_zone.to_datetime(wanted.at).date();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut classes: Vec<EnrolledClass<'a>> = Vec::new();
    let mut unknown: HashSet<&str> = HashSet::new();
    for enrolment in &source.enrolments.rows {
        let dn = people.dn(&enrolment.person_id);
        let place = *places.entry(&enrolment.class).or_insert(classes.len());
        if place == classes.len() {
            classes.push(EnrolledClass { id: &enrolment.class, line: enrolment.line, ..EnrolledClass::default() });
        }
        let Some(class) = classes.get_mut(place) else { continue };
        let Some(dn) = dn else {
            class.has_unknown = true;
            // Once for each person, however many classes they take.
            if unknown.insert(&enrolment.person_id) {
                warnings.push(RecordError::warning(
                    enrolment.line,
                    "enrolment",
                    "enrolment.person",
                    "nobody of this source has this number: the enrolment is ignored",
                ));
            }
            continue;
        };
        class.take(enrolment, dn.as_str(), today);
    }
    classes
}

impl<'a> EnrolledClass<'a> {
    fn take(&mut self, enrolment: &'a Enrolment, dn: &str, today: Date) {
        let first = |held: &mut &'a str, stated: &'a str| {
            if held.is_empty() {
                *held = stated;
            }
        };
        first(&mut self.course, &enrolment.course);
        first(&mut self.section, &enrolment.section);
        first(&mut self.title, &enrolment.title);
        first(&mut self.term, &enrolment.term);
        self.end = self.end.or(enrolment.term_end);
        self.is_described |= enrolment.is_class_described;
        if enrolment.is_ended || enrolment.end_date.is_some_and(|end| end < today) {
            self.gone.insert(dn.to_owned(), enrolment.role);
            return;
        }
        self.members.insert(dn.to_owned());
        if enrolment.role == EnrolmentRole::Teacher {
            self.teachers.insert(dn.to_owned());
        }
    }

    /// Course and section.
    fn course(&self) -> String {
        [self.course, self.section].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Plans the classes of one source.
struct ClassPlanner<'a> {
    place: u16,
    source: &'a Source,
    wanted: &'a WantedState<'a>,
    actual: &'a DirectoryContent,
}

impl ClassPlanner<'_> {
    /// The change that brings a class's group to the wanted state; `None` when there is nothing to change.
    fn change(&self, class: &EnrolledClass<'_>, given: &mut GivenNames) -> Result<Option<PersonChange>, RecordError> {
        let until = self.until(class);
        let now = provost_entry::time::format_generalized(self.wanted.at);
        // GeneralizedTimes of one form compare as texts.
        let is_over = until.as_ref().is_some_and(|until| *until < now);
        let Some(held) = self.actual.classes.of_class(&self.source_id(class)) else {
            let is_wanted = !is_over && !class.members.is_empty();
            if is_wanted && !class.is_described {
                let words =
                    "the file does not describe this class, and it has no group: a file that describes it makes one";
                return Err(RecordError::warning(class.line, "enrolment", "enrolment.class-unknown", words));
            }
            return if is_wanted { self.new_group(class, until, given).map(Some) } else { Ok(None) };
        };
        let goes_on = until.as_deref().or(held.first(attr::PROVOST_UNTIL)).is_none_or(|until| *until >= *now);
        let mut attributes = if is_over { Vec::new() } else { self.people(class, held)? };
        attributes.extend(self.texts(class, until).filter_map(|(name, after)| {
            let before: Vec<String> = held.texts(name).map(str::to_owned).collect();
            let is_changed = !after.is_empty() && before != [after.as_str()];
            is_changed.then(|| AttributeChange::set(name, before, vec![after], ReasonRule::Enrolment))
        }));
        let name = held.first(attr::CN).unwrap_or_default();
        let mut writes = Vec::new();
        if !attributes.is_empty() {
            let action = WriteKind::ModifyGroup { csn: held.first(attr::ENTRY_CSN).map(Into::into) };
            let last_batch = held.first(attr::PROVOST_LAST_BATCH).map(Into::into);
            writes.push(Write { last_batch, ..Write::new(self.group(name), action, attributes) });
        }
        if goes_on {
            writes.extend(self.regained_address(name));
        }
        Ok((!writes.is_empty()).then(|| self.planned(class, name, "changes", writes)))
    }

    /// The write that gives the group of a class that goes on its address back. The address is in quarantine when a run
    /// of the lifecycle has begun to end the class, and an import has changed the group before the run deleted it.
    fn regained_address(&self, name: &str) -> Option<Write> {
        let address = format!("{name}@{}", self.domain()?);
        let (held, owner) = self.actual.addresses.find(&address)?;
        let is_own = owner.is_some_and(|owner| self.actual.dn(owner) == self.group(name));
        let regain =
            || Write::settle(self.actual.suffix(), &held.into(), AddressKind::List, None, ReasonRule::Enrolment);
        (held.is_quarantined() && is_own).then(regain)
    }

    fn new_group(
        &self,
        class: &EnrolledClass<'_>,
        until: Option<String>,
        given: &mut GivenNames,
    ) -> Result<PersonChange, RecordError> {
        self.check_size(class, class.members.len())?;
        let (name, address) = self.free_name(class, given)?;
        let dn = self.group(&name);
        let rule = ReasonRule::Enrolment;
        let one = |name, value: String| AttributeChange::new(name, vec![value], rule);
        let mut attributes = vec![
            one(attr::CN, name.clone()),
            one(attr::PROVOST_GROUP_KIND, ENROLMENT.to_owned()),
            one(attr::PROVOST_SOURCE_ID, self.source_id(class)),
            AttributeChange::new(attr::MEMBER, class.members.iter().cloned().collect(), rule),
        ];
        if !class.teachers.is_empty() {
            attributes.push(AttributeChange::new(attr::OWNER, class.teachers.iter().cloned().collect(), rule));
        }
        let texts = self.texts(class, until).filter(|(_, text)| !text.is_empty());
        attributes.extend(texts.map(|(name, text)| one(name, text)));
        let suffix = self.actual.suffix();
        let address = address.map(|address| Write::add_address(suffix, &address, &dn, AddressKind::List, rule));
        // The address comes first: once it is there, nobody else can get it.
        let group = Write::new(dn, WriteKind::AddGroup, attributes);
        let writes = address.into_iter().chain([group]).collect();
        Ok(self.planned(class, &name, "is new", writes))
    }

    /// The changes of members and owners. Values are exchanged, not written whole: a large class changes by a few people.
    fn people(&self, class: &EnrolledClass<'_>, held: &ReceivedEntry) -> Result<Vec<AttributeChange>, RecordError> {
        let owners: BTreeSet<&str> = held.texts(attr::OWNER).collect();
        let is_complete = self.source.enrolments.are_complete;
        let has_left = |dn: &str, name: &str| {
            if is_complete && !class.has_unknown {
                return true;
            }
            // Whoever teaches the class has not left it when an enrolment as a student ends.
            class
                .gone
                .get(dn)
                .is_some_and(|role| *role == EnrolmentRole::Teacher || (name == attr::MEMBER && !owners.contains(dn)))
        };
        let mut changes = Vec::new();
        for (name, wanted) in [(attr::MEMBER, &class.members), (attr::OWNER, &class.teachers)] {
            let present: BTreeSet<&str> = held.texts(name).collect();
            let (is_present, is_wanted) = (keys(&present), keys(wanted));
            let new: Vec<String> = wanted.iter().filter(|dn| !is_present.contains(&key(dn))).cloned().collect();
            let gone: Vec<String> = present
                .iter()
                .filter(|dn| !is_wanted.contains(&key(dn)) && has_left(dn, name))
                .map(|dn| (*dn).to_owned())
                .collect();
            if name == attr::MEMBER {
                self.check_loss(class, gone.len(), present.len())?;
                self.check_size(class, present.len() + new.len() - gone.len())?;
            }
            if !new.is_empty() || !gone.is_empty() {
                changes.push(AttributeChange::exchange(name, gone, new, ReasonRule::Enrolment));
            }
        }
        Ok(changes)
    }

    /// Refuses to empty a class: half a file, or one with damaged numbers, would.
    fn check_loss(&self, class: &EnrolledClass<'_>, gone: usize, of: usize) -> Result<(), RecordError> {
        let share = usize::from(self.source.classes.loss_share.unwrap_or(LOSS_SHARE));
        if gone < LOSS_MIN || gone * 100 <= of * share {
            return Ok(());
        }
        let words = format!(
            "the class would lose {gone} of {of} members, more than {share} %: its group stays as it is. If the file is \
             right, the profile can say so (class-loss 100)"
        );
        Err(RecordError::warning(class.line, "enrolment", "enrolment.class-loss", words))
    }

    fn check_size(&self, class: &EnrolledClass<'_>, members: usize) -> Result<(), RecordError> {
        if members <= GROUP_MEMBERS_MAX {
            return Ok(());
        }
        let words = format!("the class has more than {GROUP_MEMBERS_MAX} members: its group stays as it is");
        Err(RecordError::warning(class.line, "enrolment", "enrolment.class-size", words))
    }

    /// Attributes of one text that the enrolments state; empty where they do not.
    fn texts(&self, class: &EnrolledClass<'_>, until: Option<String>) -> impl Iterator<Item = (&'static str, String)> {
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        [
            (attr::DESCRIPTION, cut(class.title, TITLE_CHARS_MAX)),
            (attr::PROVOST_COURSE, cut(&class.course(), TITLE_CHARS_MAX)),
            (attr::PROVOST_TERM, cut(class.term, TERM_CHARS_MAX)),
            (attr::PROVOST_UNTIL, until.unwrap_or_default()),
        ]
        .into_iter()
    }

    /// The last second in which the list takes mail; `None` for a class without an end.
    fn until(&self, class: &EnrolledClass<'_>) -> Option<String> {
        let last = class.end?.checked_add(i64::from(self.source.classes.days_after).days()).ok()?;
        calendar::day_ends(&self.wanted.policies.time_zone, last)
    }

    /// A name that no group has, with the address of the list, which nobody has.
    fn free_name(
        &self,
        class: &EnrolledClass<'_>,
        given: &mut GivenNames,
    ) -> Result<(String, Option<Address>), RecordError> {
        let naming = &self.wanted.policies.naming;
        let domain = self.domain();
        let mut base = self.base_name(class);
        // With a number it would still look like it.
        if looks_like_an_office(&base) || is_of_owners(&base) {
            base = shortened(&format!("class-{base}-list"), NAME_OCTETS_MAX);
        }
        for number in 1..=NAMES_TRIED_MAX {
            let name = numbered(&base, number);
            let address = match domain.map(|domain| Address::parse(&format!("{name}@{domain}"))) {
                Some(Ok(address)) => Some(address),
                Some(Err(_)) => break,
                None => None,
            };
            let is_free = !self.actual.group_names.contains(&name)
                && !given.groups.contains(&name)
                && !naming.is_reserved(&name)
                && !looks_like_an_office(&name)
                && !is_of_owners(&name)
                && address.as_ref().is_none_or(|address| {
                    let is_given = given.addresses.contains(address.as_str());
                    !is_given && self.actual.is_free_for(address.as_str(), &self.group(&name))
                });
            if is_free {
                given.groups.insert(name.clone());
                given.addresses.extend(address.as_ref().map(|address| address.as_str().to_owned()));
                return Ok((name, address));
            }
        }
        let words = "no name is free for the group of this class";
        Err(RecordError::warning(class.line, "enrolment", "enrolment.class-name", words))
    }

    /// The domain of the lists; `None` when they have no address.
    fn domain(&self) -> Option<&str> {
        match &self.source.classes.lists {
            ClassLists::Site => Some(self.wanted.policies.naming.domain.as_str()),
            ClassLists::Domain(domain) => Some(domain.as_str()),
            ClassLists::NoAddress | ClassLists::Off => None,
        }
    }

    /// `phy101-01-fall-2026`: course, section and term, else the source's id of the class.
    fn base_name(&self, class: &EnrolledClass<'_>) -> String {
        let has_code = !class.course.is_empty() || !class.section.is_empty();
        let (code, section) = if has_code { (class.course, class.section) } else { (class.title, "") };
        let names = [self.slug(&[code, section, class.term]), self.slug(&[class.id])];
        shortened(names.iter().find(|name| !name.is_empty()).map_or("class", String::as_str), NAME_OCTETS_MAX)
    }

    fn slug(&self, texts: &[&str]) -> String {
        let words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let folded = words.map(|word| self.wanted.policies.naming.fold(word)).filter(|word| !word.is_empty());
        folded.collect::<Vec<_>>().join("-")
    }

    fn source_id(&self, class: &EnrolledClass<'_>) -> String {
        format!("{}:{}", self.source.name, class.id)
    }

    fn group(&self, name: &str) -> Dn {
        tree::group(self.actual.suffix(), name)
    }

    fn planned(&self, class: &EnrolledClass<'_>, name: &str, what: &str, writes: Vec<Write>) -> PersonChange {
        let course = class.course();
        let about = if course.is_empty() { String::new() } else { format!(" ({course})") };
        let words = format!("the enrolments of {} name the class, the first in line {}", self.source.name, class.line);
        let reason = Reason { rule: ReasonRule::Enrolment, words };
        let what = format!("class {name} {what}{about}");
        PersonChange { source: self.place, line: 0, what, kind: ChangeKind::Class, reason, writes }
    }
}

/// The form in which DNs of one spelling but for the case are equal.
fn key(dn: &str) -> String {
    dn.to_ascii_lowercase()
}

fn keys<T: AsRef<str>>(dns: &BTreeSet<T>) -> HashSet<String> {
    dns.iter().map(|dn| key(dn.as_ref())).collect()
}

/// Whether a name is that of the owners of another list, also with a number.
fn is_of_owners(name: &str) -> bool {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').ends_with(OWNER_SUFFIX)
}

fn numbered(base: &str, number: u32) -> String {
    if number == 1 {
        return base.to_owned();
    }
    let end = format!("-{number}");
    format!("{}{end}", shortened(base, NAME_OCTETS_MAX - end.len()))
}

/// The beginning of an ASCII name, without a hyphen at its end.
fn shortened(name: &str, octets_max: usize) -> String {
    name.get(..octets_max).unwrap_or(name).trim_end_matches('-').to_owned()
}

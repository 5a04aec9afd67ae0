//! One row after the other: who it is, which address it gets, what must change.

use std::collections::{HashMap, HashSet};

use provost_credential::Secret;
use provost_entry::{Address, AttributeDescription, Dn, Modification};
use provost_schema::attr;
use uuid::Uuid;

use super::actual::{Actual, Known, Person};
use super::{Change, ChangeKind};
use crate::facts::Wishes;
use crate::naming::{is_numbered, is_reserved, login_base, numbered};
use crate::roster::{Column, person_key};
use crate::write::{AddressKind, NewPerson, Write};
use crate::{Roster, Row, RowError, Settings, tree};

/// Namespace of person ids (RFC 9562 §5.5): the same row always gives the same DN, so that an import that was
/// interrupted finds what it made. Never change it.
const PERSON_NAMESPACE: Uuid = uuid::uuid!("b1f0a2f4-6c1d-4f0e-9a77-2f7a1f3c5d88");

/// The provostPersonId of whom a source knows under a source id.
pub(crate) fn person_uuid(source_id: &str) -> Uuid {
    Uuid::new_v5(&PERSON_NAMESPACE, person_key(source_id).as_bytes())
}

/// Plans rows in file order; knows which addresses this plan has given already.
pub(super) struct Planner<'a> {
    roster: &'a Roster,
    actual: &'a Actual,
    settings: &'a Settings,
    claimed: HashSet<String>,
    /// The lowest number of a base that may still be free. Nothing becomes free while planning, so a thousand people of
    /// one name cost a thousand looks, not a million.
    next_number: HashMap<String, u32>,
}

/// The address that a person's name leads to.
struct Choice {
    address: Address,
    /// Whether an address entry must be made.
    claim: bool,
}

impl<'a> Planner<'a> {
    pub(super) fn new(roster: &'a Roster, actual: &'a Actual, settings: &'a Settings) -> Self {
        Self { roster, actual, settings, claimed: HashSet::new(), next_number: HashMap::new() }
    }

    /// What a row changes; `None` when all is so already.
    pub(super) fn change(&mut self, row: &Row) -> Result<Option<Change>, RowError> {
        let Some(base) = login_base(&row.given_name, &row.family_name) else {
            return Err(refuse(row, Column::FamilyName, "no login can be made from this name"));
        };
        let source_id = format!("{}:{}", self.settings.source, row.person_id);
        let id = person_uuid(&source_id);
        let dn = tree::person(&self.actual.suffix, id);
        match self.actual.known(&source_id, &dn) {
            Known::Nobody => self.create(row, &base, source_id, id, dn).map(Some),
            Known::One(person) if is_somebody_else(row, person) => {
                let rule = "the directory knows this number with another family name and another birth date: reused?";
                Err(refuse(row, Column::PersonId, rule))
            }
            Known::One(person) => self.update(row, &base, &source_id, person),
            Known::Many => Err(refuse(row, Column::PersonId, "two people of the directory have this number")),
        }
    }

    fn create(&mut self, row: &Row, base: &str, source_id: String, id: Uuid, dn: Dn) -> Result<Change, RowError> {
        let Choice { address, claim } = self.choose(row, base, &dn, None)?;
        let what = format!("create {address} ({} {}, {})", row.given_name, row.family_name, row.affiliation.as_str());
        let aliases = self.actual.held_by(&dn).map(|(held, _)| held).filter(|held| *held != address.as_str());
        let person = NewPerson {
            id,
            source_id,
            uid: address.local().to_owned(),
            aliases: aliases.map(Into::into).collect(),
            facts: Wishes::of(row, self.roster).into_facts(),
            password: row.password.clone(),
            mail: address.clone(),
            dn: dn.clone(),
        };
        let mut writes = self.settle_kinds(&dn, &address, claim);
        // The address first: it is what two imports at once could contend for, and a mere address harms nobody.
        writes.before.push(Write::AddPerson(Box::new(person)));
        Ok(Change { line: row.line, what, kind: ChangeKind::Create, writes: writes.all() })
    }

    fn update(&mut self, row: &Row, base: &str, source_id: &str, person: &Person) -> Result<Option<Change>, RowError> {
        let mut changes = Wishes::of(row, self.roster).changes(&person.facts);
        let held = person.mail.as_deref().and_then(|mail| Address::parse(mail).ok());
        let renamed = held.as_ref().is_none_or(|held| !is_numbered(held.local(), base))
            && (held.is_none() || login_base(given(person), family(person)).as_deref() != Some(base));
        let mut writes = Settled::default();
        let mut label = held.as_ref().map_or_else(|| row.person_id.clone(), Address::to_string);
        if renamed {
            let Choice { address, claim } = self.choose(row, base, &person.dn, person.uid.as_deref())?;
            label = format!("{label} -> {address}");
            changes.extend(new_primary(person, &address));
            writes = self.settle_kinds(&person.dn, &address, claim);
        } else if let Some(held) = &held {
            writes = self.settle_kinds(&person.dn, held, self.lacks_entry(held));
        }
        if !person.sources.iter().any(|source| **source == *person_key(source_id)) {
            changes.push(Modification::add(of(attr::PROVOST_SOURCE_ID), vec![source_id.into()]));
        }
        let password = row.password.clone().filter(|_| !person.has_password);
        let what = describe(renamed, &label, &changes, password.as_ref(), &writes);
        if !changes.is_empty() || password.is_some() {
            let (dn, csn) = (person.dn.clone(), person.csn.clone());
            writes.before.push(Write::ModifyPerson { dn, csn, changes, password });
        }
        let kind = if renamed { ChangeKind::Rename } else { ChangeKind::Update };
        let writes = writes.all();
        Ok((!writes.is_empty()).then_some(Change { line: row.line, what, kind, writes }))
    }

    /// The address for a name: one that is the person's already, or the first number that is nobody's.
    fn choose(&mut self, row: &Row, base: &str, dn: &Dn, own_uid: Option<&str>) -> Result<Choice, RowError> {
        let domain = &self.settings.domain;
        let own = self.actual.held_by(dn).filter_map(|(held, holding)| Some((Address::parse(held).ok()?, holding)));
        let own = own.filter(|(held, _)| held.domain() == domain && is_numbered(held.local(), base));
        // Somebody who reads postmaster's mail is not thereby called so.
        let own = own.filter(|(held, _)| !is_reserved(held.local()));
        // The shortest is the one with the lowest number.
        if let Some((address, holding)) = own.min_by_key(|(held, _)| (held.as_str().len(), held.clone())) {
            return Ok(Choice { claim: holding.kind.is_none(), address });
        }
        let mut number = self.next_number.get(base).copied().unwrap_or(1);
        loop {
            let local = numbered(base, number);
            let address = Address::from_parts(&local, domain)
                .map_err(|error| refuse(row, Column::FamilyName, &format!("no address can be made: {error}")))?;
            let uid_is_free = !self.actual.uids.contains_key(&*local);
            if self.is_free(&address) && (uid_is_free || own_uid == Some(&local)) {
                // A number that only this person may take (their own login) stays to be looked at by others.
                self.next_number.insert(base.to_owned(), number + u32::from(uid_is_free));
                self.claimed.insert(address.as_str().to_owned());
                return Ok(Choice { address, claim: true });
            }
            number += 1;
        }
    }

    fn is_free(&self, address: &Address) -> bool {
        !is_reserved(address.local())
            && !self.actual.addresses.contains_key(address.as_str())
            && !self.claimed.contains(address.as_str())
    }

    /// Whether an address of ours stands on a person and has no entry of its own: somebody wrote past us.
    fn lacks_entry(&self, held: &Address) -> bool {
        let holding = self.actual.addresses.get(held.as_str());
        held.domain() == self.settings.domain && holding.is_none_or(|holding| holding.kind.is_none())
    }

    /// The writes that make `primary` the one primary address of its owner. The new one is settled before the person is
    /// written, former ones after: at each moment every address of the person has an entry.
    fn settle_kinds(&self, owner: &Dn, primary: &Address, claim: bool) -> Settled {
        let mut writes = Settled::default();
        let kind = AddressKind::Primary;
        if claim {
            writes.before.push(Write::ClaimAddress { address: primary.clone(), owner: owner.clone(), kind });
        }
        for (held, holding) in self.actual.held_by(owner) {
            let Some(is_primary) = holding.kind.as_deref().map(|held| held == kind.as_str()) else { continue };
            let Ok(address) = Address::parse(held) else { continue };
            if address == *primary && !is_primary {
                writes.before.push(Write::SetKind { address, kind });
            } else if address != *primary && is_primary {
                writes.after.push(Write::SetKind { address, kind: AddressKind::Alias });
            }
        }
        writes
    }
}

/// Writes to address entries, around that of the person.
#[derive(Default)]
struct Settled {
    before: Vec<Write>,
    after: Vec<Write>,
}

impl Settled {
    fn all(mut self) -> Vec<Write> {
        self.before.append(&mut self.after);
        self.before
    }
}

fn of(name: &'static str) -> AttributeDescription {
    AttributeDescription::of(name)
}

fn given(person: &Person) -> &str {
    person.facts.get(attr::GIVEN_NAME).unwrap_or_default()
}

fn family(person: &Person) -> &str {
    person.facts.get(attr::SN).unwrap_or_default()
}

/// A number given to somebody new: birth date and family name both differ. One of them alone is a correction.
fn is_somebody_else(row: &Row, person: &Person) -> bool {
    let born = person.facts.get(attr::SCHAC_DATE_OF_BIRTH);
    let other_birth = matches!((born, row.birth_date.as_deref()), (Some(held), Some(said)) if held != said);
    other_birth && crate::fold_name(family(person)) != crate::fold_name(&row.family_name)
}

/// The projections of a new primary address; the former one stays among the person's addresses.
fn new_primary(person: &Person, address: &Address) -> Vec<Modification> {
    let mut changes = vec![Modification::replace(of(attr::MAIL), vec![address.as_str().into()])];
    let mut missing = vec![address.as_str()];
    missing.extend(person.mail.as_deref());
    missing.retain(|missing| !person.local_addresses.iter().any(|held| **held == **missing));
    if !missing.is_empty() {
        let values = missing.into_iter().map(|value| value.as_bytes().to_vec()).collect();
        changes.push(Modification::add(of(attr::MAIL_LOCAL_ADDRESS), values));
    }
    changes
}

fn describe(
    renamed: bool,
    label: &str,
    changes: &[Modification],
    password: Option<&Secret>,
    kinds: &Settled,
) -> String {
    let mut names: Vec<&str> = changes.iter().map(|change| change.attribute.as_str()).collect();
    names.retain(|name| *name != attr::MAIL && *name != attr::MAIL_LOCAL_ADDRESS);
    if password.is_some() {
        names.push(attr::USER_PASSWORD);
    }
    let has_kinds = !kinds.before.is_empty() || !kinds.after.is_empty();
    if has_kinds && !renamed {
        names.push("kinds of addresses");
    }
    format!("{} {label} ({})", if renamed { "rename" } else { "update" }, names.join(", "))
}

fn refuse(row: &Row, column: Column, rule: &str) -> RowError {
    RowError { line: row.line, column: column.name().to_owned(), rule: rule.to_owned() }
}

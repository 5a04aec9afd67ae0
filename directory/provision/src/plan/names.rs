//! Chooses the login and the addresses of a person: what they have, what was theirs, else the first name that is free.

use std::collections::HashMap;
use std::convert::Infallible;

use provost_entry::Address;

use super::actual::DirectoryContent;
use super::person_name::PersonName;
use crate::naming::{FoldedName, NameConflict, NameForm, NameForms, NameParts, NamingNote, UsableForms};
use crate::source::{Column, RecordError, SourceRecord};
use crate::wanted::refuse;
use crate::{NamingPolicy, ReasonRule};

/// Gives names in the order of the records and remembers those that this plan gives.
pub(super) struct NameChooser<'a> {
    actual: &'a DirectoryContent,
    /// The addresses that this plan gives, with the line of the person.
    addresses: HashMap<String, u64>,
    /// The logins that this plan gives, with the line of the person.
    logins: HashMap<String, u64>,
    /// For each domain (empty for logins) and form, the lowest number that may be free. No number becomes free while
    /// planning, so a thousand people of one name cost about a thousand look-ups, not half a million.
    next_number: HashMap<(String, NameForm), u32>,
}

/// The person for whom names are chosen.
#[derive(Clone, Copy)]
pub(super) struct NamingSubject<'a> {
    /// The record that names the person.
    pub(super) record: &'a SourceRecord,
    /// Name of the person's entry.
    pub(super) entry: &'a PersonName,
    /// The login that the person has, in lower case.
    pub(super) uid: Option<&'a str>,
    /// The name from which names are made.
    pub(super) parts: NameParts<'a>,
    pub(super) naming: &'a NamingPolicy,
}

/// The login and the addresses of a person.
pub(super) struct ChosenNames {
    pub(super) login: String,
    pub(super) primary: ChosenAddress,
    /// Aliases that the policy gives besides.
    pub(super) further: Vec<ChosenAddress>,
}

/// An address, and how the person comes to it.
pub(super) struct ChosenAddress {
    pub(super) address: Address,
    pub(super) how: AddressSource,
    pub(super) rule: ReasonRule,
    /// How the address was found; `None` for one that the person had.
    pub(super) note: Option<NamingNote>,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressSource {
    /// The person has it, with an entry of its own.
    Held,
    /// The person has it in their attributes only: an entry must be made.
    Claimed,
    /// It was taken from the person and is still in quarantine.
    Quarantine,
    /// Nobody has it.
    Free,
}

impl AddressSource {
    /// Whether an address entry must be made.
    pub(super) fn needs_entry(self) -> bool {
        matches!(self, Self::Claimed | Self::Free)
    }
}

impl<'a> NameChooser<'a> {
    pub(super) fn new(actual: &'a DirectoryContent) -> Self {
        Self { actual, addresses: HashMap::new(), logins: HashMap::new(), next_number: HashMap::new() }
    }

    /// The login, the primary address and the further addresses for a name. `login` are the forms of the login.
    pub(super) fn choose(&mut self, person: NamingSubject<'_>, login: &NameForms) -> Result<ChosenNames, RecordError> {
        let (naming, domain) = (person.naming, person.naming.primary_domain());
        let (login, primary) = match naming.primary_pattern() {
            None => {
                let primary = self.address(person, login, domain, naming.shown_primary(), Pairing::WithLogin)?;
                (primary.address.local().to_owned(), primary)
            }
            Some(pattern) => {
                let kept = person.uid.filter(|_| !naming.rules.login_follows).map(str::to_owned);
                let uid = kept.unwrap_or_else(|| self.login(person, login));
                let forms = naming.address_forms(pattern, person.parts, &uid);
                let forms = forms.as_ref().unwrap_or(login);
                let primary = self.address(person, forms, domain, naming.shown_primary(), Pairing::Alone)?;
                (uid, primary)
            }
        };
        let further = self.further(person, &login, &primary.address)?;
        Ok(ChosenNames { login, primary, further })
    }

    /// The aliases that the policy gives besides, as far as they differ from the primary address.
    fn further(
        &mut self,
        person: NamingSubject<'_>,
        login: &str,
        primary: &Address,
    ) -> Result<Vec<ChosenAddress>, RecordError> {
        let naming = person.naming;
        let alumni = naming.rules.alumni.iter().filter(|alumni| alumni.is_from_start).map(|alumni| &alumni.pattern);
        let mut chosen: Vec<ChosenAddress> = Vec::new();
        for pattern in naming.rules.further.iter().chain(alumni) {
            let domain = pattern.domain.as_deref().unwrap_or(&naming.domain);
            let Some(forms) = naming.address_forms(pattern, person.parts, login) else { continue };
            let is_known = |address: &Address| address.domain() == domain && forms.gives(address.local());
            if is_known(primary) || chosen.iter().any(|chosen| is_known(&chosen.address)) {
                continue;
            }
            let address = self.address(person, &forms, domain, pattern.to_string(), Pairing::Alone)?;
            let rule = if address.how == AddressSource::Held { address.rule } else { ReasonRule::FurtherAddress };
            chosen.push(ChosenAddress { rule, ..address });
        }
        Ok(chosen)
    }

    /// An address for a name: one that the person has or had, or the first one that is free.
    fn address(
        &mut self,
        person: NamingSubject<'_>,
        forms: &NameForms,
        domain: &str,
        pattern: String,
        pairing: Pairing,
    ) -> Result<ChosenAddress, RecordError> {
        if let Some((address, how)) = self.own(person, forms, domain) {
            return Ok(ChosenAddress { how, address, rule: ReasonRule::KeptAddress, note: None });
        }
        let name = FoldedName::new(person.parts, person.naming);
        let usable = forms.usable(&name);
        let line = person.record.line;
        let (local, conflict) = self.first_free(domain, &usable, |chooser, local| {
            let address = Address::from_parts(local, domain).map_err(|error| no_address(person.record, &error))?;
            Ok(name.objection(local).or_else(|| chooser.conflict(&address, person, pairing)))
        })?;
        let address = Address::from_parts(&local, domain).map_err(|error| no_address(person.record, &error))?;
        self.addresses.insert(address.as_str().to_owned(), line);
        if pairing == Pairing::WithLogin {
            self.logins.insert(local, line);
        }
        let policy = person.naming.rules.name.clone();
        let (wanted, conflict) = conflict.unzip();
        let note = Some(NamingNote { policy, pattern, wanted, conflict }).filter(NamingNote::is_of_interest);
        Ok(ChosenAddress { how: AddressSource::Free, address, rule: ReasonRule::PrimaryAddress, note })
    }

    /// The address for a name that the person has, else one in quarantine that was theirs.
    fn own(&self, person: NamingSubject<'_>, forms: &NameForms, domain: &str) -> Option<(Address, AddressSource)> {
        let is_of_name = |address: &Address| {
            // A reserved address that the person also receives, such as postmaster's, does not become the primary one.
            address.domain() == domain
                && person.naming.gave(forms, person.parts, address.local())
                && !person.naming.is_reserved(address.local())
        };
        // The shortest one has the lowest number.
        let least = |found: Vec<(Address, AddressSource)>| {
            let found = found.into_iter().filter(|(address, _)| is_of_name(address));
            found.min_by_key(|(address, _)| (address.as_str().len(), address.clone()))
        };
        let held = self.actual.held_by(person.entry).into_iter().filter_map(|held| {
            let how = if held.has_entry { AddressSource::Held } else { AddressSource::Claimed };
            Some((Address::parse(&held.address).ok()?, how))
        });
        let former = || {
            let former = self.actual.addresses.quarantined_of(person.entry);
            former.filter_map(|held| Some((Address::parse(held.address).ok()?, AddressSource::Quarantine))).collect()
        };
        least(held.collect()).or_else(|| least(former()))
    }

    /// A login for a name whose address is made by another pattern.
    fn login(&mut self, person: NamingSubject<'_>, forms: &NameForms) -> String {
        let name = FoldedName::new(person.parts, person.naming);
        let (usable, domain) = (forms.usable(&name), person.naming.domain.as_str());
        let found: Result<_, Infallible> = self.first_free("", &usable, |chooser, local| {
            let of_address = |address: Address| chooser.address_conflict(&address, person);
            let conflict = name.objection(local).or_else(|| chooser.login_conflict(local, person));
            // The login of one person and the address of another must not be one name.
            Ok(conflict.or_else(|| Address::from_parts(local, domain).ok().and_then(of_address)))
        });
        let login = match found {
            Ok((login, _)) => login,
            Err(never) => match never {},
        };
        self.logins.insert(login.clone(), person.record.line);
        login
    }

    /// The first name without a conflict, with the conflict of the first one that was tried.
    fn first_free<E>(
        &mut self,
        domain: &str,
        usable: &UsableForms,
        conflict: impl Fn(&Self, &str) -> Result<Option<NameConflict>, E>,
    ) -> Result<(String, Option<(String, NameConflict)>), E> {
        let key = (domain.to_owned(), usable.first.clone());
        let first = usable.first.numbered(1);
        let mut why = usable.refused.clone();
        match conflict(self, &first)? {
            None => return Ok((first, why)),
            Some(found) => why = why.or(Some((first, found))),
        }
        for form in &usable.otherwise {
            let local = form.numbered(1);
            if conflict(self, &local)?.is_none() {
                return Ok((local, why));
            }
        }
        let mut number = self.next_number.get(&key).copied().unwrap_or(2);
        loop {
            let local = usable.first.numbered(number);
            number += 1;
            if conflict(self, &local)?.is_none() {
                self.next_number.insert(key, number);
                return Ok((local, why));
            }
        }
    }

    /// Why the person cannot get a free address.
    fn conflict(&self, address: &Address, person: NamingSubject<'_>, pairing: Pairing) -> Option<NameConflict> {
        if let Some(line) = self.addresses.get(address.as_str()) {
            return Some(NameConflict::Line(*line));
        }
        if let Some(holder) = self.actual.holder(address.as_str()) {
            return Some(holder);
        }
        // In the domain of primary addresses, the login of one person and the address of another must not be one name.
        let is_login = pairing == Pairing::WithLogin || address.domain() == person.naming.domain;
        is_login.then(|| self.login_conflict(address.local(), person)).flatten()
    }

    /// Whether somebody else has the address that equals a login.
    fn address_conflict(&self, address: &Address, person: NamingSubject<'_>) -> Option<NameConflict> {
        let is_own = self.actual.held_by(person.entry).iter().any(|held| held.address == address.as_str());
        let given = self.addresses.get(address.as_str()).map(|line| NameConflict::Line(*line));
        given.or_else(|| self.actual.holder(address.as_str()).filter(|_| !is_own))
    }

    fn login_conflict(&self, login: &str, person: NamingSubject<'_>) -> Option<NameConflict> {
        let given = self.logins.get(login).filter(|line| **line != person.record.line);
        if let Some(line) = given {
            return Some(NameConflict::Line(*line));
        }
        if person.uid == Some(login) {
            return None;
        }
        let holder = self.actual.people.with_uid(login)?;
        Some(NameConflict::Login(holder.mail().unwrap_or(login).to_owned()))
    }
}

/// Whether the local part of an address is the login as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairing {
    WithLogin,
    Alone,
}

/// Whether the person keeps a primary address: its local part is one that the wanted name leads to, or the name in the
/// directory leads to the same ones. A change of accents alone keeps the address.
pub(super) fn keeps_address(
    person: NamingSubject<'_>,
    login: &NameForms,
    held: &Address,
    former: NameParts<'_>,
) -> bool {
    let naming = person.naming;
    let of = |parts: NameParts<'_>| -> Option<NameForms> {
        match naming.primary_pattern() {
            None => naming.login_forms(parts),
            Some(pattern) => naming.address_forms(pattern, parts, person.uid.unwrap_or_default()),
        }
    };
    let wanted = if naming.primary_pattern().is_some() { of(person.parts) } else { Some(login.clone()) };
    let Some(wanted) = wanted else { return true };
    naming.gave(&wanted, person.parts, held.local()) || of(former).as_ref() == Some(&wanted)
}

fn no_address(record: &SourceRecord, error: &dyn std::fmt::Display) -> RecordError {
    refuse(record, Column::FamilyName, "name.no-address", &format!("no address can be made: {error}"))
}

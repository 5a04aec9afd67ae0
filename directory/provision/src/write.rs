//! The single-entry writes of which a plan is made, and the request to the directory for each.

use std::fmt;

use provost_client::Control;
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class};
use serde::{Deserialize, Serialize};

use crate::attribute_change::{AttributeChange, How};
use crate::source::RecordRef;
use crate::{text_form, tree};

/// What an address is to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The one that stands in `mail`.
    Primary,
    /// Another one that reaches the person.
    Alias,
}

/// provostAddressKind of an address that was taken from its owner lately.
pub(crate) const QUARANTINED: &str = "quarantined";

impl AddressKind {
    /// As provostAddressKind spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Alias => "alias",
        }
    }
}

/// One write to one entry: at most one write of a plan concerns an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// The entry.
    #[serde(with = "text_form::dn")]
    pub dn: Dn,
    /// What is done to it, and under which condition.
    pub action: Action,
    /// What becomes of its attributes. Object classes, provostSince and provostLastBatch are not listed: they follow from
    /// the action and from the batch.
    pub attributes: Vec<AttributeChange>,
    /// The record whose initial password is to be hashed and set. The password itself is never in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<RecordRef>,
}

/// What is done to an entry, and under which condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Makes an address entry: from then on nobody else can have the address.
    AddAddress,
    /// Makes a person.
    AddPerson,
    /// Changes a person, if nobody else did since the plan was made.
    ModifyPerson {
        /// entryCSN of the entry that was compared; `None` when the server showed none, then there is no condition.
        csn: Option<Box<str>>,
    },
    /// Changes an address entry, if its attributes are those that were compared.
    ModifyAddress,
}

/// What is the same for all writes of one apply.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// provostLastBatch of every entry written.
    pub(crate) id: String,
    /// GeneralizedTime: provostSince of new addresses.
    pub(crate) since: String,
}

/// A request to the directory.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Add.
    Add(Entry),
    /// Modify, under a condition.
    Modify(Dn, Vec<Modification>, Control),
}

impl Write {
    /// The request for this write, with the password's hash where the write has a password.
    pub(crate) fn operation(&self, batch: &Batch, hash: Option<&str>) -> Operation {
        match &self.action {
            Action::AddAddress => {
                let entry = with_classes(Entry::new(self.dn.clone()), &ADDRESS_CLASSES);
                Operation::Add(self.fill(entry, batch).with(attr::PROVOST_SINCE, batch.since.as_str()))
            }
            Action::AddPerson => {
                let entry = self.fill(with_classes(Entry::new(self.dn.clone()), &PERSON_CLASSES), batch);
                Operation::Add(match hash {
                    Some(hash) => entry.with(attr::USER_PASSWORD, hash),
                    None => entry,
                })
            }
            Action::ModifyPerson { csn } => self.modify(batch, hash, tree::unchanged_since(csn.as_deref())),
            Action::ModifyAddress => {
                let as_compared = self.attributes.iter().map(AttributeChange::is_as_before).collect();
                self.modify(batch, None, Control { assert: Some(Filter::And(as_compared)) })
            }
        }
    }

    fn fill(&self, mut entry: Entry, batch: &Batch) -> Entry {
        for change in &self.attributes {
            for value in &change.after {
                entry.push(change.name.clone(), value.clone().into_bytes());
            }
        }
        entry.with(attr::PROVOST_LAST_BATCH, batch.id.as_str())
    }

    fn modify(&self, batch: &Batch, hash: Option<&str>, mut control: Control) -> Operation {
        let mut changes: Vec<Modification> = self.attributes.iter().map(AttributeChange::modification).collect();
        if let Some(hash) = hash {
            let name = AttributeDescription::of(attr::USER_PASSWORD);
            changes.push(Modification::add(name, vec![hash.as_bytes().to_vec()]));
            // An identity that may not read passwords takes everybody for one without: the server knows. A role, which may
            // have been given since the plan was made, takes the password out of the hands of who imports.
            let none = |attribute| Filter::Not(Box::new(Filter::present(attribute)));
            let neither = [none(attr::USER_PASSWORD), none(attr::PROVOST_ROLE)];
            control.assert = Some(Filter::And(control.assert.into_iter().chain(neither).collect()));
        }
        let last_batch = AttributeDescription::of(attr::PROVOST_LAST_BATCH);
        changes.push(Modification::replace(last_batch, vec![batch.id.clone().into_bytes()]));
        Operation::Modify(self.dn.clone(), changes, control)
    }

    /// The person who owns the address that this write makes.
    pub(crate) fn owner(&self) -> Option<Dn> {
        let owner = self.attributes.iter().find(|change| change.name.is(attr::PROVOST_OWNER))?;
        owner.after.first().and_then(|owner| Dn::parse(owner).ok())
    }

    /// A new address entry of a person.
    pub(crate) fn add_address(
        suffix: &Dn,
        address: &Address,
        owner: &Dn,
        kind: AddressKind,
        rule: crate::Rule,
    ) -> Self {
        let attribute = |name, value: &str| AttributeChange::new(name, vec![value.to_owned()], rule);
        let attributes = vec![
            attribute(attr::PROVOST_ADDRESS, address.as_str()),
            attribute(attr::PROVOST_ADDRESS_KIND, kind.as_str()),
            attribute(attr::PROVOST_OWNER, owner.as_str()),
        ];
        Self { dn: tree::address(suffix, address.as_str()), action: Action::AddAddress, attributes, password: None }
    }

    /// Another kind for an address entry.
    pub(crate) fn set_kind(suffix: &Dn, address: &Address, held: &str, kind: AddressKind, rule: crate::Rule) -> Self {
        let name = AttributeDescription::of(attr::PROVOST_ADDRESS_KIND);
        let before = Some(held).filter(|held| !held.is_empty()).map(str::to_owned).into_iter().collect();
        let after = vec![kind.as_str().to_owned()];
        let attributes = vec![AttributeChange { name, how: How::Set, before, after, rule }];
        Self { dn: tree::address(suffix, address.as_str()), action: Action::ModifyAddress, attributes, password: None }
    }
}

impl fmt::Display for Write {
    /// One line for people: the entry and what becomes of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.action {
            Action::AddAddress => "add address",
            Action::AddPerson => "add person",
            Action::ModifyPerson { .. } => "modify person",
            Action::ModifyAddress => "modify address",
        };
        write!(f, "{verb} {}", self.dn)?;
        for change in &self.attributes {
            write!(f, "; {change}")?;
        }
        if self.password.is_some() { f.write_str("; with a password") } else { Ok(()) }
    }
}

const ADDRESS_CLASSES: [&str; 2] = ["top", class::PROVOST_ADDRESS_ENTRY];
const PERSON_CLASSES: [&str; 8] = [
    "top",
    "person",
    "organizationalPerson",
    class::INET_ORG_PERSON,
    class::EDU_PERSON,
    class::INET_LOCAL_MAIL_RECIPIENT,
    class::MAIL_RECIPIENT,
    class::PROVOST_ACCOUNT,
];

fn with_classes(entry: Entry, classes: &[&'static str]) -> Entry {
    classes.iter().fold(entry, |entry, class| entry.with(attr::OBJECT_CLASS, *class))
}

/// A new address entry.
pub(crate) fn address_entry(suffix: &Dn, address: &Address, owner: &Dn, kind: AddressKind, since: &str) -> Entry {
    with_classes(Entry::new(tree::address(suffix, address.as_str())), &ADDRESS_CLASSES)
        .with(attr::PROVOST_ADDRESS, address.as_str())
        .with(attr::PROVOST_ADDRESS_KIND, kind.as_str())
        .with(attr::PROVOST_OWNER, owner.as_str())
        .with(attr::PROVOST_SINCE, since)
}

/// What every person's entry begins with: its classes and its state.
pub(crate) fn person_entry(dn: &Dn, id: uuid::Uuid) -> Entry {
    with_classes(Entry::new(dn.clone()), &PERSON_CLASSES)
        .with(attr::PROVOST_PERSON_ID, id.to_string())
        .with(attr::PROVOST_STATE, NEW_STATE)
}

/// provostState of a new account.
pub(crate) const NEW_STATE: &str = "active";

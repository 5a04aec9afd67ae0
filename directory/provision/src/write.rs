//! The single-entry writes that make up a plan, and the directory request for each.

use std::fmt;

use provost_client::WriteConditions;
use provost_credential::PasswordValues;
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class};
use serde::{Deserialize, Serialize};

use crate::attribute_change::AttributeChange;
use crate::naming::NamingNote;
use crate::source::RecordRef;
use crate::{ReasonRule, text_form, tree};

/// The kind of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The address in `mail`.
    Primary,
    /// Another address that reaches the person.
    Alias,
    /// A former primary address, which reaches the person until its end.
    Retained,
    /// The address of a mailing list, which belongs to a group.
    List,
}

/// provostAddressKind of an address that was recently taken from its owner.
pub(crate) const QUARANTINED: &str = "quarantined";

impl AddressKind {
    /// Spelling of provostAddressKind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Alias => "alias",
            Self::Retained => "retained",
            Self::List => "list",
        }
    }
}

/// One write to one entry; a plan has at most one write per entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// DN of the entry.
    #[serde(with = "text_form::dn")]
    pub dn: Dn,
    /// The kind of write and its condition.
    pub action: WriteKind,
    /// Changes of the entry's attributes. Object classes, provostSince and provostLastBatch are not listed:
    /// `Write::operation` adds them to the request. Only a write of an undo lists provostLastBatch, which it sets back.
    pub attributes: Vec<AttributeChange>,
    /// provostLastBatch of the entry before the write, for undo; `None` for a new entry and one that no batch wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_batch: Option<Box<str>>,
    /// The record whose initial password is to be hashed and set. A plan never holds the password itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<RecordRef>,
    /// How a new address was found, where its rule does not say it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<NamingNote>>,
}

/// The kind of a write and its condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WriteKind {
    /// Adds an address entry: from then on, no other person can have the address.
    AddAddress,
    /// Adds a person's entry.
    AddPerson,
    /// Adds the tombstone of a purged account.
    AddTombstone,
    /// Adds the group of a class.
    AddGroup,
    /// Modifies the group of a class if the entry is unchanged since the plan was made.
    ModifyGroup {
        /// entryCSN of the compared entry; `None` when the server shows none, and the write then does not check it.
        csn: Option<Box<str>>,
    },
    /// Modifies a person if the entry is unchanged since the plan was made.
    ModifyPerson {
        /// entryCSN of the compared entry; `None` when the server shows none, and the write then does not check it.
        csn: Option<Box<str>>,
    },
    /// Modifies an address entry if the attributes to be changed still have the values that the plan compared.
    ModifyAddress,
    /// Gives an entry former values back if it is unchanged since the plan was made.
    Restore {
        /// entryCSN of the compared entry; `None` when the server shows none, and the write then has no condition.
        csn: Option<Box<str>>,
    },
    /// Deletes an entry that an import has made, if it is unchanged since the plan was made.
    Delete {
        /// entryCSN of the compared entry; `None` when the server shows none, and the write then has no condition.
        csn: Option<Box<str>>,
    },
}

impl WriteKind {
    /// Whether the write adds an entry.
    pub(crate) fn adds(&self) -> bool {
        matches!(self, Self::AddAddress | Self::AddPerson | Self::AddTombstone | Self::AddGroup)
    }
}

/// The attribute values that all writes of one apply share.
#[derive(Clone, Debug)]
pub(crate) struct WriteContext {
    /// provostLastBatch of every entry written.
    pub(crate) id: String,
    /// GeneralizedTime: provostSince of new addresses, provostPasswordSince of initial passwords.
    pub(crate) since: String,
    /// Whether an initial password must be changed.
    pub(crate) must_change: bool,
}

/// A request to the directory (RFC 4511 §4.6, §4.7).
#[derive(Clone, Debug)]
pub(crate) enum LdapWrite {
    /// Adds an entry.
    Add(Entry),
    /// Modifies an entry, under an assertion (RFC 4528) if there is one.
    Modify(Dn, Vec<Modification>, WriteConditions),
    /// Deletes an entry, under an assertion if there is one.
    Delete(Dn, WriteConditions),
}

impl Write {
    /// The request for this write; `password` is the initial password, if the write sets one.
    pub(crate) fn operation(&self, context: &WriteContext, password: Option<&PasswordValues>) -> LdapWrite {
        match &self.action {
            WriteKind::AddAddress => {
                let entry = with_classes(Entry::new(self.dn.clone()), &ADDRESS_CLASSES);
                LdapWrite::Add(self.fill(entry, context).with(attr::PROVOST_SINCE, context.since.as_str()))
            }
            WriteKind::AddPerson => {
                let entry = self.fill(with_classes(Entry::new(self.dn.clone()), &PERSON_CLASSES), context);
                let values = password.map(|password| password.of_new_entry(context.must_change, &context.since));
                let values = values.into_iter().flatten();
                LdapWrite::Add(values.fold(entry, |entry, (name, value)| entry.with(name, value)))
            }
            WriteKind::AddGroup => {
                LdapWrite::Add(self.fill(with_classes(Entry::new(self.dn.clone()), &GROUP_CLASSES), context))
            }
            WriteKind::AddTombstone => {
                let entry = with_classes(Entry::new(self.dn.clone()), &TOMBSTONE_CLASSES);
                LdapWrite::Add(self.filled(entry))
            }
            WriteKind::ModifyPerson { csn } | WriteKind::ModifyGroup { csn } => {
                self.modify(context, password, tree::unchanged_since(csn.as_deref()))
            }
            WriteKind::ModifyAddress => {
                let as_compared = self.attributes.iter().map(AttributeChange::is_as_before).collect();
                self.modify(context, None, WriteConditions { assert: Some(Filter::And(as_compared)) })
            }
            WriteKind::Restore { csn } => {
                let changes = self.attributes.iter().flat_map(AttributeChange::modifications).collect();
                LdapWrite::Modify(self.dn.clone(), changes, tree::unchanged_since(csn.as_deref()))
            }
            WriteKind::Delete { csn } => LdapWrite::Delete(self.dn.clone(), tree::unchanged_since(csn.as_deref())),
        }
    }

    fn fill(&self, entry: Entry, context: &WriteContext) -> Entry {
        self.filled(entry).with(attr::PROVOST_LAST_BATCH, context.id.as_str())
    }

    fn filled(&self, mut entry: Entry) -> Entry {
        for change in &self.attributes {
            for value in &change.after {
                entry.push(change.name.clone(), value.clone().into_bytes());
            }
        }
        entry
    }

    fn modify(
        &self,
        context: &WriteContext,
        password: Option<&PasswordValues>,
        mut conditions: WriteConditions,
    ) -> LdapWrite {
        let mut changes: Vec<Modification> = self.attributes.iter().flat_map(AttributeChange::modifications).collect();
        if let Some(password) = password {
            let values = password.of_new_entry(context.must_change, &context.since);
            // Replace, except for the password itself: an earlier password may have left a verifier or a state.
            changes.extend(values.into_iter().map(|(name, value)| {
                let (is_password, name) = (name == attr::USER_PASSWORD, AttributeDescription::of(name));
                let value = vec![value.into_bytes()];
                if is_password { Modification::add(name, value) } else { Modification::replace(name, value) }
            }));
            // The server checks that the person has no password and no role. This program may have no right to read
            // passwords, and the person may have received a role since the plan was made: a registrar must not set the
            // password of a person with a role.
            let none = |attribute| Filter::Not(Box::new(Filter::present(attribute)));
            let neither = [none(attr::USER_PASSWORD), none(attr::PROVOST_ROLE)];
            conditions.assert = Some(Filter::And(conditions.assert.into_iter().chain(neither).collect()));
        }
        let last_batch = AttributeDescription::of(attr::PROVOST_LAST_BATCH);
        changes.push(Modification::replace(last_batch, vec![context.id.clone().into_bytes()]));
        LdapWrite::Modify(self.dn.clone(), changes, conditions)
    }

    /// A write without a password, to an entry that no batch wrote before.
    pub(crate) fn new(dn: Dn, action: WriteKind, attributes: Vec<AttributeChange>) -> Self {
        Self { dn, action, attributes, last_batch: None, password: None, note: None }
    }

    /// The write of a new address, with how it was found. Where a policy document gave the address, its entry says so.
    pub(crate) fn with_note(mut self, note: Option<&NamingNote>) -> Self {
        let Some(note) = note else { return self };
        if !note.is_of_built_in_policy() {
            let rule = self.attributes.first().map_or(ReasonRule::PrimaryAddress, |change| change.rule);
            self.attributes.push(AttributeChange::new(attr::DESCRIPTION, vec![note.to_string()], rule));
        }
        Self { note: Some(Box::new(note.clone())), ..self }
    }

    /// Whether the write concerns a person's entry, and not an address entry.
    pub(crate) fn is_of_person(&self) -> bool {
        self.dn.rdn_value(attr::PROVOST_PERSON_ID).is_some()
    }

    /// Whether the write concerns the entry of a group.
    pub(crate) fn is_of_group(&self) -> bool {
        self.dn.rdn_value(attr::CN).is_some()
            && matches!(self.action, WriteKind::AddGroup | WriteKind::ModifyGroup { .. })
    }

    /// The owner of the address that this write adds; `None` for other writes.
    pub(crate) fn owner(&self) -> Option<Dn> {
        let owner = self.attributes.iter().find(|change| change.name.is(attr::PROVOST_OWNER))?;
        owner.after.first().and_then(|owner| Dn::parse(owner).ok())
    }

    /// The write that adds an address entry for `owner`.
    pub(crate) fn add_address(suffix: &Dn, address: &Address, owner: &Dn, kind: AddressKind, rule: ReasonRule) -> Self {
        let attribute = |name, value: &str| AttributeChange::new(name, vec![value.to_owned()], rule);
        let attributes = vec![
            attribute(attr::PROVOST_ADDRESS, address.as_str()),
            attribute(attr::PROVOST_ADDRESS_KIND, kind.as_str()),
            attribute(attr::PROVOST_OWNER, owner.as_str()),
        ];
        Self::new(tree::address(suffix, address.as_str()), WriteKind::AddAddress, attributes)
    }

    /// The write that gives the entry of an address another kind, and an end or none.
    pub(crate) fn settle(
        suffix: &Dn,
        held: &HeldKind<'_>,
        kind: AddressKind,
        until: Option<&str>,
        rule: ReasonRule,
    ) -> Self {
        let set = |name, before: Option<&str>, after: Option<&str>| {
            let values = |value: Option<&str>| value.map(str::to_owned).into_iter().collect();
            AttributeChange::set(name, values(before), values(after), rule)
        };
        let held_kind = Some(held.kind).filter(|held| !held.is_empty());
        let mut attributes = vec![set(attr::PROVOST_ADDRESS_KIND, held_kind, Some(kind.as_str()))];
        if held.until != until {
            attributes.push(set(attr::PROVOST_UNTIL, held.until, until));
        }
        let last_batch = held.last_batch.map(Into::into);
        Self { last_batch, ..Self::new(tree::address(suffix, held.address), WriteKind::ModifyAddress, attributes) }
    }
}

/// The part of an address entry that [`Write::settle`] changes.
pub(crate) struct HeldKind<'a> {
    /// The address in lower case.
    pub(crate) address: &'a str,
    /// The kind as provostAddressKind has it.
    pub(crate) kind: &'a str,
    /// End of the present kind (provostUntil), GeneralizedTime.
    pub(crate) until: Option<&'a str>,
    /// The batch that last wrote the entry (provostLastBatch), which an undo puts back.
    pub(crate) last_batch: Option<&'a str>,
}

impl fmt::Display for Write {
    /// One line for people: the entry and its changes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.action {
            WriteKind::AddAddress => "add address",
            WriteKind::AddPerson => "add person",
            WriteKind::AddTombstone => "add tombstone",
            WriteKind::ModifyPerson { .. } => "modify person",
            WriteKind::AddGroup => "add group",
            WriteKind::ModifyGroup { .. } => "modify group",
            WriteKind::ModifyAddress => "modify address",
            WriteKind::Restore { .. } => "restore",
            WriteKind::Delete { .. } => "delete",
        };
        write!(f, "{verb} {}", self.dn)?;
        for change in &self.attributes {
            write!(f, "; {change}")?;
        }
        if self.password.is_some() { f.write_str("; with a password") } else { Ok(()) }
    }
}

const ADDRESS_CLASSES: [&str; 2] = ["top", class::PROVOST_ADDRESS_ENTRY];
const GROUP_CLASSES: [&str; 2] = ["top", class::PROVOST_GROUP];
const TOMBSTONE_CLASSES: [&str; 2] = ["top", class::PROVOST_TOMBSTONE];
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

/// The entry of a new address.
pub(crate) fn address_entry(suffix: &Dn, address: &Address, owner: &Dn, kind: AddressKind, since: &str) -> Entry {
    with_classes(Entry::new(tree::address(suffix, address.as_str())), &ADDRESS_CLASSES)
        .with(attr::PROVOST_ADDRESS, address.as_str())
        .with(attr::PROVOST_ADDRESS_KIND, kind.as_str())
        .with(attr::PROVOST_OWNER, owner.as_str())
        .with(attr::PROVOST_SINCE, since)
}

/// A person's entry with object classes, provostPersonId and provostState; the caller adds the rest.
pub(crate) fn person_entry(dn: &Dn, id: uuid::Uuid) -> Entry {
    with_classes(Entry::new(dn.clone()), &PERSON_CLASSES)
        .with(attr::PROVOST_PERSON_ID, id.to_string())
        .with(attr::PROVOST_STATE, NEW_STATE)
}

/// provostState of a new account.
pub(crate) const NEW_STATE: &str = "active";

//! The single-entry writes of which a plan is made, and what each asks of the directory.

use std::fmt;

use provost_client::Control;
use provost_credential::Secret;
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class};

use crate::facts::Facts;
use crate::tree;

/// What an address is to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The one that stands in `mail`.
    Primary,
    /// Another one that reaches the person.
    Alias,
}

impl AddressKind {
    /// As provostAddressKind spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Alias => "alias",
        }
    }
}

/// One write to one entry.
#[derive(Clone, Debug)]
pub enum Write {
    /// Makes the address entry: from then on nobody else can have the address.
    ClaimAddress {
        /// Which.
        address: Address,
        /// The person's DN.
        owner: Dn,
        /// What for.
        kind: AddressKind,
    },
    /// Makes the person.
    AddPerson(Box<NewPerson>),
    /// Changes the person.
    ModifyPerson {
        /// Whom.
        dn: Dn,
        /// entryCSN of what was compared: a write in between refuses ours.
        csn: Option<Box<str>>,
        /// What.
        changes: Vec<Modification>,
        /// First password, for a person who has none.
        password: Option<Secret>,
    },
    /// Changes what an address is to its owner.
    SetKind {
        /// Which.
        address: Address,
        /// Into what.
        kind: AddressKind,
    },
}

/// A person to be made.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// Where.
    pub dn: Dn,
    /// RDN: provostPersonId.
    pub id: uuid::Uuid,
    /// `registrar:12345`.
    pub source_id: String,
    /// Login.
    pub uid: String,
    /// Primary address.
    pub mail: Address,
    /// All other addresses that are the person's already, from an import that did not come to its end.
    pub aliases: Vec<Box<str>>,
    /// What the row says.
    pub facts: Facts,
    /// Initial password.
    pub password: Option<Secret>,
}

/// What is the same for all writes of one apply.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// provostLastBatch of every entry written.
    pub(crate) id: String,
    /// GeneralizedTime: provostSince of new addresses.
    pub(crate) since: String,
    /// Suffix of the tree.
    pub(crate) suffix: Dn,
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
        let last_batch = || {
            Modification::replace(
                AttributeDescription::of(attr::PROVOST_LAST_BATCH),
                vec![batch.id.clone().into_bytes()],
            )
        };
        match self {
            Self::ClaimAddress { address, owner, kind } => Operation::Add(
                address_entry(&batch.suffix, address, owner, *kind, &batch.since)
                    .with(attr::PROVOST_LAST_BATCH, batch.id.as_str()),
            ),
            Self::AddPerson(person) => {
                Operation::Add(person.entry(hash).with(attr::PROVOST_LAST_BATCH, batch.id.as_str()))
            }
            Self::ModifyPerson { dn, csn, changes, .. } => {
                let mut changes = changes.clone();
                let mut control = tree::unchanged_since(csn.as_deref());
                if let Some(hash) = hash {
                    let name = AttributeDescription::of(attr::USER_PASSWORD);
                    changes.push(Modification::add(name, vec![hash.as_bytes().to_vec()]));
                    // An identity that may not read passwords takes everybody for one without: the server knows.
                    let none = Filter::Not(Box::new(Filter::present(attr::USER_PASSWORD)));
                    control.assert = Some(Filter::And(control.assert.into_iter().chain([none]).collect()));
                }
                changes.push(last_batch());
                Operation::Modify(dn.clone(), changes, control)
            }
            Self::SetKind { address, kind } => {
                let dn = tree::address(&batch.suffix, address.as_str());
                let changes = vec![set_kind(*kind), last_batch()];
                Operation::Modify(dn, changes, Control::default())
            }
        }
    }

    /// The password that must be hashed before this write.
    pub(crate) fn password(&self) -> Option<&Secret> {
        match self {
            Self::AddPerson(person) => person.password.as_ref(),
            Self::ModifyPerson { password, .. } => password.as_ref(),
            Self::ClaimAddress { .. } | Self::SetKind { .. } => None,
        }
    }
}

/// The modification that sets an address's kind.
pub(crate) fn set_kind(kind: AddressKind) -> Modification {
    let name = AttributeDescription::of(attr::PROVOST_ADDRESS_KIND);
    Modification::replace(name, vec![kind.as_str().into()])
}

/// A new address entry.
pub(crate) fn address_entry(suffix: &Dn, address: &Address, owner: &Dn, kind: AddressKind, since: &str) -> Entry {
    Entry::new(tree::address(suffix, address.as_str()))
        .with(attr::OBJECT_CLASS, "top")
        .with(attr::OBJECT_CLASS, class::PROVOST_ADDRESS_ENTRY)
        .with(attr::PROVOST_ADDRESS, address.as_str())
        .with(attr::PROVOST_ADDRESS_KIND, kind.as_str())
        .with(attr::PROVOST_OWNER, owner.as_str())
        .with(attr::PROVOST_SINCE, since)
}

/// What every person's entry begins with: its classes and its state.
pub(crate) fn person_entry(dn: &Dn, id: uuid::Uuid) -> Entry {
    const CLASSES: [&str; 8] = [
        "top",
        "person",
        "organizationalPerson",
        class::INET_ORG_PERSON,
        class::EDU_PERSON,
        class::INET_LOCAL_MAIL_RECIPIENT,
        class::MAIL_RECIPIENT,
        class::PROVOST_ACCOUNT,
    ];
    let entry =
        Entry::new(dn.clone()).with(attr::PROVOST_PERSON_ID, id.to_string()).with(attr::PROVOST_STATE, "active");
    CLASSES.into_iter().fold(entry, |entry, class| entry.with(attr::OBJECT_CLASS, class))
}

impl NewPerson {
    fn entry(&self, hash: Option<&str>) -> Entry {
        let mut entry = person_entry(&self.dn, self.id)
            .with(attr::PROVOST_SOURCE_ID, self.source_id.as_str())
            .with(attr::UID, self.uid.as_str())
            .with(attr::MAIL, self.mail.as_str())
            .with(attr::MAIL_LOCAL_ADDRESS, self.mail.as_str());
        for alias in &self.aliases {
            entry = entry.with(attr::MAIL_LOCAL_ADDRESS, alias.as_bytes());
        }
        for (name, value) in self.facts.iter() {
            entry = entry.with(name, value);
        }
        match hash {
            Some(hash) => entry.with(attr::USER_PASSWORD, hash),
            None => entry,
        }
    }
}

impl fmt::Display for Write {
    /// One line for people; it also goes into the plan's hash, so it names everything but a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimAddress { address, owner, kind } => {
                write!(f, "add address {address} ({}) of {owner}", kind.as_str())
            }
            Self::AddPerson(person) => {
                write!(f, "add person {} uid={} mail={}", person.dn, person.uid, person.mail)?;
                write!(f, " {}={}", attr::PROVOST_SOURCE_ID, person.source_id)?;
                for alias in &person.aliases {
                    write!(f, " {}={alias}", attr::MAIL_LOCAL_ADDRESS)?;
                }
                for (name, value) in person.facts.iter() {
                    write!(f, " {name}={value:?}")?;
                }
                write_password(f, person.password.is_some())
            }
            Self::ModifyPerson { dn, csn, changes, password } => {
                write!(f, "modify person {dn} at {}", csn.as_deref().unwrap_or("any version"))?;
                for change in changes {
                    let values: Vec<_> = change.values.iter().map(|value| String::from_utf8_lossy(value)).collect();
                    write!(f, " {:?} {}={values:?}", change.op, change.attribute)?;
                }
                write_password(f, password.is_some())
            }
            Self::SetKind { address, kind } => write!(f, "set address {address} to {}", kind.as_str()),
        }
    }
}

fn write_password(f: &mut fmt::Formatter<'_>, has_one: bool) -> fmt::Result {
    if has_one { f.write_str(" with a password") } else { Ok(()) }
}

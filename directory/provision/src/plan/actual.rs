//! The present content of the directory, reduced to what planning needs.

use std::collections::{HashMap, HashSet};

use provost_client::{Directory, DirectoryError, LdapSearch, Scope};
use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class};
use tokio::task::{JoinError, JoinHandle};

use crate::attributes::{HeldAttributes, PERSON_ATTRIBUTES};
use crate::source::{person_key, without_zeros};
use crate::tree;
use crate::write::QUARANTINED;

/// The people and addresses of the directory, as far as planning needs them.
pub struct DirectoryContent {
    pub(super) suffix: Dn,
    pub(super) people: Vec<DirectoryPerson>,
    /// The person of each source id, by [`person_key`] of the id; `None` when several people have the id.
    by_source: HashMap<String, Option<usize>>,
    /// People by their source ids without leading zeros.
    by_zeros: HashMap<String, Vec<usize>>,
    by_dn: HashMap<Dn, usize>,
    /// Logins in lower case, with the index of the person.
    pub(super) uids: HashMap<Box<str>, usize>,
    /// Every address that is held or in quarantine, in lower case.
    pub(super) addresses: HashMap<Box<str>, Holding>,
    /// Addresses by owner. An owner's entry may be missing: an import may have stopped between address and person.
    by_owner: HashMap<Dn, Vec<Box<str>>>,
}

/// A person as the directory holds them: values in the directory's spelling, except for the login.
pub(super) struct DirectoryPerson {
    pub(super) dn: Dn,
    pub(super) csn: Option<Box<str>>,
    /// provostLastBatch.
    pub(super) last_batch: Option<Box<str>>,
    /// Login in lower case.
    pub(super) uid: Option<Box<str>>,
    pub(super) mail: Option<Box<str>>,
    pub(super) local_addresses: Vec<Box<str>>,
    pub(super) sources: Vec<Box<str>>,
    pub(super) has_password: bool,
    /// Whether the person has a `provostRole`.
    pub(super) has_role: bool,
    pub(super) attributes: HeldAttributes,
}

/// The owner of an address, and its kind.
pub(super) struct Holding {
    /// `None` for an address in quarantine, or when the address entry names no owner.
    pub(super) owner: Option<Dn>,
    /// provostAddressKind in lower case; `None` when only the person's attributes name the address.
    pub(super) kind: Option<Box<str>>,
    /// provostLastBatch of the address entry.
    pub(super) last_batch: Option<Box<str>>,
}

/// The people who have a source id.
pub(super) enum SourceIdState<'a> {
    Nobody,
    One(&'a DirectoryPerson),
    /// Two or more people.
    Many,
}

impl DirectoryContent {
    /// Reads people and addresses from the writable provider in two concurrent searches.
    pub async fn read(directory: &Directory) -> Result<Self, DirectoryError> {
        let suffix = directory.suffix();
        let mut attributes = PERSON_ATTRIBUTES.to_vec();
        attributes.extend([attr::UID, attr::MAIL, attr::MAIL_LOCAL_ADDRESS, attr::PROVOST_SOURCE_ID]);
        attributes.extend([attr::USER_PASSWORD, attr::PROVOST_ROLE, attr::PROVOST_LAST_BATCH, attr::ENTRY_CSN]);
        let people = read_all(directory, tree::people(suffix), class::PROVOST_ACCOUNT, &attributes);
        let attributes =
            [attr::PROVOST_ADDRESS, attr::PROVOST_ADDRESS_KIND, attr::PROVOST_OWNER, attr::PROVOST_LAST_BATCH];
        let addresses = read_all(directory, tree::addresses(suffix), class::PROVOST_ADDRESS_ENTRY, &attributes);
        let mut actual = Self::empty(suffix.clone());
        found(people.await)?.into_iter().for_each(|entry| actual.add_person(&entry));
        found(addresses.await)?.into_iter().for_each(|entry| actual.add_address(&entry));
        Ok(actual)
    }

    pub(crate) fn empty(suffix: Dn) -> Self {
        Self {
            suffix,
            people: Vec::new(),
            by_source: HashMap::new(),
            by_zeros: HashMap::new(),
            by_dn: HashMap::new(),
            uids: HashMap::new(),
            addresses: HashMap::new(),
            by_owner: HashMap::new(),
        }
    }

    pub(crate) fn add_person(&mut self, entry: &Entry) {
        let lower = |value: &str| value.to_lowercase().into_boxed_str();
        let all = |name: &str| entry.texts(name).map(Into::into).collect();
        let person = DirectoryPerson {
            dn: entry.dn.clone(),
            csn: entry.first(attr::ENTRY_CSN).map(Into::into),
            last_batch: entry.first(attr::PROVOST_LAST_BATCH).map(Into::into),
            uid: entry.first(attr::UID).map(lower),
            mail: entry.first(attr::MAIL).map(Into::into),
            local_addresses: all(attr::MAIL_LOCAL_ADDRESS),
            sources: all(attr::PROVOST_SOURCE_ID),
            has_password: !entry.values(attr::USER_PASSWORD).is_empty(),
            has_role: !entry.values(attr::PROVOST_ROLE).is_empty(),
            attributes: HeldAttributes::of_entry(entry),
        };
        let place = self.people.len();
        for source in &person.sources {
            self.by_source.entry(person_key(source)).and_modify(|known| *known = None).or_insert(Some(place));
            self.by_zeros.entry(without_zeros(source)).or_default().push(place);
        }
        for uid in entry.texts(attr::UID) {
            self.uids.insert(uid.to_lowercase().into(), place);
        }
        let addresses: HashSet<Box<str>> =
            person.local_addresses.iter().chain(&person.mail).map(|value| lower(value)).collect();
        for address in addresses {
            self.insert_address(address, Holding { owner: Some(person.dn.clone()), kind: None, last_batch: None });
        }
        self.by_dn.insert(person.dn.clone(), place);
        self.people.push(person);
    }

    pub(crate) fn add_address(&mut self, entry: &Entry) {
        let named = entry.first(attr::PROVOST_ADDRESS).map(str::to_lowercase);
        let Some(address) = named.or_else(|| entry.dn.rdn_value(attr::PROVOST_ADDRESS)) else { return };
        let kind = entry.first(attr::PROVOST_ADDRESS_KIND).unwrap_or_default().to_lowercase();
        // An address in quarantine reaches no person, and an import must not give it away.
        let owner = entry.first(attr::PROVOST_OWNER).filter(|_| kind != QUARANTINED);
        let owner = owner.and_then(|owner| Dn::parse(owner).ok());
        let last_batch = entry.first(attr::PROVOST_LAST_BATCH).map(Into::into);
        self.insert_address(address.into(), Holding { owner, kind: Some(kind.into()), last_batch });
    }

    fn insert_address(&mut self, address: Box<str>, holding: Holding) {
        if let Some(owner) = &holding.owner {
            let addresses = self.by_owner.entry(owner.clone()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address.clone());
            }
        }
        self.addresses.insert(address, holding);
    }

    /// The person known under a source id, else the one at `dn`, where a new person with this id would be created.
    pub(super) fn known(&self, source_id: &str, dn: &Dn) -> SourceIdState<'_> {
        let place = match self.by_source.get(&person_key(source_id)) {
            Some(None) => return SourceIdState::Many,
            Some(Some(place)) => Some(place),
            None => self.by_dn.get(dn),
        };
        place.and_then(|place| self.people.get(*place)).map_or(SourceIdState::Nobody, SourceIdState::One)
    }

    /// People with a source id that equals `source_id` when leading zeros are ignored.
    pub(super) fn alike(&self, source_id: &str) -> impl Iterator<Item = &DirectoryPerson> {
        let places = self.by_zeros.get(&without_zeros(source_id)).into_iter().flatten();
        places.filter_map(|place| self.people.get(*place))
    }

    /// The addresses of the person at `dn`: those whose address entry names `dn` as owner, and those without an address
    /// entry that are in the person's attributes.
    pub(super) fn held_by(&self, dn: &Dn) -> impl Iterator<Item = (&str, &Holding)> {
        let addresses = self.by_owner.get(dn).into_iter().flatten();
        addresses.filter_map(move |address| {
            let holding = self.addresses.get(address)?;
            (holding.owner.as_ref() == Some(dn)).then_some((&**address, holding))
        })
    }
}

/// Starts reading all entries of a class below `base`.
fn read_all(
    directory: &Directory,
    base: Dn,
    class: &'static str,
    attributes: &[&str],
) -> JoinHandle<Result<Vec<Entry>, DirectoryError>> {
    let search = LdapSearch {
        base,
        scope: Scope::One,
        filter: Filter::equal(attr::OBJECT_CLASS, class),
        attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
        limit: None,
    };
    let directory = directory.clone();
    tokio::spawn(async move { directory.search_provider(search).await })
}

/// The entries that [`read_all`] has read. An absent container holds none: the first start of the server creates the
/// tree.
fn found(read: Result<Result<Vec<Entry>, DirectoryError>, JoinError>) -> Result<Vec<Entry>, DirectoryError> {
    match read {
        Ok(Err(DirectoryError::NoSuchObject(_))) => Ok(Vec::new()),
        Ok(read) => read,
        Err(stopped) => Err(DirectoryError::Unavailable(format!("reading was stopped: {stopped}"))),
    }
}

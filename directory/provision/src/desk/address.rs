//! Aliases: the address entry gives an address to its owner; mailLocalAddress of the person follows.

use jiff::Timestamp;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::attr;
use serde_json::json;

use super::registry::{AddressAssignment, AddressOwnership, RegisteredAddress};
use super::{ChangeTarget, Desk, DeskError, ReadPurpose};
use crate::lifecycle::quarantine_days;
use crate::policy_documents::read_policies;
use crate::write::AddressKind;
use crate::{Permission, Principal, tree};

/// Maximum number of addresses of one person that are shown.
const ADDRESSES_MAX: usize = 200;
/// Maximum number of tries to take an address from its owner. A further try is needed when another writer has changed
/// the address entry.
const RETIRE_TRIES: usize = 3;

impl Desk {
    /// Gives an alias: writes first the audit record, then the address entry, then mailLocalAddress of the person.
    /// Returns the audit id.
    ///
    /// Giving an alias that the person already has succeeds, so an interrupted call can be repeated.
    pub async fn add_alias(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        address: &str,
    ) -> Result<String, DeskError> {
        self.give_alias(principal, &target.into(), address, None).await
    }

    /// Gives an alias as [`Desk::add_alias`] does, which ends at `until`: it then receives nothing, and the next run of
    /// the lifecycle takes it from its owner. Giving an alias that the person already has moves its end.
    pub async fn add_alias_until(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        address: &str,
        until: Timestamp,
    ) -> Result<String, DeskError> {
        if until <= Timestamp::now() {
            let rule = "the end of an alias is in the future".to_owned();
            return Err(DeskError::Invalid { field: "until", rule });
        }
        self.give_alias(principal, &target.into(), address, Some(until)).await
    }

    async fn give_alias(
        &self,
        principal: &Principal,
        target: &ChangeTarget<'_>,
        address: &str,
        until: Option<Timestamp>,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::ChangeAddresses, target).await?;
        let address = parse(address)?;
        self.check_served(&address).await?;
        self.check_unused(&address, person.dn()).await?;
        let detail = match until {
            Some(until) => json!({ "address": address, "until": until.to_string() }),
            None => json!({ "address": address }),
        };
        let mut audited_change = self.announce(principal.actor(), "address.add", person.dn(), detail).await?;
        let ownership = AddressOwnership { owner: person.dn(), kind: AddressKind::Alias, until };
        let assignment = match self.assign(&address, ownership).await {
            Ok(assignment) => assignment,
            Err(error) => return Err(self.not_assigned(audited_change, error).await),
        };
        audited_change.is_begun = !matches!(assignment, AddressAssignment::Held(None));
        if local_address_value(&person.entry, &address).is_some() {
            return self.conclude(audited_change, Ok(())).await;
        }
        let name = AttributeDescription::of(attr::MAIL_LOCAL_ADDRESS);
        let change = Modification::add(name, vec![address.as_str().into()]);
        let added = self.directory.modify(person.dn(), vec![change], tree::unchanged_since(person.csn())).await;
        if audited_change.is_begun && matches!(added, Err(DirectoryError::AssertionFailed)) {
            audited_change.is_begun = !self.give_back(&address, person.dn(), &assignment).await;
        }
        self.conclude(audited_change, added.map(drop)).await.map_err(|error| person.lost_race(error))
    }

    /// Undoes an assignment when another writer changed the person first: the caller gets an error, which means that
    /// nothing was changed. The assignment is kept when the other writer gave the person the same address.
    /// Returns `false` when the assignment could not be undone.
    async fn give_back(&self, address: &Address, owner: &Dn, assignment: &AddressAssignment) -> bool {
        let undone = async {
            let person = tree::read_provider(&self.directory, owner, &[attr::MAIL_LOCAL_ADDRESS]).await?;
            if person.is_some_and(|person| local_address_value(&person, address).is_some()) {
                return Ok(());
            }
            self.unassign(address, owner, assignment).await
        };
        let result: Result<(), DirectoryError> = undone.await;
        if let Err(error) = &result {
            tracing::warn!(%error, %address, %owner, "cannot undo an address entry: its owner keeps the refused address");
        }
        result.is_ok()
    }

    /// Takes away an alias or a retained address, which goes into quarantine unless `address-quarantine` is 0. Refuses
    /// the primary address. Returns the audit id.
    pub async fn remove_alias(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        address: &str,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::ChangeAddresses, &target.into()).await?;
        let address = parse(address)?;
        if person.entry.texts(attr::MAIL).any(|mail| mail.eq_ignore_ascii_case(address.as_str())) {
            return Err(DeskError::Invalid { field: "address", rule: "the primary address stays".to_owned() });
        }
        let registration = self.registered(&address).await?.filter(|held| held.is_held_by(person.dn()));
        let spelling = local_address_value(&person.entry, &address);
        if spelling.is_none() && registration.is_none() {
            return Err(DeskError::NotFound(address.to_string()));
        }
        let detail = json!({ "address": address });
        let mut audited_change = self.announce(principal.actor(), "address.remove", person.dn(), detail).await?;
        // Remove mailLocalAddress first: until the address entry has changed as well, no other person can get the
        // address.
        if let Some(spelling) = spelling {
            let name = AttributeDescription::of(attr::MAIL_LOCAL_ADDRESS);
            let change = Modification::delete(name, vec![spelling]);
            let written = self.directory.modify(person.dn(), vec![change], tree::unchanged_since(person.csn())).await;
            if let Err(error) = written {
                return self.conclude(audited_change, Err(error)).await.map_err(|error| person.lost_race(error));
            }
            audited_change.is_begun = true;
        }
        let removed = match registration {
            Some(registration) => {
                let setting = self.settings.get().address_quarantine;
                let policies = read_policies(&self.directory).await;
                // Unreadable policies must not keep an address with somebody who is to lose it.
                let days = policies.map_or(setting.into(), |policies| {
                    quarantine_days(&policies, &person.entry, Timestamp::now(), setting)
                });
                self.retire_from(&address, person.dn(), registration, days).await
            }
            None => Ok(()),
        };
        self.conclude(audited_change, removed).await
    }

    /// Takes the address from `owner` as [`Desk::retire`] does. An address entry that has changed since it was read is
    /// read again: the person may be written already, so the removal must be completed and not refused as outdated.
    async fn retire_from(
        &self,
        address: &Address,
        owner: &Dn,
        mut registration: RegisteredAddress,
        days: u32,
    ) -> Result<(), DirectoryError> {
        for _ in 0..RETIRE_TRIES {
            match self.retire(address, &registration, days).await {
                Err(DirectoryError::AssertionFailed | DirectoryError::NoSuchObject(_)) => {}
                ended => return ended,
            }
            match self.registered(address).await?.filter(|held| held.is_held_by(owner)) {
                Some(newer) => registration = newer,
                // Another call has taken the address away.
                None => return Ok(()),
            }
        }
        Err(DirectoryError::Unavailable(format!("the entry of {address} changes too often; remove the address again")))
    }

    /// Returns at most [`ADDRESSES_MAX`] address entries of one owner, including those in quarantine.
    pub(super) async fn addresses_of(&self, owner: &Dn, purpose: ReadPurpose) -> Result<Vec<Entry>, DeskError> {
        let search = LdapSearch {
            base: tree::addresses(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::equal(attr::PROVOST_OWNER, owner.as_str()),
            attributes: vec!["*".to_owned()],
            limit: Some(ADDRESSES_MAX),
        };
        Ok(self.read_for(purpose, search).await?.0)
    }

    /// Refuses an address outside the served domains.
    pub(super) async fn check_served(&self, address: &Address) -> Result<(), DeskError> {
        if address.domain() == self.settings.get().domain {
            return Ok(());
        }
        let dn = tree::domain(self.directory.suffix(), address.domain());
        match tree::read_provider(&self.directory, &dn, &[attr::PROVOST_DOMAIN]).await? {
            Some(_) => Ok(()),
            None => Err(DeskError::Invalid { field: "address", rule: "its domain is not served here".to_owned() }),
        }
    }

    /// Refuses an address that is the `mail` or `mailLocalAddress` of a person other than `owner`: other programs write
    /// these attributes without an address entry. In the domain of primary addresses, also refuses an address whose
    /// local part is the login of another person: `jean.roy` and `jean.roy@example.edu` must not be two people.
    pub(super) async fn check_unused(&self, address: &Address, owner: &Dn) -> Result<(), DeskError> {
        let mut either = vec![
            Filter::equal(attr::MAIL_LOCAL_ADDRESS, address.as_str()),
            Filter::equal(attr::MAIL, address.as_str()),
        ];
        if address.domain() == self.settings.get().domain {
            either.push(Filter::equal(attr::UID, address.local()));
        }
        let (people, _) = self.people(Filter::Or(either), &[attr::UID], None, ReadPurpose::Change).await?;
        match people.iter().find(|person| person.dn != *owner) {
            Some(_) => Err(DeskError::InUse(address.to_string())),
            None => Ok(()),
        }
    }
}

fn parse(address: &str) -> Result<Address, DeskError> {
    Address::parse(address).map_err(|error| DeskError::Invalid { field: "address", rule: error.to_string() })
}

/// The person's mailLocalAddress that equals `address`, in the spelling that the entry holds; `None` when there is
/// none.
fn local_address_value(person: &Entry, address: &Address) -> Option<Vec<u8>> {
    let mut values = person.values(attr::MAIL_LOCAL_ADDRESS).iter();
    values.find(|value| value.eq_ignore_ascii_case(address.as_str().as_bytes())).cloned()
}

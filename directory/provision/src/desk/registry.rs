//! The registry of addresses: one entry for each address that has an owner or is in quarantine.
//!
//! An address that is taken away goes into quarantine, unless the setting `address-quarantine` is 0. Its entry keeps
//! the former owner and the end of the quarantine, so that mail and password resets meant for the former owner do not
//! reach another person soon afterwards. It also keeps the start of the ownership (provostSince): to an owner who gets
//! the address back, mail for the owner of an earlier day (RFC 7293) is right, since nobody else had it in between.

use jiff::{Timestamp, ToSpan};
use provost_client::{DirectoryError, WriteConditions};
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::attr;

use super::{Desk, DeskError};
use crate::tree;
use crate::write::{AddressKind, QUARANTINED, address_entry};

/// Attributes read of an address entry.
const REGISTRY_ATTRIBUTES: [&str; 5] =
    [attr::PROVOST_OWNER, attr::PROVOST_ADDRESS_KIND, attr::PROVOST_SINCE, attr::PROVOST_UNTIL, attr::ENTRY_CSN];

/// An address entry as it was read.
#[derive(Clone, Debug)]
pub(super) struct RegisteredAddress(Entry);

/// Who is to have an address, as what, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressOwnership<'a> {
    pub(super) owner: &'a Dn,
    pub(super) kind: AddressKind,
    /// End of the address; `None` for none.
    pub(super) until: Option<Timestamp>,
}

/// How the owner obtained an address.
#[derive(Clone, Debug)]
pub(super) enum AddressAssignment {
    /// The owner had the address already. The value is the entry as it was before its end was moved, if it was.
    Held(Option<RegisteredAddress>),
    /// A new entry was made.
    Made,
    /// The entry left its quarantine; the value is the entry as it was before.
    Released(RegisteredAddress),
}

impl RegisteredAddress {
    /// The owner, or the former owner when the address is in quarantine.
    pub(super) fn owner(&self) -> Option<Dn> {
        self.0.first(attr::PROVOST_OWNER).and_then(|owner| Dn::parse(owner).ok())
    }

    /// Whether `owner` has the address now, and not only in quarantine.
    pub(super) fn is_held_by(&self, owner: &Dn) -> bool {
        !self.is_quarantined() && self.owner().as_ref() == Some(owner)
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.0.first(attr::PROVOST_ADDRESS_KIND).is_some_and(|kind| kind.eq_ignore_ascii_case(QUARANTINED))
    }

    /// Whether a person other than the former owner can have the address. A quarantine without an end never ends.
    fn is_quarantine_over(&self, now: Timestamp) -> bool {
        self.0.first(attr::PROVOST_UNTIL).and_then(parse_generalized).is_some_and(|until| until <= now)
    }

    fn in_quarantine(&self, address: &Address) -> DeskError {
        let until = self.0.first(attr::PROVOST_UNTIL).and_then(crate::calendar::rfc3339);
        DeskError::Quarantined { address: address.to_string(), until }
    }

    /// The assertion that the entry is unchanged since it was read (RFC 4528).
    fn unchanged(&self) -> WriteConditions {
        tree::unchanged_since(self.0.first(attr::ENTRY_CSN))
    }

    /// The modifications that restore the attribute values that were read.
    fn restore(&self) -> Vec<Modification> {
        let names = [attr::PROVOST_OWNER, attr::PROVOST_ADDRESS_KIND, attr::PROVOST_SINCE, attr::PROVOST_UNTIL];
        let value = |name| Modification::replace(AttributeDescription::of(name), self.0.values(name).to_vec());
        names.into_iter().map(value).collect()
    }
}

impl Desk {
    /// Makes a person the owner of an address: creates its entry, takes the entry out of quarantine, or finds that the
    /// person already has it. The end of an address that the person has is moved only if one is stated.
    pub(super) async fn assign(
        &self,
        address: &Address,
        ownership: AddressOwnership<'_>,
    ) -> Result<AddressAssignment, DeskError> {
        let (since, AddressOwnership { owner, kind, until }) = (Timestamp::now(), ownership);
        let entry = address_entry(self.directory.suffix(), address, owner, kind, &format_generalized(since));
        let end = until.map(format_generalized);
        let entry = end.into_iter().fold(entry, |entry, end| entry.with(attr::PROVOST_UNTIL, end));
        match self.directory.add(entry).await {
            Ok(_) => return Ok(AddressAssignment::Made),
            Err(DirectoryError::AlreadyExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match self.registered(address).await? {
            Some(held) if held.is_held_by(owner) => self.move_end(address, held, ownership).await,
            Some(held) if !held.is_quarantined() => Err(DeskError::InUse(address.to_string())),
            Some(held) if held.owner().as_ref() == Some(owner) || held.is_quarantine_over(since) => {
                self.release(address, ownership, since, &held).await.map(|()| AddressAssignment::Released(held))
            }
            Some(held) => Err(held.in_quarantine(address)),
            // The entry that made the addition fail has been removed since.
            None => Err(DeskError::Stale),
        }
    }

    async fn move_end(
        &self,
        address: &Address,
        held: RegisteredAddress,
        ownership: AddressOwnership<'_>,
    ) -> Result<AddressAssignment, DeskError> {
        let end = ownership.until.map(format_generalized);
        let is_alias = held.0.first(attr::PROVOST_ADDRESS_KIND) == Some(ownership.kind.as_str());
        let Some(end) = end.filter(|end| is_alias && held.0.first(attr::PROVOST_UNTIL) != Some(end)) else {
            return Ok(AddressAssignment::Held(None));
        };
        let change = Modification::replace(AttributeDescription::of(attr::PROVOST_UNTIL), vec![end.into_bytes()]);
        let dn = tree::address(self.directory.suffix(), address.as_str());
        self.directory.modify(&dn, vec![change], held.unchanged()).await?;
        Ok(AddressAssignment::Held(Some(held)))
    }

    async fn release(
        &self,
        address: &Address,
        ownership: AddressOwnership<'_>,
        since: Timestamp,
        registration: &RegisteredAddress,
    ) -> Result<(), DeskError> {
        let set = |name, value: &str| Modification::replace(AttributeDescription::of(name), vec![value.into()]);
        let is_returned = registration.owner().as_ref() == Some(ownership.owner);
        let begins = (!is_returned).then(|| set(attr::PROVOST_SINCE, &format_generalized(since)));
        let end = ownership.until.map(|until| format_generalized(until).into_bytes());
        let mut changes = vec![
            set(attr::PROVOST_OWNER, ownership.owner.as_str()),
            set(attr::PROVOST_ADDRESS_KIND, ownership.kind.as_str()),
            Modification::replace(AttributeDescription::of(attr::PROVOST_UNTIL), end.into_iter().collect()),
        ];
        changes.extend(begins);
        let dn = tree::address(self.directory.suffix(), address.as_str());
        self.directory.modify(&dn, changes, registration.unchanged()).await?;
        Ok(())
    }

    /// Undoes an assignment. Fails when the address entry has another owner by now.
    pub(super) async fn unassign(
        &self,
        address: &Address,
        owner: &Dn,
        assignment: &AddressAssignment,
    ) -> Result<(), DirectoryError> {
        let dn = tree::address(self.directory.suffix(), address.as_str());
        let same_owner = WriteConditions { assert: Some(Filter::equal(attr::PROVOST_OWNER, owner.as_str())) };
        match assignment {
            AddressAssignment::Held(None) => Ok(()),
            AddressAssignment::Made => self.directory.delete(&dn, same_owner).await,
            AddressAssignment::Released(before) | AddressAssignment::Held(Some(before)) => {
                self.directory.modify(&dn, before.restore(), same_owner).await.map(drop)
            }
        }
    }

    /// Takes an address from its owner. Its entry goes into quarantine for `days`, or is deleted when that is 0.
    pub(super) async fn retire(
        &self,
        address: &Address,
        registration: &RegisteredAddress,
        days: u32,
    ) -> Result<(), DirectoryError> {
        let dn = tree::address(self.directory.suffix(), address.as_str());
        if days == 0 {
            return self.directory.delete(&dn, registration.unchanged()).await;
        }
        let now = Timestamp::now();
        let until = now.saturating_add((i64::from(days) * 24).hours()).unwrap_or(Timestamp::MAX);
        let set = |name, value: String| Modification::replace(AttributeDescription::of(name), vec![value.into()]);
        let changes = vec![
            set(attr::PROVOST_ADDRESS_KIND, QUARANTINED.to_owned()),
            set(attr::PROVOST_UNTIL, format_generalized(until)),
        ];
        self.directory.modify(&dn, changes, registration.unchanged()).await.map(drop)
    }

    /// The entry of an address on the writable provider; `None` when there is none.
    pub(super) async fn registered(&self, address: &Address) -> Result<Option<RegisteredAddress>, DirectoryError> {
        let dn = tree::address(self.directory.suffix(), address.as_str());
        Ok(tree::read_provider(&self.directory, &dn, &REGISTRY_ATTRIBUTES).await?.map(RegisteredAddress))
    }
}

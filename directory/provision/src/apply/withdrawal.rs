//! Takes back the addresses that a refused change has given.

use provost_client::{DirectoryError, WriteConditions, WriteReceipt};
use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class};

use super::error::PersonFailure;
use super::perform::{Performer, receipt};
use crate::journal::{JournalError, WriteOutcome};
use crate::write::{Write, WriteKind};
use crate::{PersonChange, tree};

impl Performer<'_> {
    /// Deletes the address entries that the batch made with the first `begun` writes of a change whose next write was
    /// refused: a person who was not applied has no new address either. Returns how many were deleted.
    ///
    /// An entry stays when another writer has meanwhile given its owner the address, or has changed the entry. When the
    /// directory cannot be asked, the entry stays and keeps the address for its owner.
    pub(super) async fn withdraw(
        &self,
        place: u32,
        change: &PersonChange,
        begun: usize,
    ) -> Result<usize, PersonFailure> {
        let mut withdrawn = 0;
        for (number, write) in (0u32..).zip(&change.writes).take(begun) {
            let Some(owner) = write.owner().filter(|_| write.action == WriteKind::AddAddress) else { continue };
            match self.withdraw_from(write, &owner).await {
                Ok(true) => {
                    let receipt = receipt((place, number), write, WriteOutcome::NotDone, WriteReceipt::default());
                    let recorded = self.journal.record(receipt).await;
                    recorded.map_err(|error| PersonFailure::Stop(JournalError::from(error).into()))?;
                    withdrawn += 1;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, address = %write.dn, %owner, "cannot take an address back: its owner keeps it");
                }
            }
        }
        Ok(withdrawn)
    }

    /// Deletes the entry of an address unless the owner has the address; `false` when the entry stays.
    async fn withdraw_from(&self, write: &Write, owner: &Dn) -> Result<bool, DirectoryError> {
        let attributes = [attr::OBJECT_CLASS, attr::MAIL, attr::MAIL_LOCAL_ADDRESS];
        let found = tree::read_provider(self.directory, owner, &attributes).await?;
        if found.is_some_and(|owner| has_address(&owner, write)) {
            return Ok(false);
        }
        let of_batch = Filter::equal(attr::PROVOST_LAST_BATCH, self.context.id.as_str());
        match self.directory.delete(&write.dn, WriteConditions { assert: Some(of_batch) }).await {
            Ok(()) => Ok(true),
            Err(DirectoryError::AssertionFailed | DirectoryError::NoSuchObject(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the owner has the address of this entry. The entry of a group does not name its addresses: a group has those
/// whose entries name it.
fn has_address(owner: &Entry, write: &Write) -> bool {
    let address = write.dn.rdn_value(attr::PROVOST_ADDRESS).unwrap_or_default();
    let mut held = owner.texts(attr::MAIL).chain(owner.texts(attr::MAIL_LOCAL_ADDRESS));
    owner.has_class(class::PROVOST_GROUP) || held.any(|held| held.eq_ignore_ascii_case(&address))
}

//! A maildrop: INBOX as of the login, with marks for the messages that QUIT will delete (RFC 1939 §5).

use provost_store::{
    AccountId, BodyId, Columns, MailboxId, MailboxName, MessageSelection, MessageStore, StoreError, Uid, UidSet,
    UidValidity,
};

use crate::command::MessageNumber;

/// A message of the maildrop. Its number is its position from 1 and does not change during a session.
#[derive(Clone, Debug)]
pub(crate) struct MaildropMessage {
    pub(crate) uid: Uid,
    pub(crate) octets: u64,
    pub(crate) body: BodyId,
    deleted: bool,
}

/// A snapshot of one account's INBOX.
#[derive(Debug)]
pub(crate) struct Maildrop {
    pub(crate) mailbox: MailboxId,
    uid_validity: UidValidity,
    messages: Vec<MaildropMessage>,
}

impl Maildrop {
    /// Reads INBOX as it is now. Later messages appear in the next session.
    pub(crate) async fn open(store: &dyn MessageStore, account: AccountId) -> Result<Self, StoreError> {
        let snapshot = store.snapshot(account, None).await?;
        let inbox = snapshot.mailbox(&MailboxName::inbox()).ok_or(StoreError::Gone)?;
        let mut maildrop = Self { mailbox: inbox.id, uid_validity: inbox.uid_validity, messages: Vec::new() };
        // An empty INBOX, such as that of an account that was never written, needs no read.
        if inbox.messages == 0 {
            return Ok(maildrop);
        }
        let read = store.read(account, inbox.id, MessageSelection::all(), Columns::NONE, Some(snapshot.token)).await?;
        maildrop.messages = read
            .rows
            .into_iter()
            .map(|row| row.meta)
            .map(|meta| MaildropMessage { uid: meta.uid, octets: meta.octets, body: meta.body, deleted: false })
            .collect();
        maildrop.messages.shrink_to_fit();
        Ok(maildrop)
    }

    /// The message of that number; `None` when it does not exist or is marked as deleted.
    pub(crate) fn message(&self, number: MessageNumber) -> Option<&MaildropMessage> {
        self.messages.get(index(number)?).filter(|message| !message.deleted)
    }

    /// Marks a message as deleted; `false` when it does not exist or is marked already.
    pub(crate) fn delete(&mut self, number: MessageNumber) -> bool {
        let message = index(number).and_then(|index| self.messages.get_mut(index)).filter(|message| !message.deleted);
        message.map(|message| message.deleted = true).is_some()
    }

    /// Clears all deletion marks.
    pub(crate) fn reset(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
    }

    /// The messages that are not marked, with their numbers.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (usize, &MaildropMessage)> {
        self.messages
            .iter()
            .enumerate()
            .filter(|(_, message)| !message.deleted)
            .map(|(index, message)| (index + 1, message))
    }

    /// The number of messages that are not marked, and their octets.
    pub(crate) fn totals(&self) -> (usize, u64) {
        self.listed().fold((0, 0), |(count, octets), (_, message)| (count + 1, octets + message.octets))
    }

    /// The unique-id for UIDL (RFC 1939 §7): the same in all sessions, and never reused for another message.
    pub(crate) fn unique_id(&self, message: &MaildropMessage) -> String {
        format!("{}.{}", self.uid_validity.get(), message.uid.get())
    }

    /// The UIDs of the marked messages; empty when QUIT has nothing to delete.
    pub(crate) fn deleted(&self) -> UidSet {
        UidSet::from_uids(self.messages.iter().filter(|message| message.deleted).map(|message| message.uid))
    }
}

fn index(number: MessageNumber) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

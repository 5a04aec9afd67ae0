//! A maildrop: INBOX as it was at login, with marks for what QUIT will take away (RFC 1939 §5).

use provost_store::{
    AccountId, BodyId, Columns, MailboxId, MailboxName, MessageStore, StoreError, Uid, UidSet, UidValidity, Which,
};

use crate::command::Number;

/// A message of the maildrop. Numbers, counted from one, are its place and do not change during a session.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) uid: Uid,
    pub(crate) octets: u64,
    pub(crate) body: BodyId,
    deleted: bool,
}

/// INBOX of one account, fixed.
#[derive(Debug)]
pub(crate) struct Maildrop {
    pub(crate) mailbox: MailboxId,
    uid_validity: UidValidity,
    messages: Vec<Message>,
}

impl Maildrop {
    /// Reads INBOX as it is now. Messages that come later are for the next session.
    pub(crate) async fn open(store: &dyn MessageStore, account: AccountId) -> Result<Self, StoreError> {
        let snapshot = store.snapshot(account, None).await?;
        let inbox = snapshot.mailbox(&MailboxName::inbox()).ok_or(StoreError::Gone)?;
        let mut maildrop = Self { mailbox: inbox.id, uid_validity: inbox.uid_validity, messages: Vec::new() };
        // An account that was never written has an INBOX, and no changes in it to ask for.
        if inbox.messages == 0 {
            return Ok(maildrop);
        }
        let read = store.read(account, inbox.id, Which::all(), Columns::NONE, Some(snapshot.token)).await?;
        maildrop.messages = read
            .rows
            .into_iter()
            .map(|row| row.meta)
            .map(|meta| Message { uid: meta.uid, octets: meta.octets, body: meta.body, deleted: false })
            .collect();
        maildrop.messages.shrink_to_fit();
        Ok(maildrop)
    }

    /// The message of that number, unless it is marked as deleted.
    pub(crate) fn message(&self, number: Number) -> Option<&Message> {
        self.messages.get(place(number)?).filter(|message| !message.deleted)
    }

    /// Marks a message as deleted. `false` when it is not there or marked already.
    pub(crate) fn delete(&mut self, number: Number) -> bool {
        let message = place(number).and_then(|place| self.messages.get_mut(place)).filter(|message| !message.deleted);
        message.map(|message| message.deleted = true).is_some()
    }

    /// Lifts all marks.
    pub(crate) fn reset(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
    }

    /// What is not marked, with its number.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages
            .iter()
            .enumerate()
            .filter(|(_, message)| !message.deleted)
            .map(|(place, message)| (place + 1, message))
    }

    /// How many are not marked, and their octets.
    pub(crate) fn totals(&self) -> (usize, u64) {
        self.listed().fold((0, 0), |(count, octets), (_, message)| (count + 1, octets + message.octets))
    }

    /// RFC 1939 §7: the same for a message in all sessions, and never another's.
    pub(crate) fn unique_id(&self, message: &Message) -> String {
        format!("{}.{}", self.uid_validity.0, message.uid.0)
    }

    /// The UIDs marked; empty when QUIT has nothing to do.
    pub(crate) fn deleted(&self) -> UidSet {
        UidSet::from_uids(self.messages.iter().filter(|message| message.deleted).map(|message| message.uid))
    }
}

fn place(number: Number) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

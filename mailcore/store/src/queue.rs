//! Rows of the queue: messages that wait to be sent on. The scheduling logic is in the room `queue`.

use bytes::Bytes;
use provost_message::{Envelope, Path, Recipient};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BoxFuture, StoreError};

/// A queued message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(pub Uuid);

/// One recipient's fate so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientState {
    /// Whom.
    pub path: Path,
    /// How often it was tried.
    pub attempts: u32,
    /// The last temporary failure, for people.
    pub last_error: Option<String>,
}

/// A queued message without its body. Recipients that are done are no longer in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueItem {
    /// Its key.
    pub id: QueueId,
    /// Reverse-path; `None` is `<>`.
    pub reverse_path: Option<Path>,
    /// Those still to do.
    pub recipients: Vec<RecipientState>,
    /// BODY=8BITMIME.
    pub eight_bit: bool,
    /// When it came, seconds since 1970.
    pub queued_at: i64,
    /// When it is due next, seconds since 1970.
    pub due_at: i64,
    /// Octets of the body.
    pub octets: u64,
}

impl QueueItem {
    /// As it comes in: due at once, nothing tried yet.
    pub fn new(id: QueueId, envelope: Envelope, octets: u64, now: i64) -> Self {
        let untried = |to: Recipient| RecipientState { path: to.path, attempts: 0, last_error: None };
        Self {
            id,
            reverse_path: envelope.reverse_path,
            recipients: envelope.recipients.into_iter().map(untried).collect(),
            eight_bit: envelope.eight_bit,
            queued_at: now,
            due_at: now,
            octets,
        }
    }
}

/// The queue's rows. Same engines, same durability as the messages.
pub trait QueueStore: Send + Sync + 'static {
    /// Puts a message in; durable when it resolves. The same id again changes nothing, for seven days also after the
    /// item was removed.
    fn enqueue(&self, id: QueueId, envelope: Envelope, body: Bytes, now: i64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes up to `most` items that are due and not leased, each for `lease_seconds`.
    fn take_due(&self, now: i64, most: usize, lease_seconds: i64) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>>;

    /// The body of an item.
    fn queued_body(&self, id: QueueId) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// Puts the item back with what is left to do (`recipients`) and when (`due_at`); no recipients left removes it. Ends
    /// the lease. An item that is not there (any more) stays away.
    fn settle(&self, item: QueueItem) -> BoxFuture<'_, Result<(), StoreError>>;

    /// All items, oldest first, at most `most`.
    fn list(&self, most: usize) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>>;

    /// Earliest due time of an item that is not leased. A lease that ran out counts until the next `take_due`.
    fn next_due(&self) -> BoxFuture<'_, Result<Option<i64>, StoreError>>;
}

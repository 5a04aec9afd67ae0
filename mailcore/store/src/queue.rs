//! Rows of the queue: outgoing messages. The schedule is in the room `queue`.
//!
//! A row is one message for one destination. Every engine keeps these rules:
//!
//! 1. A message is queued once: until seven days after its last row ended, queuing the same id again changes nothing.
//! 2. One worker at a time takes a row. The taking is counted durably before the worker gets the row, and its number is
//!    part of the [`Claim`] that the worker presents with all later operations. A worker whose lease has ended, and
//!    whose row another worker has taken, is [`Fenced`](LeaseError::Fenced).
//! 3. The remaining recipients of an attempt and the messages that it causes are written in one transaction.
//! 4. An unreadable row, and one taken [`UNSETTLED_MAX`] times in a row without an outcome, is set aside: kept and
//!    listed, but never taken again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Envelope, EnvelopeId, Path, Recipient, ReturnContent};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::time::{earlier, later, whole_second};
use crate::{BoxFuture, LeaseError, StoreError};

/// Number of consecutive takings without a recorded outcome, for instance after a crash, at which a row is set aside
/// instead of taken again. One crash may have any cause; five in a row are probably the row's fault.
pub const UNSETTLED_MAX: u32 = 5;
/// A lease that would be extended by this or less is not renewed. Most attempts take less than a second, so they need
/// no commit for a renewal.
const RENEW_SLACK: Duration = Duration::from_secs(60);
/// First octet of an encoded [`KeptEnvelope`]: the version of its layout.
const ENVELOPE_VERSION: u8 = 2;

/// The id of a queued message, shared by all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(Uuid);

impl QueueId {
    /// Returns the octets of the id.
    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Makes the id of a message.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the uuid.
    pub const fn get(self) -> Uuid {
        self.0
    }
}

/// A message to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The id of the message: a repeated id changes nothing.
    pub id: QueueId,
    /// The envelope; a message without recipients is dropped.
    pub envelope: Envelope,
    /// The whole message, with CRLF line ends.
    pub body: Bytes,
    /// When it was queued and is first due.
    pub when: Timestamp,
}

/// The destination of a row: the recipients' domain in lower case, empty for `postmaster` without a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination(Box<str>);

impl Destination {
    /// Returns the destination of a recipient.
    pub fn of(path: &Path) -> Self {
        Self(path.domain().to_ascii_lowercase().into())
    }

    /// Restores a destination that an engine stored.
    pub(crate) fn of_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the domain; empty is this host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The engine's key of a row. Opaque. The engine may reuse it when the row has ended, so only the key together with the
/// message's id names a row for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(pub(crate) u64);

/// One recipient that is not settled yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// The recipient, with the parameters of RFC 3461.
    pub recipient: Recipient,
    /// The last temporary failure, as text for people.
    pub last_error: Option<String>,
}

impl From<Recipient> for QueuedRecipient {
    /// Makes a recipient that no attempt has tried yet.
    fn from(recipient: Recipient) -> Self {
        Self { recipient, last_error: None }
    }
}

/// A queued message for one destination, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// The engine's key of the row.
    pub key: RowKey,
    /// The id of the message.
    pub id: QueueId,
    /// The domain of all its recipients.
    pub destination: Destination,
    /// The reverse-path; `None` is `<>`, or unknown when the row is unreadable.
    pub reverse_path: Option<Path>,
    /// The recipients that are not settled; empty when the row is unreadable.
    pub recipients: Vec<QueuedRecipient>,
    /// Whether BODY=8BITMIME was declared.
    pub eight_bit: bool,
    /// ENVID (RFC 3461 §4.4).
    pub envelope_id: Option<EnvelopeId>,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<ReturnContent>,
    /// How often the row was taken.
    pub attempts: u32,
    /// When the message was queued.
    pub queued_at: Timestamp,
    /// When the row is next due.
    pub due_at: Timestamp,
    /// End of the lease at the time of this read; `None` when no worker has the row. The end may be past: the lease of
    /// a worker that died remains until the row is taken again.
    pub held_until: Option<Timestamp>,
    /// Octets of the body.
    pub octets: u64,
    /// Why the row was set aside; `None` when it was not.
    pub set_aside: Option<String>,
}

impl QueueRow {
    /// Returns the envelope with these recipients.
    pub fn envelope(&self, recipients: Vec<Recipient>) -> Envelope {
        Envelope {
            reverse_path: self.reverse_path.clone(),
            recipients,
            eight_bit: self.eight_bit,
            envelope_id: self.envelope_id.clone(),
            ret: self.ret,
        }
    }
}

/// The right to one row, valid until another worker takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub(crate) key: RowKey,
    pub(crate) id: QueueId,
    /// The number of this taking.
    pub(crate) attempt: u32,
}

/// A taken row, and the claim to it.
#[derive(Clone, Debug)]
pub struct TakenRow {
    /// The row, with this taking counted.
    pub row: QueueRow,
    /// The claim, presented with every operation on the row.
    pub claim: Claim,
}

/// The limits of a taking.
#[derive(Clone, Debug)]
pub struct TakeLimits {
    /// The present time.
    pub now: Timestamp,
    /// Maximum number of rows.
    pub rows_max: usize,
    /// Length of each lease.
    pub lease: Duration,
    /// Maximum number of rows of one destination, running attempts included.
    pub per_destination: usize,
    /// Number of running attempts by destination.
    pub running: HashMap<Destination, usize>,
    /// Rows whose attempts run in this worker. They are not taken even after their leases ended: a worker that was
    /// frozen after it handed over a message has yet to read the outcome, and must not send the message again.
    pub held_rows: HashSet<RowKey>,
}

impl TakeLimits {
    /// Makes limits of `rows_max` rows, whatever their destinations.
    pub fn any(now: Timestamp, rows_max: usize, lease: Duration) -> Self {
        Self { now, rows_max, lease, per_destination: usize::MAX, running: HashMap::new(), held_rows: HashSet::new() }
    }

    /// Whether one more row of a destination may be taken.
    pub(crate) fn has_room_for(&self, destination: &Destination) -> bool {
        self.running.get(destination).is_none_or(|running| *running < self.per_destination)
    }

    /// Counts a taken row.
    pub(crate) fn count(&mut self, destination: &Destination) {
        self.rows_max = self.rows_max.saturating_sub(1);
        *self.running.entry(destination.clone()).or_default() += 1;
    }
}

/// Numbers of rows by state, and when the oldest was queued. Each row is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTally {
    /// Not due yet.
    pub waiting: u64,
    /// Due, and not taken, or taken by a worker whose lease has ended.
    pub due: u64,
    /// Taken by a worker whose lease has not ended.
    pub taken: u64,
    /// Never taken again.
    pub set_aside: u64,
    /// When the oldest message that is not set aside was queued.
    pub oldest: Option<Timestamp>,
}

impl QueueTally {
    /// Counts one row by its state at `now`.
    fn count(&mut self, row: &QueueRow, now: Timestamp) {
        if row.set_aside.is_some() {
            self.set_aside += 1;
            return;
        }
        match row.held_until {
            Some(until) if until > now => self.taken += 1,
            _ if row.due_at > now => self.waiting += 1,
            _ => self.due += 1,
        }
        self.oldest = self.oldest.into_iter().chain([row.queued_at]).min();
    }

    /// Adds the rows of another shard.
    pub(crate) fn add(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.due += other.due;
        self.taken += other.taken;
        self.set_aside += other.set_aside;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
    }
}

/// What an attempt leaves of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptOutcome {
    /// The recipients that are not settled; without any, the row is removed.
    pub recipients: Vec<QueuedRecipient>,
    /// When they are next due.
    pub due_at: Timestamp,
    /// The time of the settling.
    pub now: Timestamp,
}

/// The rows of the queue, kept by the same engines and as durably as messages. Messages that a delivery causes are
/// queued by the delivery's own batch, with [`Op::Enqueue`](crate::Op::Enqueue) and
/// [`Op::RememberReply`](crate::Op::RememberReply).
pub trait QueueStore: Send + Sync + 'static {
    /// Queues a message; durable when it resolves. A repeated id changes nothing.
    fn enqueue(&self, outgoing: NewMessage) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes due rows that no worker holds, the longest due first, and counts the taking durably. Sets aside unreadable
    /// rows, and rows taken too often without an outcome.
    fn take_due(&self, take: TakeLimits) -> BoxFuture<'_, Result<Vec<TakenRow>, StoreError>>;

    /// Returns the body of a row. Damaged when it is missing or its checksum is wrong; gone when the row is gone.
    fn queued_body(&self, row: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// Proves that the row is still the worker's, for at least `lease` less a minute, counted from `now`.
    /// Fenced when another worker has taken or settled it: then nothing may be sent.
    fn prove(&self, claim: Claim, now: Timestamp, lease: Duration) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Records the result of a part of an attempt: the recipients that are left, tried or not, and the messages that
    /// the attempt caused, both or neither. The lease lasts at least until `held_until`. Fenced as in
    /// [`QueueStore::settle`].
    fn advance(
        &self,
        claim: Claim,
        remaining: Vec<QueuedRecipient>,
        held_until: Timestamp,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Ends a taking: stores the remaining recipients and queues the messages that the attempt caused, both or neither.
    /// Fenced, without a change, when the row is no longer the worker's.
    fn settle(
        &self,
        claim: Claim,
        outcome: AttemptOutcome,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Returns all rows, set-aside ones included, oldest first, at most `limit`.
    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>>;

    /// Counts all rows by their state at `now`. An engine overrides this when it can count without loading the rows.
    fn tally(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueTally, StoreError>> {
        Box::pin(async move {
            let mut tally = QueueTally::default();
            self.list(usize::MAX).await?.iter().for_each(|row| tally.count(row, now));
            Ok(tally)
        })
    }

    /// Returns the earliest time after `after` at which a row becomes due or a lease ends; `None` when nothing will.
    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>>;

    /// Ticks after messages were queued by any means. Ticks may be lost; only `take_due` shows whether a row is due.
    fn arrivals(&self) -> watch::Receiver<u64>;
}

/// Returns the end of a lease that begins at `now`. In a row, second 0 stands for no lease, so the end is at least
/// second 1.
pub(crate) fn lease_end(now: Timestamp, lease: Duration) -> Timestamp {
    whole_second(later(now, lease)).max(later(Timestamp::UNIX_EPOCH, Duration::from_secs(1)))
}

/// Whether a lease until `held_until` has not ended at `now` and lasts for at least `lease` less [`RENEW_SLACK`], so
/// that it need not be renewed.
pub(crate) fn is_long_enough(held_until: Timestamp, now: Timestamp, lease: Duration) -> bool {
    held_until > now && held_until >= earlier(later(whole_second(now), lease), RENEW_SLACK)
}

/// Groups recipients by destination, in the order of first occurrence.
pub(crate) fn by_destination(recipients: &[Recipient]) -> Vec<(Destination, Vec<QueuedRecipient>)> {
    let mut rows: Vec<(Destination, Vec<QueuedRecipient>)> = Vec::new();
    let mut indices: HashMap<Destination, usize> = HashMap::new();
    for recipient in recipients {
        let destination = Destination::of(&recipient.path);
        let index = *indices.entry(destination.clone()).or_insert(rows.len());
        if index == rows.len() {
            rows.push((destination, Vec::new()));
        }
        if let Some((_, row)) = rows.get_mut(index) {
            row.push(recipient.clone().into());
        }
    }
    rows
}

/// The part of a row that an engine stores as octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptEnvelope {
    pub(crate) reverse_path: Option<Path>,
    pub(crate) eight_bit: bool,
    pub(crate) envelope_id: Option<EnvelopeId>,
    pub(crate) ret: Option<ReturnContent>,
    pub(crate) recipients: Vec<QueuedRecipient>,
}

impl KeptEnvelope {
    pub(crate) fn new(envelope: &Envelope, recipients: Vec<QueuedRecipient>) -> Self {
        Self {
            reverse_path: envelope.reverse_path.clone(),
            eight_bit: envelope.eight_bit,
            envelope_id: envelope.envelope_id.clone(),
            ret: envelope.ret,
            recipients,
        }
    }

    /// Encodes the envelope, with the version of the layout first.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let encoded = postcard::to_extend(self, vec![ENVELOPE_VERSION]);
        encoded.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// Decodes an envelope. The error is the reason why its row is set aside.
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, String> {
        match octets.split_first() {
            Some((&ENVELOPE_VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|error| format!("unreadable: {error}"))
            }
            Some((version, _)) => Err(format!("unreadable: written in layout {version}")),
            None => Err("unreadable: empty".into()),
        }
    }
}

/// Returns the reason for setting aside a row that was taken too often without an outcome.
pub(crate) fn unsettled(takings: u32) -> String {
    format!("taken {takings} times in a row without an outcome: each attempt crashed or was cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_grouped_by_destination() {
        let recipients = ["a@x.example", "b@y.example", "c@X.Example", "postmaster"];
        let recipients = recipients.map(|path| Recipient::from(Path::parse(path).unwrap()));
        let rows: Vec<(String, usize)> =
            by_destination(&recipients).into_iter().map(|(to, all)| (to.as_str().to_owned(), all.len())).collect();
        assert_eq!(rows, [("x.example".into(), 2), ("y.example".into(), 1), (String::new(), 1)]);
    }

    #[test]
    fn other_layouts_and_truncated_envelopes_are_refused() {
        let envelope = Envelope::new(None, [Path::parse("a@b.example").unwrap()]);
        let kept = KeptEnvelope::new(&envelope, envelope.recipients.iter().cloned().map(Into::into).collect());
        let octets = kept.encode().unwrap();
        assert_eq!(KeptEnvelope::decode(&octets), Ok(kept));
        for wrong in [&[][..], &octets[1..], &octets[..octets.len() - 1], &[1, 2, 3]] {
            assert!(KeptEnvelope::decode(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! Rows of the queue: messages on their way out. The scheduling logic is in the room `queue`.
//!
//! A row is one message for one destination. What must hold in every engine:
//!
//! 1. A message comes in once: its id again changes nothing, for seven days also after its last row went.
//! 2. A row is taken by one worker at a time. The taking is counted, durably, before the worker sees the row; the number of
//!    the taking is what the worker presents with all that it does to the row ([`Claim`]). A worker whose lease ended while
//!    another one took the row is [`Fenced`](LeaseError::Fenced).
//! 3. What an attempt leaves to do and what it causes are one transaction.
//! 4. A row that cannot be read, or was taken [`UNSETTLED_MAX`] times without an outcome, is set aside: kept and listed,
//!    never taken again.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use provost_message::{Envelope, EnvelopeId, Path, Recipient, Return};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{BoxFuture, LeaseError, StoreError};

/// Takings of a row in sequence that end without an outcome (a crash, a panic) before it is set aside. One crash may have
/// any cause; five in a row while the same row is taken are its fault.
pub const UNSETTLED_MAX: u32 = 5;
/// A lease that has less than this to lose by it is not prolonged, seconds: most attempts take no second, and spare a commit.
pub(crate) const RENEW_SLACK_SECONDS: i64 = 60;
/// First octet of an encoded row: another number is another layout.
const ROW_VERSION: u8 = 2;

/// A message of the queue, whatever its destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(pub Uuid);

/// A message that comes into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Key of the message: the same id again changes nothing.
    pub id: QueueId,
    /// To at least one recipient; to none it is dropped.
    pub envelope: Envelope,
    /// The whole message, CRLF line ends.
    pub body: Bytes,
    /// When it came in, and is due first: seconds since 1970.
    pub when: i64,
}

/// Where a row goes: the domain of its recipients in lower case, empty for `postmaster` without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination(Box<str>);

impl Destination {
    /// The domain of a recipient.
    pub fn of(path: &Path) -> Self {
        Self(path.domain().to_ascii_lowercase().into())
    }

    /// As an engine kept it.
    pub(crate) fn kept(text: &str) -> Self {
        Self(text.into())
    }

    /// The domain; empty is this host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The engine's name for a row. Opaque; only together with the message's id does it name one row for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(pub(crate) u64);

/// One recipient that is still to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// Whom, with the parameters of RFC 3461.
    pub recipient: Recipient,
    /// The last temporary failure, for people.
    pub last_error: Option<String>,
}

impl From<Recipient> for QueuedRecipient {
    /// Nothing tried yet.
    fn from(recipient: Recipient) -> Self {
        Self { recipient, last_error: None }
    }
}

/// A message for one destination, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// The engine's name for it.
    pub key: RowKey,
    /// The message.
    pub id: QueueId,
    /// The domain that all its recipients have.
    pub destination: Destination,
    /// Reverse-path; `None` is `<>`. Of a row that cannot be read as well.
    pub reverse_path: Option<Path>,
    /// Those still to do. None when the row cannot be read.
    pub recipients: Vec<QueuedRecipient>,
    /// BODY=8BITMIME.
    pub eight_bit: bool,
    /// ENVID.
    pub envelope_id: Option<EnvelopeId>,
    /// RET.
    pub ret: Option<Return>,
    /// How often it was taken.
    pub attempts: u32,
    /// When the message came in, seconds since 1970.
    pub queued_at: i64,
    /// When it is due next, seconds since 1970.
    pub due_at: i64,
    /// Until when the worker that took it held it when this was read; `None` while nobody did. One that is gone holds it as well.
    pub held_until: Option<i64>,
    /// Octets of the body.
    pub octets: u64,
    /// Why it was set aside.
    pub set_aside: Option<String>,
}

impl QueueRow {
    /// The envelope for some of its recipients.
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

/// The right to one row, for as long as no other worker has taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub(crate) key: RowKey,
    pub(crate) id: QueueId,
    /// Which taking of the row this is.
    pub(crate) attempt: u32,
}

/// A row that was taken, and the right to it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// As it is now, this taking counted.
    pub row: QueueRow,
    /// To be presented with all that is done to it.
    pub claim: Claim,
}

/// What a worker can take.
#[derive(Clone, Debug)]
pub struct Take {
    /// Seconds since 1970.
    pub now: i64,
    /// Rows at most.
    pub most: usize,
    /// How long each is the worker's own, seconds.
    pub lease_seconds: i64,
    /// Rows of one destination at most, with those that run already.
    pub per_destination: usize,
    /// How many attempts run, by destination.
    pub running: HashMap<Destination, usize>,
    /// Rows whose attempts this worker has under way. They are not taken, also when their leases have ended: a worker that
    /// was frozen after a message was handed over has its outcome still to read, and must not send it once more.
    pub held: HashSet<RowKey>,
}

impl Take {
    /// Up to `most`, whatever their destinations.
    pub fn any(now: i64, most: usize, lease_seconds: i64) -> Self {
        Self { now, most, lease_seconds, per_destination: usize::MAX, running: HashMap::new(), held: HashSet::new() }
    }

    /// Whether one more row of a destination may be taken.
    pub(crate) fn has_room_for(&self, destination: &Destination) -> bool {
        self.running.get(destination).is_none_or(|running| *running < self.per_destination)
    }

    /// Counts one that is taken.
    pub(crate) fn count(&mut self, destination: &Destination) {
        self.most = self.most.saturating_sub(1);
        *self.running.entry(destination.clone()).or_default() += 1;
    }
}

/// How many rows there are in each state, and since when the oldest waits. Each row is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTally {
    /// Not due yet.
    pub waiting: u64,
    /// Due, and taken by no worker.
    pub due: u64,
    /// Taken by a worker whose lease has not ended.
    pub taken: u64,
    /// Never taken again.
    pub set_aside: u64,
    /// When the oldest message that is not set aside came in, seconds since 1970.
    pub oldest: Option<i64>,
}

impl QueueTally {
    /// Counts one row by its state at `now`, seconds since 1970.
    fn count(&mut self, row: &QueueRow, now: i64) {
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

/// What an attempt leaves to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Those still to do; none removes the row.
    pub recipients: Vec<QueuedRecipient>,
    /// When they are due, seconds since 1970.
    pub due_at: i64,
    /// The time of the settling, seconds since 1970.
    pub now: i64,
}

/// The queue's rows. Same engines, same durability as the messages. What a delivery causes comes in with the delivery's
/// own batch instead, by [`Op::Enqueue`](crate::Op::Enqueue) and [`Op::RememberReply`](crate::Op::RememberReply).
pub trait QueueStore: Send + Sync + 'static {
    /// Puts a message in; durable when it resolves. The same id again changes nothing.
    fn enqueue(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes rows that are due and that no worker holds, the longest due first. Counts the taking, durably. Sets aside what
    /// it cannot read and what was taken too often without an outcome.
    fn take_due(&self, take: Take) -> BoxFuture<'_, Result<Vec<Taken>, StoreError>>;

    /// The body of a row. Damaged when it cannot be read; gone when the row is.
    fn queued_body(&self, row: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// Proves that the row is still the worker's own, and will be for `lease_seconds` from `now` (less a minute). Fenced when
    /// another worker has taken or settled it: nothing may be sent any more.
    fn prove(&self, claim: Claim, now: i64, lease_seconds: i64) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Records what a part of an attempt came to: those who are left, tried or not, and what the part caused, both or neither.
    /// The taking goes on, until `held_until` at least, seconds since 1970. Fenced as in [`QueueStore::settle`].
    fn advance(
        &self,
        claim: Claim,
        left: Vec<QueuedRecipient>,
        held_until: i64,
        caused: Vec<Outgoing>,
    ) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Ends a taking: puts the row back with what is left and puts in what the attempt caused, both or neither. Fenced when
    /// the row is not the worker's own any more; nothing is changed then.
    fn settle(&self, claim: Claim, left: Left, caused: Vec<Outgoing>) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// All rows, those set aside too, oldest first, at most `most`.
    fn list(&self, most: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>>;

    /// Counts all rows by their state at `now`, seconds since 1970. An engine that can count without reading the rows does.
    fn tally(&self, now: i64) -> BoxFuture<'_, Result<QueueTally, StoreError>> {
        Box::pin(async move {
            let mut tally = QueueTally::default();
            self.list(usize::MAX).await?.iter().for_each(|row| tally.count(row, now));
            Ok(tally)
        })
    }

    /// The earliest time after `after` at which a row becomes due or a lease ends, seconds since 1970.
    fn next_due(&self, after: i64) -> BoxFuture<'_, Result<Option<i64>, StoreError>>;

    /// Ticks after messages came in, however they did. Lossy: truth is `take_due`.
    fn arrivals(&self) -> watch::Receiver<u64>;
}

/// Recipients by destination, in the order in which the destinations come.
pub(crate) fn by_destination(recipients: &[Recipient]) -> Vec<(Destination, Vec<QueuedRecipient>)> {
    let mut rows: Vec<(Destination, Vec<QueuedRecipient>)> = Vec::new();
    let mut places: HashMap<Destination, usize> = HashMap::new();
    for recipient in recipients {
        let destination = Destination::of(&recipient.path);
        let place = *places.entry(destination.clone()).or_insert(rows.len());
        if place == rows.len() {
            rows.push((destination, Vec::new()));
        }
        if let Some((_, row)) = rows.get_mut(place) {
            row.push(recipient.clone().into());
        }
    }
    rows
}

/// The part of a row that an engine keeps as octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptEnvelope {
    pub(crate) reverse_path: Option<Path>,
    pub(crate) eight_bit: bool,
    pub(crate) envelope_id: Option<EnvelopeId>,
    pub(crate) ret: Option<Return>,
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

    /// With the version of the layout before it.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let encoded = postcard::to_extend(self, vec![ROW_VERSION]);
        encoded.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// The error is why the row has to be set aside.
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, String> {
        match octets.split_first() {
            Some((&ROW_VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| format!("unreadable: {error}")),
            Some((version, _)) => Err(format!("unreadable: written in layout {version}")),
            None => Err("unreadable: empty".into()),
        }
    }
}

/// Why a row is set aside that was taken too often without an outcome.
pub(crate) fn unsettled(takings: u32) -> String {
    format!("taken {takings} times in a row without an outcome: each attempt crashed or was cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_sorted_by_destination() {
        let recipients = ["a@x.example", "b@y.example", "c@X.Example", "postmaster"];
        let recipients = recipients.map(|path| Recipient::from(Path::parse(path).unwrap()));
        let rows: Vec<(String, usize)> =
            by_destination(&recipients).into_iter().map(|(to, all)| (to.as_str().to_owned(), all.len())).collect();
        assert_eq!(rows, [("x.example".into(), 2), ("y.example".into(), 1), (String::new(), 1)]);
    }

    #[test]
    fn only_its_own_layout_is_read() {
        let envelope = Envelope::new(None, [Path::parse("a@b.example").unwrap()]);
        let kept = KeptEnvelope::new(&envelope, envelope.recipients.iter().cloned().map(Into::into).collect());
        let octets = kept.encode().unwrap();
        assert_eq!(KeptEnvelope::decode(&octets), Ok(kept));
        for wrong in [&[][..], &octets[1..], &octets[..octets.len() - 1], &[1, 2, 3]] {
            assert!(KeptEnvelope::decode(wrong).is_err(), "{wrong:?}");
        }
    }
}

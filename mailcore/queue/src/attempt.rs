//! One attempt at one row, in parts of at most 100 recipients: finds the fate of each recipient, then writes the
//! remaining recipients and the reports in one transaction.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::{Delivered, IncomingMessage, RecipientRefusal, batch_id};
use provost_message::{Address, Arrival, Envelope, Path, Recipient, ReportAction, ReportedRecipient, TraceId};
use provost_store::{AttemptOutcome, LeaseError, NewMessage, QueueId, QueueRow, QueuedRecipient, StoreError, TakenRow};
use provost_trace::{TraceEvent, TraceOutcome};
use provost_view::{RecipientStatus, SharedSettings};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use crate::permit::{LEASE, RowPermit};
use crate::schedule::is_expired;
use crate::{Fate, Inner, Queue, next_attempt};

/// Memory for the bodies of all running attempts, in units of [`BODY_UNIT_OCTETS`]: 64 MiB.
pub(crate) const BODY_UNITS_MAX: usize = 64 * 1024;
const BODY_UNIT_OCTETS: u64 = 1024;
/// Maximum number of recipients of a part: as many as every server accepts in one transaction (RFC 5321 §4.5.3.1.8).
/// Each part is recorded before the next one begins, so a crash repeats at most one transaction.
const PART_RECIPIENTS_MAX: usize = 100;
/// How long an attempt waits for memory for its body before it is deferred. `work::ATTEMPT_MAX` includes this.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(45);
/// How long recording an outcome is retried. After that time the lease has ended, and another worker may take the row.
const SETTLE_MAX: Duration = LEASE;
/// The pause between two of these retries.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// The route of a message to a recipient.
enum RecipientRoute {
    /// Local delivery to this address.
    Local(Address),
    /// The next hop.
    NextHop,
    /// None: this fate is known without an attempt.
    Decided(Fate),
}

/// The fates of the recipients of a part, in their order, and the body for a report.
pub(crate) struct PartFates<'a> {
    fates: Vec<Fate>,
    /// Empty when the body was not read, or could not be: a report then identifies the message by its envelope only.
    body: Bytes,
    /// Returns the memory for the body when it is dropped.
    _memory: Option<SemaphorePermit<'a>>,
}

/// The recipients of a row that were deferred in earlier parts of this attempt, and those of later parts.
pub(crate) struct RemainingRecipients {
    deferred: Vec<QueuedRecipient>,
    untried: Vec<QueuedRecipient>,
}

impl RemainingRecipients {
    /// All recipients of the row, none tried yet.
    pub(crate) fn of(row: &QueueRow) -> Self {
        Self { deferred: Vec::new(), untried: row.recipients.clone() }
    }

    /// Takes the recipients of the next part out, and returns the row with these alone.
    pub(crate) fn next_part(&mut self, taken: &TakenRow) -> TakenRow {
        let count = self.untried.len().min(PART_RECIPIENTS_MAX);
        let recipients = self.untried.drain(..count).collect();
        TakenRow { row: QueueRow { recipients, ..taken.row.clone() }, claim: taken.claim }
    }

    /// Whether no part is left.
    pub(crate) fn is_done(&self) -> bool {
        self.untried.is_empty()
    }
}

impl PartFates<'_> {
    /// Defers every recipient of the part.
    pub(crate) fn deferred(row: &QueueRow, why: &str) -> Self {
        Self { fates: vec![Fate::Deferred(why.into()); row.recipients.len()], body: Bytes::new(), _memory: None }
    }
}

impl Queue {
    /// Tries to deliver or send to each recipient of a part of a row, and returns their fates. Sets `handed_over`
    /// before the next hop can have the message. Fenced when the row is no longer this worker's.
    pub(crate) async fn try_part(
        &self,
        taken: &TakenRow,
        now: Timestamp,
        handed_over: &AtomicBool,
    ) -> Result<PartFates<'_>, LeaseError> {
        let row = &taken.row;
        let memory = self.inner.body_memory.acquire_many(body_units(row.octets));
        let Ok(Ok(memory)) = tokio::time::timeout(MEMORY_WAIT_MAX, memory).await else {
            return Ok(PartFates::deferred(row, "not enough memory for the message"));
        };
        let (body, fates) = match self.inner.store.queued_body(row).await {
            Ok(body) => {
                let permit = RowPermit { inner: &self.inner, claim: taken.claim, handed_over };
                let fates = self.fates(row, &permit, &body, now).await?;
                (body, fates)
            }
            Err(StoreError::Gone) => return Err(LeaseError::Fenced),
            Err(error) => (Bytes::new(), self.unreadable(row, &error, now)),
        };
        Ok(PartFates { fates, body, _memory: Some(memory) })
    }

    /// Records the outcome of a part: the remaining recipients and the reports. The last part releases the row, and the
    /// wait for the next attempt begins.
    ///
    /// A message that was handed over but not recorded would be sent again, so a failed write is retried for
    /// [`SETTLE_MAX`].
    pub(crate) async fn conclude(
        &self,
        part: &TakenRow,
        part_fates: PartFates<'_>,
        rest: &mut RemainingRecipients,
        now: Timestamp,
    ) -> Result<(), LeaseError> {
        let (row, PartFates { fates, body, _memory }) = (&part.row, part_fates);
        for fate in &fates {
            metrics::counter!("provost_queue_attempts_total", "outcome" => fate.as_label()).increment(1);
        }
        self.trace(row, &fates, &body, now);
        let sorted = SortedFates::of(&self.inner, row, fates, now);
        let caused = self.report(row, &sorted.reported, &body, now);
        rest.deferred.extend(sorted.deferred);
        let ended_at = (self.inner.clock)();
        let due_at = next_attempt(&self.inner.settings(), row.attempts, ended_at);
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let caused = caused.clone();
            let recorded = match rest.untried.is_empty() {
                true => {
                    let left = AttemptOutcome { recipients: rest.deferred.clone(), due_at, now: ended_at };
                    self.inner.store.settle(part.claim, left, caused).await
                }
                false => {
                    let left = rest.deferred.iter().chain(&rest.untried).cloned().collect();
                    let until = (self.inner.clock)().saturating_add(LEASE).unwrap_or(Timestamp::MAX);
                    self.inner.store.advance(part.claim, left, until, caused).await
                }
            };
            match recorded {
                Err(LeaseError::Unavailable(why)) if Instant::now() < deadline => {
                    tracing::error!(id = %row.id.get(), why, "outcome of a queue attempt not recorded, trying again");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
                recorded => return recorded,
            }
        }
    }

    /// Records one trace event for each recipient, except those delivered to: local delivery has recorded these.
    fn trace(&self, row: &QueueRow, fates: &[Fate], body: &[u8], now: Timestamp) {
        let (arrival, at) = (self.inner.arrival(row, body), (self.inner.clock)());
        let is_last = is_expired(&self.inner.settings(), row.queued_at, now);
        for (one, fate) in row.recipients.iter().zip(fates) {
            let (outcome, text) = match fate {
                Fate::Delivered => continue,
                Fate::Sent { answer, .. } => (TraceOutcome::Sent, answer),
                Fate::Failed(why) => (TraceOutcome::Failed, why),
                Fate::Deferred(why) if is_last => (TraceOutcome::Failed, why),
                Fate::Deferred(why) => (TraceOutcome::Deferred, why),
            };
            TraceEvent::new(&arrival, outcome, at).to(&one.recipient.path).message(body).text(text).record();
        }
    }

    /// Releases a row whose attempt was cut off: it is due at once for the recipients of `part` and those of `rest`.
    pub(crate) async fn put_back(
        &self,
        part: &TakenRow,
        rest: RemainingRecipients,
        why: &str,
        now: Timestamp,
    ) -> Result<(), LeaseError> {
        let left = rest.deferred.into_iter().chain(part.row.recipients.iter().cloned()).chain(rest.untried);
        let interrupted = |one: QueuedRecipient| QueuedRecipient { last_error: Some(why.into()), ..one };
        let left = AttemptOutcome { recipients: left.map(interrupted).collect(), due_at: now, now };
        self.inner.store.settle(part.claim, left, Vec::new()).await
    }

    /// The fates of a message whose body cannot be read: deferred, and failed when a damaged one's lifetime is over.
    fn unreadable(&self, row: &QueueRow, error: &StoreError, now: Timestamp) -> Vec<Fate> {
        tracing::error!(id = %row.id.get(), %error, "body of a queued message cannot be read");
        let damaged = matches!(error, StoreError::Damaged(_));
        let fate = match damaged && is_expired(&self.inner.settings(), row.queued_at, now) {
            true => Fate::Failed("the message was damaged while it waited here".into()),
            false => Fate::Deferred(error.to_string()),
        };
        vec![fate; row.recipients.len()]
    }

    /// One fate per recipient, in order.
    async fn fates(
        &self,
        row: &QueueRow,
        permit: &RowPermit<'_>,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Vec<Fate>, LeaseError> {
        let recipients = || row.recipients.iter().map(|one| &one.recipient);
        let routes: Vec<RecipientRoute> = recipients().map(|recipient| self.inner.route(&recipient.path)).collect();
        let remote = recipients().zip(&routes).filter(|(_, route)| matches!(route, RecipientRoute::NextHop));
        let remote: Vec<Recipient> = remote.map(|(recipient, _)| recipient.clone()).collect();
        let mut sent = self.send(row.envelope(remote), body, permit).await.into_iter();
        let arrival = &self.inner.arrival(row, body);
        let mut fates = Vec::with_capacity(routes.len());
        for (recipient, route) in recipients().zip(routes) {
            fates.push(match route {
                RecipientRoute::Local(address) => match permit.renew().await {
                    Ok(()) => {
                        let id = batch_id(row.id.get(), &recipient.path);
                        let address = &address;
                        self.deliver(IncomingMessage { id, arrival, recipient, address, message: body, now }).await
                    }
                    Err(LeaseError::Fenced) => return Err(LeaseError::Fenced),
                    // Not an error of the attempt: others of its recipients may have been sent the message.
                    Err(error) => Fate::Deferred(error.to_string()),
                },
                RecipientRoute::NextHop => {
                    sent.next().unwrap_or_else(|| Fate::Deferred("the next hop gave no answer".into()))
                }
                RecipientRoute::Decided(fate) => fate,
            });
        }
        Ok(fates)
    }

    async fn send(&self, envelope: Envelope, body: &Bytes, permit: &RowPermit<'_>) -> Vec<Fate> {
        match &self.inner.next_hop {
            _ if envelope.recipients.is_empty() => Vec::new(),
            Some(hop) => hop.send(&envelope, body.clone(), permit).await,
            None => vec![Fate::Deferred("no relay is configured".into()); envelope.recipients.len()],
        }
    }

    /// Delivers to one local recipient. Every attempt gives the same id, so none stores the message a second time.
    async fn deliver(&self, incoming: IncomingMessage<'_>) -> Fate {
        match self.inner.delivery.deliver(incoming).await {
            Delivered::Stored => Fate::Delivered,
            Delivered::Refused(refusal) => Fate::Failed(refusal.to_string()),
            Delivered::Unavailable(why) => Fate::Deferred(why),
        }
    }

    /// Makes the report to the reverse-path about the recipients that this part decided (RFC 5321 §6.1, RFC 3461 §6);
    /// none when none is due. Its id is derived from these recipients: a repeated part repeats the id, and no other
    /// part has it.
    fn report(
        &self,
        row: &QueueRow,
        reported: &[ReportedRecipient],
        original: &[u8],
        now: Timestamp,
    ) -> Vec<NewMessage> {
        let failed = |one: &ReportedRecipient| matches!(one.action, ReportAction::Failed { .. });
        if row.reverse_path.is_none() && reported.iter().any(failed) {
            metrics::counter!("provost_queue_double_bounces_total").increment(1);
            tracing::warn!(id = %row.id.get(), ?reported, "no bounce for failed recipients: the reverse-path is null");
        }
        let paths: Vec<String> = reported.iter().map(|one| one.recipient.path.to_string()).collect();
        let id = QueueId::new(Uuid::new_v5(&row.id.get(), format!("report {}", paths.join(" ")).as_bytes()));
        let arrived = row.queued_at;
        let envelope = row.envelope(Vec::new());
        self.inner.delivery.report(id, &envelope, reported, original, (arrived, now)).into_iter().collect()
    }
}

impl Inner {
    /// The shared settings as of this moment.
    pub(crate) fn settings(&self) -> Arc<SharedSettings> {
        Arc::clone(self.delivery.view.snapshot().settings())
    }

    /// The trace id of a message: that of its arrival if the body still shows it, else the id of the queued message.
    fn trace_id(&self, row: &QueueRow, body: &[u8]) -> TraceId {
        TraceId::of_message(body, &self.delivery.hostname).unwrap_or_else(|| row.id.get().into())
    }

    /// Restores the arrival of a message from its row and body, without recipients.
    fn arrival(&self, row: &QueueRow, body: &[u8]) -> Arrival {
        Arrival::from_queue(self.trace_id(row, body), row.envelope(Vec::new()), body)
    }

    /// Chooses the route by the present View. While the directory cannot tell whether a domain is local, its recipients
    /// are deferred: those with an address by local delivery.
    fn route(&self, path: &Path) -> RecipientRoute {
        let Some(address) = path.address().or_else(|| self.postmaster_of(path)) else {
            return self.route_without_address(path);
        };
        match self.delivery.check(&address) {
            Err(Delivered::Refused(RecipientRefusal::NotLocal)) => RecipientRoute::NextHop,
            // As at RCPT: the postmaster of the site has the mail of a domain without its own.
            Err(Delivered::Refused(RecipientRefusal::NoSuchUser)) if address.local() == "postmaster" => {
                RecipientRoute::Local(self.delivery.postmaster().unwrap_or(address))
            }
            _ => RecipientRoute::Local(address),
        }
    }

    /// Chooses the route to a path that is no address of the directory: `postmaster` of a site without one, a local
    /// part that needs quotes, or an address literal. Only another site's recipient may go to the next hop, which would
    /// return one of this site.
    fn route_without_address(&self, path: &Path) -> RecipientRoute {
        match self.delivery.view.recipient_without_address(path.domain()) {
            RecipientStatus::NotLocal => RecipientRoute::NextHop,
            RecipientStatus::Unknown => RecipientRoute::Decided(Fate::Failed(RecipientRefusal::NoSuchUser.to_string())),
            _ => RecipientRoute::Decided(Fate::Deferred("the directory cannot answer now".into())),
        }
    }

    /// RFC 5321 §4.5.1: `postmaster` without a domain is local.
    fn postmaster_of(&self, path: &Path) -> Option<Address> {
        if path.domain().is_empty() { self.delivery.postmaster() } else { None }
    }
}

/// The units of memory that a body takes: a body larger than all the memory waits for all of it, and runs alone.
fn body_units(octets: u64) -> u32 {
    let units = octets.div_ceil(BODY_UNIT_OCTETS);
    u32::try_from(units.min(BODY_UNITS_MAX as u64)).unwrap_or(u32::MAX)
}

/// The recipients of a part for whom something follows: another attempt, or a report.
struct SortedFates {
    deferred: Vec<QueuedRecipient>,
    reported: Vec<ReportedRecipient>,
}

impl SortedFates {
    fn of(inner: &Inner, row: &QueueRow, fates: Vec<Fate>, now: Timestamp) -> Self {
        let expired = is_expired(&inner.settings(), row.queued_at, now);
        let mut sorted = Self { deferred: Vec::new(), reported: Vec::new() };
        for (one, fate) in row.recipients.iter().zip(fates) {
            let action = match fate {
                Fate::Delivered | Fate::Sent { reports: true, .. } => continue,
                Fate::Sent { reports: false, .. } => ReportAction::Relayed,
                Fate::Failed(diagnostic) => ReportAction::Failed { diagnostic, expired: false },
                Fate::Deferred(diagnostic) if expired => ReportAction::Failed { diagnostic, expired },
                Fate::Deferred(why) => {
                    sorted.deferred.push(QueuedRecipient { last_error: Some(why), ..one.clone() });
                    continue;
                }
            };
            sorted.reported.push(ReportedRecipient { recipient: one.recipient.clone(), action });
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_asks_for_no_more_memory_than_there_is() {
        for (octets, units) in [(0, 0), (1, 1), (1024, 1), (1025, 2), (64 << 20, 65_536), (u64::MAX, 65_536)] {
            assert_eq!(body_units(octets), units, "{octets}");
        }
    }
}

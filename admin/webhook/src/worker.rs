//! The task that sends: one of the site's nodes follows the audit for each endpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provost_provision::{Audit, AuditRecord};
use provost_settings::WebhookEndpoint;
use provost_store::{Lease, LeaseError, MessageStore};
use rand::Rng as _;
use tokio::task::JoinHandle;

use crate::cursor::{CursorError, ReadCursor, WebhookCursors};
use crate::event::{OUTCOME, WebhookEvent, events_of};
use crate::post::Sender;
use crate::secret::WebhookSecrets;

/// Name of the lease of the sending node.
const LEASE: &str = "webhooks";
/// How long the lease stands without renewal: several requests that time out.
const LEASE_TTL: Duration = Duration::from_secs(60);
/// How often the audit is read for new records, and the lease renewed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Age from which a record is sent. A change is recorded before it is made: if it fails at once, its outcome follows
/// within this time, and no event announces what did not happen.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// Records that are read at once.
const PAGE_RECORDS: usize = 100;
/// Latest records about a person among which the outcome of a change is sought.
const OUTCOMES_SEARCHED: usize = 20;
/// First wait after a failure; each further failure doubles it.
const BACK_OFF_MIN: SignedDuration = SignedDuration::from_secs(5);
/// Longest wait after a failure.
const BACK_OFF_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What the task works with. Cheap to clone.
#[derive(Clone)]
pub struct WebhookParts {
    /// The audit, from which events come.
    pub audit: Audit,
    /// The cursors of the endpoints.
    pub cursors: WebhookCursors,
    /// The secrets on this node.
    pub secrets: WebhookSecrets,
    /// Sends the requests.
    pub sender: Sender,
    /// The endpoints in force at this moment.
    pub endpoints: Arc<dyn Fn() -> Vec<WebhookEndpoint> + Send + Sync>,
    /// Holds the lease.
    pub store: Arc<dyn MessageStore>,
}

/// Sends events until `stop` resolves. A request in progress is completed.
pub async fn run(parts: WebhookParts, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut lease: Option<Lease> = None;
    let mut tasks: HashMap<String, JoinHandle<()>> = HashMap::new();
    loop {
        lease = held(&*parts.store, lease).await;
        tasks.retain(|_, task| !task.is_finished());
        if lease.is_some() {
            start_missing(&parts, &mut tasks);
        } else {
            // Another node sends now. An event that is under way is sent twice at most.
            tasks.drain().for_each(|(_, task)| task.abort());
        }
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    tasks.into_values().for_each(|task| task.abort());
}

/// The lease, renewed or taken; `None` while another node has it or the store fails.
async fn held(store: &dyn MessageStore, lease: Option<Lease>) -> Option<Lease> {
    if let Some(lease) = lease {
        match store.renew(&lease, LEASE_TTL).await {
            Ok(()) => return Some(lease),
            Err(LeaseError::Fenced) => tracing::warn!("the lease of the webhooks has ended"),
            Err(LeaseError::Unavailable(error)) => tracing::warn!(error, "the lease of the webhooks cannot be renewed"),
        }
    }
    store.lease(LEASE, LEASE_TTL).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the lease of the webhooks cannot be taken");
        None
    })
}

/// Starts a task for each endpoint that has none: a slow receiver does not hold up the others.
fn start_missing(parts: &WebhookParts, tasks: &mut HashMap<String, JoinHandle<()>>) {
    for endpoint in (parts.endpoints)().into_iter().filter(|endpoint| !endpoint.paused) {
        tasks.entry(endpoint.name.clone()).or_insert_with(|| {
            let parts = parts.clone();
            tokio::spawn(async move {
                match serve(&parts, &endpoint).await {
                    // A replay has moved the cursor: the next round begins there.
                    Ok(()) | Err(ServeError::Cursor(CursorError::Moved)) => {}
                    Err(error) => tracing::warn!(webhook = endpoint.name, %error, "events cannot be sent"),
                }
            })
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("the audit cannot be read: {0}")]
    Audit(#[from] std::io::Error),
    #[error("a bug ended a request: {0}")]
    Fault(#[from] tokio::task::JoinError),
}

/// Sends what an endpoint has not accepted yet, in order, until it has come to the end or an attempt fails.
async fn serve(parts: &WebhookParts, endpoint: &WebhookEndpoint) -> Result<(), ServeError> {
    let now = Timestamp::now();
    let mut read = parts.cursors.read(&endpoint.name, now).await?;
    if read.is_new() {
        // An endpoint that was set by another program begins with what happens from now on.
        read.cursor.after = parts.audit.last_sequence().await?;
        return Ok(parts.cursors.write(&endpoint.name, &mut read, now).await?);
    }
    if read.cursor.due.is_some_and(|due| due > now) {
        return Ok(());
    }
    loop {
        let page = parts.audit.oldest(None, read.cursor.after, PAGE_RECORDS).await?;
        if page.is_empty() {
            return Ok(());
        }
        let (start, mut is_settled) = (read.cursor.after, true);
        for (sequence, record) in &page {
            is_settled = record.time().is_none_or(|at| Timestamp::now().duration_since(at) >= SETTLED_AFTER);
            if !is_settled || !send_record(parts, endpoint, &mut read, *sequence, record).await? {
                break;
            }
        }
        let has_failed = read.cursor.due.is_some();
        // Records without an event of interest move the cursor as well, but not each in a write of its own.
        if read.cursor.after != start && !has_failed {
            parts.cursors.write(&endpoint.name, &mut read, Timestamp::now()).await?;
        }
        // A long backlog must not go to an endpoint that was paused, removed or moved meanwhile.
        let is_in_force = (parts.endpoints)().contains(endpoint);
        if has_failed || !is_settled || !is_in_force {
            return Ok(());
        }
    }
}

/// Sends the events of one record; `false` when an attempt failed.
async fn send_record(
    parts: &WebhookParts,
    endpoint: &WebhookEndpoint,
    read: &mut ReadCursor,
    sequence: u64,
    record: &AuditRecord,
) -> Result<bool, ServeError> {
    let events = events_of(sequence, record);
    let wanted =
        (1u32..).zip(events).filter(|(number, event)| *number > read.cursor.parts && endpoint.wants(event.kind));
    let wanted: Vec<(u32, WebhookEvent)> = wanted.collect();
    let outcome = if wanted.is_empty() { None } else { outcome(&parts.audit, record).await? };
    // An outcome is always sent: it may come long after its change was announced, when an interrupted import is settled.
    if outcome.as_deref() != Some("not_done") || record.action == OUTCOME {
        for (number, mut event) in wanted {
            if let Some(outcome) = &outcome {
                event.set_outcome(outcome);
            }
            match attempt(parts, endpoint, &event).await? {
                Ok(()) => {
                    read.cursor.succeeded(Timestamp::now());
                    read.cursor.parts = number;
                    parts.cursors.write(&endpoint.name, read, Timestamp::now()).await?;
                }
                Err(error) => {
                    let now = Timestamp::now();
                    let wait = back_off(read.cursor.failures);
                    tracing::warn!(
                        webhook = endpoint.name,
                        event = event.id,
                        error,
                        ?wait,
                        "an event was not accepted"
                    );
                    read.cursor.failed(&error, now.saturating_add(wait).unwrap_or(Timestamp::MAX));
                    parts.cursors.write(&endpoint.name, read, now).await?;
                    return Ok(false);
                }
            }
        }
    }
    (read.cursor.after, read.cursor.parts) = (sequence, 0);
    Ok(true)
}

/// One attempt; the inner error says why the event was not accepted.
async fn attempt(
    parts: &WebhookParts,
    endpoint: &WebhookEndpoint,
    event: &WebhookEvent,
) -> Result<Result<(), String>, ServeError> {
    let (secrets, sender) = (parts.secrets.clone(), parts.sender.clone());
    let (of, sent) = (endpoint.clone(), event.clone());
    let posted = tokio::task::spawn_blocking(move || {
        let secret = secrets.read(&of.name).map_err(|error| error.to_string())?;
        sender.post(&of, &secret, &sent, Timestamp::now()).map(drop).map_err(|error| error.to_string())
    });
    let result = posted.await?;
    let label = if result.is_ok() { "accepted" } else { "failed" };
    metrics::counter!("provost_webhook_requests_total", "webhook" => endpoint.name.clone(), "result" => label)
        .increment(1);
    Ok(result)
}

/// The outcome of a change, when it did not succeed completely and the outcome is known by now.
async fn outcome(audit: &Audit, record: &AuditRecord) -> std::io::Result<Option<String>> {
    let text = |of: &AuditRecord, name: &str| of.detail[name].as_str().map(str::to_owned);
    if record.action == OUTCOME {
        return Ok(text(record, "outcome"));
    }
    let later = audit.about(&record.subject, OUTCOMES_SEARCHED).await?;
    let of_it = later.iter().find(|later| later.detail["of"].as_str() == Some(&record.id));
    Ok(of_it.and_then(|later| text(later, "outcome")))
}

/// The wait after another failure, with up to a tenth more by chance: several endpoints of one receiver do not return
/// at once.
fn back_off(failures: u32) -> SignedDuration {
    let doubled = BACK_OFF_MIN.saturating_mul(1 << failures.min(16));
    let wait = doubled.min(BACK_OFF_MAX);
    wait.saturating_add(wait.mul_f64(rand::rng().random_range(0.0..0.1)))
}

#[cfg(test)]
mod tests;

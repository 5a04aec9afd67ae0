//! How far each endpoint has come, in the state that all nodes share.

use std::sync::Arc;

use jiff::Timestamp;
use provost_settings::WEBHOOKS_MAX;
use provost_store::{ChangeCondition, StateChange, StateError, StateSpace, StateStore, StateVersion, WhenFull};
use serde::{Deserialize, Serialize};

/// Largest record: the longest error message is a part of it.
const RECORD_OCTETS_MAX: usize = 4096;
/// Longest error message that is kept, characters.
const ERROR_CHARS_MAX: usize = 300;

/// The key is the name of the endpoint. Removed endpoints leave their cursors, so there is room for more.
static CURSORS: StateSpace = StateSpace {
    name: "webhook",
    records_max: 4 * WEBHOOKS_MAX,
    octets_max: RECORD_OCTETS_MAX,
    when_full: WhenFull::RemoveOldest,
};

/// The cursor of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookCursor {
    /// Sequence number of the last audit record whose events are all accepted.
    pub after: u64,
    /// Number of events of the next record that are accepted.
    pub parts: u32,
    /// Attempts that failed since the last success.
    pub failures: u32,
    /// The next attempt, after a failure.
    pub due: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<String>,
    /// When the last event was accepted.
    pub last_sent: Option<Timestamp>,
}

/// A cursor as read, for a conditional write.
#[derive(Clone, Debug)]
pub(crate) struct ReadCursor {
    pub(crate) cursor: WebhookCursor,
    version: Option<StateVersion>,
}

/// Why a cursor was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Another writer has moved it: read it again.
    #[error("the cursor was moved meanwhile")]
    Moved,
    /// The shared state failed.
    #[error("the cursor cannot be read or written: {0}")]
    State(StateError),
}

impl From<StateError> for CursorError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Conflict => Self::Moved,
            error => Self::State(error),
        }
    }
}

/// The cursors of all endpoints. Cheap to clone.
#[derive(Clone)]
pub struct WebhookCursors(Arc<dyn StateStore>);

impl WebhookCursors {
    /// Cursors in the shared state.
    pub fn new(state: Arc<dyn StateStore>) -> Self {
        Self(state)
    }

    /// The cursor of an endpoint; `None` for one that has not been served yet.
    pub async fn get(&self, name: &str, now: Timestamp) -> Result<Option<WebhookCursor>, CursorError> {
        let read = self.read(name, now).await?;
        Ok(read.version.is_some().then_some(read.cursor))
    }

    /// Puts an endpoint at a place of the audit, whatever its cursor is: for a new endpoint and for a replay.
    pub async fn put(&self, name: &str, after: u64, now: Timestamp) -> Result<(), CursorError> {
        let cursor = WebhookCursor { after, ..WebhookCursor::default() };
        let put = StateChange::put(&CURSORS, name, ChangeCondition::Any, json(&cursor), None);
        Ok(self.0.change(vec![put], now).await.map(drop)?)
    }

    pub(crate) async fn read(&self, name: &str, now: Timestamp) -> Result<ReadCursor, CursorError> {
        let record = self.0.record(&CURSORS, name, now).await?;
        // A cursor that cannot be read begins anew where the worker decides: at the end of the audit.
        let read = record.and_then(|record| Some((serde_json::from_slice(&record.value).ok()?, record.version)));
        Ok(match read {
            Some((cursor, version)) => ReadCursor { cursor, version: Some(version) },
            None => ReadCursor { cursor: WebhookCursor::default(), version: None },
        })
    }

    /// Writes a cursor if nobody has moved it since it was read.
    pub(crate) async fn write(&self, name: &str, read: &mut ReadCursor, now: Timestamp) -> Result<(), CursorError> {
        let expect = read.version.map_or(ChangeCondition::Any, ChangeCondition::Version);
        let put = StateChange::put(&CURSORS, name, expect, json(&read.cursor), None);
        let made = self.0.change(vec![put], now).await?;
        read.version = made.first().copied().map(StateVersion::from);
        Ok(())
    }
}

impl ReadCursor {
    pub(crate) fn is_new(&self) -> bool {
        self.version.is_none()
    }
}

impl WebhookCursor {
    pub(crate) fn failed(&mut self, error: &str, due: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.due = Some(due);
        self.last_error = Some(error.chars().take(ERROR_CHARS_MAX).collect());
    }

    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        (self.failures, self.due, self.last_error, self.last_sent) = (0, None, None, Some(now));
    }
}

fn json(cursor: &WebhookCursor) -> Vec<u8> {
    // Every field of a cursor has a JSON form.
    serde_json::to_vec(cursor).unwrap_or_default()
}

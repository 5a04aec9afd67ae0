//! The task that follows the directory: one session after another, each a refresh followed by changes as they happen.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_client::{Directory, DirectoryError, SyncEvent, SyncStream};
use provost_schema::{attr, ou};
use provost_settings::ValueOrigin;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::follower::{EventOutcome, Follower};
use crate::mapping::{MappedEntry, map};
use crate::{Snapshot, ViewState};

/// Shortest time between two publishes; changes in between are published together. Only the end of a refresh or of a
/// session publishes sooner.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(25);
/// A session without traffic for this long is probed, because RFC 4533 has no heartbeat.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Shortest time between two periodic saves.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Wait after a session whose refresh was complete. Each session that ends earlier doubles it, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait between two sessions, unless a refresh or removal is parked. The real wait is up to a fifth shorter or
/// longer, at random.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Wait after a parked refresh or removal: an operator has to act, or the directory to recover.
const PARKED_WAIT: Duration = Duration::from_secs(30);
/// Interval at which the directory is asked for its `removal-guard` during [`PARKED_WAIT`]: a new value ends the wait.
const GUARD_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// After this many refusals in a row, the cookie is taken to be unusable for the server and is dropped.
const REFUSALS_MAX: u32 = 5;

/// How a session ended.
enum SessionEnd {
    Lost(DirectoryError),
    StartOver,
    /// A refresh or removal was parked; the number is the `removal-guard` that parked it, in percent.
    Parked(u8),
}

/// Follows the directory for one View. Holds the state of the task.
pub(crate) struct Consumer {
    shared: Arc<ViewState>,
    directory: Directory,
    follower: Follower,
    published_at: Instant,
    /// When the pending changes are to be published; `None` when no change is pending.
    due: Option<Instant>,
    /// Whether the refresh of this session is complete.
    is_refreshed: bool,
    /// Refusals since the last complete refresh or other error.
    refusals: u32,
    /// The guard with which a parked refresh was already retried early.
    retried_guard: Option<u8>,
}

impl Consumer {
    pub(crate) fn new(shared: Arc<ViewState>, directory: Directory, follower: Follower) -> Self {
        let published_at = Instant::now();
        let (due, is_refreshed, refusals, retried_guard) = (None, false, 0, None);
        Self { shared, directory, follower, published_at, due, is_refreshed, refusals, retried_guard }
    }

    /// Runs the task. Never returns; ends when it is dropped with the View.
    pub(crate) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            self.is_refreshed = false;
            let end = match self.directory.sync(self.follower.cookie().cloned()).await {
                Ok(stream) => self.follow(stream).await,
                Err(error) => SessionEnd::Lost(error),
            };
            self.end_session();
            backoff = if self.is_refreshed { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
            match end {
                SessionEnd::Parked(guard) => {
                    self.wait_parked(guard).await;
                    continue;
                }
                // Wait before the full refresh too: a server may require one in every session.
                SessionEnd::StartOver => {}
                SessionEnd::Lost(error) => {
                    tracing::warn!(%error, "the View does not follow the directory now");
                    self.count_refusal(&error);
                }
            }
            sleep(backoff.mul_f64(rand::random_range(0.8..1.2))).await;
        }
    }

    /// Waits until a refresh is worth another try: [`PARKED_WAIT`], or until the directory states another guard.
    async fn wait_parked(&mut self, guard: u8) {
        let end = Instant::now() + PARKED_WAIT;
        while Instant::now() < end {
            sleep(GUARD_POLL_INTERVAL).await;
            let new_guard = self.stated_guard().await.filter(|stated| *stated != guard);
            // Retry early only once for each new value: the server that the View follows may lag behind the one that
            // answered, and would then park the refresh by the old value again.
            if new_guard.is_some() && new_guard != self.retried_guard {
                self.retried_guard = new_guard;
                return;
            }
        }
    }

    /// Reads the `removal-guard` that the directory states now. `None` when it states none or an invalid one, or cannot
    /// answer.
    async fn stated_guard(&self) -> Option<u8> {
        const NAME: &str = "removal-guard";
        let dn = self.directory.suffix().child(attr::OU, ou::POLICIES).child(attr::CN, NAME);
        let read = self.directory.read(&dn, &[attr::OBJECT_CLASS, attr::CN, attr::PROVOST_VALUE]).await;
        let MappedEntry::Record(record) = map(Uuid::nil(), &read.ok()??, self.directory.suffix()) else { return None };
        let mut alone = Snapshot::default();
        alone.insert(Uuid::nil(), record);
        let settings = alone.settings();
        matches!(settings.origin(NAME), ValueOrigin::Directory(_)).then_some(settings.removal_guard)
    }

    /// Counts refusals in a row, and drops the cookie after [`REFUSALS_MAX`]. The cookie may be the cause: a provider
    /// restored from a backup is older than our state and would refuse the cookie for ever.
    fn count_refusal(&mut self, error: &DirectoryError) {
        self.refusals = if matches!(error, DirectoryError::Refused { .. }) { self.refusals + 1 } else { 0 };
        if self.refusals >= REFUSALS_MAX {
            self.refusals = 0;
            self.follower.forget_cookie();
        }
    }

    /// Ends the session: from now on, an entry that the View lacks may exist in the directory.
    fn end_session(&mut self) {
        self.shared.health.set_current(false);
        self.shared.health.update(|status| status.source = None);
        self.follower.end();
        if self.due.is_some() {
            self.publish();
        }
        self.shared.save_in_background();
    }

    async fn follow(&mut self, mut stream: SyncStream) -> SessionEnd {
        self.follower.begin();
        let url = stream.url().to_owned();
        self.shared.health.update(|status| status.source = Some(url));
        let (mut last_event_at, mut save_at) = (Instant::now(), Instant::now() + SAVE_INTERVAL);
        loop {
            let due = self.due.unwrap_or_else(|| last_event_at + PROBE_INTERVAL);
            tokio::select! {
                event = stream.next() => match event {
                    Err(error) => return SessionEnd::Lost(error),
                    Ok(event) => {
                        last_event_at = Instant::now();
                        if let Some(end) = self.apply_event(event) {
                            return end;
                        }
                    }
                },
                () = sleep_until(due), if self.due.is_some() => self.publish(),
                () = sleep_until(last_event_at + PROBE_INTERVAL) => {
                    if let Err(error) = stream.probe().await {
                        return SessionEnd::Lost(error);
                    }
                    last_event_at = Instant::now();
                    self.contact();
                }
                () = sleep_until(save_at) => {
                    let took = self.shared.save_in_background();
                    // Saving takes at most about a twentieth of the time, even for a large View that changes all the
                    // time.
                    save_at = Instant::now() + SAVE_INTERVAL.max(took * 20);
                }
            }
        }
    }

    /// Applies one event; `Some` ends the session.
    fn apply_event(&mut self, event: SyncEvent) -> Option<SessionEnd> {
        match self.follower.apply(event, Instant::now().into_std()) {
            EventOutcome::Nothing => {}
            EventOutcome::Changed => {
                let next = self.published_at + PUBLISH_INTERVAL;
                if next <= Instant::now() {
                    self.publish();
                } else if self.due.is_none() {
                    self.due = Some(next);
                }
            }
            EventOutcome::Saveable if self.due.is_none() => self.shared.set_newest(None, self.follower.cookie()),
            // The cookie is saved with the pending changes.
            EventOutcome::Saveable => {}
            EventOutcome::Complete => self.completed(),
            EventOutcome::Parked { reason, guard } => {
                tracing::error!(reason, "the View is parked: it stays as it is");
                metrics::counter!("provost_view_parked_total").increment(1);
                self.shared.health.update(|status| status.parked = Some(reason));
                // Restored entries are published when the session ends.
                self.due = Some(Instant::now());
                return Some(SessionEnd::Parked(guard));
            }
            EventOutcome::StartOver => return Some(SessionEnd::StartOver),
        }
        None
    }

    fn completed(&mut self) {
        self.is_refreshed = true;
        self.refusals = 0;
        self.retried_guard = None;
        self.publish();
        metrics::counter!("provost_view_refreshes_total").increment(1);
        self.shared.health.update(|status| status.parked = None);
        self.shared.health.set_complete();
        // Set last: a reader of this flag then reads a snapshot that is at least as new.
        self.shared.health.set_current(true);
        tracing::info!(people = self.follower.snapshot().people(), "the View is current");
    }

    fn publish(&mut self) {
        let snapshot = Arc::new(self.follower.snapshot().clone());
        let changes = self.follower.take_changes();
        let has_settings = changes.concerns_settings();
        self.shared.publish(Arc::clone(&snapshot), changes);
        self.shared.set_newest(Some(snapshot), self.follower.cookie());
        // Settings are few, and the last good value of an invalid one is kept nowhere else.
        if has_settings {
            self.shared.save_in_background();
        }
        self.published_at = Instant::now();
        self.due = None;
        self.contact();
    }

    fn contact(&self) {
        let now = Timestamp::now();
        metrics::gauge!("provost_view_last_contact_timestamp_seconds").set(now.as_second() as f64);
        self.shared.health.update(|status| status.last_contact = Some(now));
    }
}

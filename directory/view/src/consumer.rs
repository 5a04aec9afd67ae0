//! The task that follows the directory: one session after another, each a refresh and then changes as they happen.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_client::{Directory, DirectoryError, SyncEvent, SyncStream};
use provost_schema::{attr, ou};
use provost_settings::Origin;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::follower::{Effect, Follower};
use crate::mapping::{Mapped, map};
use crate::{Shared, Snapshot};

/// Changes are shown at most so often; what comes meanwhile is shown together.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(25);
/// A session on which nothing came for so long is probed: RFC 4533 has no heartbeat.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How often a changed snapshot is saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Waits between two sessions: the first, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Wait after a refresh that was parked: a person has to look, or the directory to recover.
const PARKED_WAIT: Duration = Duration::from_secs(30);
/// How often the directory is asked meanwhile for its `removal-guard`, so that a change of it counts at once.
const GUARD_LOOK: Duration = Duration::from_millis(250);
/// After so many refusals in a row our cookie is taken for what the server cannot go on from.
const REFUSALS_MAX: u32 = 5;

/// How a session ended.
enum End {
    Lost(DirectoryError),
    StartOver,
    /// With the guard that the refresh was measured by, percent.
    Parked(u8),
}

/// Follows the directory for one View.
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    directory: Directory,
    follower: Follower,
    published: Instant,
    /// When the changes that wait are to be shown.
    due: Option<Instant>,
    complete: bool,
    refusals: u32,
    /// The guard for which a parked refresh was tried again before its time.
    guard_tried: Option<u8>,
}

impl Consumer {
    pub(crate) fn new(shared: Arc<Shared>, directory: Directory, follower: Follower) -> Self {
        let published = Instant::now();
        Self { shared, directory, follower, published, due: None, complete: false, refusals: 0, guard_tried: None }
    }

    /// Never returns; dropped with the View.
    pub(crate) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            self.complete = false;
            let end = match self.directory.sync(self.follower.cookie().cloned()).await {
                Ok(stream) => self.follow(stream).await,
                Err(error) => End::Lost(error),
            };
            self.leave();
            backoff = if self.complete { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
            match end {
                End::Parked(guard) => self.wait_parked(guard).await,
                End::StartOver => {}
                End::Lost(error) => {
                    tracing::warn!(%error, "the view does not follow the directory at the moment");
                    self.count_refusal(&error);
                    sleep(backoff.mul_f64(rand::random_range(0.8..1.2))).await;
                }
            }
        }
    }

    /// Waits until a parked refresh is worth another try: [`PARKED_WAIT`], or until the directory states another guard.
    async fn wait_parked(&mut self, guard: u8) {
        let end = Instant::now() + PARKED_WAIT;
        while Instant::now() < end {
            sleep(GUARD_LOOK).await;
            let stated = self.stated_guard().await.filter(|stated| *stated != guard);
            // Once for each value: the server that we follow may lag behind the one that was asked.
            if stated.is_some() && stated != self.guard_tried {
                self.guard_tried = stated;
                return;
            }
        }
    }

    /// The `removal-guard` that the directory states now; `None` when it states none or a bad one, or cannot answer.
    async fn stated_guard(&self) -> Option<u8> {
        const NAME: &str = "removal-guard";
        let dn = self.directory.suffix().child(attr::OU, ou::POLICIES).child(attr::CN, NAME);
        let read = self.directory.read(&dn, &[attr::OBJECT_CLASS, attr::CN, attr::PROVOST_VALUE]).await;
        let Mapped::Record(record) = map(Uuid::nil(), &read.ok()??, self.directory.suffix()) else { return None };
        let mut alone = Snapshot::default();
        alone.put(Uuid::nil(), record);
        let settings = alone.settings();
        matches!(settings.origin(NAME), Origin::Directory(_)).then_some(settings.removal_guard)
    }

    /// Our state may be newer than a provider that was restored from a backup: it refuses us for ever then.
    fn count_refusal(&mut self, error: &DirectoryError) {
        self.refusals = if matches!(error, DirectoryError::Refused { .. }) { self.refusals + 1 } else { 0 };
        if self.refusals >= REFUSALS_MAX {
            self.refusals = 0;
            self.follower.forget_cookie();
        }
    }

    /// The session is over: absence cannot be believed from this moment.
    fn leave(&mut self) {
        self.shared.health.set_current(false);
        self.shared.health.note(|status| status.source = None);
        self.follower.end();
        if self.due.is_some() {
            self.publish();
        }
        self.shared.save_in_background();
    }

    async fn follow(&mut self, mut stream: SyncStream) -> End {
        self.follower.begin();
        let url = stream.url().to_owned();
        self.shared.health.note(|status| status.source = Some(url));
        let (mut heard, mut save_at) = (Instant::now(), Instant::now() + SAVE_INTERVAL);
        loop {
            let due = self.due.unwrap_or_else(|| heard + PROBE_INTERVAL);
            tokio::select! {
                event = stream.next() => match event {
                    Err(error) => return End::Lost(error),
                    Ok(event) => {
                        heard = Instant::now();
                        if let Some(end) = self.take(event) {
                            return end;
                        }
                    }
                },
                () = sleep_until(due), if self.due.is_some() => self.publish(),
                () = sleep_until(heard + PROBE_INTERVAL) => {
                    if let Err(error) = stream.probe().await {
                        return End::Lost(error);
                    }
                    heard = Instant::now();
                    self.contact();
                }
                () = sleep_until(save_at) => {
                    let took = self.shared.save_in_background();
                    // A large View that changes all the time must not be written all the time.
                    save_at = Instant::now() + SAVE_INTERVAL.max(took * 20);
                }
            }
        }
    }

    /// Takes one event in; `Some` ends the session.
    fn take(&mut self, event: SyncEvent) -> Option<End> {
        match self.follower.apply(event, Instant::now().into_std()) {
            Effect::Nothing => {}
            Effect::Changed => {
                let next = self.published + PUBLISH_INTERVAL;
                if next <= Instant::now() {
                    self.publish();
                } else if self.due.is_none() {
                    self.due = Some(next);
                }
            }
            Effect::Saveable if self.due.is_none() => self.shared.checkpoint(None, self.follower.cookie()),
            // It goes with the changes that wait.
            Effect::Saveable => {}
            Effect::Complete => self.completed(),
            Effect::Parked { reason, guard } => {
                tracing::error!(reason, "the view is parked: it stays as it is");
                metrics::counter!("view_parked_total").increment(1);
                self.shared.health.note(|status| status.parked = Some(reason));
                // What was put back is shown when the session is left.
                self.due = Some(Instant::now());
                return Some(End::Parked(guard));
            }
            Effect::StartOver => return Some(End::StartOver),
        }
        None
    }

    fn completed(&mut self) {
        self.complete = true;
        self.refusals = 0;
        self.guard_tried = None;
        self.publish();
        metrics::counter!("view_refreshes_total").increment(1);
        self.shared.health.note(|status| status.parked = None);
        self.shared.health.set_complete();
        // Last: who reads this flag reads a snapshot that is at least as new.
        self.shared.health.set_current(true);
        tracing::info!(people = self.follower.snapshot().people(), "the view is current");
    }

    fn publish(&mut self) {
        let snapshot = Arc::new(self.follower.snapshot().clone());
        let changes = self.follower.take_changes();
        let has_settings = changes.concerns_settings();
        self.shared.publish(Arc::clone(&snapshot), changes);
        self.shared.checkpoint(Some(snapshot), self.follower.cookie());
        // They are few, and the last good value of one that is bad stands nowhere else.
        if has_settings {
            self.shared.save_in_background();
        }
        self.published = Instant::now();
        self.due = None;
        self.contact();
    }

    fn contact(&self) {
        let now = Timestamp::now();
        metrics::gauge!("view_last_contact_seconds").set(now.as_second() as f64);
        self.shared.health.note(|status| status.last_contact = Some(now));
    }
}

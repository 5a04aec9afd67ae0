//! Follows the directories of sources while the node runs: each by one node of the site, which holds its lease.
//!
//! A session begins with a refresh from the cookie, and imports what it brings as a partial file. Without a usable
//! cookie, and when the daily read is due, the refresh brings everything and is imported as a complete file. After it,
//! changes are imported in small partial files. The cookie is saved after the import: after a failure, the directory
//! sends the same changes again, and importing them again changes nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use provost_client::{Cookie, DirectoryError};
use provost_net::Drain;
use provost_provision::{
    Coverage, Desk, FileFormat, FollowError, FollowedChanges, FollowedStep, FollowedStream, ImportOptions, Plan,
    Principal, ReadOptions, SourceProfile, check_entries,
};
use provost_store::{Lease, MessageStore, StateStore};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::state::{FollowedState, FollowedStates};

/// Interval at which the profiles are read again.
const LOOK: Duration = Duration::from_secs(5);
/// Lease of one source, and how often it is renewed. A node that outlives its lease harms nothing, since every write
/// asserts the version that was read.
const LEASE_TIME: Duration = Duration::from_secs(60);
const RENEW_INTERVAL: Duration = Duration::from_secs(20);
/// Wait after a session that ended in order. Each failure doubles it, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Longest wait after a failure of this site, such as an import that is refused: somebody has to act first, and each
/// attempt reads both directories whole.
const IMPORT_BACKOFF_MAX: Duration = Duration::from_secs(3600);
/// Changes wait for others until none has come for this long, or for [`WAIT_MAX`], or until there are [`WAITING_MAX`].
const QUIET: Duration = Duration::from_millis(300);
const WAIT_MAX: Duration = Duration::from_secs(5);
const WAITING_MAX: usize = 1000;
/// After this many refusals in a row, the cookie is taken to be unusable for the server, as after it was restored from a
/// backup, and is dropped.
const REFUSALS_MAX: u32 = 3;
/// An import reads the site's whole directory. After one, changes wait for this many times its duration.
const REST: u32 = 4;
/// Problems of one import that are logged; the rest is counted.
const PROBLEMS_LOGGED: usize = 10;
/// Longest failure that is kept, characters.
const FAILURE_CHARS_MAX: usize = 400;

/// The parts of the node by which sources are followed.
#[derive(Clone)]
pub(crate) struct FollowedSources {
    pub(crate) desk: Desk,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) state: Arc<dyn StateStore>,
    pub(crate) data: PathBuf,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) drain: Drain,
}

/// How a session ended without a failure.
enum FollowingEnd {
    /// The node stops, or the profile was changed or removed.
    Stopped,
    /// The next session begins with a refresh of everything.
    CompleteReadDue,
}

impl FollowedSources {
    /// Follows every source whose profile says so, until the node stops.
    pub(crate) async fn keep(self) {
        // By name and version. Dropping a sender ends the task of its source.
        let mut running: HashMap<(String, Option<u32>), watch::Sender<()>> = HashMap::new();
        loop {
            match self.desk.source_profiles(&Principal::node()).await {
                Ok(profiles) => {
                    let is_followed = |profile: &SourceProfile| profile.format == FileFormat::Ldap;
                    let keyed = profiles.into_iter().map(|profile| ((profile.name.clone(), profile.version), profile));
                    let followed: HashMap<_, _> = keyed.filter(|(_, profile)| is_followed(profile)).collect();
                    running.retain(|key, _| followed.contains_key(key));
                    for (key, profile) in followed {
                        running.entry(key).or_insert_with(|| self.start(profile));
                    }
                }
                Err(error) => tracing::debug!(%error, "the profiles of sources cannot be read now"),
            }
            tokio::select! {
                () = self.drain.stopping() => return,
                () = sleep(LOOK) => {}
            }
        }
    }

    fn start(&self, profile: SourceProfile) -> watch::Sender<()> {
        let (sender, stop) = watch::channel(());
        self.drain.spawn(FollowedSource { parts: self.clone(), profile, stop }.keep());
        sender
    }
}

/// One source that is followed by one version of its profile.
struct FollowedSource {
    parts: FollowedSources,
    profile: SourceProfile,
    /// Closed when the source is no longer followed by this profile.
    stop: watch::Receiver<()>,
}

impl FollowedSource {
    async fn keep(mut self) {
        let (mut wait, mut refusals) = (BACKOFF_MIN, 0);
        loop {
            match self.parts.store.lease(&format!("follow-{}", self.profile.name), LEASE_TIME).await {
                Ok(Some(lease)) => match self.session(&lease).await {
                    Ok(FollowingEnd::Stopped) => return,
                    Ok(FollowingEnd::CompleteReadDue) => (wait, refusals) = (BACKOFF_MIN, 0),
                    Err(error) => {
                        refusals = if is_refusal(&error) { refusals + 1 } else { 0 };
                        self.note_failure(&error, refusals >= REFUSALS_MAX).await;
                        let is_of_directory = error.downcast_ref::<FollowError>().is_some();
                        wait = (wait * 2).min(if is_of_directory { BACKOFF_MAX } else { IMPORT_BACKOFF_MAX });
                    }
                },
                Ok(None) => wait = RENEW_INTERVAL,
                Err(error) => {
                    tracing::warn!(source = self.profile.name, %error, "a source is not followed: the store gives no lease");
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
            }
            tokio::select! {
                () = stopped(&self.parts.drain, &mut self.stop) => return,
                () = sleep(wait.mul_f64(rand::random_range(0.8..1.2))) => {}
            }
        }
    }

    fn states(&self) -> FollowedStates {
        FollowedStates::new(self.parts.state.clone())
    }

    /// Logs and keeps a failure, and forgets a cookie that is unusable.
    async fn note_failure(&self, error: &anyhow::Error, is_cookie_unusable: bool) {
        let why = format!("{error:#}");
        tracing::warn!(source = self.profile.name, error = why, "the directory of a source is not followed now");
        let now = Timestamp::now();
        let noted = async {
            let mut known = self.states().get(&self.profile, now).await?;
            if is_cookie_unusable {
                known.set_cookie(None);
            }
            known.failure = Some((now, why.chars().take(FAILURE_CHARS_MAX).collect()));
            self.states().put(&self.profile, known, now).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the failure cannot be noted");
        }
    }

    /// Follows until something fails or a complete read is due.
    async fn session(&mut self, lease: &Lease) -> anyhow::Result<FollowingEnd> {
        let mut known = self.states().get(&self.profile, Timestamp::now()).await?;
        let due = self.complete_read_due(&known);
        let cookie = known.cookie().filter(|_| due > Timestamp::now());
        let directory = super::open(&self.profile, &self.parts.data, self.parts.ca_file.as_deref())?;
        let mut stream = directory.follow(cookie).await?;
        let mut pending = Pending::default();
        let mut renewal = Instant::now() + RENEW_INTERVAL;
        loop {
            let import_at = pending.import_at(stream.waiting());
            let wake = import_at.unwrap_or(renewal).min(renewal);
            tokio::select! {
                () = stopped(&self.parts.drain, &mut self.stop) => return Ok(FollowingEnd::Stopped),
                step = stream.next() => match step? {
                    FollowedStep::StartOver => {
                        known.set_cookie(None);
                        self.states().put(&self.profile, known, Timestamp::now()).await?;
                        return Ok(FollowingEnd::CompleteReadDue);
                    }
                    step => pending.note(step),
                },
                () = sleep_until(wake) => {}
            }
            if import_at.is_some_and(|at| at <= Instant::now()) {
                let begun = Instant::now();
                known = self.take_in(&mut stream, pending.cookie.take(), known).await?;
                pending = Pending {
                    is_refreshed: true,
                    rest_until: Some(Instant::now() + begun.elapsed() * REST),
                    ..Pending::default()
                };
            }
            if renewal <= Instant::now() {
                self.parts.store.renew(lease, LEASE_TIME).await.context("another node may follow the source")?;
                renewal = Instant::now() + RENEW_INTERVAL;
                if pending.is_refreshed && self.complete_read_due(&known) <= Timestamp::now() {
                    return Ok(FollowingEnd::CompleteReadDue);
                }
            }
        }
    }

    /// When the next complete read is due: at once, before the first one.
    fn complete_read_due(&self, known: &FollowedState) -> Timestamp {
        let interval = SignedDuration::from_hours(i64::from(self.profile.followed.complete_hours));
        known.complete_at.and_then(|at| at.checked_add(interval).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Imports what has arrived, and then saves the cookie.
    async fn take_in(
        &self,
        stream: &mut FollowedStream,
        cookie: Option<Cookie>,
        mut known: FollowedState,
    ) -> anyhow::Result<FollowedState> {
        let (changes, now) = (stream.take(), Timestamp::now());
        let (entries, is_whole) = (changes.file.len(), changes.is_whole);
        if changes.gone > 0 {
            let gone = changes.gone;
            tracing::info!(
                source = self.profile.name,
                gone,
                "entries are gone; the next complete read counts them absent"
            );
        }
        if is_whole {
            check_entries(entries, known.entries, None)?;
        }
        if is_whole || entries > 0 {
            self.import(changes, &super::heading(&self.profile, stream.url(), now)).await?;
            known.changed_at = Some(now);
        }
        if is_whole {
            (known.complete_at, known.entries) = (Some(now), Some(entries));
        }
        if cookie.is_some() {
            known.set_cookie(cookie.as_ref());
        }
        known.failure = None;
        self.states().put(&self.profile, known.clone(), now).await?;
        Ok(known)
    }

    async fn import(&self, changes: FollowedChanges, heading: &str) -> anyhow::Result<()> {
        let principal = Principal::node();
        let coverage = if changes.is_whole { self.profile.coverage } else { Coverage::Partial };
        let read = ReadOptions { coverage: Some(coverage), ..ReadOptions::default() };
        let options = ImportOptions {
            source: Some(self.profile.name.clone()),
            read,
            // A value that changes to and fro makes the same changes again: they are no old file.
            force: true,
            ..ImportOptions::default()
        };
        let planned = self.parts.desk.plan_import(&principal, changes.file.into_ldif(heading), options).await?;
        self.log_problems(&planned.plan);
        if planned.plan.is_empty() {
            return Ok(());
        }
        let stop = self.parts.drain.stopping();
        let applied = self.parts.desk.apply_import(stop, &principal, &planned, &mut |_| {}).await?;
        let done = applied.map_err(|(_, error)| error)?;
        anyhow::ensure!(!done.interrupted, "the node stops");
        for (line, why) in &done.failed {
            tracing::warn!(
                source = self.profile.name,
                line,
                why,
                "an entry was not applied; the next complete read tries again"
            );
        }
        tracing::info!(
            source = self.profile.name,
            batch = done.batch,
            people = done.applied,
            coverage = coverage.as_str(),
            "a followed directory was imported"
        );
        Ok(())
    }

    fn log_problems(&self, plan: &Plan) {
        let problems = plan.rejected().len() + plan.warnings().len();
        for problem in plan.rejected().iter().chain(plan.warnings()).take(PROBLEMS_LOGGED) {
            tracing::warn!(source = self.profile.name, %problem, "an entry of a followed directory has a problem");
        }
        if problems > 0 {
            tracing::warn!(
                source = self.profile.name,
                problems,
                "'provost source test --source NAME' shows all problems"
            );
        }
    }
}

/// Whether the followed directory answered, and refused.
fn is_refusal(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(FollowError::Directory(error)) if !matches!(error, DirectoryError::Unavailable(_)))
}

/// Resolves when the node stops, or when the source is no longer followed by its profile.
async fn stopped(drain: &Drain, stop: &mut watch::Receiver<()>) {
    tokio::select! {
        () = drain.stopping() => {}
        // Nobody sends: only the end of the sender is awaited.
        _ = stop.changed() => {}
    }
}

/// What has arrived and is not imported.
#[derive(Default)]
struct Pending {
    /// Whether the refresh is complete: before that, nothing is imported.
    is_refreshed: bool,
    /// When the first and the last step came since the last import.
    first: Option<Instant>,
    last: Option<Instant>,
    rest_until: Option<Instant>,
    cookie: Option<Cookie>,
}

impl Pending {
    fn note(&mut self, step: FollowedStep) {
        let now = Instant::now();
        match step {
            FollowedStep::Nothing | FollowedStep::StartOver => return,
            FollowedStep::Changed => {}
            FollowedStep::Whole => self.is_refreshed = true,
            FollowedStep::Saveable(cookie) => self.cookie = Some(cookie),
        }
        if self.is_refreshed {
            self.first.get_or_insert(now);
            self.last = Some(now);
        }
    }

    /// When to import; `None` while there is nothing.
    fn import_at(&self, waiting: usize) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        let quiet = (last + QUIET).min(first + WAIT_MAX);
        let at = if waiting >= WAITING_MAX { last } else { quiet };
        Some(self.rest_until.map_or(at, |rest| at.max(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_wait_for_others_but_not_for_long() {
        let mut pending = Pending::default();
        pending.note(FollowedStep::Changed);
        assert_eq!(pending.import_at(5), None, "the refresh is not complete");
        pending.note(FollowedStep::Whole);
        let first = pending.first.unwrap();
        assert!(pending.import_at(5).unwrap() <= Instant::now() + QUIET);
        pending.last = Some(first + WAIT_MAX * 2);
        assert_eq!(pending.import_at(5), Some(first + WAIT_MAX));
        pending.last = Some(first);
        assert_eq!(pending.import_at(WAITING_MAX), Some(first));
        pending.rest_until = Some(first + WAIT_MAX * 3);
        assert_eq!(pending.import_at(5), pending.rest_until);
    }
}

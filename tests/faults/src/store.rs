//! Histories of the store and its queue, and checks of both after a crash.
//!
//! Two callers change an account each and one works on the queue, concurrently. The steps of a caller run in sequence
//! and depend on the seed only, so the memory engine can compute the expected state: the acknowledged steps, and all or
//! nothing of each step without an answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Envelope, Path as MailPath};
use provost_store::{
    AccountId, AttemptOutcome, Batch, BatchError, BatchId, BodyId, Columns, Flag, FlagChange, Flags, LeaseError,
    LocalConfig, LocalStore, MailboxId, MailboxName, MemoryStore, MessageSelection, MessageStore, Modseq, NewMessage,
    Op, OpEffect, QueueId, QueueRow, QueueStore, TakeLimits, TakenRow, Uid, UidSet, UpkeepConfig,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::mark::{HistoryMark, Marks, StepProgress};

/// Callers with an account each; the next caller works on the queue.
pub const ACCOUNTS: usize = 2;
/// Number of all callers.
pub const CALLERS: usize = ACCOUNTS + 1;
/// Number of steps of each caller with an account, without its last step. The queue's caller makes twice this number.
const STEPS: usize = 12;
const MESSAGE_OCTETS_MAX: u64 = 300_000;
/// Time, seconds, at which rows that batches cause are due. No history reaches it, so the queue's caller does not claim
/// them.
const FAR: i64 = 200_000_000_000;
/// Time between two starts, seconds: every lease of the earlier start has expired.
const LIFE_SECONDS: i64 = 100_000;
/// Maximum number of attempts of a step that may be repeated.
const TRIES: usize = 4;
/// Maximum number of attempts of an account's last step: more than any fault plan has faults.
const LAST_TRIES: usize = 40;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// Message store and queue store as one trait.
pub trait BothStores: MessageStore + QueueStore {}
impl<T: MessageStore + QueueStore> BothStores for T {}

/// One request of a caller.
#[derive(Clone, Debug)]
pub enum StoreStep {
    /// A change of an account.
    Batch(Batch),
    /// Puts a message into the queue.
    Enqueue(NewMessage),
    /// Claims at most this many rows of the queue.
    Take(usize),
    /// Settles a claimed row, and queues a report. `true` keeps all recipients of the row for another attempt, `false`
    /// keeps none.
    Settle(bool, Option<NewMessage>),
    /// Records that the first recipient of a claimed row is done, and queues a report.
    Advance(Option<NewMessage>),
}

/// The steps of each caller.
pub fn steps(seed: u64) -> Vec<Vec<StoreStep>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut callers: Vec<Vec<StoreStep>> = (0..ACCOUNTS).map(|caller| account_steps(caller, &mut rng)).collect();
    callers.push(queue_steps(shards(seed) == 1, &mut rng));
    callers
}

fn account_steps(caller: usize, rng: &mut StdRng) -> Vec<StoreStep> {
    let first = Batch { id: None, account: account(caller), now: at(1_000_000), require: vec![], ops: vec![] };
    let mut batches = vec![first.clone()];
    for number in 1..STEPS {
        if number > 2 && rng.random_bool(0.1) {
            // A sender that got no answer sends the same batch again.
            let again = batches[rng.random_range(1..number)].clone();
            batches.push(again);
            continue;
        }
        let id = rng.random_bool(0.7).then(|| BatchId::new(unique(caller, number, 0)));
        let ops = (0..rng.random_range(1..4)).map(|op| random_op(caller, number * 10 + op, rng)).collect();
        batches.push(Batch { id, now: at(1_000_000 + number as i64), ops, ..first.clone() });
    }
    let id = Some(BatchId::new(unique(caller, STEPS, 0)));
    batches.push(Batch { id, ops: vec![append("INBOX", Bytes::from_static(b"the last one"))], ..first });
    batches.into_iter().map(StoreStep::Batch).collect()
}

fn random_op(caller: usize, number: usize, rng: &mut StdRng) -> Op {
    let names = ["INBOX", "Sent", "a", "a/b", "c"];
    let mut name = || names[rng.random_range(0..names.len())];
    let (here, there) = (name(), name());
    let mailbox = MailboxId::new(rng.random_range(1..8));
    let uids: UidSet = (0..3).map(|_| Uid::new(rng.random_range(1..8)).unwrap()).collect();
    match rng.random_range(0..20) {
        0..8 => append(here, body(number, rng)),
        8 => Op::CreateMailbox { name: mailbox_name(here), special_use: None },
        9 => Op::DeleteMailbox { name: mailbox_name(here) },
        10 => Op::RenameMailbox { from: mailbox_name(here), to: mailbox_name(there) },
        11 | 12 => {
            let mut flags = Flags::none();
            flags.insert([Flag::Seen, Flag::Deleted, Flag::Flagged][rng.random_range(0..3)]);
            let change = if rng.random_bool(0.7) { FlagChange::Add(flags) } else { FlagChange::Remove(flags) };
            Op::Store { mailbox, uids, change, unchanged_since: None }
        }
        13 => Op::Copy { from: mailbox, uids, to: mailbox_name(there) },
        14 | 15 => Op::Move { from: mailbox, uids, to: mailbox_name(there) },
        16 => Op::Expunge { mailbox, uids: Some(uids), only_deleted: false },
        17 => Op::RememberReply {
            handle: "vacation".into(),
            correspondent: format!("{}@example.org", number % 3),
            until: at(FAR),
            reply: Some(Box::new(outgoing(caller, number, FAR, rng))),
        },
        _ => Op::Enqueue(Box::new(outgoing(caller, number, FAR, rng))),
    }
}

fn append(name: &str, body: Bytes) -> Op {
    Op::Append {
        mailbox: mailbox_name(name),
        create: true,
        body,
        flags: Flags::none(),
        internal_date: at(1_700_000_000),
    }
}

/// A body of random size. Some exceed 64 KiB, so that they go to a pack at once; the others may go into the database.
fn body(number: usize, rng: &mut StdRng) -> Bytes {
    let octets = match rng.random_range(0..10) {
        0..6 => rng.random_range(0..3_000),
        6..9 => rng.random_range(3_000..30_000),
        _ => rng.random_range(60_000..150_000),
    };
    let mut body = format!("Subject: number {number}\r\n\r\n").into_bytes();
    body.extend((0..octets).map(|at| b'a' + ((at / 7 + number) % 26) as u8));
    body.into()
}

fn outgoing(caller: usize, number: usize, when: i64, rng: &mut StdRng) -> NewMessage {
    let all = ["x@one.example", "y@two.example", "z@one.example"];
    let count = rng.random_range(1..=all.len());
    let recipients = all.iter().take(count).map(|path| MailPath::parse(path).unwrap());
    let envelope = Envelope::new(MailPath::parse("from@example.edu").ok(), recipients);
    NewMessage { id: QueueId::new(unique(caller, number, 1)), envelope, body: body(number, rng), when: at(when) }
}

/// An id that contains the caller, so that [`stored_state`] finds the rows of a caller.
fn unique(caller: usize, number: usize, kind: usize) -> Uuid {
    Uuid::from_u128(((caller as u128 + 1) << 64) | ((kind as u128) << 32) | (number as u128 + 1))
}

/// The steps of the queue's caller. One transaction cannot claim rows of several shards, so with several shards
/// (`takes` is `false`) the caller only enqueues.
fn queue_steps(takes: bool, rng: &mut StdRng) -> Vec<StoreStep> {
    let mut steps = Vec::new();
    for number in 0..STEPS * 2 {
        let report = rng.random_bool(0.3).then(|| outgoing(ACCOUNTS, 1_000 + number, 0, rng));
        steps.push(match rng.random_range(0..10) {
            kind if kind < 4 || !takes => StoreStep::Enqueue(outgoing(ACCOUNTS, number, 0, rng)),
            4..7 => StoreStep::Take(rng.random_range(1..4)),
            7 => StoreStep::Advance(report),
            _ => StoreStep::Settle(rng.random_bool(0.4), report),
        });
    }
    steps
}

fn account(caller: usize) -> AccountId {
    AccountId::new(Uuid::from_u128(100 + caller as u128))
}

fn mailbox_name(text: &str) -> MailboxName {
    MailboxName::parse(text).unwrap()
}

/// The outcome of a step.
enum StepOutcome {
    Answered(String),
    NotDone(String),
    Unknown(String),
}

/// A caller's state in memory, which a restart loses.
#[derive(Default)]
struct CallerModel {
    claims: Vec<TakenRow>,
}

impl CallerModel {
    async fn perform(&mut self, store: &dyn BothStores, step: &StoreStep, life: usize, number: usize) -> StepOutcome {
        let now = 1_000 + life as i64 * LIFE_SECONDS + number as i64 * 10;
        match step {
            StoreStep::Batch(batch) => match store.apply(batch.clone()).await {
                Ok(applied) => answered(&comparable(applied.effects)),
                Err(BatchError::Unavailable(why)) => StepOutcome::NotDone(why),
                Err(BatchError::Unknown) => StepOutcome::Unknown("unknown".into()),
                Err(other) => answered(&other),
            },
            StoreStep::Enqueue(outgoing) => queue_outcome(store.enqueue(outgoing.clone()).await),
            StoreStep::Take(limit) => {
                match store.take_due(TakeLimits::any(at(now), *limit, Duration::from_secs(600))).await {
                    Ok(taken) => {
                        let rows: Vec<_> = taken.iter().map(|taken| comparable_row(&taken.row)).collect();
                        self.claims.extend(taken);
                        self.claims.sort_by_key(|taken| row_key(&taken.row));
                        answered(&rows)
                    }
                    Err(error) => failed(error.to_string()),
                }
            }
            StoreStep::Settle(some_left, report) => {
                let Some(taken) = self.claims.first().cloned() else { return answered(&"nothing taken") };
                let recipients = if *some_left { taken.row.recipients.clone() } else { Vec::new() };
                let outcome = AttemptOutcome { recipients, due_at: at(now + 5), now: at(now) };
                let settled = store.settle(taken.claim, outcome, report.iter().cloned().collect()).await;
                if !matches!(settled, Err(LeaseError::Unavailable(_))) {
                    self.claims.remove(0);
                }
                lease_outcome(settled)
            }
            StoreStep::Advance(report) => {
                let Some(taken) = self.claims.first() else { return answered(&"nothing taken") };
                let remaining = taken.row.recipients.iter().skip(1).cloned().collect::<Vec<_>>();
                if remaining.is_empty() {
                    return answered(&"the last recipient");
                }
                let advanced = store
                    .advance(taken.claim, remaining.clone(), at(now + 600), report.iter().cloned().collect())
                    .await;
                if advanced.is_ok() {
                    self.claims[0].row.recipients = remaining;
                }
                lease_outcome(advanced)
            }
        }
    }
}

fn answered(what: &impl std::fmt::Debug) -> StepOutcome {
    StepOutcome::Answered(blake3::hash(format!("{what:?}").as_bytes()).to_hex()[..16].to_owned())
}

/// The queue has one error for a step that was not done and for one of unknown outcome; only the text differs.
fn failed(why: String) -> StepOutcome {
    match why.contains("outcome unknown") {
        true => StepOutcome::Unknown(why),
        false => StepOutcome::NotDone(why),
    }
}

fn queue_outcome(result: Result<(), provost_store::StoreError>) -> StepOutcome {
    match result {
        Ok(()) => answered(&()),
        Err(error) => failed(error.to_string()),
    }
}

fn lease_outcome(result: Result<(), LeaseError>) -> StepOutcome {
    match result {
        Err(LeaseError::Unavailable(why)) => failed(why),
        other => answered(&other),
    }
}

/// Removes the body ids, which differ between engines.
fn comparable(mut effects: Vec<OpEffect>) -> Vec<OpEffect> {
    for effect in &mut effects {
        if let OpEffect::Stored { messages, .. } = effect {
            messages.iter_mut().for_each(|message| message.body = BodyId::NONE);
        }
    }
    effects
}

fn row_key(row: &QueueRow) -> (QueueId, String) {
    (row.id, row.destination.as_str().to_owned())
}

/// The data of a row that both engines must agree on.
fn comparable_row(row: &QueueRow) -> String {
    let recipients: Vec<_> = row.recipients.iter().map(|one| one.recipient.path.to_string()).collect();
    format!(
        "{} {} {recipients:?} attempts {} queued {} due {} octets {} {:?}",
        row.id.get(),
        row.destination.as_str(),
        row.attempts,
        row.queued_at,
        row.due_at,
        row.octets,
        row.set_aside
    )
}

/// A configuration whose upkeep runs all the time.
fn config_with_upkeep(folder: &Path, shards: u8) -> LocalConfig {
    let upkeep = UpkeepConfig {
        every: Duration::from_millis(2),
        grace: Duration::from_millis(3),
        pack_octets_max: 64 * 1024,
        inline_octets_kept: 0,
        free_octets_kept: 16 * 1024,
        ..UpkeepConfig::default()
    };
    LocalConfig { shards, message_octets_max: MESSAGE_OCTETS_MAX, upkeep, ..LocalConfig::new(folder) }
}

/// With one shard all callers share commits; with two, each shard must be durable by itself.
fn shards(seed: u64) -> u8 {
    1 + (seed % 2) as u8
}

/// The store's folder in the watched folder.
fn folder(root: &Path) -> std::path::PathBuf {
    root.join("store")
}

/// Makes the history of a seed, under the fault layer. Each caller begins at its step in `from`. Fails when the store
/// cannot be opened.
pub fn make_history(root: &Path, seed: u64, life: usize, from: &[usize]) -> anyhow::Result<()> {
    let marks = Arc::new(Marks::open(root, life)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let store: Arc<dyn BothStores> = Arc::new(LocalStore::open(&config_with_upkeep(&folder(root), shards(seed)))?);
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for (caller, steps) in steps(seed).into_iter().enumerate() {
            let (marks, store, from) = (Arc::clone(&marks), Arc::clone(&store), from.get(caller).copied().unwrap_or(0));
            callers.spawn(async move { make_steps(&*store, &marks, (caller, life), &steps, from).await });
        }
        callers.join_all().await;
    });
    Ok(())
}

/// Makes the steps of one caller, beginning at step `from`.
async fn make_steps(
    store: &dyn BothStores,
    marks: &Marks,
    (caller, life): (usize, usize),
    steps: &[StoreStep],
    from: usize,
) {
    let mut state = CallerModel::default();
    for (number, step) in steps.iter().enumerate().skip(from) {
        let is_last = number + 1 == steps.len();
        let is_under_way = life > 0 && number == from;
        let may_repeat = matches!(step, StoreStep::Batch(batch) if batch.id.is_some() || batch.ops.is_empty());
        if is_under_way && !may_repeat {
            continue;
        }
        for _ in 0..if is_last { LAST_TRIES } else { TRIES } {
            marks.record(caller, number, &StepProgress::Begun);
            let progress = match state.perform(store, step, life, number).await {
                StepOutcome::Answered(digest) => StepProgress::Answered(digest),
                StepOutcome::NotDone(why) => {
                    eprintln!("caller {caller} step {number}: not done: {why}");
                    StepProgress::NotDone
                }
                StepOutcome::Unknown(why) => {
                    eprintln!("caller {caller} step {number}: unknown: {why}");
                    StepProgress::Unknown
                }
            };
            let is_done = matches!(progress, StepProgress::Answered(_));
            marks.record(caller, number, &progress);
            if is_done || !may_repeat {
                break;
            }
        }
    }
}

/// One possible event in a caller's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HistoryEvent {
    /// A step with an answer: the number of the process start, and of the step.
    Done(usize, usize),
    /// A step without an answer that had its effect: the number of the process start, and of the step.
    Unanswered(usize, usize),
    /// A restart of the process.
    Restart,
}

/// The possible histories: one list of events for each combination of the steps with unknown outcome.
type Possible = Vec<Vec<HistoryEvent>>;

/// Maximum number of possible histories: ten steps with unknown outcome give so many. The check panics beyond.
const POSSIBLE_MAX: usize = 1024;

/// The check of one run, with its models.
pub struct StoreJudge {
    steps: Vec<Vec<StoreStep>>,
    /// A caller's state after a list of events, and the digests of its answers.
    states: HashMap<(usize, Vec<HistoryEvent>), (String, Vec<String>)>,
    runtime: tokio::runtime::Runtime,
}

impl StoreJudge {
    /// The check for the history of a seed.
    pub fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { steps: steps(seed), states: HashMap::new(), runtime }
    }

    /// Opens a crash state and compares it with the marks up to the crash.
    ///
    /// # Errors
    /// A description of the fault.
    pub fn judge(&mut self, root: &Path, marks: &[HistoryMark]) -> Result<(), String> {
        let store: Arc<dyn BothStores> = match LocalStore::open(&config_without_upkeep(&folder(root))) {
            Ok(store) => Arc::new(store),
            Err(error) => return Err(format!("does not open: {error}")),
        };
        for caller in 0..CALLERS {
            let possible = self.possible(caller, marks);
            if possible.is_empty() {
                return Err(format!("caller {caller}: no possible history gives the answers that the caller got"));
            }
            let found = self.runtime.block_on(stored_state(&*store, caller));
            let expected: HashSet<String> = possible.iter().map(|events| self.state(caller, events).0).collect();
            if !expected.contains(&found) {
                let expected: Vec<_> = expected.iter().map(String::as_str).collect();
                return Err(format!("caller {caller}:\n found {found}\n expected one of\n {}", expected.join("\n ")));
            }
        }
        self.accepts_changes(&*store)?;
        drop(store);
        check_databases(&folder(root))
    }

    /// Checks that the store accepts changes after the crash.
    fn accepts_changes(&self, store: &dyn BothStores) -> Result<(), String> {
        for caller in 0..ACCOUNTS {
            let ops = vec![append("INBOX", Bytes::from_static(b"after the crash"))];
            let batch = Batch { id: None, account: account(caller), now: at(2_000_000), require: vec![], ops };
            self.runtime.block_on(store.apply(batch)).map_err(|error| format!("does not accept changes: {error}"))?;
        }
        Ok(())
    }

    /// Every list of events that agrees with the marks.
    ///
    /// A step of unknown outcome may be in SQLite's log although the running process answers as if it were not. A crash
    /// can bring it back until the caller's next change overwrites it in the log.
    fn possible(&mut self, caller: usize, marks: &[HistoryMark]) -> Possible {
        let mut possible: Possible = vec![Vec::new()];
        let mut under_way: Option<(usize, usize)> = None;
        let (mut life, mut late) = (0, Vec::new());
        for mark in marks.iter().filter(|mark| mark.caller == caller) {
            if mark.life != life {
                late.drain(..).for_each(|step| doubt(&mut possible, Some(step)));
                doubt(&mut possible, under_way.take());
                possible.iter_mut().for_each(|events| events.push(HistoryEvent::Restart));
                life = mark.life;
            }
            match &mark.progress {
                StepProgress::Begun => under_way = Some((mark.life, mark.step)),
                StepProgress::NotDone => under_way = None,
                StepProgress::Unknown => {
                    late.extend(under_way);
                    doubt(&mut possible, under_way.take());
                }
                StepProgress::Answered(digest) => {
                    under_way = None;
                    possible.iter_mut().for_each(|events| events.push(HistoryEvent::Done(mark.life, mark.step)));
                    possible.retain(|events| self.state(caller, events).1.last() == Some(digest));
                    if possible.iter().all(|events| self.changed(caller, events)) {
                        late.clear();
                    }
                }
            }
        }
        late.into_iter().for_each(|step| doubt(&mut possible, Some(step)));
        doubt(&mut possible, under_way);
        possible
    }

    /// Whether the last event changed the state.
    fn changed(&mut self, caller: usize, events: &[HistoryEvent]) -> bool {
        let before = events.get(..events.len().saturating_sub(1)).unwrap_or_default();
        self.state(caller, before).0 != self.state(caller, events).0
    }

    fn state(&mut self, caller: usize, events: &[HistoryEvent]) -> (String, Vec<String>) {
        let key = (caller, events.to_vec());
        if let Some(state) = self.states.get(&key) {
            return state.clone();
        }
        let state = self.runtime.block_on(model(&self.steps[caller], caller, events));
        self.states.insert(key, state.clone());
        state
    }
}

/// Doubles the possible histories: with the step and without it.
fn doubt(possible: &mut Possible, step: Option<(usize, usize)>) {
    let Some((life, step)) = step else { return };
    let with: Vec<_> = possible
        .iter()
        .map(|events| events.iter().copied().chain([HistoryEvent::Unanswered(life, step)]).collect::<Vec<_>>())
        .collect();
    possible.extend(with);
    assert!(possible.len() <= POSSIBLE_MAX, "too many steps in doubt");
}

async fn model(steps: &[StoreStep], caller: usize, events: &[HistoryEvent]) -> (String, Vec<String>) {
    let store = MemoryStore::new(MESSAGE_OCTETS_MAX);
    let (mut state, mut digests) = (CallerModel::default(), Vec::new());
    for event in events {
        match *event {
            HistoryEvent::Restart => state.claims.clear(),
            HistoryEvent::Done(life, number) => match state.perform(&store, &steps[number], life, number).await {
                StepOutcome::Answered(digest) => digests.push(digest),
                StepOutcome::NotDone(why) | StepOutcome::Unknown(why) => panic!("the memory engine: {why}"),
            },
            HistoryEvent::Unanswered(life, number) => {
                // The caller does not know which rows it claimed, and still holds those that it was about to settle.
                let claims = state.claims.clone();
                state.perform(&store, &steps[number], life, number).await;
                state.claims = claims;
            }
        }
    }
    (stored_state(&store, caller).await, digests)
}

/// The mailboxes, messages and queue rows of one caller, as text.
async fn stored_state(store: &dyn BothStores, caller: usize) -> String {
    let mut lines = Vec::new();
    if caller < ACCOUNTS && store.accounts(None, 1_000).await.unwrap().contains(&account(caller)) {
        let snapshot = store.snapshot(account(caller), None).await.unwrap();
        lines.push(format!("{:?} {} {:?}", snapshot.subscribed_only, snapshot.octets, snapshot.token));
        for mailbox in &snapshot.mailboxes {
            let which = MessageSelection::ChangedSince(Modseq::new(0));
            let rows = store.read(account(caller), mailbox.id, which, Columns::ENVELOPE, None).await;
            let mut rows = rows.unwrap();
            lines.push(format!("{:?} gone {:?}", rows.info, rows.expunged));
            for row in &mut rows.rows {
                let body = match store.body(account(caller), row.meta.body, None).await {
                    Ok(body) => blake3::hash(&body).to_hex()[..16].to_owned(),
                    Err(error) => error.to_string(),
                };
                row.meta.body = BodyId::NONE;
                lines.push(format!("{row:?} {body}"));
            }
        }
    }
    let mut rows: BTreeMap<(QueueId, String), String> = BTreeMap::new();
    for row in store.list(1_000).await.unwrap() {
        if row.id.get().as_u64_pair().0 == caller as u64 + 1 {
            let body = match store.queued_body(&row).await {
                Ok(body) => blake3::hash(&body).to_hex()[..16].to_owned(),
                Err(error) => error.to_string(),
            };
            rows.insert(row_key(&row), format!("{} {body}", comparable_row(&row)));
        }
    }
    lines.extend(rows.into_values());
    lines.join("\n ")
}

/// A configuration whose upkeep has long pauses and the default bounds, so that it changes next to nothing during a
/// check. An existing store keeps its number of shards.
fn config_without_upkeep(folder: &Path) -> LocalConfig {
    let upkeep = UpkeepConfig { every: Duration::from_secs(60), ..UpkeepConfig::default() };
    LocalConfig { upkeep, ..config_with_upkeep(folder, 1) }
}

/// Checks that the databases are intact, that the bodies, packs and accounts to which rows refer exist, and that the
/// reference counts of bodies are right.
fn check_databases(folder: &Path) -> Result<(), String> {
    let shards = ["shard-00", "shard-01"].map(|shard| folder.join(shard).join("meta.sqlite"));
    shards.iter().filter(|database| database.exists()).try_for_each(|database| check_database(database))
}

fn check_database(database: &Path) -> Result<(), String> {
    let connection = rusqlite::Connection::open(database).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    if verdict != "ok" {
        return Err(format!("integrity_check: {verdict}"));
    }
    for sql in [
        "SELECT count(*) FROM body WHERE refs <> (SELECT count(*) FROM message WHERE message.body = body.id)
            + (SELECT count(*) FROM outgoing WHERE outgoing.body = body.id)",
        "SELECT count(*) FROM message WHERE body NOT IN (SELECT id FROM body)",
        "SELECT count(*) FROM outgoing WHERE body NOT IN (SELECT id FROM body)",
        "SELECT count(*) FROM body WHERE (pack IS NULL) <> (id IN (SELECT body FROM inline))",
        "SELECT count(*) FROM body WHERE pack IS NOT NULL AND pack NOT IN (SELECT number FROM pack)",
        "SELECT count(*) FROM mailbox WHERE account NOT IN (SELECT no FROM account)",
    ] {
        let wrong: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        if wrong != 0 {
            return Err(format!("{wrong}: {sql}"));
        }
    }
    Ok(())
}

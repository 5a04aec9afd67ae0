//! The journal of applies: for each batch the plan that it applies and one receipt per write, on this machine's disk.
//!
//! ```text
//! FOLDER/<batch>.plan         the plan (mode 0600: it holds names and birth dates, never a password)
//! FOLDER/<batch>.open.jsonl   receipts of an unfinished batch
//! FOLDER/<batch>.jsonl        receipts of a finished batch
//! ```
//!
//! The plan is durable before the first write is sent, so every value that a batch may overwrite is known after any
//! crash. The outcome of a write without a receipt is unknown. It is looked up in the directory, where provostLastBatch
//! of every written entry is the batch's id. A receipt that is lost in a power cut costs only this look-up, so receipts
//! are synced in groups while the apply continues.

mod lines;
mod writer;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use lines::{BeginLine, EndLine, JOURNAL_VERSION, JournalError, Receipt, WriteOutcome};
use lines::{HeaderLine, JournalContent, JournalLine};
use uuid::Uuid;
use writer::JournalWriter;

use crate::kept_plans::KeptPlans;
use crate::{Actor, Plan};

/// Number of finished batches that are kept for undo. Before a new batch begins, older ones are removed.
/// A batch of 35,500 new people takes about 80 MB.
const BATCHES_KEPT: usize = 500;

const OPEN: &str = ".open.jsonl";
const ENDED: &str = ".jsonl";
const PLAN: &str = ".plan";
/// Lock file. An apply holds it while it begins a batch or opens abandoned ones, so that no other apply takes the new
/// batch for an abandoned one.
const LOCK: &str = "lock";

/// The folder of journals. Cheap to clone. Several processes may use it at once.
#[derive(Clone, Debug)]
pub struct Journals {
    folder: Arc<Path>,
}

/// Everything that is kept of one batch.
#[derive(Clone, Debug)]
pub struct KeptBatch {
    /// Id of the batch: provostLastBatch of every entry that it wrote.
    pub batch: String,
    /// Hash of its plan.
    pub plan_hash: String,
    /// GeneralizedTime: provostSince of the addresses that it made.
    pub since: String,
    /// Actor and time of each run: more than one when the batch was resumed.
    pub begins: Vec<BeginLine>,
    /// Receipts of the writes whose outcomes are known, in recorded order. When a write has several receipts, the last
    /// one holds.
    pub receipts: Vec<Receipt>,
    /// The end record; `None` for an unfinished batch.
    pub end: Option<EndLine>,
}

/// The state in which an unfinished batch is found.
enum OpenBatch {
    /// No other apply uses the batch. Its file is locked now and open for appending.
    Free(File, JournalContent),
    /// Another apply, of this or another process, works on the batch.
    InUse,
    /// The batch has ended: since the folder was listed, or before a crash that left the file under its open name.
    Ended,
    /// The journal is damaged or of another version. Imports of other plans continue.
    Unusable(JournalError),
}

/// A batch that an apply of this process is working on: its file is locked.
pub(crate) struct Journal {
    pub(crate) batch: String,
    pub(crate) since: String,
    /// Known outcomes by the index of the change in the plan and the index of the write in the change; empty for a new
    /// batch.
    pub(crate) known: HashMap<(u32, u32), WriteOutcome>,
    is_resumed: bool,
    folder: Arc<Path>,
    writer: JournalWriter,
}

impl Journals {
    /// Journals in `folder`, which is created when the first batch is begun.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into() }
    }

    /// Ids of the batches that are kept, oldest first, each with whether it is finished.
    pub fn batches(&self) -> Result<Vec<(String, bool)>, JournalError> {
        let mut found = Vec::new();
        let listed = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            listed => listed?,
        };
        for item in listed {
            let name = item?.file_name();
            let Some(name) = name.to_str() else { continue };
            let open = name.strip_suffix(OPEN);
            let Some(batch) = open.or_else(|| name.strip_suffix(ENDED)) else { continue };
            if Uuid::try_parse(batch).is_ok() {
                found.push((batch.to_owned(), open.is_none()));
            }
        }
        // Ids are UUIDs of version 7, which sort by time.
        found.sort();
        Ok(found)
    }

    /// Reads what is kept of a batch. Text that is not a batch id, and a batch whose header is torn, are
    /// [`JournalError::Gone`].
    pub fn read(&self, batch: &str) -> Result<KeptBatch, JournalError> {
        let batch = Uuid::try_parse(batch).map_err(|_| JournalError::Gone)?.to_string();
        // The name of an unfinished batch first: a batch that ends between the two looks has the second name by then.
        let file = match File::open(self.path(&batch, OPEN)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(self.path(&batch, ENDED)),
            opened => opened,
        };
        let file = file.map_err(gone)?;
        let content = JournalContent::read(&file)?;
        let HeaderLine { plan_hash, since, .. } = content.header.ok_or(JournalError::Gone)?;
        let mut kept_batch = KeptBatch { batch, plan_hash, since, begins: Vec::new(), receipts: Vec::new(), end: None };
        for line in content.lines {
            match line {
                JournalLine::Begin(begin) => kept_batch.begins.push(begin),
                JournalLine::Receipt(receipt) => kept_batch.receipts.push(*receipt),
                JournalLine::End(end) => kept_batch.end = Some(end),
            }
        }
        Ok(kept_batch)
    }

    /// Kept plans are in a folder beside the journals.
    pub(crate) fn kept_plans(&self) -> KeptPlans {
        KeptPlans::new(self.folder.join("plans"))
    }

    /// The unfinished batch of the plan with this hash, whether or not an apply works on it. Blocks.
    pub(crate) fn open_batch_of(&self, hash: &str) -> Result<Option<String>, JournalError> {
        for batch in self.open_batches()? {
            let file = match File::open(self.path(&batch, OPEN)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            if JournalContent::header(&file)?.is_some_and(|header| header.plan_hash == hash) {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// The plan of a batch.
    pub fn plan(&self, batch: &str) -> Result<Plan, JournalError> {
        let batch = Uuid::try_parse(batch).map_err(|_| JournalError::Gone)?.to_string();
        let octets = fs::read(self.path(&batch, PLAN)).map_err(gone)?;
        Ok(Plan::from_bytes(&octets)?)
    }

    /// Opens the unfinished batch of exactly this plan, or begins a new one. The plan and the begin record are durable
    /// when this returns. Blocks.
    pub(crate) fn begin(&self, plan: &Plan, actor: &Actor, at: &str) -> Result<Journal, JournalError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let _lock = self.lock()?;
        let begin = BeginLine { actor: actor.name.clone(), via: actor.via.to_owned(), at: at.to_owned() };
        for batch in self.open_batches()? {
            match self.open(&batch)? {
                OpenBatch::Free(file, content) if content.is_of(plan.hash()) => {
                    return self.resume(file, content, begin);
                }
                OpenBatch::Free(..) => {}
                // Refuse to begin a second batch of the same plan: it would take the writes of the first one for a
                // conflict, and these people would fail.
                OpenBatch::InUse if self.is_of(&batch, plan)? => return Err(JournalError::InUse(batch)),
                OpenBatch::Unusable(fault) if self.is_of(&batch, plan)? => {
                    return Err(JournalError::NotResumable { batch, fault: Box::new(fault) });
                }
                OpenBatch::InUse | OpenBatch::Ended | OpenBatch::Unusable(_) => {}
            }
        }
        self.remove_old()?;
        self.begin_new(plan, begin)
    }

    fn begin_new(&self, plan: &Plan, begin: BeginLine) -> Result<Journal, JournalError> {
        let batch = Uuid::now_v7().to_string();
        let header = HeaderLine {
            journal: JOURNAL_VERSION,
            batch: batch.clone(),
            plan_hash: plan.hash().to_owned(),
            since: plan.since().to_owned(),
        };
        // Create the receipts' file first: a plan without one would never be removed.
        let mut file = create(&self.path(&batch, OPEN))?;
        if !try_lock(&file)? {
            return Err(JournalError::InUse(batch));
        }
        let mut plan_file = create(&self.path(&batch, PLAN))?;
        plan.write_to(&mut plan_file)?;
        plan_file.sync_all()?;
        let mut text = serde_json::to_string(&header)? + "\n";
        text += &(serde_json::to_string(&JournalLine::Begin(begin))? + "\n");
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        let writer = JournalWriter::start(file)?;
        let (known, folder) = (HashMap::new(), self.folder.clone());
        Ok(Journal { batch, since: header.since, known, is_resumed: false, folder, writer })
    }

    fn resume(&self, mut file: File, content: JournalContent, begin: BeginLine) -> Result<Journal, JournalError> {
        let Some(header) = content.header else { return Err(JournalError::Gone) };
        file.write_all((serde_json::to_string(&JournalLine::Begin(begin))? + "\n").as_bytes())?;
        file.sync_data()?;
        let mut known = HashMap::new();
        for line in content.lines {
            if let JournalLine::Receipt(receipt) = line {
                known.insert((receipt.change, receipt.write), receipt.outcome);
            }
        }
        let (folder, writer) = (self.folder.clone(), JournalWriter::start(file)?);
        Ok(Journal { batch: header.batch, since: header.since, known, is_resumed: true, folder, writer })
    }

    /// Opens the unfinished batches that no apply is working on, so that the caller can look up their outcomes. Leaves
    /// out batches of the plan with the hash `own_plan`. A batch without a complete header has written nothing to the
    /// directory and is removed. Blocks.
    pub(crate) fn abandoned(&self, own_plan: &str) -> Result<Vec<(Journal, Plan)>, JournalError> {
        if self.batches()?.is_empty() {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let mut abandoned = Vec::new();
        for batch in self.open_batches()? {
            let OpenBatch::Free(file, content) = self.open(&batch)? else { continue };
            if content.is_of(own_plan) {
                continue;
            }
            if content.header.is_none() {
                self.remove(&batch, OPEN)?;
                continue;
            }
            let plan = match self.plan(&batch) {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::error!(batch, %error, "cannot read the plan of an interrupted batch; its journal is kept");
                    continue;
                }
            };
            let at = jiff::Timestamp::now().to_string();
            let begin = BeginLine { actor: "provost".to_owned(), via: "look-up".to_owned(), at };
            abandoned.push((self.resume(file, content, begin)?, plan));
        }
        Ok(abandoned)
    }

    fn open_batches(&self) -> Result<Vec<String>, JournalError> {
        Ok(self.batches()?.into_iter().filter(|(_, has_ended)| !has_ended).map(|(batch, _)| batch).collect())
    }

    /// Opens and locks the file of an unfinished batch for appending, and cuts off a torn last line. If the file has an
    /// end record, it is renamed as the file of a finished batch.
    fn open(&self, batch: &str) -> Result<OpenBatch, JournalError> {
        let file = match OpenOptions::new().read(true).append(true).open(self.path(batch, OPEN)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(OpenBatch::Ended),
            opened => opened?,
        };
        if !try_lock(&file)? {
            return Ok(OpenBatch::InUse);
        }
        let content = match JournalContent::read(&file) {
            Err(error @ (JournalError::Damaged(_) | JournalError::Version(_))) => {
                tracing::error!(batch, %error, "cannot use the journal of an interrupted batch; the file is kept");
                return Ok(OpenBatch::Unusable(error));
            }
            content => content?,
        };
        if content.has_ended() {
            finish(&self.folder, batch)?;
            return Ok(OpenBatch::Ended);
        }
        if content.octets < file.metadata()?.len() {
            file.set_len(content.octets)?;
            file.sync_all()?;
        }
        Ok(OpenBatch::Free(file, content))
    }

    /// Whether the batch, in use or unusable, applies `plan`; `false` when it has ended meanwhile.
    fn is_of(&self, batch: &str, plan: &Plan) -> Result<bool, JournalError> {
        let file = match File::open(self.path(batch, OPEN)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let header = JournalContent::header(&file)?;
        Ok(header.is_some_and(|header| header.plan_hash == plan.hash()))
    }

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.folder.join(LOCK))?;
        file.lock()?;
        Ok(file)
    }

    fn remove_old(&self) -> Result<(), JournalError> {
        let mut ended: Vec<String> =
            self.batches()?.into_iter().filter(|(_, has_ended)| *has_ended).map(|(batch, _)| batch).collect();
        ended.truncate(ended.len().saturating_sub(BATCHES_KEPT));
        ended.iter().try_for_each(|batch| self.remove(batch, ENDED))
    }

    fn remove(&self, batch: &str, kind: &str) -> Result<(), JournalError> {
        for path in [self.path(batch, PLAN), self.path(batch, kind)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, batch: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{batch}{kind}"))
    }
}

impl Journal {
    /// Whether an earlier run began the batch: the directory may then hold writes that have no receipt.
    pub(crate) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Records the outcome of a write. The receipt becomes durable in a later group sync, and at the latest when
    /// [`Journal::flush`] returns.
    pub(crate) async fn record(&self, receipt: Receipt) -> io::Result<()> {
        self.writer.append(serde_json::to_string(&JournalLine::Receipt(Box::new(receipt)))?).await
    }

    /// Waits until all recorded lines are durable.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.writer.flush().await
    }

    /// Closes and unlocks the file, so that the next apply of the same plan does not find the batch in use.
    pub(crate) async fn release(self) {
        self.writer.close().await;
    }

    /// Records the end of the batch, after which it is never resumed.
    pub(crate) async fn end(&self, end: EndLine) -> io::Result<()> {
        self.writer.append(serde_json::to_string(&JournalLine::End(end))?).await?;
        self.writer.flush().await?;
        let (folder, batch) = (self.folder.clone(), self.batch.clone());
        let renamed = tokio::task::spawn_blocking(move || finish(&folder, &batch));
        renamed.await.map_err(io::Error::other)?
    }
}

/// Renames the file of an ended batch from the open name to the finished one, and syncs the folder.
fn finish(folder: &Path, batch: &str) -> io::Result<()> {
    fs::rename(folder.join(format!("{batch}{OPEN}")), folder.join(format!("{batch}{ENDED}")))?;
    File::open(folder)?.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)
}

/// Locks a file; `false` when it is locked already, by this or another process.
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn gone(error: io::Error) -> JournalError {
    if error.kind() == io::ErrorKind::NotFound { JournalError::Gone } else { error.into() }
}

#[cfg(test)]
mod tests;

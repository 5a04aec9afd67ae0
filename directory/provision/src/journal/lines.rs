//! The lines of a journal: a header with the version, then the beginning of each run, receipts, and the end record.
//! A crash may leave the last line torn, that is without its line end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AttributeChange, PlanFileError};

/// Version of the journal's form. A journal of another version is refused.
pub const JOURNAL_VERSION: u32 = 1;
/// Longest line that is read, in octets. A receipt is far shorter: it holds the changed attributes of one entry.
const LINE_OCTETS_MAX: u64 = 16 * 1024 * 1024;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused a read or a write.
    #[error("the journal cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The batch or its plan does not exist or was removed, or the header of its journal is torn.
    #[error("the batch does not exist or was removed")]
    Gone,
    /// Another apply, of this or another process, works on the batch.
    #[error("another import is working on batch {0}; wait until that one ends")]
    InUse(String),
    /// An earlier run began the plan, and the journal of its batch cannot be used.
    #[error(
        "this plan was begun as batch {batch}, which cannot be resumed: {fault}; move the files of that batch out of \
         the journal's folder and plan again"
    )]
    NotResumable {
        /// Id of the batch, with which the names of its files begin.
        batch: String,
        /// What is wrong with its journal.
        fault: Box<JournalError>,
    },
    /// A line that has its line end cannot be read as a journal line, or a line is too long.
    #[error("line {0} of the journal is damaged")]
    Damaged(u64),
    /// The journal has a version that this program does not know.
    #[error("the journal is of version {0}, and this program reads version {JOURNAL_VERSION}")]
    Version(u32),
    /// The plan of the batch cannot be read.
    #[error("the plan of the batch: {0}")]
    Plan(#[from] PlanFileError),
}

impl From<serde_json::Error> for JournalError {
    fn from(error: serde_json::Error) -> Self {
        Self::Io(error.into())
    }
}

/// The first line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeaderLine {
    /// [`JOURNAL_VERSION`].
    pub(super) journal: u32,
    pub(super) batch: String,
    /// Hash of the plan.
    #[serde(rename = "plan")]
    pub(super) plan_hash: String,
    /// GeneralizedTime: provostSince of the addresses that the batch makes. The plan's hash does not cover this time:
    /// a plan made again later may resume the batch, which then keeps the time of its header.
    pub(super) since: String,
}

/// Every line after the header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum JournalLine {
    Begin(BeginLine),
    Receipt(Box<Receipt>),
    End(EndLine),
}

/// A run that began, resumed or settled the batch; the receipts that follow are those of this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginLine {
    /// The actor: `cli:root`, `token:registrar`; `provost` for a look-up.
    pub actor: String,
    /// The interface: cli, api, web; `look-up` when another apply settled an abandoned batch.
    pub via: String,
    /// Time at which the run began: RFC 3339, UTC.
    pub at: String,
}

/// The outcome of one write, with what undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Place of the change in the plan, from zero.
    pub change: u32,
    /// Place of the write in the change, from zero.
    pub write: u32,
    /// DN of the written entry.
    pub dn: String,
    /// Time at which the outcome became known: RFC 3339, UTC.
    pub at: String,
    /// The outcome of the write.
    pub outcome: WriteOutcome,
    /// entryCSN of the entry after the write (RFC 4527 post-read, or as looked up), if the server shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csn: Option<String>,
    /// entryUUID of the entry, if the server shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_uuid: Option<Uuid>,
    /// Values before and after according to the plan; empty for a new entry. Where the server shows an entryCSN, the
    /// values before were still those of the entry when the write was done, because a write to an entry that has
    /// changed since the plan was made is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeChange>,
    /// Whether the write set an initial password where there was none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub password: bool,
    /// blake3 of the stored form of that password, hex, by which undo finds out whether it was changed; `None` when
    /// another run has set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_digest: Option<String>,
}

/// The outcome of one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOutcome {
    /// The directory confirmed the write.
    Done,
    /// No answer came, or an earlier run ended before it had recorded the outcome. The entry names this batch, which
    /// proves the write.
    Found,
    /// The person had the address before this batch: nothing was written.
    Already,
    /// Not done, for this reason.
    Refused(String),
    /// Not done: an apply of another plan found that the abandoned batch had not reached this write, or the address was
    /// taken back because a later write of its person was refused.
    NotDone,
}

impl WriteOutcome {
    /// Whether the entry is as the write wants it.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Found | Self::Already)
    }
}

/// The end record of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndLine {
    /// Time of the end: RFC 3339, UTC.
    pub at: String,
    /// People whose every write is done.
    pub applied: usize,
    /// All other people that the batch was to change, for example because a write was refused or not reached, or the
    /// password was missing.
    pub failed: usize,
}

/// The content of a journal up to its last whole line.
pub(super) struct JournalContent {
    /// `None` when the header is torn: nothing was written to the directory.
    pub(super) header: Option<HeaderLine>,
    pub(super) lines: Vec<JournalLine>,
    /// Offset of the end of the last whole line, in octets: anything after it is a torn line.
    pub(super) octets: u64,
}

impl JournalContent {
    /// Reads from the beginning. A last line without line end was torn by a crash and is skipped; a whole line that
    /// cannot be parsed is damage.
    pub(super) fn read(mut file: &File) -> Result<Self, JournalError> {
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(file);
        let mut read = Self { header: None, lines: Vec::new(), octets: 0 };
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let octets = io::Read::take(&mut reader, LINE_OCTETS_MAX).read_until(b'\n', &mut text)? as u64;
            if text.last() != Some(&b'\n') {
                if octets == LINE_OCTETS_MAX {
                    return Err(JournalError::Damaged(number));
                }
                break;
            }
            read.read_line(&text, number)?;
            read.octets += octets;
        }
        Ok(read)
    }

    /// Reads only the header; `None` when it is torn or cannot be parsed.
    pub(super) fn header(file: &File) -> Result<Option<HeaderLine>, JournalError> {
        let mut text = Vec::new();
        io::Read::take(BufReader::new(file), LINE_OCTETS_MAX).read_until(b'\n', &mut text)?;
        Ok(serde_json::from_slice(&text).ok())
    }

    fn read_line(&mut self, text: &[u8], number: u64) -> Result<(), JournalError> {
        if self.header.is_some() {
            self.lines.push(serde_json::from_slice(text).map_err(|_| JournalError::Damaged(number))?);
            return Ok(());
        }
        /// The one field that is read before the version is known.
        #[derive(Deserialize)]
        struct JournalVersion {
            journal: u32,
        }
        let damaged = |_| JournalError::Damaged(number);
        let JournalVersion { journal } = serde_json::from_slice(text).map_err(damaged)?;
        if journal != JOURNAL_VERSION {
            return Err(JournalError::Version(journal));
        }
        self.header = Some(serde_json::from_slice(text).map_err(damaged)?);
        Ok(())
    }

    pub(super) fn is_of(&self, plan_hash: &str) -> bool {
        self.header.as_ref().is_some_and(|header| header.plan_hash == plan_hash)
    }

    /// Whether the end record is the last line. Earlier versions could begin another run after the end record: such a
    /// batch is unfinished again.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.lines.last(), Some(JournalLine::End(_)))
    }
}

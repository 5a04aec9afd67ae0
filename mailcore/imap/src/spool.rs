//! The one large literal of a command while it arrives: in an unnamed file, so that clients with slow lines, or clients
//! that stop sending, occupy disk space and no memory.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_net::Reservation;

use crate::budget::{BudgetShare, LiteralBudget};

/// Time that a literal may take whatever its size. In SMTP, the data of a message has the same limit.
const LITERAL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Received octets that extend the limit by one second. In SMTP, the data of a message has the same rate.
const OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// Why a literal cannot be kept. All causes are temporary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// The literals of all sessions have reached their limit.
    #[error("the large literals of all sessions have reached their limit")]
    Full,
    /// Memory for the complete command did not become free in time.
    #[error("no memory became free for the complete command")]
    NoMemory,
    /// An I/O error of the file.
    #[error("the file of a literal: {0}")]
    File(#[from] io::Error),
    /// The blocking task that uses the file was cancelled, or panicked.
    #[error("the task that uses the file of a literal: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The received part of a literal.
#[derive(Debug)]
pub(crate) struct Spool {
    budget: LiteralBudget,
    /// The literal's part of the disk budget.
    share: BudgetShare,
    file: Option<Arc<File>>,
    octets: u64,
    began: Timestamp,
}

/// A complete command in memory.
pub(crate) struct WholeCommand {
    pub(crate) frame: Bytes,
    /// Memory for the frame and the values parsed from it, reserved until this is dropped.
    pub(crate) memory: Reservation,
}

impl Spool {
    /// An empty spool.
    pub(crate) fn new(budget: &LiteralBudget, now: Timestamp) -> Self {
        Self { budget: budget.clone(), share: BudgetShare::new(budget), file: None, octets: 0, began: now }
    }

    /// How long the client may take for the rest. The time grows with the received octets, and reaches zero for a
    /// client that trickles.
    pub(crate) fn time_left(&self, now: Timestamp) -> Duration {
        let spent: Duration = now.duration_since(self.began).try_into().unwrap_or_default();
        (LITERAL_LIMIT + Duration::from_secs(self.octets / OCTETS_PER_SECOND_MIN)).saturating_sub(spent)
    }

    /// Appends octets, on a blocking thread: a disk can be slow.
    pub(crate) async fn append(&mut self, octets: Bytes) -> Result<(), SpoolError> {
        let count = octets.len() as u64;
        if !self.share.grow(count) {
            return Err(SpoolError::Full);
        }
        let (file, folder) = (self.file.take(), self.budget.folder());
        let work = move || {
            let file = match file {
                Some(file) => file,
                // An unnamed file leaves nothing behind after a crash.
                None => Arc::new(tempfile::tempfile_in(folder)?),
            };
            (&*file).write_all(&octets)?;
            Ok::<_, io::Error>(file)
        };
        self.file = Some(tokio::task::spawn_blocking(work).await??);
        self.octets += count;
        Ok(())
    }

    /// Returns the command: `text` with the literal inserted at this offset. First waits for memory, as long as
    /// [`LiteralBudget::reserve_memory`] permits.
    pub(crate) async fn join(self, text: Bytes, at: usize) -> Result<WholeCommand, SpoolError> {
        let memory = self.budget.reserve_memory(self.octets).await.ok_or(SpoolError::NoMemory)?;
        let Some(file) = self.file else { return Ok(WholeCommand { frame: text, memory }) };
        let octets = usize::try_from(self.octets).map_err(io::Error::other)?;
        let work = move || {
            let (before, after) = text.split_at_checked(at).unwrap_or((&text, &[]));
            let mut frame = Vec::with_capacity(text.len() + octets);
            frame.extend_from_slice(before);
            (&*file).rewind()?;
            (&*file).read_to_end(&mut frame)?;
            frame.extend_from_slice(after);
            Ok::<_, io::Error>(Bytes::from(frame))
        };
        let frame = tokio::task::spawn_blocking(work).await??;
        Ok(WholeCommand { frame, memory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_net::MemoryBudget;

    fn literals(octets: u64) -> LiteralBudget {
        LiteralBudget::new(std::env::temp_dir(), octets, MemoryBudget::default())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn a_literal_comes_back_in_its_place() {
        let budget = literals(100);
        let mut spool = Spool::new(&budget, at(0));
        for octets in ["lit", "", "eral"] {
            spool.append(Bytes::from_static(octets.as_bytes())).await.unwrap();
        }
        let joined = spool.join(Bytes::from_static(b"a {7}b"), 5).await.unwrap();
        assert_eq!(joined.frame, "a {7}literalb");
        let mut other = Spool::new(&budget, at(0));
        other.append(Bytes::from(vec![0; 100])).await.unwrap();
        assert!(matches!(other.append(Bytes::from_static(b"x")).await, Err(SpoolError::Full)));
    }

    #[tokio::test]
    async fn a_missing_folder_is_an_error() {
        let mut spool = Spool::new(&LiteralBudget::new("/nonexistent".into(), 100, MemoryBudget::default()), at(0));
        assert!(matches!(spool.append(Bytes::from_static(b"x")).await, Err(SpoolError::File(_))));
    }

    #[test]
    fn a_trickling_client_runs_out_of_time() {
        let spool = Spool { octets: 20_000, ..Spool::new(&literals(0), at(1_000)) };
        for (now, left) in [(1_000, 610), (900, 610), (1_600, 10), (1_610, 0), (9_999, 0)] {
            assert_eq!(spool.time_left(at(now)).as_secs(), left, "{now}");
        }
    }
}

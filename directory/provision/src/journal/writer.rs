//! Appends lines on a thread of its own and syncs them in groups.

use std::fs::File;
use std::io::{self, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

/// Maximum number of requests that wait for the disk, and that are written at once; further callers wait for room.
const WAITING_MAX: usize = 4096;
/// Minimum time from one sync to the next unless a flush asks for one. The directory's own log may be on the same disk,
/// and frequent syncs would slow it down.
const SYNC_INTERVAL: Duration = Duration::from_millis(250);

/// Handle of the writing thread. Dropping it makes the thread write the waiting lines, sync, unlock the file and end.
pub(super) struct JournalWriter {
    waiting: mpsc::Sender<JournalRequest>,
    thread: JoinHandle<()>,
}

enum JournalRequest {
    Append(String),
    Flush(oneshot::Sender<io::Result<()>>),
}

impl JournalWriter {
    /// Starts a thread that appends to `file`. The thread holds the file and its lock until the thread ends.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let (waiting, requests) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
            if let Err(error) = write(&file, requests) {
                tracing::error!(%error, "the journal of an apply cannot be written");
            }
        })?;
        Ok(Self { waiting, thread })
    }

    /// Queues a line for writing; an error when an earlier line could not be written.
    pub(super) async fn append(&self, line: String) -> io::Result<()> {
        self.waiting.send(JournalRequest::Append(line)).await.map_err(|_| closed())
    }

    /// Waits until every queued line is durable.
    pub(super) async fn flush(&self) -> io::Result<()> {
        let (sender, flushed) = oneshot::channel();
        self.waiting.send(JournalRequest::Flush(sender)).await.map_err(|_| closed())?;
        flushed.await.map_err(|_| closed())?
    }

    /// Ends the thread and waits until the file is unlocked.
    pub(super) async fn close(self) {
        drop(self.waiting);
        // The thread does not panic, and there is nothing to do if it did: the file is unlocked all the same.
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}

fn closed() -> io::Error {
    io::Error::other("an earlier line could not be written")
}

fn write(mut file: &File, mut requests: mpsc::Receiver<JournalRequest>) -> io::Result<()> {
    let mut synced = Instant::now();
    while let Some(first) = requests.blocking_recv() {
        let (mut text, mut flushes) = (String::new(), Vec::new());
        let rest = std::iter::from_fn(|| requests.try_recv().ok());
        for request in std::iter::once(first).chain(rest).take(WAITING_MAX) {
            match request {
                JournalRequest::Append(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                JournalRequest::Flush(done) => flushes.push(done),
            }
        }
        file.write_all(text.as_bytes())?;
        if !flushes.is_empty() || synced.elapsed() >= SYNC_INTERVAL {
            file.sync_data()?;
            synced = Instant::now();
        }
        for done in flushes {
            // A caller that is gone needs no answer.
            let _ = done.send(Ok(()));
        }
    }
    file.sync_data()
}

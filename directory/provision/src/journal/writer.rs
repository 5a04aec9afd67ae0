//! Appends lines from a thread of its own, and syncs them in groups.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

/// Most lines that wait for the disk; a caller beyond them waits.
const WAITING_MAX: usize = 4096;
/// Lines are synced no more often than this while they keep coming: the directory's own log may be on the same disk.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// The way to the thread that writes. Dropping it lets the thread write what waits, sync and end.
pub(super) struct Writer {
    waiting: mpsc::Sender<Request>,
}

enum Request {
    Append(String),
    Flush(oneshot::Sender<io::Result<()>>),
}

impl Writer {
    /// Appends to a file that is open for it. The file, and its lock, are held until the writer is dropped.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let (waiting, requests) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new().name("journal".into()).spawn(move || {
            if let Err(error) = write(&file, requests) {
                tracing::error!(%error, "the journal of an apply cannot be written");
            }
        })?;
        Ok(Self { waiting })
    }

    /// Takes a line to be written; an error when an earlier one could not be.
    pub(super) async fn append(&self, line: String) -> io::Result<()> {
        self.waiting.send(Request::Append(line)).await.map_err(|_| closed())
    }

    /// Waits until every line taken is durable.
    pub(super) async fn flush(&self) -> io::Result<()> {
        let (done, flushed) = oneshot::channel();
        self.waiting.send(Request::Flush(done)).await.map_err(|_| closed())?;
        flushed.await.map_err(|_| closed())?
    }
}

fn closed() -> io::Error {
    io::Error::other("the journal cannot be written")
}

fn write(mut file: &File, mut requests: mpsc::Receiver<Request>) -> io::Result<()> {
    let mut synced = Instant::now();
    while let Some(first) = requests.blocking_recv() {
        let (mut text, mut flushes) = (String::new(), Vec::new());
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Append(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                Request::Flush(done) => flushes.push(done),
            }
            next = if flushes.len() < WAITING_MAX { requests.try_recv().ok() } else { None };
        }
        file.write_all(text.as_bytes())?;
        if !flushes.is_empty() || synced.elapsed() >= SYNC_INTERVAL {
            file.sync_data()?;
            synced = Instant::now();
        }
        for done in flushes {
            // A caller that went away needs no answer.
            let _ = done.send(Ok(()));
        }
    }
    file.sync_data()
}

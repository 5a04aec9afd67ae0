//! The output of a connection: single responses without waiting, search results with back-pressure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

/// Maximum number of pieces of search results that wait for the socket, besides the one that is being written. A piece
/// has about 32 KiB, so a thousand connections that read nothing hold little memory.
const BULK_MAX: usize = 1;
/// Longest time for writing one piece to the socket; a client that reads more slowly loses the connection.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// Octets of waiting responses above which no further request is read.
const RESPONSES_OCTETS_MAX: usize = 32 * 1024;

/// The octets of waiting responses, and a notification when they become fewer.
#[derive(Debug, Default)]
struct Backlog {
    octets: AtomicUsize,
    fewer: Notify,
}

/// The output of the connection has ended, so nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Takes the messages of a connection's operations. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ResponseSender {
    bulk: mpsc::Sender<Vec<u8>>,
    /// Unbounded, because the committer cannot wait; [`ResponseSender::room`] bounds it.
    responses: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<Backlog>,
}

/// The receiving end, for [`ResponseReceiver::write_to`].
#[derive(Debug)]
pub(crate) struct ResponseReceiver {
    bulk: mpsc::Receiver<Vec<u8>>,
    responses: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: Arc<Backlog>,
}

/// Makes the two ends of a connection's output.
pub(crate) fn channel() -> (ResponseSender, ResponseReceiver) {
    let (bulk, bulk_out) = mpsc::channel(BULK_MAX);
    let (responses, responses_out) = mpsc::unbounded_channel();
    let waiting = Arc::new(Backlog::default());
    (
        ResponseSender { bulk, responses, waiting: waiting.clone() },
        ResponseReceiver { bulk: bulk_out, responses: responses_out, waiting },
    )
}

impl ResponseSender {
    /// Queues the response of an operation. Callable from any thread.
    pub(crate) fn queue_response(&self, octets: Vec<u8>) {
        self.waiting.octets.fetch_add(octets.len(), Ordering::Relaxed);
        // After the end of the output, nobody needs the response.
        _ = self.responses.send(octets);
    }

    /// Waits until there is room for further responses, because a client that sends requests and never reads must not
    /// fill the memory.
    pub(crate) async fn room(&self) -> Result<(), Closed> {
        loop {
            let fewer = self.waiting.fewer.notified();
            if self.responses.is_closed() {
                return Err(Closed);
            }
            if self.waiting.octets.load(Ordering::Relaxed) <= RESPONSES_OCTETS_MAX {
                return Ok(());
            }
            fewer.await;
        }
    }

    /// Waits until nothing more can be sent: the receiver is gone, or its socket failed or stalled.
    pub(crate) async fn closed(&self) {
        self.responses.closed().await;
    }

    /// Queues a part of a long result; waits while the socket is full.
    pub(crate) async fn send(&self, octets: Vec<u8>) -> Result<(), Closed> {
        self.bulk.send(octets).await.map_err(|_| Closed)
    }
}

impl ResponseReceiver {
    /// Writes until every [`ResponseSender`] is gone, the socket fails, or one write takes longer than
    /// [`WRITE_TIME_MAX`]; then returns the socket.
    pub(crate) async fn write_to<W: AsyncWrite + Unpin>(mut self, mut socket: W) -> W {
        let (mut responses_open, mut bulk_open) = (true, true);
        while responses_open || bulk_open {
            let mut answers = 0;
            let mut octets = tokio::select! {
                biased;
                octets = self.responses.recv(), if responses_open => match octets {
                    Some(octets) => { answers += octets.len(); octets }
                    None => { responses_open = false; continue }
                },
                octets = self.bulk.recv(), if bulk_open => match octets {
                    Some(octets) => octets,
                    None => { bulk_open = false; continue }
                },
            };
            // The responses of one group commit arrive together; one system call sends them all.
            while let Ok(more) = self.responses.try_recv() {
                answers += more.len();
                octets.extend_from_slice(&more);
            }
            let write = async {
                socket.write_all(&octets).await?;
                socket.flush().await
            };
            if !matches!(tokio::time::timeout(WRITE_TIME_MAX, write).await, Ok(Ok(()))) {
                break;
            }
            self.waiting.octets.fetch_sub(answers, Ordering::Relaxed);
            self.waiting.fewer.notify_one();
        }
        self.responses.close();
        self.waiting.fewer.notify_one();
        socket
    }
}

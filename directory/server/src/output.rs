//! The output of a connection: single responses without waiting, search results with back-pressure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

/// Maximum number of pieces of search results that wait for the socket, besides the one that is being written. A piece
/// of 32 KiB for each of a thousand connections that read nothing must not fill the memory.
const BULK_MAX: usize = 1;
/// How long the client may read nothing before the connection ends.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Maximum number of octets of responses that wait for the socket; beyond, no further request is read.
const ANSWERS_OCTETS_MAX: usize = 32 * 1024;

/// The octets of waiting responses, and a notification when they become fewer.
#[derive(Debug, Default)]
struct Backlog {
    octets: AtomicUsize,
    fewer: Notify,
}

/// The session has ended, so nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Where the operations of a connection put their messages. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ResponseSender {
    bulk: mpsc::Sender<Vec<u8>>,
    /// Unbounded, because the committer cannot wait; [`ResponseSender::room`] bounds it.
    quick: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<Backlog>,
}

/// The receiving end, for [`ResponseReceiver::write_to`].
#[derive(Debug)]
pub(crate) struct ResponseReceiver {
    bulk: mpsc::Receiver<Vec<u8>>,
    quick: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: Arc<Backlog>,
}

/// Makes the two ends of one connection's output.
pub(crate) fn channel() -> (ResponseSender, ResponseReceiver) {
    let (bulk, bulk_out) = mpsc::channel(BULK_MAX);
    let (quick, quick_out) = mpsc::unbounded_channel();
    let waiting = Arc::new(Backlog::default());
    (
        ResponseSender { bulk, quick, waiting: waiting.clone() },
        ResponseReceiver { bulk: bulk_out, quick: quick_out, waiting },
    )
}

impl ResponseSender {
    /// Queues the response of an operation. Callable from any thread.
    pub(crate) fn queue_response(&self, octets: Vec<u8>) {
        self.waiting.octets.fetch_add(octets.len(), Ordering::Relaxed);
        // A session that has ended needs no response.
        _ = self.quick.send(octets);
    }

    /// Waits until there is room for further responses. A client that sends requests and never reads must not fill the
    /// memory.
    pub(crate) async fn room(&self) -> Result<(), Closed> {
        loop {
            let fewer = self.waiting.fewer.notified();
            if self.quick.is_closed() {
                return Err(Closed);
            }
            if self.waiting.octets.load(Ordering::Relaxed) <= ANSWERS_OCTETS_MAX {
                return Ok(());
            }
            fewer.await;
        }
    }

    /// Queues a part of a long result; waits while the socket is full.
    pub(crate) async fn send(&self, octets: Vec<u8>) -> Result<(), Closed> {
        self.bulk.send(octets).await.map_err(|_| Closed)
    }
}

impl ResponseReceiver {
    /// Writes until every [`ResponseSender`] is gone, the socket fails, or the client stalls.
    pub(crate) async fn write_to<W: AsyncWrite + Unpin>(mut self, mut socket: W) -> W {
        let (mut quick_open, mut bulk_open) = (true, true);
        while quick_open || bulk_open {
            let mut answers = 0;
            let mut octets = tokio::select! {
                biased;
                octets = self.quick.recv(), if quick_open => match octets {
                    Some(octets) => { answers += octets.len(); octets }
                    None => { quick_open = false; continue }
                },
                octets = self.bulk.recv(), if bulk_open => match octets {
                    Some(octets) => octets,
                    None => { bulk_open = false; continue }
                },
            };
            // The responses of one group commit arrive together; one system call sends them all.
            while let Ok(more) = self.quick.try_recv() {
                answers += more.len();
                octets.extend_from_slice(&more);
            }
            let write = async {
                socket.write_all(&octets).await?;
                socket.flush().await
            };
            if !matches!(tokio::time::timeout(STALL_MAX, write).await, Ok(Ok(()))) {
                break;
            }
            self.waiting.octets.fetch_sub(answers, Ordering::Relaxed);
            self.waiting.fewer.notify_one();
        }
        self.quick.close();
        self.waiting.fewer.notify_one();
        socket
    }
}

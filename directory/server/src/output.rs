//! The way out of a connection: small answers at once, results of searches with back-pressure.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// Pieces of search results that may wait for the socket.
const BULK_MAX: usize = 8;
/// How long the other side may take nothing.
const STALL_MAX: Duration = Duration::from_secs(30);

/// The session has ended: nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Where the operations of a connection put their messages. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    bulk: mpsc::Sender<Vec<u8>>,
    /// Unbounded, but each operation puts in one message, and their number is bounded.
    quick: mpsc::UnboundedSender<Vec<u8>>,
}

/// The other end, for [`Queue::write_to`].
#[derive(Debug)]
pub(crate) struct Queue {
    bulk: mpsc::Receiver<Vec<u8>>,
    quick: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// A new pair.
pub(crate) fn channel() -> (Output, Queue) {
    let (bulk, bulk_out) = mpsc::channel(BULK_MAX);
    let (quick, quick_out) = mpsc::unbounded_channel();
    (Output { bulk, quick }, Queue { bulk: bulk_out, quick: quick_out })
}

impl Output {
    /// The one answer of an operation. Callable from any thread.
    pub(crate) fn answer(&self, octets: Vec<u8>) {
        // A session that has ended needs no answer.
        _ = self.quick.send(octets);
    }

    /// Part of a long result; waits while the socket is full.
    pub(crate) async fn send(&self, octets: Vec<u8>) -> Result<(), Closed> {
        self.bulk.send(octets).await.map_err(|_| Closed)
    }
}

impl Queue {
    /// Writes until every [`Output`] is gone, the socket fails, or the other side stalls.
    pub(crate) async fn write_to<W: AsyncWrite + Unpin>(mut self, mut socket: W) -> W {
        let (mut quick_open, mut bulk_open) = (true, true);
        while quick_open || bulk_open {
            let mut octets = tokio::select! {
                biased;
                octets = self.quick.recv(), if quick_open => match octets {
                    Some(octets) => octets,
                    None => { quick_open = false; continue }
                },
                octets = self.bulk.recv(), if bulk_open => match octets {
                    Some(octets) => octets,
                    None => { bulk_open = false; continue }
                },
            };
            // Answers of one group commit come together; one system call carries them all.
            while let Ok(more) = self.quick.try_recv() {
                octets.extend_from_slice(&more);
            }
            let write = async {
                socket.write_all(&octets).await?;
                socket.flush().await
            };
            if !matches!(tokio::time::timeout(STALL_MAX, write).await, Ok(Ok(()))) {
                break;
            }
        }
        socket
    }
}

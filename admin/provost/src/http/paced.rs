//! A connection whose writes fail when the peer does not read the replies that it requested.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use provost_net::Reservation;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::body::time_for;

/// Fails a pending write when the peer reads too slowly: the wait has lasted longer than [`time_for`] allows for the
/// octets that the peer has taken since the wait began.
pub(super) struct PacedStream<S> {
    stream: S,
    limit: Duration,
    wait: Option<PeerWait>,
    reply: ReplyMemory,
}

/// Memory of the reply that is being written, counted from the end of its handler until the system has taken all of it.
#[derive(Clone)]
pub(super) struct ReplyMemory(Arc<Mutex<Reservation>>);

impl ReplyMemory {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self(Arc::new(Mutex::new(reservation)))
    }

    /// Counts `octets`; `false` when the budget has no room.
    pub(super) fn grow(&self, octets: u64) -> bool {
        self.reservation().grow(octets)
    }

    fn release(&self) {
        self.reservation().release();
    }

    fn reservation(&self) -> MutexGuard<'_, Reservation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The current wait for the peer: when it began, the octets that the peer has taken since, and when it fails.
struct PeerWait {
    began: Instant,
    octets: u64,
    end: Pin<Box<Sleep>>,
}

impl<S> PacedStream<S> {
    pub(super) fn new(stream: S, limit: Duration, reply: ReplyMemory) -> Self {
        Self { stream, limit, wait: None, reply }
    }

    /// Returns the result of a write; a pending write fails when the wait for the peer has exceeded its limit.
    fn paced(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let limit = self.limit;
        if let Poll::Ready(Ok(octets)) = &written {
            if let Some(wait) = &mut self.wait {
                wait.octets = wait.octets.saturating_add(*octets as u64);
                wait.end.as_mut().reset(wait.began + time_for(wait.octets, limit));
            }
            return written;
        }
        if written.is_ready() {
            return written;
        }
        let wait = self.wait.get_or_insert_with(|| PeerWait {
            began: Instant::now(),
            octets: 0,
            end: Box::pin(tokio::time::sleep(limit)),
        });
        wait.end.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.paced(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.paced(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written everything. The wait for the peer is then over, and the reply is no longer in
    /// memory.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(flushed) => {
                self.wait = None;
                self.reply.release();
                Poll::Ready(flushed)
            }
            Poll::Pending => self.paced(context, Poll::Pending).map_ok(|_| ()),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Ready(shut) => Poll::Ready(shut),
            Poll::Pending => self.paced(context, Poll::Pending).map_ok(|_| ()),
        }
    }
}

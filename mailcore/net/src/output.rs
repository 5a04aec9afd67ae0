//! Bytes to the peer, with back-pressure.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::BytesMut;

/// Past this many octets `Output::put` wants a flush; a handler that writes much calls [`Output::relieve`].
pub const OUTPUT_OCTETS_HIGH: usize = 64 * 1024;

/// Where flushed bytes go: the driver's socket, or a test's vector.
pub trait Sink: Send {
    /// Takes everything in `bytes`, leaving it empty.
    fn drain<'a>(&'a mut self, bytes: &'a mut BytesMut) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;
}

/// What a session writes into.
pub struct Output<'a> {
    buffer: &'a mut BytesMut,
    sink: &'a mut dyn Sink,
}

impl<'a> Output<'a> {
    /// Over a buffer and where it drains to.
    pub fn new(buffer: &'a mut BytesMut, sink: &'a mut dyn Sink) -> Self {
        Self { buffer, sink }
    }

    /// Queues bytes.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.buffer.extend_from_slice(bytes.as_ref());
    }

    /// Sends what is queued if it is much, so that a long reply does not pile up in memory.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.buffer.len() >= OUTPUT_OCTETS_HIGH { self.flush().await } else { Ok(()) }
    }

    /// Sends what is queued now (a continuation request that the peer waits for).
    pub async fn flush(&mut self) -> io::Result<()> {
        self.sink.drain(self.buffer).await
    }
}

/// Collects everything: for tests.
impl Sink for Vec<u8> {
    fn drain<'a>(&'a mut self, bytes: &'a mut BytesMut) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        self.extend_from_slice(bytes);
        bytes.clear();
        Box::pin(std::future::ready(Ok(())))
    }
}

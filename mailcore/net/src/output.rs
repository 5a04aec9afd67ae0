//! Bytes to the peer, with back-pressure.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::BytesMut;

use crate::Reservation;
use crate::memory::FREE_OCTETS;

/// [`OutputBuffer::relieve`] sends the queued octets when there are at least this many: one TLS record (RFC 8446 §5.1).
pub const OUTPUT_OCTETS_HIGH: usize = 16 * 1024;
/// Octets of a body that may be read at once even while the memory budget has no room.
const PIECE_OCTETS_SMALL: u64 = 4 * 1024;

/// Destination of the output: the driver's socket, or a test's vector.
pub trait Sink: Send {
    /// Sends all of `bytes` and leaves it empty.
    fn send<'a>(&'a mut self, bytes: &'a mut BytesMut) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;
}

/// The buffer that a session writes its replies into.
pub struct OutputBuffer<'a> {
    buffer: &'a mut BytesMut,
    sink: &'a mut dyn Sink,
    /// The buffer's part of the memory budget; `None` in tests.
    reservation: Option<&'a mut Reservation>,
}

impl<'a> OutputBuffer<'a> {
    /// An output over `buffer` that is sent to `sink`, outside of any memory budget.
    pub fn new(buffer: &'a mut BytesMut, sink: &'a mut dyn Sink) -> Self {
        Self { buffer, sink, reservation: None }
    }

    /// An output over `buffer` that is sent to `sink`, with its octets counted in `reservation`.
    pub(crate) fn counted(buffer: &'a mut BytesMut, sink: &'a mut dyn Sink, reservation: &'a mut Reservation) -> Self {
        Self { buffer, sink, reservation: Some(reservation) }
    }

    /// Queues bytes without sending them.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) {
        let before = self.buffer.capacity();
        self.buffer.extend_from_slice(bytes.as_ref());
        let after = self.buffer.capacity();
        if after != before
            && let Some(reservation) = &mut self.reservation
            && beyond_free(after) > reservation.octets()
        {
            reservation.record(beyond_free(after));
        }
    }

    /// How many of `octets` of a body to read now: all, or a small piece when the memory budget has no room for all.
    /// Never 0 unless `octets` is, so that a long reply goes on, however much other peers hold.
    pub fn piece_octets(&mut self, octets: u64) -> u64 {
        let Some(reservation) = &mut self.reservation else { return octets };
        let whole = (self.buffer.len() as u64).saturating_add(octets).max(self.buffer.capacity() as u64);
        let fits = whole <= FREE_OCTETS as u64 || reservation.resize(whole - FREE_OCTETS as u64);
        if fits { octets } else { octets.min(PIECE_OCTETS_SMALL) }
    }

    /// Sends the queued bytes if there are [`OUTPUT_OCTETS_HIGH`] or more, so that a long reply does not pile up in
    /// memory.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.buffer.len() >= OUTPUT_OCTETS_HIGH { self.flush().await } else { Ok(()) }
    }

    /// Sends the queued bytes now, such as a continuation request that the peer waits for.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.sink.send(self.buffer).await
    }
}

/// Octets of a buffer that the memory budget counts: those beyond [`FREE_OCTETS`].
pub(crate) fn beyond_free(octets: usize) -> u64 {
    octets.saturating_sub(FREE_OCTETS) as u64
}

/// Collects all output, for tests.
impl Sink for Vec<u8> {
    fn send<'a>(&'a mut self, bytes: &'a mut BytesMut) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        self.extend_from_slice(bytes);
        bytes.clear();
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBudget;

    #[test]
    fn queued_octets_count_and_pieces_shrink_when_memory_is_short() {
        let budget = MemoryBudget::new(400_000);
        let (mut buffer, mut sink, mut reservation) = (BytesMut::new(), Vec::new(), budget.buffer());
        let mut out = OutputBuffer::counted(&mut buffer, &mut sink, &mut reservation);
        out.put([0; 100]);
        assert_eq!(budget.used(), 0, "octets within FREE_OCTETS were counted");
        assert_eq!((out.piece_octets(50_000), out.piece_octets(0)), (50_000, 0));
        let mut other = budget.body();
        assert!(other.grow(170_000));
        assert_eq!((out.piece_octets(90_000), out.piece_octets(10)), (PIECE_OCTETS_SMALL, 10));
        out.put(vec![0; 90_000]);
        assert!(budget.used() >= 170_000 + 80_000, "{} octets counted", budget.used());
        drop((other, reservation));
        assert_eq!(budget.used(), 0);
    }
}

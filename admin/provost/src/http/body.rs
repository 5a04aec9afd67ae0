//! Limits request bodies in time and by the memory budget.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::stream::{StreamExt as _, try_unfold};
use provost_net::{FREE_OCTETS, Reservation};
use tokio::time::{Instant, timeout_at};

/// Base time for the transfer of a body or a reply; see [`time_for`].
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(30);
/// Slowest rate, in octets per second, at which a transfer may go on after its base time.
const OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// Longest time for discarding the rest of a body for which there is no memory.
const DISCARD_LIMIT: Duration = Duration::from_secs(10);
/// Maximum number of octets that are discarded: the largest body that a path accepts, an import file.
const DISCARDED_OCTETS_MAX: usize = provost_api::CSV_OCTETS_MAX;

/// Time limit of a transfer of `octets` octets: `base`, and one second for each [`OCTETS_PER_SECOND_MIN`].
pub(super) fn time_for(octets: u64, base: Duration) -> Duration {
    base.saturating_add(Duration::from_secs(octets / OCTETS_PER_SECOND_MIN))
}

/// Why a body was not read completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// The body came too slowly; answered with 408.
    Late,
    /// The memory budget has no room for the body; answered with 503.
    NoMemory,
}

/// The limits of one request's body, kept until the request is answered.
#[derive(Clone)]
pub(super) struct BoundedBody {
    state: Arc<Mutex<BodyState>>,
    began: Instant,
    limit: Duration,
}

struct BodyState {
    reservation: Reservation,
    octets: u64,
    fault: Option<BodyFault>,
}

impl BoundedBody {
    /// The limits of a body that begins now; `limit` is the base of [`time_for`].
    pub(super) fn new(reservation: Reservation, limit: Duration) -> Self {
        let state = BodyState { reservation, octets: 0, fault: None };
        Self { state: Arc::new(Mutex::new(state)), began: Instant::now(), limit }
    }

    /// The fault that ended the reading of the body, if there was one.
    pub(super) fn fault(&self) -> Option<BodyFault> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fault
    }

    /// The same body, which ends with an error when a limit is reached.
    pub(super) fn around(&self, body: Body) -> Body {
        let state = (body.into_data_stream(), self.clone());
        Body::from_stream(try_unfold(state, |(mut body, bounds)| async {
            let piece = bounds.next(&mut body).await?;
            Ok::<_, axum::BoxError>(piece.map(|piece| (piece, (body, bounds))))
        }))
    }

    async fn next(&self, body: &mut BodyDataStream) -> Result<Option<Bytes>, axum::BoxError> {
        let octets = self.state.lock().unwrap_or_else(PoisonError::into_inner).octets;
        let deadline = self.began + time_for(octets, self.limit);
        match timeout_at(deadline, body.next()).await {
            Ok(Some(Ok(piece))) if self.reserve(piece.len()) => Ok(Some(piece)),
            Ok(Some(Ok(_))) => {
                // A client that is cut off while sending may never see the reason: read and discard the rest.
                _ = tokio::time::timeout(DISCARD_LIMIT.min(self.limit), discard(body)).await;
                Err(io::Error::from(io::ErrorKind::OutOfMemory).into())
            }
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => Ok(None),
            Err(_) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).fault = Some(BodyFault::Late);
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
        }
    }

    /// Counts received octets, and reserves memory for those beyond [`FREE_OCTETS`]. Returns `false` when the memory
    /// budget has no room for them.
    fn reserve(&self, octets: usize) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.octets = state.octets.saturating_add(octets as u64);
        let beyond = state.octets.saturating_sub(FREE_OCTETS as u64);
        let has_memory = state.reservation.resize(beyond);
        if !has_memory {
            state.fault = Some(BodyFault::NoMemory);
            state.reservation.release();
        }
        has_memory
    }
}

/// Reads and discards the rest of a body, up to [`DISCARDED_OCTETS_MAX`].
async fn discard(body: &mut BodyDataStream) {
    let mut octets = 0;
    while octets < DISCARDED_OCTETS_MAX
        && let Some(Ok(piece)) = body.next().await
    {
        octets += piece.len();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream::repeat_with;
    use provost_net::MemoryBudget;

    use super::*;

    #[tokio::test]
    async fn the_rest_of_a_body_without_memory_is_discarded_up_to_a_bound() {
        const PIECE_OCTETS: usize = 1024 * 1024;
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let pieces = repeat_with(move || {
            counted.fetch_add(PIECE_OCTETS, Ordering::Relaxed);
            Ok::<_, io::Error>(Bytes::from_static(&[b'x'; PIECE_OCTETS]))
        });
        let memory = MemoryBudget::new(64 * 1024);
        let bounded = BoundedBody::new(memory.body(), Duration::from_secs(60));
        let body = bounded.around(Body::from_stream(pieces.take(4 * DISCARDED_OCTETS_MAX / PIECE_OCTETS)));
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
        assert_eq!(bounded.fault(), Some(BodyFault::NoMemory));
        assert_eq!(sent.load(Ordering::Relaxed), DISCARDED_OCTETS_MAX + PIECE_OCTETS);
    }
}

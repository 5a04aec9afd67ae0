//! Request bodies: in time, and within the memory budget.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::stream::{StreamExt as _, try_unfold};
use provost_net::{FREE_OCTETS, Reservation};
use tokio::time::{Instant, timeout_at};

/// What the transfer of a body, or of a reply, may take whatever its size.
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(30);
/// Octets that earn a second more.
const OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// How long the rest of a body is read for which there is no memory.
const FORGET_LIMIT: Duration = Duration::from_secs(10);

/// How long so many octets may take in all.
pub(super) fn time_for(octets: u64, limit: Duration) -> Duration {
    limit.saturating_add(Duration::from_secs(octets / OCTETS_PER_SECOND_MIN))
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It came too slowly: 408.
    Late,
    /// There is no memory for it now: 503.
    NoMemory,
}

/// The bounds of one request's body, kept until the request is answered.
#[derive(Clone)]
pub(super) struct Bounded {
    state: Arc<Mutex<State>>,
    began: Instant,
    limit: Duration,
}

struct State {
    held: Reservation,
    octets: u64,
    fault: Option<Fault>,
}

impl Bounded {
    /// A body that begins now, within `limit` and what its octets earn.
    pub(super) fn new(held: Reservation, limit: Duration) -> Self {
        let state = State { held, octets: 0, fault: None };
        Self { state: Arc::new(Mutex::new(state)), began: Instant::now(), limit }
    }

    /// What went wrong with the body, if it has been read and something did.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fault
    }

    /// The same body, which ends with an error where a bound is met.
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
            Ok(Some(Ok(piece))) if self.take(piece.len()) => Ok(Some(piece)),
            Ok(Some(Ok(_))) => {
                // A client that is cut off while it sends may never see why: the rest is read, and forgotten.
                let rest = async { while let Some(Ok(_)) = body.next().await {} };
                _ = tokio::time::timeout(FORGET_LIMIT.min(self.limit), rest).await;
                Err(io::Error::from(io::ErrorKind::OutOfMemory).into())
            }
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => Ok(None),
            Err(_) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).fault = Some(Fault::Late);
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
        }
    }

    /// Counts octets that have come; `false` when there is no memory for them.
    fn take(&self, octets: usize) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.octets = state.octets.saturating_add(octets as u64);
        let beyond = state.octets.saturating_sub(FREE_OCTETS as u64);
        let is_held = state.held.resize(beyond);
        if !is_held {
            state.fault = Some(Fault::NoMemory);
            state.held.release();
        }
        is_held
    }
}

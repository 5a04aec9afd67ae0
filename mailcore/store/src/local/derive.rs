//! Derives columns from the bodies of a batch, on the caller's side, to save the committer's time.

use std::collections::HashMap;

use bytes::Bytes;
use provost_message::{Derived, derive};

use super::bodies::{BufferKey, buffer_key};
use super::fault::unavailable;
use crate::{Batch, Op, StoreError};

/// Maximum number of octets of a batch's bodies that are parsed on the caller's own thread, which takes about a
/// millisecond. The bodies of a larger batch are parsed on a blocking thread.
const CALLER_OCTETS_MAX: usize = 256 * 1024;

/// Columns by buffer: a buffer is parsed once, however many messages of the batch share it.
pub(super) type DerivedBodies = HashMap<BufferKey, Derived>;

/// Derives the columns of all bodies in a batch.
pub(super) async fn derive_bodies(batch: &Batch) -> Result<DerivedBodies, StoreError> {
    let mut bodies: HashMap<BufferKey, Bytes> = HashMap::new();
    for body in batch.ops.iter().filter_map(Op::body) {
        bodies.insert(buffer_key(body), body.clone());
    }
    if bodies.values().map(Bytes::len).sum::<usize>() <= CALLER_OCTETS_MAX {
        return Ok(derive_all(bodies));
    }
    tokio::task::spawn_blocking(move || derive_all(bodies)).await.map_err(unavailable)
}

fn derive_all(bodies: HashMap<BufferKey, Bytes>) -> DerivedBodies {
    bodies.into_iter().map(|(key, body)| (key, derive(&body))).collect()
}

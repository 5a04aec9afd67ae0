//! Columns derived from the bodies of a batch, on the side of its caller: a committer has no time for it.

use std::collections::HashMap;

use bytes::Bytes;
use provost_message::{Derived, derive};

use super::bodies::{BufferKey, buffer_key};
use super::fault::unavailable;
use crate::{Batch, Op, StoreError};

/// Octets of bodies that are looked through on the caller's own thread: about a millisecond.
const HERE_OCTETS_MAX: usize = 256 * 1024;

/// By buffer: the same one is looked through once, however many messages of the batch have it.
pub(super) type DerivedBodies = HashMap<BufferKey, Derived>;

/// The columns of all bodies that a batch brings in.
pub(super) async fn derive_bodies(batch: &Batch) -> Result<DerivedBodies, StoreError> {
    let mut bodies: HashMap<BufferKey, Bytes> = HashMap::new();
    for body in batch.ops.iter().filter_map(Op::body) {
        bodies.insert(buffer_key(body), body.clone());
    }
    if bodies.values().map(Bytes::len).sum::<usize>() <= HERE_OCTETS_MAX {
        return Ok(derive_all(bodies));
    }
    tokio::task::spawn_blocking(move || derive_all(bodies)).await.map_err(unavailable)
}

fn derive_all(bodies: HashMap<BufferKey, Bytes>) -> DerivedBodies {
    bodies.into_iter().map(|(key, body)| (key, derive(&body))).collect()
}

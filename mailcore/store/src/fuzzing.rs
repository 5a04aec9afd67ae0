//! Properties of stored rows that `tests/targets` checks over arbitrary octets. A broken property panics, which the
//! fuzzer reports.

use crate::queue::KeptEnvelope;
use crate::{Applied, Flags};

/// The envelope of a queue row is refused with a reason, or survives encoding and decoding.
pub fn queue_row(octets: &[u8]) {
    match KeptEnvelope::decode(octets) {
        Ok(kept) => {
            let written = kept.encode();
            assert_eq!(written.map(|octets| KeptEnvelope::decode(&octets)), Ok(Ok(kept)));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// The effects of a batch and the flags of a message survive encoding and decoding.
pub fn rows(octets: &[u8]) {
    if let Ok(applied) = postcard::from_bytes::<Applied>(octets) {
        assert!(applied.effects.len() <= octets.len(), "{} effects", applied.effects.len());
        let written = postcard::to_stdvec(&applied);
        assert_eq!(written.map(|octets| postcard::from_bytes(&octets)), Ok(Ok(applied)));
    }
    if let Some(flags) = Flags::from_row(octets) {
        assert_eq!(Flags::from_row(&flags.to_row()), Some(flags));
    }
}

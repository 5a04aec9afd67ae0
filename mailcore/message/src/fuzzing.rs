//! Properties of derived columns that `tests/targets` checks over arbitrary octets. A broken property panics, which the
//! fuzzer reports.

use crate::column::ColumnWriter;
use crate::{ImapEnvelope, KeptFields, MimePart, ThreadKeys};

/// Checks that structure, envelope and thread keys are refused by the decoder, or survive encoding and decoding. Checks
/// also that kept header fields are no longer than the octets from which they were decoded.
pub fn columns(octets: &[u8]) {
    if let Some(part) = MimePart::decode(octets) {
        assert_eq!(MimePart::decode(&written(|writer| part.write(writer))), Some(part));
    }
    if let Some(envelope) = ImapEnvelope::decode(octets) {
        assert_eq!(ImapEnvelope::decode(&written(|writer| envelope.write(writer))), Some(envelope));
    }
    if let Some(keys) = ThreadKeys::decode(octets) {
        assert_eq!(ThreadKeys::decode(&written(|writer| keys.write(writer))), Some(keys));
    }
    if let Some(kept) = KeptFields::decode(octets) {
        assert!(kept.section().len() <= octets.len());
    }
}

fn written(write: impl FnOnce(&mut ColumnWriter)) -> Vec<u8> {
    let mut writer = ColumnWriter::new();
    write(&mut writer);
    writer.finish(usize::MAX)
}

//! Cuts an input into pieces, as a network may.

/// Octets at the start of an input that determine the cuts.
const SEED_OCTETS: usize = 4;

/// The input without its seed, and the same input cut as the seed determines.
pub(crate) fn cut(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (seed, wire) = input.split_first_chunk::<SEED_OCTETS>().unwrap_or((&[0; SEED_OCTETS], input));
    let mut state = u32::from_le_bytes(*seed) | 1;
    let largest = 1 << (seed[0] & 7);
    let (mut rest, mut pieces) = (wire, Vec::new());
    while !rest.is_empty() {
        // Xorshift: the fuzzer controls the sequence through the seed.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let (piece, after) = rest.split_at((1 + state as usize % largest).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    (wire, pieces)
}

/// Whether the seed selects the last of `ways` alternatives.
pub(crate) fn chooses_last(input: &[u8], ways: u8) -> bool {
    input.get(SEED_OCTETS - 1).is_some_and(|octet| octet % ways == 0)
}

/// Pieces of one octet each.
pub(crate) fn single(wire: &[u8]) -> Vec<&[u8]> {
    wire.chunks(1).collect()
}

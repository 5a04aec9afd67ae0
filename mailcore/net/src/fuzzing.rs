//! Properties of PROXY headers that `tests/targets` checks over arbitrary octets. A broken property panics, which the
//! fuzzer reports.

use crate::proxy::{ParseProgress, header};

/// Largest PROXY header that the parser accepts, octets.
const HEADER_OCTETS_MAX: usize = 4 * 1024;

/// Checks that the parser never asks for an octet after the header's end, and that the octets after a header do not
/// change the result.
pub fn proxy_header(octets: &[u8]) {
    let whole = match header(octets) {
        Ok(ParseProgress::Whole(_, whole)) => whole,
        Ok(ParseProgress::Needs(more)) => {
            assert!(0 < more && octets.len() + more <= HEADER_OCTETS_MAX, "{more} octets more");
            return;
        }
        Err(_) => return,
    };
    assert!(whole <= octets.len().min(HEADER_OCTETS_MAX), "a header of {whole} octets");
    let (own, _) = octets.split_at(whole);
    assert_eq!(header(octets).ok(), header(own).ok());
    for length in 0..whole {
        match header(&own[..length]) {
            Ok(ParseProgress::Needs(more)) => {
                assert!(0 < more && length + more <= whole, "{length} of {whole}: {more}")
            }
            other => unreachable!("{length} of {whole} octets: {other:?}"),
        }
    }
}

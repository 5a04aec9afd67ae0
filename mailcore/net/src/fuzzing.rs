//! What `tests/targets` asserts of PROXY headers, over arbitrary octets. A broken property panics, which is a finding.

use crate::proxy::{Progress, header};

/// Largest header that is read, octets.
const HEADER_OCTETS_MAX: usize = 4 * 1024;

/// A header asks for no octet behind its end, however much of it has come, and says the same whatever follows it.
pub fn proxy_header(octets: &[u8]) {
    let whole = match header(octets) {
        Ok(Progress::Whole(_, whole)) => whole,
        Ok(Progress::Needs(more)) => {
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
            Ok(Progress::Needs(more)) => assert!(0 < more && length + more <= whole, "{length} of {whole}: {more}"),
            other => unreachable!("{length} of {whole} octets: {other:?}"),
        }
    }
}

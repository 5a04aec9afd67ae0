//! Properties of the saved View that `tests/targets` checks over arbitrary octets. A broken property panics, which the
//! fuzzer reports.

use crate::Snapshot;
use crate::file::parse;

/// Any octets are refused or parsed, with and without a correct digest. A parsed file has at most as many entries as
/// octets.
pub fn file(octets: &[u8]) {
    check(octets);
    // A correct digest after arbitrary octets: a damaged disk cannot produce such a file, but another program can.
    check(&[octets, blake3::hash(octets).as_bytes()].concat());
}

fn check(octets: &[u8]) {
    let Some((snapshot, cookie)) = parse(octets, &Snapshot::default()) else { return };
    assert!(snapshot.len() <= octets.len(), "{} entries in {} octets", snapshot.len(), octets.len());
    assert!(cookie.is_none_or(|cookie| cookie.as_octets().len() <= octets.len()));
    assert!(snapshot.people() <= snapshot.len());
}

/// A valid file is refused after `flips` (positions and bits) have changed it.
pub fn damaged_file(octets: &[u8], flips: &[(usize, u8)]) {
    let mut damaged = octets.to_vec();
    for (at, bits) in flips {
        if let Some(octet) = damaged.get_mut(*at) {
            *octet ^= bits;
        }
    }
    if damaged != octets {
        assert!(parse(&damaged, &Snapshot::default()).is_none(), "a damaged file is read");
    }
}

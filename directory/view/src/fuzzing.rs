//! What `tests/targets` asserts of the saved View, over arbitrary octets. A broken property panics, which is a finding.

use crate::Snapshot;
use crate::file::parse;

/// A file is refused or read; one whose digest is right is never believed to hold more than it has room for.
pub fn file(octets: &[u8]) {
    check(octets);
    // Behind the digest, where damage of the disk does not come, but a file of another program may.
    check(&[octets, blake3::hash(octets).as_bytes()].concat());
}

fn check(octets: &[u8]) {
    let Some((snapshot, cookie)) = parse(octets, &Snapshot::default()) else { return };
    assert!(snapshot.len() <= octets.len(), "{} entries in {} octets", snapshot.len(), octets.len());
    assert!(cookie.is_none_or(|cookie| cookie.as_octets().len() <= octets.len()));
    assert!(snapshot.people() <= snapshot.len());
}

/// A file that is read is refused when `flips` (places and bits) have changed it.
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

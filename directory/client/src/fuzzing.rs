//! Properties of LDAP answers that `tests/targets` checks over arbitrary octets. A property that does not hold panics.

use crate::cookie::CookieState;
use crate::decode::{self, SyncInfo};

/// A sequence of cookies: the merged cookie is no longer than all received ones together, and merging it alone gives
/// the same cookie.
pub fn cookies(cookies: &[&[u8]]) {
    let mut state = CookieState::default();
    for cookie in cookies {
        if !state.merge(cookie) {
            return;
        }
        let Some(merged) = state.to_octets() else { unreachable!("no cookie after a successful merge") };
        let octets: usize = cookies.iter().map(|cookie| cookie.len()).sum();
        assert!(merged.len() <= octets, "a cookie of {} octets from {octets}", merged.len());
        let mut resumed = CookieState::default();
        assert!(resumed.merge(&merged), "the merged cookie is refused");
        assert_eq!(resumed.to_octets().as_deref(), Some(merged.as_slice()));
    }
}

/// A Sync State value, a Sync Info message or an entry: refused, or no larger than the input.
pub fn answer(octets: &[u8]) {
    if let Some(state) = decode::sync_state(octets) {
        assert!(state.cookie.is_none_or(|cookie| cookie.len() <= octets.len()));
    }
    let Some(tag) = decode::element(octets) else { return };
    if let Some(SyncInfo::IdSet { uuids, .. }) = decode::sync_info(tag.clone()) {
        assert!(uuids.len() * 16 <= octets.len(), "{} UUIDs", uuids.len());
    }
    if let Some(entry) = decode::entry(tag) {
        let values: usize = entry.attributes().flat_map(|(_, values)| values).map(Vec::len).sum();
        assert!(values <= octets.len(), "values of {values} octets");
    }
}

//! What `tests/targets` asserts of answers of an LDAP server, over arbitrary octets. A broken property panics, which is a finding.

use crate::cookie::CookieState;
use crate::decode::{self, SyncInfo};

/// Cookies that come one after the other: what is kept is no longer than what came, and is kept as it is when it comes again.
pub fn cookies(cookies: &[&[u8]]) {
    let mut state = CookieState::default();
    for cookie in cookies {
        if !state.merge(cookie) {
            return;
        }
        let Some(text) = state.text() else { unreachable!("no cookie after one was taken") };
        let octets: usize = cookies.iter().map(|cookie| cookie.len()).sum();
        assert!(text.len() <= octets, "a cookie of {} octets from {octets}", text.len());
        let mut resumed = CookieState::default();
        assert!(resumed.merge(&text), "the cookie that is saved is refused");
        assert_eq!(resumed.text().as_deref(), Some(text.as_slice()));
    }
}

/// Values of RFC 4533, and entries: refused, or no larger than they came.
pub fn answer(octets: &[u8]) {
    if let Some(state) = decode::sync_state(octets) {
        assert!(state.cookie.is_none_or(|cookie| cookie.len() <= octets.len()));
    }
    let Some(tag) = decode::whole(octets) else { return };
    if let Some(SyncInfo::IdSet { uuids, .. }) = decode::sync_info(tag.clone()) {
        assert!(uuids.len() * 16 <= octets.len(), "{} UUIDs", uuids.len());
    }
    if let Some(entry) = decode::entry(tag) {
        let values: usize = entry.attributes().flat_map(|(_, values)| values).map(Vec::len).sum();
        assert!(values <= octets.len(), "values of {values} octets");
    }
}

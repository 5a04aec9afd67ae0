//! Cookies of paged searches (RFC 2696). A cookie holds the position of a search and a keyed hash, which makes it valid
//! only on its connection and for the same search. The server stores nothing between pages but one key per connection.

use std::hash::{BuildHasher as _, RandomState};

use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::message::SearchRequest;
use crate::tree::EntryNumber;

/// The position of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PagingState {
    /// The place where the next page begins.
    pub(crate) place: EntryNumber,
    /// Entries sent on all pages so far.
    pub(crate) entries_sent: usize,
}

/// Makes and checks the cookies of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// The random key of the connection, without which a cookie cannot be forged.
    key: RandomState,
}

impl Pages {
    /// Returns the cookie with which this search continues: position and keyed hash.
    pub(crate) fn cookie(&self, request: &SearchRequest, progress: PagingState) -> Vec<u8> {
        let sent = progress.entries_sent as u64;
        let hash = self.keyed_hash(request, progress);
        [&progress.place.to_be_bytes()[..], &sent.to_be_bytes(), &hash.to_be_bytes()].concat()
    }

    /// Returns the position in a cookie. Refuses a cookie that was not issued on this connection for a search with the
    /// same base, scope, size limit and filter.
    pub(crate) fn progress(&self, request: &SearchRequest, cookie: &[u8]) -> OperationResult<PagingState> {
        let read = || {
            let (place, rest) = cookie.split_first_chunk::<4>()?;
            let (sent, rest) = rest.split_first_chunk::<8>()?;
            let entries_sent = usize::try_from(u64::from_be_bytes(*sent)).ok()?;
            let progress = PagingState { place: EntryNumber::from_be_bytes(*place), entries_sent };
            (rest == self.keyed_hash(request, progress).to_be_bytes()).then_some(progress)
        };
        let text = "the paged results cookie is not from this search on this connection";
        read().ok_or_else(|| LdapResult::new(ResultCode::UnwillingToPerform, text))
    }

    fn keyed_hash(&self, request: &SearchRequest, progress: PagingState) -> u64 {
        let search = (&request.base, request.scope as u8, request.size_limit, request.filter.to_string());
        self.key.hash_one((progress.place, progress.entries_sent, search))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scope;
    use provost_entry::Filter;

    fn request(filter: &str) -> SearchRequest {
        SearchRequest {
            base: "dc=e".into(),
            scope: Scope::Subtree,
            size_limit: 10,
            time_limit_seconds: 0,
            types_only: false,
            filter: Filter::parse(filter).unwrap(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn a_cookie_is_valid_only_for_its_search_on_its_connection() {
        let (pages, other) = (Pages::default(), Pages::default());
        let search = request("(cn=a)");
        let progress = PagingState { place: 7, entries_sent: 3 };
        let cookie = pages.cookie(&search, progress);
        assert_eq!(pages.progress(&search, &cookie).unwrap(), progress);
        assert!(other.progress(&search, &cookie).is_err(), "accepted on another connection");
        assert!(pages.progress(&request("(cn=b)"), &cookie).is_err(), "accepted for another search");
        for at in 0..cookie.len() {
            let mut changed = cookie.clone();
            changed[at] ^= 1;
            assert!(pages.progress(&search, &changed).is_err(), "octet {at}");
        }
        for bad in [&b""[..], &7_u32.to_be_bytes(), &cookie[1..], &[&cookie[..], b"x"].concat()] {
            assert!(pages.progress(&search, bad).is_err(), "{bad:?}");
        }
    }
}

//! RFC 4533 cookies, merged per server id.
//!
//! In the persist stage OpenLDAP sends cookies that name a single server id. When a consumer resumes with one of those,
//! the provider sends everything again. The merged cookie therefore has the newest CSN of each server id.

use std::collections::BTreeMap;

/// Maximum number of server ids: OpenLDAP allows 4096.
const SERVER_IDS_MAX: usize = 4096;
/// Longest cookie that is accepted, octets.
const COOKIE_OCTETS_MAX: usize = 512 * 1024;

/// The provider's state, as its cookies describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CookieState {
    /// `rid=...` of the first cookie that has one.
    rid: Option<String>,
    /// The newest CSN by server id.
    csns: BTreeMap<String, String>,
    /// The newest cookie in another format, as received.
    opaque: Option<Vec<u8>>,
}

impl CookieState {
    /// Merges a cookie into the state; `false` when the cookie is longer than [`COOKIE_OCTETS_MAX`], or when the state
    /// would have more than [`SERVER_IDS_MAX`] server ids.
    pub(crate) fn merge(&mut self, cookie: &[u8]) -> bool {
        if cookie.len() > COOKIE_OCTETS_MAX {
            return false;
        }
        let Some((rid, csns)) = std::str::from_utf8(cookie).ok().and_then(parse) else {
            self.opaque = Some(cookie.to_vec());
            return true;
        };
        if self.rid.is_none() {
            self.rid = rid.map(str::to_owned);
        }
        for (server, csn) in csns {
            let server_ids = self.csns.len();
            match self.csns.get_mut(server) {
                Some(newest) if newest.as_str() < csn => csn.clone_into(newest),
                Some(_) => {}
                None if server_ids < SERVER_IDS_MAX => {
                    self.csns.insert(server.to_owned(), csn.to_owned());
                }
                None => return false,
            }
        }
        true
    }

    /// Returns the cookie to send and to save; `None` before any was merged.
    ///
    /// `sid=` is omitted: it would claim that *we* are that server, and the provider would withhold that server's
    /// changes.
    pub(crate) fn to_octets(&self) -> Option<Vec<u8>> {
        if self.csns.is_empty() {
            return self.opaque.clone();
        }
        let csns = self.csns.values().map(String::as_str).collect::<Vec<_>>().join(";");
        let rid = self.rid.as_deref().map(|rid| format!("{rid},")).unwrap_or_default();
        Some(format!("{rid}csn={csns}").into_bytes())
    }
}

/// The rid of a cookie, and each CSN with its server id.
type CookieParts<'a> = (Option<&'a str>, Vec<(&'a str, &'a str)>);

/// Parses `[rid=..,][sid=..,]csn=a;b[,..]`. `None` for any other format.
fn parse(cookie: &str) -> Option<CookieParts<'_>> {
    let fields = || cookie.split(',');
    let rid = fields().find(|field| field.starts_with("rid="));
    let csns = fields().find_map(|field| field.strip_prefix("csn="))?;
    // YYYYMMDDhhmmss.uuuuuuZ#count#server id#modification: all widths are fixed, so text order is time order.
    let pairs = csns.split(';').map(|csn| csn.split('#').nth(2).map(|server| (server, csn)));
    Some((rid, pairs.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: &str = "20260101000000.000000Z#000000#001#000000";
    const A2: &str = "20260102000000.000000Z#000000#001#000000";
    const B1: &str = "20260101120000.000000Z#000000#002#000000";

    fn merged(cookies: &[&str]) -> String {
        let mut state = CookieState::default();
        for cookie in cookies {
            assert!(state.merge(cookie.as_bytes()));
        }
        String::from_utf8(state.to_octets().unwrap()).unwrap()
    }

    #[test]
    fn the_newest_csn_of_each_server_id_is_kept() {
        let whole = format!("rid=000,csn={A1};{B1}");
        assert_eq!(merged(&[&whole]), whole);
        assert_eq!(merged(&[&whole, &format!("rid=000,sid=001,csn={A2}")]), format!("rid=000,csn={A2};{B1}"));
        assert_eq!(merged(&[&format!("rid=000,csn={A2}"), &whole]), format!("rid=000,csn={A2};{B1}"));
        assert_eq!(merged(&[&format!("csn={A1}")]), format!("csn={A1}"));
    }

    #[test]
    fn cookies_in_other_formats_are_kept_unchanged() {
        assert_eq!(merged(&["server:389#cn=changelog#7", "server:389#cn=changelog#8"]), "server:389#cn=changelog#8");
        assert_eq!(merged(&["csn=rubbish"]), "csn=rubbish");
        assert_eq!(CookieState::default().to_octets(), None);
        assert!(!CookieState::default().merge(&vec![b'x'; COOKIE_OCTETS_MAX + 1]));
    }
}

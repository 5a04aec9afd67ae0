//! RFC 4533 cookies, merged per server id.
//!
//! In the persist phase OpenLDAP sends cookies that name one server id only; resuming with such a one makes the provider
//! send everything again. So the newest CSN of each server id is kept, and the cookie is written from all of them.

use std::collections::BTreeMap;

/// Most server ids in one cookie: OpenLDAP has 4096 of them.
const SERVER_IDS_MAX: usize = 4096;
/// Longest cookie that is kept, in octets.
const COOKIE_OCTETS_MAX: usize = 512 * 1024;

/// What is known of the provider's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CookieState {
    /// `rid=...`, as the first cookie had it.
    rid: Option<String>,
    /// Newest CSN by server id.
    csns: BTreeMap<String, String>,
    /// A cookie of another make: the newest, as it came.
    opaque: Option<Vec<u8>>,
}

impl CookieState {
    /// Takes a cookie in; `false` when it is too long to be kept.
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
            let known = self.csns.len();
            match self.csns.get_mut(server) {
                Some(newest) if newest.as_str() < csn => csn.clone_into(newest),
                Some(_) => {}
                None if known < SERVER_IDS_MAX => {
                    self.csns.insert(server.to_owned(), csn.to_owned());
                }
                None => return false,
            }
        }
        true
    }

    /// The cookie to send and to save; `None` when there was none yet.
    ///
    /// `sid=` is left out: it would name *us* as that server, which is then not sent its own changes.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        if self.csns.is_empty() {
            return self.opaque.clone();
        }
        let csns = self.csns.values().map(String::as_str).collect::<Vec<_>>().join(";");
        let rid = self.rid.as_deref().map(|rid| format!("{rid},")).unwrap_or_default();
        Some(format!("{rid}csn={csns}").into_bytes())
    }
}

/// A cookie's rid, and each CSN with its server id before it.
type Parts<'a> = (Option<&'a str>, Vec<(&'a str, &'a str)>);

/// `rid=..[,sid=..],csn=a;b[,...]`. `None` for any other form.
fn parse(cookie: &str) -> Option<Parts<'_>> {
    let fields = || cookie.split(',');
    let rid = fields().find(|field| field.starts_with("rid="));
    let csns = fields().find_map(|field| field.strip_prefix("csn="))?;
    // YYYYMMDDhhmmss.uuuuuuZ#count#server id#modification: fixed widths, so text order is time order.
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
        String::from_utf8(state.text().unwrap()).unwrap()
    }

    #[test]
    fn the_newest_of_each_server_is_kept() {
        let whole = format!("rid=000,csn={A1};{B1}");
        assert_eq!(merged(&[&whole]), whole);
        assert_eq!(merged(&[&whole, &format!("rid=000,sid=001,csn={A2}")]), format!("rid=000,csn={A2};{B1}"));
        assert_eq!(merged(&[&format!("rid=000,csn={A2}"), &whole]), format!("rid=000,csn={A2};{B1}"));
        assert_eq!(merged(&[&format!("csn={A1}")]), format!("csn={A1}"));
    }

    #[test]
    fn other_makes_are_kept_as_they_come() {
        assert_eq!(merged(&["server:389#cn=changelog#7", "server:389#cn=changelog#8"]), "server:389#cn=changelog#8");
        assert_eq!(merged(&["csn=rubbish"]), "csn=rubbish");
        assert_eq!(CookieState::default().text(), None);
        assert!(!CookieState::default().merge(&vec![b'x'; COOKIE_OCTETS_MAX + 1]));
    }
}

//! Detailed addresses (RFC 5233): `user+detail@domain` reaches `user@domain`.

use crate::Address;

/// What stands between user and detail (RFC 5233 §1 leaves it to the site).
const SEPARATOR: char = '+';

/// User and detail of a local part (RFC 5233 §4); no detail when it has no separator.
pub fn split_detail(local: &str) -> (&str, Option<&str>) {
    local.split_once(SEPARATOR).map_or((local, None), |(user, detail)| (user, Some(detail)))
}

/// The address without its detail; `None` when it has none, or nothing before it.
pub fn without_detail(address: &Address) -> Option<Address> {
    let (user, _) = address.local().split_once(SEPARATOR)?;
    Address::from_parts(user, address.domain()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_detail_away() {
        for (address, expect) in [
            ("zoe+lists@example.edu", Some("zoe@example.edu")),
            ("zoe+a+b@example.edu", Some("zoe@example.edu")),
            ("zoe+@example.edu", Some("zoe@example.edu")),
            ("zoe@example.edu", None),
            ("+lists@example.edu", None),
            // `zoe.` is no local part.
            ("zoe.+x@example.edu", None),
        ] {
            let found = Address::parse(address).ok().and_then(|address| without_detail(&address));
            assert_eq!(found.as_ref().map(Address::as_str), expect, "{address}");
        }
    }
}

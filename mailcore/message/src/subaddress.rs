//! Detailed addresses (RFC 5233): `user+detail@domain` reaches `user@domain`.

use crate::Address;

/// Separator of user and detail; RFC 5233 §1 gives this one as an example.
const SEPARATOR: char = '+';

/// Splits a local part into user and detail (RFC 5233 §4); the detail is `None` without a separator.
pub fn split_detail(local: &str) -> (&str, Option<&str>) {
    local.split_once(SEPARATOR).map_or((local, None), |(user, detail)| (user, Some(detail)))
}

/// Returns the address without its detail; `None` when it has no detail, or no valid local part before the separator.
pub fn without_detail(address: &Address) -> Option<Address> {
    let (user, _) = address.local().split_once(SEPARATOR)?;
    Address::from_parts(user, address.domain()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_the_detail() {
        for (address, expect) in [
            ("zoe+lists@example.edu", Some("zoe@example.edu")),
            ("zoe+a+b@example.edu", Some("zoe@example.edu")),
            ("zoe+@example.edu", Some("zoe@example.edu")),
            ("zoe@example.edu", None),
            ("+lists@example.edu", None),
            // `zoe.` is not a valid local part.
            ("zoe.+x@example.edu", None),
        ] {
            let found = Address::parse(address).ok().and_then(|address| without_detail(&address));
            assert_eq!(found.as_ref().map(Address::as_str), expect, "{address}");
        }
    }
}

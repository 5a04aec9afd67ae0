//! The addresses of roles that each served domain has (RFC 2142, RFC 5321 §4.5.1).

use provost_entry::{Address, Dn, Entry};
use provost_schema::{attr, class};

use crate::tree;

/// provostAddressKind of the address of a role.
pub(crate) const ROLE: &str = "role";
/// Local parts of the roles that always exist.
const ALWAYS: [&str; 3] = ["postmaster", "abuse", "security"];

/// The addresses of the roles that always exist in these domains.
pub(crate) fn of_domains(domains: &[String]) -> impl Iterator<Item = Address> {
    let of = |domain: &String| ALWAYS.map(|local| Address::from_parts(local, domain).ok());
    domains.iter().flat_map(of).flatten()
}

/// The entry of the address of a role. Without a target, its mail goes to the person whose login is `postmaster`.
pub(crate) fn role_entry(suffix: &Dn, address: &Address) -> Entry {
    Entry::new(tree::address(suffix, address.as_str()))
        .with(attr::OBJECT_CLASS, "top")
        .with(attr::OBJECT_CLASS, class::PROVOST_ADDRESS_ENTRY)
        .with(attr::PROVOST_ADDRESS, address.as_str())
        .with(attr::PROVOST_ADDRESS_KIND, ROLE)
}

//! Addresses in a script (RFC 5228 §2.4.2.3): an addr-spec, with or without a display name.

use provost_message::{ListedAddress, Path, address_list};
use provost_view::Address;

use crate::SieveError;
use crate::arguments::Arguments;

/// Parses an address at any site. Keeps the case, and accepts a local part that must be quoted (RFC 5321 §2.4, §4.1.2).
pub(crate) fn path(text: &str, arguments: &Arguments<'_>) -> Result<Path, SieveError> {
    let invalid = || arguments.error(format_args!("{text:?} is not one address (local@domain)"));
    let listed = address_list(text.as_bytes());
    let [ListedAddress::Mailbox(mailbox)] = listed.as_slice() else { return Err(invalid()) };
    if mailbox.route.is_some() || mailbox.host.is_empty() {
        return Err(invalid());
    }
    let (local, domain) = (String::from_utf8_lossy(&mailbox.local), String::from_utf8_lossy(&mailbox.host));
    Path::new(&local, &domain).map_err(|_| invalid())
}

/// Parses and normalises an address whose local part needs no quotes: only such addresses can belong to a person of
/// this site. Whether anybody has the address is not checked.
pub(crate) fn address(text: &str, arguments: &Arguments<'_>) -> Result<Address, SieveError> {
    let path = path(text, arguments)?;
    Address::from_parts(path.local(), path.domain()).map_err(|error| arguments.error(format_args!("{text:?}: {error}")))
}

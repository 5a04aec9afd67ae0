//! The values of a directory: distinguished names, entries, filters, modifications, addresses, LDIF, times, and the
//! comparison of strings.
//!
//! This room uses no server, no connection and no socket. Of the other rooms it depends only on `schema`.

mod address;
mod attribute;
mod dn;
mod entry;
mod filter;
mod group;
pub mod ldif;
mod modification;
pub mod prep;
pub mod time;

pub use address::{Address, AddressError, DOMAIN_OCTETS_MAX, LOCAL_PART_OCTETS_MAX};
pub use attribute::{ATTRIBUTE_OCTETS_MAX, AttributeDescription, AttributeError};
pub use dn::{DN_DEPTH_MAX, DN_OCTETS_MAX, Dn, DnError, Rdn};
pub use entry::Entry;
pub use filter::{FILTER_DEPTH_MAX, FILTER_OCTETS_MAX, Filter, FilterError};
pub use group::{
    FILTER_ATTRIBUTES, Facets, MEMBER_FILTER_DEPTH_MAX, MEMBER_FILTER_OCTETS_MAX, MemberFilter, MemberFilterError,
    OWNER_SUFFIX, Poster,
};
pub use modification::{ModOp, Modification};

//! What a directory is made of: distinguished names, entries, filters, modifications, addresses, LDIF.
//!
//! Values only. This room knows no server, no connection and no socket; it may use `schema` alone.

mod address;
mod attribute;
mod dn;
mod entry;
mod filter;
pub mod ldif;
mod modification;
pub mod time;

pub use address::{Address, AddressError};
pub use attribute::{AttributeDescription, AttributeError};
pub use dn::{Dn, DnError, Rdn};
pub use entry::Entry;
pub use filter::{Filter, FilterError, FILTER_DEPTH_MAX};
pub use modification::{ModOp, Modification};

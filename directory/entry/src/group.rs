//! What the entry of a group says besides its members: who may send, and which people a filter matches. The View obeys
//! it, provisioning checks it.

mod facets;
mod filter;
mod poster;

pub use facets::Facets;
pub use filter::{
    FILTER_ATTRIBUTES, MEMBER_FILTER_DEPTH_MAX, MEMBER_FILTER_OCTETS_MAX, MemberFilter, MemberFilterError,
};
pub use poster::Poster;

/// What stands after the local part of a list in the address of its owners, which its copies have as reverse-path.
pub const OWNER_SUFFIX: &str = "-owner";

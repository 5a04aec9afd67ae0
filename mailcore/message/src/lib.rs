//! Messages and envelopes: paths, header fields, MIME structure, bounces.

mod envelope;
mod path;

pub use envelope::Envelope;
pub use path::{Path, PathError};
pub use provost_view::{Address, AddressError};

//! Messages and envelopes: paths, header fields, trace fields, vacation replies, bounces.
//!
//! Values and text only: nothing here knows a socket, a mailbox or a clock. What comes from a message is untrusted and
//! bounded; what is built here cannot be made to carry a header field that a peer chose.

mod bounce;
mod derived;
mod encoded_word;
mod envelope;
mod headers;
mod identity;
mod notification;
mod path;
mod received;
mod reply;

pub use bounce::{Bounce, FailedRecipient};
pub use derived::{DERIVED_VERSION, Derived, derive};
pub use encoded_word::decode_words;
pub use envelope::{Envelope, Recipient};
pub use headers::{Field, Headers};
pub use identity::{message_id, rfc5322_date};
pub use notification::{EnvelopeId, NotificationError, Notify, OriginalRecipient, Return};
pub use path::{Path, PathError};
pub use provost_view::{Address, AddressError};
pub use received::{Received, is_looping};
pub use reply::Reply;

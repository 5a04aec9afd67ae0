//! What is worked out from a message once, when it comes in, and kept beside it.

use crate::Headers;

/// Version of the code that fills [`Derived`]: it grows when a column is filled in another way. Kept with the columns; those
/// of another version are derived again.
pub const DERIVED_VERSION: u16 = 1;

/// Columns derived from one message. An empty column is not kept: whoever wants it reads the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// The Date field, seconds since 1970 (RFC 5322 §3.6.1).
    pub sent: Option<i64>,
    /// Encoded ENVELOPE (RFC 3501 §7.4.2).
    pub envelope: Vec<u8>,
    /// Encoded MIME structure with the octet ranges of the parts (RFC 2045).
    pub structure: Vec<u8>,
    /// The beginning of the text (RFC 8970).
    pub preview: String,
    /// Encoded thread keys: Message-ID, ids of References and In-Reply-To, base subject (RFC 5256).
    pub thread: Vec<u8>,
    /// Encoded header fields that clients ask for, and where the header ends.
    pub fields: Vec<u8>,
}

/// Derives the columns of a message with CRLF line ends. Never fails: what cannot be derived is left empty.
pub fn derive(message: &[u8]) -> Derived {
    Derived { sent: sent(message), ..Derived::default() }
}

fn sent(message: &[u8]) -> Option<i64> {
    let date = Headers::of(message).get("Date")?;
    jiff::fmt::rfc2822::parse(&date).ok().map(|date| date.timestamp().as_second())
}

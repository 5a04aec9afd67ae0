//! The path of a person's page, and the colours of states.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that are encoded in a path segment: all but letters, digits, `-`, `_` and `~`. The dot is encoded
/// too, although it is unreserved (RFC 3986 §2.3), so that no segment is `.` or `..`.
const SEGMENT_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Path of a person's page.
pub(crate) fn person_url(id: &str) -> String {
    format!("/people/{}", utf8_percent_encode(id, SEGMENT_ENCODED))
}

/// The CSS class that colours a state. The page also names the state, so that nothing depends on the colour.
pub(crate) fn state_level(state: &str) -> &'static str {
    match state {
        "active" | "alumni" => "good",
        "suspended" | "closed" => "bad",
        _ => "warn",
    }
}

//! Links to people, and the colours of their states.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that are encoded in a path segment: all except the unreserved ones of RFC 3986 §2.3, and also the
/// dot, so that no segment can be `..`.
const PATH_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Path of a person's page.
pub(crate) fn person_url(id: &str) -> String {
    format!("/people/{}", utf8_percent_encode(id, PATH_PART))
}

/// The colour of a state; the text beside it has the same meaning.
pub(crate) fn state_level(state: &str) -> &'static str {
    match state {
        "active" | "alumni" => "good",
        "suspended" | "closed" => "bad",
        _ => "warn",
    }
}

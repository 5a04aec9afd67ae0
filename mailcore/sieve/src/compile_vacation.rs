//! Compiles the arguments of `vacation` (RFC 5230 §4).

use provost_message::{MimePart, shown_text};
use provost_view::Address;

use crate::SieveError;
use crate::address::address;
use crate::arguments::{Arguments, once};
use crate::program::VacationAction;

/// The bounds of `:days`, and its default. RFC 5230 §4.1 leaves them to the site.
const DAYS_MIN: u64 = 1;
const DAYS_MAX: u64 = 365;
const DAYS_DEFAULT: u64 = 7;
/// Longest `:subject`, in octets. No standard sets a bound; this is the longest line of RFC 5322 §2.1.1.
pub(crate) const SUBJECT_OCTETS_MAX: usize = 998;
/// Longest `:handle`, in octets. No standard sets a bound.
const HANDLE_OCTETS_MAX: usize = 256;
/// Maximum number of `:addresses`: several times what one person has.
const ADDRESSES_MAX: usize = 100;

/// Compiles the arguments of `vacation`.
pub(crate) fn vacation(arguments: &mut Arguments<'_>) -> Result<VacationAction, SieveError> {
    let (mut days, mut subject, mut from, mut addresses) = (None, None, None, None);
    let (mut handle, mut mime) = (None, None);
    while let Some(tag) = arguments.tag() {
        match tag {
            "days" => once(&mut days, arguments.number("days")?, arguments)?,
            "subject" => once(&mut subject, one_line(arguments, "the subject", SUBJECT_OCTETS_MAX)?, arguments)?,
            "from" => once(&mut from, address(arguments.text("a sender")?, arguments)?, arguments)?,
            "addresses" => once(&mut addresses, own_addresses(arguments)?, arguments)?,
            "handle" => once(&mut handle, one_line(arguments, "the handle", HANDLE_OCTETS_MAX)?, arguments)?,
            "mime" => once(&mut mime, (), arguments)?,
            other => return Err(arguments.error(format_args!("':{other}' is unknown, or not allowed here"))),
        }
    }
    let reason = arguments.text("a reason")?;
    let text = if mime.is_some() { entity_text(reason, arguments)? } else { reason.to_owned() };
    // DAYS_MAX fits the type.
    let days = days.unwrap_or(DAYS_DEFAULT).clamp(DAYS_MIN, DAYS_MAX) as u16;
    let handle = handle.unwrap_or_else(|| {
        let form = if mime.is_some() { "mime" } else { "text" };
        default_handle([subject.as_deref(), from.as_ref().map(Address::as_str), Some(form), Some(reason)])
    });
    Ok(VacationAction { days, subject, from, addresses: addresses.unwrap_or_default(), handle, text })
}

fn one_line(arguments: &mut Arguments<'_>, what: &str, octets_max: usize) -> Result<String, SieveError> {
    let text = arguments.text(what)?;
    if text.len() > octets_max {
        return Err(arguments.error(format_args!("{what} is longer than {octets_max} octets")));
    }
    // Each run of control characters becomes a space: a line end in a subject could add a header field to the reply.
    Ok(text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

fn own_addresses(arguments: &mut Arguments<'_>) -> Result<Vec<Address>, SieveError> {
    let texts = arguments.strings("addresses")?;
    if texts.len() > ADDRESSES_MAX {
        return Err(arguments.error(format_args!("more than {ADDRESSES_MAX} addresses")));
    }
    texts.iter().map(|text| address(text, arguments)).collect()
}

/// Returns the text of a MIME entity (`:mime`, RFC 5230 §4.4). The rest of the entity is not sent: a reply is always
/// plain text.
fn entity_text(reason: &str, arguments: &Arguments<'_>) -> Result<String, SieveError> {
    shown_text(reason.as_bytes(), &MimePart::of(reason.as_bytes()))
        .ok_or_else(|| arguments.error("with ':mime', the reason must be a MIME entity that holds a text"))
}

/// The handle of a `vacation` without `:handle`: a hash of subject, sender, form and reason. Two actions that agree in
/// these are one rule (RFC 5230 §4.2).
fn default_handle(arguments: [Option<&str>; 4]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in arguments.map(Option::unwrap_or_default) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hex = hasher.finalize().to_hex();
    format!("auto-{}", hex.get(..HANDLE_HEX_DIGITS).unwrap_or_default())
}

/// Digits of a handle that is a hash: 128 bits.
pub(crate) const HANDLE_HEX_DIGITS: usize = 32;

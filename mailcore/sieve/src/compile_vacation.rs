//! Compiles the arguments of `vacation` (RFC 5230 §4).

use provost_message::{MimePart, mailboxes, shown_text};
use provost_view::Address;

use crate::SieveError;
use crate::arguments::{Arguments, once};
use crate::program::VacationAction;

/// This server's bounds of `:days`, and the default (RFC 5230 §4.1).
const DAYS_MIN: u64 = 1;
const DAYS_MAX: u64 = 365;
const DAYS_DEFAULT: u64 = 7;
/// Longest `:subject`, in octets: a line (RFC 5322 §2.1.1), since longer subjects are of no use.
pub(crate) const SUBJECT_OCTETS_MAX: usize = 998;
/// Longest `:handle`, in octets: ten times what scripts use.
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
            "subject" => once(&mut subject, line_of_text(arguments, "a subject", SUBJECT_OCTETS_MAX)?, arguments)?,
            "from" => once(&mut from, sender(arguments)?, arguments)?,
            "addresses" => once(&mut addresses, own_addresses(arguments)?, arguments)?,
            "handle" => once(&mut handle, line_of_text(arguments, "a handle", HANDLE_OCTETS_MAX)?, arguments)?,
            "mime" => once(&mut mime, (), arguments)?,
            other => return Err(arguments.error(format_args!("':{other}' is unknown, or not allowed here"))),
        }
    }
    let reason = arguments.text("a reason")?;
    let text = if mime.is_some() { entity_text(reason, arguments)? } else { reason.to_owned() };
    // DAYS_MAX fits the type.
    let days = days.unwrap_or(DAYS_DEFAULT).clamp(DAYS_MIN, DAYS_MAX) as u16;
    let handle = handle.unwrap_or_else(|| default_handle(subject.as_deref(), from.as_ref(), reason));
    Ok(VacationAction { days, subject, from, addresses: addresses.unwrap_or_default(), handle, text })
}

fn line_of_text(arguments: &mut Arguments<'_>, what: &str, limit: usize) -> Result<String, SieveError> {
    let text = arguments.text(what)?;
    if text.len() > limit {
        return Err(arguments.error(format_args!("{what} is longer than {limit} octets")));
    }
    // Without this, a line end in a subject would let a script add a header field (RFC 5322 §2.2).
    Ok(text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Parses one valid address, with or without a display name (RFC 5230 §4.3). Whether it is the owner's is checked at
/// run time.
fn sender(arguments: &mut Arguments<'_>) -> Result<Address, SieveError> {
    let text = arguments.text("a sender")?;
    let mut listed = mailboxes(text.as_bytes());
    match (listed.next().and_then(|one| one.address()), listed.next()) {
        (Some(one), None) => Address::parse(&one).map_err(|error| arguments.error(error)),
        _ => Err(arguments.error(format_args!("{text:?} is not a single address"))),
    }
}

fn own_addresses(arguments: &mut Arguments<'_>) -> Result<Vec<Address>, SieveError> {
    let texts = arguments.strings("addresses")?;
    if texts.len() > ADDRESSES_MAX {
        return Err(arguments.error(format_args!("more than {ADDRESSES_MAX} addresses")));
    }
    let parse =
        |text: &String| Address::parse(text).map_err(|error| arguments.error(format_args!("{text:?}: {error}")));
    texts.iter().map(parse).collect()
}

/// Reads the text of a MIME entity (`:mime`, RFC 5230 §4.4). The reply contains only its text, because replies are
/// always plain text.
fn entity_text(reason: &str, arguments: &Arguments<'_>) -> Result<String, SieveError> {
    shown_text(reason.as_bytes(), &MimePart::of(reason.as_bytes()))
        .ok_or_else(|| arguments.error("the reason must be a MIME entity with a text"))
}

/// The handle of a `vacation` without `:handle`: a hash of subject, sender and reason. Two actions that agree in these
/// are one rule (RFC 5230 §4.2).
fn default_handle(subject: Option<&str>, from: Option<&Address>, reason: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [subject.unwrap_or_default(), from.map(Address::as_str).unwrap_or_default(), reason] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hex = hasher.finalize().to_hex();
    format!("auto-{}", hex.get(..HANDLE_HEX_DIGITS).unwrap_or_default())
}

/// Digits of a default handle: 128 bits.
const HANDLE_HEX_DIGITS: usize = 32;

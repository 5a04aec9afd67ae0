//! Codecs of the protocols.

use provost_imap::fuzzing as imap;
use provost_smtp::fuzzing as smtp;

use crate::pieces::{cut, single};

/// Inputs up to this size, octets, are also fed octet by octet.
const SINGLE_OCTETS_MAX: usize = 4 * 1024;
/// Largest message that the reader accepts, octets.
const DATA_OCTETS_MAX: u64 = 512;

/// The commands do not depend on how their octets are cut into pieces.
pub(crate) fn imap_framing(input: &[u8]) {
    let (wire, pieces) = cut(input);
    same_in_pieces(wire, &pieces, imap::frames);
}

fn same_in_pieces<T: PartialEq + std::fmt::Debug>(wire: &[u8], pieces: &[&[u8]], read: fn(&[&[u8]]) -> T) {
    let expected = read(pieces);
    if wire.len() <= SINGLE_OCTETS_MAX {
        assert_eq!(read(&single(wire)), expected, "octet by octet");
    }
    let halves = wire.split_at(wire.len() / 2);
    assert_eq!(read(&[halves.0, halves.1]), expected, "in halves");
}

pub(crate) fn imap_commands(input: &[u8]) {
    imap::command(input);
    imap::strings(input);
}

pub(crate) fn pop3_commands(input: &[u8]) {
    let (wire, pieces) = cut(input);
    same_in_pieces(wire, &pieces, provost_pop3::fuzzing::lines);
}

pub(crate) fn smtp_commands(input: &[u8]) {
    let (wire, pieces) = cut(input);
    same_in_pieces(wire, &pieces, smtp::lines);
    wire.split(|octet| *octet == b'\n').for_each(|line| smtp::command(line.strip_suffix(b"\r").unwrap_or(line)));
}

/// Data ends at the first CRLF.CRLF and nowhere else, however it is cut. Accepted data has no bare line end and no NUL.
pub(crate) fn smtp_data(input: &[u8]) {
    let (wire, pieces) = cut(input);
    let expected = expected_data(wire);
    assert_eq!(smtp::data(&pieces, DATA_OCTETS_MAX), expected);
    assert_eq!(smtp::data(&[wire], DATA_OCTETS_MAX), expected, "in one piece");
    if wire.len() <= SINGLE_OCTETS_MAX {
        assert_eq!(smtp::data(&single(wire), DATA_OCTETS_MAX), expected, "octet by octet");
    }
    let message: Vec<u8> = wire.iter().copied().filter(|octet| *octet != 0).collect();
    let mut message = String::from_utf8_lossy(&message).replace("\r\n", "\n").replace('\r', "").replace('\n', "\r\n");
    let sent = smtp::wire_form(message.as_bytes());
    if !message.is_empty() && !message.ends_with("\r\n") {
        message.push_str("\r\n");
    }
    assert_eq!(
        smtp::data(&[&sent], u64::MAX / 4),
        Some((Ok(message.into_bytes()), Vec::new())),
        "a message written and read"
    );
}

/// The expected result, from the definition in RFC 5321 §4.1.1.4, §4.5.2.
fn expected_data(wire: &[u8]) -> Option<smtp::FuzzedData> {
    let lined = [b"\r\n", wire].concat();
    let end = lined.windows(5).position(|five| five == b"\r\n.\r\n")?;
    let (data, rest) = (&lined[2..end + 2], wire[end + 3..].to_vec());
    let text = String::from_utf8_lossy(data).replace("\r\n", "");
    let message = data.strip_prefix(b".").unwrap_or(data).to_vec();
    let message = replace(&message, b"\r\n.", b"\r\n");
    let outcome = match () {
        () if text.contains(['\r', '\n']) => Err("BareLineEnd".to_owned()),
        () if text.contains('\0') => Err("Nul".to_owned()),
        () if message.len() as u64 > DATA_OCTETS_MAX => Err("TooLong".to_owned()),
        () => Ok(message),
    };
    Some((outcome, rest))
}

fn replace(octets: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut replaced, mut rest) = (Vec::new(), octets);
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

pub(crate) fn proxy_header(input: &[u8]) {
    provost_net::fuzzing::proxy_header(input);
}

/// RFC 4616 §2: three texts without NUL, separated by NUL, and nothing left over.
pub(crate) fn sasl_plain(input: &[u8]) {
    let Ok(identity) = provost_credential::parse_plain(input) else { return };
    let parts = [identity.authorization.as_str(), identity.authentication.as_str(), identity.password.reveal()];
    assert!(!parts[1].is_empty() && !parts[2].is_empty() && parts.iter().all(|part| !part.contains('\0')));
    assert_eq!(parts.join("\0").as_bytes(), input);
}

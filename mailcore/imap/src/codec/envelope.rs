//! ENVELOPE (RFC 3501 §7.4.2).

use super::encode::{nstring, string};
use crate::address::{self, Listed};
use crate::header;

/// Fields of one name whose addresses are told; RFC 5322 §3.6 allows one.
const FIELDS_MAX: usize = 16;
/// Octets of a header that are looked at for an envelope: what is behind them is left out of it.
const HEADER_OCTETS_MAX: usize = 1024 * 1024;

/// `envelope` of a header.
pub(crate) fn envelope(wire: &mut Vec<u8>, header: &[u8]) {
    let header = header.get(..header.len().min(HEADER_OCTETS_MAX)).unwrap_or_default();
    wire.push(b'(');
    for name in ["Date", "Subject"] {
        nstring(wire, header::first(header, name).as_deref());
        wire.push(b' ');
    }
    let from = addresses(header, "From");
    // RFC 3501 §7.4.2: the server sets these from From when they are absent or empty.
    let or_from = |list: Vec<Listed>| if list.is_empty() { from.clone() } else { list };
    address_list(wire, &from);
    address_list(wire, &or_from(addresses(header, "Sender")));
    address_list(wire, &or_from(addresses(header, "Reply-To")));
    for name in ["To", "Cc", "Bcc"] {
        address_list(wire, &addresses(header, name));
    }
    nstring(wire, header::first(header, "In-Reply-To").as_deref());
    wire.push(b' ');
    nstring(wire, header::first(header, "Message-ID").as_deref());
    wire.push(b')');
}

fn addresses(header: &[u8], name: &str) -> Vec<Listed> {
    let fields = header::fields(header).filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    fields.take(FIELDS_MAX).flat_map(|field| address::parse(&header::unfold(field.value))).collect()
}

/// A list or NIL, and a space.
fn address_list(wire: &mut Vec<u8>, list: &[Listed]) {
    if list.is_empty() {
        wire.extend_from_slice(b"NIL ");
        return;
    }
    wire.push(b'(');
    for listed in list {
        match listed {
            Listed::Mailbox { name, route, local, host } => {
                wire.push(b'(');
                nstring(wire, name.as_deref());
                wire.push(b' ');
                nstring(wire, route.as_deref());
                wire.push(b' ');
                string(wire, local);
                wire.push(b' ');
                string(wire, host);
                wire.push(b')');
            }
            Listed::GroupStart(name) => {
                wire.extend_from_slice(b"(NIL NIL ");
                string(wire, name);
                wire.extend_from_slice(b" NIL)");
            }
            Listed::GroupEnd => wire.extend_from_slice(b"(NIL NIL NIL NIL)"),
        }
    }
    wire.extend_from_slice(b") ");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of nothing but addresses does not grow without bound on its way out.
    #[test]
    fn is_bounded() {
        let header = format!("{}From: {}\r\n\r\n", "From: x,y\r\n".repeat(30_000), "a,".repeat(5_000_000));
        let mut wire = Vec::new();
        envelope(&mut wire, header.as_bytes());
        assert!(wire.len() < 2 * 1024 * 1024, "{}", wire.len());
        let mut wire = Vec::new();
        envelope(&mut wire, format!("From: {}\r\n\r\n", "a,".repeat(500_000)).as_bytes());
        assert_eq!(String::from_utf8_lossy(&wire).matches("(NIL NIL \"a\" ").count(), 3 * 4_096);
    }

    #[test]
    fn envelopes() {
        for (header, expect) in [
            ("", r#"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"#),
            (
                "Date: d\r\nFrom: A <a@x>\r\nTo: b@y,\r\n c@z\r\nTo: d@w\r\nReply-To: \r\nMessage-Id: <1>\r\n\r\n",
                concat!(
                    r#"("d" NIL (("A" NIL "a" "x")) (("A" NIL "a" "x")) (("A" NIL "a" "x")) "#,
                    r#"((NIL NIL "b" "y")(NIL NIL "c" "z")(NIL NIL "d" "w")) NIL NIL NIL "<1>")"#
                ),
            ),
            (
                "Subject: =?utf-8?q?=C3=A9?=\r\nSender: s@x\r\nCc: g: e@x;\r\nIn-Reply-To: <0>\r\n\r\n",
                concat!(
                    r#"(NIL "=?utf-8?q?=C3=A9?=" NIL ((NIL NIL "s" "x")) NIL NIL "#,
                    r#"((NIL NIL "g" NIL)(NIL NIL "e" "x")(NIL NIL NIL NIL)) NIL "<0>" NIL)"#
                ),
            ),
        ] {
            let mut wire = Vec::new();
            envelope(&mut wire, header.as_bytes());
            assert_eq!(String::from_utf8_lossy(&wire), expect);
        }
    }
}

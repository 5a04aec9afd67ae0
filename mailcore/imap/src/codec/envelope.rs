//! Writes ENVELOPE (RFC 3501 §7.4.2).

use provost_message::{ImapEnvelope, ListedAddress};

use super::encode::{nstring, string};

/// Writes `envelope`; an address list without addresses is NIL.
pub(crate) fn envelope(wire: &mut Vec<u8>, envelope: &ImapEnvelope) {
    wire.push(b'(');
    for text in [&envelope.date, &envelope.subject] {
        nstring(wire, text.as_deref());
        wire.push(b' ');
    }
    // RFC 3501 §7.4.2: Sender and Reply-To take the addresses of From when they are absent or empty.
    let or_from = |list| if <[ListedAddress]>::is_empty(list) { envelope.from.as_slice() } else { list };
    address_list(wire, &envelope.from);
    address_list(wire, or_from(&envelope.sender));
    address_list(wire, or_from(&envelope.reply_to));
    for list in [&envelope.to, &envelope.cc, &envelope.bcc] {
        address_list(wire, list);
    }
    nstring(wire, envelope.in_reply_to.as_deref());
    wire.push(b' ');
    nstring(wire, envelope.message_id.as_deref());
    wire.push(b')');
}

/// Writes a list or NIL, and a space.
fn address_list(wire: &mut Vec<u8>, list: &[ListedAddress]) {
    if list.is_empty() {
        wire.extend_from_slice(b"NIL ");
        return;
    }
    wire.push(b'(');
    for listed in list {
        match listed {
            ListedAddress::Mailbox(mailbox) => {
                wire.push(b'(');
                nstring(wire, mailbox.name.as_deref());
                wire.push(b' ');
                nstring(wire, mailbox.route.as_deref());
                wire.push(b' ');
                string(wire, &mailbox.local);
                wire.push(b' ');
                string(wire, &mailbox.host);
                wire.push(b')');
            }
            ListedAddress::GroupStart(name) => {
                wire.extend_from_slice(b"(NIL NIL ");
                string(wire, name);
                wire.extend_from_slice(b" NIL)");
            }
            ListedAddress::GroupEnd => wire.extend_from_slice(b"(NIL NIL NIL NIL)"),
        }
    }
    wire.extend_from_slice(b") ");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_the_envelope_of_endless_address_lists() {
        let header = format!("{}From: {}\r\n\r\n", "From: x,y\r\n".repeat(30_000), "a,".repeat(5_000_000));
        let mut wire = Vec::new();
        envelope(&mut wire, &ImapEnvelope::of(header.as_bytes()));
        assert!(wire.len() < 2 * 1024 * 1024, "{}", wire.len());
        let mut wire = Vec::new();
        let header = format!("From: {}\r\n\r\n", "a,".repeat(100_000));
        envelope(&mut wire, &ImapEnvelope::of(header.as_bytes()));
        assert_eq!(String::from_utf8_lossy(&wire).matches("(NIL NIL \"a\" ").count(), 3 * 4_096);
    }

    #[test]
    fn writes_envelopes() {
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
            envelope(&mut wire, &ImapEnvelope::of(header.as_bytes()));
            assert_eq!(String::from_utf8_lossy(&wire), expect);
        }
    }
}

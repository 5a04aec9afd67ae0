//! The response for a message that another session has expunged.
//!
//! RFC 2180 §4.1.3: the expunge was not reported to the client, and may not be during FETCH. The client gets the known
//! flags and UID of the message, and NIL or the values of an empty message for the rest. If the whole command were
//! refused, the client would lack the other messages too.

use jiff::Timestamp;
use provost_message::ImapEnvelope;

use crate::codec::command::{BodySection, FetchItem};
use crate::codec::date;
use crate::codec::envelope::envelope;

use super::item::{MessageData, label};

/// The structure of an empty text part, as Dovecot sends it for an expunged message: the grammar has no NIL for a
/// `body` (RFC 3501 §9).
const NO_BODY: &str = r#""text" "plain" NIL NIL NIL "7bit" 0 0"#;

/// `* 2 FETCH (...)` for a message of which only flags and UID are known.
pub(super) fn response(index: usize, items: &[FetchItem], data: &MessageData) -> Vec<u8> {
    let mut wire = format!("* {} FETCH (", index + 1).into_bytes();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            wire.push(b' ');
        }
        write_item(&mut wire, item, data);
    }
    wire.extend_from_slice(b")\r\n");
    wire
}

fn write_item(wire: &mut Vec<u8>, item: &FetchItem, data: &MessageData) {
    let text = match item {
        FetchItem::Flags => format!("FLAGS {}", data.flags()),
        FetchItem::Uid => format!("UID {}", data.message.uid),
        FetchItem::Rfc822Size => "RFC822.SIZE 0".to_owned(),
        FetchItem::InternalDate => format!("INTERNALDATE \"{}\"", date::format_date_time(Timestamp::UNIX_EPOCH)),
        FetchItem::Rfc822 => "RFC822 NIL".to_owned(),
        FetchItem::Rfc822Header => "RFC822.HEADER NIL".to_owned(),
        FetchItem::Rfc822Text => "RFC822.TEXT NIL".to_owned(),
        FetchItem::Section { section, .. } => nil_section(section),
        FetchItem::Envelope => {
            wire.extend_from_slice(b"ENVELOPE ");
            return envelope(wire, &ImapEnvelope::default());
        }
        FetchItem::Body => format!("BODY ({NO_BODY})"),
        FetchItem::BodyStructure => format!("BODYSTRUCTURE ({NO_BODY} NIL NIL NIL NIL)"),
    };
    wire.extend_from_slice(text.as_bytes());
}

/// A section whose value is NIL, without an origin.
fn nil_section(section: &BodySection) -> String {
    format!("{} NIL", label(section, None))
}

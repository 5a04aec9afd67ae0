//! Copies of header fields, stored in a column beside the message: the fields that mail programs request for message
//! lists, and the fields that SEARCH keys such as FROM and SENTON read.

use crate::column::{ColumnReader, ColumnWriter};
use crate::headers::{HeaderField, fields, header_end};

/// Names of the fields that are kept, in lower case. When a column that is not empty lacks one of these fields, the
/// message lacks the field too.
const KEPT: [&str; 34] = [
    "bcc",
    "cc",
    "content-type",
    "date",
    "delivered-to",
    "disposition-notification-to",
    "from",
    "importance",
    "in-reply-to",
    "list-id",
    "list-post",
    "list-unsubscribe",
    "mail-followup-to",
    "mail-reply-to",
    "message-id",
    "mime-version",
    "newsgroups",
    "precedence",
    "priority",
    "references",
    "reply-to",
    "resent-date",
    "resent-from",
    "resent-message-id",
    "resent-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "x-draft-info",
    "x-mozilla-draft-info",
    "x-priority",
    "x-spam-flag",
    "x-uniform-type-identifier",
];

/// The kept header fields of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFields<'a> {
    header_octets: u64,
    section: &'a [u8],
}

impl<'a> KeptFields<'a> {
    /// Whether fields of that name are kept.
    pub fn keeps(name: &str) -> bool {
        KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
    }

    /// Decodes the column [`crate::Derived::fields`]. `None` when the column is empty or does not begin with a number:
    /// the caller then parses the message.
    pub fn decode(column: &'a [u8]) -> Option<Self> {
        let mut reader = ColumnReader::new(column);
        Some(Self { header_octets: reader.number()?, section: reader.rest() })
    }

    /// Returns the size of the message's header section with its empty line, octets.
    pub fn header_octets(&self) -> u64 {
        self.header_octets
    }

    /// Returns the kept fields as a header section without the empty line, in the order of the message.
    pub fn section(&self) -> &'a [u8] {
        self.section
    }
}

/// Makes the column; empty when it would be larger than `octets_max`.
pub(crate) fn encode_kept_fields(message: &[u8], octets_max: usize) -> Vec<u8> {
    let end = header_end(message).unwrap_or(message.len());
    let mut writer = ColumnWriter::new();
    writer.number(end as u64);
    for field in fields(message.get(..end).unwrap_or_default()).filter(is_kept) {
        writer.rest(field.whole());
        // The last line of a message may lack a line end.
        if !field.whole().ends_with(b"\n") {
            writer.rest(b"\r\n");
        }
    }
    writer.finish(octets_max)
}

fn is_kept(field: &HeaderField<'_>) -> bool {
    KeptFields::keeps(field.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_listed_fields() {
        let message = b"Received: x\r\nFROM: a@b\r\n (c)\r\nbroken\r\nX-Other: y\r\nSubject: s\r\n\r\nTo: body\r\n";
        let column = encode_kept_fields(message, 1_000);
        let kept = KeptFields::decode(&column).unwrap();
        assert_eq!(kept.section(), b"FROM: a@b\r\n (c)\r\nSubject: s\r\n");
        assert_eq!(message[kept.header_octets() as usize..], b"To: body\r\n"[..]);
        assert!(KeptFields::keeps("MESSAGE-ID") && !KeptFields::keeps("Received"));
        assert_eq!(KeptFields::decode(&encode_kept_fields(b"To: a", 1_000)).unwrap().section(), b"To: a\r\n");
    }

    #[test]
    fn a_column_that_is_too_long_is_empty() {
        assert_eq!(KeptFields::decode(&encode_kept_fields(&b"To: a\r\n".repeat(1_000), 1_000)), None);
        assert!(encode_kept_fields(&b"X-Other: a\r\n".repeat(1_000), 1_000).len() < 5);
    }
}

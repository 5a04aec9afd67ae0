//! Columns that are derived once from an arriving message and stored beside it.

use jiff::Timestamp;

use crate::column::ColumnWriter;
use crate::headers::{HeaderField, HeaderSection};
use crate::kept_fields::encode_kept_fields;
use crate::preview::preview;
use crate::{ImapEnvelope, MimePart, SentDate, ThreadKeys};

/// Version of the code that fills [`Derived`], stored with the columns. It grows when a column changes its contents;
/// columns of another version are derived again.
pub const DERIVED_VERSION: u16 = 3;

/// Initial capacity for header fields; most messages have fewer.
const FIELDS_CAPACITY: usize = 32;
/// Largest encoded envelope kept, octets: hundreds of addresses.
const ENVELOPE_OCTETS_MAX: usize = 32 * 1024;
/// Largest encoded structure kept, octets: hundreds of parts.
const STRUCTURE_OCTETS_MAX: usize = 64 * 1024;
/// Largest encoded thread keys kept, octets.
const THREAD_OCTETS_MAX: usize = 16 * 1024;
/// Largest encoded header fields kept, octets.
const FIELDS_OCTETS_MAX: usize = 16 * 1024;

/// Columns derived from one message. An empty encoded column means "not kept": the reader parses the message instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// The time of the Date field (RFC 5322 §3.6.1); `None` when it is absent or holds no date.
    pub sent: Option<Timestamp>,
    /// The encoded ENVELOPE (RFC 3501 §7.4.2); see [`ImapEnvelope::decode`].
    pub envelope: Vec<u8>,
    /// The encoded MIME structure with the octet ranges of the parts (RFC 2045); see [`MimePart::decode`].
    pub structure: Vec<u8>,
    /// The first characters of the text (RFC 8970).
    pub preview: String,
    /// The encoded thread keys: Message-ID, ids of References and In-Reply-To, base subject (RFC 5256); see
    /// [`ThreadKeys::decode`].
    pub thread: Vec<u8>,
    /// The encoded header fields that clients ask for, and the header size; see [`crate::KeptFields::decode`].
    pub fields: Vec<u8>,
}

/// Derives the columns of a message with CRLF line ends. Never fails: a column that would be too large stays empty.
/// Takes time linear in the octets of the message; each column is bounded.
pub fn derive(message: &[u8]) -> Derived {
    let mut fields: Vec<HeaderField<'_>> = Vec::with_capacity(FIELDS_CAPACITY);
    fields.extend(HeaderSection::of(message).iter());
    let part = MimePart::of(message);
    let date = fields.iter().find(|field| field.is("Date"));
    Derived {
        sent: date.and_then(|field| SentDate::parse(&field.unfolded())?.timestamp()),
        envelope: encoded(ENVELOPE_OCTETS_MAX, |writer| ImapEnvelope::of_fields(&fields).write(writer)),
        structure: encoded(STRUCTURE_OCTETS_MAX, |writer| part.write(writer)),
        preview: preview(message, &part),
        thread: encoded(THREAD_OCTETS_MAX, |writer| ThreadKeys::of_fields(&fields).write(writer)),
        fields: encode_kept_fields(message, FIELDS_OCTETS_MAX),
    }
}

fn encoded(octets_max: usize, write: impl FnOnce(&mut ColumnWriter)) -> Vec<u8> {
    let mut writer = ColumnWriter::new();
    write(&mut writer);
    writer.finish(octets_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeptFields;
    use proptest::prelude::*;

    const MESSAGE: &str = "From: Zoe <zoe@example.edu>\r\nSubject: Re: Hello\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\
        Message-ID: <m@x>\r\n\r\none\r\n";

    #[test]
    fn derives_every_column() {
        let derived = derive(MESSAGE.as_bytes());
        assert_eq!(derived.sent, Some(Timestamp::from_second(1_795_424_400).unwrap()));
        assert_eq!(ImapEnvelope::decode(&derived.envelope), Some(ImapEnvelope::of(MESSAGE.as_bytes())));
        assert_eq!(MimePart::decode(&derived.structure), Some(MimePart::of(MESSAGE.as_bytes())));
        assert_eq!(derived.preview, "one");
        assert_eq!(ThreadKeys::decode(&derived.thread).unwrap().base_subject, "Hello");
        assert_eq!(KeptFields::decode(&derived.fields).unwrap().header_octets(), MESSAGE.len() as u64 - 5);
    }

    #[test]
    fn a_column_that_would_be_too_large_stays_empty() {
        let to = format!("To: {}\r\n", "address@example.edu, ".repeat(20));
        let wide = format!(
            "{}Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
            to.repeat(500),
            "--b\r\n\r\nx\r\n".repeat(9_000)
        );
        let derived = derive(wide.as_bytes());
        assert!(derived.envelope.is_empty() && derived.structure.is_empty() && derived.fields.is_empty());
        assert_eq!(derived.preview, "x");
    }

    proptest! {
        #[test]
        fn any_message_has_columns(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let derived = derive(&message);
            prop_assert!(MimePart::decode(&derived.structure).is_some());
            prop_assert!(ImapEnvelope::decode(&derived.envelope).is_some());
        }
    }
}

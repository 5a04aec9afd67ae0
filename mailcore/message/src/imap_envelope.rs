//! The IMAP envelope (RFC 3501 §7.4.2): a summary of a message's header, unrelated to the SMTP envelope.

use crate::address_list::{LISTED_MAX, ListedAddress, ListedMailbox, address_list};
use crate::column::{ColumnReader, ColumnWriter};
use crate::headers::{HeaderField, HeaderSection};
use crate::tokens::ids_without_comments;

/// The fields of ENVELOPE: octets as sent, unfolded; the ids without comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImapEnvelope {
    /// The Date field.
    pub date: Option<Vec<u8>>,
    /// The Subject field.
    pub subject: Option<Vec<u8>>,
    /// The addresses of From.
    pub from: Vec<ListedAddress>,
    /// The addresses of Sender; empty without one.
    pub sender: Vec<ListedAddress>,
    /// The addresses of Reply-To; empty without one.
    pub reply_to: Vec<ListedAddress>,
    /// The addresses of To.
    pub to: Vec<ListedAddress>,
    /// The addresses of Cc.
    pub cc: Vec<ListedAddress>,
    /// The addresses of Bcc.
    pub bcc: Vec<ListedAddress>,
    /// The In-Reply-To field.
    pub in_reply_to: Option<Vec<u8>>,
    /// The Message-ID field.
    pub message_id: Option<Vec<u8>>,
}

impl ImapEnvelope {
    /// Reads a message or its header section. Addresses of repeated fields are concatenated. For each field name the
    /// first [`LISTED_MAX`] items are kept, and the end of a group that is then open.
    pub fn of(message: &[u8]) -> Self {
        let fields: Vec<HeaderField<'_>> = HeaderSection::of(message).iter().collect();
        Self::of_fields(&fields)
    }

    pub(crate) fn of_fields(fields: &[HeaderField<'_>]) -> Self {
        let text = |name: &str| fields.iter().find(|field| field.is(name)).map(|field| field.unfolded().into_owned());
        let ids = |name: &str| text(name).map(|value| ids_without_comments(&value).into_owned());
        let addresses = |name: &str| -> Vec<ListedAddress> {
            let named = fields.iter().filter(|field| field.is(name));
            close_group(named.flat_map(|field| address_list(&field.unfolded())).take(LISTED_MAX).collect())
        };
        Self {
            date: text("Date"),
            subject: text("Subject"),
            from: addresses("From"),
            sender: addresses("Sender"),
            reply_to: addresses("Reply-To"),
            to: addresses("To"),
            cc: addresses("Cc"),
            bcc: addresses("Bcc"),
            in_reply_to: ids("In-Reply-To"),
            message_id: ids("Message-ID"),
        }
    }

    fn lists(&self) -> [&Vec<ListedAddress>; 6] {
        [&self.from, &self.sender, &self.reply_to, &self.to, &self.cc, &self.bcc]
    }

    /// Counts the address list items.
    pub(crate) fn items(&self) -> usize {
        self.lists().into_iter().map(Vec::len).sum()
    }

    /// Drops all addresses when there are more than `limit` items.
    pub(crate) fn bounded(self, limit: usize) -> Self {
        if self.items() <= limit {
            return self;
        }
        let Self { date, subject, in_reply_to, message_id, .. } = self;
        Self { date, subject, in_reply_to, message_id, ..Self::default() }
    }

    pub(crate) fn write(&self, writer: &mut ColumnWriter) {
        for text in [&self.date, &self.subject, &self.in_reply_to, &self.message_id] {
            writer.optional(text.as_deref());
        }
        for list in self.lists() {
            writer.list(list, write_listed);
        }
    }

    /// Decodes the column [`crate::Derived::envelope`]; `None` when it is empty or damaged: the caller then parses the
    /// message.
    pub fn decode(column: &[u8]) -> Option<Self> {
        Self::read(&mut ColumnReader::new(column))
    }

    pub(crate) fn read(reader: &mut ColumnReader<'_>) -> Option<Self> {
        let mut text = || Some(reader.optional()?.map(<[u8]>::to_vec));
        let (date, subject, in_reply_to, message_id) = (text()?, text()?, text()?, text()?);
        let mut list = || reader.list(read_listed);
        let (from, sender, reply_to) = (list()?, list()?, list()?);
        let (to, cc, bcc) = (list()?, list()?, list()?);
        Some(Self { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id })
    }
}

/// Ends the group that a cut has left open (RFC 3501 §7.4.2: each start of a group has an end).
fn close_group(mut list: Vec<ListedAddress>) -> Vec<ListedAddress> {
    let last_mark = list.iter().rev().find(|listed| !matches!(listed, ListedAddress::Mailbox(_)));
    if matches!(last_mark, Some(ListedAddress::GroupStart(_))) {
        list.push(ListedAddress::GroupEnd);
    }
    list
}

/// Tags of [`ListedAddress`] in the column.
const MAILBOX: u64 = 0;
const GROUP_START: u64 = 1;
const GROUP_END: u64 = 2;

fn write_listed(writer: &mut ColumnWriter, listed: &ListedAddress) {
    match listed {
        ListedAddress::Mailbox(mailbox) => {
            writer.number(MAILBOX);
            writer.optional(mailbox.name.as_deref());
            writer.optional(mailbox.route.as_deref());
            writer.octets(&mailbox.local);
            writer.octets(&mailbox.host);
        }
        ListedAddress::GroupStart(name) => {
            writer.number(GROUP_START);
            writer.octets(name);
        }
        ListedAddress::GroupEnd => writer.number(GROUP_END),
    }
}

fn read_listed(reader: &mut ColumnReader<'_>) -> Option<ListedAddress> {
    Some(match reader.number()? {
        MAILBOX => ListedAddress::Mailbox(ListedMailbox {
            name: reader.optional()?.map(<[u8]>::to_vec),
            route: reader.optional()?.map(<[u8]>::to_vec),
            local: reader.octets()?.to_vec(),
            host: reader.octets()?.to_vec(),
        }),
        GROUP_START => ListedAddress::GroupStart(reader.octets()?.to_vec()),
        GROUP_END => ListedAddress::GroupEnd,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_addresses_of_all_fields_of_a_name() {
        let header = format!("{}Subject: a\r\n b\r\n\r\n", "Cc: x@y\r\n".repeat(2_000));
        let envelope = ImapEnvelope::of(header.as_bytes());
        assert_eq!((envelope.cc.len(), envelope.subject.as_deref()), (2_000, Some(&b"a b"[..])));
    }

    #[test]
    fn ids_have_no_comments() {
        let envelope = ImapEnvelope::of(b"Message-ID: <a@b> (by x)\r\nIn-Reply-To: (re) <c@d>\r\n (e) <f@g>\r\n\r\n");
        assert_eq!(envelope.message_id.as_deref(), Some(&b"<a@b>"[..]));
        assert_eq!(envelope.in_reply_to.as_deref(), Some(&b"<c@d> <f@g>"[..]));
    }

    #[test]
    fn an_envelope_full_of_addresses_is_bounded() {
        let header = format!("{}From: {}\r\n\r\n", "From: x,y\r\n".repeat(30_000), "a,".repeat(5_000_000));
        assert!(ImapEnvelope::of(header.as_bytes()).from.len() <= LISTED_MAX);
    }

    /// A group of more addresses than are kept ends nevertheless.
    #[test]
    fn a_list_that_is_cut_within_a_group_ends_the_group() {
        for (header, items) in [
            (format!("To: g: {};\r\n\r\n", "a@b,".repeat(5_000)), LISTED_MAX + 1),
            (format!("To: {}\r\nTo: g: a@b, c@d;\r\n\r\n", "a@b,".repeat(LISTED_MAX - 2)), LISTED_MAX + 1),
            (format!("To: {}\r\nTo: g: a@b;\r\nTo: c@d\r\n\r\n", "a@b,".repeat(LISTED_MAX - 3)), LISTED_MAX),
        ] {
            let to = ImapEnvelope::of(header.as_bytes()).to;
            assert_eq!((to.len(), to.last()), (items, Some(&ListedAddress::GroupEnd)));
        }
    }

    #[test]
    fn survives_its_column() {
        let header = b"Date: d\r\nFrom: A (x) <a@x>, <@r:b@c>\r\nTo: g: c@d;\r\nMessage-ID: \r\n\r\n";
        let envelope = ImapEnvelope::of(header);
        let mut writer = ColumnWriter::new();
        envelope.write(&mut writer);
        let column = writer.finish(1_000);
        assert_eq!(ImapEnvelope::decode(&column), Some(envelope));
        assert!((0..column.len()).all(|cut| ImapEnvelope::decode(&column[..cut]).is_none()));
    }
}

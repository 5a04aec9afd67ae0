//! The results of this crate's parser and of mail-parser, in one comparable form.

use jiff::Timestamp;
use mail_parser::{Addr, Address, MessageParser, MimeHeaders, PartType};
use provost_message::{HeaderSection, ImapEnvelope, ListedAddress, MimePart, PartContent, SentDate, decode_words};

/// The content of a message as a reader sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageOutline {
    subject: Option<String>,
    /// Seconds since 1970.
    date: Option<i64>,
    from: Vec<String>,
    to: Vec<String>,
    cc: Vec<String>,
    /// Type and content of each leaf, in order.
    leaves: Vec<String>,
}

impl MessageOutline {
    /// Returns name and both values of each difference.
    pub(crate) fn differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let all: [(&str, &dyn std::fmt::Debug, &dyn std::fmt::Debug); 6] = [
            ("cc", &self.cc, &other.cc),
            ("date", &self.date, &other.date),
            ("from", &self.from, &other.from),
            ("leaves", &self.leaves, &other.leaves),
            ("subject", &self.subject, &other.subject),
            ("to", &self.to, &other.to),
        ];
        let shown = all.into_iter().map(|(name, one, other)| (name, format!("{one:?}"), format!("{other:?}")));
        shown.filter(|(_, one, other)| one != other).map(|(name, one, other)| excerpt(name, &one, &other)).collect()
    }
}

/// Returns both values from a little before the point where they differ.
fn excerpt<'a>(name: &'a str, one: &str, other: &str) -> (&'a str, String, String) {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let from = |text: &str| text.chars().skip(same.saturating_sub(30)).take(200).collect();
    (name, from(one), from(other))
}

/// Collapses white space: this comparison ignores folding and trailing spaces.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the message with CRLF line ends, as the store holds it.
pub(crate) fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        stored.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        if line.ends_with(b"\n") {
            stored.extend_from_slice(b"\r\n");
        }
    }
    stored
}

/// Returns the result of this crate.
pub(crate) fn ours(message: &[u8]) -> MessageOutline {
    let envelope = ImapEnvelope::of(message);
    let subject = HeaderSection::of(message).field("Subject").map(|field| spaced(&field.decoded()));
    let date =
        envelope.date.as_deref().and_then(SentDate::parse).and_then(|date| date.timestamp()).map(Timestamp::as_second);
    let list = |list: &[ListedAddress]| -> Vec<String> {
        let mailboxes = list.iter().filter_map(|listed| match listed {
            ListedAddress::Mailbox(mailbox) => Some(mailbox),
            _ => None,
        });
        mailboxes
            .map(|mailbox| {
                let name = mailbox.name.as_deref().map(decode_words).unwrap_or_default();
                format!("{} <{}>", spaced(&name), mailbox.address().unwrap_or_default())
            })
            .collect()
    };
    let mut leaves = Vec::new();
    collect(message, &MimePart::of(message), &mut leaves);
    MessageOutline {
        subject: subject.filter(|subject| !subject.is_empty()),
        date,
        from: list(&envelope.from),
        to: list(&envelope.to),
        cc: list(&envelope.cc),
        leaves,
    }
}

fn collect(message: &[u8], part: &MimePart, leaves: &mut Vec<String>) {
    match &part.content {
        PartContent::Multipart(parts) => parts.iter().for_each(|part| collect(message, part, leaves)),
        PartContent::Message(inner, _) => collect(message, inner, leaves),
        PartContent::Leaf => {
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).to_ascii_lowercase();
            let kind = format!("{}/{}", text(&part.media.kind), text(&part.media.subtype));
            let content = match part.media.is("text") {
                true => spaced(&part.text_in(message)),
                false => format!("{:?}", part.decoded_in(message)),
            };
            leaves.push(format!("{kind} {content}"));
        }
    }
}

/// Returns the result of mail-parser.
pub(crate) fn theirs(message: &[u8]) -> MessageOutline {
    // mail-parser finds no message in some files.
    let Some(parsed) = MessageParser::default().parse(message) else { return MessageOutline::default() };
    let mut leaves = Vec::new();
    collect_theirs(&parsed, 0, &mut leaves);
    MessageOutline {
        subject: parsed.subject().map(spaced).filter(|subject| !subject.is_empty()),
        date: parsed.date().filter(|date| date.is_valid()).map(|date| date.to_timestamp()),
        from: addresses(parsed.from()),
        to: addresses(parsed.to()),
        cc: addresses(parsed.cc()),
        leaves,
    }
}

fn addresses(list: Option<&Address<'_>>) -> Vec<String> {
    let one = |address: &Addr<'_>| {
        format!("{} <{}>", spaced(address.name().unwrap_or_default()), address.address().unwrap_or_default())
    };
    match list {
        None => Vec::new(),
        Some(Address::List(list)) => list.iter().map(one).collect(),
        Some(Address::Group(groups)) => groups.iter().flat_map(|group| &group.addresses).map(one).collect(),
    }
}

fn collect_theirs(message: &mail_parser::Message<'_>, id: u32, leaves: &mut Vec<String>) {
    let Some(part) = message.part(id) else { return };
    let kind = || match part.content_type() {
        Some(kind) => format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase(),
        None => "text/plain".to_owned(),
    };
    match &part.body {
        PartType::Multipart(ids) => ids.iter().for_each(|id| collect_theirs(message, *id, leaves)),
        PartType::Message(inner) => collect_theirs(inner, 0, leaves),
        PartType::Text(text) | PartType::Html(text) => leaves.push(format!("{} {}", kind(), spaced(text))),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => leaves.push(format!("{} {octets:?}", kind())),
    }
}

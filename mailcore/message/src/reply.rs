//! Automatic replies (RFC 3834, RFC 5230 §5).

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use uuid::Uuid;

use crate::{Address, Path, message_id};

/// Maximum number of identifiers in References. RFC 5322 sets no bound. A longer list keeps its first identifier and
/// the newest ones (RFC 5537 §3.4.4).
const REFERENCES_MAX: usize = 20;
/// Longest identifier taken from the answered message, octets: it must fit a line of 998 octets (RFC 5322 §2.1.1).
const PARENT_ID_OCTETS_MAX: usize = 900;

/// A vacation reply. It is sent with the null reverse-path (RFC 3834 §3.3).
#[derive(Clone, Copy, Debug)]
pub struct AutoReply<'a> {
    /// The address of the person who replies.
    pub from: &'a Address,
    /// The display name of that person.
    pub display_name: &'a str,
    /// The reverse-path of the answered message.
    pub to: &'a Path,
    /// The subject, decoded.
    pub subject: &'a str,
    /// The text, plain.
    pub text: &'a str,
    /// The Message-ID of the answered message, with or without angle brackets.
    pub in_reply_to: Option<&'a str>,
    /// The References field of the answered message.
    pub references: Option<&'a str>,
    /// The name of this host, for the Message-ID.
    pub hostname: &'a str,
    /// The time of the reply.
    pub now: Timestamp,
    /// Random bits that make the Message-ID unique.
    pub chance: Uuid,
}

impl AutoReply<'_> {
    /// Returns the whole message: 7-bit, with CRLF line ends.
    pub fn build(&self) -> Vec<u8> {
        let name = Some(self.display_name).filter(|name| !name.is_empty());
        let mut builder = MessageBuilder::new()
            .from(Mailbox::new_address(name, self.from.as_str()))
            .to(Mailbox::new_address(None::<&str>, self.to.to_string()))
            .subject(self.subject)
            .date(Date::new(self.now.as_second()))
            .message_id(message_id(self.now, self.chance, self.hostname))
            .header("Auto-Submitted", Raw::new("auto-replied"));
        let parents: Vec<&str> = identifiers(self.in_reply_to.unwrap_or_default());
        if let Some(parent) = parents.first() {
            let references = references(self.references.unwrap_or_default(), parent);
            builder = builder.in_reply_to(*parent).header("References", MessageId::new_list(references.into_iter()));
        }
        let text = crlf(self.text);
        let part = MimePart::new("text/plain", BodyPart::Text(text.into()));
        let mut message = Vec::new();
        builder.body(part).serialize(&mut message);
        message
    }
}

/// Returns the identifiers of a Message-ID, In-Reply-To or References field, without brackets (RFC 5322 §3.6.4). Text
/// without any brackets is taken as one identifier. Malformed identifiers are dropped.
fn identifiers(field: &str) -> Vec<&str> {
    let is_identifier = |id: &&str| {
        (1..=PARENT_ID_OCTETS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
    };
    if !field.contains('<') {
        return Some(field.trim()).filter(is_identifier).into_iter().collect();
    }
    field
        .split('<')
        .skip(1)
        .filter_map(|part| part.split_once('>'))
        .map(|(id, _)| id.trim())
        .filter(is_identifier)
        .collect()
}

/// Returns the References of the answered message, then that message's own identifier (RFC 5322 §3.6.4); at most
/// [`REFERENCES_MAX`] in all.
fn references<'a>(earlier: &'a str, answered: &'a str) -> Vec<&'a str> {
    let mut list = identifiers(earlier);
    list.retain(|id| *id != answered);
    list.push(answered);
    if list.len() > REFERENCES_MAX {
        list.drain(1..=list.len() - REFERENCES_MAX);
    }
    list
}

/// Converts every line end to CRLF.
pub(crate) fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderSection;
    use mail_parser::{MessageParser, MimeHeaders};

    fn reply(subject: &str, text: &str, in_reply_to: Option<&str>, references: Option<&str>) -> Vec<u8> {
        AutoReply {
            from: &Address::parse("zoe.tremblay@example.edu").unwrap(),
            display_name: "Zoé Tremblay",
            to: &Path::parse("\"a b\"@example.org").unwrap(),
            subject,
            text,
            in_reply_to,
            references,
            hostname: "mx.example.edu",
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            chance: Uuid::nil(),
        }
        .build()
    }

    /// RFC 3834 §3.1, RFC 5230 §5.
    #[test]
    fn carries_the_fields_of_an_automatic_reply() {
        let message = reply("Absente jusqu'à vendredi", "Bonjour,\nje reviens l'été.\n", Some("<1@x>"), Some("<0@x>"));
        let headers = HeaderSection::of(&message);
        assert_eq!(headers.get("Auto-Submitted").as_deref(), Some("auto-replied"));
        assert_eq!(headers.decoded("Subject").as_deref(), Some("Absente jusqu'à vendredi"));
        assert_eq!(headers.decoded("From").as_deref(), Some("Zoé Tremblay <zoe.tremblay@example.edu>"));
        assert_eq!(headers.get("To").as_deref(), Some("<\"a b\"@example.org>"));
        assert_eq!(headers.get("In-Reply-To").as_deref(), Some("<1@x>"));
        assert_eq!(headers.get("References").as_deref(), Some("<0@x> <1@x>"));
        assert_eq!(headers.get("Date").as_deref(), Some("Tue, 14 Nov 2023 22:13:20 +0000"));
        assert_eq!(headers.get("Message-ID"), Some(format!("<6553f100.{}@mx.example.edu>", "0".repeat(32))));
        let parsed = MessageParser::default().parse(&message).unwrap();
        assert_eq!(parsed.body_text(0).unwrap(), "Bonjour,\r\nje reviens l'été.\r\n");
        let part = parsed.text_part(0).unwrap();
        assert_eq!(part.content_type().unwrap().attribute("charset"), Some("utf-8"));
        assert!(message.is_ascii());
    }

    #[test]
    fn no_field_can_be_injected() {
        let message = reply("a\r\nBcc: b@c", "x\r.\r\n", Some("<1@x>\r\nBcc: b@c"), Some("<a\r\nBcc: b>"));
        assert_eq!(HeaderSection::of(&message).get("Bcc"), None, "{}", String::from_utf8_lossy(&message));
        assert_eq!(HeaderSection::of(&message).get("References").as_deref(), Some("<1@x>"));
    }

    #[test]
    fn a_reply_to_a_message_without_message_id_has_no_references() {
        let message = reply("s", "t", None, Some("<0@x>"));
        assert_eq!(HeaderSection::of(&message).get("In-Reply-To"), None);
        assert_eq!(HeaderSection::of(&message).get("References"), None);
    }

    #[test]
    fn references_are_bounded() {
        let earlier: String = (0..100).map(|n| format!("<{n}@x> ")).collect();
        let list = references(&earlier, "last@x");
        assert_eq!(
            (list.len(), list.first(), list.get(1), list.last()),
            (20, Some(&"0@x"), Some(&"82@x"), Some(&"last@x"))
        );
    }
}

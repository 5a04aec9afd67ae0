//! Delivery status notifications to a sender (RFC 3461 §6, RFC 3462, RFC 3464).

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use uuid::Uuid;

use crate::reply::crlf;
use crate::{Envelope, HeaderSection, Path, Recipient, ReturnContent, message_id, rfc5322_date, seven_bit};

/// Octets of the original header section that a report returns; the rest is cut off.
const RETURNED_HEADER_OCTETS_MAX: usize = 32 * 1024;
/// Octets of a message that a report returns whole (RET=FULL). The bound keeps a sender who forged the reverse-path
/// from filling the victim's mailbox.
const RETURNED_MESSAGE_OCTETS_MAX: usize = 1024 * 1024;
/// Characters of one diagnostic that a report shows, so that a peer's long reply does not fill the report.
const DIAGNOSTIC_CHARS_MAX: usize = 400;

/// One recipient, and the outcome for that recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedRecipient {
    /// The recipient, with the parameters of RFC 3461.
    pub recipient: Recipient,
    /// The outcome.
    pub action: ReportAction,
}

/// The actions of RFC 3464 §2.3.3 that this server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportAction {
    /// Delivery failed for good.
    Failed {
        /// The reply of the peer, as in `550 5.1.1 No such user`, or a sentence of our own.
        diagnostic: String,
        /// Whether every attempt was deferred until the lifetime of the message ended (RFC 3463 §3.5, X.4.7).
        expired: bool,
    },
    /// The message is in the mailbox.
    Delivered,
    /// A server that sends no reports has taken the message (RFC 3461 §5.2.2).
    Relayed,
}

impl ReportAction {
    /// Whether the sender asked for a report of this outcome (RFC 3461 §4.1).
    fn is_wanted(&self, recipient: &Recipient) -> bool {
        match self {
            Self::Failed { .. } => recipient.wants_failure(),
            Self::Delivered | Self::Relayed => recipient.wants_success(),
        }
    }
}

/// A report. The report has the null reverse-path, and a message with the null reverse-path gets none (RFC 5321 §6.1).
#[derive(Clone, Copy, Debug)]
pub struct DeliveryReport<'a> {
    /// The envelope of the message; the report goes to its reverse-path.
    pub envelope: &'a Envelope,
    /// The recipients to report on; those whose report was not asked for are left out.
    pub recipients: &'a [ReportedRecipient],
    /// The message, or its header section alone.
    pub original: &'a [u8],
    /// When the message arrived.
    pub arrived: Timestamp,
    /// The name of this host.
    pub hostname: &'a str,
    /// The time of the report.
    pub now: Timestamp,
    /// Random bits that make the Message-ID unique; the same bits give the same report.
    pub chance: Uuid,
}

impl DeliveryReport<'_> {
    /// Returns the envelope and the whole message, with CRLF line ends. `None` when no report is due: the reverse-path
    /// is null, or none of these outcomes is one that the sender wants reported.
    pub fn build(&self) -> Option<(Envelope, Vec<u8>)> {
        let to = self.envelope.reverse_path.as_ref()?;
        let wanted = |one: &&ReportedRecipient| one.action.is_wanted(&one.recipient);
        let recipients: Vec<&ReportedRecipient> = self.recipients.iter().filter(wanted).collect();
        if recipients.is_empty() {
            return None;
        }
        let message = self.message(to, &recipients);
        let eight_bit = !message.is_ascii();
        Some((Envelope { eight_bit, ..Envelope::new(None, [to.clone()]) }, message))
    }

    fn message(&self, to: &Path, recipients: &[&ReportedRecipient]) -> Vec<u8> {
        let failed = recipients.iter().any(|one| matches!(one.action, ReportAction::Failed { .. }));
        let subject =
            if failed { "Undelivered mail / Message non distribué" } else { "Mail delivered / Message remis" };
        let boundary = format!("=_{}", self.chance.simple());
        let report = ContentType::new("multipart/report")
            .attribute("report-type", "delivery-status")
            .attribute("boundary", boundary);
        let parts = vec![
            MimePart::new("text/plain", BodyPart::Text(self.text(recipients).into())),
            raw_part("message/delivery-status", "7bit", self.status(recipients).into_bytes()),
            self.returned(failed),
        ];
        let mut message = Vec::new();
        MessageBuilder::new()
            .from(Mailbox::new_address(Some("Mail Delivery System"), format!("MAILER-DAEMON@{}", self.hostname)))
            .to(Mailbox::new_address(None::<&str>, to.to_string()))
            .subject(subject)
            .date(Date::new(self.now.as_second()))
            .message_id(message_id(self.now, self.chance, self.hostname))
            .header("Auto-Submitted", Raw::new("auto-replied"))
            .body(MimePart::new(report, BodyPart::Multipart(parts)))
            .serialize(&mut message);
        message
    }

    /// Returns the first part, for people.
    fn text(&self, recipients: &[&ReportedRecipient]) -> String {
        let mut text = format!(
            "This is the mail system at {0}.\n\nCe message provient du système de courrier de {0}.\n\n",
            self.hostname
        );
        for one in recipients {
            let path = &one.recipient.path;
            let _ = match &one.action {
                ReportAction::Failed { diagnostic, .. } => writeln!(
                    text,
                    "Your message could not be delivered to / Votre message n'a pu être remis à :\n<{path}>: {}\n",
                    one_line(diagnostic)
                ),
                ReportAction::Delivered => {
                    writeln!(text, "Your message was delivered to / Votre message a été remis à :\n<{path}>\n")
                }
                ReportAction::Relayed => writeln!(
                    text,
                    "Your message was passed on to a system that sends no such reports, for / Votre message a été confié \
                     à un système qui n'envoie pas de tels avis, pour :\n<{path}>\n"
                ),
            };
        }
        crlf(&text)
    }

    /// Returns the second part, for programs (RFC 3464 §2.2, §2.3).
    fn status(&self, recipients: &[&ReportedRecipient]) -> String {
        let mut status = String::new();
        if let Some(id) = &self.envelope.envelope_id {
            let _ = write!(status, "Original-Envelope-Id: {}\r\n", id.as_str());
        }
        let arrived = rfc5322_date(self.arrived);
        let _ = write!(status, "Reporting-MTA: dns; {}\r\nArrival-Date: {arrived}\r\n", self.hostname);
        for one in recipients {
            status.push_str("\r\n");
            if let Some(original) = &one.recipient.original {
                let _ = write!(status, "Original-Recipient: {}\r\n", original.field_value());
            }
            let _ = write!(status, "Final-Recipient: rfc822; {}\r\n", one.recipient.path);
            status.push_str(&action_fields(&one.action));
        }
        status
    }

    /// Returns the third part: the whole message when a failure is reported, RET asks for it (RFC 3461 §4.3) and it has
    /// at most [`RETURNED_MESSAGE_OCTETS_MAX`] octets; else its header section.
    fn returned(&self, failed: bool) -> MimePart<'static> {
        let wanted = failed && self.envelope.ret == Some(ReturnContent::Full);
        let whole = wanted && self.original.len() <= RETURNED_MESSAGE_OCTETS_MAX;
        // If the original cannot be converted to 7 bits, a report that contains it cannot be sent to a server without
        // 8BITMIME.
        if whole && (self.original.is_ascii() || seven_bit(self.original).is_ok()) {
            // RFC 2046 §5.2.1: a message/rfc822 part is not encoded.
            let encoding = if self.original.is_ascii() { "7bit" } else { "8bit" };
            return raw_part("message/rfc822", encoding, self.original.to_vec());
        }
        let end = HeaderSection::of(self.original).body_offset().min(RETURNED_HEADER_OCTETS_MAX);
        let header = String::from_utf8_lossy(self.original.get(..end).unwrap_or_default());
        MimePart::new("text/rfc822-headers", BodyPart::Text((crlf(header.trim_end()) + "\r\n").into()))
    }
}

/// Returns Action, Status and Diagnostic-Code (RFC 3464 §2.3.3, §2.3.4, §2.3.6).
fn action_fields(action: &ReportAction) -> String {
    let (diagnostic, expired) = match action {
        ReportAction::Delivered => return "Action: delivered\r\nStatus: 2.0.0\r\n".into(),
        ReportAction::Relayed => return "Action: relayed\r\nStatus: 2.0.0\r\n".into(),
        ReportAction::Failed { diagnostic, expired } => (one_line(diagnostic), *expired),
    };
    let code = if expired { "4.4.7" } else { enhanced_status(&diagnostic).unwrap_or("5.0.0") };
    // `smtp` marks the reply of an SMTP server.
    let kind = if diagnostic.starts_with(|c: char| c.is_ascii_digit()) { "smtp" } else { "x-provost" };
    format!("Action: failed\r\nStatus: {code}\r\nDiagnostic-Code: {kind}; {diagnostic}\r\n")
}

fn raw_part(content_type: &'static str, encoding: &'static str, contents: Vec<u8>) -> MimePart<'static> {
    MimePart {
        headers: vec![
            ("Content-Type".into(), HeaderType::ContentType(ContentType::new(content_type))),
            // RFC 3464 §2.1, RFC 2046 §5.2.1: these parts must not be encoded.
            ("Content-Transfer-Encoding".into(), HeaderType::Raw(Raw::new(encoding))),
        ],
        contents: BodyPart::Binary(contents.into()),
    }
}

/// Turns a peer's reply into one line of printable ASCII, so that it cannot add a field.
fn one_line(diagnostic: &str) -> String {
    let line: String = diagnostic
        .chars()
        .take(DIAGNOSTIC_CHARS_MAX)
        .map(|c| match c {
            c if c.is_control() => ' ',
            c if c.is_ascii() => c,
            _ => '?',
        })
        .collect();
    line.trim().to_owned()
}

/// Returns the enhanced status code of a reply (RFC 3463): the second word of `550 5.1.1 ...`. `None` when that is not
/// a code of class 4 or 5.
fn enhanced_status(diagnostic: &str) -> Option<&str> {
    let word = diagnostic.split([' ', '-']).nth(1)?;
    let mut numbers = word.split('.');
    let is_code = numbers.next().is_some_and(|class| matches!(class, "4" | "5"))
        && numbers.clone().count() == 2
        && numbers.all(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()));
    is_code.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvelopeId, Notify, OriginalRecipient};
    use mail_parser::{MessageParser, MimeHeaders};

    fn recipient(path: &str) -> Recipient {
        Path::parse(path).unwrap().into()
    }

    fn failed(path: &str, diagnostic: &str, expired: bool) -> ReportedRecipient {
        let action = ReportAction::Failed { diagnostic: diagnostic.into(), expired };
        ReportedRecipient { recipient: recipient(path), action }
    }

    fn sender() -> Envelope {
        Envelope::new(Path::parse("sender@example.org").ok(), [])
    }

    fn report(envelope: &Envelope, recipients: &[ReportedRecipient], original: &[u8]) -> Option<(Envelope, String)> {
        let report = DeliveryReport {
            envelope,
            recipients,
            original,
            arrived: Timestamp::from_second(1_700_000_000).unwrap(),
            hostname: "mx.example.edu",
            now: Timestamp::from_second(1_700_000_100).unwrap(),
            chance: Uuid::nil(),
        };
        report.build().map(|(envelope, message)| (envelope, String::from_utf8(message).unwrap()))
    }

    fn text(recipients: &[ReportedRecipient], original: &[u8]) -> String {
        report(&sender(), recipients, original).unwrap().1
    }

    /// RFC 3462 §1, RFC 3464 §2.
    #[test]
    fn has_three_parts() {
        let two = [failed("a@b.example", "550 5.1.1 No such user", false), failed("c@d.example", "timed out", true)];
        let message = text(&two, b"From: s@example.org\r\nSubject: hi\r\n\r\nbody\r\n");
        let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
        let report = parsed.content_type().unwrap();
        assert_eq!(report.attribute("report-type"), Some("delivery-status"));
        assert!(
            message.contains(
                "Reporting-MTA: dns; mx.example.edu\r\nArrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n\
             Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n\r\n\
             Final-Recipient: rfc822; c@d.example\r\nAction: failed\r\nStatus: 4.4.7\r\n\
             Diagnostic-Code: x-provost; timed out\r\n"
            ),
            "{message}"
        );
        assert!(message.contains("Content-Type: message/delivery-status\r\n"));
        assert!(message.contains("Subject: hi\r\n") && !message.contains("body"), "{message}");
        assert!(parsed.body_text(0).unwrap().contains("<a@b.example>: 550 5.1.1 No such user"));
        assert!(message.contains("Auto-Submitted: auto-replied\r\n") && message.is_ascii());
    }

    /// RFC 3461 §4.1: without NOTIFY, only a failure is reported. RFC 5321 §6.1: the null reverse-path gets no report.
    #[test]
    fn reports_only_what_notify_asks_for() {
        let actions = [
            ReportAction::Failed { diagnostic: "550 x".into(), expired: false },
            ReportAction::Delivered,
            ReportAction::Relayed,
        ];
        for (notify, expect) in [
            (None, [true, false, false]),
            (Some("NEVER"), [false, false, false]),
            (Some("FAILURE"), [true, false, false]),
            (Some("SUCCESS"), [false, true, true]),
            (Some("SUCCESS,FAILURE"), [true, true, true]),
            (Some("DELAY"), [false, false, false]),
        ] {
            let notify = notify.map(|value| Notify::parse(value).unwrap());
            for (action, expect) in actions.clone().into_iter().zip(expect) {
                let one = [ReportedRecipient { recipient: Recipient { notify, ..recipient("a@b.example") }, action }];
                assert_eq!(report(&sender(), &one, b"").is_some(), expect, "{one:?}");
                assert_eq!(report(&Envelope::new(None, []), &one, b""), None, "a report to the null reverse-path");
            }
        }
    }

    /// RFC 3464 §2.2.1, §2.3.1: the report returns ENVID and ORCPT, decoded from xtext.
    #[test]
    fn returns_envid_and_orcpt() {
        let envelope = Envelope { envelope_id: EnvelopeId::parse("Q+2B1").ok(), ..sender() };
        let original = OriginalRecipient::parse("rfc822;Bob@b.example").ok();
        let notify = Notify::parse("SUCCESS").ok();
        let recipient = Recipient { original, notify, ..recipient("bob@host.b.example") };
        let one = [ReportedRecipient { recipient, action: ReportAction::Delivered }];
        let (to, message) = report(&envelope, &one, b"Subject: hi\r\n\r\nbody\r\n").unwrap();
        assert_eq!((to.reverse_path, to.recipients[0].path.to_string()), (None, "sender@example.org".into()));
        assert!(message.contains("Original-Envelope-Id: Q+1\r\nReporting-MTA"), "{message}");
        assert!(
            message.contains(
                "\r\n\r\nOriginal-Recipient: rfc822; Bob@b.example\r\nFinal-Recipient: rfc822; bob@host.b.example\r\n\
                 Action: delivered\r\nStatus: 2.0.0\r\n"
            ),
            "{message}"
        );
    }

    /// RFC 3461 §4.3: RET applies to failures. Of a message over the bound, or one that cannot be converted to 7 bits,
    /// only the header section is returned.
    #[test]
    fn returns_what_ret_asks_for() {
        let original = "Subject: hi\r\n\r\nbody caf\u{e9}\r\n".as_bytes();
        let signed =
            "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nbody caf\u{e9}\r\n--s--\r\n".as_bytes();
        let large = [original, &vec![b'x'; RETURNED_MESSAGE_OCTETS_MAX]].concat();
        let success = Recipient { notify: Notify::parse("SUCCESS").ok(), ..recipient("a@b.example") };
        let success = ReportedRecipient { recipient: success, action: ReportAction::Delivered };
        let failure = failed("a@b.example", "550 x", false);
        for (ret, one, original, whole) in [
            (None, &failure, original, false),
            (Some(ReturnContent::Headers), &failure, original, false),
            (Some(ReturnContent::Full), &failure, original, true),
            (Some(ReturnContent::Full), &failure, &large, false),
            (Some(ReturnContent::Full), &failure, signed, false),
            (Some(ReturnContent::Full), &success, original, false),
        ] {
            let (to, message) = report(&Envelope { ret, ..sender() }, std::slice::from_ref(one), original).unwrap();
            assert_eq!(message.contains("body"), whole, "{ret:?}");
            assert_eq!((message.contains("Content-Type: message/rfc822\r\n"), to.eight_bit), (whole, whole));
        }
    }

    #[test]
    fn a_diagnostic_cannot_inject() {
        let message = text(&[failed("a@b.example", "550 5.1.1 x\r\nAction: delivered\u{e9}", false)], b"");
        assert!(message.contains("Diagnostic-Code: smtp; 550 5.1.1 x  Action: delivered?\r\n"), "{message}");
    }

    #[test]
    fn finds_enhanced_codes() {
        for (diagnostic, expect) in [
            ("550 5.1.1 No", Some("5.1.1")),
            ("550-5.1.1 No", Some("5.1.1")),
            ("450 4.2.0", Some("4.2.0")),
            ("550 No such user", None),
            ("550 5.1 x", None),
            ("550 2.1.1 x", None),
            ("550 5.1.1.1 x", None),
            ("550 5.x.1", None),
            ("", None),
        ] {
            assert_eq!(enhanced_status(diagnostic), expect, "{diagnostic}");
        }
    }

    #[test]
    fn returns_a_bounded_header() {
        let original = [b"A: ".to_vec(), vec![b'x'; 100_000]].concat();
        assert!(text(&[failed("a@b.example", "550 x", false)], &original).len() < 50_000);
    }
}

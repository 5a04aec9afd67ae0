//! Delivery status notifications (RFC 3462, RFC 3464): the bounce.

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
use crate::{Headers, Path, message_id, rfc5322_date};

/// Octets of the original header section that a bounce gives back.
const RETURNED_HEADER_OCTETS_MAX: usize = 32 * 1024;
/// Characters of one diagnostic that a bounce shows.
const DIAGNOSTIC_CHARS_MAX: usize = 400;

/// A recipient that did not get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecipient {
    /// Whom.
    pub path: Path,
    /// What was said: `550 5.1.1 No such user`, or a sentence of ours.
    pub diagnostic: String,
    /// It was only ever deferred, and its time is over (RFC 3463 4.4.7).
    pub expired: bool,
}

/// A bounce. To be sent with the null reverse-path (RFC 5321 §6.1), never for a message that had it itself.
#[derive(Clone, Copy, Debug)]
pub struct Bounce<'a> {
    /// The reverse-path of the message.
    pub to: &'a Path,
    /// Who failed; at least one.
    pub failed: &'a [FailedRecipient],
    /// The message, or its header section.
    pub original: &'a [u8],
    /// When it came.
    pub arrived: Timestamp,
    /// Our name.
    pub hostname: &'a str,
    /// The time of the bounce.
    pub now: Timestamp,
    /// Makes the Message-ID unique.
    pub chance: Uuid,
}

impl Bounce<'_> {
    /// The whole message, 7-bit, CRLF line ends.
    pub fn build(&self) -> Vec<u8> {
        let boundary = format!("=_{}", self.chance.simple());
        let report = ContentType::new("multipart/report")
            .attribute("report-type", "delivery-status")
            .attribute("boundary", boundary);
        let parts = vec![
            MimePart::new("text/plain", BodyPart::Text(self.text().into())),
            raw_part("message/delivery-status", self.status()),
            MimePart::new("text/rfc822-headers", BodyPart::Text(self.returned_headers().into())),
        ];
        let mut message = Vec::new();
        MessageBuilder::new()
            .from(Mailbox::new_address(Some("Mail Delivery System"), format!("MAILER-DAEMON@{}", self.hostname)))
            .to(Mailbox::new_address(None::<&str>, self.to.to_string()))
            .subject("Undelivered mail / Message non distribué")
            .date(Date::new(self.now.as_second()))
            .message_id(message_id(self.now, self.chance, self.hostname))
            .header("Auto-Submitted", Raw::new("auto-replied"))
            .body(MimePart::new(report, BodyPart::Multipart(parts)))
            .serialize(&mut message);
        message
    }

    /// The first part: for people.
    fn text(&self) -> String {
        let mut text = format!(
            "This is the mail system at {0}.\n\nYour message could not be delivered to:\n\n\
             Ici le système de courrier de {0}.\n\nVotre message n'a pu être remis à :\n\n",
            self.hostname
        );
        for failed in self.failed {
            let _ = writeln!(text, "<{}>: {}\n", failed.path, one_line(&failed.diagnostic));
        }
        crlf(&text)
    }

    /// The second part: for programs (RFC 3464 §2.2, §2.3).
    fn status(&self) -> String {
        let mut status =
            format!("Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n", self.hostname, rfc5322_date(self.arrived));
        for failed in self.failed {
            let diagnostic = one_line(&failed.diagnostic);
            let code = if failed.expired { "4.4.7" } else { enhanced_status(&diagnostic).unwrap_or("5.0.0") };
            let _ =
                write!(status, "\r\nFinal-Recipient: rfc822; {}\r\nAction: failed\r\nStatus: {code}\r\n", failed.path);
            // RFC 3464 §2.3.6: `smtp` is for what an SMTP server said.
            let kind = if diagnostic.starts_with(|c: char| c.is_ascii_digit()) { "smtp" } else { "x-provost" };
            let _ = write!(status, "Diagnostic-Code: {kind}; {diagnostic}\r\n");
        }
        status
    }

    /// The third part: the header section that came.
    fn returned_headers(&self) -> String {
        let end = Headers::of(self.original).body_offset().min(RETURNED_HEADER_OCTETS_MAX);
        let header = String::from_utf8_lossy(self.original.get(..end).unwrap_or_default());
        crlf(header.trim_end()) + "\r\n"
    }
}

fn raw_part(content_type: &'static str, contents: String) -> MimePart<'static> {
    MimePart {
        headers: vec![
            ("Content-Type".into(), HeaderType::ContentType(ContentType::new(content_type))),
            // RFC 3464 §2: not encoded; all that is in it is ASCII.
            ("Content-Transfer-Encoding".into(), HeaderType::Raw(Raw::new("7bit"))),
        ],
        contents: BodyPart::Text(contents.into()),
    }
}

/// What a peer said, as one line of printable ASCII that cannot become a field of its own.
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

/// The enhanced status code of a reply (RFC 3463): the second word of `550 5.1.1 ...`.
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
    use mail_parser::{MessageParser, MimeHeaders};

    fn failed(path: &str, diagnostic: &str, expired: bool) -> FailedRecipient {
        FailedRecipient { path: Path::parse(path).unwrap(), diagnostic: diagnostic.into(), expired }
    }

    fn bounce(failed: &[FailedRecipient], original: &[u8]) -> String {
        let bounce = Bounce {
            to: &Path::parse("sender@example.org").unwrap(),
            failed,
            original,
            arrived: Timestamp::from_second(1_700_000_000).unwrap(),
            hostname: "mx.example.edu",
            now: Timestamp::from_second(1_700_000_100).unwrap(),
            chance: Uuid::nil(),
        };
        String::from_utf8(bounce.build()).unwrap()
    }

    /// RFC 3462 §1, RFC 3464 §2.
    #[test]
    fn has_three_parts() {
        let two = [failed("a@b.example", "550 5.1.1 No such user", false), failed("c@d.example", "timed out", true)];
        let message = bounce(&two, b"From: s@example.org\r\nSubject: hi\r\n\r\nbody\r\n");
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

    #[test]
    fn a_diagnostic_cannot_inject() {
        let message = bounce(&[failed("a@b.example", "550 5.1.1 x\r\nAction: delivered\u{e9}", false)], b"");
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
    fn gives_back_a_bounded_header() {
        let original = [b"A: ".to_vec(), vec![b'x'; 100_000]].concat();
        assert!(bounce(&[failed("a@b.example", "550 x", false)], &original).len() < 50_000);
    }
}

//! Completes a message before it is stored. The stored message begins with the findings of the stages, this server's
//! Received and the fields that a submission lacks. The message as received follows, without forged findings.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use provost_message::{
    Arrival, AuthenticationResult, HeaderField, HeaderSection, Service, StageMark, fields, is_message_id, message_id,
    other_lines, rfc5322_date,
};
use uuid::Uuid;

/// The start of the line that mailbox files put before a message (RFC 4155). Some programs send it, as it is or as
/// `>From `, before the header fields.
const MAILBOX_LINE: &[u8] = b"From ";

/// Completes a message that begins with `trace_octets` of Received. It is copied only when it changes.
pub(super) fn complete(
    arrival: &Arrival,
    message: Bytes,
    trace_octets: usize,
    hostname: &str,
    now: Timestamp,
) -> Bytes {
    let (trace, data) = message.split_at_checked(trace_octets).unwrap_or((&[], &message));
    let text_start = start_of_text(data);
    let head = data.get(..text_start.unwrap_or(data.len())).unwrap_or_default();
    let headers = HeaderSection::of(head);
    let marks: String = arrival.marks().map(ToString::to_string).collect();
    let findings = marks + &AuthenticationResult::field(hostname, arrival.authentication());
    let is_submission = arrival.connection.as_ref().is_some_and(|connection| connection.service == Service::Submission);
    let kept_id = fields(head).find(|field| field.is("Message-ID") && is_message_id(&field.unfolded()));
    let added = if is_submission { missing_fields(head, kept_id, hostname, now) } else { String::new() };
    // Sieve and clients trust findings under this server's name, so those that came with the message go (RFC 8601 §5).
    let is_forged = |field: &HeaderField<'_>| {
        field.is(StageMark::FIELD_NAME) || AuthenticationResult::is_named_after(field, hostname)
    };
    // `fields` reads the whole header section, beyond the bounds of `HeaderSection`, because clients read all of it.
    let is_other_id = |field: &HeaderField<'_>| {
        let is_kept = kept_id.is_some_and(|kept| headers.span(&kept) == headers.span(field));
        field.is("Message-ID") && !is_kept
    };
    let is_removed = |field: &HeaderField<'_>| is_forged(field) || is_submission && is_other_id(field);
    let needs_copy = !findings.is_empty() || !added.is_empty() || text_start.is_some();
    if !needs_copy && !fields(head).any(|field| is_removed(&field)) {
        return message;
    }
    let mut whole = BytesMut::with_capacity(message.len() + findings.len() + added.len() + 2);
    for part in [findings.as_bytes(), trace, added.as_bytes()] {
        whole.extend_from_slice(part);
    }
    let mut at = 0;
    for field in fields(head).filter(is_removed) {
        let range = headers.span(&field);
        whole.extend_from_slice(data.get(at..range.start).unwrap_or_default());
        at = range.end;
    }
    if let Some(start) = text_start {
        whole.extend_from_slice(data.get(at..start).unwrap_or_default());
        whole.extend_from_slice(b"\r\n");
        at = start;
    }
    whole.extend_from_slice(data.get(at..).unwrap_or_default());
    whole.freeze()
}

/// The Date and Message-ID that a submission lacks (RFC 6409 §8.2, §8.3). `kept_id` is its first valid Message-ID; all
/// others are removed.
fn missing_fields(head: &[u8], kept_id: Option<HeaderField<'_>>, hostname: &str, now: Timestamp) -> String {
    let mut added = String::new();
    if !fields(head).any(|field| field.is("Date")) {
        added.push_str(&format!("Date: {}\r\n", rfc5322_date(now)));
    }
    if kept_id.is_none() {
        added.push_str(&format!("Message-ID: <{}>\r\n", message_id(now, Uuid::new_v4(), hostname)));
    }
    added
}

/// Returns the offset of the first line that is not a field if no empty line stands before it: `complete` inserts one
/// there, since otherwise no client would show the text. `None` when no empty line is missing. A mailbox-file line at
/// the start belongs to the header section if a field or an empty line follows it.
fn start_of_text(data: &[u8]) -> Option<usize> {
    let is_mailbox_line = data.strip_prefix(b">").unwrap_or(data).starts_with(MAILBOX_LINE);
    let line_end = memchr::memchr(b'\n', data).map_or(data.len(), |end| end + 1);
    let skipped = if is_mailbox_line { line_end } else { 0 };
    let begin = data.get(skipped..).unwrap_or_default();
    if begin.starts_with(b"\r\n") {
        return None;
    }
    if !HeaderSection::of(begin).begins_with_field() {
        return Some(0);
    }
    other_lines(begin).next().map(|(at, _)| skipped + at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use provost_message::{Envelope, Findings, Path, PeerConnection, Verdict};

    use super::*;

    fn arrival(service: Service) -> Arrival {
        let connection = PeerConnection {
            service,
            remote: "192.0.2.1:1000".parse().unwrap(),
            local: "192.0.2.2:25".parse().unwrap(),
            tls: false,
            hello: None,
            person: None,
            findings: Findings::default(),
        };
        Arrival::through(Arc::new(connection), Uuid::nil().into(), Envelope::new(None, []))
    }

    fn completed(arrival: &Arrival, data: &str) -> String {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let message = Bytes::from(format!("Received: z\r\n{data}"));
        String::from_utf8(complete(arrival, message, 13, "mx.example.edu", now).to_vec()).unwrap()
    }

    /// RFC 6409 §8.2, §8.3.
    #[test]
    fn a_submission_is_completed() {
        for (data, lacking) in [
            ("Date: x\r\nMessage-ID: <y@z>\r\n\r\nhi\r\n", 0),
            ("Date: x\r\n\r\nhi\r\n", 1),
            ("message-id: <y@z>\r\n\r\nhi\r\n", 1),
            ("Subject: x\r\n\r\nDate: in body\r\n", 2),
            ("\r\nhi\r\n", 2),
            ("just text\r\n", 2),
            ("", 2),
        ] {
            let whole = completed(&arrival(Service::Submission), data);
            let headers = HeaderSection::of(whole.as_bytes());
            assert!(whole.starts_with("Received: z\r\n"), "{data}");
            assert_eq!(headers.all("Date").count(), 1, "{data}");
            assert_eq!(headers.all("Message-ID").count(), 1, "{data}");
            assert!(whole.ends_with(data), "{data}");
            assert_eq!(whole.len() == 13 + data.len(), lacking == 0, "{data}");
            assert!(!headers.iter().any(|field| field.is("just text")));
        }
    }

    /// RFC 6409 §8.3: every invalid Message-ID is removed, at any position; the first valid one stays.
    #[test]
    fn an_invalid_message_id_is_replaced() {
        for wrong in ["<>", "", "x", "<x>", "<a@>", "<a@b@c>", "<a@b> <c@d>", "\r\n <\r\n >"] {
            let data = format!("Date: x\r\nMessage-ID: {wrong}\r\nSubject: Message-ID: {wrong}\r\n\r\nhi\r\n");
            let whole = completed(&arrival(Service::Submission), &data);
            let headers = HeaderSection::of(whole.as_bytes());
            let ids: Vec<_> = headers.all("Message-ID").map(|field| field.value().into_owned()).collect();
            assert!(ids.len() == 1 && ids[0].ends_with("@mx.example.edu>"), "{wrong}: {ids:?}");
            assert!(whole.ends_with(&format!("Date: x\r\nSubject: Message-ID: {wrong}\r\n\r\nhi\r\n")), "{whole}");
        }
        let twice = "Message-ID: <>\r\nDate: x\r\nMessage-ID: <y@z>\r\nmessage-id:\r\n\r\nhi\r\n";
        let whole = completed(&arrival(Service::Submission), twice);
        assert_eq!(whole, "Received: z\r\nDate: x\r\nMessage-ID: <y@z>\r\n\r\nhi\r\n");
        // RFC 5322 §3.6: at most one.
        let valid = "Message-ID: <y@z>\r\nDate: x\r\nMessage-ID: <y@z>\r\nmessage-id: <a@b>\r\n\r\nhi\r\n";
        let whole = completed(&arrival(Service::Submission), valid);
        assert_eq!(whole, "Received: z\r\nMessage-ID: <y@z>\r\nDate: x\r\n\r\nhi\r\n");
        for service in [Service::Mx, Service::Lmtp] {
            assert_eq!(
                completed(&arrival(service), twice),
                format!("Received: z\r\n{twice}"),
                "a field of another site's message was changed"
            );
        }
    }

    /// RFC 5322 §3.5: the text of a message without a header section is not a field, even if a later line looks like
    /// one.
    #[test]
    fn text_without_header_gets_an_empty_line() {
        for service in [Service::Mx, Service::Lmtp] {
            for (data, expect) in [
                ("just text\r\n", "\r\njust text\r\n"),
                ("see: http://x\r\n", "see: http://x\r\n"),
                ("text\r\nA: b\r\n", "\r\ntext\r\nA: b\r\n"),
                (" folded\r\n", "\r\n folded\r\n"),
                ("", "\r\n"),
                ("\r\ntext\r\n", "\r\ntext\r\n"),
                (
                    "From x@y Mon Jan  1 00:00:00 2024\r\nA: b\r\n\r\n",
                    "From x@y Mon Jan  1 00:00:00 2024\r\nA: b\r\n\r\n",
                ),
                (">From x\r\nA: b\r\n\r\n", ">From x\r\nA: b\r\n\r\n"),
                (">From x\r\njust text\r\n", "\r\n>From x\r\njust text\r\n"),
                ("From here on\r\nall is text\r\n", "\r\nFrom here on\r\nall is text\r\n"),
                (">From x\r\n\r\ntext\r\n", ">From x\r\n\r\ntext\r\n"),
                (">From x", "\r\n>From x"),
                (">From x\r\n>From y\r\n", "\r\n>From x\r\n>From y\r\n"),
                ("http://host/\r\nA: b\r\n", "\r\nhttp://host/\r\nA: b\r\n"),
                ("10:30 meeting\r\n", "\r\n10:30 meeting\r\n"),
                ("A: b\r\nthis is text\r\nC: d\r\n", "A: b\r\n\r\nthis is text\r\nC: d\r\n"),
                ("A: b\r\n folded\r\ntext\r\n\r\nmore\r\n", "A: b\r\n folded\r\n\r\ntext\r\n\r\nmore\r\n"),
                (">From x\r\nA: b\r\ntext\r\n", ">From x\r\nA: b\r\n\r\ntext\r\n"),
                ("A: b\r\nC: d\r\n", "A: b\r\nC: d\r\n"),
            ] {
                assert_eq!(completed(&arrival(service), data), format!("Received: z\r\n{expect}"), "{data:?}");
            }
        }
    }

    /// RFC 8601 §5: results under this server's name are removed; those of others stay.
    #[test]
    fn authentication_results_stand_above_received() {
        let mut arrival = arrival(Service::Mx);
        arrival.findings.authentication.push(AuthenticationResult::of_login(&Path::parse("a@b.example").unwrap()));
        let other = "Authentication-Results: mx.example.org; dkim=pass header.d=x\r\n";
        let data = format!("Authentication-Results: MX.example.edu;\r\n\tspf=pass\r\n{other}A: b\r\n\r\nhi\r\n");
        let ours = "Authentication-Results: mx.example.edu;\r\n\tauth=pass smtp.mailfrom=a@b.example\r\n";
        assert_eq!(completed(&arrival, &data), format!("{ours}Received: z\r\n{other}A: b\r\n\r\nhi\r\n"));
    }

    /// This server's fields stand above its Received field, where no sender can put a forged one.
    #[test]
    fn marks_stand_above_received() {
        let mut arrival = arrival(Service::Mx);
        let Verdict::Tag(mark) = Verdict::tag("late", "2.0.0", "came late") else { panic!() };
        arrival.findings.marks.push(mark);
        let expect = "Provost-Verdict: tag late 2.0.0\r\n\tcame late\r\nReceived: z\r\nA: b\r\n\r\nhi\r\n";
        assert_eq!(completed(&arrival, "A: b\r\n\r\nhi\r\n"), expect);
        let forged = "provost-verdict: quarantine x 5.0.0\r\n\ty\r\n";
        let data = format!("{forged}A: b\r\n{forged}\r\n{forged}");
        let clean = expect.replace("hi\r\n", forged);
        assert_eq!(completed(&arrival, &data), clean, "forged fields must go, and the text must stay");
    }

    /// RFC 5322 §3.6: a second Date would be wrong, also where `HeaderSection` does not read the first.
    #[test]
    fn a_date_after_many_fields_is_the_only_one() {
        let data = format!("{}Date: x\r\nMessage-ID: <y@z>\r\n\r\n", "X: y\r\n".repeat(1_001));
        assert!(completed(&arrival(Service::Submission), &data) == format!("Received: z\r\n{data}"), "changed");
    }

    /// Fields and octets beyond the server's own bounds are still read by clients, so they are checked as well.
    #[test]
    fn a_forged_field_is_found_behind_any_number_of_others() {
        let arrival = arrival(Service::Mx);
        let forged = "Authentication-Results: mx.example.edu;\r\n\tdkim=pass header.d=bank.example\r\n";
        for before in ["X: y\r\n".repeat(1_001), format!("X:{}", " y\r\n".repeat(100_000))] {
            for forged in [forged, "Provost-Verdict: tag clean 2.0.0\r\n"] {
                let whole = completed(&arrival, &format!("{before}{forged}A: b\r\n\r\n{forged}"));
                let expect = format!("Received: z\r\n{before}A: b\r\n\r\n{forged}");
                assert!(whole == expect, "{forged} behind {} octets", before.len());
            }
        }
    }
}

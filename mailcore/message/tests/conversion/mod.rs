//! Conversion to 7 bit (RFC 6152 §3): this crate's parser and mail-parser read the same content before and after it.

use proptest::prelude::*;
use provost_message::{MimePart, PartContent, header_end, seven_bit};

use crate::outline::{ours, theirs, with_crlf};

/// Collects the decoded octets of each leaf, in order.
fn leaves(message: &[u8], part: &MimePart, found: &mut Vec<Vec<u8>>) {
    match &part.content {
        PartContent::Leaf => found.push(part.decoded_in(message).into_owned()),
        PartContent::Multipart(parts) => parts.iter().for_each(|part| leaves(message, part, found)),
        PartContent::Message(inner, _) => leaves(message, inner, found),
    }
}

fn leaves_of(message: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    leaves(message, &MimePart::of(message), &mut found);
    found
}

/// Checks one conversion; `name` identifies the message in a failure.
fn check(name: &str, message: &[u8], converted: &[u8]) {
    assert!(converted.is_ascii(), "{name}");
    assert!(leaves_of(message) == leaves_of(converted), "{name}: the octets of a leaf changed");
    assert_eq!(ours(message).differences(&ours(converted)), [], "{name}: this crate reads other content");
    assert_eq!(theirs(message).differences(&theirs(converted)), [], "{name}: mail-parser reads other content");
    let longest = |message: &[u8]| message.split(|octet| *octet == b'\n').map(<[u8]>::len).max();
    assert!(longest(converted) <= longest(message).max(Some(77)), "{name}: a line is too long and was not before");
}

/// Each 8-bit message of the corpus is refused, or both parsers read the same content before and after its conversion.
/// The test is about bodies, so it first replaces the 8-bit octets of the message's header: many messages of the corpus
/// have 8-bit addresses, and would be refused.
#[test]
fn the_corpus_keeps_its_content() {
    let corpus = crate::corpus();
    let mut files = Vec::new();
    crate::messages(&corpus, &mut files);
    let mut count = 0;
    for file in files {
        let mut message = with_crlf(&std::fs::read(&file).expect("a readable message"));
        let header = header_end(&message).unwrap_or(0);
        message.iter_mut().take(header).filter(|octet| !octet.is_ascii()).for_each(|octet| *octet = b'x');
        if message.is_ascii() {
            continue;
        }
        match seven_bit(&message) {
            Ok(converted) => {
                check(&file.to_string_lossy(), &message, &converted);
                count += 1;
            }
            Err(why) => eprintln!("{}: {why}", file.display()),
        }
    }
    assert!(count >= 8, "only {count} messages were converted");
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z =.]{0,20}", "[a-zé=]{0,30}", "[\u{430}-\u{44f} ]{0,60}", "[x-]{70,160}", Just("--é".to_owned())]
}

fn leaf() -> impl Strategy<Value = String> {
    let media = prop_oneof![
        Just("text/plain; charset=utf-8"),
        Just("text/html; charset=iso-8859-1"),
        Just("application/octet-stream"),
        Just("image/png")
    ];
    let label = prop_oneof![
        Just(""),
        Just("Content-Transfer-Encoding: 8bit\r\n"),
        Just("Content-Transfer-Encoding: binary\r\n")
    ];
    (media, label, proptest::collection::vec(line(), 1..6))
        .prop_map(|(media, label, lines)| format!("Content-Type: {media}\r\n{label}\r\n{}", lines.join("\r\n")))
}

fn entity() -> impl Strategy<Value = String> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 1..4);
        let multipart = (parts, "[a-z]{6,10}").prop_map(|(parts, boundary)| {
            let parts: String = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
            let media = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"");
            format!("{media}\r\nContent-Transfer-Encoding: 8bit\r\n\r\npréambule\r\n{parts}--{boundary}--\r\n")
        });
        let message = inner.prop_map(|inner| {
            format!("Content-Type: message/rfc822\r\n\r\nSubject: é\r\nMIME-Version: 1.0\r\n{inner}")
        });
        prop_oneof![multipart, message]
    })
}

/// A message that contains only a message. The test leaves it out because mail-parser can fail on it (see `oracle.rs`).
const MESSAGE_IN_MESSAGE: &str =
    "Content-Type: message/rfc822\r\n\r\nSubject: é\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_message_keeps_its_content(subject in "[a-zé ]{1,80}", entity in entity()) {
        prop_assume!(!entity.contains(MESSAGE_IN_MESSAGE));
        let message = format!("Subject: {subject}\r\nMIME-Version: 1.0\r\n{entity}").into_bytes();
        let converted = seven_bit(&message).expect("nothing in it forbids conversion");
        check("generated", &message, &converted);
    }
}

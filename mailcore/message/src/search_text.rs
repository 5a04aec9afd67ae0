//! Decoded text of a message for SEARCH (RFC 3501 §6.4.4): encoded words, transfer encodings and charsets undone.
//!
//! SEARCH matches substrings regardless of case, so all text here is lower-case UTF-8.

use unicode_normalization::UnicodeNormalization;

use crate::MimePart;
use crate::headers::{HeaderField, fields, other_lines};
use crate::{Parameterised, decode_words, mailboxes};

/// Octets of decoded text searched in one message; text beyond is not found.
pub(crate) const SEARCHED_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// Fields that hold addresses (RFC 5322 §3.6.2, §3.6.3).
const ADDRESS_FIELDS: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];
/// Fields with a file name, each with the parameter that holds it (RFC 2045 §5.1, RFC 2183 §2.3).
const FILE_NAMES: [(&str, &str); 2] = [("Content-Type", "name"), ("Content-Disposition", "filename")];

/// Returns text in the form in which texts are compared: composed (Unicode UAX #15, NFC) and in lower case. It is
/// composed because people type composed letters, while Macs write file names decomposed.
pub fn search_form(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.nfc().collect::<String>().to_lowercase() }
}

/// Returns every field of a header, decoded, in search form. The lines that are not fields follow: a message that lacks
/// the empty line before its text has such lines.
pub fn header_text(header: &[u8]) -> String {
    let mut text = String::new();
    for field in fields(header) {
        text.push_str(&field.name().to_ascii_lowercase());
        text.push_str(": ");
        text.push_str(&field_text(&field));
        text.push('\n');
    }
    for (_, line) in other_lines(header) {
        text.push_str(&search_form(&String::from_utf8_lossy(line)));
    }
    text
}

/// Returns a field's value, decoded, in search form. For an address field each parsed display name and address follows,
/// with the quoting of RFC 5322 §3.2.4 removed: users see and type `A "B" C`, not `"A \"B\" C"`. For Content-Type and
/// Content-Disposition the file name follows, put together and decoded (RFC 2231).
pub fn field_text(field: &HeaderField<'_>) -> String {
    let value = field.unfolded();
    let mut text = search_form(&decode_words(&value));
    if ADDRESS_FIELDS.iter().any(|name| field.is(name)) {
        for mailbox in mailboxes(&value) {
            let name = mailbox.name.as_deref().map(decode_words);
            for understood in name.into_iter().chain(mailbox.address()) {
                text.push('\n');
                text.push_str(&search_form(&understood));
            }
        }
    }
    for (_, parameter) in FILE_NAMES.iter().filter(|(name, _)| field.is(name)) {
        if let Some(name) = Parameterised::parse(&value).parameter(parameter) {
            text.push('\n');
            text.push_str(&search_form(&decode_words(&name)));
        }
    }
    text
}

/// Whether a part is of a type whose content is not searched.
pub(crate) fn is_opaque(part: &MimePart) -> bool {
    ["image", "audio", "video", "application", "font", "model"].into_iter().any(|kind| part.media.is(kind))
}

/// Returns, as a whole, the text that [`crate::BodySearch`] reads. For tests.
#[cfg(test)]
pub(crate) fn body_text(message: &[u8], root: &MimePart) -> String {
    use crate::{SearchedSection, searched};
    let mut text = String::new();
    for searched in searched(root) {
        match searched {
            SearchedSection::Header(part) => text.push_str(&header_text(part.header_in(message))),
            SearchedSection::Text(part) => {
                text.push_str(&search_form(&part.text_in(message)));
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(message: &str) -> String {
        body_text(message.as_bytes(), &MimePart::of(message.as_bytes()))
    }

    #[test]
    fn file_names_in_the_header_of_a_message_are_read() {
        for (field, name) in [
            ("Content-Type: application/pdf; name*0=\"very-long-\"; name*1=\"Name.pdf\"", "very-long-name.pdf"),
            ("Content-Disposition: attachment;\r\n filename*=utf-8''r%C3%A9sum%C3%A9z.pdf", "résuméz.pdf"),
            ("Content-Disposition: attachment; filename=\"=?utf-8?q?caf=C3=A9?=\"", "café"),
        ] {
            let text = header_text(format!("{field}\r\n\r\n").as_bytes());
            assert!(text.contains(name), "{field}: {text}");
        }
    }

    #[test]
    fn reads_bodies() {
        let text = body(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable (c)\r\n\r\n\
            =C9t=E9 soft= \r\nbreak =ZZ\r\n\
            --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+w4k8L2\r\nI+\r\n\
            --b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename*0*=utf-8''caf%C3%A9;\r\n filename*1=.png\r\n\r\nsecret\r\n\
            --b\r\nContent-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\nbgBlAGUAZABsAGUA\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\nAction: Failed\r\n\
            --b\r\nContent-Type: x-unknown/thing\r\n\r\nUnknown\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\n\r\nDEEP\r\n--b--\r\n",
        );
        for part in [
            "été softbreak =zz",
            "<b>é</b>",
            "café.png",
            "needle",
            "action: failed",
            "unknown\n",
            "subject: inner",
            "deep",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("secret"));
    }

    /// The name of a file that a Mac attached, searched as people type it.
    #[test]
    fn composed_text_finds_decomposed() {
        let decomposed = "Re\u{301}sume\u{301}";
        let text = body(&format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=\"{decomposed}.pdf\"\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\r\nIN {decomposed}\r\n--b--\r\n"
        ));
        assert!(text.contains("résumé.pdf") && text.contains("in résumé"), "{text}");
        assert_eq!(header_text(format!("Subject: {decomposed}\r\n\r\n").as_bytes()), "subject: résumé\n");
        assert_eq!((search_form(decomposed), search_form("RÉSUMÉ")), ("résumé".into(), "résumé".into()));
    }

    #[test]
    fn reads_fields() {
        let text =
            header_text("From: =?utf-8?q?=C3=89?= <user (c)@ (c) X.example>\r\nSubject: A\r\n b\r\n\r\nno".as_bytes());
        assert_eq!(text, "from: é <user (c)@ (c) x.example>\né\nuser@x.example\nsubject: a b\n");
    }

    #[test]
    fn reads_display_names() {
        for (value, wanted) in [
            (r#""A \"B\" C" <a@x>"#, r#"a "b" c"#),
            (r#""Doe\\Roe" <a@x>"#, r"doe\roe"),
            (r#""John" Q. "Public" <a@x>, b@x"#, "john q. public"),
            (r"a@x (Ann)", "ann"),
            (r#"b@x, "\"Zed\"" <z@x>"#, r#""zed""#),
        ] {
            let text = header_text(format!("To: {value}\r\n\r\n").as_bytes());
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}

//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).

use provost_message::{ImapEnvelope, MediaType, MimePart, PartContent};

use super::encode::{nstring, string};
use super::envelope::envelope;

/// Whether a structure is written with the extension data of RFC 3501 §7.4.2, such as the disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionData {
    /// For BODY.
    Omitted,
    /// For BODYSTRUCTURE.
    Included,
}

/// Writes the structure of a whole message (RFC 3501 §9, `body`).
pub(crate) fn structure(wire: &mut Vec<u8>, message: &MimePart, extension_data: ExtensionData) {
    StructureWriter { wire, extension_data }.part(message);
}

struct StructureWriter<'a> {
    wire: &'a mut Vec<u8>,
    extension_data: ExtensionData,
}

impl StructureWriter<'_> {
    fn part(&mut self, part: &MimePart) {
        self.wire.push(b'(');
        match &part.content {
            PartContent::Multipart(parts) => self.multipart(part, parts),
            PartContent::Message(inner, envelope) => self.message(part, inner, envelope),
            PartContent::Leaf => self.leaf(part),
        }
        self.wire.push(b')');
    }

    fn multipart(&mut self, part: &MimePart, parts: &[MimePart]) {
        for inner in parts {
            self.part(inner);
        }
        self.wire.push(b' ');
        string(self.wire, &part.media.subtype);
        if self.extension_data == ExtensionData::Included {
            self.wire.push(b' ');
            self.parameters(&part.media.parameters);
            self.extension(part);
        }
    }

    fn message(&mut self, part: &MimePart, inner: &MimePart, inner_envelope: &ImapEnvelope) {
        self.fields(part, &part.media);
        self.wire.push(b' ');
        envelope(self.wire, inner_envelope);
        self.wire.push(b' ');
        self.part(inner);
        self.lines(part);
        self.single_extension(part);
    }

    fn leaf(&mut self, part: &MimePart) {
        // The grammar has no multipart without parts and no message/rfc822 without envelope, so such a part is sent as
        // text/plain.
        let keeps_type = !part.media.is("multipart") && !part.media.is_exactly("message", "rfc822");
        let plain = MediaType::plain_text();
        let media = if keeps_type { &part.media } else { &plain };
        self.fields(part, media);
        if media.is("text") {
            self.lines(part);
        }
        self.single_extension(part);
    }

    /// Writes the media type and `body-fields`.
    fn fields(&mut self, part: &MimePart, media: &MediaType) {
        string(self.wire, &media.kind);
        self.wire.push(b' ');
        string(self.wire, &media.subtype);
        self.wire.push(b' ');
        self.parameters(&media.parameters);
        for text in [&part.attributes.id, &part.attributes.description] {
            self.wire.push(b' ');
            nstring(self.wire, text.as_deref());
        }
        self.wire.push(b' ');
        string(self.wire, if part.encoding.is_empty() { b"7bit" } else { &part.encoding });
        self.wire.extend_from_slice(format!(" {}", part.body.end - part.body.start).as_bytes());
    }

    fn lines(&mut self, part: &MimePart) {
        self.wire.extend_from_slice(format!(" {}", part.lines).as_bytes());
    }

    /// Writes `body-ext-1part`, unless extension data is omitted.
    fn single_extension(&mut self, part: &MimePart) {
        if self.extension_data == ExtensionData::Included {
            self.wire.push(b' ');
            nstring(self.wire, part.attributes.md5.as_deref());
            self.extension(part);
        }
    }

    /// Writes the end that `body-ext-1part` and `body-ext-mpart` share: disposition, language, location.
    fn extension(&mut self, part: &MimePart) {
        self.wire.push(b' ');
        match &part.attributes.disposition {
            Some(disposition) => {
                self.wire.push(b'(');
                string(self.wire, &disposition.value);
                self.wire.push(b' ');
                self.parameters(&disposition.parameters);
                self.wire.push(b')');
            }
            None => self.wire.extend_from_slice(b"NIL"),
        }
        self.wire.push(b' ');
        self.languages(&part.attributes.languages);
        self.wire.push(b' ');
        nstring(self.wire, part.attributes.location.as_deref());
    }

    fn languages(&mut self, tags: &[Vec<u8>]) {
        if tags.is_empty() {
            self.wire.extend_from_slice(b"NIL");
            return;
        }
        for (at, tag) in tags.iter().enumerate() {
            self.wire.push(if at == 0 { b'(' } else { b' ' });
            string(self.wire, tag);
        }
        self.wire.push(b')');
    }

    fn parameters(&mut self, parameters: &[(Vec<u8>, Vec<u8>)]) {
        if parameters.is_empty() {
            self.wire.extend_from_slice(b"NIL");
            return;
        }
        for (at, (name, value)) in parameters.iter().enumerate() {
            self.wire.push(if at == 0 { b'(' } else { b' ' });
            string(self.wire, name);
            self.wire.push(b' ');
            string(self.wire, value);
        }
        self.wire.push(b')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &str, extension_data: ExtensionData) -> String {
        let mut wire = Vec::new();
        structure(&mut wire, &MimePart::of(message.as_bytes()), extension_data);
        String::from_utf8_lossy(&wire).into_owned()
    }

    /// RFC 3501 §7.4.2.
    #[test]
    fn writes_structures() {
        let plain = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1"#;
        assert_eq!(written("A: b\r\n\r\nbody\r\n", ExtensionData::Omitted), format!("{plain})"));
        assert_eq!(written("A: b\r\n\r\nbody\r\n", ExtensionData::Included), format!("{plain} NIL NIL NIL NIL)"));
        let image = "Content-Type: image/png; name=\"a b.png\"\r\nContent-Transfer-Encoding: base64\r\n\
            Content-ID: <i>\r\nContent-Disposition: attachment; filename=x\r\nContent-Language: fr, en\r\n\r\nAAAA";
        assert_eq!(
            written(image, ExtensionData::Included),
            concat!(
                r#"("image" "png" ("name" "a b.png") "<i>" NIL "base64" 4 NIL "#,
                r#"("attachment" ("filename" "x")) ("fr" "en") NIL)"#
            )
        );
        let encoded = "Content-Type: text/plain (c); charset=utf-8 format=flowed\r\n\
            Content-Transfer-Encoding: Quoted-Printable (c)\r\n\
            Content-Disposition: attachment; filename*0=\"very-long-\"; filename*1=\"name.pdf\"\r\n\r\nx";
        assert_eq!(
            written(encoded, ExtensionData::Included),
            concat!(
                r#"("text" "plain" ("charset" "utf-8") NIL NIL "Quoted-Printable" 1 0 NIL "#,
                r#"("attachment" ("filename" "very-long-name.pdf")) NIL NIL)"#
            )
        );
        let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
            Subject: s\r\n\r\nx\r\n--b--";
        let text = |octets| format!(r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" {octets} 0)"#);
        assert_eq!(
            written(mixed, ExtensionData::Omitted),
            format!(
                r#"({}("message" "rfc822" NIL NIL NIL "7bit" 15 (NIL "s" NIL NIL NIL NIL NIL NIL NIL NIL) {} 2) "mixed")"#,
                text(3),
                text(1)
            )
        );
        let empty = "Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing";
        assert_eq!(written(empty, ExtensionData::Omitted), text(7));
        assert!(written(mixed, ExtensionData::Included).ends_with(r#" "mixed" ("boundary" "b") NIL NIL NIL)"#));
    }
}

//! The parser that finds the parts of a message.

use memchr::memchr;

use super::{ContentFields, MediaType, MimePart, PartContent};
use crate::ImapEnvelope;

/// Deepest nesting of multiparts and messages; deeper ones stay undivided. The parser recurses, so the bound limits its
/// stack.
pub const PART_DEPTH_MAX: usize = 64;
/// Maximum number of parts of one message; the parts beyond it are taken for an epilogue.
pub(super) const PARTS_MAX: usize = 10_000;
/// Longest boundary, octets. RFC 2046 §5.1.1 allows 70. Each line is compared with every open boundary, so the bound
/// limits the work.
const BOUNDARY_OCTETS_MAX: usize = 1_000;

/// Maximum number of items kept of all parts together: parameters, languages, and the addresses of envelopes. Each item
/// takes many times the memory of its source text.
const ITEMS_MAX: usize = 65_536;

impl MimePart {
    /// Parses a message in time linear in its octets, with bounded depth and number of parts.
    pub fn of(message: &[u8]) -> Self {
        PartSplitter { message, at: 0, boundaries: Vec::new(), parts: 0, items_left: ITEMS_MAX }
            .part(0, MediaType::plain_text)
            .0
    }
}

/// Why a run of lines ended.
#[derive(Clone, Copy)]
enum RunEnd {
    /// A boundary line of the multipart at `level`.
    Boundary {
        level: usize,
        closing: bool,
    },
    End,
}

struct PartSplitter<'a> {
    message: &'a [u8],
    at: usize,
    /// Boundaries of the open multiparts, outermost first.
    boundaries: Vec<Vec<u8>>,
    parts: usize,
    /// How many of [`ITEMS_MAX`] are left.
    items_left: usize,
}

impl<'a> PartSplitter<'a> {
    /// Parses the part that begins at `self.at`; `default` gives the media type of a part that does not state one.
    /// Returns the part and why it ended. When a boundary line ended the part, that line is consumed.
    fn part(&mut self, depth: usize, default: fn() -> MediaType) -> (MimePart, RunEnd) {
        self.parts += 1;
        let start = self.at;
        let (header_end, cut) = self.header();
        let header = self.message.get(start..header_end).unwrap_or_default();
        let ContentFields { media, encoding, attributes } = self.content_fields(header);
        let media = media.unwrap_or_else(default);
        let is_open = cut.is_none() && depth < PART_DEPTH_MAX && self.parts < PARTS_MAX;
        let (content, end, stop) = match cut {
            Some(stop) => (PartContent::Leaf, header_end, stop),
            None if is_open && media.is("multipart") => self.multipart(&media, depth),
            None if is_open && media.is_exactly("message", "rfc822") && is_identity(&encoding) => self.message(depth),
            None => {
                let (end, stop) = self.text();
                (PartContent::Leaf, end, stop)
            }
        };
        let end = end.max(header_end);
        let body = self.message.get(header_end..end).unwrap_or_default();
        let is_counted = media.is("text") || media.is("message") || media.is("multipart");
        let lines = if is_counted { memchr::memchr_iter(b'\n', body).count() as u64 } else { 0 };
        let (header, body) = (start as u64..header_end as u64, header_end as u64..end as u64);
        (MimePart { header, body, lines, media, encoding, attributes, content }, stop)
    }

    /// Returns the Content- fields of a part; none of them when they have more items than are left of [`ITEMS_MAX`].
    fn content_fields(&mut self, header: &[u8]) -> ContentFields {
        let read = ContentFields::of(header);
        match self.items_left.checked_sub(read.items()) {
            Some(left) => {
                self.items_left = left;
                read
            }
            None => ContentFields::default(),
        }
    }

    /// Skips the header. Returns where the header ends, and the boundary line if one ended it before an empty line.
    fn header(&mut self) -> (usize, Option<RunEnd>) {
        while let Some(line) = self.next_line() {
            let begin = self.at - line.len();
            if matches!(line, b"\r\n" | b"\n") {
                return (self.at, None);
            }
            if let Some(stop) = self.boundary(line) {
                return (begin, Some(stop));
            }
        }
        (self.at, None)
    }

    fn message(&mut self, depth: usize) -> (PartContent, usize, RunEnd) {
        let (inner, stop) = self.part(depth + 1, MediaType::plain_text);
        let envelope = ImapEnvelope::of(inner.header_in(self.message)).bounded(self.items_left);
        self.items_left -= envelope.items().min(self.items_left);
        let end = usize::try_from(inner.body.end).unwrap_or(self.message.len());
        (PartContent::Message(Box::new(inner), Box::new(envelope)), end, stop)
    }

    fn multipart(&mut self, media: &MediaType, depth: usize) -> (PartContent, usize, RunEnd) {
        let boundary = media.parameter("boundary").map(|text| text.trim_ascii_end().to_vec());
        let Some(boundary) = boundary.filter(|text| (1..=BOUNDARY_OCTETS_MAX).contains(&text.len())) else {
            let (end, stop) = self.text();
            return (PartContent::Leaf, end, stop);
        };
        // RFC 2046 §5.1.5: a part of a digest is a message unless it says otherwise.
        let is_digest = media.subtype.eq_ignore_ascii_case(b"digest");
        let default: fn() -> MediaType = if is_digest { MediaType::message } else { MediaType::plain_text };
        let level = self.boundaries.len();
        self.boundaries.push(boundary);
        let (mut end, mut stop) = self.text();
        let mut parts = Vec::new();
        while let RunEnd::Boundary { level: at, closing: false } = stop {
            if at != level || self.parts >= PARTS_MAX {
                break;
            }
            let (part, after) = self.part(depth + 1, default);
            end = usize::try_from(part.body.end).unwrap_or(self.message.len());
            parts.push(part);
            stop = after;
        }
        self.boundaries.truncate(level);
        if let RunEnd::Boundary { level: at, .. } = stop
            && at >= level
        {
            // The epilogue, or all remaining parts when there are too many.
            (end, stop) = self.text();
        }
        (if parts.is_empty() { PartContent::Leaf } else { PartContent::Multipart(parts) }, end, stop)
    }

    /// Skips lines up to a boundary. Returns where they end, without the line end before the boundary, and why.
    fn text(&mut self) -> (usize, RunEnd) {
        if self.boundaries.is_empty() {
            self.at = self.message.len();
        }
        while let Some(line) = self.next_line() {
            if let Some(stop) = self.boundary(line) {
                let begin = self.at - line.len();
                let before = self.message.get(..begin).unwrap_or_default();
                let text = before.strip_suffix(b"\r\n").or_else(|| before.strip_suffix(b"\n")).unwrap_or(before);
                return (text.len(), stop);
            }
        }
        (self.at, RunEnd::End)
    }

    /// RFC 2046 §5.1.1: a delimiter line begins with `--boundary`, whatever follows; another `--` makes it the closing
    /// one. One boundary can be a prefix of another: the longest match wins, and of equal ones the innermost.
    fn boundary(&self, line: &[u8]) -> Option<RunEnd> {
        let text = line.strip_prefix(b"--")?;
        let mut found: Option<(usize, &[u8])> = None;
        for (level, boundary) in self.boundaries.iter().enumerate().rev() {
            if let Some(after) = text.strip_prefix(boundary.as_slice())
                && found.is_none_or(|(_, shortest)| after.len() < shortest.len())
            {
                found = Some((level, after));
            }
        }
        found.map(|(level, after)| RunEnd::Boundary { level, closing: after.starts_with(b"--") })
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        let rest = self.message.get(self.at..).filter(|rest| !rest.is_empty())?;
        let octets = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        self.at += octets;
        rest.get(..octets)
    }
}

/// Whether the body is neither base64 nor quoted-printable. RFC 2046 §5.2.1 forbids these encodings for message/rfc822.
/// Such a message stays a leaf, because the parts in it have no offsets in the octets of the whole message.
fn is_identity(encoding: &[u8]) -> bool {
    !encoding.eq_ignore_ascii_case(b"base64") && !encoding.eq_ignore_ascii_case(b"quoted-printable")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outline(message: &[u8], part: &MimePart) -> String {
        match &part.content {
            PartContent::Leaf => format!("{:?}", String::from_utf8_lossy(part.body_in(message))),
            PartContent::Message(inner, _) => format!("m{}", outline(message, inner)),
            PartContent::Multipart(parts) => {
                format!("[{}]", parts.iter().map(|part| outline(message, part)).collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn mixed(body: &str) -> String {
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}")
    }

    /// RFC 2046 §5.1.
    #[test]
    fn splits_a_message_into_parts() {
        let digest = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nFrom: x\r\n\r\nhi\r\n--b--\r\n";
        let nested = mixed(
            "--b\r\nContent-Type: multipart/alternative; boundary=\"b b\"\r\n\r\n--b b\r\n\r\n1\r\n--b b\r\n\r\n2\r\n--b b--\r\n--b\r\n\r\n3\r\n--b--",
        );
        let unclosed =
            mixed("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--\r\n");
        for (message, expect) in [
            ("Subject: x\r\n\r\nbody\r\n".to_owned(), r#""body\r\n""#),
            ("".to_owned(), r#""""#),
            ("a: b".to_owned(), r#""""#),
            (
                mixed("pre\r\n--b\r\n\r\none\r\n--b  \r\nA: b\r\n\r\ntwo\r\n\r\n--b--\r\nepilogue"),
                r#"["one" "two\r\n"]"#,
            ),
            (mixed("--b\r\n\r\nno end"), r#"["no end"]"#),
            (mixed("--b\r\nA: b\r\n--b--\r\n"), r#"[""]"#),
            (mixed("--b\r\n\r\n--b--\r\n"), r#"[""]"#),
            (mixed("nothing here"), r#""nothing here""#),
            (mixed("--b--"), r#""--b--""#),
            ("Content-Type: multipart/mixed\r\n\r\n--b\r\n".to_owned(), r#""--b\r\n""#),
            (mixed("--b\nA: c\n\none\n--b--\n"), r#"["one"]"#),
            (digest.to_owned(), r#"[m"hi"]"#),
            (nested, r#"[["1" "2"] "3"]"#),
            (unclosed, r#"[["1"] "2"]"#),
            // §5.1.1: an exact match of the entire line is not required.
            (mixed("--b; x\r\n\r\none\r\n--b-- x\r\nepilogue"), r#"["one"]"#),
            (mixed("- -b\r\n--b\r\n\r\none\r\n --b\r\n--b--"), r#"["one\r\n --b"]"#),
            (
                "Content-Type: multipart/mixed; boundary=\"b\" charset=utf-8\r\n\r\n--b\r\n\r\n1\r\n--b--".to_owned(),
                r#"["1"]"#,
            ),
            (
                "Content-Type: multipart/mixed; boundary*0=\"b\"; boundary*1=c\r\n\r\n--bc\r\n\r\n1\r\n--bc--"
                    .to_owned(),
                r#"["1"]"#,
            ),
        ] {
            let message = message.as_bytes();
            assert_eq!(outline(message, &MimePart::of(message)), expect, "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn bounds_depth_and_number() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
        let mut part = &MimePart::of(deep.as_bytes());
        let mut depth = 0;
        while let PartContent::Message(inner, _) = &part.content {
            (part, depth) = (inner, depth + 1);
        }
        assert_eq!(depth, PART_DEPTH_MAX);
        let wide = mixed(&"--b\r\n\r\n".repeat(PARTS_MAX + 100));
        let PartContent::Multipart(parts) = MimePart::of(wide.as_bytes()).content else { panic!("no parts") };
        assert_eq!(parts.len(), PARTS_MAX - 1);
    }

    /// A message full of addresses and parameters gives a bounded structure.
    #[test]
    fn bounds_what_is_kept() {
        fn items(part: &MimePart) -> usize {
            let of_parts = match &part.content {
                PartContent::Leaf => 0,
                PartContent::Message(inner, envelope) => items(inner) + envelope.items(),
                PartContent::Multipart(parts) => parts.iter().map(items).sum(),
            };
            part.media.parameters.len() + of_parts
        }
        let inner = format!(
            "--b\r\nContent-Type: message/rfc822{}\r\n\r\nTo: {}\r\n\r\n",
            ";a=b".repeat(60),
            "a,".repeat(4_000)
        );
        let message = mixed(&inner.repeat(100));
        assert!(items(&MimePart::of(message.as_bytes())) <= ITEMS_MAX + PARTS_MAX);
    }

    fn check_ranges(message: &[u8], part: &MimePart) {
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= message.len() as u64);
        match &part.content {
            PartContent::Leaf => {}
            PartContent::Message(inner, _) => check_ranges(message, inner),
            PartContent::Multipart(parts) => parts.iter().for_each(|inner| check_ranges(message, inner)),
        }
    }

    proptest! {
        #[test]
        fn any_lines_give_ordered_ranges(lines in proptest::collection::vec(prop_oneof![
            Just("--b"), Just("--b--"), Just("--c"), Just("--bc"), Just(""), Just("text"), Just("--"),
            Just("Content-Type: multipart/mixed; boundary=b"), Just("Content-Type: multipart/digest; boundary=c"),
            Just("Content-Type: multipart/mixed; boundary=bc"), Just("Content-Type: message/rfc822"),
        ], 0..60), end in prop_oneof![Just("\r\n"), Just("\n")]) {
            let message = lines.join(end);
            check_ranges(message.as_bytes(), &MimePart::of(message.as_bytes()));
        }
    }
}

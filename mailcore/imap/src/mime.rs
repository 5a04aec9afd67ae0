//! The MIME structure of a message as offsets into its octets (RFC 2045, RFC 2046), for BODYSTRUCTURE and `BODY[n]`.
//!
//! One pass over the lines; nothing is decoded or copied. What is too deep or too much is left as one undivided part.

use std::ops::Range;

use crate::header::{self, Parameterised};

/// Nested multiparts and messages.
pub(crate) const DEPTH_MAX: usize = 64;
/// Parts of one message in all.
pub(crate) const PARTS_MAX: usize = 10_000;

/// One part; the message itself is the root.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its header with the empty line.
    pub(crate) header: Range<usize>,
    /// Its body as transferred, without the CRLF that belongs to the next boundary (RFC 2046 §5.1.1).
    pub(crate) body: Range<usize>,
    /// Content-Type, or what its absence means.
    pub(crate) media: Media,
    /// What is in it.
    pub(crate) content: Content,
}

/// What a part is made of.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing that is looked into.
    Leaf,
    /// At least one part.
    Multipart(Vec<Part>),
    /// message/rfc822: its header and body lie within the part's body.
    Message(Box<Part>),
}

/// RFC 2045 §5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) kind: Vec<u8>,
    pub(crate) subtype: Vec<u8>,
    pub(crate) parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Media {
    /// RFC 2045 §5.2.
    pub(crate) fn plain_text() -> Self {
        let charset = (b"charset".to_vec(), b"us-ascii".to_vec());
        Self { kind: b"text".to_vec(), subtype: b"plain".to_vec(), parameters: vec![charset] }
    }

    /// RFC 2046 §5.1.5: the default within multipart/digest.
    fn message() -> Self {
        Self { kind: b"message".to_vec(), subtype: b"rfc822".to_vec(), parameters: Vec::new() }
    }

    fn of(header: &[u8], in_digest: bool) -> Self {
        let default = || if in_digest { Self::message() } else { Self::plain_text() };
        let Some(value) = header::first(header, "Content-Type") else { return default() };
        let read = Parameterised::parse(&value);
        let Some(slash) = read.value.iter().position(|octet| *octet == b'/') else { return default() };
        let (kind, subtype) =
            (read.value.get(..slash).unwrap_or_default(), read.value.get(slash + 1..).unwrap_or_default());
        if kind.is_empty() || subtype.is_empty() {
            return default();
        }
        Self { kind: kind.to_vec(), subtype: subtype.to_vec(), parameters: read.parameters }
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }

    pub(crate) fn is_exactly(&self, kind: &str, subtype: &str) -> bool {
        self.is(kind) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }
}

/// Splits a message.
pub(crate) fn split(message: &[u8]) -> Part {
    let mut splitter = Splitter { message, at: 0, boundaries: Vec::new(), parts: 0 };
    splitter.part(0, false).0
}

/// Why a run of lines ended.
#[derive(Clone, Copy)]
enum Stop {
    /// At a boundary line of the multipart at `level`.
    Boundary {
        level: usize,
        closing: bool,
    },
    End,
}

struct Splitter<'a> {
    message: &'a [u8],
    at: usize,
    /// Of the multiparts that are open, outermost first.
    boundaries: Vec<Vec<u8>>,
    parts: usize,
}

impl Splitter<'_> {
    /// A part that begins here, and what ended it; the boundary line is passed over.
    fn part(&mut self, depth: usize, in_digest: bool) -> (Part, Stop) {
        self.parts += 1;
        let start = self.at;
        let (header_end, stop) = self.header();
        let header = start..header_end;
        let media = Media::of(self.message.get(header.clone()).unwrap_or_default(), in_digest);
        if let Some(stop) = stop {
            let body = header_end..header_end;
            return (Part { header, body, media, content: Content::Leaf }, stop);
        }
        let is_open = depth < DEPTH_MAX && self.parts < PARTS_MAX;
        let (content, end, stop) = if is_open && media.is("multipart") {
            self.multipart(&media, depth)
        } else if is_open && media.is_exactly("message", "rfc822") {
            let (inner, stop) = self.part(depth + 1, false);
            let end = inner.body.end;
            (Content::Message(Box::new(inner)), end, stop)
        } else {
            let (end, stop) = self.text();
            (Content::Leaf, end, stop)
        };
        (Part { header, body: header_end..end.max(header_end), media, content }, stop)
    }

    /// Where the header ends, and the boundary that cut it short.
    fn header(&mut self) -> (usize, Option<Stop>) {
        while let Some(line) = self.line() {
            let begin = self.at - line.len();
            if header::is_blank(line) {
                return (self.at, None);
            }
            if let Some(stop) = self.boundary(line) {
                return (begin, Some(stop));
            }
        }
        (self.at, None)
    }

    fn multipart(&mut self, media: &Media, depth: usize) -> (Content, usize, Stop) {
        let Some(boundary) = media.parameter("boundary").map(<[u8]>::trim_ascii_end).filter(|text| !text.is_empty())
        else {
            let (end, stop) = self.text();
            return (Content::Leaf, end, stop);
        };
        let in_digest = media.subtype.eq_ignore_ascii_case(b"digest");
        let level = self.boundaries.len();
        self.boundaries.push(boundary.to_vec());
        let (mut end, mut stop) = self.text();
        let mut parts = Vec::new();
        while let Stop::Boundary { level: at, closing: false } = stop {
            if at != level || self.parts >= PARTS_MAX {
                break;
            }
            let (part, after) = self.part(depth + 1, in_digest);
            end = part.body.end;
            parts.push(part);
            stop = after;
        }
        self.boundaries.truncate(level);
        if let Stop::Boundary { level: at, .. } = stop
            && at >= level
        {
            // The epilogue, or what is left when there are too many parts.
            (end, stop) = self.text();
        }
        (if parts.is_empty() { Content::Leaf } else { Content::Multipart(parts) }, end, stop)
    }

    /// Lines up to a boundary: where they end (without the line end before it), and why.
    fn text(&mut self) -> (usize, Stop) {
        while let Some(line) = self.line() {
            if let Some(stop) = self.boundary(line) {
                let begin = self.at - line.len();
                let before = self.message.get(..begin).unwrap_or_default();
                let text = before.strip_suffix(b"\r\n").or_else(|| before.strip_suffix(b"\n")).unwrap_or(before);
                return (text.len(), stop);
            }
        }
        (self.at, Stop::End)
    }

    /// RFC 2046 §5.1.1: `--boundary`, white space allowed behind it; `--` more closes. Innermost first.
    fn boundary(&self, line: &[u8]) -> Option<Stop> {
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        for (level, boundary) in self.boundaries.iter().enumerate().rev() {
            match text.strip_prefix(boundary.as_slice()) {
                Some(b"") => return Some(Stop::Boundary { level, closing: false }),
                Some(b"--") => return Some(Stop::Boundary { level, closing: true }),
                _ => {}
            }
        }
        None
    }
}

impl<'a> Splitter<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = self.message.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.get(..header::line_octets(rest))?;
        self.at += line.len();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outline(message: &[u8], part: &Part) -> String {
        let body = String::from_utf8_lossy(&message[part.body.clone()]).into_owned();
        match &part.content {
            Content::Leaf => format!("{:?}", body),
            Content::Message(inner) => format!("m{}", outline(message, inner)),
            Content::Multipart(parts) => {
                format!("[{}]", parts.iter().map(|part| outline(message, part)).collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn mixed(body: &str) -> String {
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}")
    }

    /// RFC 2046 §5.1.
    #[test]
    fn splits() {
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
        ] {
            let message = message.as_bytes();
            assert_eq!(outline(message, &split(message)), expect, "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn bounds_depth_and_number() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
        let mut part = &split(deep.as_bytes());
        let mut depth = 0;
        while let Content::Message(inner) = &part.content {
            (part, depth) = (inner, depth + 1);
        }
        assert_eq!(depth, DEPTH_MAX);
        let wide = mixed(&"--b\r\n\r\n".repeat(PARTS_MAX + 100));
        let Content::Multipart(parts) = split(wide.as_bytes()).content else { panic!("no parts") };
        assert_eq!(parts.len(), PARTS_MAX - 1);
    }

    fn check_ranges(message: &[u8], part: &Part) {
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= message.len());
        match &part.content {
            Content::Leaf => {}
            Content::Message(inner) => check_ranges(message, inner),
            Content::Multipart(parts) => parts.iter().for_each(|inner| check_ranges(message, inner)),
        }
    }

    proptest! {
        #[test]
        fn any_lines_give_sound_ranges(lines in proptest::collection::vec(prop_oneof![
            Just("--b"), Just("--b--"), Just("--c"), Just(""), Just("text"), Just("--"),
            Just("Content-Type: multipart/mixed; boundary=b"), Just("Content-Type: multipart/digest; boundary=c"),
            Just("Content-Type: message/rfc822"),
        ], 0..60), end in prop_oneof![Just("\r\n"), Just("\n")]) {
            let message = lines.join(end);
            check_ranges(message.as_bytes(), &split(message.as_bytes()));
        }
    }
}

//! Cuts the byte stream into commands: lines joined by their literals (RFC 3501 §4.3, RFC 7888).

use bytes::{Buf, Bytes, BytesMut};

/// Maximum number of literals in one command. Most commands need at most a few; SEARCH may have one per search string.
const LITERALS_MAX: usize = 64;
/// Octets at the beginning of a refused command in which its tag, with the space after it, is looked for.
const TAG_OCTETS_MAX: usize = 64;
/// Up to this many octets, an incomplete line stays in the driver's buffer; a longer one is taken out. The driver gives
/// a client more time whenever octets are taken, so a client that trickles a line gets more time only once for each of
/// these many. A refused command is not kept, so its octets are taken as they come.
const LINE_OCTETS_LEFT: usize = 8 * 1024;
/// Largest literal that the framer keeps in memory, octets. The session writes a larger one, which only APPEND may
/// send, to a file.
pub(crate) const LITERAL_OCTETS_SMALL: u64 = 64 * 1024;
/// Octets kept of the end of a line while a refused command is skipped: enough to find an announced literal.
const TAIL_OCTETS: usize = 32;

/// Bounds in the current state of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameBounds {
    /// Octets of one line.
    pub(crate) line: usize,
    /// Octets of one literal.
    pub(crate) literal: u64,
    /// Octets of one command that are held in memory. The message of an APPEND, if it has at most 64 KiB, is held in
    /// addition.
    pub(crate) command: usize,
    /// Octets of a literal of APPEND; `None` where APPEND is not allowed.
    pub(crate) append: Option<u64>,
}

/// Why a command was refused by the framer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameRefusal {
    /// A line is longer than the bound.
    LineTooLong,
    /// A line ends in LF without CR.
    BareLf,
    /// A literal is larger than the bound.
    LiteralTooBig,
    /// The command has too many literals, more than one large literal, or more octets in memory than the bound.
    CommandTooLong,
    /// A large literal cannot be kept now: the literals of all sessions have reached their limit, the disk fails, or no
    /// memory became free for the complete command.
    Unavailable,
}

/// The result of one step over the bytes received so far.
#[derive(Debug)]
pub(crate) enum Frame {
    /// No complete command yet.
    NeedMore,
    /// A synchronizing literal is announced: the client waits for `+`.
    Continuation,
    /// The next octets of the one large literal of a command.
    Literal(Bytes),
    /// A complete command without its last CRLF; literals appear in it as they came: `{n}CRLF` or `{n+}CRLF`,
    /// then n octets.
    Command(Bytes),
    /// A complete command without its large literal, which belongs in `text` at this offset.
    Large { text: Bytes, at: usize },
    /// A skipped command, with its tag if it had a valid one.
    Refused(Option<Box<str>>, FrameRefusal),
}

/// The command that is being received.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
    line_start: usize,
    literal_left: u64,
    /// Whether the current literal is the large one.
    is_large: bool,
    /// Where the large literal belongs in `buffer`.
    large_at: Option<usize>,
    literals: usize,
    refused: Option<(Option<Box<str>>, FrameRefusal)>,
}

impl Framer {
    /// Takes what can be used from `input`. Parts of an incomplete command are moved out of `input`, so that a literal
    /// never fills the driver's buffer.
    pub(crate) fn advance(&mut self, input: &mut BytesMut, bounds: &FrameBounds) -> Frame {
        loop {
            if let Some(octets) = self.take_literal(input) {
                return Frame::Literal(octets);
            }
            if self.literal_left > 0 {
                return Frame::NeedMore;
            }
            if !self.take_line(input, bounds) {
                return Frame::NeedMore;
            }
            if self.refused.is_none() && !self.buffer.ends_with(b"\r\n") {
                self.refuse(FrameRefusal::BareLf);
                return self.finish();
            }
            let Some(announced) = announced_literal(self.buffer.get(self.line_start..).unwrap_or_default()) else {
                return self.finish();
            };
            self.check_literal(announced, bounds);
            if self.refused.is_some() && announced.synchronizing {
                // The client waits for `+` and has sent nothing of the literal: the command ends here.
                return self.finish();
            }
            self.expect_literal(announced.octets);
            if announced.synchronizing {
                return Frame::Continuation;
            }
        }
    }

    /// Octets of the unfinished command that are held here.
    pub(crate) fn buffered_octets(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the client is in the middle of a literal.
    pub(crate) fn is_in_literal(&self) -> bool {
        self.literal_left > 0
    }

    /// Makes the framer skip the rest of the command, because its large literal cannot be kept.
    pub(crate) fn give_up(&mut self, refusal: FrameRefusal) {
        if self.refused.is_none() {
            self.refuse(refusal);
        }
    }

    /// Prepares for a literal of `octets`.
    fn expect_literal(&mut self, octets: u64) {
        self.literal_left = octets;
        self.is_large = self.refused.is_none() && octets > LITERAL_OCTETS_SMALL;
        self.line_start = match self.refused {
            Some(_) => 0,
            None if self.is_large => self.buffer.len(),
            None => self.buffer.len() + octets as usize,
        };
        if self.is_large {
            self.large_at = Some(self.line_start);
        }
    }

    /// Takes octets of the current literal from `input`: a small literal is collected here, octets of a large one are
    /// returned.
    fn take_literal(&mut self, input: &mut BytesMut) -> Option<Bytes> {
        let taken = input.len().min(usize::try_from(self.literal_left).unwrap_or(usize::MAX));
        let octets = input.split_to(taken);
        self.literal_left -= taken as u64;
        if self.refused.is_some() || taken == 0 {
            return None;
        }
        if self.is_large {
            return Some(octets.freeze());
        }
        self.buffer.extend_from_slice(&octets);
        None
    }

    /// Takes a line and returns true when it is complete. An incomplete line is taken only when it is long, or when it
    /// belongs to a refused command, which is skipped.
    fn take_line(&mut self, input: &mut BytesMut, bounds: &FrameBounds) -> bool {
        let end = input.iter().position(|octet| *octet == b'\n').map(|at| at + 1);
        if end.is_none() && input.len() <= LINE_OCTETS_LEFT.min(bounds.line) && self.refused.is_none() {
            return false;
        }
        let line = input.split_to(end.unwrap_or(input.len()));
        if self.refused.is_none() && self.buffer.len().saturating_sub(self.line_start) + line.len() > bounds.line {
            if self.buffer.is_empty() {
                self.buffer.extend_from_slice(line.get(..line.len().min(TAG_OCTETS_MAX)).unwrap_or_default());
            }
            self.refuse(FrameRefusal::LineTooLong);
        }
        if self.buffer.is_empty() && end.is_some() {
            // The common case, a complete line at once, is not copied.
            self.buffer = line;
        } else {
            self.buffer.extend_from_slice(&line);
        }
        if self.refused.is_some() && self.buffer.len() > TAIL_OCTETS {
            self.buffer.advance(self.buffer.len() - TAIL_OCTETS);
        }
        end.is_some()
    }

    fn check_literal(&mut self, announced: AnnouncedLiteral, bounds: &FrameBounds) {
        if self.refused.is_some() {
            self.buffer.clear();
            return;
        }
        self.literals += 1;
        let append = bounds.append.filter(|_| self.is_append());
        let is_large = announced.octets > LITERAL_OCTETS_SMALL;
        let in_memory = if is_large { 0 } else { announced.octets };
        let small_message = append.map_or(0, |_| LITERAL_OCTETS_SMALL);
        if announced.octets > append.unwrap_or(bounds.literal) {
            self.refuse(FrameRefusal::LiteralTooBig);
        } else if self.literals > LITERALS_MAX
            || is_large && self.large_at.is_some()
            || self.buffer.len() as u64 + in_memory > bounds.command as u64 + small_message
        {
            self.refuse(FrameRefusal::CommandTooLong);
        }
    }

    fn is_append(&self) -> bool {
        let mut words = self.buffer.as_ref().split(|octet| *octet == b' ');
        words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(b"APPEND"))
    }

    /// Drops what was received of the command, except its tag; the rest will be skipped.
    fn refuse(&mut self, refusal: FrameRefusal) {
        let head = self.buffer.get(..self.buffer.len().min(TAG_OCTETS_MAX)).unwrap_or_default();
        let tag = head.split(|octet| *octet == b' ').next().filter(|tag| tag.len() < head.len());
        let tag = tag.and_then(|tag| std::str::from_utf8(tag).ok()).filter(|tag| super::cursor::is_tag(tag));
        self.refused = Some((tag.map(Into::into), refusal));
        self.buffer.clear();
        (self.line_start, self.large_at) = (0, None);
    }

    fn finish(&mut self) -> Frame {
        let framer = std::mem::take(self);
        if let Some((tag, refusal)) = framer.refused {
            return Frame::Refused(tag, refusal);
        }
        let mut buffer = framer.buffer;
        buffer.truncate(buffer.len().saturating_sub(2));
        match framer.large_at {
            Some(at) => Frame::Large { text: buffer.freeze(), at },
            None => Frame::Command(buffer.freeze()),
        }
    }
}

#[derive(Clone, Copy)]
struct AnnouncedLiteral {
    octets: u64,
    synchronizing: bool,
}

/// Reads `{n}` or `{n+}` before the line end of `line` (RFC 3501 §4.3, RFC 7888).
fn announced_literal(line: &[u8]) -> Option<AnnouncedLiteral> {
    let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n"))?.strip_suffix(b"}")?;
    let (text, synchronizing) = match text.strip_suffix(b"+") {
        Some(text) => (text, false),
        None => (text, true),
    };
    let open = text.iter().rposition(|octet| *octet == b'{')?;
    let digits = std::str::from_utf8(text.get(open + 1..)?).ok()?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // More digits than the number type holds mean a literal that is too large, not another kind of line.
    Some(AnnouncedLiteral { octets: digits.parse().unwrap_or(u64::MAX), synchronizing })
}

/// Takes one line, without its CRLF, for SASL and IDLE, which have no literals; `Ok(None)` while it is incomplete.
/// `Err` when it is longer than `octets_max` or ends in LF without CR.
pub(crate) fn plain_line(input: &mut BytesMut, octets_max: usize) -> Result<Option<Bytes>, FrameRefusal> {
    let Some(end) = input.iter().take(octets_max + 2).position(|octet| *octet == b'\n') else {
        // The CR of a line of `octets_max` may have arrived before its LF.
        return if input.len() > octets_max + 1 { Err(FrameRefusal::LineTooLong) } else { Ok(None) };
    };
    let mut line = input.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(FrameRefusal::BareLf);
    }
    line.truncate(line.len() - 2);
    Ok(Some(line.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: FrameBounds = FrameBounds { line: 64, literal: 10, command: 512, append: Some(70_000) };

    fn frames(bytes: &[u8], chunk: usize) -> Vec<String> {
        let mut framer = Framer::default();
        let (mut seen, mut large) = (Vec::new(), Vec::new());
        let mut input = BytesMut::new();
        for piece in bytes.chunks(chunk) {
            input.extend_from_slice(piece);
            loop {
                match framer.advance(&mut input, &BOUNDS) {
                    Frame::NeedMore => break,
                    Frame::Continuation => seen.push("+".to_owned()),
                    Frame::Literal(octets) => large.extend_from_slice(&octets),
                    Frame::Large { text, at } => {
                        let frame = [&text[..at], &std::mem::take(&mut large), &text[at..]].concat();
                        seen.push(String::from_utf8_lossy(&frame).into_owned());
                    }
                    Frame::Command(frame) => seen.push(String::from_utf8_lossy(&frame).into_owned()),
                    Frame::Refused(tag, refusal) => seen.push(format!("{} {refusal:?}", tag.as_deref().unwrap_or("*"))),
                }
            }
        }
        seen
    }

    /// RFC 3501 §4.3, RFC 7888 §4: however the bytes arrive, the commands are the same.
    #[test]
    fn cuts_commands() {
        let long = format!("a LIST {}\r\nb NOOP\r\n", "x".repeat(80));
        let large = format!("a APPEND x {{65537+}}\r\n{}z\r\n", "y\r\n{3}\r\n".repeat(8_192));
        let rows: &[(&str, &[&str])] = &[
            ("a NOOP\r\nb NOOP\r\n", &["a NOOP", "b NOOP"]),
            ("a LOGIN {3}\r\nabc {2+}\r\nxy\r\n", &["+", "a LOGIN {3}\r\nabc {2+}\r\nxy"]),
            ("a LOGIN {0}\r\n x\r\n", &["+", "a LOGIN {0}\r\n x"]),
            ("a NOOP\nb NOOP\r\n", &["a BareLf", "b NOOP"]),
            ("a LOGIN {11}\r\nb NOOP\r\n", &["a LiteralTooBig", "b NOOP"]),
            ("a LOGIN {11+}\r\n01234567890 x\r\nb NOOP\r\n", &["a LiteralTooBig", "b NOOP"]),
            ("a LOGIN {11+}\r\n01234567890 {12+}\r\n012345678901\r\nb NOOP\r\n", &["a LiteralTooBig", "b NOOP"]),
            ("a APPEND x {11+}\r\n01234567890\r\nb NOOP\r\n", &["a APPEND x {11+}\r\n01234567890", "b NOOP"]),
            ("a LOGIN {99999999999999999999999999}\r\nb NOOP\r\n", &["a LiteralTooBig", "b NOOP"]),
            ("a APPEND x {70001}\r\nb NOOP\r\n", &["a LiteralTooBig", "b NOOP"]),
            (&large, &[&large[..large.len() - 2]]),
            (&format!("{large}b NOOP\r\n"), &[&large[..large.len() - 2], "b NOOP"]),
            (
                &format!("{}{} {{65537+}}\r\n{}\r\nb NOOP\r\n", &large[..large.len() - 2], "", &large[..65_537]),
                &["a CommandTooLong", "b NOOP"],
            ),
            (&long, &["a LineTooLong", "b NOOP"]),
        ];
        for (bytes, expect) in rows {
            for chunk in [1, 2, 3, 7, 1000] {
                assert_eq!(frames(bytes.as_bytes(), chunk), *expect, "{bytes:?} in pieces of {chunk}");
            }
        }
    }

    /// APPEND may exceed the bound of a command by one small message, not by one for each literal.
    #[test]
    fn bounds_the_small_messages_of_append() {
        let literal = format!(" {{65000+}}\r\n{}", "z".repeat(65_000));
        assert_eq!(frames(format!("a APPEND x{literal}\r\n").as_bytes(), 1000).len(), 1);
        let two = format!("a APPEND x{literal}{literal}\r\nb NOOP\r\n");
        assert_eq!(frames(two.as_bytes(), 1000), ["a CommandTooLong", "b NOOP"]);
    }

    #[test]
    fn bounds_the_number_of_literals() {
        let many = format!("a X{}\r\n", " {1+}\r\nz".repeat(LITERALS_MAX + 1));
        assert_eq!(frames(many.as_bytes(), 5), ["a CommandTooLong"]);
    }

    /// Literals that are allowed singly are refused when together they exceed the bound of a command.
    #[test]
    fn bounds_the_octets_of_all_literals() {
        let within = format!("a X{}\r\nb NOOP\r\n", " {9+}\r\n012345678".repeat(20));
        assert!(frames(within.as_bytes(), 5)[0].starts_with("a X {9+}"));
        let beyond = format!("a X{}\r\nb NOOP\r\n", " {9+}\r\n012345678".repeat(40));
        assert_eq!(frames(beyond.as_bytes(), 5), ["a CommandTooLong", "b NOOP"]);
    }

    /// However a line arrives, its length alone decides.
    #[test]
    fn bounds_plain_lines() {
        for (octets, expect) in [(8, Ok(Some(8))), (9, Err(FrameRefusal::LineTooLong))] {
            let line = format!("{}\r\n", "x".repeat(octets));
            for cut in 0..line.len() {
                let mut input = BytesMut::from(&line[..cut]);
                let mut taken = plain_line(&mut input, 8);
                if taken == Ok(None) {
                    input.extend_from_slice(&line.as_bytes()[cut..]);
                    taken = plain_line(&mut input, 8);
                }
                let taken = taken.map(|line| line.map(|line| line.len()));
                assert_eq!(taken, expect, "{octets} octets, cut at {cut}");
            }
        }
    }
}

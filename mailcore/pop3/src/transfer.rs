//! Message text as a multi-line response (RFC 1939 §3): byte-stuffed, ended by CRLF and a dot, and cut for TOP.

use memchr::{memchr, memmem};
use provost_net::OutputBuffer;

/// Stuffs and cuts text that arrives in pieces of any size.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// Lines of the body still to be sent; `None` for all.
    body_lines: Option<u32>,
    part: TransferPart,
    /// Whether the current line has only CR and LF so far; kept for TOP only.
    line_is_empty: bool,
    /// The last two octets of the message that were written; CRLF before the first.
    last: [u8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferPart {
    Header,
    Body,
    Done,
}

impl Transfer {
    /// A transfer of the whole message, for RETR.
    pub(crate) fn whole() -> Self {
        Self { body_lines: None, part: TransferPart::Header, line_is_empty: true, last: *b"\r\n" }
    }

    /// A transfer of the header, the empty line, and `lines` of the body, for TOP (RFC 1939 §7).
    pub(crate) fn top(lines: u32) -> Self {
        Self { body_lines: Some(lines), ..Self::whole() }
    }

    /// Whether TOP has all its lines. RETR needs all text.
    pub(crate) fn is_done(&self) -> bool {
        self.part == TransferPart::Done
    }

    /// Writes the next piece.
    pub(crate) fn write_piece(&mut self, mut text: &[u8], out: &mut OutputBuffer<'_>) {
        if self.body_lines.is_none() {
            return self.put_whole(text, out);
        }
        while !text.is_empty() && !self.is_done() {
            let end = memchr(b'\n', text).map_or(text.len(), |at| at + 1);
            let (line, rest) = text.split_at(end);
            self.put_within_line(line, out);
            text = rest;
        }
    }

    /// Writes the end of the response. If the last line of the message has no line end, one is added: the dot must
    /// stand alone on its line.
    pub(crate) fn finish(self, out: &mut OutputBuffer<'_>) {
        if self.last != *b"\r\n" {
            out.put("\r\n");
        }
        out.put(".\r\n");
    }

    /// Writes text without counting lines, in runs between the few lines that begin with a dot.
    fn put_whole(&mut self, text: &[u8], out: &mut OutputBuffer<'_>) {
        self.stuff(text, out);
        let mut from = 0;
        for end in memmem::find_iter(text, b"\n.") {
            out.put(text.get(from..=end).unwrap_or_default());
            out.put(".");
            from = end + 1;
        }
        out.put(text.get(from..).unwrap_or_default());
        self.note_last(text);
    }

    /// Writes an additional dot if `piece` begins a line and its first octet is a dot (RFC 1939 §3). A bare LF counts
    /// as a line end here: a client that splits lines at LF would take `.` for the end of the message, and the rest of
    /// the message for later responses.
    fn stuff(&self, piece: &[u8], out: &mut OutputBuffer<'_>) {
        if self.last[1] == b'\n' && piece.first() == Some(&b'.') {
            out.put(".");
        }
    }

    fn note_last(&mut self, piece: &[u8]) {
        for byte in piece.iter().skip(piece.len().saturating_sub(2)) {
            self.last = [self.last[1], *byte];
        }
    }

    /// Writes a line, or a part of one that continues in the next call.
    fn put_within_line(&mut self, piece: &[u8], out: &mut OutputBuffer<'_>) {
        let at_start = self.last[1] == b'\n';
        self.stuff(piece, out);
        out.put(piece);
        if at_start {
            self.line_is_empty = true;
        }
        self.line_is_empty &= piece.iter().all(|b| matches!(b, b'\r' | b'\n'));
        self.note_last(piece);
        if piece.last() == Some(&b'\n') {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        match self.part {
            TransferPart::Header if self.line_is_empty => {
                self.part = if self.body_lines == Some(0) { TransferPart::Done } else { TransferPart::Body };
            }
            TransferPart::Body => {
                self.body_lines = self.body_lines.map(|lines| lines.saturating_sub(1));
                if self.body_lines == Some(0) {
                    self.part = TransferPart::Done;
                }
            }
            TransferPart::Header | TransferPart::Done => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use proptest::prelude::*;

    fn sent(mut transfer: Transfer, pieces: &[&[u8]]) -> String {
        let (mut buffer, mut sink) = (BytesMut::new(), Vec::new());
        let mut out = OutputBuffer::new(&mut buffer, &mut sink);
        for piece in pieces {
            transfer.write_piece(piece, &mut out);
        }
        transfer.finish(&mut out);
        String::from_utf8(buffer.to_vec()).unwrap()
    }

    /// RFC 1939 §3: byte-stuffing.
    #[test]
    fn a_line_that_begins_with_a_dot_gets_another() {
        for (text, expected) in [
            ("A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n.\r\n"),
            ("A: b\r\n\r\n.\r\n..\r\n.x\r\n", "A: b\r\n\r\n..\r\n...\r\n..x\r\n.\r\n"),
            (".A: b\r\n", "..A: b\r\n.\r\n"),
            ("A: b\r\n\r\nx", "A: b\r\n\r\nx\r\n.\r\n"),
            ("A: b\r\n\r\nx\n.\ny\r\n", "A: b\r\n\r\nx\n..\ny\r\n.\r\n"),
            ("x\n", "x\n\r\n.\r\n"),
            ("x\r", "x\r\r\n.\r\n"),
            ("", ".\r\n"),
        ] {
            assert_eq!(sent(Transfer::whole(), &[text.as_bytes()]), expected, "{text:?}");
        }
    }

    /// RFC 1939 §7, TOP.
    #[test]
    fn top_sends_the_header_and_some_lines() {
        let text = b"A: b\r\nC: d\r\n\r\none\r\n.two\r\n\r\nfour\r\n";
        for (lines, expected) in [
            (0, "A: b\r\nC: d\r\n\r\n.\r\n"),
            (1, "A: b\r\nC: d\r\n\r\none\r\n.\r\n"),
            (3, "A: b\r\nC: d\r\n\r\none\r\n..two\r\n\r\n.\r\n"),
            (9, "A: b\r\nC: d\r\n\r\none\r\n..two\r\n\r\nfour\r\n.\r\n"),
        ] {
            assert_eq!(sent(Transfer::top(lines), &[text]), expected, "TOP 1 {lines}");
        }
        assert_eq!(sent(Transfer::top(5), &[b"A: b\r\n"]), "A: b\r\n.\r\n");
    }

    proptest! {
        /// The result does not depend on where the pieces are cut.
        #[test]
        fn the_response_is_the_same_in_any_pieces(text in "([.a]|\r\n|\r|\n){0,30}", cut in 0usize..30, lines in 0u32..4) {
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            prop_assert_eq!(sent(Transfer::whole(), &[first, second]), sent(Transfer::whole(), &[text.as_bytes()]));
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(sent(Transfer::top(99), &bytes), sent(Transfer::whole(), &[text.as_bytes()]));
            prop_assert_eq!(sent(Transfer::top(lines), &bytes), sent(Transfer::top(lines), &[text.as_bytes()]));
        }

        /// A client that removes the stuffing gets the original message.
        #[test]
        fn unstuffing_gives_the_message(lines in proptest::collection::vec("[.a]{0,4}", 0..8)) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let response = sent(Transfer::whole(), &[text.as_bytes()]);
            let body = response.strip_suffix(".\r\n").unwrap();
            let undone: String =
                body.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            prop_assert_eq!(undone, text);
        }
    }
}

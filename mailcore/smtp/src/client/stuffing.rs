//! Dot-stuffing (RFC 5321 §4.5.2).

/// Returns the octets that follow a message: CRLF if the last line has no line end, then the line of one dot that
/// ends the data.
pub(crate) fn end_of(message: &[u8]) -> &'static [u8] {
    if message.is_empty() || message.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" }
}

/// Returns the octets to send before [`end_of`], in borrowed parts: the message with each dot at a line start doubled.
pub(crate) fn stuffed(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(message);
    let parts = std::iter::from_fn(move || {
        let text = rest?;
        let at = line_start_dot(text);
        let (part, after) = text.split_at(at.unwrap_or(text.len()));
        rest = at.map(|_| after);
        Some(part)
    });
    // Every part but the first begins with a dot at a line start, and the message itself may too: each gets a second
    // dot.
    let mut is_first = true;
    let dotted = parts.flat_map(move |part| {
        let dot: &[u8] = if std::mem::take(&mut is_first) { b"" } else { b"." };
        [dot, part]
    });
    let first_dot: &[u8] = if message.starts_with(b".") { b"." } else { b"" };
    std::iter::once(first_dot).chain(dotted).filter(|part| !part.is_empty())
}

/// Index of the first dot that follows a line end.
fn line_start_dot(text: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, b"\n.").map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_dots_at_line_starts() {
        for (message, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"hi\r\n", b"hi\r\n.\r\n"),
            (b"hi", b"hi\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..a\r\n.b\r\n", b"...a\r\n..b\r\n.\r\n"),
            (b"a\r\n.\r\n.\r\nb.\r\n", b"a\r\n..\r\n..\r\nb.\r\n.\r\n"),
        ] {
            let sent = stuffed(message).chain([end_of(message)]).collect::<Vec<_>>().concat();
            assert_eq!(sent, wire, "{message:?}");
        }
    }
}

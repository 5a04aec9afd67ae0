//! Properties of the codec that `tests/targets` checks over arbitrary octets. A broken property panics, which the
//! fuzzer reports.

use bytes::BytesMut;

use crate::command::{Command, LINE_OCTETS_MAX, LineState, take_line};

/// Cuts `pieces` into lines with the limit after login, and parses each; an overlong line ends the conversation.
pub fn lines(pieces: &[&[u8]]) -> Vec<String> {
    let (mut input, mut seen) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match take_line(&mut input, LINE_OCTETS_MAX) {
                LineState::Partial => break,
                LineState::TooLong => {
                    seen.push("too long".to_owned());
                    return seen;
                }
                LineState::Whole(line) => {
                    assert!(line.len() + 2 <= LINE_OCTETS_MAX && !line.windows(2).any(|two| two == b"\r\n"));
                    let command = Command::parse(&line);
                    assert_eq!(command, Command::parse(&line));
                    seen.push(format!("{} {command:?}", line.escape_ascii()));
                }
            }
        }
        assert!(input.len() < LINE_OCTETS_MAX, "{} octets are left in the input", input.len());
    }
    seen
}

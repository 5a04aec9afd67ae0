//! The codec: parses a line into a command (RFC 1939 §9, RFC 2449, RFC 2595, RFC 5034).

use bytes::{Buf, BytesMut};
use memchr::memmem;
use provost_credential::{PLAIN_BASE64_OCTETS_MAX, Secret};

/// Longest command line with its line end, in octets. RFC 2449 §4.
pub(crate) const LINE_OCTETS_MAX: usize = 255;
/// Longest line before login with its line end, in octets: AUTH with the longest PLAIN message, which is longer than
/// PASS with the longest password. RFC 2449 §4 and RFC 5034 §4 limit a client's lines to 255; RFC 1939 §3 sets no limit
/// for PASS, and a password can be longer than that.
pub(crate) const LOGIN_LINE_OCTETS_MAX: usize = "AUTH PLAIN ".len() + PLAIN_BASE64_OCTETS_MAX + "\r\n".len();

/// The state of the line at the start of the input buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineState {
    /// A complete line, without its line end; removed from the buffer.
    Whole(BytesMut),
    /// The line has not ended yet.
    Partial,
    /// The line exceeds the limit.
    TooLong,
}

/// Takes a line of at most `limit` octets. RFC 1939 §3: only CRLF ends a line; a bare CR or LF stays within the line,
/// and no command accepts one.
pub(crate) fn take_line(input: &mut BytesMut, limit: usize) -> LineState {
    match memmem::find(input.get(..limit.min(input.len())).unwrap_or_default(), b"\r\n") {
        Some(end) => {
            let line = input.split_to(end);
            input.advance(2);
            LineState::Whole(line)
        }
        None if input.len() >= limit => LineState::TooLong,
        None => LineState::Partial,
    }
}

/// A message number from the client; there may be no such message.
pub(crate) type MessageNumber = u32;

/// A client's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// RFC 1939 §7: the user name.
    User(String),
    /// RFC 1939 §7: the password.
    Pass(Secret),
    /// RFC 5034 §4: a SASL login, with the mechanism in upper case and an optional initial response.
    Auth { mechanism: String, initial: Option<String> },
    /// AUTH without a mechanism: lists the mechanisms.
    AuthList,
    /// RFC 2595 §4: starts TLS.
    Stls,
    /// RFC 2449 §5: lists the capabilities.
    Capa,
    /// RFC 1939 §5: the number of messages and their octets.
    Stat,
    /// RFC 1939 §5: the octets of one message, or of each.
    List(Option<MessageNumber>),
    /// RFC 1939 §5: sends a message.
    Retr(MessageNumber),
    /// RFC 1939 §5: marks a message as deleted.
    Dele(MessageNumber),
    /// RFC 1939 §5: no operation.
    Noop,
    /// RFC 1939 §5: clears all deletion marks.
    Rset,
    /// RFC 1939 §7: sends the header of a message and this many lines of its body.
    Top(MessageNumber, u32),
    /// RFC 1939 §7: the unique-id of one message, or of each.
    Uidl(Option<MessageNumber>),
    /// RFC 1939 §4, §6: ends the session; in the TRANSACTION state, removes the messages marked as deleted first.
    Quit,
}

/// Why a line is not a command; the text is sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedLine(pub(crate) &'static str);

const UNKNOWN: MalformedLine = MalformedLine("unknown command");
const ARGUMENTS: MalformedLine = MalformedLine("wrong arguments");

impl Command {
    /// Parses a line without its line end.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, MalformedLine> {
        let line = std::str::from_utf8(line).map_err(|_| MalformedLine("the line is not UTF-8"))?;
        if line.contains(char::is_control) {
            return Err(MalformedLine("the line holds a control character"));
        }
        let (keyword, argument) = match line.split_once(' ') {
            Some((keyword, argument)) => (keyword, Some(argument)),
            None => (line, None),
        };
        match keyword.to_ascii_uppercase().as_str() {
            "USER" => text(argument).map(Self::User),
            // A password may contain spaces, also at its start and end (RFC 1939 §7).
            "PASS" => argument.filter(|a| !a.is_empty()).map(|a| Self::Pass(Secret::new(a))).ok_or(ARGUMENTS),
            "AUTH" => auth(argument),
            "STLS" => alone(argument, Self::Stls),
            "CAPA" => alone(argument, Self::Capa),
            "STAT" => alone(argument, Self::Stat),
            "NOOP" => alone(argument, Self::Noop),
            "RSET" => alone(argument, Self::Rset),
            "QUIT" => alone(argument, Self::Quit),
            "LIST" => optional(argument).map(Self::List),
            "UIDL" => optional(argument).map(Self::Uidl),
            "RETR" => number(argument).map(Self::Retr),
            "DELE" => number(argument).map(Self::Dele),
            "TOP" => top(argument),
            _ => Err(UNKNOWN),
        }
    }
}

fn alone(argument: Option<&str>, command: Command) -> Result<Command, MalformedLine> {
    if argument.is_none_or(|a| a.trim().is_empty()) { Ok(command) } else { Err(ARGUMENTS) }
}

fn text(argument: Option<&str>) -> Result<String, MalformedLine> {
    argument.map(str::trim).filter(|a| !a.is_empty()).map(Into::into).ok_or(ARGUMENTS)
}

fn number(argument: Option<&str>) -> Result<MessageNumber, MalformedLine> {
    let digits = argument.map(str::trim).unwrap_or_default();
    // `parse` would accept a sign.
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().map_err(|_| ARGUMENTS) } else { Err(ARGUMENTS) }
}

fn optional(argument: Option<&str>) -> Result<Option<MessageNumber>, MalformedLine> {
    if argument.is_none_or(|a| a.trim().is_empty()) { Ok(None) } else { number(argument).map(Some) }
}

fn top(argument: Option<&str>) -> Result<Command, MalformedLine> {
    let (message, lines) = argument.and_then(|a| a.trim().split_once(' ')).ok_or(ARGUMENTS)?;
    Ok(Command::Top(number(Some(message))?, number(Some(lines))?))
}

fn auth(argument: Option<&str>) -> Result<Command, MalformedLine> {
    let mut words = argument.unwrap_or_default().split_ascii_whitespace();
    let command = match words.next() {
        None => Command::AuthList,
        Some(mechanism) => {
            Command::Auth { mechanism: mechanism.to_ascii_uppercase(), initial: words.next().map(Into::into) }
        }
    };
    if words.next().is_none() { Ok(command) } else { Err(ARGUMENTS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1939 §9 and the extensions.
    #[test]
    fn commands() {
        let auth = |mechanism: &str, initial: Option<&str>| {
            Ok(Command::Auth { mechanism: mechanism.into(), initial: initial.map(Into::into) })
        };
        for (line, expected) in [
            ("USER zoe@example.edu", Ok(Command::User("zoe@example.edu".into()))),
            ("user  zoé ", Ok(Command::User("zoé".into()))),
            ("USER", Err(ARGUMENTS)),
            ("USER ", Err(ARGUMENTS)),
            ("PASS  two words ", Ok(Command::Pass(Secret::new(" two words ")))),
            ("PASS", Err(ARGUMENTS)),
            ("PASS ", Err(ARGUMENTS)),
            ("STAT", Ok(Command::Stat)),
            ("STAT ", Ok(Command::Stat)),
            ("STAT 1", Err(ARGUMENTS)),
            ("LIST", Ok(Command::List(None))),
            ("LIST 2", Ok(Command::List(Some(2)))),
            ("LIST x", Err(ARGUMENTS)),
            ("RETR 4294967295", Ok(Command::Retr(u32::MAX))),
            ("RETR 4294967296", Err(ARGUMENTS)),
            ("RETR +1", Err(ARGUMENTS)),
            ("RETR -1", Err(ARGUMENTS)),
            ("RETR", Err(ARGUMENTS)),
            ("DELE 1", Ok(Command::Dele(1))),
            ("TOP 1 0", Ok(Command::Top(1, 0))),
            ("TOP 1", Err(ARGUMENTS)),
            ("TOP 1 2 3", Err(ARGUMENTS)),
            ("UIDL", Ok(Command::Uidl(None))),
            ("uidl 9", Ok(Command::Uidl(Some(9)))),
            ("NOOP", Ok(Command::Noop)),
            ("RSET", Ok(Command::Rset)),
            ("QUIT", Ok(Command::Quit)),
            ("CAPA", Ok(Command::Capa)),
            ("STLS", Ok(Command::Stls)),
            ("STLS now", Err(ARGUMENTS)),
            ("AUTH", Ok(Command::AuthList)),
            ("AUTH plain", auth("PLAIN", None)),
            ("AUTH PLAIN AHRlc3Q=", auth("PLAIN", Some("AHRlc3Q="))),
            ("AUTH PLAIN a b", Err(ARGUMENTS)),
            ("APOP mrose c4c9334bac560ecc979e58001b3e22fb", Err(UNKNOWN)),
            ("", Err(UNKNOWN)),
            ("XTND XMIT", Err(UNKNOWN)),
            ("USER a\0b", Err(MalformedLine("the line holds a control character"))),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(Command::parse(b"USER \xff"), Err(MalformedLine("the line is not UTF-8")));
    }

    #[test]
    fn only_crlf_ends_a_line() {
        let mut input = BytesMut::from("NOOP\r\nSTAT\nSTAT\r\nQU");
        assert_eq!(take_line(&mut input, 255), LineState::Whole("NOOP".into()));
        // RFC 1939 §3: a bare LF does not end a line.
        assert_eq!(take_line(&mut input, 255), LineState::Whole("STAT\nSTAT".into()));
        assert_eq!(take_line(&mut input, 255), LineState::Partial);
        for (octets, long) in [(253, false), (254, true)] {
            let mut input = BytesMut::from(format!("{}\r\n", "x".repeat(octets)).as_str());
            assert_eq!(take_line(&mut input, 255) == LineState::TooLong, long, "{octets}");
        }
    }

    proptest! {
        #[test]
        fn random_lines_never_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Command::parse(&line);
        }
    }
}

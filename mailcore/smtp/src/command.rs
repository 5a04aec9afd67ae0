//! Parses commands from octets to values (RFC 5321 §4.1.1, §4.1.2).

use bytes::{Buf, BytesMut};
use jiff::Timestamp;
use provost_credential::PLAIN_BASE64_OCTETS_MAX;
use provost_message::{
    EnvelopeId, HelloVerb, Notify, OriginalRecipient, Path, Recipient, ReturnContent, parse_valid_since,
};

use crate::reply::{self, Reply};

/// Longest command line with its CRLF, octets: AUTH PLAIN with the longest names and password (RFC 4954 §4). It exceeds
/// the 512 of RFC 5321 §4.5.3.1.4 with all that SIZE, BODY and DSN add (RFC 1870, 6152, 3461).
pub(crate) const LINE_OCTETS_MAX: usize = "AUTH PLAIN ".len() + PLAIN_BASE64_OCTETS_MAX + "\r\n".len();
/// Longest first word of a line that counts as HTTP, octets: the longest registered field name has about 40.
const HTTP_WORD_OCTETS_MAX: usize = 64;
/// Longest domain, octets (RFC 5321 §4.5.3.1.2).
const DOMAIN_OCTETS_MAX: usize = 255;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// EHLO, HELO or LHLO, with the name that the peer states.
    Hello(HelloVerb, String),
    /// MAIL FROM.
    Mail {
        reverse_path: Option<Path>,
        size: Option<u64>,
        eight_bit: bool,
        /// ENVID (RFC 3461 §4.4).
        envelope_id: Option<EnvelopeId>,
        /// RET (RFC 3461 §4.3).
        ret: Option<ReturnContent>,
    },
    /// RCPT TO, with the moment of its RRVS parameter (RFC 7293 §3.1).
    Rcpt(Recipient, Option<Timestamp>),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    /// AUTH.
    Auth {
        mechanism: String,
        /// The initial response in base64; empty for `=`.
        initial: Option<String>,
    },
}

/// The start of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineStart {
    /// No whole line yet.
    Part,
    /// One line without its CRLF, taken from the input: ASCII without CR, LF and NUL.
    Whole(String),
    /// One line that cannot be a command was taken from the input; this is the reply to it.
    Wrong(Reply),
    /// A line of HTTP, or the start of an overlong one.
    Http,
}

/// Splits the input into lines.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    /// Whether the rest of an overlong line is still to come.
    skipping: bool,
}

impl LineReader {
    /// Takes the next line. A line beyond [`LINE_OCTETS_MAX`] is discarded as it arrives and reported once, at its end.
    ///
    /// Only CRLF ends a line (RFC 5321 §2.3.8). A bare CR or LF makes the line wrong as a whole, and neither side of it
    /// is a command: servers that treat one as a line end allow SMTP smuggling.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> LineStart {
        let Some(end) = memchr::memmem::find(input, b"\r\n") else {
            if input.len() >= LINE_OCTETS_MAX {
                if !self.skipping && is_http(input) {
                    return LineStart::Http;
                }
                // The last octet may be the CR of the line end.
                input.advance(input.len() - usize::from(input.last() == Some(&b'\r')));
                self.skipping = true;
            }
            return LineStart::Part;
        };
        let line = input.split_to(end);
        input.advance(2);
        if !self.skipping && is_http(&line) {
            return LineStart::Http;
        }
        if std::mem::take(&mut self.skipping) || end + 2 > LINE_OCTETS_MAX {
            return LineStart::Wrong(reply::LINE_TOO_LONG);
        }
        let is_text = line.is_ascii() && memchr::memchr3(b'\r', b'\n', 0, &line).is_none();
        match String::from_utf8(line.to_vec()) {
            Ok(line) if is_text => LineStart::Whole(line),
            _ => LineStart::Wrong(reply::BAD_LINE),
        }
    }
}

/// Whether a line is HTTP: a request line (RFC 9112 §3, RFC 9113 §3.4) or a field line (RFC 9112 §5). No SMTP verb is
/// one of these methods or has a colon after it, and base64 has neither space nor colon.
fn is_http(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"];
    let begin = line.get(..HTTP_WORD_OCTETS_MAX).unwrap_or(line);
    let word_end = begin.iter().position(|octet| !octet.is_ascii_alphanumeric() && *octet != b'-');
    let (word, rest) = begin.split_at(word_end.unwrap_or(begin.len()));
    let is_request = METHODS.iter().any(|method| word.eq_ignore_ascii_case(method)) && rest.starts_with(b" ");
    let is_field = !word.is_empty() && rest.starts_with(b":");
    // A method outside the list, for instance of WebDAV: the first line ends in the version. Of SMTP, only a string
    // after NOOP, HELP or VRFY can end so.
    let first_line = line.split(|octet| *octet == b'\n').next().unwrap_or_default().trim_ascii_end();
    let last_word = memchr::memrchr(b' ', first_line).and_then(|at| first_line.get(at + 1..)).unwrap_or_default();
    let is_version = |number: &[u8]| number.iter().all(|octet| octet.is_ascii_digit() || *octet == b'.');
    let is_versioned = !word.is_empty() && last_word.strip_prefix(b"HTTP/").is_some_and(is_version);
    is_request || is_field || is_versioned
}

impl Command {
    /// Parses a line; the error is the reply to send.
    pub(crate) fn parse(line: &str) -> Result<Self, Reply> {
        let line = line.trim_ascii_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_ascii_start();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => Ok(Self::Hello(HelloVerb::Ehlo, name(rest)?)),
            "HELO" => Ok(Self::Hello(HelloVerb::Helo, name(rest)?)),
            "LHLO" => Ok(Self::Hello(HelloVerb::Lhlo, name(rest)?)),
            "MAIL" => mail(rest),
            "RCPT" => rcpt(rest),
            "DATA" => alone(rest, Self::Data),
            "RSET" => alone(rest, Self::Rset),
            "QUIT" => alone(rest, Self::Quit),
            "STARTTLS" => alone(rest, Self::StartTls),
            // HELP and NOOP may carry a string (RFC 5321 §4.1.1.8, §4.1.1.9).
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if !rest.is_empty() => Ok(Self::Vrfy),
            "VRFY" => Err(reply::BAD_ARGUMENT),
            "AUTH" => auth(rest),
            "EXPN" | "BDAT" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" => Err(reply::NOT_IMPLEMENTED),
            _ => Err(reply::UNKNOWN_COMMAND),
        }
    }
}

/// Returns the command, which has no argument.
fn alone(rest: &str, command: Command) -> Result<Command, Reply> {
    if rest.is_empty() { Ok(command) } else { Err(reply::BAD_ARGUMENT) }
}

/// Parses the argument of EHLO: a domain or address literal (RFC 5321 §4.1.1.1). Many hosts send names that are
/// neither, so any graphic ASCII is accepted. White space or a control character could forge a field or a log line.
fn name(rest: &str) -> Result<String, Reply> {
    let is_name = (1..=DOMAIN_OCTETS_MAX).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_graphic());
    if is_name { Ok(rest.to_owned()) } else { Err(reply::BAD_ARGUMENT) }
}

/// `FROM:<reverse-path> [parameters]` (RFC 5321 §4.1.1.2).
fn mail(rest: &str) -> Result<Command, Reply> {
    let rest = strip_keyword(rest, "FROM:").ok_or(reply::BAD_ARGUMENT)?;
    let (path, parameters) = split_path(rest).ok_or(reply::BAD_SENDER)?;
    let reverse_path = match path {
        "" => None,
        path => Some(Path::parse(path).map_err(|_| reply::BAD_SENDER)?),
    };
    let (mut size, mut body, mut auth, mut envelope_id, mut ret) = (None, None, None, None, None);
    for parameter in parameters.split_ascii_whitespace() {
        let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => once(&mut size, octets(value))?,
            "BODY" => once(&mut body, BodyType::parse(value))?,
            // The sender that an earlier hop authenticated (RFC 4954 §5): nothing here uses it.
            "AUTH" if !value.is_empty() => once(&mut auth, Ok::<_, Reply>(value))?,
            "AUTH" => return Err(reply::BAD_ARGUMENT),
            "ENVID" => once(&mut envelope_id, EnvelopeId::parse(value))?,
            "RET" => once(&mut ret, ReturnContent::parse(value))?,
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
    }
    let eight_bit = body == Some(BodyType::EightBitMime);
    Ok(Command::Mail { reverse_path, size, eight_bit, envelope_id, ret })
}

/// The value of BODY (RFC 6152 §2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyType {
    SevenBit,
    EightBitMime,
}

impl BodyType {
    fn parse(value: &str) -> Result<Self, Reply> {
        match value.to_ascii_uppercase().as_str() {
            "7BIT" => Ok(Self::SevenBit),
            "8BITMIME" => Ok(Self::EightBitMime),
            _ => Err(reply::BAD_ARGUMENT),
        }
    }
}

/// Keeps the value of a parameter; refuses an invalid value and a second one, which could contradict the first.
fn once<T, E>(place: &mut Option<T>, value: Result<T, E>) -> Result<(), Reply> {
    match (place.is_some(), value) {
        (false, Ok(value)) => {
            *place = Some(value);
            Ok(())
        }
        _ => Err(reply::BAD_ARGUMENT),
    }
}

/// Parses the value of SIZE: one to twenty digits (RFC 1870). A number beyond 64 bits becomes the largest.
fn octets(digits: &str) -> Result<u64, Reply> {
    if (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(digits.parse().unwrap_or(u64::MAX))
    } else {
        Err(reply::BAD_ARGUMENT)
    }
}

/// `TO:<forward-path> [parameters]` (RFC 5321 §4.1.1.3).
fn rcpt(rest: &str) -> Result<Command, Reply> {
    let rest = strip_keyword(rest, "TO:").ok_or(reply::BAD_ARGUMENT)?;
    let (path, parameters) = split_path(rest).ok_or(reply::BAD_RECIPIENT)?;
    let path = Path::parse(path).map_err(|_| reply::BAD_RECIPIENT)?;
    let (mut recipient, mut valid_since) = (Recipient::from(path), None);
    for parameter in parameters.split_ascii_whitespace() {
        let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => once(&mut recipient.notify, Notify::parse(value))?,
            "ORCPT" => once(&mut recipient.original, OriginalRecipient::parse(value))?,
            "RRVS" => once(&mut valid_since, parse_valid_since(value).ok_or(()))?,
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
    }
    Ok(Command::Rcpt(recipient, valid_since))
}

/// AUTH (RFC 4954 §4). A lone `=` is an empty initial response.
fn auth(rest: &str) -> Result<Command, Reply> {
    let mut words = rest.split_ascii_whitespace();
    let (Some(mechanism), initial, None) = (words.next(), words.next(), words.next()) else {
        return Err(reply::BAD_ARGUMENT);
    };
    let initial = initial.map(|response| if response == "=" { String::new() } else { response.to_owned() });
    Ok(Command::Auth { mechanism: mechanism.to_ascii_uppercase(), initial })
}

/// Strips `FROM:` or `TO:`, ignoring case. White space after the colon is accepted: RFC 5321 §3.3 forbids it, but many
/// clients send it.
fn strip_keyword<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| tail.trim_ascii_start())
}

/// Splits `<path> parameters`. The path is without brackets and without its source route, which is ignored (RFC 5321
/// §4.1.1.3). `None` when a bracket is missing, no space stands after the path, or only a source route is in it.
fn split_path(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.strip_prefix('<')?;
    let end = closing_bracket(rest)?;
    let (path, after) = (rest.get(..end)?, rest.get(end + 1..)?);
    if !after.is_empty() && !after.starts_with(' ') {
        return None;
    }
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':').map(|(_, mailbox)| mailbox).filter(|mailbox| !mailbox.is_empty())?,
        None => path,
    };
    Some((path, after))
}

/// Index of the first `>` outside a quoted string.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn recipient(text: &str) -> Recipient {
        path(text).into()
    }

    fn mail_command(reverse_path: Option<&str>, size: Option<u64>, eight_bit: bool) -> Command {
        Command::Mail { reverse_path: reverse_path.map(path), size, eight_bit, envelope_id: None, ret: None }
    }

    #[test]
    fn parses_commands() {
        let auth = |mechanism: &str, initial: Option<&str>| Command::Auth {
            mechanism: mechanism.into(),
            initial: initial.map(str::to_owned),
        };
        for (line, expect) in [
            ("EHLO client.example", Command::Hello(HelloVerb::Ehlo, "client.example".into())),
            ("helo [127.0.0.1]", Command::Hello(HelloVerb::Helo, "[127.0.0.1]".into())),
            ("LHLO x ", Command::Hello(HelloVerb::Lhlo, "x".into())),
            ("MAIL FROM:<a@b.example>", mail_command(Some("a@b.example"), None, false)),
            ("mail from:<>", mail_command(None, None, false)),
            ("MAIL FROM: <a@b.example>", mail_command(Some("a@b.example"), None, false)),
            ("MAIL FROM:<a@b.example> SIZE=10 BODY=8bitmime", mail_command(Some("a@b.example"), Some(10), true)),
            ("MAIL FROM:<> BODY=7BIT AUTH=<>", mail_command(None, None, false)),
            ("MAIL FROM:<> SIZE=99999999999999999999", mail_command(None, Some(u64::MAX), false)),
            ("MAIL FROM:<\"a> b\"@c.example>", mail_command(Some("\"a> b\"@c.example"), None, false)),
            ("RCPT TO:<a@b.example>", Command::Rcpt(recipient("a@b.example"), None)),
            ("RCPT TO:<Postmaster>", Command::Rcpt(recipient("Postmaster"), None)),
            ("RCPT TO:<@x.example,@y.example:a@b.example>", Command::Rcpt(recipient("a@b.example"), None)),
            ("RCPT TO:<\"a\\\"> b\"@b.example>", Command::Rcpt(recipient("\"a\\\"> b\"@b.example"), None)),
            ("DATA", Command::Data),
            ("data ", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP whatever", Command::Noop),
            ("QUIT", Command::Quit),
            ("VRFY zoe", Command::Vrfy),
            ("HELP", Command::Help),
            ("STARTTLS", Command::StartTls),
            ("AUTH plain", auth("PLAIN", None)),
            ("AUTH PLAIN =", auth("PLAIN", Some(""))),
            ("AUTH LOGIN em9l", auth("LOGIN", Some("em9l"))),
        ] {
            assert_eq!(Command::parse(line), Ok(expect), "{line}");
        }
    }

    /// RFC 3461 §4.
    #[test]
    fn parses_dsn_parameters() {
        let (envelope_id, ret) = (EnvelopeId::parse("Qq+2B1").ok(), ReturnContent::parse("FULL").ok());
        let expect = Command::Mail { reverse_path: None, size: None, eight_bit: false, envelope_id, ret };
        assert_eq!(Command::parse("MAIL FROM:<> ret=full envid=Qq+2B1"), Ok(expect));
        let (notify, original) =
            (Notify::parse("SUCCESS,DELAY").ok(), OriginalRecipient::parse("rfc822;A@b.example").ok());
        let expect = Command::Rcpt(Recipient { notify, original, ..recipient("a@b.example") }, None);
        assert_eq!(Command::parse("RCPT TO:<a@b.example> Notify=success,delay orcpt=rfc822;A@b.example"), Ok(expect));
    }

    #[test]
    fn refuses_malformed_commands() {
        for (line, expect) in [
            ("", reply::UNKNOWN_COMMAND),
            ("XYZZY", reply::UNKNOWN_COMMAND),
            ("EHLO", reply::BAD_ARGUMENT),
            ("EHLO a b", reply::BAD_ARGUMENT),
            ("DATA x", reply::BAD_ARGUMENT),
            ("RSET x", reply::BAD_ARGUMENT),
            ("QUIT x", reply::BAD_ARGUMENT),
            ("STARTTLS foo", reply::BAD_ARGUMENT),
            ("VRFY", reply::BAD_ARGUMENT),
            ("AUTH", reply::BAD_ARGUMENT),
            ("AUTH PLAIN a b", reply::BAD_ARGUMENT),
            ("MAIL", reply::BAD_ARGUMENT),
            ("MAIL TO:<a@b.example>", reply::BAD_ARGUMENT),
            ("MAIL FROM:a@b.example", reply::BAD_SENDER),
            ("MAIL FROM:<a@b.example", reply::BAD_SENDER),
            ("MAIL FROM:<a>", reply::BAD_SENDER),
            ("MAIL FROM:<a@b.example>SIZE=1", reply::BAD_SENDER),
            ("MAIL FROM:<@x.example:>", reply::BAD_SENDER),
            ("MAIL FROM:<a@b.example> SIZE=x", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> SIZE=", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> SIZE=999999999999999999999", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> BODY=BINARYMIME", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> SIZE=1 SIZE=1", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> BODY=8BITMIME BODY=7BIT", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> AUTH=<> auth=<>", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> AUTH=", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> RET=ALL", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> RET=HDRS RET=FULL", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> ENVID=", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> ENVID=a+0D+0Ab", reply::BAD_ARGUMENT),
            ("MAIL FROM:<a@b.example> SMTPUTF8", reply::UNKNOWN_PARAMETER),
            ("RCPT FROM:<a@b.example>", reply::BAD_ARGUMENT),
            ("RCPT TO:<>", reply::BAD_RECIPIENT),
            ("RCPT TO:<a b@c.example>", reply::BAD_RECIPIENT),
            ("RCPT TO:<@x.example>", reply::BAD_RECIPIENT),
            ("RCPT TO:<a@b.example> XYZZY=1", reply::UNKNOWN_PARAMETER),
            ("RCPT TO:<a@b.example> RRVS=2014-04-03", reply::BAD_ARGUMENT),
            ("RCPT TO:<a@b.example> RRVS=", reply::BAD_ARGUMENT),
            ("RCPT TO:<a@b.example> RRVS=2014-04-03T23:01:00Z;X", reply::BAD_ARGUMENT),
            ("RCPT TO:<a@b.example> NOTIFY=", reply::BAD_ARGUMENT),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", reply::BAD_ARGUMENT),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER NOTIFY=NEVER", reply::BAD_ARGUMENT),
            ("RCPT TO:<a@b.example> ORCPT=a@b.example", reply::BAD_ARGUMENT),
            ("EXPN list", reply::NOT_IMPLEMENTED),
            ("BDAT 10 LAST", reply::NOT_IMPLEMENTED),
        ] {
            assert_eq!(Command::parse(line), Err(expect), "{line}");
        }
    }

    #[test]
    fn splits_input_into_lines() {
        let long = [vec![b'x'; LINE_OCTETS_MAX - 1], b"\r\n".to_vec()].concat();
        let longest = [vec![b'x'; LINE_OCTETS_MAX - 2], b"\r\n".to_vec()].concat();
        for (input, expect) in [
            (&b""[..], LineStart::Part),
            (b"NOOP", LineStart::Part),
            (b"NOOP\r", LineStart::Part),
            (b"NOOP\r\nQ", LineStart::Whole("NOOP".into())),
            (b"\r\n", LineStart::Whole(String::new())),
            (b"NOOP\n", LineStart::Part),
            (b"\n", LineStart::Part),
            (b"NOOP\nNOOP\r\n", LineStart::Wrong(reply::BAD_LINE)),
            (b"\n\r\n", LineStart::Wrong(reply::BAD_LINE)),
            (b"NOOP\r\r\n", LineStart::Wrong(reply::BAD_LINE)),
            (b"NO\rOP\r\n", LineStart::Wrong(reply::BAD_LINE)),
            (b"NO\0OP\r\n", LineStart::Wrong(reply::BAD_LINE)),
            (b"NO\xc3\xa9OP\r\n", LineStart::Wrong(reply::BAD_LINE)),
            (&long, LineStart::Wrong(reply::LINE_TOO_LONG)),
            (&longest, LineStart::Whole("x".repeat(LINE_OCTETS_MAX - 2))),
        ] {
            assert_eq!(LineReader::default().read(&mut BytesMut::from(input)), expect, "{input:?}");
        }
    }

    #[test]
    fn recognises_http() {
        let without_end = [&b"GET /"[..], &vec![b'x'; LINE_OCTETS_MAX]].concat();
        for (input, expect) in [
            (&b"GET / HTTP/1.1\r\n"[..], true),
            (b"get /\r\n", true),
            (b"POST http://mx.example.edu:25/ HTTP/1.0\r\n", true),
            (b"CONNECT mx.example.edu:25 HTTP/1.1\r\n", true),
            (b"PRI * HTTP/2.0\r\n", true),
            (b"PROPFIND / HTTP/1.1\r\n", true),
            (b"Host: mx.example.edu:25\r\n", true),
            (b"content-length:10\r\n", true),
            (b"PROPFIND / HTTP/1.1\nHost: x\n\nMAIL FROM:<a@b.example>\r\n", true),
            // Text after a bare LF is not a command.
            (b"GET / HTTP/1.1\nHost: x\n\nMAIL FROM:<a@b.example>\r\n", true),
            (&without_end, true),
            (b"EHLO get\r\n", false),
            (b"HELP GET / HTTP\r\n", false),
            (b"MAIL FROM:<get@b.example>\r\n", false),
            (b"RCPT TO:<\"GET / HTTP/1.1\"@b.example>\r\n", false),
            (b"GETTY\r\n", false),
            (b"GET\r\n", false),
            (b"em9lOng=\r\n", false),
            (b"\r\n", false),
        ] {
            let line = LineReader::default().read(&mut BytesMut::from(input));
            assert_eq!(line == LineStart::Http, expect, "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn a_line_too_long_is_discarded_as_it_arrives() {
        let mut reader = LineReader::default();
        let mut input = BytesMut::new();
        for _ in 0..100 {
            input.extend_from_slice(&[b'x'; 1000]);
            assert_eq!(reader.read(&mut input), LineStart::Part);
            assert!(input.len() < LINE_OCTETS_MAX);
        }
        // The line end arrives in two pieces.
        input.extend_from_slice(&[&[b'x'; 2 * LINE_OCTETS_MAX][..], b"\r"].concat());
        assert_eq!(reader.read(&mut input), LineStart::Part);
        input.extend_from_slice(b"\nNOOP\r\n");
        assert_eq!(reader.read(&mut input), LineStart::Wrong(reply::LINE_TOO_LONG));
        assert_eq!(reader.read(&mut input), LineStart::Whole("NOOP".into()));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[ -~]{0,80}", argument in "[<>@:\" a.=\\\\]{0,30}") {
            let _ = Command::parse(&line);
            let _ = Command::parse(&format!("MAIL FROM:{argument}"));
            let _ = Command::parse(&format!("RCPT TO:{argument}"));
        }
    }
}

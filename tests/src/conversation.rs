//! Plays conversations from text files with a running node.
//!
//! A file begins with `#` lines that state the rule under test. `=== NAME` opens a connection and names the block;
//! `=== NAME @imap` opens it at another listener, to check the effect of the conversation there. A failed block ends;
//! the following ones still run. Lines:
//!
//! ```text
//! C: text     send a line (CRLF is added)
//! C! text     send bytes: \r \n \t \0 \\ \xNN are replaced, nothing is added
//! R N text    send a line N times without waiting; # in the text becomes the turn, 1 to N
//! S: glob     the next line must match; * stands for any text, and case is ignored; `A | B` allows either
//! S> glob     skip lines up to one that matches
//! T           start TLS
//! E           the peer must close without another line
//! E>          skip lines; the peer must close
//! M text      deliver a message with this subject to {user} by LMTP; its lines: `one`, `.two`, `three`
//! ```
//!
//! `{user}`, `{uid}`, `{password}` belong to the person of the file (`person: N` in its head, else 1), `{plain}` is the
//! person's SASL PLAIN message in base64; `{user2}`, `{password2}` belong to the next person. `{user64}`,
//! `{password64}` are those of the person in base64. `{N*x}` is the character x, or any other, N times.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};

use crate::{Node, Port, SamplePerson, TextClient};

/// State of a file being played.
struct Playback<'a> {
    node: &'a Node,
    person: SamplePerson,
    placeholders: Vec<(String, String)>,
}

/// Plays all blocks of one file. Connections go to `port`, unless a block names another listener.
pub fn play(node: &Node, port: Port, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let number = text.lines().find_map(|line| line.strip_prefix("person: ")).unwrap_or("1").trim().parse()?;
    let person = SamplePerson::of(number);
    let placeholders = placeholders(&person, &SamplePerson::of(number + 1));
    let playback = Playback { node, person, placeholders };
    let (mut client, mut block, mut failed, mut blocks) = (None::<TextClient>, String::new(), Vec::new(), 0);
    for (index, raw) in text.lines().enumerate() {
        let at = |error| format!("{}:{} [{block}] {raw}: {error:#}", file.display(), index + 1);
        if let Some(name) = raw.strip_prefix("=== ") {
            block = name.to_owned();
            blocks += 1;
            client.take().into_iter().for_each(TextClient::hang_up);
            client = Some(open(node, listener(name, port)?).with_context(|| block.clone())?);
        } else if let Some(opened) = &mut client
            && let Err(error) = playback.step(opened, raw)
        {
            failed.push(at(error));
            client.take().into_iter().for_each(TextClient::hang_up);
        } else if blocks == 0 && !is_head(raw) {
            failed.push(at(anyhow!("a line before the first block")));
        }
    }
    ensure!(blocks > 0, "{}: no block", file.display());
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Whether a line may stand before the first block.
fn is_head(raw: &str) -> bool {
    raw.trim().is_empty() || raw.starts_with('#') || raw.starts_with("person: ")
}

fn listener(block: &str, port: Port) -> anyhow::Result<Port> {
    let Some((_, name)) = block.rsplit_once(" @") else { return Ok(port) };
    Ok(match name {
        "mx" => Port::Mx,
        "submission" => Port::Submission,
        "lmtp" => Port::Lmtp,
        "imap" => Port::Imap,
        "pop3" => Port::Pop3,
        _ => bail!("no listener '{name}'"),
    })
}

fn open(node: &Node, port: Port) -> anyhow::Result<TextClient> {
    let mut client = TextClient::open(node.address(port))?;
    if matches!(port, Port::Imaps | Port::Pop3s | Port::Submissions) {
        client.start_tls()?;
    }
    Ok(client)
}

impl Playback<'_> {
    fn step(&self, client: &mut TextClient, raw: &str) -> anyhow::Result<()> {
        let (kind, rest) = raw.split_at_checked(2).unwrap_or((raw, ""));
        let text = fill(rest.strip_prefix(' ').unwrap_or(rest), &self.placeholders)?;
        match kind {
            "C:" => client.send_line(&text)?,
            "C!" => client.send(&unescape(&text)?)?,
            "R " => repeat(client, &text)?,
            "S:" => {
                let answer = client.next()?.ok_or_else(|| anyhow!("the peer closed"))?;
                ensure!(matches_one(&text, &answer), "answer: {answer}");
            }
            "S>" => skip_to(client, &text)?,
            "T" => client.start_tls()?,
            "E" => {
                if let Some(answer) = client.next()? {
                    bail!("the peer must close, but sent: {answer}");
                }
            }
            "E>" => while client.next()?.is_some() {},
            "M " => deliver(self.node, &self.person, &text)?,
            _ if raw.trim().is_empty() || raw.starts_with('#') => {}
            _ => bail!("not a conversation line"),
        }
        Ok(())
    }
}

/// Sends a line several times. The peer may close before the last one; what it has sent can still be read.
fn repeat(client: &mut TextClient, text: &str) -> anyhow::Result<()> {
    let (count, text) = text.split_once(' ').ok_or_else(|| anyhow!("R without a text"))?;
    for turn in 1..=count.parse::<u32>()? {
        if client.send_line(&text.replace('#', &turn.to_string())).is_err() {
            break;
        }
    }
    Ok(())
}

fn deliver(node: &Node, to: &SamplePerson, subject: &str) -> anyhow::Result<()> {
    let mut client = TextClient::open(node.address(Port::Lmtp))?;
    client.until(&["220 "])?;
    client.ask("LHLO conversation.invalid", &["250 "])?;
    client.ask("MAIL FROM:<sender@example.net>", &["250 "])?;
    client.ask(&format!("RCPT TO:<{}>", to.mail()), &["250 "])?;
    client.ask("DATA", &["354 "])?;
    client.ask(
        &format!("From: <sender@example.net>\r\nSubject: {subject}\r\n\r\none\r\n..two\r\nthree\r\n."),
        &["250 "],
    )?;
    Ok(())
}

fn matches_one(globs: &str, text: &str) -> bool {
    globs.split(" | ").any(|glob| matches(glob, text))
}

fn skip_to(client: &mut TextClient, glob: &str) -> anyhow::Result<()> {
    let mut passed = Vec::new();
    while let Some(answer) = client.next()? {
        if matches_one(glob, &answer) {
            return Ok(());
        }
        passed.push(answer);
    }
    bail!("the peer closed after: {passed:?}")
}

fn placeholders(person: &SamplePerson, next: &SamplePerson) -> Vec<(String, String)> {
    let plain = format!("\0{}\0{}", person.mail(), person.password());
    [
        ("{user}", person.mail()),
        ("{uid}", person.uid()),
        ("{password}", person.password()),
        ("{user2}", next.mail()),
        ("{password2}", next.password()),
        ("{plain}", base64(plain.as_bytes())),
        ("{user64}", base64(person.mail().as_bytes())),
        ("{password64}", base64(person.password().as_bytes())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn fill(text: &str, placeholders: &[(String, String)]) -> anyhow::Result<String> {
    let text = placeholders.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        rest = match repeated(after)? {
            Some((letters, rest)) => {
                out.push_str(&letters);
                rest
            }
            None => {
                out.push('{');
                after
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// Expands `N*x}`, which follows a brace; returns the letters and the rest. `None` for any other brace, such
/// as that of an IMAP literal.
fn repeated(text: &str) -> anyhow::Result<Option<(String, &str)>> {
    let Some((count, rest)) = text.split_once('*') else { return Ok(None) };
    let Some(letter) = rest.chars().next() else { return Ok(None) };
    match rest[letter.len_utf8()..].strip_prefix('}') {
        Some(rest) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some((letter.to_string().repeat(count.parse()?), rest)))
        }
        _ => Ok(None),
    }
}

fn unescape(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => (u8::from_str_radix(after.get(1..3).unwrap_or_default(), 16)?, 3),
            _ => bail!("unknown escape '\\{after}'"),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Whether `text` matches `glob`, in which `*` stands for any text. Case is ignored.
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.to_lowercase(), text.to_lowercase());
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Encodes bytes in base64 (RFC 4648 §4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) & 63;
            out.push(if place > chunk.len() { '=' } else { char::from(ALPHABET[sextet as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_letters_and_leaves_literals() {
        let filled = |text| fill(text, &placeholders(&SamplePerson::of(7), &SamplePerson::of(8))).unwrap();
        assert_eq!(filled("{3*(}{2*x}y {uid} {20} {5+}"), "(((xxy test.p07 {20} {5+}");
    }

    #[test]
    fn no_command_is_skipped_before_the_first_block() {
        assert!(["# RFC 1939 §5", "", "person: 12"].into_iter().all(is_head));
        assert!(!["C: NOOP", "== a block with a mark too short", "person 12"].into_iter().any(is_head));
    }

    #[test]
    fn a_glob_matches_the_whole_line() {
        assert!(matches("+OK*messages*", "+OK 3 messages (120 octets)"));
        assert!(!matches("+OK", "+OK 3") && matches("* LIST*INBOX", "* LIST () \"/\" INBOX"));
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo")], ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}

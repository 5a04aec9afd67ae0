//! Conversations written down as text, held with a running node.
//!
//! A file begins with its rule as `#` lines. `=== NAME` opens a connection and names the block; after it:
//!
//! ```text
//! C: text     say a line (CRLF is added)
//! C! text     say bytes: \r \n \t \0 \\ \xNN are replaced, nothing is added
//! S: glob     the next line must match; * stands for anything
//! S> glob     lines are skipped up to one that matches
//! T           start TLS
//! E           the peer must close now
//! ```
//!
//! `{user}`, `{uid}`, `{password}` are those of the person of the file (`person: N` in its head), `{plain}` is their SASL
//! PLAIN message in base64, `{user2}`, `{password2}` of the next person. `{N*x}` is the letter x N times.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};

use crate::{Line, Node, Person, Port};

/// Holds all blocks of one file with the node. `port` is where the connections go.
pub fn hold(node: &Node, port: Port, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let number = text.lines().find_map(|line| line.strip_prefix("person: ")).unwrap_or("1").trim().parse()?;
    let words = words(&Person::of(number), &Person::of(number + 1));
    let (mut line, mut block) = (None, String::new());
    for (index, raw) in text.lines().enumerate() {
        let at = || format!("{}:{} [{block}] {raw}", file.display(), index + 1);
        if let Some(name) = raw.strip_prefix("=== ") {
            line = Some(open(node, port).with_context(at)?);
            block = name.to_owned();
        } else if let Some(line) = &mut line {
            step(line, raw, &words).with_context(at)?;
        }
    }
    ensure!(line.is_some(), "{}: no block", file.display());
    Ok(())
}

fn open(node: &Node, port: Port) -> anyhow::Result<Line> {
    let mut line = Line::open(node.address(port))?;
    if matches!(port, Port::Imaps | Port::Pop3s | Port::Submissions) {
        line.start_tls()?;
    }
    Ok(line)
}

fn step(line: &mut Line, raw: &str, words: &[(String, String)]) -> anyhow::Result<()> {
    let (kind, rest) = raw.split_at_checked(2).unwrap_or((raw, ""));
    let text = fill(rest.strip_prefix(' ').unwrap_or(rest), words)?;
    match kind {
        "C:" => line.say(&text)?,
        "C!" => line.send(&unescape(&text)?)?,
        "S:" => {
            let heard = line.next()?.ok_or_else(|| anyhow!("the peer closed"))?;
            ensure!(matches(&text, &heard), "heard: {heard}");
        }
        "S>" => skip_to(line, &text)?,
        "T" => line.start_tls()?,
        "E" => {
            if let Some(heard) = line.next()? {
                bail!("expected the end, heard: {heard}");
            }
        }
        _ if raw.trim().is_empty() || raw.starts_with('#') => {}
        _ => bail!("not a line of a conversation"),
    }
    Ok(())
}

fn skip_to(line: &mut Line, glob: &str) -> anyhow::Result<()> {
    let mut passed = Vec::new();
    while let Some(heard) = line.next()? {
        if matches(glob, &heard) {
            return Ok(());
        }
        passed.push(heard);
    }
    bail!("the peer closed after: {passed:?}")
}

fn words(person: &Person, next: &Person) -> Vec<(String, String)> {
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

fn fill(text: &str, words: &[(String, String)]) -> anyhow::Result<String> {
    let mut text = words.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    while let Some((head, rest)) = text.split_once("*x}") {
        let (before, count) = head.rsplit_once('{').ok_or_else(|| anyhow!("*x}} without {{"))?;
        text = format!("{before}{}{rest}", "x".repeat(count.parse()?));
    }
    Ok(text)
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
            _ => bail!("unknown escape before '{after}'"),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Whether `text` fits `glob`, in which `*` stands for anything. Without case.
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

/// RFC 4648 §4.
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
    fn globs_and_base64() {
        assert!(matches("+OK*messages*", "+OK 3 messages (120 octets)"));
        assert!(!matches("+OK", "+OK 3") && matches("* LIST*INBOX", "* LIST () \"/\" INBOX"));
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo")], ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}

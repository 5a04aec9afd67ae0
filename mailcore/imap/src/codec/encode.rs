//! Strings, mailbox names and flags on the wire (RFC 3501 §9).

use provost_store::{Flag, Flags, MailboxName, SpecialUse};

use super::cursor::is_atom_char;
use super::utf7;

/// Longer strings are sent as literals: some clients read quoted strings into small buffers.
const QUOTED_OCTETS_MAX: usize = 1_000;

/// Writes `string`: quoted if it is short and printable, else as a literal. A literal has no NUL (RFC 3501 §9, CHAR8):
/// `?` replaces it.
pub(crate) fn string(wire: &mut Vec<u8>, text: &[u8]) {
    let quotable = |octet: &u8| (0x20..0x7f).contains(octet) || *octet == b'\t';
    if text.len() <= QUOTED_OCTETS_MAX && text.iter().all(quotable) {
        wire.push(b'"');
        for octet in text {
            if matches!(octet, b'"' | b'\\') {
                wire.push(b'\\');
            }
            wire.push(*octet);
        }
        wire.push(b'"');
    } else {
        wire.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        wire.extend(text.iter().map(|octet| if *octet == 0 { b'?' } else { *octet }));
    }
}

/// Writes `nstring`: NIL for `None`, else as [`string`].
pub(crate) fn nstring(wire: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(wire, text),
        None => wire.extend_from_slice(b"NIL"),
    }
}

/// A mailbox name as an atom or a quoted string.
pub(crate) fn mailbox(name: &MailboxName) -> String {
    mailbox_text(name.as_str())
}

/// Like [`mailbox`], for any listed name: a level above mailboxes is not a [`MailboxName`].
pub(crate) fn mailbox_text(name: &str) -> String {
    let wire = utf7::encode(name);
    if !wire.is_empty() && wire.bytes().all(is_atom_char) && !wire.eq_ignore_ascii_case("NIL") {
        return wire;
    }
    let mut quoted = Vec::new();
    quoted.push(b'"');
    for octet in wire.bytes() {
        if matches!(octet, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(octet);
    }
    quoted.push(b'"');
    String::from_utf8_lossy(&quoted).into_owned()
}

/// The name of a system flag (RFC 3501 §2.3.2).
pub(crate) fn flag(flag: Flag) -> &'static str {
    match flag {
        Flag::Seen => "\\Seen",
        Flag::Answered => "\\Answered",
        Flag::Flagged => "\\Flagged",
        Flag::Deleted => "\\Deleted",
        Flag::Draft => "\\Draft",
    }
}

/// The attribute of a special-use mailbox (RFC 6154 §2).
pub(crate) fn special_use(special_use: SpecialUse) -> &'static str {
    match special_use {
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Archive => "\\Archive",
    }
}

/// A flag list in parentheses, such as `(\Seen Keyword)`, with `\Recent` if `is_recent`.
pub(crate) fn flags(flags: &Flags, is_recent: bool) -> String {
    let mut words: Vec<&str> = flags.system().map(flag).collect();
    words.extend(flags.keywords().iter().map(|keyword| keyword.as_str()));
    words.extend(is_recent.then_some("\\Recent"));
    format!("({})", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (text, expect) in [
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("é", "{2}\r\né"),
            ("a\r\nb", "{4}\r\na\r\nb"),
            ("a\0", "{2}\r\na?"),
        ] {
            let mut wire = Vec::new();
            string(&mut wire, text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&wire), expect);
        }
    }

    #[test]
    fn mailbox_names() {
        for (name, expect) in [
            ("INBOX", "INBOX"),
            ("Éte", "&AMk-te"),
            ("My Box", "\"My Box\""),
            ("a\\\"b", "\"a\\\\\\\"b\""),
            ("nil", "\"nil\""),
        ] {
            assert_eq!(mailbox_text(name), expect);
        }
    }
}

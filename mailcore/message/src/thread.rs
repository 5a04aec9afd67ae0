//! Keys for threading (RFC 5256 §2.1, §3): message ids and the base subject.

use crate::column::{ColumnReader, ColumnWriter};
use crate::decode_words;
use crate::headers::HeaderField;
use crate::tokens::TokenCursor;

/// Maximum number of ids kept of References. Of a longer list, the first id and the last ones are kept.
const REFERENCES_MAX: usize = 50;
/// Longest id, octets: it must fit one line (RFC 5322 §2.1.1).
const ID_OCTETS_MAX: usize = 998;
/// Characters of a subject that are read to find the base subject.
const SUBJECT_CHARS_MAX: usize = 500;

/// The keys by which messages are grouped into threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadKeys {
    /// The id of Message-ID, without angle brackets and quotes.
    pub message_id: Option<Vec<u8>>,
    /// The ids of References; without any, the first id of In-Reply-To (RFC 5256 §3 REFERENCES step 1).
    pub references: Vec<Vec<u8>>,
    /// The base subject (RFC 5256 §2.1), decoded, case kept.
    pub base_subject: String,
    /// Whether the subject marks a reply or a forwarded message.
    pub is_reply: bool,
}

impl ThreadKeys {
    pub(crate) fn of_fields(fields: &[HeaderField<'_>]) -> Self {
        let value = |name: &str| fields.iter().find(|field| field.is(name)).map(|field| field.unfolded());
        let ids = |name: &str, limit: usize| value(name).map_or_else(Vec::new, |value| message_ids(&value, limit));
        let mut references = ids("References", REFERENCES_MAX);
        if references.is_empty() {
            references = ids("In-Reply-To", 1);
        }
        let subject = value("Subject").map_or_else(String::new, |value| decode_words(&value));
        let (base_subject, is_reply) = base_subject(&subject);
        Self { message_id: ids("Message-ID", 1).pop(), references, base_subject, is_reply }
    }

    pub(crate) fn write(&self, writer: &mut ColumnWriter) {
        writer.optional(self.message_id.as_deref());
        writer.list(&self.references, |writer, id| writer.octets(id));
        writer.octets(self.base_subject.as_bytes());
        writer.number(u64::from(self.is_reply));
    }

    /// Decodes the column [`crate::Derived::thread`]; `None` when it is empty or damaged: the caller then parses the
    /// message.
    pub fn decode(column: &[u8]) -> Option<Self> {
        let mut reader = ColumnReader::new(column);
        let message_id = reader.optional()?.map(<[u8]>::to_vec);
        let references = reader.list(|reader| reader.octets().map(<[u8]>::to_vec))?;
        let base_subject = String::from_utf8(reader.octets()?.to_vec()).ok()?;
        Some(Self { message_id, references, base_subject, is_reply: reader.number()? != 0 })
    }
}

/// Returns at most `limit` of the ids that stand in angle brackets outside of comments: the first, and the last ones
/// when there are more than `limit`. A limit of 1 returns the first id only.
fn message_ids(value: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut tokens = TokenCursor::new(value);
    let mut ids = Vec::new();
    loop {
        tokens.run_until(b"<(");
        match tokens.peek() {
            None => return ids,
            Some(b'(') => drop(tokens.comment()),
            Some(_) => {
                tokens.next();
                let id = message_id(&mut tokens);
                if tokens.eat(b'>') && (1..=ID_OCTETS_MAX).contains(&id.len()) {
                    if ids.len() >= limit.max(1) {
                        if limit <= 1 {
                            return ids;
                        }
                        ids.remove(1);
                    }
                    ids.push(id);
                }
            }
        }
    }
}

/// Reads an id up to its closing bracket. RFC 5256 §3: `<"a"@x>` and `<a@x>` are the same id, so quotes are removed.
fn message_id(tokens: &mut TokenCursor<'_>) -> Vec<u8> {
    tokens.skip_white_space();
    let mut id = Vec::new();
    if tokens.peek() == Some(b'"') {
        let mut after = *tokens;
        let left = after.quoted();
        // Without `@` after it, this is not a quoted local part, and its quotation marks stay.
        if after.peek() == Some(b'@') {
            (id, *tokens) = (left, after);
        }
    }
    id.extend_from_slice(tokens.run_until(b">").trim_ascii_end());
    id
}

/// Returns the base subject (RFC 5256 §2.1), and whether a mark of a reply or forward was removed.
fn base_subject(subject: &str) -> (String, bool) {
    let bounded: String = subject.chars().take(SUBJECT_CHARS_MAX).collect();
    let spaced = bounded.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut text, mut is_reply) = (spaced.as_str(), false);
    loop {
        // Step 2: remove trailers.
        while let Some(rest) = strip_end(text, "(fwd)") {
            (text, is_reply) = (rest.trim_end(), true);
        }
        // Steps 3 to 5: remove leaders and blobs.
        loop {
            if let Some(rest) = leader(text) {
                (text, is_reply) = (rest, true);
            } else if let Some(rest) = blob(text).filter(|rest| !rest.is_empty()) {
                text = rest;
            } else {
                break;
            }
        }
        // Step 6: unwrap `[fwd: ...]`.
        match strip_start(text, "[fwd:").and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => (text, is_reply) = (inner.trim(), true),
            None => return (text.to_owned(), is_reply),
        }
    }
}

/// Removes a `subj-leader`: blobs, then `re`, `fw` or `fwd`, an optional blob, and a colon.
fn leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = blob(rest) {
        rest = after;
    }
    let rest = ["fwd", "fw", "re"].iter().find_map(|word| strip_start(rest, word))?.trim_start();
    let rest = blob(rest).unwrap_or(rest);
    rest.strip_prefix(':').map(str::trim_start)
}

/// Removes a `subj-blob`: bracketed text without brackets inside, and the white space after it.
fn blob(text: &str) -> Option<&str> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    (!inner.contains('[')).then(|| rest.trim_start())
}

fn strip_start<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn strip_end<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (rest, tail) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    tail.eq_ignore_ascii_case(word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderSection;
    use proptest::prelude::*;

    fn keys(header: &str) -> ThreadKeys {
        ThreadKeys::of_fields(&HeaderSection::of(header.as_bytes()).iter().collect::<Vec<_>>())
    }

    /// RFC 5256 §2.1.
    #[test]
    fn finds_base_subjects() {
        for (subject, expect, is_reply) in [
            ("Hello", "Hello", false),
            ("Re: Hello", "Hello", true),
            ("RE:  re : Fwd: Hello  (fwd) (FWD)", "Hello", true),
            ("[list] Re: [list] Hello", "Hello", true),
            ("[list] Hello", "Hello", false),
            ("[list]", "[list]", false),
            ("Re[2]: Hello", "Hello", true),
            ("[Fwd: Re: Hello]", "Hello", true),
            ("Re: =?utf-8?q?=C3=89t=C3=A9?=", "Été", true),
            ("Regards", "Regards", false),
            ("é", "é", false),
            ("", "", false),
        ] {
            let keys = keys(&format!("Subject: {subject}\r\n"));
            assert_eq!((keys.base_subject.as_str(), keys.is_reply), (expect, is_reply), "{subject}");
        }
    }

    #[test]
    fn finds_message_ids() {
        let of = |header: &str| {
            keys(header).references.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of("References: <a@x> (<no@x>)\r\n <b@x>\r\nIn-Reply-To: <c@x>\r\n"), ["a@x", "b@x"]);
        assert_eq!(of("References: <\"a\"@x> < \"b>c\"@x > <\"d@x> <e@x>\r\n"), ["a@x", "b>c@x", "\"d@x", "e@x"]);
        assert_eq!(of("In-Reply-To: your message <c@x> of <d@x>\r\n"), ["c@x"]);
        assert_eq!(keys("Message-ID: <m@x>\r\n").message_id.as_deref(), Some(&b"m@x"[..]));
        assert_eq!(keys("Message-ID: <>\r\n").message_id, None);
        let many: String = (0..200).map(|number| format!("<{number}@x> ")).collect();
        let references = of(&format!("References: {many}\r\n"));
        assert_eq!((references.len(), references[0].as_str(), references[49].as_str()), (50, "0@x", "199@x"));
    }

    #[test]
    fn a_column_decodes_and_a_truncated_column_does_not() {
        let keys = keys("Message-ID: <m@x>\r\nReferences: <a@x> <b@x>\r\nSubject: Re: x\r\n");
        let mut writer = ColumnWriter::new();
        keys.write(&mut writer);
        let column = writer.finish(1_000);
        assert_eq!(ThreadKeys::decode(&column), Some(keys));
        assert!((0..column.len()).all(|cut| ThreadKeys::decode(&column[..cut]).is_none()));
    }

    proptest! {
        #[test]
        fn a_base_subject_is_no_longer_than_its_subject(subject in "[\\[\\]Rre:fwd() é]{0,60}") {
            let (base, _) = base_subject(&subject);
            prop_assert!(base.len() <= subject.len());
        }
    }
}

//! LDIF (RFC 2849): parsing and writing of content records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{AttributeDescription, Dn, Entry};

/// Longest line accepted, with its continuation lines, octets: bounds the memory of a value.
pub const LINE_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// Maximum number of values in one record, because each new value is compared with all others of its attribute.
pub const RECORD_VALUES_MAX: usize = 10_000;
/// Length at which a written line is folded, octets, so that it fits 80 columns. RFC 2849 sets no length.
const FOLD_OCTETS: usize = 76;

/// The text is not LDIF, or LDIF that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct LdifError {
    /// The line number, from one.
    pub line: usize,
    /// What is wrong in the line.
    pub fault: String,
}

/// Parses all content records of a text. Change records and values by URL (`attr:< file:...`) are refused.
pub fn parse(text: &str) -> Result<Vec<Entry>, LdifError> {
    let mut entries = Vec::new();
    let mut record: Option<LdifRecord> = None;
    for line in logical_lines(text)? {
        if line.text.is_empty() {
            entries.extend(record.take().map(|record| record.entry));
            continue;
        }
        let (name, value) = line.split()?;
        match &mut record {
            Some(record) => record.add(&line, name, value)?,
            None if name.eq_ignore_ascii_case("version") && entries.is_empty() => {
                if value != b"1" {
                    return Err(line.refuse("only LDIF version 1 is supported"));
                }
            }
            None if name.eq_ignore_ascii_case("dn") => record = Some(LdifRecord::new(&line, value)?),
            None => return Err(line.refuse("a record begins with 'dn:'")),
        }
    }
    entries.extend(record.map(|record| record.entry));
    Ok(entries)
}

/// Writes one content record, ended by an empty line.
pub fn write(entry: &Entry) -> String {
    let mut out = String::new();
    write_line(&mut out, "dn", entry.dn.as_str().as_bytes());
    // The object classes come first, as in the output of other tools.
    let (classes, others): (Vec<_>, Vec<_>) = entry.attributes().partition(|(name, _)| name.is("objectClass"));
    for (name, values) in classes.into_iter().chain(others) {
        for value in values {
            write_line(&mut out, name.as_str(), value);
        }
    }
    out.push('\n');
    out
}

/// A line joined with its continuation lines. An empty line ends a record.
pub struct LdifLine {
    /// Number of the first physical line, from one.
    pub number: usize,
    /// The text without line ends.
    pub text: String,
}

impl LdifLine {
    fn refuse(&self, fault: impl Into<String>) -> LdifError {
        LdifError { line: self.number, fault: fault.into() }
    }

    /// Splits `name: value` or `name:: base64`.
    pub fn split(&self) -> Result<(&str, Vec<u8>), LdifError> {
        let (name, value) = self.text.split_once(':').ok_or_else(|| self.refuse("no ':' in this line"))?;
        if let Some(encoded) = value.strip_prefix(':') {
            let value = STANDARD.decode(encoded.trim()).map_err(|_| self.refuse("the value is not base64"))?;
            return Ok((name, value));
        }
        if value.starts_with('<') {
            return Err(self.refuse("values by URL are not supported"));
        }
        Ok((name, value.trim_start_matches(' ').as_bytes().to_vec()))
    }
}

struct LdifRecord {
    entry: Entry,
    /// Number of values added.
    values: usize,
}

impl LdifRecord {
    fn new(line: &LdifLine, dn: Vec<u8>) -> Result<Self, LdifError> {
        let text = String::from_utf8(dn).map_err(|_| line.refuse("the DN is not UTF-8"))?;
        let dn = Dn::parse(&text).map_err(|error| line.refuse(error.to_string()))?;
        Ok(Self { entry: Entry::new(dn), values: 0 })
    }

    fn add(&mut self, line: &LdifLine, name: &str, value: Vec<u8>) -> Result<(), LdifError> {
        // Refused anywhere in a record: such an entry, written as LDIF again, could be read as a change record.
        if name.eq_ignore_ascii_case("changetype") || name.eq_ignore_ascii_case("control") {
            return Err(line.refuse("change records are not supported"));
        }
        self.values += 1;
        if self.values > RECORD_VALUES_MAX {
            return Err(line.refuse(format!("more than {RECORD_VALUES_MAX} values in one record")));
        }
        let name = AttributeDescription::parse(name).map_err(|error| line.refuse(error.to_string()))?;
        self.entry.push(name, value);
        Ok(())
    }
}

/// Joins each line with its continuation lines, which begin with a space, and drops comments.
pub fn logical_lines(text: &str) -> Result<Vec<LdifLine>, LdifError> {
    let too_long = || format!("longer than {LINE_OCTETS_MAX} octets");
    let mut lines: Vec<LdifLine> = Vec::new();
    // The kind of line that a continuation line would extend.
    let mut open = OpenLine::Nothing;
    for (i, physical) in text.trim_start_matches('\u{feff}').split('\n').enumerate() {
        let physical = physical.strip_suffix('\r').unwrap_or(physical);
        let number = i + 1;
        if let Some(more) = physical.strip_prefix(' ') {
            match (&open, lines.last_mut()) {
                (OpenLine::Comment, _) => {}
                (OpenLine::Line, Some(line)) if line.text.len() + more.len() <= LINE_OCTETS_MAX => {
                    line.text.push_str(more)
                }
                (OpenLine::Line, Some(line)) => {
                    return Err(line.refuse(too_long()));
                }
                _ => {
                    let fault = "begins with a space, but there is no line to continue".into();
                    return Err(LdifError { line: number, fault });
                }
            }
        } else if physical.starts_with('#') {
            open = OpenLine::Comment;
        } else {
            if physical.len() > LINE_OCTETS_MAX {
                return Err(LdifError { line: number, fault: too_long() });
            }
            open = if physical.is_empty() { OpenLine::Nothing } else { OpenLine::Line };
            lines.push(LdifLine { number, text: physical.to_owned() });
        }
    }
    Ok(lines)
}

enum OpenLine {
    Nothing,
    Comment,
    Line,
}

/// Whether the value is a SAFE-STRING of RFC 2849 and has no space at its end, which is easily lost.
fn is_safe(value: &[u8]) -> bool {
    let good = |b: &u8| matches!(b, 0x01..=0x7f if *b != b'\n' && *b != b'\r');
    value.iter().all(good) && !matches!(value.first(), Some(b' ' | b':' | b'<')) && value.last() != Some(&b' ')
}

fn write_line(out: &mut String, name: &str, value: &[u8]) {
    let line = match std::str::from_utf8(value) {
        Ok("") => format!("{name}:"),
        Ok(text) if is_safe(value) => format!("{name}: {text}"),
        _ => format!("{name}:: {}", STANDARD.encode(value)),
    };
    // The line is ASCII, so it can be folded at any octet.
    let mut rest = line.as_str();
    let mut width = FOLD_OCTETS;
    while rest.len() > width {
        let (head, tail) = rest.split_at(width);
        out.push_str(head);
        out.push_str("\n ");
        rest = tail;
        width = FOLD_OCTETS - 1;
    }
    out.push_str(rest);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Taken from RFC 2849, examples 1 to 4.
    #[test]
    fn reads_content_records() {
        let text = "version: 1\r\n# a comment\n  that goes on\ndn: cn=Barbara Jensen, ou=Product Devel\n opment, dc=x\n\
            objectclass: top\nobjectclass: person\ncn:Barbara Jensen\ndescription:: V2hhdCBh\n IGNhcmVmdWwgcmVhZGVyCg==\n\
            sn;lang-fr:   Jensen\nseeAlso:\n\n\n\ndn:: b3U95Za25qWt6YOoLGRjPXg=\nou:: 5Za25qWt6YOo\n";
        let entries = parse(text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].dn, Dn::parse("cn=Barbara Jensen,ou=Product Development,dc=x").unwrap());
        assert_eq!(entries[0].values("objectClass").len(), 2);
        assert_eq!(entries[0].first("cn"), Some("Barbara Jensen"));
        assert_eq!(entries[0].first("description"), Some("What a careful reader\n"));
        assert_eq!(entries[0].first("sn;lang-fr"), Some("Jensen"));
        assert_eq!(entries[0].first("seeAlso"), Some(""));
        assert_eq!(entries[1].dn.as_str(), "ou=営業部,dc=x");
        assert_eq!(parse("").unwrap(), vec![]);
        assert_eq!(parse("version: 1\n").unwrap(), vec![]);
    }

    #[test]
    fn an_error_has_the_number_of_its_line() {
        let many = format!("dn: dc=x\n{}", (0..=RECORD_VALUES_MAX).map(|i| format!("a: {i}\n")).collect::<String>());
        let unfolded = format!("dn: dc=x\na: {}\n", "x".repeat(LINE_OCTETS_MAX));
        let folded = format!("dn: dc=x\na: {}\n xxxx\n", "x".repeat(LINE_OCTETS_MAX - 6));
        for (text, line) in [
            ("cn: x\n", 1),
            ("version: 2\n", 1),
            ("\n goes on\n", 2),
            ("dn: dc=x\ncn\n", 2),
            ("dn: dc=x\ncn:: !!\n", 2),
            ("dn: dc=x\njpegPhoto:< file:///etc/passwd\n", 2),
            ("dn: dc=x\nchangetype: add\n", 2),
            ("dn: dc=x\ndc: x\ncontrol: 1.2.3\n", 3),
            ("dn: dc=x\nc n: x\n", 2),
            ("dn: nothing\n", 1),
            ("dn:: //8=\n", 1),
            (&many, RECORD_VALUES_MAX + 2),
            (&unfolded, 2),
            (&folded, 2),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:.60}");
        }
    }

    #[test]
    fn writes_folded_and_encoded() {
        let entry = Entry::new(Dn::parse("ou=é,dc=x").unwrap())
            .with("cn", "a".repeat(100))
            .with("description", " begins with a space")
            .with("objectClass", "top")
            .with("sn", "");
        let expect = format!(
            "dn:: b3U9w6ksZGM9eA==\nobjectClass: top\ncn: {}\n {}\ndescription:: IGJlZ2lucyB3aXRoIGEgc3BhY2U=\nsn:\n\n",
            "a".repeat(72),
            "a".repeat(28)
        );
        assert_eq!(write(&entry), expect);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_written_entry_is_read_back_unchanged(
            ou in "[a-zé,+ ]{0,10}[a-z]",
            attributes in prop::collection::vec(("[a-z]{1,8}(;lang-[a-z]{2})?", prop::collection::vec(any::<u8>(), 0..120)), 0..8),
        ) {
            let mut entry = Entry::new(Dn::root().child("ou", &ou));
            for (name, value) in attributes {
                entry.push(AttributeDescription::parse(&name).unwrap(), value);
            }
            prop_assert_eq!(parse(&write(&entry)).unwrap(), vec![entry]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(dn: dc=x\n)?[dn:= #<a-c\n\r]{0,80}") {
            let _ = parse(&text);
        }
    }
}

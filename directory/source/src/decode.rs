//! Decodes the octets of a file to text.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::profile::Encoding;
use crate::record::FileError;

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";
const UTF16_LITTLE: &[u8] = b"\xFF\xFE";
const UTF16_BIG: &[u8] = b"\xFE\xFF";

/// Decodes a file to text without a byte order mark. CR becomes LF in a file without any LF.
pub(crate) fn decode(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, str>, FileError> {
    let is_utf16 = bytes.starts_with(UTF16_LITTLE) || bytes.starts_with(UTF16_BIG);
    if is_utf16 && encoding != Encoding::Utf16 {
        return Err(refuse(bytes, 0, "the file is UTF-16; save it as UTF-8, or state --encoding utf-16"));
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0).filter(|_| !is_utf16 && !has_few_nuls(bytes)) {
        return Err(refuse(bytes, at, "a NUL octet: this is not a text file"));
    }
    if bytes.starts_with(UTF8_BOM) && encoding != Encoding::Utf8 {
        return Err(refuse(bytes, 0, "the file is marked as UTF-8; omit --encoding, or change the source's profile"));
    }
    let text = match encoding {
        Encoding::Utf8 => decode_utf8(bytes)?,
        Encoding::Windows1252 => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        Encoding::Latin1 => encoding_rs::mem::decode_latin1(bytes),
        Encoding::Utf16 => Cow::Owned(decode_utf16(bytes)?),
    };
    // Lines ended only by CR, as old Macintosh spreadsheets wrote them.
    if text.contains('\r') && !text.contains('\n') {
        return Ok(Cow::Owned(text.replace('\r', "\n")));
    }
    Ok(text)
}

/// Whether the NUL octets of a file are damage of some cells, which are reported one by one: none in the first line,
/// and few. UTF-16 without a mark and other files that are no text have more.
fn has_few_nuls(bytes: &[u8]) -> bool {
    const NULS_MAX: usize = 100;
    let first_line = bytes.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    !first_line.contains(&0) && bytes.iter().filter(|b| **b == 0).count() <= NULS_MAX
}

/// Encodes text as [`decode`] read it, with the byte order mark that `like` begins with.
pub(crate) fn encode(text: &str, encoding: Encoding, like: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Utf8 if like.starts_with(UTF8_BOM) => [UTF8_BOM, text.as_bytes()].concat(),
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Windows1252 => WINDOWS_1252.encode(text).0.into_owned(),
        Encoding::Latin1 => text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect(),
        Encoding::Utf16 => {
            let is_big = like.starts_with(UTF16_BIG);
            let octets = |unit: u16| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(octets).collect()
        }
    }
}

fn decode_utf8(bytes: &[u8]) -> Result<Cow<'_, str>, FileError> {
    let rest = bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes);
    match std::str::from_utf8(rest) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let at = error.valid_up_to() + bytes.len() - rest.len();
            let rule = "not UTF-8; if a spreadsheet wrote the file, try --encoding windows-1252";
            Err(refuse(bytes, at, rule))
        }
    }
}

fn decode_utf16(bytes: &[u8]) -> Result<String, FileError> {
    let (encoding, rest) = match (bytes.strip_prefix(UTF16_LITTLE), bytes.strip_prefix(UTF16_BIG)) {
        (Some(rest), _) => (UTF_16LE, rest),
        (_, Some(rest)) => (UTF_16BE, rest),
        _ => return Err(refuse(bytes, 0, "not UTF-16: the byte order mark is missing")),
    };
    // An odd octet at the end, or half of a surrogate pair: the file was cut or damaged.
    let text = encoding.decode_without_bom_handling_and_without_replacement(rest);
    let text = text.ok_or_else(|| refuse(bytes, 0, "not valid UTF-16: the file is damaged or truncated"))?;
    if text.contains('\0') {
        return Err(refuse(bytes, 0, "a NUL character: this is not a text file"));
    }
    Ok(text.into_owned())
}

/// Refuses the file because of an octet, and names the line of that octet.
fn refuse(bytes: &[u8], at: usize, rule: &str) -> FileError {
    let line = line_ends(bytes.get(..at).unwrap_or(bytes)) + 1;
    FileError::Encoding { line, rule: rule.to_owned(), samples: Vec::new() }
}

/// Number of line ends within `octets`: LF, CRLF, or CR alone, as the reader of records counts them.
pub(crate) fn line_ends(octets: &[u8]) -> u64 {
    let next = octets.iter().skip(1).map(Some).chain([None]);
    let ends = octets.iter().zip(next).filter(|(b, next)| match **b {
        b'\n' => true,
        b'\r' => *next != Some(&b'\n'),
        _ => false,
    });
    ends.count() as u64
}

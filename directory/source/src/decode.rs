//! Decodes the octets of a file to text.

use std::borrow::Cow;

use crate::record::{Encoding, FileError};

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// Decodes a file to text without a byte order mark. CR becomes LF in a file without any LF.
pub(crate) fn decode(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, str>, FileError> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(refuse(bytes, 0, "the file is UTF-16; save it as UTF-8"));
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(refuse(bytes, at, "a NUL octet: this is not a text file"));
    }
    let text = match encoding {
        Encoding::Utf8 => decode_utf8(bytes)?,
        Encoding::Windows1252 if bytes.starts_with(UTF8_BOM) => {
            return Err(refuse(bytes, 0, "the file is marked as UTF-8; omit --encoding"));
        }
        Encoding::Windows1252 => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    };
    // Lines ended only by CR, as old Macintosh spreadsheets wrote them.
    if text.contains('\r') && !text.contains('\n') {
        return Ok(Cow::Owned(text.replace('\r', "\n")));
    }
    Ok(text)
}

fn decode_utf8(bytes: &[u8]) -> Result<Cow<'_, str>, FileError> {
    match std::str::from_utf8(bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes)) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let at = error.valid_up_to() + bytes.len() - bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes).len();
            let rule = "not UTF-8; if a spreadsheet wrote the file, try --encoding windows-1252";
            Err(refuse(bytes, at, rule))
        }
    }
}

/// Refuses the file because of an octet, and names the line of that octet.
fn refuse(bytes: &[u8], at: usize, rule: &str) -> FileError {
    let line = line_ends(bytes.get(..at).unwrap_or(bytes)) + 1;
    FileError::Encoding { line, rule: rule.to_owned() }
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

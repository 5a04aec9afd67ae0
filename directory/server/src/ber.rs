//! The subset of BER that LDAP uses (RFC 4511 §5.1): definite lengths, one-octet tags, primitive strings.

/// Longest length field after its first octet: four octets cover every length that the server accepts.
const LENGTH_OCTETS_MAX: usize = 4;

/// Tag of SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// Tag of SET.
pub(crate) const SET: u8 = 0x31;
/// Tag of BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// Tag of INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// Tag of OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// Tag of ENUMERATED.
pub(crate) const ENUMERATED: u8 = 0x0a;

/// The octets are not BER as LDAP restricts it, or not of the expected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MalformedBer;

/// Returns the length of the frame that begins here, header included; `None` while its header is incomplete.
pub(crate) fn frame_length(octets: &[u8]) -> Result<Option<usize>, MalformedBer> {
    match octets.first() {
        None => return Ok(None),
        Some(&SEQUENCE) => {}
        Some(_) => return Err(MalformedBer),
    }
    let Some(&first) = octets.get(1) else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some(2 + usize::from(first)));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > LENGTH_OCTETS_MAX {
        return Err(MalformedBer);
    }
    let Some(length) = octets.get(2..2 + count) else { return Ok(None) };
    let length = length.iter().fold(0_usize, |sum, octet| sum << 8 | usize::from(*octet));
    Ok(Some(2 + count + length))
}

/// Reads elements from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BerReader<'a> {
    rest: &'a [u8],
}

impl<'a> BerReader<'a> {
    /// Starts at the first of these octets.
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Whether all octets have been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next element; returns its tag and content.
    pub(crate) fn element(&mut self) -> Result<(u8, &'a [u8]), MalformedBer> {
        let (&tag, rest) = self.rest.split_first().ok_or(MalformedBer)?;
        // LDAP uses no multi-octet tags.
        if tag & 0x1f == 0x1f {
            return Err(MalformedBer);
        }
        let (&first, mut rest) = rest.split_first().ok_or(MalformedBer)?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > LENGTH_OCTETS_MAX {
                return Err(MalformedBer);
            }
            let (octets, after) = rest.split_at_checked(count).ok_or(MalformedBer)?;
            length = octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length).ok_or(MalformedBer)?;
        self.rest = rest;
        Ok((tag, content))
    }

    /// Reads the content of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], MalformedBer> {
        match self.element()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(MalformedBer),
        }
    }

    /// Reads the content of the next element if it has this tag; otherwise reads nothing.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, MalformedBer> {
        if self.peek() == Some(tag) { self.expect(tag).map(Some) } else { Ok(None) }
    }

    /// Reads a constructed element with this tag; returns a reader of its content.
    pub(crate) fn within(&mut self, tag: u8) -> Result<Self, MalformedBer> {
        self.expect(tag).map(Self::new)
    }

    /// Reads an INTEGER or ENUMERATED.
    pub(crate) fn integer(&mut self, tag: u8) -> Result<i64, MalformedBer> {
        integer(self.expect(tag)?)
    }

    /// Reads a string that must be UTF-8.
    pub(crate) fn text(&mut self, tag: u8) -> Result<&'a str, MalformedBer> {
        std::str::from_utf8(self.expect(tag)?).map_err(|_| MalformedBer)
    }

    /// Reads a BOOLEAN.
    pub(crate) fn boolean(&mut self) -> Result<bool, MalformedBer> {
        match self.expect(BOOLEAN)? {
            [octet] => Ok(*octet != 0),
            _ => Err(MalformedBer),
        }
    }
}

/// Decodes a two's complement number of one to eight octets.
pub(crate) fn integer(content: &[u8]) -> Result<i64, MalformedBer> {
    let first = *content.first().ok_or(MalformedBer)?;
    if content.len() > 8 {
        return Err(MalformedBer);
    }
    let sign = if first >= 0x80 { -1 } else { 0 };
    Ok(content.iter().fold(sign, |sum, octet| sum << 8 | i64::from(*octet)))
}

/// Writes elements to a growing buffer.
#[derive(Debug, Default)]
pub(crate) struct BerWriter {
    out: Vec<u8>,
}

impl BerWriter {
    /// Returns the octets written.
    pub(crate) fn into_octets(self) -> Vec<u8> {
        self.out
    }

    /// Returns the number of octets written.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Writes a primitive element.
    pub(crate) fn string(&mut self, tag: u8, content: &[u8]) {
        self.out.push(tag);
        write_length(&mut self.out, content.len());
        self.out.extend_from_slice(content);
    }

    /// Writes an INTEGER or ENUMERATED in the fewest octets.
    pub(crate) fn integer(&mut self, tag: u8, value: i64) {
        let octets = value.to_be_bytes();
        let sign = if value < 0 { 0xff } else { 0 };
        let mut skip = 0;
        while skip < 7 && octets[skip] == sign && (octets[skip + 1] & 0x80 == sign & 0x80) {
            skip += 1;
        }
        self.string(tag, octets.get(skip..).unwrap_or_default());
    }

    /// Writes a BOOLEAN.
    pub(crate) fn boolean(&mut self, value: bool) {
        self.string(BOOLEAN, &[if value { 0xff } else { 0 }]);
    }

    /// Writes a constructed element. `content` is called to write its content.
    pub(crate) fn within(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        self.out.push(tag);
        let start = self.out.len();
        content(self);
        let mut length = Vec::with_capacity(5);
        write_length(&mut length, self.out.len() - start);
        // The length comes before the content. Moving the content by a few octets is cheaper than measuring it first.
        self.out.splice(start..start, length);
    }
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    if length < 0x80 {
        out.push(length as u8);
        return;
    }
    let octets = (length as u64).to_be_bytes();
    let skip = octets.iter().take_while(|octet| **octet == 0).count();
    out.push(0x80 | (octets.len() - skip) as u8);
    out.extend_from_slice(octets.get(skip..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_measured_before_they_are_complete() {
        for (octets, expect) in [
            (&[][..], Ok(None)),
            (&[0x30], Ok(None)),
            (&[0x30, 5], Ok(Some(7))),
            (&[0x30, 0x82, 1], Ok(None)),
            (&[0x30, 0x82, 1, 0], Ok(Some(260))),
            (&[0x30, 0x80], Err(MalformedBer)),
            (&[0x30, 0x85, 0, 0, 0, 0, 1], Err(MalformedBer)),
            (&[0x16, 3, 1], Err(MalformedBer)),
        ] {
            assert_eq!(frame_length(octets), expect, "{octets:x?}");
        }
    }

    #[test]
    fn truncated_and_invalid_elements_are_refused() {
        for octets in [&[][..], &[4], &[4, 2, 1], &[0x1f, 1, 0], &[4, 0x80], &[4, 0x82, 1]] {
            assert_eq!(BerReader::new(octets).element(), Err(MalformedBer), "{octets:x?}");
        }
        assert_eq!(integer(&[]), Err(MalformedBer));
        assert_eq!(integer(&[0; 9]), Err(MalformedBer));
        assert_eq!(BerReader::new(&[1, 2, 0, 0]).boolean(), Err(MalformedBer));
        assert_eq!(BerReader::new(&[4, 1, 0xff]).text(OCTET_STRING), Err(MalformedBer));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<i64>(), text in prop::collection::vec(any::<u8>(), 0..300), flag: bool) {
            let mut writer = BerWriter::default();
            writer.within(SEQUENCE, |w| {
                w.integer(INTEGER, number);
                w.string(OCTET_STRING, &text);
                w.boolean(flag);
            });
            let octets = writer.into_octets();
            prop_assert_eq!(frame_length(&octets), Ok(Some(octets.len())));
            let mut reader = BerReader::new(&octets).within(SEQUENCE).unwrap();
            prop_assert_eq!(reader.integer(INTEGER), Ok(number));
            prop_assert_eq!(reader.expect(OCTET_STRING), Ok(&text[..]));
            prop_assert_eq!(reader.boolean(), Ok(flag));
            prop_assert!(reader.is_empty());
        }
    }
}

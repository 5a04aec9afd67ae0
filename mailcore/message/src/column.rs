//! The encoding of derived columns: numbers as LEB128, octets after their length. Every read is checked, because a
//! column comes from a disk that may be damaged.

/// Initial capacity, octets; most columns are smaller.
const COLUMN_OCTETS: usize = 512;

/// Writes a column.
#[derive(Debug)]
pub(crate) struct ColumnWriter(Vec<u8>);

impl ColumnWriter {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(COLUMN_OCTETS))
    }

    /// Returns the column. A column larger than `octets_max` is not kept: the result is empty.
    pub(crate) fn finish(self, octets_max: usize) -> Vec<u8> {
        if self.0.len() <= octets_max { self.0 } else { Vec::new() }
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.0.extend_from_slice(octets);
    }

    /// Writes octets without a length, up to the end of the column.
    pub(crate) fn rest(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    /// Writes an optional value, so that absent differs from empty.
    pub(crate) fn optional(&mut self, octets: Option<&[u8]>) {
        match octets {
            None => self.number(0),
            Some(octets) => {
                self.number(octets.len() as u64 + 1);
                self.0.extend_from_slice(octets);
            }
        }
    }

    pub(crate) fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| one(self, item));
    }
}

/// Reads a column. `None` means that the column is damaged.
#[derive(Debug)]
pub(crate) struct ColumnReader<'a>(&'a [u8]);

impl<'a> ColumnReader<'a> {
    pub(crate) fn new(column: &'a [u8]) -> Self {
        Self(column)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (octet, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(octet & 0x7f).checked_shl(shift)?;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, octets: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(octets).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn octets(&mut self) -> Option<&'a [u8]> {
        let octets = self.number()?;
        self.take(octets)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(octets) => self.take(octets).map(Some),
        }
    }

    /// Reads a list. Each item takes at least one octet, so a false length fails before memory is reserved for it.
    pub(crate) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let items = usize::try_from(self.number()?).ok().filter(|items| *items <= self.0.len())?;
        (0..items).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_was_written() {
        let mut writer = ColumnWriter::new();
        for number in [0, 1, 127, 128, 300, u64::MAX] {
            writer.number(number);
        }
        writer.octets(b"abc");
        writer.optional(None);
        writer.optional(Some(b""));
        writer.list(&[1, 2], |writer, number| writer.number(*number));
        writer.rest(b"rest");
        let column = writer.finish(100);
        let mut reader = ColumnReader::new(&column);
        for number in [0, 1, 127, 128, 300, u64::MAX] {
            assert_eq!(reader.number(), Some(number));
        }
        assert_eq!(reader.octets(), Some(&b"abc"[..]));
        assert_eq!((reader.optional(), reader.optional()), (Some(None), Some(Some(&b""[..]))));
        assert_eq!(reader.list(ColumnReader::number), Some(vec![1, 2]));
        assert_eq!(reader.rest(), b"rest");
    }

    #[test]
    fn a_column_that_is_too_long_is_empty() {
        let mut writer = ColumnWriter::new();
        writer.octets(&[0; 100]);
        assert_eq!(writer.finish(100), b"");
    }

    proptest! {
        #[test]
        fn any_column_is_read_or_refused(column in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = ColumnReader::new(&column);
            let _ = reader.list(|reader| reader.optional());
            let _ = reader.octets();
        }
    }
}

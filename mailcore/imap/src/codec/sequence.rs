//! Sequence sets (RFC 3501 §9 `sequence-set`).

use std::num::NonZeroU32;

use provost_store::Uid;

use super::cursor::{Cursor, ParseError};

/// Maximum number of ranges in one set: as many as a line of 64 KiB holds at four octets each (`1:2,`).
const RANGES_MAX: usize = 16_384;

/// One end of a range in a sequence set (RFC 3501 §9, `seq-number`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SequenceNumber {
    Number(NonZeroU32),
    /// `*`: the largest number in use.
    Last,
}

/// Message numbers or UIDs as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SequenceSet(Vec<(SequenceNumber, SequenceNumber)>);

/// Ascending, disjoint ranges, both ends included.
pub(crate) type Ranges = Vec<(u32, u32)>;

impl SequenceSet {
    /// Reads a `sequence-set`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let mut ranges = Vec::new();
        loop {
            if ranges.len() >= RANGES_MAX {
                return Err(ParseError("a sequence set has too many ranges"));
            }
            let first = sequence_number(cursor)?;
            let second = if cursor.eat(b':') { sequence_number(cursor)? } else { first };
            ranges.push((first, second));
            if !cursor.eat(b',') {
                return Ok(Self(ranges));
            }
        }
    }

    /// The set with `*` replaced by `last`. For an empty mailbox `last` is 0, and `*` alone names nothing.
    pub(crate) fn resolve(&self, last: u32) -> Ranges {
        let value = |end: SequenceNumber| match end {
            SequenceNumber::Number(number) => number.get(),
            SequenceNumber::Last => last,
        };
        let mut ranges: Ranges = self.0.iter().map(|(first, second)| (value(*first), value(*second))).collect();
        ranges.iter_mut().for_each(|range| *range = (range.0.min(range.1), range.0.max(range.1)));
        ranges.retain(|range| range.1 > 0);
        ranges.sort_unstable();
        let mut merged: Ranges = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(before) if low <= before.1.saturating_add(1) => before.1 = before.1.max(high),
                _ => merged.push((low.max(1), high)),
            }
        }
        merged
    }

    /// Whether the set names a number above `last`, other than in a range with `*`, which always names `last`.
    pub(crate) fn is_beyond(&self, last: u32) -> bool {
        self.0.iter().any(|ends| match ends {
            (SequenceNumber::Number(first), SequenceNumber::Number(second)) => first.max(second).get() > last,
            _ => false,
        })
    }
}

fn sequence_number(cursor: &mut Cursor<'_>) -> Result<SequenceNumber, ParseError> {
    if cursor.eat(b'*') {
        return Ok(SequenceNumber::Last);
    }
    NonZeroU32::new(cursor.number()?).map(SequenceNumber::Number).ok_or(ParseError("message numbers begin at 1"))
}

/// Whether `number` is in `ranges`.
pub(crate) fn contains(ranges: &Ranges, number: u32) -> bool {
    let after = ranges.partition_point(|range| range.0 <= number);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| number <= range.1)
}

/// Writes numbers in their order as a `sequence-set`, with ranges for consecutive numbers; empty without numbers.
pub(crate) fn format(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut text = String::new();
    let mut numbers = numbers.into_iter().peekable();
    while let Some(first) = numbers.next() {
        let mut last = first;
        while let Some(next) = numbers.next_if(|next| last.checked_add(1) == Some(*next)) {
            last = next;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if last > first {
            text.push_str(&format!(":{last}"));
        }
    }
    text
}

/// Writes UIDs as a `uid-set` (RFC 4315 §4).
pub(crate) fn format_uids(uids: impl IntoIterator<Item = Uid>) -> String {
    format(uids.into_iter().map(|uid| uid.get()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn set(text: &str) -> Result<SequenceSet, ParseError> {
        SequenceSet::parse(&mut Cursor::new(&Bytes::copy_from_slice(text.as_bytes())))
    }

    /// RFC 3501 §9 `seq-number`: `*` is the largest number in use, and the order within a range does not matter.
    #[test]
    fn resolves() {
        for (text, last, expect) in [
            ("1", 9, &[(1, 1)][..]),
            ("4:2,1", 9, &[(1, 4)]),
            ("*", 9, &[(9, 9)]),
            ("*:4,5:7", 5, &[(4, 7)]),
            ("12:*", 9, &[(9, 12)]),
            ("1:*", 0, &[(1, 1)]),
            ("*", 0, &[]),
            ("2,4,6:8,7:10", 9, &[(2, 2), (4, 4), (6, 10)]),
            ("4294967295,1", 9, &[(1, 1), (4294967295, 4294967295)]),
        ] {
            assert_eq!(set(text).unwrap().resolve(last), expect, "{text}");
        }
    }

    #[test]
    fn refuses() {
        for text in ["", "0", "1:", "a", "1,,2", "4294967296", ",1", ":3"] {
            assert!(set(text).is_err(), "{text}");
        }
        assert!(set(&"1,".repeat(RANGES_MAX + 1)).is_err());
    }

    #[test]
    fn formats() {
        assert_eq!(format([1, 2, 3, 5, 7, 8, 3]), "1:3,5,7:8,3");
        assert_eq!(format([]), "");
    }
}

//! One entry as octets, the same in memory and on disk: a fixed head, its RDN, then attributes by number.
//!
//! An entry takes about as much memory as the text of its values, so the whole directory fits in memory.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::catalogue::ClassId;
use crate::csn::Csn;

/// The number of an attribute description (type and options) in the table of names.
pub(crate) type NameId = u16;

/// Length of an encoded [`EntryHead`]: the fields in their order without padding. The CSN takes 14 octets.
const HEAD_OCTETS: usize = 16 + 14 + 8 + 4 + 4 + 2 + 2;

/// The fixed part of every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHead {
    pub(crate) uuid: Uuid,
    /// The CSN of the last change; its time is also modifyTimestamp.
    pub(crate) csn: Csn,
    /// When the entry was added, seconds since 1970.
    pub(crate) created: i64,
    /// The creator, as a number in the table of identities.
    pub(crate) creator: u32,
    /// The identity of the last change, as a number in the table of identities.
    pub(crate) modifier: u32,
    /// The list of object classes, as a number in its table.
    pub(crate) classes: u16,
    /// The structural class, by its index in the catalogue. Loading sets it anew, because a later schema may have
    /// another order.
    pub(crate) structural: ClassId,
}

impl EntryHead {
    /// Returns createTimestamp.
    pub(crate) fn created(&self) -> Timestamp {
        Timestamp::from_second(self.created).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The encoded octets of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct EncodedEntry(Box<[u8]>);

/// An entry decoded for changes: attributes other than objectClass, values in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryDraft {
    pub(crate) head: EntryHead,
    /// The RDN as displayed, `type=value`; for the suffix entry, the whole suffix.
    pub(crate) rdn: String,
    pub(crate) attributes: BTreeMap<NameId, Vec<Vec<u8>>>,
}

impl EntryDraft {
    /// Returns the encoded form.
    pub(crate) fn encode(&self) -> EncodedEntry {
        let head = &self.head;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(head.uuid.as_bytes());
        out.extend_from_slice(&head.csn.micros.to_le_bytes());
        out.extend_from_slice(&head.csn.count.to_le_bytes());
        out.extend_from_slice(&head.csn.server.to_le_bytes());
        out.extend_from_slice(&head.created.to_le_bytes());
        out.extend_from_slice(&head.creator.to_le_bytes());
        out.extend_from_slice(&head.modifier.to_le_bytes());
        out.extend_from_slice(&head.classes.to_le_bytes());
        out.extend_from_slice(&head.structural.to_le_bytes());
        write_octets(&mut out, self.rdn.as_bytes());
        for (name, values) in &self.attributes {
            write_number(&mut out, usize::from(*name));
            write_number(&mut out, values.len());
            values.iter().for_each(|value| write_octets(&mut out, value));
        }
        EncodedEntry(out.into_boxed_slice())
    }
}

impl EncodedEntry {
    /// Checks octets from the disk; `None` when they are not an encoded entry.
    pub(crate) fn from_octets(octets: Vec<u8>) -> Option<Self> {
        let record = Self(octets.into_boxed_slice());
        record.head()?;
        let mut rest = RecordReader(record.0.get(HEAD_OCTETS..)?);
        std::str::from_utf8(rest.read_octets()?).ok()?;
        while !rest.0.is_empty() {
            u16::try_from(rest.read_number()?).ok()?;
            for _ in 0..rest.read_number()? {
                rest.read_octets()?;
            }
        }
        Some(record)
    }

    /// Returns the octets for the disk.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Returns the head; `None` only for the empty record in a free slot of the tree.
    pub(crate) fn head(&self) -> Option<EntryHead> {
        let mut at = &*self.0;
        Some(EntryHead {
            uuid: Uuid::from_bytes(take(&mut at)?),
            csn: Csn {
                micros: i64::from_le_bytes(take(&mut at)?),
                count: u32::from_le_bytes(take(&mut at)?),
                server: u16::from_le_bytes(take(&mut at)?),
            },
            created: i64::from_le_bytes(take(&mut at)?),
            creator: u32::from_le_bytes(take(&mut at)?),
            modifier: u32::from_le_bytes(take(&mut at)?),
            classes: u16::from_le_bytes(take(&mut at)?),
            structural: u16::from_le_bytes(take(&mut at)?),
        })
    }

    /// Sets the structural class.
    pub(crate) fn set_structural(&mut self, class: ClassId) {
        if let Some(octets) = self.0.get_mut(HEAD_OCTETS - 2..HEAD_OCTETS) {
            octets.copy_from_slice(&class.to_le_bytes());
        }
    }

    /// Returns the RDN as displayed.
    pub(crate) fn rdn(&self) -> &str {
        let octets = self.0.get(HEAD_OCTETS..).and_then(|body| RecordReader(body).read_octets());
        octets.and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default()
    }

    /// Returns the attributes in order of their numbers, without objectClass.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        let mut body = RecordReader(self.0.get(HEAD_OCTETS..).unwrap_or_default());
        body.read_octets();
        Attributes(body)
    }

    /// Decodes the whole record; `None` for an empty one.
    pub(crate) fn open(&self) -> Option<EntryDraft> {
        let attributes = self.attributes().map(|(name, values)| (name, values.map(<[u8]>::to_vec).collect()));
        Some(EntryDraft { head: self.head()?, rdn: self.rdn().to_owned(), attributes: attributes.collect() })
    }
}

fn take<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = at.split_first_chunk::<N>()?;
    *at = rest;
    Some(*head)
}

/// Writes seven bits per octet, the low ones first; a set high bit means that another octet follows.
fn write_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_octets(out: &mut Vec<u8>, octets: &[u8]) {
    write_number(out, octets.len());
    out.extend_from_slice(octets);
}

/// Reads numbers and octet strings from the front of an encoded entry.
#[derive(Clone, Copy, Debug)]
struct RecordReader<'a>(&'a [u8]);

impl<'a> RecordReader<'a> {
    fn read_number(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for shift in (0..35).step_by(7) {
            let (&octet, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= usize::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn read_octets(&mut self) -> Option<&'a [u8]> {
        let length = self.read_number()?;
        let (octets, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(octets)
    }
}

/// The iterator of [`EncodedEntry::attributes`].
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a>(RecordReader<'a>);

impl<'a> Iterator for Attributes<'a> {
    type Item = (NameId, AttributeValues<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = u16::try_from(self.0.read_number()?).ok()?;
        let count = self.0.read_number()?;
        let values = AttributeValues { rest: self.0, values_left: count };
        for _ in 0..count {
            self.0.read_octets()?;
        }
        Some((name, values))
    }
}

/// The iterator over the values of one attribute.
#[derive(Clone, Debug)]
pub(crate) struct AttributeValues<'a> {
    rest: RecordReader<'a>,
    values_left: usize,
}

impl<'a> Iterator for AttributeValues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.values_left = self.values_left.checked_sub(1)?;
        self.rest.read_octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_draft_survives_encoding(
            attributes in prop::collection::btree_map(any::<u16>(), prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4), 0..6),
            rdn in "[a-zé=]{0,200}",
            numbers: (i64, u32, u16, i64, u32, u16),
        ) {
            let csn = Csn { micros: numbers.0, count: numbers.1, server: numbers.2 };
            let head = EntryHead {
                uuid: Uuid::from_u128(7), csn, created: numbers.3, creator: numbers.4, modifier: 1, classes: numbers.5, structural: 2,
            };
            let draft = EntryDraft { head, rdn, attributes };
            let record = EncodedEntry::from_octets(draft.encode().octets().to_vec()).unwrap();
            prop_assert_eq!(record.open().unwrap(), draft);
        }

        #[test]
        fn damaged_octets_are_refused_or_read(octets in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(record) = EncodedEntry::from_octets(octets) {
                prop_assert!(record.open().is_some());
            }
        }
    }
}

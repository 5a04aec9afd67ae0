//! Flags and keywords of messages.

use serde::{Deserialize, Serialize};

/// System flags (RFC 3501 §2.3.2). `\Recent` is not stored as a flag: only the first session that is notified of a
/// message reports `\Recent` (see [`MailboxInfo::recent_from`](crate::MailboxInfo::recent_from)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Flag {
    /// `\Seen`: the message has been read.
    Seen,
    /// `\Answered`: the message has been answered.
    Answered,
    /// `\Flagged`: marked for special attention.
    Flagged,
    /// `\Deleted`: EXPUNGE will remove the message.
    Deleted,
    /// `\Draft`: the message is not finished.
    Draft,
}

/// A keyword: an IMAP atom (RFC 3501 §9) of at most 64 octets. The methods of [`Flags`] ignore the case of keywords,
/// `==` does not. The messages of one mailbox have at most 64 different keywords.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// Longest keyword, octets.
    pub const OCTETS_MAX: usize = 64;

    /// Parses an atom (RFC 3501 §9: no control, space, `( ) { % * " \ ]`); `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        let fits = !text.is_empty() && text.len() <= Self::OCTETS_MAX;
        (fits && text.bytes().all(atom)).then(|| Self(text.into()))
    }

    /// Returns the keyword in the case in which it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The flags of one message: system flags as bits, keywords sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    bits: u8,
    keywords: Vec<Keyword>,
}

impl Flags {
    /// All bits of system flags.
    const SYSTEM_BITS: u8 = 0b1_1111;

    /// Returns an empty set.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether a system flag is set.
    pub fn has(&self, flag: Flag) -> bool {
        self.bits & Self::bit(flag) != 0
    }

    /// Sets a system flag.
    pub fn insert(&mut self, flag: Flag) {
        self.bits |= Self::bit(flag);
    }

    /// Clears a system flag.
    pub fn remove(&mut self, flag: Flag) {
        self.bits &= !Self::bit(flag);
    }

    /// Sets a keyword, unless it is set in any case.
    pub fn insert_keyword(&mut self, keyword: Keyword) {
        if !self.has_keyword(keyword.as_str()) {
            self.keywords.push(keyword);
            self.keywords.sort();
        }
    }

    /// Clears a keyword.
    pub fn remove_keyword(&mut self, keyword: &str) {
        self.keywords.retain(|k| !k.as_str().eq_ignore_ascii_case(keyword));
    }

    /// Whether a keyword is set, ignoring case.
    pub fn has_keyword(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|k| k.as_str().eq_ignore_ascii_case(keyword))
    }

    /// Returns the system flags that are set.
    pub fn system(&self) -> impl Iterator<Item = Flag> + '_ {
        [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft].into_iter().filter(|f| self.has(*f))
    }

    /// Returns the keywords that are set.
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.bits == 0 && self.keywords.is_empty()
    }

    /// Sets all flags of `other`.
    pub fn add(&mut self, other: &Self) {
        self.bits |= other.bits;
        other.keywords.iter().for_each(|keyword| self.insert_keyword(keyword.clone()));
    }

    /// Clears all flags of `other`.
    pub fn subtract(&mut self, other: &Self) {
        self.bits &= !other.bits;
        other.keywords.iter().for_each(|keyword| self.remove_keyword(keyword.as_str()));
    }

    /// Encodes the flags: one octet of system flags, then the keywords separated by spaces.
    pub(crate) fn to_row(&self) -> Vec<u8> {
        let mut row = vec![self.bits];
        for keyword in &self.keywords {
            if row.len() > 1 {
                row.push(b' ');
            }
            row.extend_from_slice(keyword.as_str().as_bytes());
        }
        row
    }

    /// Decodes [`Flags::to_row`]; `None` when the row is damaged.
    pub(crate) fn from_row(row: &[u8]) -> Option<Self> {
        let (bits, words) = row.split_first()?;
        if bits & !Self::SYSTEM_BITS != 0 {
            return None;
        }
        let words = std::str::from_utf8(words).ok()?;
        let keywords: Option<Vec<_>> = words.split_terminator(' ').map(Keyword::parse).collect();
        Some(Self { bits: *bits, keywords: keywords? })
    }

    /// Returns the bit of a flag in stored rows. The order of the variants of [`Flag`] decides the bits, so it must not
    /// change.
    fn bit(flag: Flag) -> u8 {
        1 << (flag as u8)
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        let mut set = Self::none();
        flags.into_iter().for_each(|flag| set.insert(flag));
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keywords_are_atoms() {
        let long = "k".repeat(64);
        let too_long = "k".repeat(65);
        let good = ["$Forwarded", "NonJunk", "a[b", "x.y-z", &long];
        let bad = ["", " ", "a b", "\\Seen", "a(b", "a]b", "a\"", "a*", "a%", "a{", "é", "a\u{7f}", &too_long];
        assert!(good.iter().all(|text| Keyword::parse(text).is_some_and(|k| k.as_str() == *text)));
        assert!(bad.iter().all(|text| Keyword::parse(text).is_none()));
    }

    #[test]
    fn keywords_are_compared_ignoring_case() {
        let mut flags = Flags::none();
        flags.insert_keyword(Keyword::parse("Work").unwrap());
        flags.insert_keyword(Keyword::parse("WORK").unwrap());
        assert_eq!(flags.keywords().len(), 1);
        flags.remove_keyword("work");
        assert!(flags.is_empty());
    }

    proptest! {
        #[test]
        fn encoded_flags_are_decoded_unchanged(bits in 0u8..32, words in prop::collection::vec("[!#$+-Z^-z]{1,20}", 0..8)) {
            let mut flags = Flags { bits, keywords: Vec::new() };
            words.iter().filter_map(|w| Keyword::parse(w)).for_each(|k| flags.insert_keyword(k));
            prop_assert_eq!(Flags::from_row(&flags.to_row()), Some(flags));
        }

        #[test]
        fn any_row_is_decoded_or_refused(row in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(flags) = Flags::from_row(&row) {
                prop_assert!(flags.bits < 32);
            }
        }
    }
}

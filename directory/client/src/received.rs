//! Entries of large search results.

use provost_entry::Entry;

/// A search result entry (RFC 4511 §4.5.2) as it arrived. Its names are not parsed, so that a million of them can be
/// read in seconds; [`Entry`] is the type for everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedEntry {
    /// The name of the entry. It may be no DN.
    pub dn: String,
    /// Attribute descriptions with their values.
    pub(crate) attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl ReceivedEntry {
    /// Returns the attribute descriptions and their values, in the order in which they arrived.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &[Vec<u8>])> {
        self.attributes.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Returns the values of `name`, options included, that are UTF-8.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.attributes.iter().find(|(held, _)| held.eq_ignore_ascii_case(name));
        named.into_iter().flat_map(|(_, values)| values).filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the first value of `name` that is UTF-8.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }
}

impl From<&Entry> for ReceivedEntry {
    fn from(entry: &Entry) -> Self {
        let attributes = entry.attributes().map(|(name, values)| (name.as_str().to_owned(), values.to_vec()));
        Self { dn: entry.dn.as_str().to_owned(), attributes: attributes.collect() }
    }
}

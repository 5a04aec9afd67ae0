//! The values of a person that filters of groups compare, and that the rest of the View does not need.

use serde::{Deserialize, Serialize};

use super::FILTER_ATTRIBUTES;
use crate::{Entry, prep};

/// Maximum number of values read of one attribute.
const VALUES_MAX: usize = 16;
/// Longest value, octets; a longer one is left out.
const VALUE_OCTETS_MAX: usize = 256;
/// Separates the values of a [`Facets`]; a prepared value has none.
const SEPARATOR: char = '\n';

/// Prepared values (RFC 4518) of [`FILTER_ATTRIBUTES`] in one text, because there is one for each person: lines of a
/// letter for the attribute and a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets(Box<str>);

impl Facets {
    /// Reads the values of a person's entry.
    pub fn of_entry(entry: &Entry) -> Self {
        let mut lines = String::new();
        for (letter, name) in ('a'..).zip(FILTER_ATTRIBUTES) {
            let values = entry.texts(name).filter(|text| text.len() <= VALUE_OCTETS_MAX).take(VALUES_MAX);
            for value in values.filter_map(prepared).filter(|value| !value.contains(SEPARATOR)) {
                if !lines.is_empty() {
                    lines.push(SEPARATOR);
                }
                lines.push(letter);
                lines.push_str(&value);
            }
        }
        Self(lines.into())
    }

    /// The values of the attribute with this number in [`FILTER_ATTRIBUTES`].
    pub(crate) fn values(&self, attribute: usize) -> impl Iterator<Item = &str> {
        let letter = u8::try_from(attribute).ok().and_then(|number| b'a'.checked_add(number)).map(char::from);
        self.0.split(SEPARATOR).filter_map(move |line| line.strip_prefix(letter?))
    }
}

/// The form in which values are compared; `None` for a text that has none.
pub(super) fn prepared(text: &str) -> Option<String> {
    prep::directory_string(text.trim(), prep::CaseHandling::Ignored)
}

//! On whom or on what an operation is done, and in which version of the entry.

/// Which versions of an entry a change is meant for (RFC 9110 §13.1.1, If-Match).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever the entry is now.
    #[default]
    Any,
    /// One of these values of entryCSN; of none when empty.
    OneOf(Vec<String>),
}

/// A person or a setting, and the version of the entry for which a change is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Of a person: provostPersonId, login, address or source id. Of a setting: its name.
    pub key: &'a str,
    /// Compared with the entry as the change reads it, which is the one that its write asserts.
    pub expected: Expected,
}

impl<'a> Target<'a> {
    /// In one of the expected versions.
    pub fn new(key: &'a str, expected: Expected) -> Self {
        Self { key, expected }
    }
}

impl<'a> From<&'a str> for Target<'a> {
    fn from(key: &'a str) -> Self {
        Self::new(key, Expected::Any)
    }
}

impl<'a> From<&'a String> for Target<'a> {
    fn from(key: &'a String) -> Self {
        Self::new(key, Expected::Any)
    }
}

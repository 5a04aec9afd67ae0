//! The person or setting that an operation concerns, and the expected version of its entry.

/// Which versions of an entry a change is meant for (RFC 9110 §13.1.1, If-Match).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Any version.
    #[default]
    Any,
    /// One of these values of entryCSN; an empty list matches none.
    OneOf(Vec<String>),
}

/// A person or a setting, and the version of the entry for which a change is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeTarget<'a> {
    /// provostPersonId, login, address or number in a source (`registrar:12345`) of a person, or the name of a setting.
    pub key: &'a str,
    /// The version that the change must find when it reads the entry; the write asserts the version that was read.
    pub expected: ExpectedVersion,
}

impl<'a> ChangeTarget<'a> {
    /// A target in one of the expected versions.
    pub fn new(key: &'a str, expected: ExpectedVersion) -> Self {
        Self { key, expected }
    }
}

impl<'a> From<&'a str> for ChangeTarget<'a> {
    fn from(key: &'a str) -> Self {
        Self::new(key, ExpectedVersion::Any)
    }
}

impl<'a> From<&'a String> for ChangeTarget<'a> {
    fn from(key: &'a String) -> Self {
        Self::new(key, ExpectedVersion::Any)
    }
}

//! Names of mailboxes.

use serde::{Deserialize, Serialize};

/// A mailbox name in UTF-8, with `/` between levels. A first level that is INBOX in any case is kept in capitals. At
/// most 255 octets and 16 levels, which are limits of this store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailboxName(Box<str>);

impl MailboxName {
    /// The hierarchy separator.
    pub const SEPARATOR: char = '/';
    /// Longest name, octets of UTF-8: longer ones could not move to other servers.
    pub const OCTETS_MAX: usize = 255;
    /// Maximum number of levels, which bounds the parents that one CREATE makes.
    pub const LEVELS_MAX: usize = 16;

    /// Checks and normalises a name: INBOX in any case becomes `INBOX`, also as first level. `None` when the text is
    /// too long or too deep, or has an empty level, a control character, `*` or `%`.
    pub fn parse(text: &str) -> Option<Self> {
        let unusable = |c: char| c.is_control() || c == '*' || c == '%';
        let levels = || text.split(Self::SEPARATOR);
        if text.len() > Self::OCTETS_MAX || text.contains(unusable) {
            return None;
        }
        if levels().any(str::is_empty) || levels().count() > Self::LEVELS_MAX {
            return None;
        }
        let (first, rest) = text.split_at(levels().next()?.len());
        match first.eq_ignore_ascii_case("INBOX") {
            true => Some(Self(format!("INBOX{rest}").into())),
            false => Some(Self(text.into())),
        }
    }

    /// Returns the name INBOX.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// Whether the name is below `parent`.
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_prefix(&*parent.0).is_some_and(|rest| rest.starts_with(Self::SEPARATOR))
    }

    /// Returns the names above, the highest first.
    pub fn parents(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.match_indices(Self::SEPARATOR).filter_map(|(at, _)| self.0.get(..at)).map(|text| Self(text.into()))
    }

    /// The name after a RENAME of `from` to `to`: changed if it is `from` or below `from`. `None` for other names, and
    /// when the result is too long or too deep.
    pub(crate) fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        if self == from {
            return Some(to.clone());
        }
        let rest = self.is_below(from).then(|| self.0.get(from.0.len()..)).flatten()?;
        Self::parse(&format!("{}{rest}", to.0))
    }
}

impl std::fmt::Display for MailboxName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_checked_and_normalised() {
        let sixteen = vec!["a"; 16].join("/");
        let seventeen = vec!["a"; 17].join("/");
        let (fits, too_long) = ("x".repeat(255), "x".repeat(256));
        let table: &[(&str, Option<&str>)] = &[
            ("inbox", Some("INBOX")),
            ("InBox/Été", Some("INBOX/Été")),
            ("inboxes", Some("inboxes")),
            ("a/inbox", Some("a/inbox")),
            ("Sent Items", Some("Sent Items")),
            (&sixteen, Some(&sixteen)),
            (&seventeen, None),
            (&fits, Some(&fits)),
            (&too_long, None),
            ("", None),
            ("/a", None),
            ("a/", None),
            ("a//b", None),
            ("a*", None),
            ("a%b", None),
            ("a\r\nb", None),
            ("a\u{85}", None),
        ];
        for (text, expect) in table {
            assert_eq!(MailboxName::parse(text).as_ref().map(MailboxName::as_str), *expect, "{text}");
        }
    }

    #[test]
    fn parents_names_below_and_moved_names() {
        let name = |text: &str| MailboxName::parse(text).unwrap();
        assert_eq!(name("a/b/c").parents().collect::<Vec<_>>(), [name("a"), name("a/b")]);
        assert_eq!(name("a").parents().count(), 0);
        assert!(name("a/b").is_below(&name("a")));
        assert!(!name("ab").is_below(&name("a")));
        assert!(!name("a").is_below(&name("a")));
        assert_eq!(name("a/b/c").moved(&name("a"), &name("x/y")), Some(name("x/y/b/c")));
        assert_eq!(name("ab").moved(&name("a"), &name("x")), None);
    }

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself_and_is_below_its_parents(text in ".{0,40}") {
            if let Some(name) = MailboxName::parse(&text) {
                prop_assert_eq!(MailboxName::parse(name.as_str()), Some(name.clone()));
                prop_assert!(name.parents().all(|parent| name.is_below(&parent)));
            }
        }
    }
}

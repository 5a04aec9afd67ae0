//! What becomes of the classes that a source's enrolments name, and how a file of enrolments is read.

use super::{check_source_name, folded};

/// Longest time for which the list of a class goes on after its term, days.
const DAYS_MAX: u16 = 3660;
/// Largest share of its members that a file takes out of a class where the profile does not say otherwise, percent.
pub const LOSS_SHARE: u8 = 50;

/// The groups of the classes of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassGroups {
    /// Whether there are groups, and where their addresses are.
    pub lists: ClassLists,
    /// Days after the last day of the term for which the list takes mail.
    pub days_after: u16,
    /// Largest share of its members, in percent, that a file takes out of a class; `None` for [`LOSS_SHARE`].
    pub loss_share: Option<u8>,
    /// The sender's names of the columns of a file of enrolments, in lower case, with ours.
    pub columns: Vec<(String, String)>,
    /// The source whose numbers of people a file of enrolments has; `None` for its own.
    pub numbers_of: Option<String>,
}

/// Where the addresses of the classes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClassLists {
    /// Classes get no groups.
    Off,
    /// Groups without an address: other groups can have them as members.
    NoAddress,
    /// In the site's domain.
    #[default]
    Site,
    /// In this domain, in lower case.
    Domain(String),
}

impl ClassLists {
    fn parse(words: &str) -> Result<Self, String> {
        Ok(match words {
            "off" => Self::Off,
            "none" => Self::NoAddress,
            "site" => Self::Site,
            domain => {
                let rule = "site, none, off, or a domain";
                let address = provost_entry::Address::parse(&format!("x@{domain}")).map_err(|_| rule)?;
                Self::Domain(address.domain().to_owned())
            }
        })
    }
}

impl ClassGroups {
    /// The keys of a profile that concern classes.
    pub(super) const KEYS: [&'static str; 5] =
        ["class-lists", "class-days", "class-loss", "class-column", "numbers-of"];

    /// Reads one line of a profile; the error is the rule that it breaks.
    pub(super) fn set(&mut self, key: &str, words: &str) -> Result<(), String> {
        match key {
            "class-days" => {
                let days = words.parse().ok().filter(|days| *days <= DAYS_MAX);
                self.days_after = days.ok_or_else(|| format!("a number of days, at most {DAYS_MAX}"))?;
            }
            "class-loss" => {
                let share = words.trim_end_matches('%').trim_end().parse().ok().filter(|share| *share <= 100);
                self.loss_share = Some(share.ok_or("a share in percent, at most 100")?);
            }
            "class-column" => {
                let pair = words.split_once(char::is_whitespace).map(|(ours, theirs)| (folded(theirs), folded(ours)));
                self.columns.push(pair.ok_or("expected: class-column COLUMN THEIR NAME")?);
            }
            "numbers-of" => {
                check_source_name(words)?;
                self.numbers_of = Some(words.to_owned());
            }
            _ => self.lists = ClassLists::parse(words)?,
        }
        Ok(())
    }

    /// The place among `columns` of the one for which a name in the sender's header, in lower case, stands.
    pub(crate) fn column(&self, header: &str, columns: &[&str]) -> Option<usize> {
        let ours = self.columns.iter().find(|(theirs, _)| theirs == header).map_or(header, |(_, ours)| ours);
        columns.iter().position(|column| *column == ours)
    }

    /// Whether a line states how a file of enrolments is read.
    pub(super) fn is_of_files(&self) -> bool {
        self.numbers_of.is_some() || !self.columns.is_empty()
    }

    /// The lines of a profile that differ from the built-in ones.
    pub(super) fn lines(&self) -> Vec<String> {
        let lists = match &self.lists {
            ClassLists::Off => Some("off"),
            ClassLists::NoAddress => Some("none"),
            ClassLists::Site => None,
            ClassLists::Domain(domain) => Some(domain.as_str()),
        };
        let mut lines: Vec<String> = lists.map(|lists| format!("class-lists {lists}")).into_iter().collect();
        lines.extend((self.days_after > 0).then(|| format!("class-days {}", self.days_after)));
        lines.extend(self.loss_share.map(|share| format!("class-loss {share}")));
        lines.extend(self.columns.iter().map(|(theirs, ours)| format!("class-column {ours} {theirs}")));
        lines.extend(self.numbers_of.iter().map(|source| format!("numbers-of {source}")));
        lines
    }
}

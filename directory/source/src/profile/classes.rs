//! What becomes of the classes that a source's enrolments name.

/// Longest time for which the list of a class goes on after its term, days.
const DAYS_MAX: u16 = 3660;

/// The groups of the classes of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassGroups {
    /// Whether there are groups, and where their addresses are.
    pub lists: ClassLists,
    /// Days after the last day of the term for which the list takes mail.
    pub days_after: u16,
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

impl Default for ClassGroups {
    fn default() -> Self {
        Self { lists: ClassLists::Site, days_after: 0 }
    }
}

impl ClassGroups {
    /// The keys of a profile that concern classes.
    pub(super) const KEYS: [&'static str; 2] = ["class-lists", "class-days"];

    /// Reads one line of a profile; the error is the rule that it breaks.
    pub(super) fn set(&mut self, key: &str, words: &str) -> Result<(), String> {
        if key == "class-days" {
            let days = words.parse().ok().filter(|days| *days <= DAYS_MAX);
            self.days_after = days.ok_or_else(|| format!("a number of days, at most {DAYS_MAX}"))?;
            return Ok(());
        }
        self.lists = match words {
            "off" => ClassLists::Off,
            "none" => ClassLists::NoAddress,
            "site" => ClassLists::Site,
            domain => {
                let rule = "site, none, off, or a domain";
                let address = provost_entry::Address::parse(&format!("x@{domain}")).map_err(|_| rule)?;
                ClassLists::Domain(address.domain().to_owned())
            }
        };
        Ok(())
    }

    /// The lines of a profile that differ from the built-in ones.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let lists = match &self.lists {
            ClassLists::Off => Some("off"),
            ClassLists::NoAddress => Some("none"),
            ClassLists::Site => None,
            ClassLists::Domain(domain) => Some(domain.as_str()),
        };
        let days = (self.days_after > 0).then(|| format!("class-days {}", self.days_after));
        lists.map(|lists| format!("class-lists {lists}")).into_iter().chain(days).collect::<Vec<_>>().into_iter()
    }
}

//! One affiliation of a person with its dates: a value of provostAffiliation.

use std::fmt;

use jiff::Timestamp;
use provost_entry::time::{format_generalized, parse_generalized};

/// Maximum number of affiliations of one person that are read.
pub const PERIODS_MAX: usize = 64;
/// The affiliations, the one that counts first before the others.
const PRECEDENCE: [&str; 5] = ["faculty", "staff", "student", "alum", "other"];
/// Stands for a time that is not stated.
const NO_TIME: &str = "-";

/// An affiliation that a source states, with its first and last second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffiliationPeriod {
    /// Name of the source, without white space.
    pub source: String,
    /// The eduPerson word, lower case: `student`.
    pub affiliation: String,
    /// First second; `None` when the source states none.
    pub start: Option<Timestamp>,
    /// Last second; `None` when the source states none.
    pub end: Option<Timestamp>,
    /// Programme or unit.
    pub program: Option<String>,
}

impl AffiliationPeriod {
    /// Reads `SOURCE WORD START END PROGRAMME`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.trim().splitn(5, ' ');
        let (source, affiliation) = (words.next()?, words.next()?);
        let mut time = || match words.next()? {
            NO_TIME => Some(None),
            text => parse_generalized(text).map(Some),
        };
        let (start, end) = (time()?, time()?);
        let program = words.next().map(str::trim).filter(|program| !program.is_empty());
        (!source.is_empty() && !affiliation.is_empty()).then(|| Self {
            source: source.to_owned(),
            affiliation: affiliation.to_ascii_lowercase(),
            start,
            end,
            program: program.map(str::to_owned),
        })
    }

    /// Whether the affiliation stands at a moment.
    pub fn stands_at(&self, at: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }

    /// Rank of the affiliation: 0 comes first.
    pub fn precedence(&self) -> usize {
        PRECEDENCE.iter().position(|word| *word == self.affiliation).unwrap_or(PRECEDENCE.len())
    }
}

impl fmt::Display for AffiliationPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<Timestamp>| time.map_or_else(|| NO_TIME.to_owned(), format_generalized);
        write!(f, "{} {} {} {}", self.source, self.affiliation, time(self.start), time(self.end))?;
        match &self.program {
            Some(program) => write!(f, " {program}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_round_trips() {
        for text in [
            "registrar student 20240901040000Z 20280601035959Z Computer Science",
            "hr staff - -",
            "registrar alum 20280601035959Z -",
        ] {
            assert_eq!(AffiliationPeriod::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "registrar", "registrar student", "registrar student - ", "registrar student 2024 -", "  - -"] {
            assert_eq!(AffiliationPeriod::parse(bad), None, "{bad}");
        }
    }
}

//! The people whom a policy concerns.

use std::fmt;

/// Affiliations that a population may name, in eduPerson's spelling.
const AFFILIATIONS: [&str; 5] = ["student", "faculty", "staff", "alum", "other"];
/// Longest programme, octets.
const PROGRAM_OCTETS_MAX: usize = 256;

/// People of one affiliation, or of one programme of it: `student`, `student/Music`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Population {
    affiliation: &'static str,
    program: Option<String>,
}

impl Population {
    /// Reads `AFFILIATION` or `AFFILIATION/PROGRAMME`; the error is the broken rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (affiliation, program) = match text.split_once('/') {
            Some((affiliation, program)) => (affiliation, Some(program.trim())),
            None => (text, None),
        };
        let affiliation = affiliation.trim();
        let known = AFFILIATIONS.iter().find(|known| known.eq_ignore_ascii_case(affiliation));
        let known = known.ok_or_else(|| format!("'{affiliation}' is not one of {}", AFFILIATIONS.join(", ")))?;
        match program {
            Some("") => Err("no programme after the slash".to_owned()),
            Some(program) if program.len() > PROGRAM_OCTETS_MAX => {
                Err(format!("a programme of more than {PROGRAM_OCTETS_MAX} octets"))
            }
            program => Ok(Self { affiliation: known, program: program.map(str::to_owned) }),
        }
    }

    /// Whether a person with this affiliation and programme belongs to the population; case is ignored.
    pub fn includes(&self, affiliation: &str, program: Option<&str>) -> bool {
        let is_of_program = |wanted: &String| program.is_some_and(|held| held.to_lowercase() == wanted.to_lowercase());
        self.affiliation.eq_ignore_ascii_case(affiliation) && self.program.as_ref().is_none_or(is_of_program)
    }

    /// Whether the population is one programme, and not everybody of an affiliation.
    pub fn is_of_one_program(&self) -> bool {
        self.program.is_some()
    }
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(f, "{}/{program}", self.affiliation),
            None => f.write_str(self.affiliation),
        }
    }
}

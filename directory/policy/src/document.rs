//! A policy document: its form in the directory, and its form as a text file.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{Dn, Entry};
use provost_schema::{attr, class, ou};

use crate::line::{LINES_MAX, PolicyLine};
use crate::population::Population;

/// Longest name of a policy, octets: a person's provostPolicy holds it.
pub const POLICY_NAME_OCTETS_MAX: usize = 64;
/// Maximum number of populations of one policy.
const POPULATIONS_MAX: usize = 64;
/// Largest text file of a policy, octets.
const TEXT_OCTETS_MAX: usize = 64 * 1024;

/// One version of the rules of one kind for a population.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDocument {
    /// Name of the version, unique among all policies: `students-2026`.
    pub name: String,
    /// What the policy decides: `lifecycle`, `naming`.
    pub kind: String,
    /// The people whom the policy concerns; empty means everybody.
    pub populations: Vec<Population>,
    /// Moment from which the policy holds; `None` means that it always held.
    pub since: Option<Timestamp>,
    /// Why the policy is as it is, for people.
    pub description: Option<String>,
    /// The rules, sorted.
    pub lines: Vec<PolicyLine>,
}

/// A rule that a policy breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy {policy}: {}: {rule}", place.as_deref().unwrap_or("the document"))]
pub struct PolicyError {
    /// Name of the policy; empty when the document states none.
    pub policy: String,
    /// The line of a text file (`line 3`), or the line of the policy itself; `None` when the whole document is wrong.
    pub place: Option<String>,
    /// The broken rule, and what to write instead.
    pub rule: String,
}

impl PolicyDocument {
    /// Reads the entry of a policy. The error names the first value that cannot be read.
    pub fn of_entry(entry: &Entry) -> Result<Self, PolicyError> {
        let name = entry.dn.rdn_value(attr::CN).or_else(|| entry.first(attr::CN).map(str::to_owned));
        let name = name.unwrap_or_default();
        let error = |place: &str, rule: String| PolicyError { policy: name.clone(), place: Some(place.into()), rule };
        check_name(&name).map_err(|rule| error(attr::CN, rule))?;
        let kind = entry.first(attr::PROVOST_POLICY_KIND).unwrap_or_default().to_ascii_lowercase();
        let since = match entry.first(attr::PROVOST_SINCE) {
            Some(text) => {
                let since = parse_generalized(text);
                Some(since.ok_or_else(|| error(attr::PROVOST_SINCE, format!("'{text}' is not a time")))?)
            }
            None => None,
        };
        let mut populations = Vec::new();
        for text in entry.texts(attr::PROVOST_POPULATION).take(POPULATIONS_MAX + 1) {
            populations.push(Population::parse(text).map_err(|rule| error(text, rule))?);
        }
        let mut lines = Vec::new();
        for text in entry.texts(attr::PROVOST_VALUE).take(LINES_MAX + 1) {
            lines.push(PolicyLine::parse(text).map_err(|rule| error(text, rule))?);
        }
        let description = entry.first(attr::DESCRIPTION).map(str::to_owned);
        Self { name, kind, populations, since, description, lines }.checked()
    }

    /// Reads the text form, in which every line is one rule and `#` begins a comment:
    ///
    /// ```text
    /// kind lifecycle
    /// population student
    /// since 2026-09-01
    /// phase 1 grace days=90
    /// ```
    ///
    /// `since` is the first moment of a day in `zone`, or a GeneralizedTime. The error names the first wrong line.
    pub fn parse(name: &str, text: &str, zone: &TimeZone) -> Result<Self, PolicyError> {
        let whole = |rule: String| PolicyError { policy: name.to_owned(), place: None, rule };
        check_name(name).map_err(whole)?;
        if text.len() > TEXT_OCTETS_MAX {
            return Err(whole(format!("larger than {TEXT_OCTETS_MAX} octets")));
        }
        let mut document = Self {
            name: name.to_owned(),
            kind: String::new(),
            populations: Vec::new(),
            since: None,
            description: None,
            lines: Vec::new(),
        };
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |rule| PolicyError { policy: name.to_owned(), place: Some(format!("line {number}")), rule };
            document.take(line, zone).map_err(wrong)?;
        }
        document.checked()
    }

    /// Takes one line of the text form.
    fn take(&mut self, text: &str, zone: &TimeZone) -> Result<(), String> {
        let (key, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match key {
            "kind" => self.kind = rest.to_ascii_lowercase(),
            "population" => self.populations.push(Population::parse(rest)?),
            "since" => self.since = Some(first_moment(rest, zone)?),
            "description" => self.description = Some(rest.to_owned()),
            _ => self.lines.push(PolicyLine::parse(text)?),
        }
        Ok(())
    }

    fn checked(mut self) -> Result<Self, PolicyError> {
        let whole = |rule: String| PolicyError { policy: self.name.clone(), place: None, rule };
        if self.kind.is_empty() {
            return Err(whole("it has no kind; write, for example, 'kind lifecycle'".to_owned()));
        }
        if self.lines.is_empty() || self.lines.len() > LINES_MAX {
            return Err(whole(format!("it has {} rules; 1 to {LINES_MAX} are allowed", self.lines.len())));
        }
        if self.populations.len() > POPULATIONS_MAX {
            return Err(whole(format!("more than {POPULATIONS_MAX} populations")));
        }
        self.lines.sort();
        self.lines.dedup();
        self.populations.sort();
        Ok(self)
    }

    /// The text form, as [`PolicyDocument::parse`] reads it.
    pub fn text(&self, zone: &TimeZone) -> String {
        let mut lines = vec![format!("kind {}", self.kind)];
        lines.extend(self.populations.iter().map(|population| format!("population {population}")));
        lines.extend(self.since.map(|since| format!("since {}", moment_text(since, zone))));
        lines.extend(self.description.iter().map(|text| format!("description {text}")));
        lines.extend(self.lines.iter().map(ToString::to_string));
        lines.join("\n") + "\n"
    }

    /// The entry of the policy, below `ou=policies`.
    pub fn entry(&self, suffix: &Dn) -> Entry {
        let dn = suffix.child(attr::OU, ou::POLICIES).child(attr::CN, &self.name);
        let mut entry = Entry::new(dn)
            .with(attr::OBJECT_CLASS, class::TOP)
            .with(attr::OBJECT_CLASS, class::PROVOST_POLICY_ENTRY)
            .with(attr::CN, self.name.as_str())
            .with(attr::PROVOST_POLICY_KIND, self.kind.as_str());
        for population in &self.populations {
            entry = entry.with(attr::PROVOST_POPULATION, population.to_string());
        }
        if let Some(since) = self.since {
            entry = entry.with(attr::PROVOST_SINCE, format_generalized(since));
        }
        if let Some(description) = &self.description {
            entry = entry.with(attr::DESCRIPTION, description.as_str());
        }
        self.lines.iter().fold(entry, |entry, line| entry.with(attr::PROVOST_VALUE, line.as_str()))
    }

    /// Whether the policy holds at a moment.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at)
    }

    /// The error for one line of the policy.
    pub(crate) fn wrong(&self, line: &PolicyLine, rule: impl Into<String>) -> PolicyError {
        PolicyError { policy: self.name.clone(), place: Some(format!("'{line}'")), rule: rule.into() }
    }
}

/// Checks the name of a policy: it is a word in other attributes and on the command line.
fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=POLICY_NAME_OCTETS_MAX).contains(&name.len()) && name.chars().all(is_allowed) {
        Ok(())
    } else {
        Err(format!("a name has 1 to {POLICY_NAME_OCTETS_MAX} letters, digits, '-', '_' and '.'"))
    }
}

/// The day of a moment that is the first one of its day, else the moment as GeneralizedTime.
fn moment_text(moment: Timestamp, zone: &TimeZone) -> String {
    let day = zone.to_datetime(moment).date();
    if zone.to_timestamp(day.at(0, 0, 0, 0)).is_ok_and(|first| first == moment) {
        day.to_string()
    } else {
        format_generalized(moment)
    }
}

fn first_moment(day: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Some(moment) = parse_generalized(day) {
        return Ok(moment);
    }
    let date: Date = day.parse().map_err(|_| format!("'{day}' is not a day; write it as 2026-09-01"))?;
    zone.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| format!("the day {day} cannot be represented"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# students who enrol from 2026 on\nkind lifecycle\npopulation student\nsince 2026-09-01\n\
        description Decided by the senate\nphase 2 alumni forever\nphase 1 grace days=90\n";

    #[test]
    fn text_and_entry_hold_the_same_document() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let document = PolicyDocument::parse("students-2026", TEXT, &zone).unwrap();
        assert_eq!(format_generalized(document.since.unwrap()), "20260901040000Z");
        assert_eq!(document.lines.iter().map(PolicyLine::key).collect::<Vec<_>>(), ["phase", "phase"]);
        let suffix = Dn::parse("dc=example,dc=edu").unwrap();
        assert_eq!(PolicyDocument::of_entry(&document.entry(&suffix)), Ok(document.clone()));
        assert_eq!(PolicyDocument::parse("students-2026", &document.text(&zone), &zone), Ok(document.clone()));
        let elsewhere = document.text(&TimeZone::UTC);
        assert_eq!(PolicyDocument::parse("students-2026", &elsewhere, &zone), Ok(document), "{elsewhere}");
    }

    #[test]
    fn a_wrong_document_is_refused_with_its_line_and_rule() {
        let parse = |name: &str, text: &str| PolicyDocument::parse(name, text, &TimeZone::UTC);
        for (name, text, error) in [
            ("a b", TEXT, "policy a b: the document: a name has 1 to 64 letters, digits, '-', '_' and '.'"),
            ("p", "phase 1 grace", "policy p: the document: it has no kind; write, for example, 'kind lifecycle'"),
            ("p", "kind lifecycle", "policy p: the document: it has 0 rules; 1 to 64 are allowed"),
            ("p", "kind x\nsince 1 May\n", "policy p: line 2: '1 May' is not a day; write it as 2026-09-01"),
            ("p", "population dogs", "policy p: line 1: 'dogs' is not one of student, faculty, staff, alum, other"),
            ("p", "population student/", "policy p: line 1: no programme after the slash"),
        ] {
            assert_eq!(parse(name, text).unwrap_err().to_string(), error);
        }
        assert!(parse("p", &format!("kind x\na {}", "x".repeat(600))).is_err());
        let many: String = (0..=LINES_MAX).map(|n| format!("phase {n}\n")).collect();
        assert!(parse("p", &format!("kind x\n{many}")).is_err());
    }
}

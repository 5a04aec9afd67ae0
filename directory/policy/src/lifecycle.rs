//! The lifecycle policy: what a person is promised while and after they belong to the university.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::document::{PolicyDocument, PolicyError};
use crate::line::PolicyLine;
use crate::phase::{Phase, PhaseLength, PhaseState};
use crate::terms::Terms;

/// Kind of the documents that this module reads.
pub const LIFECYCLE: &str = "lifecycle";
/// Maximum number of phases after the affiliation.
const PHASES_MAX: u32 = 16;
/// Maximum number of days before a change at which notices are sent.
const NOTICES_MAX: usize = 8;
/// Largest number of days before a change at which a notice may be sent.
const NOTICE_DAYS_MAX: u16 = 366;
/// Largest extension that one approver may grant, days.
const EXTENSION_DAYS_MAX: u32 = 3650;
/// Days of notice without a `notice` line.
const NOTICE_DAYS: [u16; 4] = [60, 30, 7, 1];

/// The date of a person that decides which version of a policy holds for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromiseDate {
    /// The first day of the affiliation: what was promised at enrolment is kept.
    Start,
    /// The last day of the last affiliation.
    End,
}

/// What happens to a closed account when its last phase has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeRule {
    /// Two people must ask for the purge.
    TwoPeople,
    /// The lifecycle purges the account.
    Automatic,
}

/// The rules of one lifecycle document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecyclePolicy {
    /// Name of the document.
    pub name: String,
    /// The date that decides which version holds for a person.
    pub promise: PromiseDate,
    /// What is allowed while the affiliation stands. Its length has no meaning.
    pub affiliated: Phase,
    /// The phases after the last affiliation, in order. Never empty; after the last one, the account is to be purged.
    pub phases: Vec<Phase>,
    /// Days before the end of a phase at which the person gets a notice, largest first.
    pub notice_days: Vec<u16>,
    /// Longest extension of a phase, days; 0 forbids extensions.
    pub extension_days: u32,
    /// What happens after the last phase.
    pub purge: PurgeRule,
    /// Days between the purge and the deletion of the mail.
    pub mail_days: u32,
    /// The days on which terms begin; required when a phase counts terms.
    pub terms: Option<Terms>,
}

impl LifecyclePolicy {
    /// Reads a document; the error names the first wrong line.
    pub fn of(document: &PolicyDocument) -> Result<Self, PolicyError> {
        let mut policy = Self {
            name: document.name.clone(),
            promise: PromiseDate::End,
            affiliated: Phase::new(PhaseState::Active, PhaseLength::Forever),
            phases: Vec::new(),
            notice_days: NOTICE_DAYS.to_vec(),
            extension_days: 0,
            purge: PurgeRule::TwoPeople,
            mail_days: 30,
            terms: None,
        };
        let mut phases = BTreeMap::new();
        for line in &document.lines {
            policy.take(line, &mut phases).map_err(|rule| document.wrong(line, rule))?;
        }
        policy.phases = phases.into_values().collect();
        let whole = |rule: &str| PolicyError { policy: document.name.clone(), place: None, rule: rule.to_owned() };
        if policy.phases.is_empty() {
            return Err(whole("it has no phase; write, for example, 'phase 1 alumni forever'"));
        }
        let counts_terms = |phase: &Phase| matches!(phase.length, PhaseLength::Terms(_));
        if policy.terms.is_none() && policy.phases.iter().any(counts_terms) {
            return Err(whole("a phase counts terms; say when they begin, for example 'terms 01-10 09-01'"));
        }
        Ok(policy)
    }

    fn take(&mut self, line: &PolicyLine, phases: &mut BTreeMap<u32, Phase>) -> Result<(), String> {
        let mut words = line.words();
        match line.key() {
            "phase" => {
                let number = words.next().unwrap_or_default();
                let number = count(number, PHASES_MAX).filter(|number| *number > 0);
                let number = number.ok_or_else(|| format!("a phase has a number from 1 to {PHASES_MAX}"))?;
                let phase = Phase::parse(words)?;
                if phase.state == PhaseState::Active {
                    return Err("the affiliation has ended in a phase; write 'while ...' for the time before".into());
                }
                if phases.insert(number, phase).is_some() {
                    return Err(format!("two phases have the number {number}"));
                }
                return Ok(());
            }
            "while" => {
                let mut words = words.peekable();
                // The state is optional: `while alumni quota=alum` is for people whose only affiliation is alum.
                if words.next_if_eq(&"alumni").is_some() {
                    self.affiliated.state = PhaseState::Alumni;
                }
                return words.try_for_each(|option| self.affiliated.take(option));
            }
            "terms" => {
                self.terms = Some(Terms::parse(words)?);
                return Ok(());
            }
            "notice" => return self.take_notice_days(words),
            _ => {}
        }
        let value = words.next().unwrap_or_default();
        let unknown = || format!("'{value}' is no value of {}", line.key());
        match line.key() {
            "promise" => {
                self.promise = match value {
                    "start" => PromiseDate::Start,
                    "end" => PromiseDate::End,
                    _ => return Err("write 'promise start' or 'promise end'".to_owned()),
                }
            }
            "purge" => {
                self.purge = match value {
                    "two-people" => PurgeRule::TwoPeople,
                    "automatic" => PurgeRule::Automatic,
                    _ => return Err("write 'purge two-people' or 'purge automatic'".to_owned()),
                }
            }
            "extension" => self.extension_days = days(value, EXTENSION_DAYS_MAX).ok_or_else(unknown)?,
            "mail" => self.mail_days = days(value, EXTENSION_DAYS_MAX).ok_or_else(unknown)?,
            key => return Err(format!("'{key}' is no rule of a lifecycle policy")),
        }
        if words.next().is_some() { Err(format!("words after '{value}'")) } else { Ok(()) }
    }

    fn take_notice_days<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let mut notice_days = Vec::new();
        for word in words.filter(|word| *word != "none") {
            let days = count(word, NOTICE_DAYS_MAX.into()).and_then(|days| u16::try_from(days).ok());
            notice_days.push(days.ok_or_else(|| format!("'{word}' is not a number of days up to {NOTICE_DAYS_MAX}"))?);
        }
        notice_days.sort_unstable_by(|one, other| other.cmp(one));
        notice_days.dedup();
        if notice_days.len() > NOTICES_MAX {
            return Err(format!("more than {NOTICES_MAX} notices"));
        }
        self.notice_days = notice_days;
        Ok(())
    }
}

/// Reads `days=N`.
fn days(text: &str, most: u32) -> Option<u32> {
    count(text.strip_prefix("days=")?, most)
}

fn count(text: &str, most: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= most)
}

/// The policies of a site that states none. Former students keep their account for life. Everybody else has a month of
/// grace and two more in which they can only read; the account is then closed, and after a year two people may purge it.
pub static BUILT_IN_LIFECYCLES: LazyLock<Vec<PolicyDocument>> = LazyLock::new(|| {
    const STUDENTS: &str = "kind lifecycle\npopulation student\npromise start\nphase 1 grace days=180\nphase 2 alumni forever\n\
        extension days=365\n";
    const ALUMNI: &str = "kind lifecycle\npopulation alum\nwhile alumni\nphase 1 alumni forever\n";
    const EVERYBODY: &str =
        "kind lifecycle\nphase 1 grace days=30\nphase 2 closing days=60\nphase 3 closed days=365\nextension days=365\n";
    let documents =
        [("built-in-students-1", STUDENTS), ("built-in-alumni-1", ALUMNI), ("built-in-everybody-1", EVERYBODY)];
    // A document that cannot be read is a bug that a test excludes.
    documents
        .iter()
        .filter_map(|(name, text)| PolicyDocument::parse(name, text, &jiff::tz::TimeZone::UTC).ok())
        .collect()
});

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn policy(text: &str) -> Result<LifecyclePolicy, PolicyError> {
        let document = PolicyDocument::parse("p", &format!("kind lifecycle\n{text}"), &TimeZone::UTC).unwrap();
        LifecyclePolicy::of(&document)
    }

    #[test]
    fn phases_are_in_the_order_of_their_numbers() {
        let read =
            policy("phase 10 closed days=1\nphase 2 alumni days=5\nphase 1 grace days=3\nnotice 7 60\n").unwrap();
        let states: Vec<PhaseState> = read.phases.iter().map(|phase| phase.state).collect();
        assert_eq!(states, [PhaseState::Grace, PhaseState::Alumni, PhaseState::Closed]);
        assert_eq!(read.notice_days, [60, 7]);
        assert_eq!(policy("phase 1 closed days=1\nnotice none").unwrap().notice_days, [0_u16; 0]);
    }

    #[test]
    fn wrong_rules_are_refused() {
        for bad in [
            "notice 7",
            "phase 1 alumni terms=2",
            "phase 0 grace days=1",
            "phase 1 active days=1",
            "phase 1 grace days=1\nphase 1 closed days=1",
            "phase 1 grace days=1\npurge now",
            "phase 1 grace days=1\npromise start soon",
            "phase 1 grace days=1\nextension 5",
            "phase 1 grace days=1\ncolour red",
            "phase 1 grace days=1\nnotice 400",
            "phase 1 grace days=1\nwhile alumni days=1",
        ] {
            assert!(policy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_built_in_policies_can_be_read() {
        assert_eq!(BUILT_IN_LIFECYCLES.len(), 3);
        for document in BUILT_IN_LIFECYCLES.iter() {
            LifecyclePolicy::of(document).unwrap();
        }
    }
}

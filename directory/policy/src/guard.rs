//! The guard policy: how many people one plan, and all plans of some days, may change without a second person.

use std::fmt;

use crate::document::{PolicyDocument, PolicyError};
use crate::line::PolicyLine;

/// Kind of the documents that state limits of the guard.
pub const GUARD: &str = "guard";
/// Longest window, in days.
pub const GUARD_WINDOW_DAYS_MAX: u32 = 31;
/// Longest notice by which a departure counts as planned, in days.
const PLANNED_DAYS_MAX: u32 = 366;

/// What the guard counts. A person counts in a plan once per category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GuardCategory {
    /// The account may no longer log in, and mail is still received.
    Suspension,
    /// The account is closed, or mail is no longer received.
    Closing,
    /// The last affiliation ends at once or within days: the phases after it begin.
    Departure,
    /// The account is purged.
    Purge,
    /// A complete file of a source does not name the person.
    Absence,
    /// The primary address changes.
    Address,
    /// A new account.
    Creation,
    /// A row of the file is left out.
    Reject,
}

impl GuardCategory {
    /// All categories, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Suspension,
        Self::Closing,
        Self::Departure,
        Self::Purge,
        Self::Absence,
        Self::Address,
        Self::Creation,
        Self::Reject,
    ];

    /// The word of policies, reports and provostCount.
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspension => "suspension",
            Self::Closing => "closing",
            Self::Departure => "departure",
            Self::Purge => "purge",
            Self::Absence => "absence",
            Self::Address => "address",
            Self::Creation => "creation",
            Self::Reject => "reject",
        }
    }

    /// The category of a word; `None` for another word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for GuardCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The limits of one category, for each cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimit {
    /// People that are always allowed, whatever the share: in one plan and in the window.
    pub floor: u64,
    /// Share of the cohort that one plan may change, in percent; `None` has no such limit.
    pub plan: Option<u64>,
    /// Share of the cohort that all plans of the window may change, in percent; `None` has no such limit.
    pub window: Option<u64>,
    /// People that one plan may change at most, whatever the share; `None` has no such limit.
    pub most: Option<u64>,
}

impl GuardLimit {
    const NONE: Self = Self { floor: 0, plan: None, window: None, most: None };

    /// People of a cohort of `size` that one plan may change; `None` for any number.
    pub fn of_plan(&self, size: u64) -> Option<u64> {
        let share = self.plan.map(|percent| self.floor.max(share_of(size, percent)));
        share.into_iter().chain(self.most).min()
    }

    /// People of a cohort of `size` that the plans of a window may change together; `None` for any number.
    pub fn of_window(&self, size: u64) -> Option<u64> {
        self.window.map(|percent| self.floor.max(share_of(size, percent)))
    }
}

fn share_of(size: u64, percent: u64) -> u64 {
    size.saturating_mul(percent) / 100
}

/// When an apply stops because too many people fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimit {
    /// Failures that never stop an apply.
    pub floor: usize,
    /// Share of failures among the people done, in percent, above which an apply stops.
    pub percent: usize,
}

impl Default for FailureLimit {
    fn default() -> Self {
        Self { floor: 200, percent: 20 }
    }
}

impl FailureLimit {
    /// Whether an apply stops with `failed` failures among `done` people.
    pub fn stops(&self, failed: usize, done: usize) -> bool {
        failed > self.floor && failed.saturating_mul(100) > done.saturating_mul(self.percent)
    }
}

/// The limits of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    /// Name of the document; `built-in` where the site states none.
    pub name: String,
    /// Days over which plans are added up.
    pub window_days: u32,
    /// Notice, in days, by which a departure is planned and does not count.
    pub planned_days: u32,
    /// When an apply stops.
    pub failures: FailureLimit,
    limits: [GuardLimit; GuardCategory::ALL.len()],
}

impl Default for GuardPolicy {
    /// The limits of a site that states none.
    ///
    /// Ten people are always allowed: in a small programme, a share alone would stop ordinary corrections. 5 % of a
    /// cohort in one plan and 10 % in seven days is more than a term's ordinary fluctuation, and three plans of 4 % do
    /// not fit into the window. Creations have no limit: a first import creates everybody, and undo takes it back.
    /// Rejected rows change nobody, so only a file that is mostly wrong is stopped.
    fn default() -> Self {
        let loss = GuardLimit { floor: 10, plan: Some(5), window: Some(10), most: Some(2000) };
        let limits = GuardCategory::ALL.map(|category| match category {
            GuardCategory::Creation => GuardLimit::NONE,
            GuardCategory::Reject => GuardLimit { floor: 500, plan: Some(20), window: None, most: None },
            _ => loss,
        });
        let failures = FailureLimit::default();
        Self { name: "built-in".to_owned(), window_days: 7, planned_days: 14, failures, limits }
    }
}

impl GuardPolicy {
    /// Reads a document of kind `guard`. What it does not state is as built in.
    pub fn of(document: &PolicyDocument) -> Result<Self, PolicyError> {
        if !document.populations.is_empty() {
            let rule = "the guard counts each cohort by itself: leave 'population' out".to_owned();
            return Err(PolicyError { policy: document.name.clone(), place: None, rule });
        }
        let mut policy = Self { name: document.name.clone(), ..Self::default() };
        for line in &document.lines {
            policy.take(line).map_err(|rule| document.wrong(line, rule))?;
        }
        Ok(policy)
    }

    fn take(&mut self, line: &PolicyLine) -> Result<(), String> {
        match line.key() {
            "limit" => self.take_limit(line),
            "window" => take_days(line, &mut self.window_days, GUARD_WINDOW_DAYS_MAX),
            "planned" => take_days(line, &mut self.planned_days, PLANNED_DAYS_MAX),
            "failures" => self.take_failures(line),
            key => Err(format!("'{key}' is not one of limit, window, planned, failures")),
        }
    }

    fn take_limit(&mut self, line: &PolicyLine) -> Result<(), String> {
        let mut words = line.words();
        let word = words.next().unwrap_or_default();
        let category = GuardCategory::parse(word).ok_or_else(|| {
            format!("'{word}' is not one of {}", GuardCategory::ALL.map(GuardCategory::name).join(", "))
        })?;
        let mut limit = GuardLimit::NONE;
        for word in words.filter(|word| *word != "none") {
            let (name, value) = option(word)?;
            match name {
                "floor" => limit.floor = number(value)?,
                "plan" => limit.plan = Some(percent(value)?),
                "window" => limit.window = Some(percent(value)?),
                "most" => limit.most = Some(number(value)?),
                _ => return Err(format!("'{name}' is not one of floor, plan, window, most")),
            }
        }
        let place = GuardCategory::ALL.iter().position(|known| *known == category);
        if let Some(held) = place.and_then(|place| self.limits.get_mut(place)) {
            *held = limit;
        }
        Ok(())
    }

    fn take_failures(&mut self, line: &PolicyLine) -> Result<(), String> {
        for word in line.words() {
            let (name, value) = option(word)?;
            match name {
                "floor" => self.failures.floor = usize::try_from(number(value)?).unwrap_or(usize::MAX),
                "share" => self.failures.percent = usize::try_from(percent(value)?).unwrap_or(100),
                _ => return Err(format!("'{name}' is not one of floor, share")),
            }
        }
        Ok(())
    }

    /// The limits of a category.
    pub fn limit(&self, category: GuardCategory) -> GuardLimit {
        let place = GuardCategory::ALL.iter().position(|known| *known == category);
        place.and_then(|place| self.limits.get(place)).copied().unwrap_or(GuardLimit::NONE)
    }
}

fn option(word: &str) -> Result<(&str, &str), String> {
    word.split_once('=').ok_or_else(|| format!("'{word}' has no value; write it as floor=10"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse::<u32>().map(u64::from).map_err(|_| format!("'{text}' is not a number"))
}

fn percent(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|percent| *percent <= 100);
    number.ok_or_else(|| format!("'{text}' is not a share from 0% to 100%"))
}

fn take_days(line: &PolicyLine, days: &mut u32, most: u32) -> Result<(), String> {
    let word = line.words().next().unwrap_or_default();
    let stated = word.strip_prefix("days=").and_then(|text| text.parse().ok()).filter(|days| (1..=most).contains(days));
    *days = stated.ok_or_else(|| format!("'{word}' is not days=1 to days={most}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn parsed(text: &str) -> Result<GuardPolicy, String> {
        let document = PolicyDocument::parse("g", &format!("kind guard\n{text}"), &TimeZone::UTC);
        GuardPolicy::of(&document.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    #[test]
    fn a_document_changes_what_it_states() {
        let text = "window days=14\nplanned days=30\nlimit closing floor=2 plan=1% window=3 most=50\nlimit absence none\n\
                    failures floor=5 share=2%";
        let policy = parsed(text).unwrap();
        assert_eq!((policy.window_days, policy.planned_days), (14, 30));
        let closing = policy.limit(GuardCategory::Closing);
        for (size, plan, window) in [(10, 2, 2), (1000, 10, 30), (100_000, 50, 3000)] {
            assert_eq!((closing.of_plan(size), closing.of_window(size)), (Some(plan), Some(window)), "{size}");
        }
        assert_eq!(policy.limit(GuardCategory::Absence).of_plan(10), None);
        assert_eq!(policy.limit(GuardCategory::Address), GuardPolicy::default().limit(GuardCategory::Address));
        assert!(policy.failures.stops(6, 100) && !policy.failures.stops(5, 6) && !policy.failures.stops(6, 1000));
    }

    #[test]
    fn three_plans_of_four_percent_do_not_fit_into_the_built_in_window() {
        let limit = GuardPolicy::default().limit(GuardCategory::Absence);
        for size in [100_u64, 1000, 2000, 35_500] {
            let part = size * 4 / 100;
            assert!(limit.of_plan(size).unwrap() >= part, "{size}");
            assert!(limit.of_window(size).unwrap() >= 2 * part, "{size}");
            assert!(limit.of_window(size).unwrap() < 3 * part, "{size}");
        }
        assert_eq!(limit.of_plan(35_500), Some(1775));
        assert_eq!(limit.of_plan(100_000), Some(2000));
    }

    #[test]
    fn a_wrong_line_is_refused_with_its_rule() {
        for (text, rule) in [
            ("limit dogs plan=5%", "'dogs' is not one of suspension"),
            ("limit closing plan=200%", "'200%' is not a share from 0% to 100%"),
            ("limit closing plan", "'plan' has no value"),
            ("limit closing colour=1", "'colour' is not one of floor"),
            ("window days=0", "'days=0' is not days=1 to days=31"),
            ("failures share=x", "'x' is not a share"),
            ("population student\nwindow days=7", "leave 'population' out"),
            ("colour red", "'colour' is not one of limit"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }
}

//! The people of a list: which ones, and what is shown of each.
//!
//! A filter becomes an LDAP filter as far as one can say it; what depends on the moment (whether a lock has ended) is
//! checked on the entries that the server returns.

mod csv_form;

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{AttributeDescription, Entry, Filter};
use provost_schema::{attr, class};
use serde::{Deserialize, Serialize};

use crate::calendar::{day_begins, day_of, rfc3339};

pub use csv_form::{LIST_COLUMNS, ListColumn, csv_cell, csv_line};

/// Longest value of a filter, octets.
const VALUE_OCTETS_MAX: usize = 256;

/// Which people a list names; every stated condition must hold. Without a condition, all people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeopleFilter {
    /// One of the person's affiliations: `student`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affiliation: Option<String>,
    /// State of the account as provostState has it: `active`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A lock stands, or the state is `suspended`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// The person has no password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_password: bool,
    /// No login since the beginning of this day, or none that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_login_since: Option<Date>,
    /// Programme of study or unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Lifecycle policy whose promise holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Batch that last wrote the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Source that knows the person: `registrar`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The last day is before this day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_before: Option<Date>,
    /// A complete file of a source no longer names the person.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

/// One person of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedPerson {
    /// provostPersonId: it never changes.
    pub id: String,
    /// Login name (uid).
    pub uid: String,
    /// Name as it is shown.
    pub display_name: String,
    /// Given name (givenName).
    pub given_name: String,
    /// Family name (sn).
    pub family_name: String,
    /// Primary address (mail).
    pub mail: String,
    /// Source ids: `registrar:12345`.
    pub sources: Vec<String>,
    /// The number that the registrar gave.
    pub number: Option<String>,
    /// Primary affiliation, in eduPerson's spelling.
    pub affiliation: String,
    /// All affiliations, sorted.
    pub affiliations: Vec<String>,
    /// Programme of study or unit.
    pub program: Option<String>,
    /// First day of the affiliation.
    pub start_date: Option<Date>,
    /// Last day of the affiliation.
    pub end_date: Option<Date>,
    /// State of the account.
    pub state: String,
    /// Whether a lock stands or the state is `suspended`.
    pub suspended: bool,
    /// When the lifecycle moves the account on, RFC 3339.
    pub state_until: Option<String>,
    /// The state that follows.
    pub next_state: Option<String>,
    /// Lifecycle policy whose promise holds.
    pub policy: Option<String>,
    /// Whether a complete file of a source no longer names the person.
    pub absent: bool,
    /// Whether the person has a password.
    pub has_password: bool,
    /// Day of the last login that is known.
    pub last_login: Option<Date>,
    /// Batch that last wrote the entry.
    pub last_batch: Option<String>,
    /// Birth date, for exports that are imported again; not part of lists.
    #[serde(skip)]
    pub birth_date: Option<String>,
    /// Private address, for exports that are imported again; not part of lists.
    #[serde(skip)]
    pub private_email: Option<String>,
}

/// Attributes that a list reads.
pub(crate) const LIST_ATTRIBUTES: [&str; 27] = [
    attr::PROVOST_PERSON_ID,
    attr::UID,
    attr::CN,
    attr::DISPLAY_NAME,
    attr::GIVEN_NAME,
    attr::SN,
    attr::MAIL,
    attr::PROVOST_SOURCE_ID,
    attr::EMPLOYEE_NUMBER,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::EDU_PERSON_AFFILIATION,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_START_DATE,
    attr::PROVOST_END_DATE,
    attr::PROVOST_STATE,
    attr::PROVOST_STATE_UNTIL,
    attr::PROVOST_NEXT_STATE,
    attr::PROVOST_LOCK,
    attr::PROVOST_POLICY,
    attr::PROVOST_ABSENCE,
    attr::PROVOST_LAST_LOGIN,
    attr::PROVOST_LAST_BATCH,
    attr::SCHAC_DATE_OF_BIRTH,
    attr::PROVOST_PRIVATE_MAIL,
    attr::USER_PASSWORD,
    attr::ENTRY_UUID,
    attr::ENTRY_CSN,
];

/// A value of a filter that breaks a rule: the field, and the rule.
pub(crate) type FilterFault = (&'static str, String);

impl PeopleFilter {
    /// The LDAP filter; days begin in `zone`. Fails for a value that no entry can hold.
    pub(crate) fn ldap(&self, zone: &TimeZone) -> Result<Filter, FilterFault> {
        let mut all = vec![Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)];
        for (field, attribute, value) in [
            ("affiliation", attr::EDU_PERSON_AFFILIATION, &self.affiliation),
            ("state", attr::PROVOST_STATE, &self.state),
            ("program", attr::PROVOST_PROGRAM, &self.program),
            ("policy", attr::PROVOST_POLICY, &self.policy),
            ("batch", attr::PROVOST_LAST_BATCH, &self.batch),
        ] {
            if let Some(value) = stated(field, value.as_deref())? {
                all.push(Filter::equal(attribute, value));
            }
        }
        if let Some(source) = stated("source", self.source.as_deref())? {
            all.push(Filter::Substring {
                attribute: AttributeDescription::of(attr::PROVOST_SOURCE_ID),
                initial: Some(format!("{source}:").into_bytes()),
                any: Vec::new(),
                last: None,
            });
        }
        if self.suspended {
            let by_hand = Filter::equal(attr::PROVOST_STATE, SUSPENDED);
            all.push(Filter::Or(vec![by_hand, Filter::present(attr::PROVOST_LOCK)]));
        }
        if self.no_password {
            all.push(Filter::Not(Box::new(Filter::present(attr::USER_PASSWORD))));
        }
        if let Some(day) = self.no_login_since {
            let before = before("no_login_since", attr::PROVOST_LAST_LOGIN, day, zone)?;
            let never = Filter::Not(Box::new(Filter::present(attr::PROVOST_LAST_LOGIN)));
            all.push(Filter::Or(vec![never, before]));
        }
        if let Some(day) = self.ends_before {
            all.push(before("ends_before", attr::PROVOST_END_DATE, day, zone)?);
        }
        if self.absent {
            all.push(Filter::present(attr::PROVOST_ABSENCE));
        }
        Ok(Filter::And(all))
    }

    /// A person as this list shows them: in the list of one source, the number is that of this source.
    pub(crate) fn listed(&self, person: ListedPerson) -> ListedPerson {
        let Some(source) = self.source.as_deref().map(str::trim) else { return person };
        let number = person.sources.iter().find_map(|id| {
            let (of, number) = id.split_once(':')?;
            of.eq_ignore_ascii_case(source).then(|| number.to_owned())
        });
        ListedPerson { number, ..person }
    }

    /// Whether a person that the LDAP filter returned belongs to the list.
    pub(crate) fn matches(&self, person: &ListedPerson) -> bool {
        !self.suspended || person.suspended
    }
}

/// provostState of an account that an administrator suspended by hand.
const SUSPENDED: &str = "suspended";

fn stated<'v>(field: &'static str, value: Option<&'v str>) -> Result<Option<&'v str>, FilterFault> {
    let Some(value) = value.map(str::trim) else { return Ok(None) };
    if value.is_empty() || value.len() > VALUE_OCTETS_MAX {
        return Err((field, format!("1 to {VALUE_OCTETS_MAX} octets")));
    }
    Ok(Some(value))
}

/// The condition that a time is before the first second of a day. LDAP has no "less", so it is at most the second
/// before.
fn before(field: &'static str, attribute: &'static str, day: Date, zone: &TimeZone) -> Result<Filter, FilterFault> {
    let begins = day_begins(zone, day).and_then(|time| parse_generalized(&time));
    let last = begins.and_then(|begins| begins.checked_sub(jiff::SignedDuration::from_secs(1)).ok());
    let last = last.ok_or_else(|| (field, "not a day that the directory can hold".to_owned()))?;
    Ok(Filter::LessOrEqual(AttributeDescription::of(attribute), format_generalized(last).into_bytes()))
}

impl ListedPerson {
    /// Reads an entry; days are in `zone`.
    pub(crate) fn of_entry(entry: &Entry, zone: &TimeZone, now: Timestamp) -> Self {
        let text = |name: &str| entry.first(name).map(str::to_owned);
        let day = |name: &str| entry.first(name).and_then(|time| day_of(zone, time));
        let sorted = |name: &str| entry.texts(name).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect();
        let state = text(attr::PROVOST_STATE).unwrap_or_default();
        let suspended =
            state.eq_ignore_ascii_case(SUSPENDED) || entry.texts(attr::PROVOST_LOCK).any(|lock| lock_stands(lock, now));
        Self {
            id: text(attr::PROVOST_PERSON_ID).unwrap_or_default(),
            uid: text(attr::UID).unwrap_or_default(),
            display_name: text(attr::DISPLAY_NAME).or_else(|| text(attr::CN)).unwrap_or_default(),
            given_name: text(attr::GIVEN_NAME).unwrap_or_default(),
            family_name: text(attr::SN).unwrap_or_default(),
            mail: text(attr::MAIL).unwrap_or_default(),
            sources: sorted(attr::PROVOST_SOURCE_ID),
            number: text(attr::EMPLOYEE_NUMBER),
            affiliation: text(attr::EDU_PERSON_PRIMARY_AFFILIATION).unwrap_or_default(),
            affiliations: sorted(attr::EDU_PERSON_AFFILIATION),
            program: text(attr::PROVOST_PROGRAM),
            start_date: day(attr::PROVOST_START_DATE),
            end_date: day(attr::PROVOST_END_DATE),
            suspended,
            state,
            state_until: entry.first(attr::PROVOST_STATE_UNTIL).and_then(rfc3339),
            next_state: text(attr::PROVOST_NEXT_STATE),
            policy: text(attr::PROVOST_POLICY),
            absent: entry.first(attr::PROVOST_ABSENCE).is_some(),
            has_password: !entry.values(attr::USER_PASSWORD).is_empty(),
            last_login: day(attr::PROVOST_LAST_LOGIN),
            last_batch: text(attr::PROVOST_LAST_BATCH),
            birth_date: text(attr::SCHAC_DATE_OF_BIRTH),
            private_email: text(attr::PROVOST_PRIVATE_MAIL),
        }
    }
}

/// Whether a lock (`NAME SINCE UNTIL OWNER REASON`) stands at a moment. One that cannot be read stands: an account that
/// somebody wanted locked must not pass for an open one.
pub(crate) fn lock_stands(lock: &str, now: Timestamp) -> bool {
    let mut words = lock.trim().split(' ').skip(1);
    let (since, until) = (words.next().and_then(parse_generalized), words.next().and_then(parse_generalized));
    since.is_none_or(|since| since <= now) && until.is_none_or(|until| now <= until)
}

#[cfg(test)]
mod tests {
    use provost_entry::Dn;

    use super::*;

    fn filter(edit: impl FnOnce(&mut PeopleFilter)) -> PeopleFilter {
        let mut filter = PeopleFilter::default();
        edit(&mut filter);
        filter
    }

    #[test]
    fn conditions_become_ldap_filters() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let day = |text: &str| Some(text.parse().unwrap());
        for (filter, expect) in [
            (PeopleFilter::default(), ""),
            (filter(|f| f.affiliation = Some("student".into())), "(eduPersonAffiliation=student)"),
            (filter(|f| f.program = Some("Mus*ic".into())), r"(provostProgram=Mus\2aic)"),
            (filter(|f| f.source = Some("hr".into())), "(provostSourceId=hr:*)"),
            (filter(|f| f.suspended = true), "(|(provostState=suspended)(provostLock=*))"),
            (filter(|f| f.no_password = true), "(!(userPassword=*))"),
            (
                filter(|f| f.no_login_since = day("2026-09-01")),
                "(|(!(provostLastLogin=*))(provostLastLogin<=20260901035959Z))",
            ),
            (filter(|f| f.ends_before = day("2026-06-01")), "(provostEndDate<=20260601035959Z)"),
            (
                filter(|f| {
                    f.policy = Some("staff-2020".into());
                    f.absent = true;
                }),
                "(provostPolicy=staff-2020)(provostAbsence=*)",
            ),
        ] {
            let text = filter.ldap(&zone).unwrap().to_string();
            assert_eq!(text, format!("(&(objectClass=provostAccount){expect})"));
        }
        assert_eq!(filter(|f| f.state = Some(" ".into())).ldap(&zone).unwrap_err().0, "state");
        assert_eq!(filter(|f| f.batch = Some("x".repeat(257))).ldap(&zone).unwrap_err().0, "batch");
    }

    #[test]
    fn a_lock_counts_while_it_stands() {
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        for (lock, stands) in [
            ("abuse 20260101000000Z - cli:helen spam", true),
            ("abuse 20260101000000Z 20260601120000Z cli:helen spam", true),
            ("abuse 20260101000000Z 20260601115959Z cli:helen spam", false),
            ("exam 20260601120001Z - cli:helen later", false),
            ("nonsense", true),
        ] {
            assert_eq!(lock_stands(lock, now), stands, "{lock}");
            let entry = Entry::new(Dn::root()).with(attr::PROVOST_LOCK, lock).with(attr::PROVOST_STATE, "active");
            let person = ListedPerson::of_entry(&entry, &TimeZone::UTC, now);
            assert_eq!((person.suspended, filter(|f| f.suspended = true).matches(&person)), (stands, stands));
        }
    }
}

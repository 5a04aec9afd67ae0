//! Vacation, forwarding and quota class of a record: values with dates, which a hand may hold against the file.
//!
//! Each cell follows the rule of its column for blank ones: a cell that states nothing leaves the held value.

mod vacation;

use jiff::civil::Date;
use provost_entry::Entry;
use provost_entry::time::parse_generalized;
use provost_schema::attr;

use self::vacation::vacation;
pub(super) use self::vacation::{SUBJECT_EN, SUBJECT_FR, TEXT_EN, TEXT_FR};
use crate::ReasonRule;
use crate::attribute_change::AttributeChange;
use crate::calendar::{day_begins, day_ends};
use crate::lifecycle::LifecycleRules;
use crate::manual_origin::is_held_by_hand;
use crate::source::{Column, MoreFields, SourceRecord};
use crate::wanted::StatedPart;

/// The columns of dated values.
const DATED_COLUMNS: [Column; 11] = [
    Column::QuotaClass,
    Column::QuotaUntil,
    Column::ForwardTo,
    Column::ForwardFrom,
    Column::ForwardUntil,
    Column::VacationStart,
    Column::VacationEnd,
    Column::VacationSubjectFr,
    Column::VacationSubjectEn,
    Column::VacationTextFr,
    Column::VacationTextEn,
];

/// An attribute, the column that decides it, and the values that it is to have.
type WantedDated = (&'static str, Column, Vec<String>);

/// Whether a record says something about a dated value.
pub(super) fn states_dated_values(record: &SourceRecord) -> bool {
    let is_stated = |more: &MoreFields| {
        let quota = more.quota_class.is_some() || more.quota_until.is_some();
        let forwarding = !more.forward_to.is_empty() || more.forward_from.is_some() || more.forward_until.is_some();
        quota || forwarding || vacation::is_stated(more)
    };
    record.more.as_deref().is_some_and(is_stated) || DATED_COLUMNS.iter().any(|column| record.cleared.contains(*column))
}

/// The changes that give a person with this entry the dated values of the record.
pub(super) fn dated_changes(record: &SourceRecord, entry: &Entry, rules: &LifecycleRules) -> Vec<AttributeChange> {
    let none = MoreFields::default();
    let dated = DatedRecord { record, more: record.more.as_deref().unwrap_or(&none), entry, rules };
    let is_free = |attribute| !is_held_by_hand(entry, attribute, rules.now);
    let mut wanted = Vec::new();
    if is_free(attr::MAIL_AUTO_REPLY_MODE) {
        wanted.extend(vacation(&dated));
    }
    if is_free(attr::MAIL_FORWARDING_ADDRESS) {
        wanted.extend(forwarding(&dated));
    }
    // A phase of the policy that states a class goes before a file: otherwise each would undo the other for ever.
    let is_left_to_files = || rules.compare(entry).is_none_or(|compared| compared.decision.quota.is_none());
    if is_free(attr::PROVOST_QUOTA_CLASS) {
        wanted.extend(quota_class(&dated).into_iter().flatten().filter(|_| is_left_to_files()));
    }
    wanted.into_iter().filter_map(|(name, column, values)| change(entry, name, column, values)).collect()
}

/// A record that states dated values, and the entry of its person.
struct DatedRecord<'a> {
    record: &'a SourceRecord,
    more: &'a MoreFields,
    entry: &'a Entry,
    rules: &'a LifecycleRules,
}

impl DatedRecord<'_> {
    fn stated<T>(&self, column: Column, value: Option<T>) -> StatedPart<T> {
        StatedPart::of(self.record, column, value)
    }

    fn held(&self, name: &str) -> Option<String> {
        self.entry.first(name).map(str::to_owned)
    }

    /// First and last second of a value, whose days the record states by two columns, for the attributes `names`.
    ///
    /// A held date that contradicts a stated one is removed: the value would never hold.
    fn period(&self, columns: [Column; 2], days: [Option<Date>; 2], names: [&'static str; 2]) -> [WantedDated; 2] {
        let ([from, until], [first, last], zone) = (columns, days, &self.rules.zone);
        let begins = self.stated(from, first.and_then(|day| day_begins(zone, day)));
        let ends = self.stated(until, last.and_then(|day| day_ends(zone, day)));
        let (keeps_start, keeps_end) = (begins.is_nothing(), ends.is_nothing());
        let (mut begins, mut ends) = (begins.or_held(self.held(names[0])), ends.or_held(self.held(names[1])));
        let moment = |text: &Option<String>| text.as_deref().and_then(parse_generalized);
        if moment(&ends).is_some_and(|ends| moment(&begins).is_some_and(|begins| ends < begins)) {
            match (keeps_start, keeps_end) {
                (true, false) => begins = None,
                (false, true) => ends = None,
                // Both are held, and nothing of them is stated; the reader of the file reports two stated ones.
                (true, true) | (false, false) => {}
            }
        }
        [(names[0], from, begins.into_iter().collect()), (names[1], until, ends.into_iter().collect())]
    }
}

/// An address of the person's own is left out: mail would go in a circle.
fn forwarding(dated: &DatedRecord<'_>) -> Vec<WantedDated> {
    let (entry, more) = (dated.entry, dated.more);
    let own: Vec<&str> = entry.texts(attr::MAIL).chain(entry.texts(attr::MAIL_LOCAL_ADDRESS)).collect();
    let is_own = |address: &str| own.iter().any(|own| own.eq_ignore_ascii_case(address));
    let named = || more.forward_to.iter().filter(|address| !is_own(address)).map(|address| address.to_string());
    let to = dated.stated(Column::ForwardTo, (!more.forward_to.is_empty()).then(|| named().collect::<Vec<_>>()));
    let says_nothing = to.is_nothing();
    let held = entry.texts(attr::MAIL_FORWARDING_ADDRESS).map(str::to_owned).collect();
    let to = to.or_held(Some(held)).unwrap_or_default();
    let dates = [attr::PROVOST_FORWARD_START, attr::PROVOST_FORWARD_END];
    let columns = [Column::ForwardFrom, Column::ForwardUntil];
    match to.is_empty() {
        true if says_nothing => Vec::new(),
        true => vec![
            (attr::MAIL_FORWARDING_ADDRESS, Column::ForwardTo, to),
            (dates[0], columns[0], Vec::new()),
            (dates[1], columns[1], Vec::new()),
        ],
        false => {
            let period = dated.period(columns, [more.forward_from, more.forward_until], dates);
            std::iter::once((attr::MAIL_FORWARDING_ADDRESS, Column::ForwardTo, to)).chain(period).collect()
        }
    }
}

/// `None` when the record says nothing about a class, or only the last day of a class that is not held. A class whose
/// last day is over is none.
fn quota_class(dated: &DatedRecord<'_>) -> Option<[WantedDated; 2]> {
    let (more, rules) = (dated.more, dated.rules);
    let class = dated.stated(Column::QuotaClass, more.quota_class.as_deref().map(str::to_owned));
    let says_nothing = class.is_nothing();
    let class = class.or_held(dated.held(attr::PROVOST_QUOTA_CLASS));
    if class.is_none() && says_nothing {
        return None;
    }
    let until = dated.stated(Column::QuotaUntil, more.quota_until.and_then(|day| day_ends(&rules.zone, day)));
    let until = until.or_held(dated.held(attr::PROVOST_QUOTA_UNTIL)).filter(|_| class.is_some());
    let is_over = until.as_deref().and_then(parse_generalized).is_some_and(|until| until < rules.now);
    let class = class.filter(|_| !is_over);
    Some([
        (attr::PROVOST_QUOTA_CLASS, Column::QuotaClass, class.into_iter().collect()),
        (attr::PROVOST_QUOTA_UNTIL, Column::QuotaUntil, until.filter(|_| !is_over).into_iter().collect()),
    ])
}

fn change(entry: &Entry, name: &'static str, column: Column, mut after: Vec<String>) -> Option<AttributeChange> {
    let mut before: Vec<String> = entry.texts(name).map(str::to_owned).collect();
    before.sort_unstable();
    after.sort_unstable();
    after.dedup();
    let rule = if after.is_empty() { ReasonRule::Blank(column) } else { ReasonRule::Column(column) };
    (before != after).then(|| AttributeChange::set(name, before, after, rule))
}

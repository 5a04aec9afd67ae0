//! Forwarding and quota class of a record: values with dates, which a hand may hold against the file.

use provost_entry::time::parse_generalized;
use provost_entry::{AttributeDescription, Entry};
use provost_schema::attr;

use crate::ReasonRule;
use crate::attribute_change::{AttributeChange, ChangeMode};
use crate::calendar::{day_begins, day_ends};
use crate::lifecycle::LifecycleRules;
use crate::manual_origin::is_held_by_hand;
use crate::source::{Column, MoreFields, SourceRecord};

/// Whether a record says something about forwarding or quota class.
pub(super) fn states_dated_values(record: &SourceRecord) -> bool {
    let is_stated = |more: &MoreFields| !more.forward_to.is_empty() || more.quota_class.is_some();
    record.more.as_deref().is_some_and(is_stated)
        || [Column::ForwardTo, Column::QuotaClass].iter().any(|column| record.cleared.contains(*column))
}

/// The changes that give a person with this entry the forwarding and the quota class of the record.
pub(super) fn dated_changes(record: &SourceRecord, entry: &Entry, rules: &LifecycleRules) -> Vec<AttributeChange> {
    let none = MoreFields::default();
    let more = record.more.as_deref().unwrap_or(&none);
    let mut wanted = Vec::new();
    if !is_held_by_hand(entry, attr::MAIL_FORWARDING_ADDRESS, rules.now) {
        wanted.extend(forwarding(record, more, entry, rules));
    }
    // A phase of the policy that states a class goes before a file: otherwise each would undo the other for ever.
    let is_left_to_files = || rules.compare(entry).is_none_or(|compared| compared.decision.quota.is_none());
    if !is_held_by_hand(entry, attr::PROVOST_QUOTA_CLASS, rules.now) {
        let quota = quota_class(record, more, rules);
        wanted.extend(quota.into_iter().flatten().filter(|_| is_left_to_files()));
    }
    wanted.into_iter().filter_map(|(name, column, values)| change(entry, name, column, values)).collect()
}

type Wanted = (&'static str, Column, Vec<String>);

/// An address of the person's own is left out: mail would go in a circle.
fn forwarding(record: &SourceRecord, more: &MoreFields, entry: &Entry, rules: &LifecycleRules) -> Vec<Wanted> {
    let is_cleared = record.cleared.contains(Column::ForwardTo);
    if more.forward_to.is_empty() && !is_cleared {
        return Vec::new();
    }
    let own: Vec<&str> = entry.texts(attr::MAIL).chain(entry.texts(attr::MAIL_LOCAL_ADDRESS)).collect();
    let is_own = |address: &str| own.iter().any(|own| own.eq_ignore_ascii_case(address));
    let to: Vec<String> =
        more.forward_to.iter().filter(|address| !is_own(address)).map(|address| address.to_string()).collect();
    let (begins, ends) = if to.is_empty() {
        (None, None)
    } else {
        let begins = more.forward_from.and_then(|day| day_begins(&rules.zone, day));
        (begins, more.forward_until.and_then(|day| day_ends(&rules.zone, day)))
    };
    vec![
        (attr::MAIL_FORWARDING_ADDRESS, Column::ForwardTo, to),
        (attr::PROVOST_FORWARD_START, Column::ForwardFrom, begins.into_iter().collect()),
        (attr::PROVOST_FORWARD_END, Column::ForwardUntil, ends.into_iter().collect()),
    ]
}

/// `None` when the record says nothing about the class. A class whose last day is over is none.
fn quota_class(record: &SourceRecord, more: &MoreFields, rules: &LifecycleRules) -> Option<[Wanted; 2]> {
    let class = more.quota_class.as_deref();
    if class.is_none() && !record.cleared.contains(Column::QuotaClass) {
        return None;
    }
    let until = more.quota_until.filter(|_| class.is_some()).and_then(|day| day_ends(&rules.zone, day));
    let is_over = until.as_deref().and_then(parse_generalized).is_some_and(|until| until < rules.now);
    let class = class.filter(|_| !is_over).map(str::to_owned);
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
    let name = AttributeDescription::of(name);
    (before != after).then_some(AttributeChange { name, how: ChangeMode::Set, before, after, rule })
}

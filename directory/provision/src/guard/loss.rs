//! What a change takes away from one person, and whether it was known before.
//!
//! A departure that was announced is planned, and the guard does not count it: the entry has stated the next state and
//! its day (provostNextState, provostStateUntil) since the end date became known, and the day has come. So the graduation
//! of a year passes, however large. What is counted is sudden: an end date that is brought forward to less than the
//! policy's days from now, a policy that takes rights away today, an absence.

use jiff::{SignedDuration, Timestamp};
use provost_entry::Entry;
use provost_entry::time::parse_generalized;
use provost_lifecycle::AccountState;
use provost_policy::GuardCategory;
use provost_schema::attr;

use crate::{AttributeChange, ChangeKind, PersonChange};

/// The state that operators write by hand, which no lifecycle knows.
const SUSPENDED: &str = "suspended";

/// The moment and the notice by which losses are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossRule {
    pub(super) now: Timestamp,
    /// Days of notice by which a departure is planned.
    pub(super) planned_days: u32,
}

/// An entry with the changes that a plan makes.
struct EntryAfter<'a> {
    before: &'a Entry,
    changes: Vec<&'a AttributeChange>,
}

impl LossRule {
    /// What the change takes away from the person whose entry is `before`; `None` for nothing, or nothing sudden.
    pub(super) fn category(self, before: &Entry, change: &PersonChange) -> Option<GuardCategory> {
        if change.kind == ChangeKind::Purge {
            return (!self.is_closed_for_long(before)).then_some(GuardCategory::Purge);
        }
        let writes = change.writes.iter().filter(|write| write.is_of_person());
        let changed = EntryAfter { before, changes: writes.flat_map(|write| &write.attributes).collect() };
        let lost = changed.category().or_else(|| self.brought_forward(&changed))?;
        (!self.is_announced(before)).then_some(lost)
    }

    /// Whether the entry has stated that its state ends by now.
    fn is_announced(self, before: &Entry) -> bool {
        time(before.first(attr::PROVOST_STATE_UNTIL)).is_some_and(|until| until <= self.now)
            && before.first(attr::PROVOST_NEXT_STATE).is_some()
    }

    /// A departure whose day is brought forward to within the notice.
    fn brought_forward(self, changed: &EntryAfter<'_>) -> Option<GuardCategory> {
        let next = changed.after(attr::PROVOST_NEXT_STATE).and_then(AccountState::parse)?;
        let until = time(changed.after(attr::PROVOST_STATE_UNTIL))?;
        let former = time(changed.before.first(attr::PROVOST_STATE_UNTIL));
        let is_earlier = former.is_none_or(|former| until < former);
        let is_sudden = until <= self.now + self.notice();
        (is_departed(next) && is_earlier && is_sudden).then_some(GuardCategory::Departure)
    }

    fn is_closed_for_long(self, before: &Entry) -> bool {
        time(before.first(attr::PROVOST_STATE_SINCE)).is_some_and(|since| since + self.notice() <= self.now)
    }

    fn notice(self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.planned_days))
    }
}

impl EntryAfter<'_> {
    /// What the new state takes away.
    fn category(&self) -> Option<GuardCategory> {
        let (before, after) = (self.before.first(attr::PROVOST_STATE), self.after(attr::PROVOST_STATE));
        let becomes = |state: &str| {
            let is = |held: Option<&str>| held.is_some_and(|held| held.eq_ignore_ascii_case(state));
            is(after) && !is(before)
        };
        if becomes(AccountState::Closed.name()) || self.newly_forbids("no-receive") {
            return Some(GuardCategory::Closing);
        }
        if becomes(SUSPENDED) || self.newly_forbids("no-login") {
            return Some(GuardCategory::Suspension);
        }
        let departed = |held: Option<&str>| held.and_then(AccountState::parse).is_some_and(is_departed);
        (departed(after) && !departed(before)).then_some(GuardCategory::Departure)
    }

    fn newly_forbids(&self, what: &str) -> bool {
        let forbids = |restriction: &str| restriction.eq_ignore_ascii_case(what);
        let change = self.changes.iter().find(|change| change.name.is(attr::PROVOST_RESTRICTION));
        change.is_some_and(|change| {
            change.after.iter().any(|after| forbids(after)) && !change.before.iter().any(|before| forbids(before))
        })
    }

    /// The first value that an attribute will have.
    fn after(&self, name: &str) -> Option<&str> {
        match self.changes.iter().find(|change| change.name.is(name)) {
            Some(change) => change.after.first().map(String::as_str),
            None => self.before.first(name),
        }
    }
}

fn is_departed(state: AccountState) -> bool {
    use AccountState as State;
    matches!(state, State::Grace | State::Alumni | State::Closing | State::Closed)
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(parse_generalized)
}

#[cfg(test)]
mod tests {
    use provost_entry::{AttributeDescription, Dn};

    use super::*;
    use crate::plan::Reason;
    use crate::write::{Write, WriteKind};
    use crate::{ChangeMode, ReasonRule};

    fn entry(values: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new(Dn::parse("provostPersonId=x,ou=people,dc=example,dc=edu").unwrap());
        for (name, value) in values {
            entry.push(AttributeDescription::parse(name).unwrap(), value.as_bytes().to_vec());
        }
        entry
    }

    fn change(before: &Entry, kind: ChangeKind, after: &[(&'static str, &str)]) -> PersonChange {
        let attributes = after.iter().map(|(name, value)| AttributeChange {
            name: AttributeDescription::of(name),
            how: ChangeMode::Set,
            before: before.texts(name).map(str::to_owned).collect(),
            after: Some(*value).filter(|value| !value.is_empty()).map(str::to_owned).into_iter().collect(),
            rule: ReasonRule::RecordDiffers,
        });
        let write = Write::new(before.dn.clone(), WriteKind::ModifyPerson { csn: None }, attributes.collect());
        let reason = Reason { rule: ReasonRule::RecordDiffers, words: String::new() };
        PersonChange { source: 0, line: 1, what: String::new(), kind, reason, writes: vec![write] }
    }

    #[test]
    fn only_what_was_not_announced_counts() {
        use GuardCategory as G;
        let rule = LossRule { now: "2026-11-28T12:00:00Z".parse().unwrap(), planned_days: 14 };
        let active: &[(&str, &str)] = &[("provostState", "active")];
        let announced: &[(&str, &str)] =
            &[("provostState", "active"), ("provostStateUntil", "20261127000000Z"), ("provostNextState", "grace")];
        let later: &[(&str, &str)] =
            &[("provostState", "active"), ("provostStateUntil", "20270601000000Z"), ("provostNextState", "grace")];
        let closed_long: &[(&str, &str)] = &[("provostState", "closed"), ("provostStateSince", "20260101000000Z")];
        let closed_now: &[(&str, &str)] = &[("provostState", "closed"), ("provostStateSince", "20261127000000Z")];
        let state = ChangeKind::State;
        type Row<'a> = (&'a [(&'a str, &'a str)], ChangeKind, &'a [(&'static str, &'a str)], Option<G>);
        let rows: &[Row<'_>] = &[
            (active, state, &[("provostState", "grace")], Some(G::Departure)),
            (announced, state, &[("provostState", "grace")], None),
            (later, state, &[("provostState", "grace")], Some(G::Departure)),
            (active, state, &[("provostState", "closed")], Some(G::Closing)),
            (active, state, &[("provostState", "Suspended")], Some(G::Suspension)),
            (active, ChangeKind::Update, &[("provostRestriction", "no-receive")], Some(G::Closing)),
            (active, ChangeKind::Update, &[("provostRestriction", "no-login")], Some(G::Suspension)),
            (announced, state, &[("provostState", "closing"), ("provostRestriction", "no-login")], None),
            // An end date months ahead is planned; one within the notice is not.
            (
                active,
                ChangeKind::Update,
                &[("provostStateUntil", "20270601000000Z"), ("provostNextState", "grace")],
                None,
            ),
            (later, ChangeKind::Update, &[("provostStateUntil", "20261205000000Z")], Some(G::Departure)),
            (later, ChangeKind::Update, &[("provostStateUntil", "20280601000000Z")], None),
            (closed_long, ChangeKind::Purge, &[], None),
            (closed_now, ChangeKind::Purge, &[], Some(G::Purge)),
            (&[("provostState", "grace")], state, &[("provostState", "active")], None),
        ];
        for (before, kind, after, expected) in rows {
            let before = entry(before);
            assert_eq!(rule.category(&before, &change(&before, *kind, after)), *expected, "{before:?} {after:?}");
        }
    }
}

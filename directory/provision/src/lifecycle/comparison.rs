//! Compares the state that holds with what one entry has.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::Entry;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_lifecycle::{AccountState, Decision, LifecycleFacts, decide};
use provost_policy::PolicySet;
use provost_schema::attr;

use super::facts::lifecycle_facts;
use super::words;
use crate::ReasonRule;
use crate::attribute_change::AttributeChange;
use crate::manual_origin::is_held_by_hand;
use crate::plan::Reason;

/// The rules and the moment by which entries are compared.
#[derive(Clone)]
pub(crate) struct LifecycleRules {
    pub(crate) policies: Arc<PolicySet>,
    /// Zone in which days begin and end.
    pub(crate) zone: TimeZone,
    pub(crate) now: Timestamp,
}

/// What an entry has, and what it should have.
pub(crate) struct Comparison {
    pub(crate) decision: Decision,
    pub(crate) reason: Reason,
    /// The attributes without the values of the decision.
    pub(crate) attributes: Vec<AttributeChange>,
    /// The state that the entry has, where the decision is another one; empty when it has none.
    pub(crate) former_state: Option<String>,
}

impl LifecycleRules {
    /// Compares an entry that has the attributes of [`super::LIFECYCLE_ATTRIBUTES`]. `None` when nothing can be decided:
    /// the person has no affiliation, or no policy concerns them.
    ///
    /// The state that a hand has set stays; only what describes the affiliations follows them.
    pub(crate) fn compare(&self, entry: &Entry) -> Option<Comparison> {
        let facts = lifecycle_facts(entry, self.now);
        let is_held = facts.is_held;
        let facts = LifecycleFacts { is_held: false, ..facts };
        let decision = decide(&facts, &self.policies, self.now, &self.zone)?;
        // No plan takes the account of somebody who administers the site: that is done by hand.
        let has_role = !entry.values(attr::PROVOST_ROLE).is_empty();
        let is_held = is_held || has_role && decision.state >= AccountState::Grace;
        let reason = words::reason(&decision, &self.zone);
        let mut attributes = affiliation_changes(entry, &decision, reason.rule);
        let mut former_state = None;
        if !is_held {
            attributes.extend(self.state_changes(entry, &decision, reason.rule));
            former_state = Some(facts.state).filter(|former| former != decision.state.name());
        }
        Some(Comparison { decision, reason, attributes, former_state })
    }

    fn state_changes(&self, entry: &Entry, decision: &Decision, rule: ReasonRule) -> Vec<AttributeChange> {
        let is_same_state =
            entry.first(attr::PROVOST_STATE).is_some_and(|held| held.eq_ignore_ascii_case(decision.state.name()));
        // The moment at which a state began is not computed anew: an end date that is corrected later does not move it.
        // Where the facts do not show it, none is stated: with the time of the plan, the same file would make another plan
        // each second, and an interrupted one could not be resumed.
        let held_since = entry.first(attr::PROVOST_STATE_SINCE).filter(|_| is_same_state);
        let since = held_since.map_or_else(|| time(decision.since), |held| vec![held.to_owned()]);
        let restrictions = decision.restrictions.iter().map(|text| (*text).to_owned()).collect();
        let mut wanted: Vec<(&'static str, Vec<String>)> = vec![
            (attr::PROVOST_STATE, vec![decision.state.name().to_owned()]),
            (attr::PROVOST_STATE_SINCE, since),
            (attr::PROVOST_STATE_UNTIL, time(decision.until)),
            (attr::PROVOST_NEXT_STATE, decision.next.map(|next| next.name().to_owned()).into_iter().collect()),
            (attr::PROVOST_RESTRICTION, restrictions),
            (attr::PROVOST_POLICY, decision.policy.iter().cloned().collect()),
        ];
        if self.own_quota_is_over(entry) {
            let class = decision.quota.iter().cloned().collect();
            wanted.push((attr::PROVOST_QUOTA_CLASS, class));
            wanted.extend([attr::MAIL_QUOTA, attr::PROVOST_QUOTA_UNTIL].map(|name| (name, Vec::new())));
        } else {
            wanted.extend(self.quota_class(entry, decision).map(|class| (attr::PROVOST_QUOTA_CLASS, class)));
        }
        wanted.into_iter().filter_map(|(name, values)| change(entry, name, values, rule)).collect()
    }

    /// Whether the last day of the person's own quota is over. The mail core ignores the quota from then on; without the
    /// end, it would hold again.
    fn own_quota_is_over(&self, entry: &Entry) -> bool {
        entry.first(attr::PROVOST_QUOTA_UNTIL).and_then(parse_generalized).is_some_and(|until| until < self.now)
    }

    /// The quota class that the phase asks for. `None` leaves the held one: it was set by hand, or by a source, which no
    /// phase of a policy overrides by saying nothing.
    fn quota_class(&self, entry: &Entry, decision: &Decision) -> Option<Vec<String>> {
        if is_held_by_hand(entry, attr::PROVOST_QUOTA_CLASS, self.now) {
            return None;
        }
        if let Some(class) = &decision.quota {
            return Some(vec![class.clone()]);
        }
        let held = entry.first(attr::PROVOST_QUOTA_CLASS)?;
        let former = entry.first(attr::PROVOST_POLICY).and_then(|name| self.policies.lifecycle(name))?;
        let mut phases = former.phases.iter().chain([&former.affiliated]);
        phases.any(|phase| phase.quota.as_deref() == Some(held)).then(Vec::new)
    }
}

/// The changes of the attributes that describe the affiliations: the words, and programme and dates of the one that
/// decides.
fn affiliation_changes(entry: &Entry, decision: &Decision, rule: ReasonRule) -> Vec<AttributeChange> {
    let deciding = decision.period();
    let wanted = [
        (attr::EDU_PERSON_AFFILIATION, decision.affiliations.clone()),
        (attr::EDU_PERSON_PRIMARY_AFFILIATION, decision.affiliations.iter().take(1).cloned().collect()),
        (attr::PROVOST_PROGRAM, deciding.program.iter().cloned().collect()),
        (attr::PROVOST_START_DATE, time(deciding.start)),
        (attr::PROVOST_END_DATE, time(deciding.end)),
    ];
    wanted.into_iter().filter_map(|(name, values)| change(entry, name, values, rule)).collect()
}

fn time(time: Option<Timestamp>) -> Vec<String> {
    time.map(format_generalized).into_iter().collect()
}

/// The change that gives an attribute exactly `values`; `None` when the entry has them.
fn change(entry: &Entry, name: &'static str, values: Vec<String>, rule: ReasonRule) -> Option<AttributeChange> {
    let mut before: Vec<String> = entry.texts(name).map(str::to_owned).collect();
    before.sort_unstable();
    let mut after = values;
    after.sort_unstable();
    (before != after).then(|| AttributeChange::set(name, before, after, rule))
}

//! Compares the state that holds with what each person's entry has.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::time::format_generalized;
use provost_entry::{AttributeDescription, Dn, Entry};
use provost_lifecycle::{Decision, decide};
use provost_policy::{LIFECYCLE, PolicySet, PurgeRule};
use provost_schema::attr;

use super::facts::{is_held_by_hand, lifecycle_facts};
use super::words;
use crate::ReasonRule;
use crate::attribute_change::{AttributeChange, ChangeMode};
use crate::plan::{ChangeKind, PersonChange, Plan, SourceStamp};
use crate::write::{Write, WriteKind};

/// Name of the source of a plan that the lifecycle made; its digest is that of the policies.
pub(crate) const LIFECYCLE_SOURCE: &str = "lifecycle";

/// The attributes of a person that a run of the lifecycle reads.
pub const LIFECYCLE_ATTRIBUTES: [&str; 26] = [
    attr::UID,
    attr::MAIL,
    attr::PROVOST_STATE,
    attr::PROVOST_STATE_SINCE,
    attr::PROVOST_STATE_UNTIL,
    attr::PROVOST_NEXT_STATE,
    attr::PROVOST_RESTRICTION,
    attr::PROVOST_POLICY,
    attr::PROVOST_AFFILIATION,
    attr::PROVOST_ABSENCE,
    attr::PROVOST_ORIGIN,
    attr::PROVOST_NOTICE,
    attr::PROVOST_EXTENSION,
    attr::PROVOST_LAST_LOGIN,
    attr::PROVOST_QUOTA_CLASS,
    attr::PROVOST_SOURCE_ID,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_START_DATE,
    attr::PROVOST_END_DATE,
    attr::PROVOST_ROLE,
    attr::PROVOST_LAST_BATCH,
    attr::EDU_PERSON_AFFILIATION,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::ENTRY_CSN,
    attr::ENTRY_UUID,
    attr::PROVOST_PURGE_REQUEST,
];

/// Plans a run of the lifecycle, one person after the other, so that a directory of any size needs no more memory than
/// its changes.
pub struct LifecyclePlanner {
    policies: Arc<PolicySet>,
    zone: TimeZone,
    now: Timestamp,
    changes: Vec<PersonChange>,
    /// People of whom a state was decided and who are in it.
    unchanged: usize,
    /// Closed accounts that their policy purges, each with the days until its mail is deleted.
    due: Vec<DuePurge>,
}

/// A closed account that its policy purges.
pub struct DuePurge {
    /// The person's entry.
    pub(crate) entry: Entry,
    /// Days until the mail is deleted.
    pub(crate) mail_days: u32,
    /// Why, for people.
    pub(crate) words: String,
}

impl LifecyclePlanner {
    /// A plan for `now`; days are those of `zone`.
    pub fn new(policies: Arc<PolicySet>, zone: TimeZone, now: Timestamp) -> Self {
        Self { policies, zone, now, changes: Vec::new(), unchanged: 0, due: Vec::new() }
    }

    /// Adds the change of one person, if there is one. `entry` has the attributes of [`LIFECYCLE_ATTRIBUTES`].
    pub fn take(&mut self, entry: &Entry) {
        let facts = lifecycle_facts(entry, self.now);
        let Some(decision) = decide(&facts, &self.policies, self.now, &self.zone) else { return };
        let reason = words::reason(&decision, &self.zone);
        let attributes = self.changes_of(entry, &decision, reason.rule);
        if attributes.is_empty() {
            self.unchanged += 1;
            self.note_due_purge(entry, &decision, reason.words);
            return;
        }
        let is_other_state = facts.state != decision.state.name();
        let label = entry.first(attr::MAIL).or_else(|| entry.first(attr::UID)).unwrap_or_else(|| entry.dn.as_str());
        let what = if is_other_state {
            let former = if facts.state.is_empty() { "no state" } else { &facts.state };
            format!("{label}: {former} -> {}", decision.state)
        } else {
            format!("{label}: {} stays, its dates or rights change", decision.state)
        };
        let action = WriteKind::ModifyPerson { csn: entry.first(attr::ENTRY_CSN).map(Into::into) };
        let last_batch = entry.first(attr::PROVOST_LAST_BATCH).map(Into::into);
        let write = Write { last_batch, ..Write::new(entry.dn.clone(), action, attributes) };
        let kind = if is_other_state { ChangeKind::State } else { ChangeKind::Update };
        self.changes.push(PersonChange { source: 0, line: 0, what, kind, reason, writes: vec![write] });
    }

    /// Remembers a closed account that is due. It is purged by the run after the one that closed it, so that a plan
    /// writes each entry once. A person with a role is never purged by a policy.
    fn note_due_purge(&mut self, entry: &Entry, decision: &Decision, words: String) {
        let Some((at, PurgeRule::Automatic)) = decision.purge else { return };
        let policy = decision.policy.as_deref().and_then(|name| self.policies.lifecycle(name));
        if let Some(policy) = policy.filter(|_| at <= self.now && entry.values(attr::PROVOST_ROLE).is_empty()) {
            self.due.push(DuePurge { entry: entry.clone(), mail_days: policy.mail_days, words });
        }
    }

    /// Takes the accounts that are due for their purge.
    pub fn take_due(&mut self) -> Vec<DuePurge> {
        std::mem::take(&mut self.due)
    }

    /// Adds a change that is planned elsewhere.
    pub(crate) fn push(&mut self, change: PersonChange) {
        self.unchanged = self.unchanged.saturating_sub(1);
        self.changes.push(change);
    }

    /// The plan of all changes so far.
    pub fn finish(self, suffix: &Dn) -> Plan {
        let lifecycles = self.policies.documents().iter().filter(|document| document.kind == LIFECYCLE);
        let mut texts: Vec<String> =
            lifecycles.map(|document| format!("{}\n{}", document.name, document.text(&self.zone))).collect();
        texts.sort();
        let digest = blake3::hash(texts.concat().as_bytes()).to_hex().to_string();
        let stamp = SourceStamp { name: LIFECYCLE_SOURCE.to_owned(), digest: digest.clone() };
        Plan::of_changes(suffix, stamp, digest, self.now, self.changes, self.unchanged)
    }

    /// The attributes that do not have the values of the decision.
    fn changes_of(&self, entry: &Entry, decision: &Decision, rule: ReasonRule) -> Vec<AttributeChange> {
        let time = |time: Option<Timestamp>| time.map(format_generalized).into_iter().collect::<Vec<_>>();
        let is_same_state =
            entry.first(attr::PROVOST_STATE).is_some_and(|held| held.eq_ignore_ascii_case(decision.state.name()));
        // The moment at which a state began is not computed anew: an end date that is corrected later does not move it.
        let held_since = entry.first(attr::PROVOST_STATE_SINCE).filter(|_| is_same_state);
        let since = held_since.map_or_else(|| time(Some(self.since(decision))), |held| vec![held.to_owned()]);
        let next = decision.next.map(|next| next.name().to_owned()).into_iter().collect();
        let restrictions = decision.restrictions.iter().map(|text| (*text).to_owned()).collect();
        let primary = decision.affiliations.iter().take(1).cloned().collect();
        let mut wanted: Vec<(&'static str, Vec<String>)> = vec![
            (attr::PROVOST_STATE, vec![decision.state.name().to_owned()]),
            (attr::PROVOST_STATE_SINCE, since),
            (attr::PROVOST_STATE_UNTIL, time(decision.until)),
            (attr::PROVOST_NEXT_STATE, next),
            (attr::PROVOST_RESTRICTION, restrictions),
            (attr::PROVOST_POLICY, decision.policy.iter().cloned().collect()),
            (attr::EDU_PERSON_AFFILIATION, decision.affiliations.clone()),
            (attr::EDU_PERSON_PRIMARY_AFFILIATION, primary),
        ];
        wanted.extend(self.quota_class(entry, decision).map(|class| (attr::PROVOST_QUOTA_CLASS, class)));
        wanted.into_iter().filter_map(|(name, values)| change(entry, name, values, rule)).collect()
    }

    /// Start of a state that is new to the entry.
    fn since(&self, decision: &Decision) -> Timestamp {
        decision.since.filter(|since| *since <= self.now).unwrap_or(self.now)
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

/// The change that gives an attribute exactly `values`; `None` when the entry has them.
fn change(entry: &Entry, name: &'static str, values: Vec<String>, rule: ReasonRule) -> Option<AttributeChange> {
    let mut before: Vec<String> = entry.texts(name).map(str::to_owned).collect();
    before.sort_unstable();
    let mut after = values;
    after.sort_unstable();
    let alike = |one: &String, other: &String| one.eq_ignore_ascii_case(other);
    let is_held = before.len() == after.len() && before.iter().zip(&after).all(|(one, other)| alike(one, other));
    let name = AttributeDescription::of(name);
    (!is_held).then_some(AttributeChange { name, how: ChangeMode::Set, before, after, rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: &str = "kind lifecycle\npopulation staff\nwhile quota=staff\nphase 1 grace days=30\n\
        phase 2 closing days=60 quota=small\nphase 3 closed days=365\n";

    fn entry(values: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new(Dn::parse("uid=x,ou=people,dc=example,dc=edu").unwrap());
        for (name, value) in values {
            entry.push(AttributeDescription::parse(name).unwrap(), value.as_bytes().to_vec());
        }
        entry
    }

    fn planned(entry: &Entry, day: &str) -> Plan {
        let document = provost_policy::PolicyDocument::parse("staff-1", STATED, &TimeZone::UTC).unwrap();
        let policies = Arc::new(PolicySet::new(vec![document]).unwrap());
        let now = format!("{day}T12:00:00Z").parse().unwrap();
        let mut planner = LifecyclePlanner::new(policies, TimeZone::UTC, now);
        planner.take(entry);
        let plan = planner.finish(&Dn::parse("dc=example,dc=edu").unwrap());
        assert_eq!(Plan::from_bytes(&plan.to_bytes()).as_ref(), Ok(&plan), "the plan cannot be resumed from its file");
        plan
    }

    /// The entry after the changes of a plan.
    fn applied(entry: &Entry, plan: &Plan) -> Entry {
        let mut entry = entry.clone();
        for change in plan.changes().iter().flat_map(|change| &change.writes).flat_map(|write| &write.attributes) {
            entry.set(change.name.clone(), change.after.iter().map(|value| value.clone().into_bytes()).collect());
        }
        entry
    }

    #[test]
    fn a_person_passes_from_state_to_state_and_each_run_is_idempotent() {
        let mut person = entry(&[
            ("mail", "zoe@example.edu"),
            ("provostState", "active"),
            ("provostAffiliation", "hr staff 20200101000000Z 20261231235959Z Library"),
        ]);
        for (day, what, quota) in [
            ("2026-06-01", "zoe@example.edu: active stays, its dates or rights change", Some("staff")),
            ("2027-01-15", "zoe@example.edu: active -> grace", None),
            ("2027-02-15", "zoe@example.edu: grace -> closing", Some("small")),
            ("2027-05-01", "zoe@example.edu: closing -> closed", None),
        ] {
            let plan = planned(&person, day);
            assert_eq!(plan.changes()[0].what, what);
            person = applied(&person, &plan);
            assert_eq!(person.first("provostQuotaClass"), quota, "{day}");
            assert!(planned(&person, day).is_empty(), "{day}: a second run writes again");
        }
        assert_eq!(person.first("provostPolicy"), Some("staff-1"));
        assert_eq!(person.values("provostRestriction").len(), 3);
    }

    #[test]
    fn a_quota_class_of_a_source_or_a_hand_stays() {
        let of_source = [
            ("provostAffiliation", "hr staff - 20261231235959Z"),
            ("provostQuotaClass", "research"),
            ("provostPolicy", "staff-1"),
        ];
        let kept = applied(&entry(&of_source), &planned(&entry(&of_source), "2027-01-15"));
        assert_eq!(kept.first("provostQuotaClass"), Some("research"));
        let by_hand = entry(&[
            ("provostAffiliation", "hr staff - 20261231235959Z"),
            ("provostQuotaClass", "huge"),
            ("provostOrigin", "provostQuotaClass 20260101000000Z - web:desk"),
        ]);
        let kept = applied(&by_hand, &planned(&by_hand, "2027-02-15"));
        assert_eq!((kept.first("provostState"), kept.first("provostQuotaClass")), (Some("closing"), Some("huge")));
    }
}

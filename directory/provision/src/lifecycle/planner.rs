//! The plan of a run of the lifecycle.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::{Address, Dn, Entry};
use provost_lifecycle::{AccountState, Decision};
use provost_policy::{LIFECYCLE, PolicySet};
use provost_schema::attr;

use super::alumni::{AlumniWrites, DueAlumni, is_due};
use super::comparison::LifecycleRules;
use super::facts::is_closed;
use crate::ReasonRule;
use crate::guard::{PlanEffect, Tally};
use crate::manual_origin::is_held_by_hand;
use crate::plan::{ChangeKind, PersonChange, Plan, Reason, SourceStamp};
use crate::write::{Write, WriteKind};

/// Name of the source of a plan that the lifecycle made; its digest is that of the policies.
pub(crate) const LIFECYCLE_SOURCE: &str = "lifecycle";

/// Maximum number of people who get an address in the alumni domain in one run. The next run goes on.
const ALUMNI_MAX: usize = 5000;

/// The attributes of a person that a run of the lifecycle reads.
pub(crate) const LIFECYCLE_ATTRIBUTES: [&str; 33] = [
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
    attr::PROVOST_QUOTA_UNTIL,
    attr::MAIL_QUOTA,
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
    attr::MAIL_LOCAL_ADDRESS,
    attr::GIVEN_NAME,
    attr::SN,
    attr::EMPLOYEE_NUMBER,
    attr::PROVOST_CHOSEN_NAME,
];

/// Plans a run of the lifecycle, one person after the other, so that a directory of any size needs no more memory than
/// its changes.
pub(crate) struct LifecyclePlanner {
    rules: LifecycleRules,
    changes: Vec<PersonChange>,
    /// People of whom a state was decided and who are in it.
    unchanged: usize,
    /// The entries that the changes write, once [`LifecyclePlanner::writes`] was asked.
    written: HashSet<Dn>,
    /// People who are to get an address in the alumni domain.
    alumni: Vec<DueAlumni>,
    /// Closed accounts that their policy purges, each with the days until its mail is deleted.
    due: Vec<DuePurge>,
    tally: Tally,
}

/// A closed account that its policy purges.
pub(crate) struct DuePurge {
    /// The person's entry.
    pub(crate) entry: Entry,
    /// Days until the mail is deleted.
    pub(crate) mail_days: u32,
    /// Why, for people.
    pub(crate) words: String,
}

impl LifecyclePlanner {
    /// A plan for `now`; days are those of `zone`.
    pub(crate) fn new(policies: Arc<PolicySet>, zone: TimeZone, now: Timestamp) -> Self {
        let tally = Tally::new(now, policies.guard_in_force(now).planned_days);
        let rules = LifecycleRules { policies, zone, now };
        Self {
            rules,
            changes: Vec::new(),
            unchanged: 0,
            written: HashSet::new(),
            alumni: Vec::new(),
            due: Vec::new(),
            tally,
        }
    }

    /// Adds the change of one person, if there is one. `entry` has the attributes of [`LIFECYCLE_ATTRIBUTES`].
    pub(crate) fn take(&mut self, entry: &Entry) {
        self.tally.add_entry(entry);
        let Some(compared) = self.rules.compare(entry) else { return };
        if compared.attributes.is_empty() {
            self.unchanged += 1;
            self.note_alumni(entry, &compared.decision);
            self.note_due_purge(entry, &compared.decision, compared.reason.words);
            return;
        }
        let label = entry.first(attr::MAIL).or_else(|| entry.first(attr::UID)).unwrap_or_else(|| entry.dn.as_str());
        let state = compared.decision.state;
        let (kind, what) = match &compared.former_state {
            Some(former) => {
                let former = if former.is_empty() { "no state" } else { former };
                (ChangeKind::State, format!("{label}: {former} -> {state}"))
            }
            None => (ChangeKind::Update, format!("{label}: {state} stays, its dates or rights change")),
        };
        let action = WriteKind::ModifyPerson { csn: entry.first(attr::ENTRY_CSN).map(Into::into) };
        let last_batch = entry.first(attr::PROVOST_LAST_BATCH).map(Into::into);
        let write = Write { last_batch, ..Write::new(entry.dn.clone(), action, compared.attributes) };
        let reason = compared.reason;
        let change = PersonChange { source: 0, line: 0, what, kind, reason, writes: vec![write] };
        self.tally.add_change(Some(entry), &change);
        self.changes.push(change);
    }

    /// Remembers a closed account that is due. It is purged by the run after the one that closed it, so that a plan
    /// writes each entry once. A person with a role is never purged by a policy, nor is one whom a hand has closed.
    fn note_due_purge(&mut self, entry: &Entry, decision: &Decision, words: String) {
        let policy = decision.policy.as_deref().and_then(|name| self.rules.policies.lifecycle(name));
        let is_due = decision.is_to_be_purged_at(self.rules.now)
            && is_closed(entry)
            && entry.values(attr::PROVOST_ROLE).is_empty();
        let is_held = is_held_by_hand(entry, attr::PROVOST_STATE, self.rules.now);
        if let Some(policy) = policy.filter(|_| is_due && !is_held) {
            self.due.push(DuePurge { entry: entry.clone(), mail_days: policy.mail_days, words });
        }
    }

    /// Remembers an alumnus whose naming policy gives an address in the alumni domain, by the run after the one
    /// that made them one, so that a plan writes each entry once.
    fn note_alumni(&mut self, entry: &Entry, decision: &Decision) {
        let now = self.rules.now;
        if decision.state != AccountState::Alumni || self.alumni.len() >= ALUMNI_MAX {
            return;
        }
        let period = decision.period();
        let rules = self.rules.policies.naming_in_force(&period.affiliation, period.program.as_deref(), now);
        let due = rules.filter(|rules| rules.alumni.as_ref().is_some_and(|alumni| is_due(entry, alumni, now)));
        let due = due.map(|rules| DueAlumni { entry: entry.clone(), policy: rules.name.clone() });
        self.alumni.extend(due);
    }

    /// Takes the people who are to get an address in the alumni domain. Shorter addresses come first, so that people of
    /// one name get their numbers in the same order again, whatever the order in which the directory returned them.
    pub(crate) fn take_alumni(&mut self) -> Vec<DueAlumni> {
        let mut alumni = std::mem::take(&mut self.alumni);
        let mail = |due: &DueAlumni| due.entry.first(attr::MAIL).unwrap_or_default().to_owned();
        alumni.sort_by_cached_key(|due| (mail(due).len(), mail(due), due.entry.dn.to_string()));
        alumni
    }

    /// Adds what a person gets in the alumni domain.
    pub(crate) fn push_alumni(&mut self, due: &DueAlumni, address: &Address, writes: AlumniWrites) {
        let AlumniWrites { before, attributes, after } = writes;
        let moves = attributes.iter().any(|change| change.name.is(attr::MAIL));
        let action = WriteKind::ModifyPerson { csn: due.entry.first(attr::ENTRY_CSN).map(Into::into) };
        let last_batch = due.entry.first(attr::PROVOST_LAST_BATCH).map(Into::into);
        let of_person = (!attributes.is_empty())
            .then(|| Write { last_batch, ..Write::new(due.entry.dn.clone(), action, attributes) });
        let writes: Vec<Write> = before.into_iter().chain(of_person).chain(after).collect();
        if writes.is_empty() {
            return;
        }
        let label = due.entry.first(attr::MAIL).unwrap_or_else(|| due.entry.dn.as_str());
        let words = format!("alumni get an address by policy {}", due.policy);
        let change = PersonChange {
            source: 0,
            line: 0,
            what: format!("{label}: alumni address {address}"),
            // The guard counts changes of primary addresses.
            kind: if moves { ChangeKind::Rename } else { ChangeKind::Update },
            reason: Reason { rule: ReasonRule::AlumniAddress, words },
            writes,
        };
        self.push(&due.entry, change);
    }

    /// Takes the accounts that are due for their purge.
    pub(crate) fn take_due(&mut self) -> Vec<DuePurge> {
        std::mem::take(&mut self.due)
    }

    /// Adds the purge of a person whose entry is `before`.
    pub(crate) fn push(&mut self, before: &Entry, change: PersonChange) {
        self.tally.add_change(Some(before), &change);
        self.unchanged = self.unchanged.saturating_sub(1);
        self.changes.push(change);
    }

    /// Adds a change that concerns no person who was compared.
    pub(crate) fn push_change(&mut self, change: PersonChange) {
        if !self.written.is_empty() {
            self.written.extend(change.writes.iter().map(|write| write.dn.clone()));
        }
        self.changes.push(change);
    }

    /// Whether the plan writes an entry already.
    pub(crate) fn writes(&mut self, dn: &Dn) -> bool {
        if self.written.is_empty() {
            let writes = self.changes.iter().flat_map(|change| &change.writes);
            self.written = writes.map(|write| write.dn.clone()).collect();
        }
        self.written.contains(dn)
    }

    /// The plan of all changes so far, and what it does.
    pub(crate) fn finish(self, suffix: &Dn) -> (Plan, PlanEffect) {
        let digest = digest_of(&self.rules.policies, &self.rules.zone);
        let stamp = SourceStamp { name: LIFECYCLE_SOURCE.to_owned(), digest: digest.clone(), profile: None };
        let plan = Plan::of_changes(suffix, stamp, digest, self.rules.now, self.changes, self.unchanged);
        (plan, self.tally.finish())
    }
}

impl Extend<Entry> for LifecyclePlanner {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.take(&entry));
    }
}

/// The digest of all lifecycle policies: blake3, hex.
pub(crate) fn digest_of(policies: &PolicySet, zone: &TimeZone) -> String {
    let lifecycles = policies.documents().iter().filter(|document| document.kind == LIFECYCLE);
    let mut texts: Vec<String> =
        lifecycles.map(|document| format!("{}\n{}", document.name, document.text(zone))).collect();
    texts.sort();
    blake3::hash(texts.concat().as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use provost_entry::AttributeDescription;

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
        let (plan, _) = planner.finish(&Dn::parse("dc=example,dc=edu").unwrap());
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
    fn an_own_quota_is_removed_after_its_last_day() {
        let of = |until: &str| {
            entry(&[
                ("provostAffiliation", "hr staff - 20261231235959Z"),
                ("provostQuotaClass", "huge"),
                ("mailQuota", "5000000"),
                ("provostQuotaUntil", until),
                ("provostOrigin", &format!("provostQuotaClass 20260101000000Z {until} web:desk")),
            ])
        };
        for (until, class, octets) in
            [("20270131235959Z", Some("huge"), Some("5000000")), ("20270101235959Z", None, None)]
        {
            let person = of(until);
            let after = applied(&person, &planned(&person, "2027-01-15"));
            assert_eq!((after.first("provostQuotaClass"), after.first("mailQuota")), (class, octets), "{until}");
        }
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

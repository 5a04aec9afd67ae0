//! Plans, simulates and extends: the lifecycle for a principal that may do so.

use std::sync::Arc;

use jiff::Timestamp;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::{AttributeDescription, Entry, Filter, Modification};
use provost_lifecycle::{Extension, TimelineEvent, decide, timeline};
use provost_policy::days_after;
use provost_schema::{attr, class};
use serde_json::json;

use super::{ChangeTarget, Desk, DeskError, ReadPurpose, checked_reason};
use crate::lifecycle::{
    LIFECYCLE_ATTRIBUTES, LifecyclePlanner, LifecycleRules, Purge, lifecycle_facts, quarantine_days,
};
use crate::policy_documents::read_policies;
use crate::{AttributeChange, Permission, PlannedImport, Policies, Principal, tree};

/// What will happen to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonTimeline {
    /// The person's primary address, else their login or DN.
    pub person: String,
    /// The events, in order.
    pub events: Vec<TimelineEvent>,
}

impl Desk {
    /// Compares the state of every person with the one that the policies ask for at `now`; writes nothing. Apply the
    /// plan with [`Desk::apply_import`].
    pub async fn plan_lifecycle(&self, principal: &Principal, now: Timestamp) -> Result<PlannedImport, DeskError> {
        self.permit(principal, Permission::RunLifecycle).await?;
        let policies = read_policies(&self.directory).await?;
        let settings = self.settings.get();
        let (policies, zone) = (Arc::new(policies), settings.time_zone.clone());
        let known = Arc::clone(&policies);
        let begin = move || LifecyclePlanner::new(policies.clone(), zone.clone(), now);
        // Each entry is compared as it arrives: all entries of a large directory would take gigabytes.
        let mut planner = match self.directory.collect_provider(self.lifecycle_search(), begin.clone()).await {
            Err(DirectoryError::NoSuchObject(_)) => begin(),
            planned => planned?,
        };
        let suffix = self.directory.suffix();
        for due in planner.take_due() {
            let addresses = self.all_addresses_of(&due.entry.dn).await?;
            let purge = Purge {
                person: &due.entry,
                addresses: &addresses,
                quarantine_days: quarantine_days(&known, &due.entry, now, settings.address_quarantine),
                mail_days: due.mail_days,
                words: due.words,
            };
            if let Some(change) = purge.change(suffix, now, &settings.time_zone) {
                planner.push(&due.entry, change);
            }
        }
        let site = Policies::from(&settings).with_lifecycle((*known).clone());
        self.plan_alumni(&mut planner, &site, now).await?;
        self.plan_class_ends(&mut planner, now).await?;
        self.plan_address_ends(&mut planner, &known, now).await?;
        let (plan, effect) = planner.finish(suffix);
        Ok(PlannedImport::without_passwords(plan, effect))
    }

    /// What will happen to one person, or to everybody, from `from` to `until` if nothing is changed. People to whom
    /// nothing happens are left out.
    pub async fn simulate_lifecycle(
        &self,
        principal: &Principal,
        person: Option<&str>,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<PersonTimeline>, DeskError> {
        self.permit(principal, Permission::ViewImports).await?;
        let policies = read_policies(&self.directory).await?;
        let people = match person {
            Some(key) => vec![self.target(principal, Permission::ViewPerson, &key.into()).await?.entry],
            None => match self.read_for(ReadPurpose::Show, self.lifecycle_search()).await {
                Ok((entries, _)) => entries,
                Err(DeskError::NotFound(_)) => Vec::new(),
                Err(error) => return Err(error),
            },
        };
        let zone = self.settings.get().time_zone;
        let simulated = tokio::task::spawn_blocking(move || {
            let of_person = |entry: &Entry| PersonTimeline {
                person: label(entry).to_owned(),
                events: timeline(&lifecycle_facts(entry, from), &policies, from, until, &zone),
            };
            people.iter().map(of_person).filter(|person| !person.events.is_empty()).collect()
        });
        simulated.await.map_err(|error| DeskError::Refused(format!("the simulation ended in a fault: {error}")))
    }

    /// Prolongs the phase that runs for a person until `until`, as far as the policy allows it, and brings the entry to
    /// the state that follows. Returns the audit id.
    pub async fn extend(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        (until, reason): (Timestamp, &str),
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::ExtendAccount, &target.into()).await?;
        let reason = checked_reason(reason)?;
        let (policies, zone) = (read_policies(&self.directory).await?, self.settings.get().time_zone);
        let facts = lifecycle_facts(&person.entry, now);
        let invalid = |rule: String| DeskError::Invalid { field: "until", rule };
        let Some(decision) = decide(&facts, &policies, now, &zone) else {
            return Err(invalid("the state of this person was set by hand: restore the person instead".to_owned()));
        };
        let Some(end) = decision.until else {
            return Err(invalid(format!("the state {} has no end", decision.state)));
        };
        let policy = decision.policy.as_deref().and_then(|name| policies.lifecycle(name));
        let days = policy.map_or(0, |policy| policy.extension_days);
        let latest = days_after(end, days, &zone);
        if until <= end || latest.is_none_or(|latest| until > latest) {
            let (policy, end) = (decision.policy.as_deref().unwrap_or("none"), zone.to_datetime(end).date());
            let rule = format!("after {end}, and at most {days} days later by policy {policy}");
            return Err(invalid(rule));
        }
        let approver = principal.actor().name.replace(char::is_whitespace, "_");
        let extension = Extension { since: now, until, approver, reason };
        let name = AttributeDescription::of(attr::PROVOST_EXTENSION);
        let mut changes = vec![Modification::add(name.clone(), vec![extension.value().into_bytes()])];
        let mut extended = person.entry.clone();
        extended.push(name, extension.value().into_bytes());
        let rules = LifecycleRules { policies: Arc::new(policies), zone, now };
        let follows = rules.compare(&extended).map(|compared| compared.attributes).unwrap_or_default();
        changes.extend(follows.iter().flat_map(AttributeChange::modifications));
        let detail = json!({ "extension": extension.value(), "before": end.to_string(), "after": until.to_string() });
        self.change(principal.actor(), "account.extend", &person, changes, detail).await
    }

    /// The search for all people, with the attributes by which the lifecycle decides.
    pub(super) fn lifecycle_search(&self) -> LdapSearch {
        let mut attributes: Vec<String> = LIFECYCLE_ATTRIBUTES.iter().map(|name| (*name).to_owned()).collect();
        attributes.push(attr::USER_PASSWORD.to_owned());
        LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT),
            attributes,
            limit: None,
        }
    }
}

fn label(entry: &Entry) -> &str {
    entry.first(attr::MAIL).or_else(|| entry.first(attr::UID)).unwrap_or_else(|| entry.dn.as_str())
}

//! Purges a closed account, which needs two people, and lists the accounts whose mail is due for deletion.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
use provost_lifecycle::decide;
use provost_policy::days_after;
use provost_schema::{attr, class};
use serde_json::json;
use uuid::Uuid;

use super::{ChangeTarget, CurrentPerson, Desk, DeskError, ReadPurpose, checked_reason};
use crate::lifecycle::{LIFECYCLE_SOURCE, Purge, is_closed, lifecycle_facts, quarantine_days};
use crate::plan::{Plan, SourceStamp};
use crate::policy_documents::read_policies;
use crate::{Applier, BatchOptions, InitialPasswords, Outcomes, Permission, Principal, tree};

/// Days for which the request of the first person waits for the second one.
const REQUEST_DAYS: u32 = 30;
/// Days between the purge and the deletion of the mail where no policy states them.
const MAIL_DAYS: u32 = 30;
/// Maximum number of addresses of a person who is purged.
const ADDRESSES_MAX: usize = 1000;

/// What a request for a purge led to.
#[derive(Clone, Debug)]
pub enum PurgeOutcome {
    /// The first of two people asked; the id of the audit record.
    Requested(String),
    /// The second of two people asked, and the account was purged.
    Purged(Box<Outcomes>),
}

/// The request of the first person: a value of provostPurgeRequest, `SINCE ACTOR REASON`.
struct PurgeRequest {
    since: Timestamp,
    actor: String,
}

impl PurgeRequest {
    fn of(entry: &Entry) -> Option<Self> {
        let mut words = entry.first(attr::PROVOST_PURGE_REQUEST)?.split(' ');
        let since = parse_generalized(words.next()?)?;
        Some(Self { since, actor: words.next()?.to_owned() })
    }

    fn waits_at(&self, now: Timestamp) -> bool {
        days_after(self.since, REQUEST_DAYS, &TimeZone::UTC).is_some_and(|end| now <= end)
    }
}

impl Desk {
    /// Asks for the purge of a closed account, or purges it when somebody else has asked in the last thirty days. The
    /// addresses go into quarantine, the entry is deleted, a tombstone stays, and the nodes delete the mail after the
    /// days that the person's policy states.
    pub async fn purge(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        reason: &str,
        now: Timestamp,
    ) -> Result<PurgeOutcome, DeskError> {
        let person = self.target(principal, Permission::PurgeAccount, &target.into()).await?;
        let reason = checked_reason(reason)?;
        let invalid = |rule: &str| DeskError::Invalid { field: "person", rule: rule.to_owned() };
        if person.roles().next().is_some() {
            return Err(invalid("a person with a role is not purged; take the role away first"));
        }
        if !is_closed(&person.entry) {
            return Err(invalid("only a closed account is purged; close it first"));
        }
        let actor = principal.actor().name.replace(char::is_whitespace, "_");
        match PurgeRequest::of(&person.entry).filter(|request| request.waits_at(now)) {
            Some(request) if request.actor == actor => {
                Err(invalid("you have asked for this purge already; a second person must ask for it too"))
            }
            Some(request) => {
                let words = format!("{} and {actor} asked for it: {reason}", request.actor);
                self.purge_now(principal, &person, words, now).await.map(|done| PurgeOutcome::Purged(Box::new(done)))
            }
            None => {
                let value = format!("{} {actor} {reason}", format_generalized(now));
                let name = AttributeDescription::of(attr::PROVOST_PURGE_REQUEST);
                let change = Modification::replace(name, vec![value.into_bytes()]);
                let detail = json!({ "reason": reason });
                let id = self.change(principal.actor(), "account.purge-request", &person, vec![change], detail).await?;
                Ok(PurgeOutcome::Requested(id))
            }
        }
    }

    async fn purge_now(
        &self,
        principal: &Principal,
        person: &CurrentPerson,
        words: String,
        now: Timestamp,
    ) -> Result<Outcomes, DeskError> {
        let (settings, policies) = (self.settings.get(), read_policies(&self.directory).await?);
        let facts = lifecycle_facts(&person.entry, now);
        let decision = decide(&facts, &policies, now, &settings.time_zone);
        let policy = decision.and_then(|decision| decision.policy).or_else(|| facts.policy.clone());
        let policy = policy.as_deref().and_then(|name| policies.lifecycle(name));
        let addresses = self.all_addresses_of(person.dn()).await?;
        let purge = Purge {
            person: &person.entry,
            addresses: &addresses,
            quarantine_days: quarantine_days(&policies, &person.entry, now, settings.address_quarantine),
            mail_days: policy.map_or(MAIL_DAYS, |policy| policy.mail_days),
            words,
        };
        let suffix = self.directory.suffix();
        let change = purge.change(suffix, now, &settings.time_zone);
        let change = change.ok_or_else(|| DeskError::Refused(format!("{} has no entryUUID", person.dn())))?;
        let name = policy.map_or_else(String::new, |policy| policy.name.clone());
        let stamp = SourceStamp { name: LIFECYCLE_SOURCE.to_owned(), digest: name.clone(), profile: None };
        let plan = Arc::new(Plan::of_changes(suffix, stamp, name, now, vec![change], 0));
        let (directory, audit, journals) = (&self.directory, &self.audit, &self.journals);
        let applier = Applier {
            directory,
            password_policy: &settings.passwords,
            actor: principal.actor(),
            audit,
            journals,
            batch: BatchOptions::default(),
        };
        let applied = applier.apply(&plan, &InitialPasswords::default(), &mut |_| {}).await;
        let outcomes = applied.map_err(|(_, error)| DeskError::Unavailable(error.to_string()))?;
        match outcomes.failed.first() {
            Some((_, why)) => Err(DeskError::Refused(why.clone())),
            None => Ok(outcomes),
        }
    }

    /// All address entries of a person, those in quarantine too, with their versions.
    pub(super) async fn all_addresses_of(&self, owner: &Dn) -> Result<Vec<Entry>, DeskError> {
        let search = LdapSearch {
            base: tree::addresses(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::equal(attr::PROVOST_OWNER, owner.as_str()),
            attributes: vec!["*".to_owned(), attr::ENTRY_CSN.to_owned()],
            limit: Some(ADDRESSES_MAX),
        };
        Ok(self.read_for(ReadPurpose::Change, search).await?.0)
    }

    /// The accounts of tombstones whose mail is to be deleted by `now`: the entryUUID of the former person.
    pub async fn accounts_to_delete(&self, principal: &Principal, now: Timestamp) -> Result<Vec<Uuid>, DeskError> {
        self.permit(principal, Permission::RunLifecycle).await?;
        let search = LdapSearch {
            base: tree::tombstones(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_TOMBSTONE),
            attributes: vec![attr::CN.to_owned(), attr::PROVOST_UNTIL.to_owned()],
            limit: None,
        };
        let tombstones = match self.directory.search_provider(search).await {
            Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
            found => found?,
        };
        let is_due = |entry: &&Entry| {
            entry.first(attr::PROVOST_UNTIL).and_then(parse_generalized).is_some_and(|until| until <= now)
        };
        let account = |entry: &Entry| Uuid::try_parse(&entry.dn.rdn_value(attr::CN)?).ok();
        Ok(tombstones.iter().filter(is_due).filter_map(account).collect())
    }
}

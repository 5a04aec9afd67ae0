//! Explains a person or an address: reads the entries, the audit and the batches, and lets `explain` decide.

use std::collections::BTreeSet;

use jiff::Timestamp;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::{Address, Dn, Entry, Filter};
use provost_schema::{attr, class, ou};
use serde_json::json;

use super::{CurrentPerson, Desk, DeskError, ReadPurpose};
use crate::audit::VIEW_PERSON;
use crate::explain::{
    AddressFacts, BatchFacts, Batches, Explanation, HolderFacts, PersonFacts, explain_address, explain_person,
};
use crate::{AuditRecord, Permission, Principal, tree};

/// Maximum number of records of one person by which values are explained. Ten years of two changes a week are fewer.
const RECORDS_MAX: usize = 5_000;
/// Maximum number of present and former holders of one address.
const HOLDERS_MAX: usize = 20;
/// Maximum number of batches whose entries are read for one explanation.
const BATCHES_MAX: usize = 200;

impl Desk {
    /// Explains the person or the address that a key names, at a moment in the past or now. A key with an `@` is an
    /// address. The view is audited; when it cannot be, nothing is explained.
    pub async fn explain(
        &self,
        principal: &Principal,
        key: &str,
        at: Option<Timestamp>,
    ) -> Result<Explanation, DeskError> {
        match Address::parse(key.trim()) {
            Ok(address) if key.contains('@') => self.explain_address(principal, &address, at).await,
            _ => self.explain_person(principal, key, at).await,
        }
    }

    async fn explain_person(
        &self,
        principal: &Principal,
        key: &str,
        at: Option<Timestamp>,
    ) -> Result<Explanation, DeskError> {
        let person = self.target(principal, Permission::ViewPerson, &key.into()).await?;
        // The records name those who changed the person, as those of `Desk::history` do.
        self.permit(principal, Permission::ViewPerson).await?;
        self.audit_explanation(principal, person.dn().as_str()).await?;
        let addresses = self.addresses_of(person.dn(), ReadPurpose::Show).await?;
        let records = self.records_about(person.dn().as_str()).await?;
        let batches = self.batches_of([records.as_slice()]).await?;
        let now = Timestamp::now();
        let facts = PersonFacts { entry: &person.entry, addresses: &addresses, records: &records, batches: &batches };
        let explained = explain_person(&facts, at.unwrap_or(now), now);
        let explained = explained.map_err(|error| DeskError::Invalid { field: "at", rule: error.to_string() })?;
        Ok(Explanation::Person(Box::new(explained)))
    }

    async fn explain_address(
        &self,
        principal: &Principal,
        address: &Address,
        at: Option<Timestamp>,
    ) -> Result<Explanation, DeskError> {
        // Who had an address concerns other people too, so a right on one's own entry is not enough.
        self.permit(principal, Permission::ViewPerson).await?;
        let now = Timestamp::now();
        let at = at.unwrap_or(now);
        if at > now {
            let rule = crate::explain::ExplainError::Future.to_string();
            return Err(DeskError::Invalid { field: "at", rule });
        }
        let dn = tree::address(self.directory.suffix(), address.as_str());
        self.audit_explanation(principal, dn.as_str()).await?;
        let entry = self.entry(&dn).await?;
        let owner = self.owner(address, entry.as_ref()).await?;
        let subjects = self.audit.subjects_of(address.as_str(), HOLDERS_MAX).await.map_err(unreadable)?;
        let mut holders: Vec<String> = subjects;
        // An address of an earlier version's record is found through its present owner.
        let owner_dn = owner.as_ref().map(|owner| owner.dn.to_string());
        holders.extend(owner_dn.filter(|owner| !holders.contains(owner)));
        let mut read: Vec<(String, Option<Entry>, Vec<AuditRecord>)> = Vec::new();
        for holder in holders {
            let entry = match Dn::parse(&holder) {
                Ok(dn) => self.entry(&dn).await?,
                Err(_) => None,
            };
            let records = self.records_about(&holder).await?;
            read.push((holder, entry, records));
        }
        let batches = self.batches_of(read.iter().map(|(.., records)| records.as_slice())).await?;
        let facts = AddressFacts {
            address: address.as_str(),
            is_served: self.is_served(address).await?,
            entry: entry.as_ref(),
            owner: owner.as_ref(),
            holders: read
                .iter()
                .map(|(dn, entry, records)| HolderFacts { dn, entry: entry.as_ref(), records })
                .collect(),
            batches: &batches,
        };
        Ok(Explanation::Address(Box::new(explain_address(&facts, at, now))))
    }

    async fn audit_explanation(&self, principal: &Principal, subject: &str) -> Result<(), DeskError> {
        let recorded = self.audit.record(principal.actor(), VIEW_PERSON, subject, json!({ "explain": true })).await;
        let not_audited = |error| DeskError::AuditUnavailable(format!("the access cannot be audited: {error}"));
        recorded.map(drop).map_err(not_audited)
    }

    async fn records_about(&self, subject: &str) -> Result<Vec<AuditRecord>, DeskError> {
        self.audit.history(subject, RECORDS_MAX).await.map_err(unreadable)
    }

    /// One entry, from the newest server that answers.
    async fn entry(&self, dn: &Dn) -> Result<Option<Entry>, DeskError> {
        let search = LdapSearch {
            base: dn.clone(),
            scope: Scope::Base,
            filter: Filter::present(attr::OBJECT_CLASS),
            attributes: vec!["*".to_owned(), "+".to_owned()],
            limit: None,
        };
        match self.directory.search_newest(search).await {
            Ok((entries, _)) => Ok(entries.into_iter().next()),
            Err(DirectoryError::NoSuchObject(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The owner that the address entry names, else the person whose attributes name the address.
    async fn owner(&self, address: &Address, entry: Option<&Entry>) -> Result<Option<Entry>, DeskError> {
        let named = entry.and_then(|entry| entry.first(attr::PROVOST_OWNER)).and_then(|dn| Dn::parse(dn).ok());
        if let Some(dn) = named {
            return self.entry(&dn).await;
        }
        if entry.is_some() {
            return Ok(None);
        }
        match self.find(address.as_str(), ReadPurpose::Show).await {
            Ok(CurrentPerson { entry, .. }) => Ok(Some(entry)),
            Err(DeskError::NotFound(_) | DeskError::Ambiguous { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn is_served(&self, address: &Address) -> Result<bool, DeskError> {
        if address.domain() == self.settings.get().domain {
            return Ok(true);
        }
        Ok(self.entry(&tree::domain(self.directory.suffix(), address.domain())).await?.is_some())
    }

    /// The entries of the batches that the records name. A site whose batches are gone has none.
    async fn batches_of<'r>(&self, records: impl IntoIterator<Item = &'r [AuditRecord]>) -> Result<Batches, DeskError> {
        let named = records.into_iter().flatten().filter_map(|record| record.detail["batch"].as_str());
        let named: BTreeSet<&str> = named.take(BATCHES_MAX).collect();
        if named.is_empty() {
            return Ok(Batches::new());
        }
        let search = LdapSearch {
            base: self.directory.suffix().child(attr::OU, ou::BATCHES),
            scope: Scope::One,
            filter: Filter::And(vec![
                Filter::equal(attr::OBJECT_CLASS, class::PROVOST_BATCH),
                Filter::Or(named.into_iter().map(|batch| Filter::equal(attr::CN, batch)).collect()),
            ]),
            attributes: vec!["*".to_owned()],
            limit: None,
        };
        let entries = match self.directory.search_newest(search).await {
            Ok((entries, _)) => entries,
            Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let facts = |entry: &Entry| {
            let date = entry.first(attr::PROVOST_EXTRACTED).or_else(|| entry.first(attr::PROVOST_SINCE));
            let digest = entry.first(attr::PROVOST_DIGEST).map(str::to_owned);
            Some((entry.first(attr::CN)?.to_owned(), BatchFacts { digest, date: date.map(str::to_owned) }))
        };
        Ok(entries.iter().filter_map(facts).collect())
    }
}

fn unreadable(error: std::io::Error) -> DeskError {
    DeskError::AuditUnavailable(format!("the audit cannot be read: {error}"))
}

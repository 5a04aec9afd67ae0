//! Lists, adds, replaces and removes policy documents.

use provost_client::{LdapSearch, Scope};
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_policy::{NamingRules, PolicyDocument, PolicySet};
use provost_schema::{attr, class, ou};
use serde_json::json;

use super::{Desk, DeskError, ReadPurpose};
use crate::policy_documents::{PoliciesError, read_policies};
use crate::{Permission, Principal, tree};

impl Desk {
    /// The policies of the site and the built-in ones, checked.
    pub async fn policies(&self, principal: &Principal) -> Result<PolicySet, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        Ok(read_policies(&self.directory).await?)
    }

    /// Reads the text of a policy in the site's time zone and checks it together with all others; writes nothing.
    pub async fn check_policy(
        &self,
        principal: &Principal,
        name: &str,
        text: &str,
    ) -> Result<PolicyDocument, DeskError> {
        let stated = self.policies(principal).await?;
        let document = PolicyDocument::parse(name, text, &self.settings.get().time_zone);
        let document = document.map_err(|error| DeskError::Invalid { field: "policy", rule: error.to_string() })?;
        let is_other = |other: &&PolicyDocument| other.name != document.name && !is_built_in(other);
        let mut documents: Vec<PolicyDocument> = stated.documents().iter().filter(is_other).cloned().collect();
        documents.push(document.clone());
        let checked = PolicySet::new(documents);
        let checked = checked.map_err(|error| DeskError::Invalid { field: "policy", rule: error.to_string() })?;
        let names = checked.namings().find(|rules| rules.name == document.name);
        for domain in names.into_iter().flat_map(NamingRules::domains) {
            self.check_named_domain(domain).await?;
        }
        Ok(document)
    }

    /// Refuses a domain that is not served here: addresses in it would receive nothing.
    async fn check_named_domain(&self, domain: &str) -> Result<(), DeskError> {
        let invalid = |rule: String| DeskError::Invalid { field: "policy", rule };
        let address = Address::from_parts("postmaster", domain).map_err(|error| invalid(error.to_string()))?;
        match self.check_served(&address).await {
            Err(DeskError::Invalid { .. }) => Err(invalid(format!("the domain {domain} is not served here"))),
            checked => checked,
        }
    }

    /// Writes a policy. Returns the audit id. A policy that is recorded as somebody's promise cannot be replaced: a
    /// change of rules is a new policy with another name and a later `since`.
    pub async fn set_policy(&self, principal: &Principal, name: &str, text: &str) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let document = self.check_policy(principal, name, text).await?;
        let entry = document.entry(self.directory.suffix());
        let before = tree::read_provider(&self.directory, &entry.dn, &["*", attr::ENTRY_CSN]).await?;
        let former = before.as_ref().map(PolicyDocument::of_entry).transpose().ok().flatten();
        if former.as_ref() == Some(&document) {
            let rule = format!("policy {name} has this text already");
            return Err(DeskError::Invalid { field: "policy", rule });
        }
        if before.is_some() {
            self.check_no_promise(&document.name).await?;
        }
        let zone = self.settings.get().time_zone;
        let detail = json!({ "before": former.map(|former| former.text(&zone)), "after": document.text(&zone) });
        let audited_change = self.announce(principal.actor(), "policy.set", &entry.dn, detail).await?;
        let written = match before {
            Some(before) => {
                let conditions = tree::unchanged_since(before.first(attr::ENTRY_CSN));
                self.directory.modify(&entry.dn, replacement(&entry), conditions).await.map(drop)
            }
            None => self.directory.add(entry.clone()).await.map(drop),
        };
        self.conclude(audited_change, written).await
    }

    /// Removes a policy that is nobody's recorded promise. Returns the audit id.
    pub async fn remove_policy(&self, principal: &Principal, name: &str) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let dn = self.policy_dn(name);
        let attributes = ["*", attr::ENTRY_CSN];
        let Some(entry) = tree::read_provider(&self.directory, &dn, &attributes).await? else {
            return Err(DeskError::NotFound(format!("policy {name}")));
        };
        self.check_no_promise(name).await?;
        let zone = self.settings.get().time_zone;
        let before = PolicyDocument::of_entry(&entry).ok().map(|document| document.text(&zone));
        let detail = json!({ "before": before, "after": null });
        let audited_change = self.announce(principal.actor(), "policy.remove", &dn, detail).await?;
        let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
        let removed = self.directory.delete(&dn, conditions).await;
        self.conclude(audited_change, removed).await
    }

    fn policy_dn(&self, name: &str) -> Dn {
        self.directory.suffix().child(attr::OU, ou::POLICIES).child(attr::CN, name)
    }

    /// Refuses the change of a policy that a person's provostPolicy names.
    async fn check_no_promise(&self, name: &str) -> Result<(), DeskError> {
        let search = LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::And(vec![
                Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT),
                Filter::equal(attr::PROVOST_POLICY, name),
            ]),
            attributes: vec![attr::MAIL.to_owned()],
            limit: Some(1),
        };
        let (people, _) = self.read_for(ReadPurpose::Change, search).await?;
        match people.first() {
            None => Ok(()),
            Some(person) => {
                let who = person.first(attr::MAIL).unwrap_or_else(|| person.dn.as_str());
                let rule = format!(
                    "policy {name} is the recorded promise of people such as {who}: \
                     write a policy with another name and a later 'since'"
                );
                Err(DeskError::Invalid { field: "policy", rule })
            }
        }
    }
}

/// The changes that give an existing entry the rules of `entry`.
fn replacement(entry: &Entry) -> Vec<Modification> {
    const RULES: [&str; 5] = [
        attr::PROVOST_POLICY_KIND,
        attr::PROVOST_POPULATION,
        attr::PROVOST_SINCE,
        attr::DESCRIPTION,
        attr::PROVOST_VALUE,
    ];
    let replace = |name| Modification::replace(AttributeDescription::of(name), entry.values(name).to_vec());
    RULES.into_iter().map(replace).collect()
}

fn is_built_in(document: &PolicyDocument) -> bool {
    provost_policy::BUILT_IN_LIFECYCLES.iter().any(|built_in| built_in.name == document.name)
}

impl From<PoliciesError> for DeskError {
    fn from(error: PoliciesError) -> Self {
        match error {
            PoliciesError::Directory(error) => error.into(),
            PoliciesError::Policy(error) => Self::Refused(format!("{error}; correct it with 'provost policy set'")),
        }
    }
}

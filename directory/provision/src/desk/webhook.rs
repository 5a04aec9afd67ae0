//! Lists, sets and removes the webhook endpoints.

use provost_client::DirectoryError;
use provost_entry::{AttributeDescription, Entry, Modification};
use provost_schema::{attr, class, ou};
use provost_settings::{Fallback, WEBHOOK_PREFIX, WEBHOOKS_MAX, WebhookEndpoint};
use serde_json::json;

use super::{Desk, DeskError};
use crate::{Permission, Principal, read_shared_settings, tree};

impl Desk {
    /// The endpoints in force.
    pub async fn webhooks(&self, principal: &Principal) -> Result<Vec<WebhookEndpoint>, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        let settings = read_shared_settings(&self.directory, &Fallback::default()).await?;
        Ok(settings.webhooks().to_vec())
    }

    /// Writes an endpoint, new or in place of the one of its name. Returns the audit id.
    pub async fn set_webhook(&self, principal: &Principal, endpoint: &WebhookEndpoint) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let values = endpoint.values();
        // A value built by hand may break a rule of the parser.
        WebhookEndpoint::parse(&endpoint.name, &values)
            .map_err(|rule| DeskError::Invalid { field: "webhook", rule })?;
        let known = read_shared_settings(&self.directory, &Fallback::default()).await?;
        let is_new = known.webhooks().iter().all(|known| known.name != endpoint.name);
        if is_new && known.webhooks().len() >= WEBHOOKS_MAX {
            return Err(DeskError::Invalid { field: "webhook", rule: format!("at most {WEBHOOKS_MAX} endpoints") });
        }
        let name = format!("{WEBHOOK_PREFIX}{}", endpoint.name);
        let dn = self.directory.suffix().child(attr::OU, ou::SERVICES).child(attr::CN, &name);
        let before = tree::read_provider(&self.directory, &dn, &[attr::PROVOST_VALUE, attr::ENTRY_CSN]).await?;
        let former: Option<Vec<&str>> = before.as_ref().map(|entry| entry.texts(attr::PROVOST_VALUE).collect());
        let detail = json!({ "before": former, "after": values });
        let audited_change = self.announce(principal.actor(), "webhook.set", &dn, detail).await?;
        let octets: Vec<Vec<u8>> = values.into_iter().map(String::into_bytes).collect();
        let written = match &before {
            Some(entry) => {
                let change = Modification::replace(AttributeDescription::of(attr::PROVOST_VALUE), octets);
                let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
                self.directory.modify(&dn, vec![change], conditions).await.map(drop)
            }
            None => {
                let mut entry = Entry::new(dn.clone())
                    .with(attr::OBJECT_CLASS, class::TOP)
                    .with(attr::OBJECT_CLASS, class::PROVOST_SETTING)
                    .with(attr::CN, name.as_str());
                octets.into_iter().for_each(|value| entry.push(AttributeDescription::of(attr::PROVOST_VALUE), value));
                match self.directory.add(entry).await {
                    // Another writer has added the entry since the read.
                    Err(DirectoryError::AlreadyExists(_)) => Err(DirectoryError::AssertionFailed),
                    added => added.map(drop),
                }
            }
        };
        self.conclude(audited_change, written).await
    }

    /// Sequence number of the newest audit record: the place of a new endpoint.
    pub async fn audit_end(&self, principal: &Principal) -> Result<u64, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        self.audit.last_sequence().await.map_err(unreadable)
    }

    /// The sequence number after which the records of a moment begin, or a little before.
    pub async fn audit_place(&self, principal: &Principal, from: jiff::Timestamp) -> Result<u64, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        self.audit.sequence_before(from).await.map_err(unreadable)
    }

    /// Permits and audits the replay of an endpoint. Returns the audit id.
    pub async fn permit_replay(
        &self,
        principal: &Principal,
        subject: &str,
        detail: serde_json::Value,
    ) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let recorded = self.audit.record(principal.actor(), "webhook.replay", subject, detail).await;
        recorded.map_err(|error| DeskError::AuditUnavailable(format!("the replay cannot be audited: {error}")))
    }

    /// Removes an endpoint. Returns the audit id. Events that were not sent are not sent any more.
    pub async fn remove_webhook(&self, principal: &Principal, name: &str) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let entry_name = format!("{WEBHOOK_PREFIX}{name}");
        let dn = self.directory.suffix().child(attr::OU, ou::SERVICES).child(attr::CN, &entry_name);
        let read = tree::read_provider(&self.directory, &dn, &[attr::PROVOST_VALUE, attr::ENTRY_CSN]).await?;
        let entry = read.ok_or_else(|| DeskError::NotFound(format!("webhook {name}")))?;
        let before: Vec<&str> = entry.texts(attr::PROVOST_VALUE).collect();
        let detail = json!({ "before": before, "after": null });
        let audited_change = self.announce(principal.actor(), "webhook.remove", &dn, detail).await?;
        let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
        let removed = self.directory.delete(&dn, conditions).await;
        self.conclude(audited_change, removed).await
    }
}

fn unreadable(error: std::io::Error) -> DeskError {
    DeskError::AuditUnavailable(format!("the audit cannot be read: {error}"))
}

//! Finds the person whom a search for messages names, and permits and audits the search. Another crate runs the search.

use serde_json::Value;
use uuid::Uuid;

use provost_schema::attr;

use super::{Desk, DeskError, ReadPurpose};
use crate::audit::VIEW_MESSAGES;
use crate::{Permission, Principal};

/// The person whom an address, a login or a number names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPerson {
    /// DN of the person's entry.
    pub dn: String,
    /// entryUUID: the account key in the store.
    pub entry_uuid: Uuid,
    /// All addresses that the person's entry names now (mail and mailLocalAddress), in lower case.
    pub addresses: Vec<String>,
}

impl Desk {
    /// The person that a key names, for a search of messages; `None` when the key names no person, or when the
    /// directory cannot answer: the search then covers only the key itself.
    pub async fn correspondent(&self, principal: &Principal, key: &str) -> Result<Option<NamedPerson>, DeskError> {
        self.permit(principal, Permission::ViewMessages).await?;
        let found = match self.find(key, ReadPurpose::Show).await {
            Ok(found) => found,
            Err(DeskError::NotFound(_) | DeskError::Invalid { .. }) => return Ok(None),
            Err(DeskError::Unavailable(why)) => {
                tracing::warn!(
                    why,
                    "cannot read the other addresses of a person; the search covers only the given one"
                );
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(entry_uuid) = found.entry_uuid() else { return Ok(None) };
        let texts = [attr::MAIL, attr::MAIL_LOCAL_ADDRESS].into_iter().flat_map(|name| found.entry.texts(name));
        let mut addresses: Vec<String> = texts.map(str::to_lowercase).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(Some(NamedPerson { dn: found.dn().to_string(), entry_uuid, addresses }))
    }

    /// Permits a search for messages and records it in the audit: `subject` is the person, where one is known. Returns
    /// the audit id.
    pub async fn view_messages(
        &self,
        principal: &Principal,
        subject: &str,
        detail: Value,
    ) -> Result<String, DeskError> {
        self.permit(principal, Permission::ViewMessages).await?;
        let audit_id = self.audit.record(principal.actor(), VIEW_MESSAGES, subject, detail).await;
        audit_id.map_err(|error| DeskError::AuditUnavailable(format!("the access cannot be audited: {error}")))
    }
}

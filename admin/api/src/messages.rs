//! Searches for messages: resolves the people, audits the search, then reads the files of the trace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use provost_provision::{Desk, DeskError, Principal};
use provost_trace::{Criterion, TraceQuery, TraceResult, search};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

/// Maximum number of messages that one search returns.
pub const MESSAGES_MAX: usize = 500;
/// Longest value of a field of a search, in octets.
const VALUE_OCTETS_MAX: usize = 1000;
/// Maximum number of concurrent searches: each reads files at the speed of the disk.
const SEARCHES_AT_ONCE: usize = 2;
/// Days before now at which a search starts if it states no start; the same as for `provost trace`.
const SINCE_DEFAULT_DAYS: i64 = 7;

/// What to search for; at least one field besides the period is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessageSearch {
    /// Recipient: an address as in the envelope, or the address, login or number of a person. For a person, all their
    /// addresses match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Sender: an address, `<>` for reports and vacation replies, or a person as for `recipient`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Message-ID, with or without angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// A recipient, a sender, a Message-ID, or the trace id from a reply, a log line or a Received field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<String>,
    /// Start of the period; seven days ago by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// End of the period; now by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Why a search was not done.
#[derive(Debug, thiserror::Error)]
pub enum MessageSearchError {
    /// A field breaks a rule, or no field besides the period is given.
    #[error("{field}: {rule}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// The broken rule.
        rule: String,
    },
    /// The principal may not search, or the audit is unavailable.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The files of the trace cannot be read.
    #[error("the trace cannot be read: {0}")]
    Files(#[from] std::io::Error),
}

/// The search for messages of this node. Cheap to clone.
#[derive(Clone)]
pub struct MessageTraces {
    desk: Desk,
    folder: Arc<Path>,
    turns: Arc<Semaphore>,
}

impl MessageTraces {
    /// Makes the search of the trace files in `folder`. `desk` finds the people and audits each search.
    pub fn new(desk: Desk, folder: PathBuf) -> Self {
        Self { desk, folder: folder.into(), turns: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)) }
    }

    /// Finds the newest `limit` messages that match, at most [`MESSAGES_MAX`]. Audits the search and returns the audit
    /// id as the second value.
    ///
    /// Works while the directory is down, but then finds only messages for the text of the field as written, not for
    /// the other addresses of the person.
    pub async fn find(
        &self,
        principal: &Principal,
        wanted: &MessageSearch,
        limit: usize,
    ) -> Result<(TraceResult, String), MessageSearchError> {
        check(wanted)?;
        let mut subject = String::new();
        let mut all = Vec::new();
        if let Some(recipient) = &wanted.recipient {
            all.push(self.recipient(principal, recipient, &mut subject).await?);
        }
        if let Some(sender) = &wanted.sender {
            all.push(self.sender(principal, sender, &mut subject).await?);
        }
        if let Some(message_id) = &wanted.message_id {
            all.push(Criterion { message_id: Some(message_id.clone()), ..Criterion::default() });
        }
        if let Some(any) = &wanted.any {
            let to = self.recipient(principal, any, &mut subject).await?;
            let from = self.sender(principal, any, &mut subject).await?.from;
            let of_text = Some(any.clone());
            all.push(Criterion { from, message_id: of_text.clone(), id: of_text, ..to });
        }
        let audit_id = self.desk.view_messages(principal, &subject, json!(wanted)).await?;
        let now = Timestamp::now();
        let week_ago = now.checked_sub((SINCE_DEFAULT_DAYS * 24).hours()).unwrap_or(Timestamp::MIN);
        let (since, until) = (wanted.since.unwrap_or(week_ago), wanted.until.unwrap_or(now));
        let query = TraceQuery { all, since, until, limit: limit.min(MESSAGES_MAX) };
        let _turn = self.turns.acquire().await;
        let folder = Arc::clone(&self.folder);
        let found = tokio::task::spawn_blocking(move || search(&folder, &query)).await;
        Ok((found.map_err(std::io::Error::other)??, audit_id))
    }

    async fn recipient(&self, principal: &Principal, key: &str, subject: &mut String) -> Result<Criterion, DeskError> {
        let mut criterion = Criterion { to: vec![key.to_owned()], ..Criterion::default() };
        if let Some(person) = self.desk.correspondent(principal, without_brackets(key)).await? {
            criterion.to.extend(person.addresses);
            criterion.account = Some(person.entry_uuid);
            *subject = person.dn;
        }
        Ok(criterion)
    }

    async fn sender(&self, principal: &Principal, key: &str, subject: &mut String) -> Result<Criterion, DeskError> {
        let mut criterion = Criterion { from: vec![key.to_owned()], ..Criterion::default() };
        if let Some(person) = self.desk.correspondent(principal, without_brackets(key)).await? {
            criterion.from.extend(person.addresses);
            if subject.is_empty() {
                *subject = person.dn;
            }
        }
        Ok(criterion)
    }
}

fn check(wanted: &MessageSearch) -> Result<(), MessageSearchError> {
    let MessageSearch { recipient, sender, message_id, any, .. } = wanted;
    let fields = [("recipient", recipient), ("sender", sender), ("message_id", message_id), ("any", any)];
    let mut given = fields.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?))).peekable();
    if given.peek().is_none() {
        let rule = "a recipient, a sender or a Message-ID is needed".to_owned();
        return Err(MessageSearchError::Invalid { field: "recipient", rule });
    }
    match given.find(|(_, value)| value.trim().is_empty() || value.len() > VALUE_OCTETS_MAX) {
        Some((field, _)) => {
            Err(MessageSearchError::Invalid { field, rule: format!("1 to {VALUE_OCTETS_MAX} octets, not only blanks") })
        }
        None => Ok(()),
    }
}

/// A key without blanks and angle brackets around it.
fn without_brackets(key: &str) -> &str {
    key.trim().trim_start_matches('<').trim_end_matches('>')
}

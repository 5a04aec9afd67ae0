//! Handler for the search for messages and their events.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use jiff::Timestamp;
use provost_trace::{MessageTrace, TraceRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::failures::RouteFailures;
use crate::messages::{MESSAGES_MAX, MessageSearch, MessageSearchError};
use crate::problem::{Problem, ProblemKind};
use crate::reply::audited;
use crate::shared::HandlerState;

/// Maximum number of messages in one answer when the caller states no limit.
const MESSAGES_DEFAULT: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesQuery {
    recipient: Option<String>,
    sender: Option<String>,
    message_id: Option<String>,
    any: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    limit: Option<usize>,
}

/// Messages that match the search.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessagesFound {
    /// The messages, newest first.
    messages: Vec<TracedMessage>,
    /// Whether more messages match.
    more: bool,
    /// Events of the searched days that could not be recorded.
    lost: u64,
}

/// A message and its events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TracedMessage {
    /// The number of the message, as in Received and in the reply to its sender.
    id: String,
    /// The events, oldest first.
    events: Vec<MessageEvent>,
    /// Whether events for recipients outside the search are left out.
    left_out: bool,
}

/// One event of a message, for one recipient.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageEvent {
    /// Time of the event: RFC 3339, UTC.
    at: String,
    /// `delivered`, `queued`, `sent`, `deferred`, `refused` or `failed`.
    event: String,
    /// `smtp`, `submission`, `lmtp` or `queue`.
    service: String,
    /// Reverse-path; the empty string is `<>`.
    from: String,
    /// Recipient as in the envelope; `null` for an event before the first recipient.
    to: Option<String>,
    /// entryUUID of the person whose mailbox holds the message.
    #[schema(value_type = Option<String>, format = "uuid")]
    account: Option<uuid::Uuid>,
    /// Message-ID without its angle brackets.
    message_id: Option<String>,
    /// IP address of the peer.
    peer: Option<String>,
    /// Login with which the message was submitted.
    login: Option<String>,
    /// Octets of the message; 0 for an event before the content arrived.
    octets: u64,
    /// The SMTP reply, the mailbox or the reason.
    text: String,
}

impl From<TraceRecord> for MessageEvent {
    fn from(record: TraceRecord) -> Self {
        Self {
            at: record.at.to_string(),
            event: record.event.to_string(),
            service: record.service,
            from: record.from,
            to: record.to,
            account: record.account,
            message_id: record.message_id,
            peer: record.peer,
            login: record.login,
            octets: record.octets,
            text: record.text,
        }
    }
}

impl From<MessageTrace> for TracedMessage {
    fn from(trace: MessageTrace) -> Self {
        let MessageTrace { id, events, left_out } = trace;
        Self { id, events: events.into_iter().map(Into::into).collect(), left_out }
    }
}

impl From<MessageSearchError> for Problem {
    fn from(error: MessageSearchError) -> Self {
        match error {
            MessageSearchError::Invalid { field, rule } => Self::invalid(format!("?{field}"), rule),
            MessageSearchError::Desk(error) => error.into(),
            MessageSearchError::Files(error) => Self::new(ProblemKind::Unavailable, error.to_string()),
        }
    }
}

/// Finds messages by recipient, sender or Message-ID. The search is audited.
#[utoipa::path(
    get, operation_id = "findMessages", path = "/messages", tag = "operation",
    params(
        ("recipient" = Option<String>, Query, description = "An address as the envelope names it, or a person by any address, login or number", min_length = 1, max_length = 1000),
        ("sender" = Option<String>, Query, description = "An address, `<>`, or a person", min_length = 1, max_length = 1000),
        ("message_id" = Option<String>, Query, description = "With or without angle brackets", min_length = 1, max_length = 1000),
        ("any" = Option<String>, Query, description = "A recipient, a sender, a Message-ID, or the message's number", min_length = 1, max_length = 1000),
        ("since" = Option<String>, Query, description = "RFC 3339; seven days ago by default", format = DateTime),
        ("until" = Option<String>, Query, description = "RFC 3339; now by default", format = DateTime),
        ("limit" = Option<usize>, Query, description = "Maximum number of messages, 1 to 500; 50 by default", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, description = "The messages that match every parameter", body = MessagesFound,
            headers(("X-Audit-Id" = String, description = "Audit record of this search"))),
        RouteFailures
    )
)]
pub(crate) async fn find(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    QueryParameters(query): QueryParameters<MessagesQuery>,
) -> Result<impl IntoResponse, Problem> {
    let limit = query.limit.unwrap_or(MESSAGES_DEFAULT);
    if !(1..=MESSAGES_MAX).contains(&limit) {
        return Err(Problem::invalid("?limit", format!("1 to {MESSAGES_MAX}")));
    }
    let MessagesQuery { recipient, sender, message_id, any, since, until, limit: _ } = query;
    let wanted = MessageSearch { recipient, sender, message_id, any, since, until };
    let (found, audit_id) = shared.messages.find(&principal, &wanted, limit).await?;
    let messages = found.messages.into_iter().map(Into::into).collect();
    Ok(audited(&audit_id, Json(MessagesFound { messages, more: found.more, lost: found.lost })))
}

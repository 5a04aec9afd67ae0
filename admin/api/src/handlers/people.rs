//! Handlers for the search, one person, and a person's history.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse};
use provost_provision::{HISTORY_MAX, PersonDetail};
use provost_store::AccountId;
use serde::Deserialize;

use crate::auth::Caller;
use crate::extract::{PersonKey, QueryParameters};
use crate::failures::RouteFailures;
use crate::model::{MailboxFacts, PeopleFound, PersonBody, PersonHistory};
use crate::problem::Problem;
use crate::reply::audited;
use crate::shared::HandlerState;

/// Maximum number of people in one answer.
const PEOPLE_MAX: usize = 200;
/// People in one answer when the caller states no limit.
const PEOPLE_DEFAULT: usize = 50;
/// Changes in one answer when the caller states no limit.
const HISTORY_DEFAULT: usize = 50;
/// Longest search text, in octets.
const SEARCH_OCTETS_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
    limit: Option<usize>,
}

/// Finds people by name, login, address or source id.
#[utoipa::path(
    get, operation_id = "searchPeople", path = "/people", tag = "people",
    params(
        ("q" = String, Query, description = "Each word is found in the name, login or address, or begins the source id; 1 to 200 octets", pattern = r"\S", min_length = 1, max_length = 200),
        ("limit" = Option<usize>, Query, description = "Maximum number of people, 1 to 200; 50 by default", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "People found", body = PeopleFound), RouteFailures)
)]
pub(crate) async fn search(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    QueryParameters(query): QueryParameters<SearchQuery>,
) -> Result<Json<PeopleFound>, Problem> {
    let text = query.q.trim();
    if text.is_empty() || text.len() > SEARCH_OCTETS_MAX {
        return Err(Problem::invalid("?q", format!("a text of 1 to {SEARCH_OCTETS_MAX} octets is needed")));
    }
    let limit = query.limit.unwrap_or(PEOPLE_DEFAULT);
    if !(1..=PEOPLE_MAX).contains(&limit) {
        return Err(Problem::invalid("?limit", format!("1 to {PEOPLE_MAX}")));
    }
    let mut found = shared.desk.search(&principal, text, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(Json(PeopleFound { people: found.into_iter().map(Into::into).collect(), more }))
}

/// Shows one person. The view is audited.
#[utoipa::path(
    get, operation_id = "showPerson", path = "/people/{key}", tag = "people",
    params(("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`")),
    responses(
        (status = 200, description = "The person", body = PersonBody, headers(
            ("ETag" = String, description = "Version of the entry"),
            ("X-Audit-Id" = String, description = "Audit record of this view"))),
        RouteFailures
    )
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
) -> Result<impl IntoResponse, Problem> {
    let detail = shared.desk.person(&principal, &key).await?;
    let audit_id = detail.audit_id.clone();
    let mailbox = mailbox_facts(&shared, &detail).await;
    let etag = HeaderValue::from_str(&format!("\"{}\"", detail.version)).ok();
    let tags = AppendHeaders(etag.map(|etag| (header::ETAG, etag)));
    Ok(audited(&audit_id.clone(), (tags, Json(PersonBody::new(detail, mailbox, audit_id)))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    limit: Option<usize>,
}

/// Shows the changes to a person's entry and addresses, newest first. The view is audited.
#[utoipa::path(
    get, operation_id = "showHistory", path = "/people/{key}/history", tag = "people",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("limit" = Option<usize>, Query, description = "Maximum number of changes, 1 to 1000; 50 by default", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The changes", body = PersonHistory,
            headers(("X-Audit-Id" = String, description = "Audit record of this view"))),
        RouteFailures
    )
)]
pub(crate) async fn history(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    QueryParameters(query): QueryParameters<HistoryQuery>,
) -> Result<impl IntoResponse, Problem> {
    let limit = query.limit.unwrap_or(HISTORY_DEFAULT);
    if !(1..=HISTORY_MAX).contains(&limit) {
        return Err(Problem::invalid("?limit", format!("1 to {HISTORY_MAX}")));
    }
    let detail = shared.desk.person(&principal, &key).await?;
    let changes = shared.desk.history(&principal, &detail, limit).await?;
    let body = PersonHistory { id: detail.summary.id, changes: changes.into_iter().map(Into::into).collect() };
    Ok(audited(&detail.audit_id, Json(body)))
}

/// Facts of the store about the account. `None` when the store cannot be read: the person is shown nevertheless.
async fn mailbox_facts(shared: &HandlerState, detail: &PersonDetail) -> Option<MailboxFacts> {
    match shared.store.snapshot(AccountId::new(detail.entry_uuid), None).await {
        Ok(snapshot) => Some(MailboxFacts::new(&snapshot, detail.quota_octets)),
        Err(error) => {
            tracing::warn!(%error, account = %detail.entry_uuid, "the store's facts about an account cannot be read");
            None
        }
    }
}

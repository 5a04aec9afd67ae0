//! Search, one person, and what all changes of one person share.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse};
use provost_provision::{Desk, DeskError, PersonDetail};
use provost_store::AccountId;
use serde::Deserialize;

use crate::Shared;
use crate::auth::Caller;
use crate::extract::{IfMatch, Key, QueryOf};
use crate::model::{Changed, MailboxFacts, PeopleFound, PersonBody};
use crate::openapi::Failures;
use crate::problem::{Kind, Problem};

/// Most people in one answer.
const PEOPLE_MAX: usize = 200;
/// People in one answer when the caller states no limit.
const PEOPLE_DEFAULT: usize = 50;
/// Longest search text, in octets.
const SEARCH_OCTETS_MAX: usize = 200;
/// The header that tells the audit id.
pub(crate) const X_AUDIT_ID: HeaderName = HeaderName::from_static("x-audit-id");

/// A reply with its audit id as a header.
pub(crate) type Audited<T> = (AppendHeaders<Vec<(HeaderName, HeaderValue)>>, T);

/// Puts `audit_id` into the header.
pub(crate) fn audited<T>(audit_id: &str, reply: T) -> Audited<T> {
    // Ids are ours and ASCII; one that could not be a header value is still in the body.
    let value = HeaderValue::from_str(audit_id).ok();
    (AppendHeaders(value.map(|value| (X_AUDIT_ID, value)).into_iter().collect()), reply)
}

/// The reply to a change that tells nothing but its audit id.
pub(crate) fn changed(audit_id: String) -> Audited<Json<Changed>> {
    audited(&audit_id.clone(), Json(Changed { audit_id }))
}

/// Runs a change in a task of its own: a caller that hangs up drops its request, and must not stop a change between
/// its first write and its last.
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, DeskError>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => Err(Problem::internal("the change ended in a fault", &error)),
    }
}

/// Refuses with 412 when the caller states a version that is not the current one.
pub(crate) async fn check_version(desk: &Desk, key: &str, if_match: &IfMatch) -> Result<(), Problem> {
    if !if_match.is_given() {
        return Ok(());
    }
    let version = desk.person(key).await?.version;
    if if_match.allows(&version) {
        Ok(())
    } else {
        Err(Problem::new(Kind::PreconditionFailed, format!("the version is \"{version}\" now")))
    }
}

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
        ("q" = String, Query, description = "Each word begins a name, login, address or source id; 1 to 200 octets", pattern = r"\S", min_length = 1, max_length = 200),
        ("limit" = Option<usize>, Query, description = "Most people wanted, 1 to 200; 50 without it", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "People found", body = PeopleFound), Failures)
)]
pub(crate) async fn search(
    State(shared): State<Shared>,
    QueryOf(query): QueryOf<SearchQuery>,
) -> Result<Json<PeopleFound>, Problem> {
    let text = query.q.trim();
    if text.is_empty() || text.len() > SEARCH_OCTETS_MAX {
        return Err(Problem::invalid("?q", format!("a text of 1 to {SEARCH_OCTETS_MAX} octets is needed")));
    }
    let limit = query.limit.unwrap_or(PEOPLE_DEFAULT);
    if !(1..=PEOPLE_MAX).contains(&limit) {
        return Err(Problem::invalid("?limit", format!("1 to {PEOPLE_MAX}")));
    }
    let mut found = shared.api.desk.search(text, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(Json(PeopleFound { people: found.into_iter().map(Into::into).collect(), more }))
}

/// Shows one person. The look is audited.
#[utoipa::path(
    get, operation_id = "showPerson", path = "/people/{key}", tag = "people",
    params(("key" = String, Path, min_length = 1, max_length = 320, description = "Id, login, address or source id (`registrar:12345`)")),
    responses(
        (status = 200, description = "The person", body = PersonBody, headers(
            ("ETag" = String, description = "Version of the entry"),
            ("X-Audit-Id" = String, description = "Audit record of this look"))),
        Failures
    )
)]
pub(crate) async fn show(
    State(shared): State<Shared>,
    Extension(Caller(actor)): Extension<Caller>,
    Key(key): Key,
) -> Result<impl IntoResponse, Problem> {
    let desk = &shared.api.desk;
    let detail = desk.person(&key).await?;
    let audit_id = desk
        .audit
        .note(&actor, "person.view", &detail.dn, serde_json::json!({}))
        .await
        .map_err(|error| Problem::new(Kind::Unavailable, format!("the look cannot be audited: {error}")))?;
    let mailbox = mailbox_facts(&shared, &detail).await;
    let etag = HeaderValue::from_str(&format!("\"{}\"", detail.version)).ok();
    let tags = AppendHeaders(etag.map(|etag| (header::ETAG, etag)));
    Ok(audited(&audit_id.clone(), (tags, Json(PersonBody::new(detail, mailbox, audit_id)))))
}

/// What the store says; `None` when it cannot say now, which must not hide the person.
async fn mailbox_facts(shared: &Shared, detail: &PersonDetail) -> Option<MailboxFacts> {
    match shared.api.store.snapshot(AccountId(detail.entry_uuid), None).await {
        Ok(snapshot) => Some(MailboxFacts::new(&snapshot, detail.quota_octets)),
        Err(error) => {
            tracing::warn!(%error, account = %detail.entry_uuid, "no mailbox facts");
            None
        }
    }
}

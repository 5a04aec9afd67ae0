//! Handlers for addresses: list them, give an alias, take one away.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::{Extension, Json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::Caller;
use crate::extract::{IfMatch, JsonBody, PathParameters, PersonKey, target};
use crate::failures::RouteFailures;
use crate::model::{Addresses, Changed, NewAddress};
use crate::problem::Problem;
use crate::reply::{changed, to_its_end};
use crate::shared::HandlerState;

/// Lists the addresses of a person. The view is audited.
#[utoipa::path(
    get, operation_id = "listAddresses", path = "/people/{key}/addresses", tag = "addresses",
    params(("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`")),
    responses((status = 200, description = "The addresses, the primary one first", body = Addresses), RouteFailures)
)]
pub(crate) async fn list(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
) -> Result<Json<Addresses>, Problem> {
    let detail = shared.desk.person(&principal, &key).await?;
    Ok(Json(Addresses { addresses: detail.addresses.into_iter().map(Into::into).collect() }))
}

/// Gives an alias to a person.
#[utoipa::path(
    post, operation_id = "addAlias", path = "/people/{key}/addresses", tag = "addresses",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = NewAddress,
    responses((status = 201, description = "Given", body = Changed, headers(("Location" = String), ("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn add(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<NewAddress>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let encode = |text: &str| utf8_percent_encode(text.trim(), NON_ALPHANUMERIC).to_string();
    let location = format!("/api/v1/people/{}/addresses/{}", encode(&key), encode(&body.address.to_lowercase()));
    let given = async move {
        let target = target(&key, if_match);
        match body.until {
            Some(until) => desk.add_alias_until(&principal, target, &body.address, until).await,
            None => desk.add_alias(&principal, target, &body.address).await,
        }
    };
    let audit_id = to_its_end(given).await?;
    let location = HeaderValue::from_str(&location).ok().map(|value| (header::LOCATION, value));
    Ok((StatusCode::CREATED, AppendHeaders(location), changed(audit_id)))
}

/// Takes away an alias or a retained address; the primary address is refused.
#[utoipa::path(
    delete, operation_id = "removeAlias", path = "/people/{key}/addresses/{address}", tag = "addresses",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("address" = String, Path, pattern = "^[^@ ]+@[^@ ]+$", max_length = 320, description = "The address"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Taken away", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn remove(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    PathParameters(path): PathParameters<(String, String)>,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let audit_id =
        to_its_end(async move { desk.remove_alias(&principal, target(&key, if_match), &path.1).await }).await?;
    Ok(changed(audit_id))
}

//! The common part of all changes of a person: each runs to its end, and the next page confirms it.

use axum::response::{IntoResponse, Redirect, Response};
use provost_provision::DeskError;

use crate::page::{bug, desk_failure};
use crate::person_link::person_url;
use crate::session::Flash;
use crate::signed_in::SignedIn;
use crate::visitor::Visitor;
use crate::web::Web;

/// Runs a change in its own task: a browser that closes its connection cancels its request, which must not stop a
/// change between its first write and its last. `Err` is the page of an internal error: the change panicked.
pub(crate) async fn run_to_end<T: Send + 'static>(
    visitor: &Visitor,
    change: impl Future<Output = Result<T, DeskError>> + Send + 'static,
) -> Result<Result<T, DeskError>, Response> {
    tokio::spawn(change).await.map_err(|error| bug(visitor, "a change did not run to its end", &error))
}

/// Runs a change of a person whose form is never shown again, and returns to the person's page, which shows the text `key`
/// with the value that `value` makes of the outcome.
pub(crate) async fn change_and_return<T: Send + 'static>(
    web: &Web,
    signed_in: &SignedIn,
    id: &str,
    change: impl Future<Output = Result<T, DeskError>> + Send + 'static,
    (key, value): (&str, impl FnOnce(T) -> String),
) -> Result<Response, Response> {
    match run_to_end(&signed_in.visitor, change).await? {
        Ok(outcome) => Ok(redirect_with_flash(web, signed_in, id, key, value(outcome)).await),
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}

/// Redirects from a form to the person's page, so that a reload does not send the form again. That page shows the text
/// `key` with `value`.
pub(crate) async fn redirect_with_flash(
    web: &Web,
    signed_in: &SignedIn,
    id: &str,
    key: &str,
    value: String,
) -> Response {
    web.sessions.store_flash(&signed_in.user.session, Flash { key: key.to_owned(), value }).await;
    Redirect::to(&person_url(id)).into_response()
}

//! Forms of signed-in people, checked before they have any effect.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::page::failure;
use crate::security::is_same_origin;
use crate::signed_in::SignedIn;
use crate::visitor::Visitor;
use crate::web::Web;

/// A form that was sent from one of our pages in the same session: the origin and the token have been checked.
pub(crate) struct SessionForm<T> {
    pub(crate) signed_in: SignedIn,
    pub(crate) fields: T,
}

/// The fields of a form, and the token that each form of a session must send.
#[derive(Deserialize)]
struct FormWithToken<T> {
    #[serde(default)]
    csrf: String,
    #[serde(flatten)]
    fields: T,
}

/// A form without fields.
#[derive(Deserialize)]
pub(crate) struct NoFields {}

impl<T: DeserializeOwned> FromRequest<Web> for SessionForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let signed_in = SignedIn::from_request_parts(&mut parts, web).await?;
        let visitor = &signed_in.visitor;
        if !is_same_origin(&parts.headers) {
            return Err(foreign_form(visitor));
        }
        let form = Form::<FormWithToken<T>>::from_request(Request::from_parts(parts, body), web).await;
        let form = form.map_err(|rejection| unreadable_form(visitor, &rejection))?;
        // Compare digests: blake3 compares them in constant time.
        if blake3::hash(form.csrf.as_bytes()) != blake3::hash(signed_in.user.csrf.as_bytes()) {
            return Err(foreign_form(visitor));
        }
        let fields = form.0.fields;
        Ok(Self { signed_in, fields })
    }
}

/// Counts a form with a wrong origin or token, and returns the error page (403) for it.
pub(crate) fn foreign_form(visitor: &Visitor) -> Response {
    metrics::counter!("provost_web_refused_forms_total").increment(1);
    failure(visitor, StatusCode::FORBIDDEN, "title.forbidden", "error.expired_form", &[])
}

/// The error page for a body that is too large (413), or that is not a form with the expected fields (400).
pub(crate) fn unreadable_form(visitor: &Visitor, rejection: &FormRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            failure(visitor, StatusCode::PAYLOAD_TOO_LARGE, "title.refused", "error.too_large", &[])
        }
        _ => failure(visitor, StatusCode::BAD_REQUEST, "title.refused", "error.expired_form", &[]),
    }
}

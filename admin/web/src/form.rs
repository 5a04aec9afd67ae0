//! A form of a signed-in person, checked before anything is done with it.

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Web;
use crate::officer::SignedIn;
use crate::page;
use crate::security::is_same_origin;

/// A form that was sent from our own page, in this session, by somebody who may change people.
pub(crate) struct ChangeForm<T> {
    pub(crate) signed_in: SignedIn,
    pub(crate) fields: T,
}

/// A form that was sent from our own page, in this session.
pub(crate) struct SessionForm<T> {
    pub(crate) signed_in: SignedIn,
    pub(crate) fields: T,
}

/// The token beside the fields of each form.
#[derive(Deserialize)]
struct WithToken<T> {
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
            metrics::counter!("provost_web_refused_forms_total").increment(1);
            return Err(page::failure(
                web,
                visitor,
                StatusCode::FORBIDDEN,
                "title.forbidden",
                "error.expired_form",
                &[],
            ));
        }
        let form = Form::<WithToken<T>>::from_request(Request::from_parts(parts, body), web).await;
        let form = form.map_err(|rejection| match rejection.into_response_status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                page::failure(web, visitor, StatusCode::PAYLOAD_TOO_LARGE, "title.refused", "error.too_large", &[])
            }
            _ => page::failure(web, visitor, StatusCode::BAD_REQUEST, "title.refused", "error.expired_form", &[]),
        })?;
        // Digests compare in constant time.
        if blake3::hash(form.csrf.as_bytes()) != blake3::hash(signed_in.officer.csrf.as_bytes()) {
            metrics::counter!("provost_web_refused_forms_total").increment(1);
            return Err(page::failure(
                web,
                visitor,
                StatusCode::FORBIDDEN,
                "title.forbidden",
                "error.expired_form",
                &[],
            ));
        }
        let fields = form.0.fields;
        Ok(Self { signed_in, fields })
    }
}

impl<T: DeserializeOwned> FromRequest<Web> for ChangeForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let SessionForm { signed_in, fields } = SessionForm::from_request(request, web).await?;
        if !signed_in.officer.may_change() {
            return Err(read_only(web, &signed_in));
        }
        Ok(Self { signed_in, fields })
    }
}

/// What those are told who may only look.
pub(crate) fn read_only(web: &Web, signed_in: &SignedIn) -> Response {
    page::failure(web, &signed_in.visitor, StatusCode::FORBIDDEN, "title.forbidden", "error.read_only", &[])
}

/// The status of a rejection, whatever its type.
trait RejectionStatus {
    fn into_response_status(self) -> StatusCode;
}

impl<T: axum::response::IntoResponse> RejectionStatus for T {
    fn into_response_status(self) -> StatusCode {
        self.into_response().status()
    }
}

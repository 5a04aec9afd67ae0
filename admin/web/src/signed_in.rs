//! The extractor for handlers that serve only signed-in people.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provost_provision::Principal;

use crate::page::unavailable;
use crate::user::User;
use crate::visitor::Visitor;
use crate::web::Web;

/// A visitor who is signed in. Others are redirected to the sign-in; while it is unknown who is signed in, the reply
/// is a 503 page.
#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) visitor: Visitor,
    pub(crate) user: User,
}

impl SignedIn {
    /// The principal under which the operations run.
    pub(crate) fn principal(&self) -> Principal {
        self.user.principal.clone()
    }
}

impl FromRequestParts<Web> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let visitor = match Visitor::from_request_parts(parts, web).await {
            Ok(visitor) => visitor,
            Err(never) => match never {},
        };
        if visitor.is_unknown {
            return Err(unavailable(&visitor, "error.session_unavailable"));
        }
        match visitor.user.clone() {
            Some(user) => Ok(Self { visitor, user }),
            None => Err(to_sign_in(&visitor.here)),
        }
    }
}

/// Redirects to the sign-in, with the path to return to afterwards.
fn to_sign_in(here: &str) -> Response {
    if here == "/" {
        return Redirect::to("/sign-in").into_response();
    }
    Redirect::to(&format!("/sign-in?next={}", utf8_percent_encode(here, NON_ALPHANUMERIC))).into_response()
}

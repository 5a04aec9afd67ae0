//! A signed-in person with a role at the help desk, and what they may do.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provost_provision::Actor;
use provost_view::{Person, PersonState};

use crate::Web;
use crate::session::{SessionKey, Visit};
use crate::visitor::Visitor;

/// What a role allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// See people.
    Look,
    /// See and change them.
    Change,
}

impl Rights {
    /// The widest of a person's roles; `None` when none of them is one of the help desk.
    pub(crate) fn of(person: &Person) -> Option<Self> {
        if person.state != PersonState::Active {
            return None;
        }
        let right = |role: &str| match role {
            "helpdesk" | "admin" | "postmaster" => Some(Self::Change),
            "registrar" => Some(Self::Look),
            _ => None,
        };
        person.roles.iter().filter_map(|role| right(role)).max()
    }
}

/// A signed-in person.
#[derive(Clone, Debug)]
pub(crate) struct Officer {
    /// Their login, for the audit.
    pub(crate) uid: String,
    pub(crate) rights: Rights,
    pub(crate) session: SessionKey,
    /// What each of their forms must send.
    pub(crate) csrf: String,
}

impl Officer {
    /// Whose session it is, by what the View knows now: a role taken away or a suspension ends the session at once.
    pub(crate) fn of(web: &Web, visit: Visit) -> Option<Self> {
        let person = web.site.view.snapshot().person(visit.entry_uuid);
        let rights = person.as_deref().and_then(Rights::of);
        match (person, rights) {
            (Some(person), Some(rights)) => {
                Some(Self { uid: person.uid.to_string(), rights, session: visit.key, csrf: visit.csrf })
            }
            _ => {
                web.sessions.end(visit.key);
                None
            }
        }
    }

    /// Whether they may do more than look.
    pub(crate) fn may_change(&self) -> bool {
        self.rights >= Rights::Change
    }

    /// For the audit.
    pub(crate) fn actor(&self) -> Actor {
        Actor { name: self.uid.clone(), via: "web" }
    }
}

/// A visitor who is signed in; all others are led to the sign-in.
#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) visitor: Visitor,
    pub(crate) officer: Officer,
}

impl FromRequestParts<Web> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let visitor = match Visitor::from_request_parts(parts, web).await {
            Ok(visitor) => visitor,
            Err(never) => match never {},
        };
        match visitor.officer.clone() {
            Some(officer) => Ok(Self { visitor, officer }),
            None => Err(to_sign_in(&parts.method, &visitor.here)),
        }
    }
}

/// Back to the page after the sign-in, if it is one that can be asked for again.
fn to_sign_in(method: &Method, here: &str) -> Response {
    if *method != Method::GET || here == "/" {
        return Redirect::to("/sign-in").into_response();
    }
    Redirect::to(&format!("/sign-in?next={}", utf8_percent_encode(here, NON_ALPHANUMERIC))).into_response()
}

//! REST `/api/v1`: search, person, vacation, addresses, password, import. OpenAPI 3.1 is made from this code.
//! Also `/metrics`, `/readyz` and `/livez` of the health port.
//!
//! A face and nothing more: every change goes through [`Desk`] or through plan and apply, as on the command line. Every
//! error is an RFC 9457 problem, every change tells its audit id. What must never happen here: a rule about people.

mod addresses;
mod auth;
mod extract;
mod health;
mod imports;
mod jobs;
mod model;
mod openapi;
mod password;
mod people;
mod plans;
mod problem;
mod queue;
mod status;
mod vacation;

use std::sync::Arc;

use provost_provision::{Desk, Journals};
use provost_queue::Queue;
use provost_store::MessageStore;
use provost_view::View;

pub use health::health_router;
pub use openapi::{API_BODY_OCTETS_MAX, CSV_OCTETS_MAX, REQUEST_TIME_MAX, router};

/// What the API works on.
#[derive(Clone)]
pub struct ApiState {
    /// The operations.
    pub desk: Desk,
    /// Mailbox facts (quota, last logins).
    pub store: Arc<dyn MessageStore>,
    /// The View, for readiness.
    pub view: View,
    /// The queue, for listing.
    pub queue: Queue,
    /// Tokens that may call: blake3 hex of each token, with its name and role.
    pub tokens: Arc<Vec<Token>>,
    /// Where uploaded plans wait for their apply.
    pub plans: std::path::PathBuf,
    /// Where applies are recorded write by write.
    pub journals: Journals,
}

/// A bearer token known by its digest.
#[derive(Clone, Debug)]
pub struct Token {
    /// Shown in the audit.
    pub name: String,
    /// blake3 of the token, hex.
    pub digest: String,
}

/// What every handler shares: the given state and what lives as long as the router.
#[derive(Clone)]
struct Shared {
    api: ApiState,
    jobs: jobs::Jobs,
    plans: plans::Plans,
}

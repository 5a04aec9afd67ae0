//! REST `/api/v1`, whose OpenAPI 3.1 document comes from this code, and `/metrics`, `/readyz` and `/livez` of the
//! listener `health`.
//!
//! This crate is only an interface: every change goes through the desk or through plan and apply, as on the command
//! line. Every REST error is an RFC 9457 problem, and every change returns its audit id. No rule about people and no
//! decision about rights belongs here.

mod auth;
mod background_apply;
mod extract;
mod failures;
mod handlers;
mod health;
mod jobs;
mod messages;
mod model;
mod model_access;
mod model_groups;
mod model_plans;
mod operations;
mod problem;
mod reply;
mod router;
mod shared;
mod tokens;
mod turn;
mod uploaded_files;

pub use health::{DeadParts, ProbedParts, Scrape, health_router};
pub use jobs::end_abandoned_jobs;
pub use messages::{MESSAGES_MAX, MessageSearch, MessageSearchError, MessageTraces};
pub use router::{API_BODY_OCTETS_MAX, CSV_OCTETS_MAX, REQUEST_TIME_MAX, router};
pub use shared::ApiState;
pub use tokens::{FixedToken, NewToken, PersonToken, TOKEN_DAYS_MAX, TokenError, TokenInfo, Tokens, ValidToken};

//! REST `/api/v1`: search, person, vacation, addresses, password, import. OpenAPI 3.1 is made from this code.
//! Also `/metrics`, `/readyz` and `/livez` of the health port.
//!
//! A face and nothing more: every change goes through the desk or through plan and apply, as on the command line. Every
//! error is an RFC 9457 problem, every change returns its audit id. What must never happen here: a rule about people, or a
//! decision about who may do what.

mod auth;
mod extract;
mod failures;
mod handlers;
mod health;
mod jobs;
mod messages;
mod model;
mod operations;
mod plans;
mod problem;
mod reply;
mod router;
mod shared;
mod tokens;
mod turn;

pub use health::{DeadParts, Health, Scrape, health_router};
pub use jobs::end_abandoned_jobs;
pub use messages::{MESSAGES_MAX, MessageSearch, MessageSearchError, Messages};
pub use router::{API_BODY_OCTETS_MAX, CSV_OCTETS_MAX, REQUEST_TIME_MAX, router};
pub use shared::ApiState;
pub use tokens::{FixedToken, NewToken, TOKEN_DAYS_MAX, TokenError, TokenInfo, Tokens};

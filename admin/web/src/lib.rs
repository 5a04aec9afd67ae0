//! Help-desk pages: sign in, search, one page per person, reset, alias, vacation. French and English; works without
//! script.
//!
//! This crate holds no rule about people: every change goes through `Desk`, which decides who may make it, as for the
//! command line and REST. Every view of a person and every change is audited under the signed-in person's login. Two
//! things must never happen here: a script in a page, and a page that a browser may store.

mod calendar;
mod change;
mod form;
mod language;
mod page;
mod password;
mod people;
mod person_link;
mod person_page;
mod rule;
mod security;
mod session;
mod sign_in;
mod signed_in;
mod throttle;
mod user;
mod vacation;
mod vacation_form;
mod visitor;
mod web;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};

pub use web::WebState;

/// Largest form, in octets: the longest vacation reply that the desk accepts (two texts of 10,000 characters and two
/// subjects of 200), with 12 octets for a character: up to four in UTF-8, each percent-encoded as three.
const FORM_OCTETS_MAX: usize = 256 * 1024;

/// All pages, from `/`, with the fallback for every path that no other router has.
///
/// Requests must carry `ConnectInfo<SocketAddr>`: sign-ins are throttled by the peer's address.
pub fn router(state: WebState) -> Router {
    let web = web::Web::new(state);
    Router::new()
        .route("/", get(people::start))
        .route("/people", get(people::search))
        .route("/people/{id}", get(people::show))
        .route("/people/{id}/addresses", post(people::add_alias))
        .route("/people/{id}/addresses/remove", get(people::confirm_removal).post(people::remove_alias))
        .route("/people/{id}/vacation", post(vacation::set))
        .route("/people/{id}/vacation/clear", post(vacation::clear))
        .route("/people/{id}/password", get(password::confirm).post(password::reset))
        .route("/people/{id}/password/new", get(password::slip))
        .route(
            "/sign-in",
            get(sign_in::show).post(sign_in::sign_in).layer(DefaultBodyLimit::max(sign_in::FORM_OCTETS_MAX)),
        )
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/style.css", get(page::style))
        .route("/assets/icon.svg", get(page::icon))
        .method_not_allowed_fallback(page::method_not_allowed)
        .fallback(page::no_such_page)
        .layer(DefaultBodyLimit::max(FORM_OCTETS_MAX))
        .layer(from_fn(security::with_headers_and_deadline))
        .with_state(web)
}

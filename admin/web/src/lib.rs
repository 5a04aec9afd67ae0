//! Help-desk pages: sign in, search, one page per person, reset, alias, vacation, locks, forwarding, quota. Pages for
//! everyone: the own page with vacation and forwarding, activation of the account, change of the own password. French
//! and English; works without script.
//!
//! This crate holds no rule about people: every change goes through `Desk`, which decides who may make it, as for the
//! command line and REST. Every view of a person and every change is audited under the signed-in person's login. Two
//! things must never happen here: a script in a page, and a page that a browser may store.

mod activation;
mod by_hand;
mod calendar;
mod change;
mod form;
mod form_field;
mod forwarding;
mod language;
mod locks;
mod notice;
mod own_password;
mod page;
mod password;
mod password_check;
mod people;
mod person_link;
mod person_page;
mod quota;
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
use axum::routing::{MethodRouter, get, post};

pub use web::WebState;

/// Largest form, in octets: the longest vacation reply that the desk accepts (two texts of 10,000 characters and two
/// subjects of 200), with 12 octets for a character: up to four in UTF-8, each percent-encoded as three.
const FORM_OCTETS_MAX: usize = 256 * 1024;

/// Largest body of a form that any visitor may send, in octets: several times the longest name and passwords. It is no
/// larger than what the memory budget leaves uncounted (`provost_net::FREE_OCTETS`).
const PUBLIC_FORM_OCTETS_MAX: usize = 8 * 1024;

/// A page with a form for visitors who are not signed in.
fn public(page: MethodRouter<web::Web>) -> MethodRouter<web::Web> {
    page.layer(DefaultBodyLimit::max(PUBLIC_FORM_OCTETS_MAX))
}

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
        .route("/people/{id}/locks", post(locks::suspend))
        .route("/people/{id}/locks/release", post(locks::release))
        .route("/people/{id}/forwarding", post(forwarding::set))
        .route("/people/{id}/forwarding/clear", get(forwarding::confirm_clear).post(forwarding::clear))
        .route("/people/{id}/quota", post(quota::set))
        .route("/people/{id}/quota/clear", post(quota::clear))
        .route("/people/{id}/follow", post(by_hand::follow))
        .route("/people/{id}/password", get(password::confirm).post(password::reset))
        .route("/people/{id}/password/new", get(password::slip))
        .route("/people/{id}/activation", get(activation::confirm).post(activation::send))
        .route(own_password::PATH, public(get(own_password::show).post(own_password::change)))
        .route("/activate", public(get(activation::show_code_form).post(activation::enter_code)))
        .route("/activate/{token}", public(get(activation::show).post(activation::activate)))
        .route("/notice/{token}", public(get(notice::show).post(notice::object)))
        .route("/sign-in", public(get(sign_in::show).post(sign_in::sign_in)))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/style.css", get(page::style))
        .route("/assets/icon.svg", get(page::icon))
        .method_not_allowed_fallback(page::method_not_allowed)
        .fallback(page::no_such_page)
        .layer(DefaultBodyLimit::max(FORM_OCTETS_MAX))
        .layer(from_fn(security::with_headers_and_deadline))
        .with_state(web)
}

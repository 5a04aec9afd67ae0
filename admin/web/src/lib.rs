//! Help-desk pages: sign in, search, one page per person, reset, alias, vacation. French and English; works without script.

use std::sync::Arc;

use provost_provision::Desk;
use provost_store::MessageStore;
use provost_view::View;

/// What the pages work on.
#[derive(Clone)]
pub struct WebState {
    /// The operations.
    pub desk: Desk,
    /// Mailbox facts (quota, last logins).
    pub store: Arc<dyn MessageStore>,
    /// Sign-in: the person must have a role `helpdesk` or `admin`.
    pub view: View,
    /// Octets allowed when the directory sets none.
    pub default_quota: Option<u64>,
}

/// All pages, from `/`.
pub fn router(state: WebState) -> axum::Router {
    let _ = state;
    todo!("H8")
}

//! The state that all handlers share.

use std::sync::Arc;

use provost_provision::Desk;
use provost_store::{MessageStore, StateStore};
use provost_view::View;

use crate::session::WebSessions;
use crate::throttle::Throttle;

/// The services that the pages use.
#[derive(Clone)]
pub struct WebState {
    /// The operations on people and settings.
    pub desk: Desk,
    /// Facts about mailboxes (quota, last logins).
    pub store: Arc<dyn MessageStore>,
    /// Sessions and sign-in counts, shared by all nodes.
    pub state: Arc<dyn StateStore>,
    /// The View, for settings and for sign-in: the person must have a role that may view people.
    pub view: View,
}

/// The services, and the sessions and sign-in counts in their shared state.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) site: WebState,
    pub(crate) sessions: WebSessions,
    pub(crate) throttle: Throttle,
}

impl Web {
    pub(crate) fn new(site: WebState) -> Self {
        Self { sessions: WebSessions::new(site.state.clone()), throttle: Throttle::new(site.state.clone()), site }
    }
}

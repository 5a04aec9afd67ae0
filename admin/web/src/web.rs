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
    /// The message store, which has an account's octets, number of messages and last logins.
    pub store: Arc<dyn MessageStore>,
    /// Sessions and sign-in counts, shared by all nodes.
    pub state: Arc<dyn StateStore>,
    /// The View, this node's copy of the directory: it has the settings, and the passwords and roles of those who sign
    /// in.
    pub view: View,
}

/// The services, and access to the sessions and sign-in counts in [`WebState::state`].
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) services: WebState,
    pub(crate) sessions: WebSessions,
    pub(crate) throttle: Throttle,
}

impl Web {
    pub(crate) fn new(services: WebState) -> Self {
        let (sessions, throttle) = (WebSessions::new(services.state.clone()), Throttle::new(services.state.clone()));
        Self { services, sessions, throttle }
    }
}

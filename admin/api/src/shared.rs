//! What every handler shares.

use std::sync::Arc;

use provost_provision::Desk;
use provost_queue::Queue;
use provost_store::{MessageStore, StateStore};
use provost_view::View;

use crate::jobs::Jobs;
use crate::messages::Messages;
use crate::operations::Operations;
use crate::plans::Plans;
use crate::tokens::Tokens;
use crate::turn::Turns;

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
    /// What happened to messages.
    pub messages: Messages,
    /// Who may call.
    pub tokens: Tokens,
    /// Jobs and uploaded files, shared by all nodes.
    pub state: Arc<dyn StateStore>,
    /// Name of this node, unique in the site: which jobs are its own.
    pub node: Arc<str>,
}

/// What the handlers take from the given state, and what lives as long as the router.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) desk: Desk,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) operations: Operations,
    pub(crate) jobs: Jobs,
    pub(crate) messages: Messages,
    pub(crate) plans: Plans,
    pub(crate) turns: Turns,
}

impl Shared {
    pub(crate) fn new(api: ApiState) -> Self {
        let ApiState { desk, store, view, queue, messages, tokens: _, state, node } = api;
        let jobs = Jobs::new(state.clone(), node.clone());
        Self {
            operations: Operations::new(desk.clone(), queue, view, jobs.clone()),
            plans: Plans::new(state.clone()),
            turns: Turns::new(state, node),
            desk,
            store,
            jobs,
            messages,
        }
    }
}

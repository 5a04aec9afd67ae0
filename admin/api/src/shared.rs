//! What every handler shares.

use std::sync::Arc;

use provost_provision::Desk;
use provost_queue::Queue;
use provost_store::{MessageStore, StateStore};
use provost_view::View;

use crate::jobs::Jobs;
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
    /// Who may call.
    pub tokens: Tokens,
    /// Jobs and uploaded files, shared by all nodes.
    pub state: Arc<dyn StateStore>,
    /// Name of this node, unique in the site: which jobs are its own.
    pub node: Arc<str>,
}

/// The given state and what lives as long as the router.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) api: ApiState,
    pub(crate) jobs: Jobs,
    pub(crate) plans: Plans,
    pub(crate) turns: Turns,
}

impl Shared {
    pub(crate) fn new(api: ApiState) -> Self {
        Self {
            jobs: Jobs::new(api.state.clone(), api.node.clone()),
            plans: Plans::new(api.state.clone()),
            turns: Turns::new(api.state.clone()),
            api,
        }
    }
}

//! The state that all handlers share.

use std::sync::Arc;

use provost_provision::Desk;
use provost_queue::Queue;
use provost_store::{MessageStore, StateStore};
use provost_view::View;

use crate::jobs::Jobs;
use crate::messages::MessageTraces;
use crate::operations::Operations;
use crate::tokens::Tokens;
use crate::turn::ImportTurns;
use crate::uploaded_files::UploadedFiles;

/// The parts of the node on which the API works.
#[derive(Clone)]
pub struct ApiState {
    /// The operations on people and settings.
    pub desk: Desk,
    /// The store, for facts about mailboxes (quota, last logins).
    pub store: Arc<dyn MessageStore>,
    /// The View, for its state and the settings in force.
    pub view: View,
    /// The queue, to list it.
    pub queue: Queue,
    /// The search for messages.
    pub messages: MessageTraces,
    /// The tokens that callers present.
    pub tokens: Tokens,
    /// Jobs, uploaded files and the turn to apply, shared by all nodes.
    pub state: Arc<dyn StateStore>,
    /// Name of this node, unique in the site: it identifies the node's own jobs and turn.
    pub node: Arc<str>,
}

/// The parts that handlers use, taken from [`ApiState`] or created with the router.
#[derive(Clone)]
pub(crate) struct HandlerState {
    pub(crate) desk: Desk,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) operations: Operations,
    pub(crate) jobs: Jobs,
    pub(crate) messages: MessageTraces,
    pub(crate) uploaded_files: UploadedFiles,
    pub(crate) turns: ImportTurns,
}

impl HandlerState {
    pub(crate) fn new(api: ApiState) -> Self {
        let ApiState { desk, store, view, queue, messages, tokens: _, state, node } = api;
        let jobs = Jobs::new(state.clone(), node.clone());
        Self {
            operations: Operations::new(desk.clone(), queue, view, jobs.clone()),
            uploaded_files: UploadedFiles::new(state.clone()),
            turns: ImportTurns::new(state, node),
            desk,
            store,
            jobs,
            messages,
        }
    }
}

//! Operations whose work is done in rooms that `provision` may not use: the queue, the View, the jobs of imports.
//!
//! Each takes who asks and has [`Desk`] decide, as the operations in `Desk` itself do. The queue and the View are private
//! to it, so that no handler reads them by another way.

use std::sync::Arc;

use jiff::Timestamp;
use provost_provision::{Desk, Operation, Principal};
use provost_queue::Queue;
use provost_store::QueueRow;
use provost_view::{Snapshot, Status, View};
use uuid::Uuid;

use crate::jobs::{Job, Jobs};
use crate::problem::{Kind, Problem};

/// What a node does and shows beside the directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Operations {
    desk: Desk,
    queue: Queue,
    view: View,
    jobs: Jobs,
}

impl Operations {
    pub(crate) fn new(desk: Desk, queue: Queue, view: View, jobs: Jobs) -> Self {
        Self { desk, queue, view, jobs }
    }

    /// What waits to be sent, at most `most` messages and destinations, oldest first.
    pub(crate) async fn queue(&self, principal: &Principal, most: usize) -> Result<Vec<QueueRow>, Problem> {
        self.desk.permit(principal, Operation::ViewQueue).await?;
        self.queue.list(most).await.map_err(|error| Problem::new(Kind::Unavailable, error.to_string()))
    }

    /// How fresh the View is.
    pub(crate) async fn status(&self, principal: &Principal) -> Result<Status, Problem> {
        self.desk.permit(principal, Operation::ViewNode).await?;
        Ok(self.view.status())
    }

    /// The View as it is now, for the settings in it.
    pub(crate) async fn settings(&self, principal: &Principal) -> Result<Arc<Snapshot>, Problem> {
        self.desk.permit(principal, Operation::ViewSettings).await?;
        Ok(self.view.snapshot())
    }

    /// An apply that runs or has run; `None` when there is none of this id, or it is forgotten.
    pub(crate) async fn job(&self, principal: &Principal, id: Uuid, now: Timestamp) -> Result<Option<Job>, Problem> {
        self.desk.permit(principal, Operation::ViewImports).await?;
        Ok(self.jobs.find(id, now).await?)
    }
}

//! Operations on parts of the node that the crate `provision` may not depend on: the queue, the View, the jobs of
//! imports.
//!
//! Each takes a principal and lets [`Desk`] decide, as the operations in `Desk` itself do. The queue and the View are
//! private here, so that no handler can read them without this check.

use std::sync::Arc;

use jiff::Timestamp;
use provost_provision::{Desk, Permission, Principal};
use provost_queue::Queue;
use provost_store::QueueRow;
use provost_view::{Snapshot, View, ViewStatus};
use uuid::Uuid;

use crate::jobs::{Job, Jobs};
use crate::problem::{Problem, ProblemKind};

/// The queue, the View and the jobs, each behind a check of rights. Cheap to clone.
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

    /// Messages in the queue, at most `limit` rows of message and destination, oldest first.
    pub(crate) async fn queue(&self, principal: &Principal, limit: usize) -> Result<Vec<QueueRow>, Problem> {
        self.desk.permit(principal, Permission::ViewQueue).await?;
        self.queue.list(limit).await.map_err(|error| Problem::new(ProblemKind::Unavailable, error.to_string()))
    }

    /// The state of the View.
    pub(crate) async fn status(&self, principal: &Principal) -> Result<ViewStatus, Problem> {
        self.desk.permit(principal, Permission::ViewNode).await?;
        Ok(self.view.status())
    }

    /// A snapshot of the View, for the settings in it.
    pub(crate) async fn settings(&self, principal: &Principal) -> Result<Arc<Snapshot>, Problem> {
        self.desk.permit(principal, Permission::ViewSettings).await?;
        Ok(self.view.snapshot())
    }

    /// A running or finished apply; `None` for an id that is unknown or no longer kept.
    pub(crate) async fn job(&self, principal: &Principal, id: Uuid, now: Timestamp) -> Result<Option<Job>, Problem> {
        self.desk.permit(principal, Permission::ViewImports).await?;
        Ok(self.jobs.find(id, now).await?)
    }
}

//! A change of a shard that is not a batch of an account. The committer runs it in one transaction with waiting
//! batches, in a savepoint of its own.

use tokio::sync::oneshot;

use super::committer::{CommitFailure, ReplySender};
use super::database::Database;
use crate::StoreError;

/// A queued change, with the channel to its caller.
pub(super) trait QueuedChange: Send {
    /// Makes the change inside the transaction; an error rolls back this change only.
    fn run(&mut self, database: &mut Database) -> Result<(), StoreError>;
    /// Marks the outcome as unknown from here on, because the commit has begun.
    fn mark_unknown(&mut self);
    /// Answers the caller. `Err` means that the transaction was not committed, or may not have been.
    fn reply(self: Box<Self>, committed: Result<(), CommitFailure>);
}

impl From<CommitFailure> for StoreError {
    /// An unknown outcome becomes unavailable, because repeating the change does no harm: a message id is queued once,
    /// a claim is settled once, and rows that nobody received are free again when their leases end.
    fn from(failure: CommitFailure) -> Self {
        match failure {
            CommitFailure::NotDone(why) => Self::Unavailable(why),
            CommitFailure::Unknown => Self::Unavailable("outcome unknown".into()),
        }
    }
}

struct PendingChange<T, F> {
    run: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: ReplySender<T, StoreError>,
}

impl<T: Send, F: FnOnce(&mut Database) -> Result<T, StoreError> + Send> QueuedChange for PendingChange<T, F> {
    fn run(&mut self, database: &mut Database) -> Result<(), StoreError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        match run(database) {
            Ok(value) => {
                self.result = Some(Ok(value));
                Ok(())
            }
            Err(error) => {
                self.result = Some(Err(error.clone()));
                Err(error)
            }
        }
    }

    fn mark_unknown(&mut self) {
        self.reply.mark_unknown();
    }

    fn reply(self: Box<Self>, committed: Result<(), CommitFailure>) {
        match (committed, self.result) {
            (Ok(()), Some(result)) => self.reply.send(result),
            (Ok(()), None) => self.reply.send(Err(StoreError::Unavailable("the change was not run".into()))),
            (Err(failure), _) => self.reply.send(Err(failure.into())),
        }
    }
}

/// Returns a change that calls `run`, and the receiver of its result.
pub(super) fn change<T: Send + 'static>(
    run: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
) -> (Box<dyn QueuedChange>, oneshot::Receiver<Result<T, StoreError>>) {
    let (reply, receiver) = ReplySender::new();
    (Box::new(PendingChange { run: Some(run), result: None, reply }), receiver)
}

//! The account that is logged in.

use std::time::Duration;

use provost_store::AccountId;
use provost_view::{AccountWatch, View};
use tokio::sync::watch;

/// How soon the session of an IDLE client retries a read of changes that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The account that a session is logged in to, and what wakes the session.
pub(crate) struct LoggedInAccount {
    pub(crate) id: AccountId,
    /// The login name, for logs and for the limit of connections per account.
    pub(crate) name: Box<str>,
    /// Reports when the person changes in the directory.
    pub(crate) person: AccountWatch,
    /// The store's notices that the account has changed.
    pub(crate) notices: watch::Receiver<u64>,
    /// A notice was consumed but the changes behind it could not be read, so they are due without another notice.
    pub(crate) is_overdue: bool,
}

impl LoggedInAccount {
    /// Resolves when the person has changed in the directory, or, if `listens`, when the selected mailbox may have
    /// changed.
    pub(crate) async fn changed(&mut self, view: &View, listens: bool) {
        let Self { person, notices, is_overdue, .. } = self;
        tokio::select! {
            () = person.changed(view) => {}
            () = ticked(notices), if listens => {}
            () = tokio::time::sleep(LOOK_AGAIN), if listens && *is_overdue => {}
        }
    }
}

/// Resolves when a watched value has changed, and leaves it marked as changed; never when the sender is gone.
async fn ticked(watched: &mut watch::Receiver<u64>) {
    if watched.changed().await.is_err() {
        return std::future::pending().await;
    }
    // `changed` marks the value as seen, but the next check must still find it new.
    watched.mark_changed();
}

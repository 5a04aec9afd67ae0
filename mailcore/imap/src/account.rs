//! The account that is logged in.

use std::time::Duration;

use provost_store::AccountId;
use provost_view::{AccountWatch, View};
use tokio::sync::watch;

/// Pause before the session of an IDLE client repeats a read of changes that failed.
const READ_RETRY_PAUSE: Duration = Duration::from_secs(2);

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
    /// Resolves when the person has changed in the directory. If `in_mailbox`, that is, if the session idles in a
    /// selected mailbox, also resolves when the mailbox may have changed or a failed read of its changes is due again.
    pub(crate) async fn changed(&mut self, view: &View, in_mailbox: bool) {
        let Self { person, notices, is_overdue, .. } = self;
        tokio::select! {
            () = person.changed(view) => {}
            () = noticed(notices), if in_mailbox => {}
            () = tokio::time::sleep(READ_RETRY_PAUSE), if in_mailbox && *is_overdue => {}
        }
    }
}

/// Resolves at a notice, and leaves it marked as unseen; never when the sender is gone.
async fn noticed(notices: &mut watch::Receiver<u64>) {
    if notices.changed().await.is_err() {
        return std::future::pending().await;
    }
    // `changed` marks the notice as seen, but `updates::report` must still find it.
    notices.mark_changed();
}

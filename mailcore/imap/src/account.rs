//! The account that is logged in.

use provost_store::AccountId;
use provost_view::{AccountWatch, View};
use tokio::sync::watch;

/// Who is logged in, and what wakes the session.
pub(crate) struct Account {
    pub(crate) id: AccountId,
    /// Login, for logs and caps.
    pub(crate) name: Box<str>,
    /// Changes of the person in the directory.
    pub(crate) person: AccountWatch,
    /// Ticks when the account has changed.
    pub(crate) notices: watch::Receiver<u64>,
}

impl Account {
    /// Resolves when the person has changed in the directory, or, for a client that listens, the account.
    pub(crate) async fn changed(&mut self, view: &View, listens: bool) {
        let Self { person, notices, .. } = self;
        tokio::select! {
            () = person.changed(view) => {}
            () = ticked(notices), if listens => {}
        }
    }
}

/// Resolves when a watched value has changed, and leaves it marked so; never when nobody can change it any more.
async fn ticked(watched: &mut watch::Receiver<u64>) {
    if watched.changed().await.is_err() {
        return std::future::pending().await;
    }
    // `changed` marks the value as seen: the next look must still find it new.
    watched.mark_changed();
}

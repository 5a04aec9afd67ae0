//! What all sessions of a node share.

use std::sync::Arc;

use provost_store::MessageStore;
use provost_view::View;

use crate::budget::{LiteralBudget, SearchTurns};
use crate::message_lists::MessageLists;
use crate::recents::Recents;

/// Shared by all sessions.
#[derive(Clone)]
pub struct ImapConfig {
    /// Our name.
    pub hostname: Arc<str>,
    /// The directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// Disk and memory for messages that are being received; the same for all listeners.
    pub literals: LiteralBudget,
    /// Turns to search bodies; the same for all listeners.
    pub searches: SearchTurns,
    /// Mailboxes selected lately; the same for all listeners.
    pub message_lists: MessageLists,
    /// Which messages are `\Recent` in some session; the same for all listeners.
    pub recents: Recents,
}

impl ImapConfig {
    /// The largest message of APPEND, octets: the directory's `message-size` of this moment, or less where this node has no
    /// memory for it.
    pub(crate) fn message_octets_max(&self) -> u64 {
        self.view.snapshot().settings().message_size.min(self.literals.message_octets_max())
    }
}

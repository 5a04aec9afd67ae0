//! Configuration and state that all sessions of a node share.

use std::sync::Arc;

use provost_store::MessageStore;
use provost_view::View;

use crate::budget::{LiteralBudget, SearchTurns};
use crate::message_lists::MessageLists;
use crate::recents::Recents;

/// Configuration and state that all sessions share. Cheap to clone.
#[derive(Clone)]
pub struct ImapConfig {
    /// This node's host name.
    pub hostname: Arc<str>,
    /// The directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// Disk and memory for large literals while they arrive; shared by all listeners.
    pub literals: LiteralBudget,
    /// Turns to read and decode bodies for SEARCH; shared by all listeners.
    pub searches: SearchTurns,
    /// Message lists of recently selected mailboxes; shared by all listeners.
    pub message_lists: MessageLists,
    /// The messages that are `\Recent` in some session already; shared by all listeners.
    pub recents: Recents,
}

impl ImapConfig {
    /// The largest message of APPEND, octets: the setting `message-size` as it is now, or less where this node has no
    /// memory for that size.
    pub(crate) fn message_octets_max(&self) -> u64 {
        self.view.snapshot().settings().message_size.min(self.literals.message_octets_max())
    }
}

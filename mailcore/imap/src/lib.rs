//! IMAP4rev1 (RFC 3501) and its extensions: codec, session, one handler per command or family of commands.
//!
//! * `codec`: bytes to commands and replies to bytes, bounded, without I/O.
//! * `session`: the conversation; `state`: the four states of RFC 3501 §3; `dispatch`: the table of what each allows;
//!   `updates`: the responses that report changes of the selected mailbox.
//! * `mailbox`: the selected mailbox under the client's sequence numbers; `message_list`: UID and flags of its
//!   messages; `message_lists`: the lists of recently selected mailboxes; `recents`: which messages are `\Recent` in
//!   some session already.
//! * `handlers`: the work of each command on the directory and the store, which `context` gives them.
//! * `spool`: storage of a large message while it arrives; `budget`: resources that all sessions share.
//! * `section`, `source`: parts of messages, read in ranges. `provost_message` knows the structure of messages.
//!
//! This crate must never know sockets, other protocols or a store engine.

mod account;
mod budget;
mod codec;
mod config;
mod connection;
mod context;
mod dispatch;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod mailbox;
mod message_list;
mod message_lists;
mod recents;
mod section;
mod session;
mod source;
mod spool;
mod state;
#[cfg(test)]
mod tests;
mod updates;

pub use budget::{LiteralBudget, SearchTurns};
pub use config::ImapConfig;
pub use message_lists::MessageLists;
pub use recents::Recents;
pub use session::ImapSession;

//! IMAP4rev1 (RFC 3501) and its extensions: codec, session, one handler per command.
//!
//! * `codec`: bytes to commands and replies to bytes, bounded, without I/O.
//! * `session`: the conversation; `state`: the four states of RFC 3501 §3; `dispatch`: the table of what each allows;
//!   `news`: what a client is sent about its mailbox.
//! * `mailbox`: the selected mailbox as the client numbers it; `message_list`: what is kept of each of its messages; `message_lists`:
//!   those of mailboxes selected lately; `recents`: which messages are `\\Recent` in some session already.
//! * `handlers`: what each command asks of the directory and of the store.
//! * `spool`: where a large message is while it comes in; `budget`: what all sessions share.
//! * `section`, `source`: parts of messages, read in ranges. What a message is made of is known by `provost_message`.
//!
//! What must never happen here: knowledge of sockets, of other protocols, or of a store engine.

mod account;
mod budget;
mod codec;
mod config;
mod connection;
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
mod world;

pub use budget::{LiteralBudget, SearchTurns};
pub use config::ImapConfig;
pub use message_lists::MessageLists;
pub use recents::Recents;
pub use session::ImapSession;

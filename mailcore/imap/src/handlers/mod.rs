//! The handlers of commands: one file for each command or for a few related commands.

mod append;
mod authenticate;
mod capability;
mod copy;
mod expunge;
mod fetch;
mod list;
mod mailboxes;
mod search;
mod select;
mod status;
mod store;

pub(crate) use append::append;
pub(crate) use authenticate::{authenticate, handle_response, login, start_tls};
pub(crate) use capability::{capabilities, capability, enable, id, idle, logout, namespace};
pub(crate) use copy::copy;
pub(crate) use expunge::{close, expunge, no_permission, unselect};
pub(crate) use fetch::fetch;
pub(crate) use list::{list, lsub};
pub(crate) use mailboxes::{create, delete, rename, subscribe};
pub(crate) use search::search;
pub(crate) use select::{select, store_recent};
pub(crate) use status::status;
pub(crate) use store::store;

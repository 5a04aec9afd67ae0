//! What each command does. One file per command or family, named as the standard names it.

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
pub(crate) use authenticate::{Exchange, authenticate, exchange, login, start_tls};
pub(crate) use capability::{capabilities, capability, enable, id, logout, namespace};
pub(crate) use expunge::close;
pub(crate) use list::{list, lsub};
pub(crate) use mailboxes::{create, delete, rename, subscribe};
pub(crate) use select::{clear_recent, select};
pub(crate) use status::status;

use provost_net::{Output, SessionError};

use crate::codec::{Command, Reply};
use crate::mailbox::Selected;
use crate::world::World;

/// The commands of RFC 3501 §6.4: they work on the selected mailbox.
pub(crate) async fn in_mailbox(
    world: &World<'_>,
    selected: &mut Selected,
    tag: &str,
    command: Command,
    out: &mut Output<'_>,
) -> Result<Reply, SessionError> {
    Ok(match command {
        Command::Check => Reply::ok("CHECK completed"),
        Command::Expunge { uids } => expunge::expunge(world, selected, uids).await,
        Command::Search(search) => search::search(world, selected, tag, &search, out).await,
        Command::Fetch(fetch) => fetch::fetch(world, selected, *fetch, out).await?,
        Command::Store(store) => store::store(world, selected, *store, out).await?,
        Command::Copy { messages, to, manner } => copy::copy(world, selected, &messages, to, manner, out).await,
        command => return Err(SessionError::Bug(format!("no handler for {command:?}"))),
    })
}

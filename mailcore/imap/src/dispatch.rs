//! Selects the handler of a command by the state that the command needs (RFC 3501 §6).

use provost_net::{Output, SessionError};

use crate::codec::{Command, Reply};
use crate::connection::Connection;
use crate::handlers;
use crate::state::{Completion, State};

/// The dispatch table: one row for each command and state, hence the length. The first matching row wins: after the
/// refusals at the start of a section, only the allowed states remain.
pub(crate) async fn dispatch(
    here: &Connection,
    state: &mut State,
    tag: &str,
    command: Command,
    out: &mut Output<'_>,
) -> Result<Completion, SessionError> {
    use State::{Authenticated, Logout, NotAuthenticated, Selected};
    Ok(match (command, state) {
        // §6.1: in any state.
        (Command::Capability, _) => handlers::capability(here, out).into(),
        (Command::Noop, _) => Reply::ok("NOOP completed").into(),
        (Command::Id, _) => handlers::id(out).into(),
        (Command::Logout, Selected(account, selected)) => {
            handlers::leave(&here.world(account), selected).await;
            handlers::logout(out)
        }
        (Command::Logout, _) => handlers::logout(out),

        // §6.2: before login.
        (Command::StartTls, NotAuthenticated { .. }) => handlers::start_tls(here),
        (Command::Login { name, password }, NotAuthenticated { failures }) => {
            handlers::login(here, failures, &name, password, out).await
        }
        (Command::Authenticate { mechanism, initial }, NotAuthenticated { failures }) => {
            handlers::authenticate(here, failures, tag, &mechanism, initial, out).await
        }
        (_, NotAuthenticated { .. }) => Reply::bad("Log in first").into(),
        (_, Logout) => return Err(SessionError::Bug("a command after the end".to_owned())),
        (Command::StartTls | Command::Login { .. } | Command::Authenticate { .. }, _) => {
            Reply::bad("Already logged in").into()
        }

        // §6.3: after login.
        (Command::Enable, _) => handlers::enable(out).into(),
        (Command::Namespace, _) => handlers::namespace(out).into(),
        (Command::Idle, _) => handlers::idle(tag, out),
        (Command::Select { mailbox, read_only }, Authenticated(account)) => {
            handlers::select(here, account, None, &mailbox, read_only, out).await
        }
        (Command::Select { mailbox, read_only }, Selected(account, before)) => {
            handlers::select(here, account, Some(before), &mailbox, read_only, out).await
        }
        (Command::List(list), Authenticated(account) | Selected(account, _)) => {
            handlers::list(&here.world(account), list, out).await?.into()
        }
        (Command::Lsub { reference, pattern }, Authenticated(account) | Selected(account, _)) => {
            handlers::lsub(&here.world(account), reference, pattern, out).await.into()
        }
        (Command::Status { mailbox, items }, Authenticated(account) | Selected(account, _)) => {
            handlers::status(&here.world(account), &mailbox, &items, out).await.into()
        }
        (Command::Create { mailbox, special_use }, Authenticated(account) | Selected(account, _)) => {
            handlers::create(&here.world(account), mailbox, special_use).await.into()
        }
        (Command::Delete { mailbox }, Authenticated(account)) => {
            handlers::delete(&here.world(account), None, mailbox).await
        }
        (Command::Delete { mailbox }, Selected(account, selected)) => {
            handlers::delete(&here.world(account), Some(selected), mailbox).await
        }
        (Command::Rename { from, to }, Authenticated(account) | Selected(account, _)) => {
            handlers::rename(&here.world(account), from, to).await.into()
        }
        (Command::Subscribe { mailbox, on }, Authenticated(account) | Selected(account, _)) => {
            handlers::subscribe(&here.world(account), mailbox, on).await.into()
        }
        (Command::Append(append), Authenticated(account) | Selected(account, _)) => {
            handlers::append(&here.world(account), *append).await.into()
        }

        // §6.4: in a selected mailbox.
        (_, Authenticated(_)) => Reply::bad("Select a mailbox first").into(),
        (Command::Check, Selected(..)) => Reply::ok("CHECK completed").into(),
        (Command::Close, Selected(account, selected)) => handlers::close(&here.world(account), selected).await,
        (Command::Unselect, Selected(account, selected)) => handlers::unselect(&here.world(account), selected).await,
        (Command::Expunge { uids }, Selected(account, selected)) => {
            handlers::expunge(&here.world(account), selected, uids).await.into()
        }
        (Command::Search(search), Selected(account, selected)) => {
            handlers::search(&here.world(account), selected, tag, &search, out).await.into()
        }
        (Command::Fetch(fetch), Selected(account, selected)) => {
            handlers::fetch(&here.world(account), selected, *fetch, out).await?.into()
        }
        (Command::Store(store), Selected(account, selected)) => {
            handlers::store(&here.world(account), selected, *store, out).await?.into()
        }
        (Command::Copy { messages, to, manner }, Selected(account, selected)) => {
            handlers::copy(&here.world(account), selected, &messages, to, manner, out).await.into()
        }
    })
}

//! Calls the handler of a command, or refuses the command in a state that does not allow it (RFC 3501 §6).

use provost_net::{OutputBuffer, SessionError};

use crate::codec::{Command, StatusResponse};
use crate::connection::Connection;
use crate::handlers;
use crate::state::{Completion, State};

/// The dispatch table, long because it has a row for each command. The first matching row wins: below the rows that
/// refuse every command of a state, that state does not occur.
pub(crate) async fn dispatch(
    connection: &Connection,
    state: &mut State,
    tag: &str,
    command: Command,
    out: &mut OutputBuffer<'_>,
) -> Result<Completion, SessionError> {
    use State::{Authenticated, Logout, NotAuthenticated, Selected};
    Ok(match (command, state) {
        // §6.1: in any state.
        (Command::Capability, _) => handlers::capability(connection, out).into(),
        (Command::Noop, _) => StatusResponse::ok("NOOP completed").into(),
        (Command::Id, _) => handlers::id(out).into(),
        (Command::Logout, Selected(account, selected)) => {
            handlers::store_recent(&connection.context(account), selected).await;
            handlers::logout(out)
        }
        (Command::Logout, _) => handlers::logout(out),

        // §6.2: before login.
        (Command::StartTls, NotAuthenticated { .. }) => handlers::start_tls(connection),
        (Command::Login { name, password }, NotAuthenticated { failures }) => {
            handlers::login(connection, failures, &name, password, out).await
        }
        (Command::Authenticate { mechanism, initial }, NotAuthenticated { failures }) => {
            handlers::authenticate(connection, failures, tag, &mechanism, initial, out).await
        }
        (_, NotAuthenticated { .. }) => StatusResponse::bad("Log in first").into(),
        (_, Logout) => return Err(SessionError::Bug("a command after the end".to_owned())),
        (Command::StartTls | Command::Login { .. } | Command::Authenticate { .. }, _) => {
            StatusResponse::bad("Already logged in").into()
        }

        // A person who may only read changes nothing, in whatever mailbox.
        (command, Authenticated(account) | Selected(account, _))
            if command.changes_mail() && !account.person.may_change_mail() =>
        {
            handlers::no_permission().into()
        }

        // §6.3: after login.
        (Command::Enable, _) => handlers::enable(out).into(),
        (Command::Namespace, _) => handlers::namespace(out).into(),
        (Command::Idle, _) => handlers::idle(tag, out),
        (Command::Select { mailbox, read_only }, Authenticated(account)) => {
            handlers::select(connection, account, None, &mailbox, read_only, out).await
        }
        (Command::Select { mailbox, read_only }, Selected(account, before)) => {
            handlers::select(connection, account, Some(before), &mailbox, read_only, out).await
        }
        (Command::List(list), Authenticated(account) | Selected(account, _)) => {
            handlers::list(&connection.context(account), list, out).await?.into()
        }
        (Command::Lsub { reference, pattern }, Authenticated(account) | Selected(account, _)) => {
            handlers::lsub(&connection.context(account), reference, pattern, out).await.into()
        }
        (Command::Status { mailbox, items }, Authenticated(account) | Selected(account, _)) => {
            handlers::status(&connection.context(account), &mailbox, &items, out).await.into()
        }
        (Command::Create { mailbox, special_use }, Authenticated(account) | Selected(account, _)) => {
            handlers::create(&connection.context(account), mailbox, special_use).await.into()
        }
        (Command::Delete { mailbox }, Authenticated(account)) => {
            handlers::delete(&connection.context(account), None, mailbox).await
        }
        (Command::Delete { mailbox }, Selected(account, selected)) => {
            handlers::delete(&connection.context(account), Some(selected), mailbox).await
        }
        (Command::Rename { from, to }, Authenticated(account) | Selected(account, _)) => {
            handlers::rename(&connection.context(account), from, to).await.into()
        }
        (Command::Subscribe { mailbox, on }, Authenticated(account) | Selected(account, _)) => {
            handlers::subscribe(&connection.context(account), mailbox, on).await.into()
        }
        (Command::Append(append), Authenticated(account) | Selected(account, _)) => {
            handlers::append(&connection.context(account), *append).await.into()
        }

        // §6.4: in a selected mailbox.
        (_, Authenticated(_)) => StatusResponse::bad("Select a mailbox first").into(),
        (Command::Check, Selected(..)) => StatusResponse::ok("CHECK completed").into(),
        (Command::Close, Selected(account, selected)) => handlers::close(&connection.context(account), selected).await,
        (Command::Unselect, Selected(account, selected)) => {
            handlers::unselect(&connection.context(account), selected).await
        }
        (Command::Expunge { uids }, Selected(account, selected)) => {
            handlers::expunge(&connection.context(account), selected, uids).await.into()
        }
        (Command::Search(search), Selected(account, selected)) => {
            handlers::search(&connection.context(account), selected, tag, &search, out).await.into()
        }
        (Command::Fetch(fetch), Selected(account, selected)) => {
            handlers::fetch(&connection.context(account), selected, *fetch, out).await?.into()
        }
        (Command::Store(store), Selected(account, selected)) => {
            handlers::store(&connection.context(account), selected, *store, out).await?.into()
        }
        (Command::Copy { messages, to, manner }, Selected(account, selected)) => {
            handlers::copy(&connection.context(account), selected, &messages, to, manner, out).await.into()
        }
    })
}

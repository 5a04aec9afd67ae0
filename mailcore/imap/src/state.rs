//! The states of RFC 3501 §3, and how a handler ends or continues its command.

use crate::account::LoggedInAccount;
use crate::codec::StatusResponse;
use crate::mailbox::SelectedMailbox;

/// The state of a conversation (RFC 3501 §3).
pub(crate) enum State {
    /// Before login (§3.1).
    NotAuthenticated {
        /// How many logins were refused on this connection.
        failures: u8,
    },
    /// After login, without a mailbox (§3.2).
    Authenticated(Box<LoggedInAccount>),
    /// With a mailbox selected (§3.3).
    Selected(Box<LoggedInAccount>, Box<SelectedMailbox>),
    /// The connection is about to be closed (§3.4).
    Logout,
}

impl State {
    /// The logged-in account; `None` before login and in the logout state.
    pub(crate) fn account(&self) -> Option<&LoggedInAccount> {
        match self {
            Self::Authenticated(account) | Self::Selected(account, _) => Some(account),
            Self::NotAuthenticated { .. } | Self::Logout => None,
        }
    }

    /// Like [`Self::account`], mutable.
    pub(crate) fn account_mut(&mut self) -> Option<&mut LoggedInAccount> {
        match self {
            Self::Authenticated(account) | Self::Selected(account, _) => Some(account),
            Self::NotAuthenticated { .. } | Self::Logout => None,
        }
    }

    /// Selects a mailbox, or none. Does nothing before login or in the logout state.
    pub(crate) fn select(&mut self, mailbox: Option<Box<SelectedMailbox>>) {
        *self = match (std::mem::replace(self, Self::Logout), mailbox) {
            (Self::Authenticated(account) | Self::Selected(account, _), Some(mailbox)) => {
                Self::Selected(account, mailbox)
            }
            (Self::Authenticated(account) | Self::Selected(account, _), None) => Self::Authenticated(account),
            (other, _) => other,
        };
    }
}

/// A command that waits for more lines from the client.
pub(crate) enum Continuation {
    /// No command waits.
    Nothing,
    /// AUTHENTICATE waits for a response of the SASL exchange.
    Authenticate { tag: Box<str>, exchange: AuthenticateStep },
    /// IDLE waits for DONE (RFC 2177 §3).
    Idle { tag: Box<str> },
}

/// The next response that an AUTHENTICATE exchange expects.
pub(crate) enum AuthenticateStep {
    /// PLAIN waits for its one message.
    Plain,
    /// LOGIN waits for the user name.
    LoginName,
    /// LOGIN waits for the password.
    LoginPassword { name: String },
}

/// How a command ends, and the state after it.
pub(crate) enum Completion {
    /// This reply, in the same state.
    Reply(StatusResponse),
    /// The command continues with the client's next line.
    Wait(Continuation),
    /// TLS starts after the reply.
    StartTls(StatusResponse),
    /// The account is logged in.
    LoggedIn(Box<LoggedInAccount>, StatusResponse),
    /// Another mailbox, or none, is selected.
    Select(Option<Box<SelectedMailbox>>, StatusResponse),
    /// The conversation ends after the reply.
    Close(StatusResponse),
}

impl From<StatusResponse> for Completion {
    fn from(reply: StatusResponse) -> Self {
        Self::Reply(reply)
    }
}

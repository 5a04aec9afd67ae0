//! The states of RFC 3501 §3, and the answers of handlers that lead from one to another.

use crate::account::Account;
use crate::codec::Reply;
use crate::mailbox::Selected;

/// RFC 3501 §3.
pub(crate) enum State {
    /// §3.1
    NotAuthenticated {
        /// Refused logins on this connection.
        failures: u8,
    },
    /// §3.2
    Authenticated(Box<Account>),
    /// §3.3
    Selected(Box<Account>, Box<Selected>),
    /// §3.4
    Logout,
}

impl State {
    /// Who is logged in.
    pub(crate) fn account(&self) -> Option<&Account> {
        match self {
            Self::Authenticated(account) | Self::Selected(account, _) => Some(account),
            Self::NotAuthenticated { .. } | Self::Logout => None,
        }
    }

    /// As [`Self::account`].
    pub(crate) fn account_mut(&mut self) -> Option<&mut Account> {
        match self {
            Self::Authenticated(account) | Self::Selected(account, _) => Some(account),
            Self::NotAuthenticated { .. } | Self::Logout => None,
        }
    }

    /// Another mailbox, or none, is selected from here on.
    pub(crate) fn select(&mut self, mailbox: Option<Box<Selected>>) {
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
pub(crate) enum Waiting {
    /// None does.
    Nothing,
    /// AUTHENTICATE.
    Authenticate { tag: Box<str>, exchange: Exchange },
    /// IDLE (RFC 2177).
    Idle { tag: Box<str> },
}

/// How far an AUTHENTICATE exchange is.
pub(crate) enum Exchange {
    /// The one message of PLAIN is awaited.
    Plain,
    /// LOGIN: the name is awaited.
    LoginName,
    /// LOGIN: the password is awaited.
    LoginPassword { name: String },
}

/// How a command ends, and the state behind it.
pub(crate) enum Answer {
    /// In the same state.
    Reply(Reply),
    /// The command goes on with the client's next line.
    Wait(Waiting),
    /// With TLS, which starts behind the reply.
    StartTls(Reply),
    /// Logged in.
    LoggedIn(Box<Account>, Reply),
    /// With another mailbox selected, or none.
    Select(Option<Box<Selected>>, Reply),
    /// With the conversation.
    Close(Reply),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

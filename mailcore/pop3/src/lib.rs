//! POP3 (RFC 1939, 2449, 2595, 3206, 5034): codec, session, maildrop.
//!
//! A session owns no socket: `provost_net` passes it the received octets and sends its replies. The session shows INBOX
//! as of the login, excludes other POP3 sessions of the account by a lease, and changes nothing before QUIT.

use std::sync::Arc;

use provost_store::MessageStore;
use provost_view::View;

mod clock;
mod command;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod maildrop;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod transfer;

pub use session::Pop3Session;

/// Configuration that all sessions share.
#[derive(Clone)]
pub struct Pop3Config {
    /// The host name in the greeting.
    pub hostname: Arc<str>,
    /// The directory, for logins and for their revocation.
    pub view: View,
    /// The store that holds the maildrops.
    pub store: Arc<dyn MessageStore>,
}

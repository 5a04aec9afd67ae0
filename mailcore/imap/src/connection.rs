//! State of a connection that does not depend on the state of the conversation.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_net::{Peer, Transport};

use crate::ImapConfig;
use crate::account::LoggedInAccount;
use crate::context::CommandContext;

/// Unit of the delay before the reply to a refused login. The first refusal has no delay, the second one unit, each
/// later one two.
const LOGIN_PENALTY: Duration = Duration::from_secs(1);

/// One client's connection and what is known of it until it closes, except the IMAP state.
pub(crate) struct Connection {
    pub(crate) config: Arc<ImapConfig>,
    pub(crate) peer: Peer,
    pub(crate) transport: Transport,
    tls_offered: bool,
    /// Source of the time; tests set their own.
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) login_penalty: Duration,
}

impl Connection {
    /// The state at the start of a connection. `tls_offered` is whether this listener has a certificate for STARTTLS.
    pub(crate) fn new(config: Arc<ImapConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        Self { config, peer, transport, tls_offered, clock: Timestamp::now, login_penalty: LOGIN_PENALTY }
    }

    /// Whether TLS can be started on this connection (RFC 3501 §6.2.1); dispatch checks the state.
    pub(crate) fn can_start_tls(&self) -> bool {
        self.tls_offered && self.transport == Transport::Plain
    }

    /// Whether a password may be sent now: only through TLS, or within this machine (RFC 3501 §6.2.3, RFC 8314 §4.1).
    pub(crate) fn may_log_in(&self) -> bool {
        self.transport == Transport::Tls || self.peer.is_loopback()
    }

    /// Directory, store and time for one command of `account`.
    pub(crate) fn context<'a>(&'a self, account: &'a LoggedInAccount) -> CommandContext<'a> {
        CommandContext { config: &self.config, account, now: (self.clock)() }
    }
}

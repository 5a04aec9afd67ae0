//! What is true of a connection whatever its state.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_net::{Peer, Transport};

use crate::ImapConfig;
use crate::account::Account;
use crate::world::World;

/// Wait after a refused login that is not the first of its connection, times the refusals before it, at most two.
const LOGIN_PENALTY: Duration = Duration::from_secs(1);

/// One client's connection.
pub(crate) struct Connection {
    pub(crate) config: Arc<ImapConfig>,
    pub(crate) peer: Peer,
    pub(crate) transport: Transport,
    tls_offered: bool,
    /// The time; tests set their own.
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) penalty: Duration,
}

impl Connection {
    /// `tls_offered`: STARTTLS can be offered in CAPABILITY.
    pub(crate) fn new(config: Arc<ImapConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        Self { config, peer, transport, tls_offered, clock: Timestamp::now, penalty: LOGIN_PENALTY }
    }

    /// RFC 3501 §6.2.1.
    pub(crate) fn can_start_tls(&self) -> bool {
        self.tls_offered && self.transport == Transport::Plain
    }

    /// RFC 3501 §6.2.3, RFC 8314 §3.1: no password in the clear, but on this machine itself.
    pub(crate) fn may_log_in(&self) -> bool {
        self.transport == Transport::Tls || self.peer.is_loopback()
    }

    /// Directory, store and time for one command of that account.
    pub(crate) fn world<'a>(&'a self, account: &'a Account) -> World<'a> {
        World { config: &self.config, account, now: (self.clock)().as_second() }
    }
}

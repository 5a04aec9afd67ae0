//! The interface between a protocol and the driver.

use std::future::Future;
use std::net::SocketAddr;

use bytes::BytesMut;

use crate::OutputBuffer;

/// The peer of a connection: its address, and the address that it connected to.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

impl Peer {
    /// Whether the client is on this machine, where a login without TLS is allowed.
    pub fn is_loopback(&self) -> bool {
        self.remote.ip().to_canonical().is_loopback()
    }
}

/// How the bytes of a connection travel now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Without TLS.
    Plain,
    /// Through TLS.
    Tls,
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call `step` again at once: input may hold another command.
    Continue,
    /// The buffer holds no complete command: read from the peer, or wait for an event.
    NeedMore,
    /// Flush, then start TLS as the server. Bytes already in the input are discarded: an attacker can have put them
    /// before the handshake (CVE-2011-0411).
    StartTls,
    /// Flush and close.
    Close,
}

/// A failure that ends a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer closed the connection during a write, or did not take the output in time.
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    /// A failed assertion. Logged and counted; the peer gets the protocol's "internal error" if it can still be sent.
    #[error("bug: {0}")]
    Bug(String),
}

/// One protocol conversation. Built for each connection; owns its state, never a socket.
pub trait Session: Send + 'static {
    /// Writes the greeting. Called once; on an implicit-TLS listener, after the handshake.
    fn open(&mut self, out: &mut OutputBuffer<'_>) -> impl Future<Output = Result<Step, SessionError>> + Send;

    /// Handles at most one command (or one piece of data) from `input`, and removes its bytes. Returns
    /// [`Step::NeedMore`] when `input` holds no complete command. A command that is too long must be refused here: the
    /// driver reads on up to `Limits::input_octets`.
    fn step(
        &mut self,
        input: &mut BytesMut,
        out: &mut OutputBuffer<'_>,
    ) -> impl Future<Output = Result<Step, SessionError>> + Send;

    /// Resolves when something happened that the peer must learn (IMAP IDLE); the driver then calls
    /// [`Session::on_event`]. Default: never. Must be cancel-safe: the future is dropped whenever bytes arrive first.
    fn event(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Reports the event to the peer.
    fn on_event(&mut self, out: &mut OutputBuffer<'_>) -> impl Future<Output = Result<Step, SessionError>> + Send {
        let _ = out;
        async { Ok(Step::NeedMore) }
    }

    /// Octets that the session itself holds of an unfinished command. The driver counts them in the memory budget with
    /// those of its own buffers; octets under a [`crate::Reservation`] of their own are not included. Default: 0.
    fn buffered_octets(&self) -> usize {
        0
    }

    /// Called when TLS is established after [`Step::StartTls`]: discards what the client sent before, such as its name
    /// (RFC 3207 §4.2).
    fn on_tls(&mut self);

    /// How long the peer may take for its next command. After that time the driver closes, with [`Session::goodbye`].
    fn idle_limit(&self) -> std::time::Duration;

    /// The last reply when the driver closes: `421`, `* BYE`, `-ERR`.
    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8>;

    /// The login name, for the limit of connections per account; `None` before login.
    fn account(&self) -> Option<String> {
        None
    }
}

/// Why the driver closes the connection; [`Session::goodbye`] makes the reply that reports this to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The peer completed no command within [`Session::idle_limit`].
    Timeout,
    /// The node is stopping.
    Shutdown,
    /// The peer exceeded a limit of input or connections.
    TooMuch,
    /// A bug in this process.
    Internal,
}

//! The interface between a protocol and the driver.

use std::future::Future;
use std::net::SocketAddr;

use bytes::BytesMut;

use crate::OutputBuffer;

/// Both ends of a connection, fixed for its life.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

impl Peer {
    /// Whether the client connects through the loopback interface: nobody outside this machine can read a password in
    /// the clear.
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
    /// Flush, then start TLS as the server. Bytes already in the buffer are discarded (RFC 3207 §4.2: they may be
    /// injected).
    StartTls,
    /// Flush and close.
    Close,
}

/// A failure of a session that only a bug or a lost peer explains.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer closed the connection during a write.
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    /// A failed assertion. Logged and counted; the peer gets the protocol's "internal error" if it can still be sent.
    #[error("bug: {0}")]
    Bug(String),
}

/// One protocol conversation. Built for each connection; owns its state, never a socket.
pub trait Session: Send + 'static {
    /// Writes the greeting. Called once, after TLS on an implicit-TLS listener.
    fn open(&mut self, out: &mut OutputBuffer<'_>) -> impl Future<Output = Result<Step, SessionError>> + Send;

    /// Handles at most one command (or one piece of data) from `input`, and removes the bytes it used. Must return
    /// [`Step::NeedMore`] when `input` holds no complete command, and must itself bound how much the peer may pile up
    /// there: the driver refuses to buffer more than `Limits::input_octets`.
    fn step(
        &mut self,
        input: &mut BytesMut,
        out: &mut OutputBuffer<'_>,
    ) -> impl Future<Output = Result<Step, SessionError>> + Send;

    /// Resolves when there is news for the peer (IMAP IDLE). Default: never. Must be cancel-safe: the future is dropped
    /// whenever bytes arrive first. When it resolves, the driver calls [`Session::on_event`].
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

    /// TLS is established after [`Step::StartTls`]: forget all earlier state (RFC 3207 §4.2, RFC 3501 §6.2.1).
    fn on_tls(&mut self);

    /// How long the peer may be silent now. After that time the driver closes, with [`Session::goodbye`].
    fn idle_limit(&self) -> std::time::Duration;

    /// The last reply when the driver closes: `421`, `* BYE`, `-ERR`.
    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8>;

    /// The name of the logged-in account, for per-account limits and logs; `None` before login.
    fn account(&self) -> Option<String> {
        None
    }
}

/// Why the driver closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The peer was silent longer than [`Session::idle_limit`].
    Timeout,
    /// The node is stopping.
    Shutdown,
    /// The peer exceeded a limit.
    TooMuch,
    /// A bug in this process.
    Internal,
}

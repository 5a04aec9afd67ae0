//! What a protocol is to the driver.

use std::future::Future;
use std::net::SocketAddr;

use bytes::BytesMut;

use crate::Output;

/// Who is on the other side, fixed for the life of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Their address.
    pub remote: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

impl Peer {
    /// Whether both ends are on this machine, where a plaintext login is allowed.
    pub fn is_loopback(&self) -> bool {
        self.remote.ip().to_canonical().is_loopback()
    }
}

/// How the bytes travel now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the clear.
    Plain,
    /// Through TLS.
    Tls,
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call `step` again at once: input may hold another command.
    Continue,
    /// Nothing more can be done with what is in the buffer: read from the peer, or wait for an event.
    NeedMore,
    /// Flush, then start TLS as the server. Bytes already in the buffer are thrown away (RFC 3207 §4.2: injected).
    StartTls,
    /// Flush and close.
    Close,
}

/// A session failed in a way that only a bug or a dead peer explains.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer went away while we wrote.
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    /// An assertion of ours failed. Logged and counted; the peer gets the protocol's "internal error" if it can be said.
    #[error("bug: {0}")]
    Bug(String),
}

/// One protocol conversation. Made anew for each connection; owns its state, never a socket.
pub trait Session: Send + 'static {
    /// Puts the greeting. Called once, after TLS on an implicit-TLS listener.
    fn open(&mut self, out: &mut Output<'_>) -> impl Future<Output = Result<Step, SessionError>> + Send;

    /// Handles at most one command (or one chunk of data) from `input`, taking the bytes it used. Must return
    /// [`Step::NeedMore`] when `input` holds no whole one, and must bound by itself how much it lets the peer pile up
    /// there: the driver refuses to buffer more than `Limits::input_octets`.
    fn step(
        &mut self,
        input: &mut BytesMut,
        out: &mut Output<'_>,
    ) -> impl Future<Output = Result<Step, SessionError>> + Send;

    /// Resolves when the world has something for the peer (IMAP IDLE). Default: never. Must be cancel-safe: it is dropped
    /// whenever bytes arrive first. When it resolves, the driver calls [`Session::on_event`].
    fn event(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Tells the peer of the event.
    fn on_event(&mut self, out: &mut Output<'_>) -> impl Future<Output = Result<Step, SessionError>> + Send {
        let _ = out;
        async { Ok(Step::NeedMore) }
    }

    /// Octets that the session itself holds of an unfinished command. The driver counts them in the memory budget with
    /// those of its own buffers; what has a [`crate::Reservation`] of its own is not among them. Default: none to speak of.
    fn buffered_octets(&self) -> usize {
        0
    }

    /// TLS is up (after [`Step::StartTls`]): forget what was said before (RFC 3207 §4.2, RFC 3501 §6.2.1).
    fn on_tls(&mut self);

    /// How long the peer may be silent now. The driver closes after it, with [`Session::goodbye`].
    fn idle_limit(&self) -> std::time::Duration;

    /// The last words when the driver closes: `421`, `* BYE`, `-ERR`.
    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8>;

    /// The name of the logged-in account if any, for per-account caps and logs.
    fn account(&self) -> Option<String> {
        None
    }
}

/// Why the driver closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The peer was silent too long.
    Timeout,
    /// The node stops.
    Shutdown,
    /// A limit was passed.
    TooMuch,
    /// A bug of ours.
    Internal,
}

//! One connection from its greeting to its close.

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::limits::CountedSlot;
use crate::listener::ListenerState;
use crate::memory::FREE_OCTETS;
use crate::output::beyond_free;
use crate::stream::{READ_OCTETS_MIN, Stream};
use crate::{Goodbye, OutputBuffer, Peer, Reservation, Session, SessionError, Sink, Step};

/// Commands of one connection that run before other connections get a turn. Without this bound, a peer that pipelines
/// thousands of commands would hold a core until its answers fill the system's buffers.
const STEPS_PER_TURN: u32 = 16;

pub(crate) struct Conversation<'a, S> {
    stream: Stream,
    session: S,
    shared: &'a ListenerState,
    input: BytesMut,
    output: BytesMut,
    /// Octets of `input` and of the session's own buffer that the memory budget counts.
    input_held: Reservation,
    /// Octets of `output` that the memory budget counts.
    output_held: Reservation,
    account: Option<CountedSlot<String>>,
}

/// Why the driver ([`Conversation`]), and not the session, ends a conversation.
enum DriverClose {
    /// The session says goodbye for this reason.
    Goodbye(Goodbye),
    /// The connection is lost: nothing more is sent.
    Lost,
}

/// What ended the wait for the peer.
enum Wakeup {
    Bytes,
    Event,
}

impl<'a, S: Session> Conversation<'a, S> {
    pub(crate) fn new(socket: TcpStream, session: S, shared: &'a ListenerState) -> Self {
        let memory = &shared.listener.budgets.memory;
        Self {
            stream: Stream::new(socket, shared.listener.limits.write),
            session,
            shared,
            input: BytesMut::new(),
            output: BytesMut::new(),
            input_held: memory.buffer(),
            output_held: memory.buffer(),
            account: None,
        }
    }

    /// Runs the session until one side ends it.
    pub(crate) async fn run(mut self, peer: Peer) {
        let listener = &self.shared.listener;
        if listener.implicit_tls
            && let Err(error) = self.start_tls().await
        {
            return note_tls_failure(listener.name, peer, &error);
        }
        let ended = self.run_steps(peer).await;
        if let Err(DriverClose::Goodbye(why)) = &ended {
            let text = self.session.goodbye(*why);
            self.output.extend_from_slice(&text);
        }
        let Self { mut stream, session, mut output, account, .. } = self;
        // Release the session's locks (such as a maildrop's) before the peer can see the close and reconnect.
        drop((session, account));
        if !matches!(ended, Err(DriverClose::Lost)) && stream.send(&mut output).await.is_ok() {
            stream.close().await;
        }
    }

    async fn run_steps(&mut self, peer: Peer) -> Result<(), DriverClose> {
        let mut out = OutputBuffer::counted(&mut self.output, &mut self.stream, &mut self.output_held);
        let mut step = self.session.open(&mut out).await;
        let mut deadline = Instant::now() + self.session.idle_limit();
        let mut steps: u32 = 0;
        loop {
            match step.map_err(|error| self.close_after(&error, peer))? {
                Step::Close => return Ok(()),
                Step::Continue => {
                    // A peer that sends many requests and reads nothing must wait: its answers must not pile up in
                    // memory.
                    let mut out = OutputBuffer::counted(&mut self.output, &mut self.stream, &mut self.output_held);
                    out.relieve().await.map_err(|_| DriverClose::Lost)?;
                    steps = steps.wrapping_add(1);
                    if steps.is_multiple_of(STEPS_PER_TURN) {
                        tokio::task::yield_now().await;
                    }
                    let before = self.input.len();
                    step = self.session.step(&mut self.input, &mut out).await;
                    // Bytes that trickle in without completing a command do not extend the peer's time.
                    if self.input.len() < before {
                        deadline = Instant::now() + self.session.idle_limit();
                    }
                    self.count_account()?;
                }
                Step::NeedMore => {
                    self.stream.send(&mut self.output).await.map_err(|_| DriverClose::Lost)?;
                    step = match self.wait(deadline).await? {
                        Wakeup::Bytes => Ok(Step::Continue),
                        Wakeup::Event => {
                            let mut out =
                                OutputBuffer::counted(&mut self.output, &mut self.stream, &mut self.output_held);
                            self.session.on_event(&mut out).await
                        }
                    };
                }
                Step::StartTls => {
                    self.stream.send(&mut self.output).await.map_err(|_| DriverClose::Lost)?;
                    // An attacker can have put octets before the handshake (CVE-2011-0411).
                    self.input.clear();
                    if let Err(error) = self.start_tls().await {
                        note_tls_failure(self.shared.listener.name, peer, &error);
                        return Err(DriverClose::Lost);
                    }
                    self.session.on_tls();
                    step = Ok(Step::NeedMore);
                }
            }
        }
    }

    async fn start_tls(&mut self) -> std::io::Result<()> {
        let listener = &self.shared.listener;
        let Some(config) = listener.tls.clone() else { return Err(std::io::Error::other("no certificate")) };
        self.stream.start_tls(config, listener.limits.handshake).await
    }

    /// Waits for bytes, an event of the session, the deadline, or a stop of the node.
    async fn wait(&mut self, deadline: Instant) -> Result<Wakeup, DriverClose> {
        if self.input.len() >= self.shared.listener.limits.input_octets {
            return Err(DriverClose::Goodbye(Goodbye::TooMuch));
        }
        self.shrink_buffers();
        let filled = self.input.len() + self.session.buffered_octets();
        let read = async {
            let room = read_room(&mut self.input_held, filled, self.stream.read_octets()).await;
            self.stream.read(&mut self.input, room).await
        };
        tokio::select! {
            biased;
            () = self.shared.drain.stopping() => Err(DriverClose::Goodbye(Goodbye::Shutdown)),
            read = read => match read {
                Ok(0) | Err(_) => Err(DriverClose::Lost),
                Ok(_) => Ok(Wakeup::Bytes),
            },
            () = self.session.event() => Ok(Wakeup::Event),
            () = tokio::time::sleep_until(deadline) => Err(DriverClose::Goodbye(Goodbye::Timeout)),
        }
    }

    /// Frees the buffer memory that the connection does not need now.
    fn shrink_buffers(&mut self) {
        // A few octets can keep a large allocation alive, and `capacity` does not show its whole size.
        if self.input_held.octets() > 0 && self.input.len() + READ_OCTETS_MIN <= FREE_OCTETS {
            self.input = BytesMut::from(self.input.as_ref());
        }
        if self.output.is_empty() && self.output.capacity() > FREE_OCTETS {
            self.output = BytesMut::new();
        }
        let buffered = self.session.buffered_octets();
        self.input_held.record(beyond_free(self.input.len() + buffered));
        self.output_held.record(beyond_free(self.output.capacity()));
    }

    /// Counts a session, once it has logged in, against the limit of its account; an error when the account is at its
    /// limit.
    fn count_account(&mut self) -> Result<(), DriverClose> {
        if self.account.is_some() {
            return Ok(());
        }
        let Some(name) = self.session.account() else { return Ok(()) };
        let limit = self.shared.listener.limits.connections_per_account;
        self.account = self.shared.accounts.enter(name, limit);
        if self.account.is_none() { Err(DriverClose::Goodbye(Goodbye::TooMuch)) } else { Ok(()) }
    }

    fn close_after(&self, error: &SessionError, peer: Peer) -> DriverClose {
        match error {
            SessionError::Lost(_) => DriverClose::Lost,
            SessionError::Bug(what) => {
                let name = self.shared.listener.name;
                metrics::counter!("provost_net_bugs_total", "listener" => name).increment(1);
                tracing::error!(listener = name, peer = %peer.remote, what, "a session ended because of a bug");
                DriverClose::Goodbye(Goodbye::Internal)
            }
        }
    }
}

/// Reserves memory for a read in addition to the `filled` octets, and returns how many octets to read: `wanted`, or
/// [`READ_OCTETS_MIN`] when the budget has no room for `wanted`. Waits while the budget has no room for
/// [`READ_OCTETS_MIN`] either, so the caller must set a deadline.
async fn read_room(reservation: &mut Reservation, filled: usize, wanted: usize) -> usize {
    if reservation.resize(beyond_free(filled + wanted)) {
        return wanted;
    }
    reservation.resized(beyond_free(filled + READ_OCTETS_MIN)).await;
    READ_OCTETS_MIN
}

fn note_tls_failure(name: &'static str, peer: Peer, error: &std::io::Error) {
    metrics::counter!("provost_net_tls_failures_total", "listener" => name).increment(1);
    tracing::debug!(listener = name, peer = %peer.remote, %error, "TLS handshake failed");
}

/// Closes a connection whose source is at its limit, after the protocol's goodbye. With implicit TLS no goodbye is
/// sent: it would cost a handshake.
pub(crate) async fn refuse<S: Session>(socket: TcpStream, mut session: S, shared: &ListenerState) {
    if shared.listener.implicit_tls {
        return;
    }
    let mut stream = Stream::new(socket, shared.listener.limits.write);
    let mut text = BytesMut::from(session.goodbye(Goodbye::TooMuch).as_slice());
    if stream.send(&mut text).await.is_ok() {
        stream.close().await;
    }
}

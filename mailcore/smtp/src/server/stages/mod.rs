//! The stages of a transaction: what is judged when, by which small function, and what follows.
//!
//! A stage is an asynchronous function over the [`Arrival`] that returns a [`Verdict`], and, when it checks who sent the message,
//! what it has found out (RFC 8601). [`Table`] is the order, per service.
//! Each runs under a deadline; one that is late or panics is 451: the peer comes again, nothing is taken by accident and
//! nothing lost. What a stage must never do: block the thread, write anywhere, hold anything when it is dropped.

mod message;
mod recipient;
mod sender;
mod size;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use provost_message::{Arrival, AuthenticationResult, Objection, Service, Verdict};

use super::config::SmtpConfig;
use super::route::Route;
use crate::budget::Budget;
use crate::data::DataFault;
use crate::reply;

/// A stage that only looks at memory: the arrival, the View, the message. Generous, for a machine under load.
const IN_MEMORY_LIMIT: Duration = Duration::from_secs(5);
/// Authentication results of one message; more are not kept. A message with as many signatures is none of ours to explain.
const AUTHENTICATION_RESULTS_MAX: usize = 32;

/// One check. Adding one: a variant, its name, its limit, its function, its place in [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Somebody has logged in, and may still (RFC 6409 §4.3).
    Login,
    /// The reverse-path is theirs (RFC 6409 §6.1).
    Sender,
    /// The size that MAIL announces can be taken (RFC 1870 §6.1).
    Size,
    /// There is memory for the message now.
    Memory,
    /// There is room for one more recipient (RFC 5321 §4.5.3.1.10).
    RecipientCount,
    /// Strangers send to our people only (RFC 5321 §3.6.2).
    Relay,
    /// The recipient takes mail (RFC 5321 §3.3).
    Recipient,
    /// The data is a message: its octets, its line ends, its length.
    Octets,
    /// It has not been round in circles (RFC 5321 §6.3).
    Hops,
    /// What a test puts in.
    #[cfg(test)]
    Scripted(super::tests::Scripted),
}

/// Which stages run when.
#[derive(Debug)]
pub(super) struct Table {
    /// Before the greeting.
    pub(super) connect: &'static [Stage],
    /// At EHLO, HELO and LHLO.
    pub(super) hello: &'static [Stage],
    /// At MAIL.
    pub(super) mail: &'static [Stage],
    /// At each RCPT.
    pub(super) rcpt: &'static [Stage],
    /// When the whole message is there, before anything is stored.
    pub(super) data_end: &'static [Stage],
}

static MX: Table = Table {
    connect: &[],
    hello: &[],
    mail: &[Stage::Size, Stage::Memory],
    rcpt: &[Stage::RecipientCount, Stage::Relay, Stage::Recipient],
    data_end: &[Stage::Octets, Stage::Hops],
};

static SUBMISSION: Table = Table {
    connect: &[],
    hello: &[],
    mail: &[Stage::Login, Stage::Sender, Stage::Size, Stage::Memory],
    rcpt: &[Stage::RecipientCount, Stage::Recipient],
    data_end: &[Stage::Octets, Stage::Hops],
};

/// The peer is trusted: what it is refused, it has to bounce itself.
static LMTP: Table = Table {
    connect: &[],
    hello: &[],
    mail: &[Stage::Size, Stage::Memory],
    rcpt: &[Stage::RecipientCount, Stage::Relay, Stage::Recipient],
    data_end: &[Stage::Octets, Stage::Hops],
};

impl Table {
    /// The stages of a service.
    pub(super) fn of(service: Service) -> &'static Self {
        match service {
            Service::Mx => &MX,
            Service::Submission => &SUBMISSION,
            Service::Lmtp => &LMTP,
        }
    }
}

/// What a stage returns.
#[derive(Debug)]
pub(super) struct Finding {
    /// What follows for the arrival.
    pub(super) verdict: Verdict,
    /// Results of checks of who sent it.
    pub(super) authentication: Vec<AuthenticationResult>,
}

impl From<Verdict> for Finding {
    /// Of a stage that does not check who sent it.
    fn from(verdict: Verdict) -> Self {
        Self { verdict, authentication: Vec::new() }
    }
}

/// What a stage sees besides the arrival.
#[derive(Clone, Copy)]
pub(super) struct StageInput<'a> {
    /// The site.
    pub(super) config: &'a SmtpConfig,
    /// Memory for messages.
    pub(super) budget: &'static Budget,
    /// What is judged.
    pub(super) subject: Subject<'a>,
}

/// What is judged, besides what the arrival says of it.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The connection or its greeting.
    Connection,
    /// The reverse-path and the parameters of MAIL.
    Sender,
    /// The last recipient of the envelope, and who would carry the message there.
    Recipient(&'a Route),
    /// The message as it came, without our own trace field, or why there is none.
    Message(Result<&'a [u8], DataFault>),
}

impl StageInput<'_> {
    /// SIZE, octets: the directory's `message-size` of this moment, or less where this node has no memory for it.
    pub(super) fn message_octets_max(&self) -> u64 {
        self.config.view.snapshot().settings().message_size.min(self.budget.message_octets_max())
    }
}

/// Runs the stages in order and combines their verdicts, by one rule:
///
/// 1. The first objection, deferral or refusal, decides: its reply is the answer, and no later stage runs. Nothing outweighs it.
/// 2. Marks, tag or quarantine, add up on the arrival, in order. One quarantine among them is enough for Junk, and no later
///    verdict takes a mark back.
/// 3. What is objected to leaves nothing: marks and authentication results of this run go with it.
///
/// A stage that panics, is late or contradicts itself counts as one that defers.
pub(super) async fn judge(stages: &[Stage], arrival: &mut Arrival, input: StageInput<'_>) -> Result<(), Objection> {
    let before = arrival.findings.clone();
    for stage in stages {
        let Finding { verdict, authentication } = stage.run(arrival, input).await;
        let room = AUTHENTICATION_RESULTS_MAX.saturating_sub(arrival.findings.authentication.len());
        arrival.findings.authentication.extend(authentication.into_iter().take(room));
        if verdict == Verdict::Accept {
            continue;
        }
        stage.note(&verdict, arrival);
        match verdict {
            Verdict::Accept => {}
            Verdict::Tag(mark) | Verdict::Quarantine(mark) => arrival.findings.marks.push(mark),
            Verdict::Defer(objection) | Verdict::Refuse(objection) => {
                arrival.findings = before;
                return Err(objection);
            }
        }
    }
    Ok(())
}

impl Stage {
    /// For counters and logs.
    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Size => "size",
            Self::Memory => "memory",
            Self::RecipientCount => "recipient_count",
            Self::Relay => "relay",
            Self::Recipient => "recipient",
            Self::Octets => "octets",
            Self::Hops => "hops",
            #[cfg(test)]
            Self::Scripted(_) => "scripted",
        }
    }

    /// How long it may take.
    fn limit(self) -> Duration {
        match self {
            Self::Login
            | Self::Sender
            | Self::Size
            | Self::Memory
            | Self::RecipientCount
            | Self::Relay
            | Self::Recipient
            | Self::Octets
            | Self::Hops => IN_MEMORY_LIMIT,
            #[cfg(test)]
            Self::Scripted(_) => IN_MEMORY_LIMIT,
        }
    }

    async fn judge(self, arrival: &Arrival, input: StageInput<'_>) -> Finding {
        let verdict = match self {
            Self::Sender => return sender::sender(arrival, input).await,
            Self::Login => sender::login(arrival).await,
            Self::Size => size::size(arrival, input).await,
            Self::Memory => size::memory(arrival, input).await,
            Self::RecipientCount => recipient::count(arrival, input).await,
            Self::Relay => recipient::relay(arrival, input).await,
            Self::Recipient => recipient::recipient(input).await,
            Self::Octets => message::octets(input).await,
            Self::Hops => message::hops(input).await,
            #[cfg(test)]
            Self::Scripted(script) => return script.judge(arrival).await,
        };
        verdict.into()
    }

    /// Within its limit, whatever it does.
    async fn run(self, arrival: &Arrival, input: StageInput<'_>) -> Finding {
        // It only reads: nothing is left half done by a panic.
        let work = AssertUnwindSafe(self.judge(arrival, input)).catch_unwind();
        match tokio::time::timeout(self.limit(), work).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(_)) => {
                tracing::error!(id = %arrival.trace_id, stage = self.name(), "a stage panicked, message deferred");
                Verdict::object("panic", reply::TRY_LATER).into()
            }
            Err(_) => {
                tracing::warn!(id = %arrival.trace_id, stage = self.name(), "a stage was too late, message deferred");
                Verdict::object("timeout", reply::TRY_LATER).into()
            }
        }
    }

    /// Counts what is not simply accepted. What marks a message is logged, so that the log explains why it is in Junk.
    fn note(self, verdict: &Verdict, arrival: &Arrival) {
        let service = arrival.connection.as_ref().map_or("queue", |connection| connection.service.as_label());
        let (id, stage, outcome) = (arrival.trace_id, self.name(), verdict.as_label());
        let label = match verdict {
            Verdict::Accept => return,
            Verdict::Tag(mark) | Verdict::Quarantine(mark) => {
                tracing::info!(%id, service, stage, outcome, label = mark.label(), "message marked");
                mark.label().to_owned()
            }
            Verdict::Defer(objection) | Verdict::Refuse(objection) => {
                let line = || objection.reply().to_string().trim_end().to_owned();
                tracing::debug!(%id, service, stage, outcome, label = objection.label(), reply = line(), "stage objects");
                objection.label().to_owned()
            }
        };
        metrics::counter!(
            "provost_smtp_verdicts_total", "service" => service, "stage" => stage, "verdict" => outcome, "label" => label
        )
        .increment(1);
    }
}

/// What `Subject` a stage was made for does not fit: a table is wrong. The peer tries again; the log names the fault.
fn misplaced(stage: &'static str) -> Verdict {
    tracing::error!(stage, "a stage stands in the wrong place of its table");
    Verdict::object("misplaced", reply::TRY_LATER)
}

/// The message that Subject carries.
pub(super) fn message_of<'a>(data: &'a Result<Bytes, DataFault>, trace_octets: usize) -> Subject<'a> {
    Subject::Message(
        data.as_ref().map(|message| message.get(trace_octets..).unwrap_or_default()).map_err(|fault| *fault),
    )
}

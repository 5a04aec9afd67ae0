//! The stages of a transaction: small checks, the command at which each runs, and the rule that combines their
//! verdicts.
//!
//! A stage is an asynchronous function over the [`Arrival`] that returns a [`Verdict`] and, where it checks the sender,
//! an authentication result (RFC 8601). [`StageTable`] gives the order, per service. Each stage runs under a deadline.
//! A stage that exceeds it or panics counts as 451: the peer tries again, nothing is accepted by accident and nothing
//! is lost. A stage must not block the thread, write anything, or leave a task running when its deadline passes.

mod message;
mod recipient;
mod sender;
mod size;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use provost_message::{Arrival, AuthenticationResult, Rejected, Service, Verdict};

use super::config::SmtpConfig;
use super::route::DeliveryRoute;
use crate::data::DataFault;
use crate::reply;

/// Time limit of a stage that reads memory only: the arrival, the View, the message. Generous, for a machine under
/// load.
const IN_MEMORY_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of authentication results kept for a connection, for its EHLO, and for each transaction. Ordinary
/// messages have far fewer signatures.
const AUTHENTICATION_RESULTS_MAX: usize = 32;

/// One check. A new stage needs a variant, a name, a limit, a function, and a place in [`StageTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client is logged in, and the account is still active (RFC 6409 §4.3).
    Login,
    /// The reverse-path is null or belongs to the login (RFC 6409 §6.1).
    Sender,
    /// The size that MAIL announces is within the limit (RFC 1870 §6.1).
    Size,
    /// The process has memory for the message now.
    Memory,
    /// The envelope has room for one more recipient (RFC 5321 §4.5.3.1.10).
    RecipientCount,
    /// Without a login, mail is accepted for this site only (RFC 5321 §3.6.2).
    Relay,
    /// The recipient accepts mail (RFC 5321 §3.3).
    Recipient,
    /// The data is a message: its octets, its line ends, its length.
    Octets,
    /// The message is in no loop (RFC 5321 §6.3).
    Hops,
    /// A stage of a test.
    #[cfg(test)]
    Scripted(super::tests::ScriptedStage),
}

/// The stages of a service, by the command at which they run.
#[derive(Debug)]
pub(super) struct StageTable {
    /// Before 220.
    pub(super) connect: &'static [Stage],
    /// At EHLO, HELO and LHLO.
    pub(super) hello: &'static [Stage],
    /// At MAIL.
    pub(super) mail: &'static [Stage],
    /// At each RCPT.
    pub(super) rcpt: &'static [Stage],
    /// When the whole message has arrived, before anything is stored.
    pub(super) data_end: &'static [Stage],
}

static MX: StageTable = StageTable {
    connect: &[],
    hello: &[],
    mail: &[Stage::Size, Stage::Memory],
    rcpt: &[Stage::RecipientCount, Stage::Relay, Stage::Recipient],
    data_end: &[Stage::Octets, Stage::Hops],
};

static SUBMISSION: StageTable = StageTable {
    connect: &[],
    hello: &[],
    mail: &[Stage::Login, Stage::Sender, Stage::Size, Stage::Memory],
    rcpt: &[Stage::RecipientCount, Stage::Recipient],
    data_end: &[Stage::Octets, Stage::Hops],
};

/// The peer is trusted, and must itself bounce what this server refuses.
static LMTP: StageTable = StageTable {
    connect: &[],
    hello: &[],
    mail: &[Stage::Size, Stage::Memory],
    rcpt: &[Stage::RecipientCount, Stage::Relay, Stage::Recipient],
    data_end: &[Stage::Octets, Stage::Hops],
};

impl StageTable {
    /// The stages of a service.
    pub(super) fn of(service: Service) -> &'static Self {
        match service {
            Service::Mx => &MX,
            Service::Submission => &SUBMISSION,
            Service::Lmtp => &LMTP,
        }
    }
}

/// The result of a stage.
#[derive(Debug)]
pub(super) struct StageFinding {
    /// The decision about the arrival.
    pub(super) verdict: Verdict,
    /// Results of checks of the sender.
    pub(super) authentication: Vec<AuthenticationResult>,
}

impl From<Verdict> for StageFinding {
    /// The result of a stage that does not check the sender.
    fn from(verdict: Verdict) -> Self {
        Self { verdict, authentication: Vec::new() }
    }
}

/// The input of a stage besides the arrival.
#[derive(Clone, Copy)]
pub(super) struct StageInput<'a> {
    /// Configuration and services of the server.
    pub(super) config: &'a SmtpConfig,
    /// The item to judge.
    pub(super) subject: JudgedItem<'a>,
}

/// The item that a stage judges, with what the arrival does not hold about it.
#[derive(Clone, Copy)]
pub(super) enum JudgedItem<'a> {
    /// The connection, or its EHLO, HELO or LHLO.
    Connection,
    /// The reverse-path and the parameters of MAIL.
    Sender,
    /// The last recipient of the envelope, and the route to it.
    Recipient(&'a DeliveryRoute),
    /// The message as received, without this server's trace field, or the fault of its data.
    Message(Result<&'a [u8], DataFault>),
}

impl StageInput<'_> {
    /// SIZE in octets: the directory's present `message-size`, or less where this node has no memory for that size.
    pub(super) fn message_octets_max(&self) -> u64 {
        self.config.view.snapshot().settings().message_size.min(self.config.memory.body_octets_max())
    }
}

/// Runs the stages in order and combines their verdicts by one rule:
///
/// 1. The first deferral or refusal decides: its reply is the answer, and no later stage runs.
/// 2. Tags and quarantines add up on the arrival, in order. One quarantine is enough for Junk, and no later acceptance
///    removes a mark.
/// 3. A deferral or refusal leaves nothing behind: marks and authentication results of this run are dropped.
///
/// A stage that panics, exceeds its limit, or objects with a reply other than 4xx or 5xx counts as one that defers.
pub(super) async fn judge(stages: &[Stage], arrival: &mut Arrival, input: StageInput<'_>) -> Result<(), Rejected> {
    let before = arrival.findings.clone();
    for stage in stages {
        let StageFinding { verdict, authentication } = stage.run(arrival, input).await;
        let room = AUTHENTICATION_RESULTS_MAX.saturating_sub(arrival.findings.authentication.len());
        arrival.findings.authentication.extend(authentication.into_iter().take(room));
        if verdict == Verdict::Accept {
            continue;
        }
        stage.record_verdict(&verdict, arrival);
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
    /// Name for counters and logs.
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

    /// The time limit of one run of the stage.
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

    async fn judge(self, arrival: &Arrival, input: StageInput<'_>) -> StageFinding {
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

    /// Runs the stage within its limit, and contains a panic.
    async fn run(self, arrival: &Arrival, input: StageInput<'_>) -> StageFinding {
        // A stage only reads, so a panic leaves nothing half done.
        let work = AssertUnwindSafe(self.judge(arrival, input)).catch_unwind();
        match tokio::time::timeout(self.limit(), work).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(_)) => {
                tracing::error!(id = %arrival.trace_id, stage = self.name(), "a stage panicked, the peer gets 451");
                Verdict::object("panic", reply::TRY_LATER).into()
            }
            Err(_) => {
                tracing::warn!(id = %arrival.trace_id, stage = self.name(), "a stage was too late, the peer gets 451");
                Verdict::object("timeout", reply::TRY_LATER).into()
            }
        }
    }

    /// Counts every verdict but acceptance. Marks are logged, so that the log explains why a message is in Junk.
    fn record_verdict(self, verdict: &Verdict, arrival: &Arrival) {
        let service = arrival.connection.as_ref().map_or("queue", |connection| connection.service.as_label());
        let (id, stage, outcome) = (arrival.trace_id, self.name(), verdict.as_label());
        let label = match verdict {
            Verdict::Accept => return,
            Verdict::Tag(mark) | Verdict::Quarantine(mark) => {
                tracing::info!(%id, service, stage, outcome, label = mark.label(), "message marked");
                mark.label().to_owned()
            }
            Verdict::Defer(objection) | Verdict::Refuse(objection) => {
                let reply = || objection.reply().to_string().trim_end().to_owned();
                tracing::debug!(%id, service, stage, outcome, label = objection.label(), reply = reply(), "stage objects");
                objection.label().to_owned()
            }
        };
        metrics::counter!(
            "provost_smtp_verdicts_total", "service" => service, "stage" => stage, "verdict" => outcome, "label" => label
        )
        .increment(1);
    }
}

/// The verdict of a stage that stands in the table at a command where it cannot judge: a deferral. The log names the
/// stage.
fn misplaced(stage: &'static str) -> Verdict {
    tracing::error!(stage, "a stage is at the wrong place in its table");
    Verdict::object("misplaced", reply::TRY_LATER)
}

/// Returns the message or its fault as the item to judge.
pub(super) fn message_of<'a>(data: &'a Result<Bytes, DataFault>, trace_octets: usize) -> JudgedItem<'a> {
    JudgedItem::Message(
        data.as_ref().map(|message| message.get(trace_octets..).unwrap_or_default()).map_err(|fault| *fault),
    )
}

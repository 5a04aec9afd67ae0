//! Writes log lines to standard error.

use std::io::{BufWriter, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use provost_net::Drain;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log_filter::{self, LogFilter};

/// Interval between two checks for dropped lines.
const DROPPED_INTERVAL: Duration = Duration::from_secs(60);

/// Counts the dropped log lines. Only lines about mail messages are ever dropped.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Maximum number of waiting log lines about messages. While standard error is not read, further lines are dropped, so
/// that a full log does not delay the delivery of mail.
const MAIL_LINES_MAX: usize = 16_384;

/// Starts the log. `PROVOST_LOG` sets the filter, otherwise the configuration file can; see [`log_filter`]. A wrong
/// value of `PROVOST_LOG` is reported and ignored.
///
/// A server can write thousands of lines about messages a second. A separate thread writes these; dropping the returned
/// guard writes the lines that wait and ends the thread. All other lines are written at once, so that the line
/// which explains the end of the process is kept.
pub(crate) fn start(is_server: bool) -> (LogFilter, Option<WorkerGuard>) {
    let default = if is_server { log_filter::SERVER_DEFAULT } else { log_filter::COMMAND_DEFAULT };
    let of_environment = log_filter::of_environment(std::env::var(log_filter::VARIABLE)).unwrap_or_else(|error| {
        err!("provost: {error}; it is ignored");
        None
    });
    let is_free = of_environment.is_none();
    let filter = of_environment.unwrap_or_else(|| EnvFilter::new(default));
    let (filter, handle) = tracing_subscriber::reload::Layer::new(filter);
    let log = LogFilter::new(is_free.then_some(handle), default);
    let registry = tracing_subscriber::registry().with(filter);
    // By default the layer reports a failed write on standard error, and panics when the reader of standard error has
    // closed its end.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false).with_ansi(std::io::stderr().is_terminal());
    if !is_server {
        registry.with(lines.with_writer(std::io::stderr)).init();
        return (log, None);
    }
    let thread = NonBlockingBuilder::default().buffered_lines_limit(MAIL_LINES_MAX).thread_name("mail-log");
    let (mail, guard) = thread.finish(BufWriter::new(std::io::stderr()));
    let _ = DROPPED.set(mail.error_counter());
    let is_mail = |metadata: &tracing::Metadata<'_>| metadata.target() == provost_trace::LOG_TARGET;
    registry.with(lines.with_writer(mail.with_filter(is_mail).or_else(std::io::stderr))).init();
    (log, Some(guard))
}

/// Checks once per [`DROPPED_INTERVAL`], until the node stops, and logs how many lines were dropped since the last
/// check, if any were.
pub(crate) async fn report_dropped(drain: Drain) {
    let Some(counter) = DROPPED.get() else { return };
    let (mut ticks, mut before) = (tokio::time::interval(DROPPED_INTERVAL), 0);
    let stopping = drain.stopping();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = ticks.tick() => {}
        }
        let dropped = counter.dropped_lines();
        if dropped > before {
            tracing::warn!(
                lines = dropped - before,
                "log lines about messages were dropped: standard error is read too slowly"
            );
            before = dropped;
        }
    }
}

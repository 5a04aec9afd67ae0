//! Where the log lines go: standard error.

use std::io::{BufWriter, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use provost_net::Drain;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// How often it is looked whether lines were dropped.
const DROPPED_INTERVAL: Duration = Duration::from_secs(60);

/// Lines of messages that nobody read in time.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines of messages that wait to be written. A reader who stops must not stop the mail: lines beyond these are dropped.
const MAIL_LINES_MAX: usize = 16_384;

/// Servers log what matters for running; commands say only what is wrong.
///
/// The lines of messages, of which there are thousands a second, are written by a thread of their own, which the returned guard
/// ends. All others are written at once: whatever ends the process, the line that explains it is there.
pub(crate) fn start(server: bool) -> Option<WorkerGuard> {
    let default = if server { "warn,provost=info,ldap3=error" } else { "error" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("PROVOST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal());
    if !server {
        log.with_writer(std::io::stderr).init();
        return None;
    }
    let lines = NonBlockingBuilder::default().buffered_lines_limit(MAIL_LINES_MAX).thread_name("mail-log");
    let (mail, guard) = lines.finish(BufWriter::new(std::io::stderr()));
    let dropped = mail.error_counter();
    let is_mail = |metadata: &tracing::Metadata<'_>| metadata.target() == provost_trace::LOG_TARGET;
    log.with_writer(mail.with_filter(is_mail).or_else(std::io::stderr)).init();
    let _ = DROPPED.set(dropped);
    Some(guard)
}

/// Logs, until the node stops, that lines of messages were dropped.
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
            tracing::warn!(lines = dropped - before, "log lines of messages were dropped: nobody read them in time");
            before = dropped;
        }
    }
}

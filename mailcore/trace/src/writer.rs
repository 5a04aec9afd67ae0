//! The thread that writes events: it collects those that arrive during a pause, and appends them with one write.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::TraceRecord;
use crate::trace_file::TraceFile;

/// Maximum number of events that wait for the thread, some 10 MB: more than arrive during a pause. Further ones are
/// dropped and counted.
const WAITING_MAX: usize = 16_384;
/// Sleep of the thread after each look at the waiting events. Events that arrive meanwhile are written together, and
/// their senders need not wake the thread.
const PAUSE: Duration = Duration::from_millis(25);
/// Longest sleep of the thread without an event.
const IDLE: Duration = Duration::from_secs(60);
/// Size at which a new file is begun, octets. Old events are removed by whole files, so a file must not hold too many.
const FILE_OCTETS_MAX: u64 = 64 * 1024 * 1024;
/// Interval between log lines about a disk that cannot write events.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

static RECORDER: RwLock<Option<Recorder>> = RwLock::new(None);

/// Folder and limits of the recorded events.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// The folder; created if it does not exist. Only one process may write to it.
    pub folder: PathBuf,
    /// Days that events are kept, in addition to the current one (UTC).
    pub days: u16,
    /// Octets of all files together, checked when a file is begun; the oldest are removed first.
    pub octets_max: u64,
}

/// Sends events to the thread. Dropping it waits until the events so far are written.
#[derive(Debug)]
pub struct Recorder {
    waiting: Option<SyncSender<TraceRecord>>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Keeps the process's recorder installed. Dropping it waits until the events so far are written.
#[derive(Debug)]
#[must_use = "dropping it ends the recording"]
pub struct InstalledRecorder(());

/// Installs `recorder` for the process, in place of an earlier one: [`TraceEvent::record`](crate::TraceEvent::record)
/// then passes events to it.
pub fn install(recorder: Recorder) -> InstalledRecorder {
    let before = RECORDER.write().unwrap_or_else(PoisonError::into_inner).replace(recorder);
    drop(before);
    InstalledRecorder(())
}

impl Drop for InstalledRecorder {
    fn drop(&mut self) {
        let recorder = RECORDER.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(recorder);
    }
}

pub(crate) fn record(record: TraceRecord) {
    if let Some(recorder) = &*RECORDER.read().unwrap_or_else(PoisonError::into_inner) {
        recorder.record(record);
    }
}

impl Recorder {
    /// Starts the thread; an error when the system refuses one.
    pub fn start(config: RecorderConfig) -> io::Result<Self> {
        let (waiting, events) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer =
            TraceWriter { config, dropped: Arc::clone(&dropped), open: None, complained: None, lines: Vec::new() };
        let thread = std::thread::Builder::new().name("trace".into()).spawn(move || writer.run(&events))?;
        Ok(Self { waiting: Some(waiting), dropped, thread: Some(thread) })
    }

    /// Passes an event to the thread, or drops and counts it. Never waits.
    pub fn record(&self, record: TraceRecord) {
        let is_taken = self.waiting.as_ref().is_some_and(|waiting| waiting.try_send(record).is_ok());
        if !is_taken {
            count_dropped(&self.dropped, 1);
        }
    }
}

#[cfg(test)]
impl Recorder {
    /// Dropped events that no line in the files accounts for yet.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the trace's writer thread ended by a panic");
        }
    }
}

fn count_dropped(dropped: &AtomicU64, events: u64) {
    dropped.fetch_add(events, Ordering::Relaxed);
    metrics::counter!("provost_trace_events_dropped_total").increment(events);
}

struct TraceWriter {
    config: RecorderConfig,
    dropped: Arc<AtomicU64>,
    open: Option<OpenTraceFile>,
    /// Time of the last log line about a disk failure.
    complained: Option<Instant>,
    /// Lines to be written together.
    lines: Vec<u8>,
}

/// The file being written.
struct OpenTraceFile {
    day: Date,
    octets: u64,
    file: File,
}

impl TraceWriter {
    fn run(mut self, events: &Receiver<TraceRecord>) {
        loop {
            let first = match events.recv_timeout(IDLE) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut count = 0;
            self.lines.clear();
            for record in first.into_iter().chain(std::iter::from_fn(|| events.try_recv().ok())).take(WAITING_MAX) {
                count += u64::from(self.append_line(&record));
            }
            if count > 0 || self.dropped.load(Ordering::Relaxed) > 0 {
                self.write(count, Timestamp::now());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn append_line(&mut self, record: &TraceRecord) -> bool {
        let begin = self.lines.len();
        if serde_json::to_writer(&mut self.lines, record).is_err() {
            self.lines.truncate(begin);
            count_dropped(&self.dropped, 1);
            return false;
        }
        self.lines.push(b'\n');
        true
    }

    /// Appends the `count` collected lines. If the disk fails, they are lost, and a line of the next write counts them.
    fn write(&mut self, count: u64, now: Timestamp) {
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let note = format!("{{\"lost\":{lost},\"at\":{}}}\n", now.as_millisecond());
            self.lines.extend_from_slice(note.as_bytes());
        }
        if let Err(error) = self.append(now) {
            // Cut the file back to whole lines and use it again: a new one at each attempt would fill the folder with
            // empty files.
            if self.open.as_ref().is_some_and(|open| open.file.set_len(open.octets).is_err()) {
                self.open = None;
            }
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            count_dropped(&self.dropped, count);
            if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
                self.complained = Some(Instant::now());
                let folder = self.config.folder.display();
                tracing::error!(%error, %folder, "events of messages cannot be recorded");
            }
        }
    }

    fn append(&mut self, now: Timestamp) -> io::Result<()> {
        let day = now.to_zoned_datetime(TimeZone::UTC).date();
        let open = match self.open.take() {
            Some(open) if open.day == day && open.octets < FILE_OCTETS_MAX => self.open.insert(open),
            _ => {
                let (_, file) = TraceFile::begin(&self.config.folder, day)?;
                self.remove_old(day);
                self.open.insert(OpenTraceFile { day, octets: 0, file })
            }
        };
        open.file.write_all(&self.lines)?;
        open.octets += self.lines.len() as u64;
        Ok(())
    }

    /// Removes the files that exceed the limits. One that cannot be removed must not stop the recording.
    fn remove_old(&self, today: Date) {
        let RecorderConfig { folder, days, octets_max } = &self.config;
        let oldest = today.checked_sub(i64::from(*days).days()).unwrap_or(today);
        if let Err(error) = TraceFile::remove_old(folder, oldest, *octets_max) {
            tracing::error!(%error, folder = %folder.display(), "old events of messages cannot be removed");
        }
    }
}

//! The events of each message: one for each recipient whenever the message is delivered, queued, sent on, deferred,
//! refused or given up. A message that is refused or deferred at MAIL has one event, without a recipient.
//!
//! [`TraceEvent::record`] writes a line to the log and passes the event to the recorder of the process ([`install`]),
//! which keeps the event in files for some days. [`search`] reads these files: the help desk finds a message by
//! recipient, sender, Message-ID or trace id.
//!
//! A message must never wait for its trace or be lost because of it. Events that the disk cannot write in time are
//! dropped and counted, and the result of a [`search`] states how many. No subject and no text of a message is kept.

mod event;
mod search;
mod trace_file;
mod writer;

pub use event::{LOG_TARGET, TraceEvent, TraceOutcome, TraceRecord};
pub use search::{Criterion, MessageTrace, TraceQuery, TraceResult, search};
pub use writer::{InstalledRecorder, Recorder, RecorderConfig, install};

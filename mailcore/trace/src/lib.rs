//! The events of each message: one whenever a message is accepted, refused, deferred or sent on for a recipient.
//!
//! [`TraceEvent::record`] writes a line to the log and passes the event to the recorder of the process ([`install`]),
//! which keeps it in files for some days. [`search`] reads them: the help desk finds a message by recipient, sender or
//! Message-ID.
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

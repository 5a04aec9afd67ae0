//! SMTP: the server in three services (MX, submission, LMTP) and the client. RFC 5321, 2033, 6409.
//!
//! The path of a command: `command` parses its line, `server` checks the order of commands, `server/envelope` and
//! `server/auth` execute it, `server/stages` judges it, `data` reads the message, `server/complete` adds the fields
//! that the message lacks, `server/accept` stores the message.
//!
//! Two things must never happen here: a 250 before the message is durable, and accepting an end of data that another
//! server would not recognise.

mod client;
mod command;
mod data;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod reply;
mod server;

pub use client::{CertificatePolicy, RelayClient, RelayConfig};
pub use provost_message::Service;
pub use server::{SmtpConfig, SmtpSession};

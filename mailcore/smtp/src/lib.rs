//! SMTP: the server in three services (MX, submission, LMTP) and the client. RFC 5321, 2033, 6409.
//!
//! The path of a message: `command` parses each line, `server` checks the order of commands and answers the simple
//! ones, `server/envelope` and `server/auth` execute the others, `server/stages` judges, `data` reads the message,
//! `server/complete` adds the fields that it lacks, `server/accept` delivers or queues it. `client` sends to a relay.
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

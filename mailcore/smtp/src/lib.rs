//! SMTP: the server in three services (MX, submission, LMTP) and the client. RFC 5321, 2033, 6409.
//!
//! A command's way: `command` reads its line, `server` decides what it may be now, `server/envelope` and `server/auth` do
//! it, `server/stages` judges it, `data` takes the message, `server/complete` and `server/accept` hand it on.
//!
//! What must never happen here: a 250 before the message is durable, an end of data that another server would not see.

mod budget;
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

//! SMTP: the server in three roles (MX, submission, LMTP) and the client. RFC 5321, 2033, 6409.

mod client;
mod server;

pub use client::{RelayClient, RelayConfig};
pub use server::{Role, SmtpConfig, SmtpSession};

//! Servers in the language of a mail or letter.

use provost_settings::ClientServer;
use serde::Serialize;

use crate::person_mail::FRENCH;

/// A server that people enter in their mail program, in words.
#[derive(Serialize)]
pub(super) struct ServerWords {
    label: &'static str,
    host: String,
    port: u16,
    tls: &'static str,
}

pub(super) fn server_words(servers: &[ClientServer], language: &str) -> Vec<ServerWords> {
    let label = |protocol: &str| match (protocol, language) {
        ("imap", FRENCH) => "Réception (IMAP)",
        ("imap", _) => "Incoming (IMAP)",
        ("pop3", FRENCH) => "Réception (POP3)",
        ("pop3", _) => "Incoming (POP3)",
        (_, FRENCH) => "Envoi (SMTP)",
        _ => "Outgoing (SMTP)",
    };
    let words = |server: &ClientServer| ServerWords {
        label: label(server.protocol),
        host: server.host.clone(),
        port: server.port,
        tls: if server.implicit_tls { "SSL/TLS" } else { "STARTTLS" },
    };
    servers.iter().map(words).collect()
}

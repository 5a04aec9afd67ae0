//! One signed request to a receiver.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_settings::WebhookEndpoint;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::event::WebhookEvent;
use crate::signature::{SigningSecret, sign};

/// Longest time for a request, from the look-up of the name to the end of the answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Most octets of an answer that are read, for the error message.
const ANSWER_OCTETS_MAX: u64 = 1024;
/// Most octets of an answer's head.
const HEAD_OCTETS_MAX: usize = 16 * 1024;
/// The certificate bundles of Debian, Fedora, SUSE and Alpine.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// A file beside the secrets with further certificates that are trusted: those of a receiver with a private CA.
const CA_FILE: &str = "ca.pem";

/// Why an event was not accepted. Every case is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The receiver answered with another status than 2xx.
    #[error("the receiver answered with status {status}{}", words(.answer))]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the answer.
        answer: String,
    },
    /// The receiver answered with a redirect, which is not followed: the events are for the address that was set.
    #[error("the receiver answered with a redirect ({0}), which is not followed: set the endpoint to the final URL")]
    Redirect(u16),
    /// No answer.
    #[error("no answer: {0}")]
    Unreachable(String),
}

fn words(answer: &str) -> String {
    if answer.is_empty() { String::new() } else { format!(": {answer}") }
}

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    agent: ureq::Agent,
}

impl Sender {
    /// A sender that trusts the system's certificates and those in `ca.pem` of `folder`.
    pub fn new(folder: &Path) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates(folder))))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_LIMIT))
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEAD_OCTETS_MAX)
            // A proxy of the environment would see ids of people.
            .proxy(None)
            .user_agent(concat!("provost/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: agent.into() }
    }

    /// Posts an event and returns the status, 2xx. Blocks for at most ten seconds.
    pub fn post(
        &self,
        endpoint: &WebhookEndpoint,
        secret: &SigningSecret,
        event: &WebhookEvent,
        now: Timestamp,
    ) -> Result<u16, PostError> {
        let (body, timestamp) = (event.body(endpoint.details), now.as_second());
        let request = self
            .agent
            .post(&endpoint.url)
            .header("content-type", "application/json")
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", sign(secret, &event.id, timestamp, &body));
        let mut answer = request.send(&body).map_err(|error| PostError::Unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(status),
            300..=399 => Err(PostError::Redirect(status)),
            _ => {
                let read = answer.body_mut().with_config().limit(ANSWER_OCTETS_MAX).read_to_vec().unwrap_or_default();
                let text = String::from_utf8_lossy(&read);
                let answer = text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
                Err(PostError::Status { status, answer: answer.trim().to_owned() })
            }
        }
    }
}

/// The trusted certificates. An unusable one does not disable the others.
fn certificates(folder: &Path) -> Vec<Certificate<'static>> {
    let system = SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    let own = Some(folder.join(CA_FILE)).filter(|path| path.is_file());
    let mut found = Vec::new();
    for file in system.into_iter().chain(own) {
        match CertificateDer::pem_file_iter(&file) {
            Ok(read) => found.extend(read.flatten().map(|certificate| Certificate::from_der(&certificate).to_owned())),
            Err(error) => tracing::warn!(%error, file = %file.display(), "the certificates cannot be read"),
        }
    }
    found
}

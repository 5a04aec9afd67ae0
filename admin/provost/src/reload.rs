//! HUP: the configuration file is read again.
//!
//! The file is taken whole or not at all: one that is wrong anywhere, or names a certificate or tokens file that cannot be
//! used, changes nothing. What can change while the node runs is in force at once; every other key that differs is named in
//! the log, at each HUP, until a restart takes it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use provost_api::Tokens;
use provost_net::Certificates;

use crate::config::{Config, Keys};
use crate::log_filter::LogFilter;

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// At HUP.
    Now,
    /// With the next command of this machine: the node does not read it.
    NextCommand,
    /// At the next start.
    Restart,
}

/// What the running node can change.
pub(crate) struct Parts {
    /// `None`: the node was started without `[tls]`, and its listeners offer none.
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) tokens: Tokens,
    pub(crate) log: LogFilter,
}

/// Reads the file again at HUP.
pub(crate) struct Reload {
    parts: Parts,
    /// The keys that the node runs with.
    in_force: Mutex<Keys>,
}

impl Reload {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        Self { parts, in_force: Mutex::new(config.keys.clone()) }
    }

    /// Reads the file again and logs what came of it. Open sessions go on.
    pub(crate) fn run(&self, file: &Path) {
        let taken = Config::read_line(file).and_then(|config| self.take(&config).map(|()| config));
        let outcome = if taken.is_ok() { "good" } else { "bad" };
        metrics::counter!("provost_config_reloads_total", "outcome" => outcome).increment(1);
        match taken {
            Ok(config) => self.report(&config.keys),
            Err(error) => {
                tracing::error!(file = %file.display(), error, "the configuration cannot be used: nothing was changed");
            }
        }
    }

    /// Everything that can fail comes first.
    fn take(&self, config: &Config) -> Result<(), String> {
        let fixed = config.fixed_tokens().map_err(|error| format!("api.tokens_file: {error:#}"))?;
        if let (Some(certificates), Some(tls)) = (&self.parts.certificates, &config.tls) {
            certificates.reload_from(&tls.certificate, &tls.key).map_err(|error| format!("tls: {error}"))?;
        }
        self.parts.tokens.set_fixed(fixed);
        self.parts.log.set(config.node.log.as_deref());
        Ok(())
    }

    /// Logs each key that differs from what the node runs with, and remembers those that are in force now.
    fn report(&self, read: &Keys) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = in_force.changed(read);
        for key in &changed {
            match self.effect(key, read) {
                Effect::Now => tracing::info!("in force: {key}"),
                Effect::NextCommand => tracing::info!("in force with the next command: {key}"),
                Effect::Restart => {
                    tracing::warn!("needs a restart: {key}");
                    continue;
                }
            }
            in_force.take(key, read);
        }
        tracing::info!(changed = changed.len(), "configuration read again");
    }

    fn effect(&self, key: &str, read: &Keys) -> Effect {
        match key {
            // A node without TLS cannot begin to offer it, nor one with TLS end to.
            "tls.certificate" | "tls.key" if self.parts.certificates.is_some() && read.has(key) => Effect::Now,
            "api.tokens_file" => Effect::Now,
            "node.log" if self.parts.log.is_fixed() => Effect::Restart,
            "node.log" => Effect::Now,
            "api.token_file" => Effect::NextCommand,
            key if key.starts_with("cli.") => Effect::NextCommand,
            _ => Effect::Restart,
        }
    }
}

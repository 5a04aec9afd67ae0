//! Reloads the configuration file at HUP.
//!
//! The file is accepted whole or not at all: an error anywhere, or a certificate or tokens file that cannot be used,
//! changes nothing. Keys that can change while the node runs take effect at once. A changed key that needs a restart is
//! logged at each HUP until the node restarts.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use provost_api::Tokens;
use provost_net::Certificates;

use crate::config::{Config, KeyValues};
use crate::log_filter::LogFilter;

/// Time at which a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TakesEffect {
    /// At once, on HUP.
    Now,
    /// With the next command on this machine: the node does not read the key.
    NextCommand,
    /// At the next start of the node.
    Restart,
}

/// The parts of the running node that a reload can change.
pub(crate) struct ReloadableParts {
    /// `None` when the node was started without `[tls]`, so that its listeners offer no TLS.
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) tokens: Tokens,
    pub(crate) log: LogFilter,
}

/// Reloads the file at HUP.
pub(crate) struct Reload {
    parts: ReloadableParts,
    /// The values in force on the running node.
    in_force: Mutex<KeyValues>,
}

impl Reload {
    pub(crate) fn new(config: &Config, parts: ReloadableParts) -> Self {
        Self { parts, in_force: Mutex::new(config.keys.clone()) }
    }

    /// Reloads the file and logs the result. Open sessions continue.
    pub(crate) fn run(&self, file: &Path) {
        let result = Config::read_for_reload(file).and_then(|config| self.apply(&config).map(|()| config));
        let outcome = if result.is_ok() { "good" } else { "bad" };
        metrics::counter!("provost_config_reloads_total", "outcome" => outcome).increment(1);
        match result {
            Ok(config) => self.report(&config.keys),
            Err(error) => {
                tracing::error!(file = %file.display(), error, "the configuration cannot be used: nothing was changed");
            }
        }
    }

    /// Applies the file. Tokens file and certificate come first, because only they can fail: an error then has changed
    /// nothing.
    fn apply(&self, config: &Config) -> Result<(), String> {
        let fixed = config.fixed_tokens().map_err(|error| format!("api.tokens_file: {error:#}"))?;
        if let (Some(certificates), Some(tls)) = (&self.parts.certificates, &config.tls) {
            certificates.reload_from(&tls.certificate, &tls.key).map_err(|error| format!("tls: {error}"))?;
        }
        self.parts.tokens.set_fixed(fixed);
        self.parts.log.set(config.node.log.as_deref());
        Ok(())
    }

    /// Logs each key that differs from the value in force, and records the values that took effect.
    fn report(&self, in_file: &KeyValues) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = in_force.changed(in_file);
        for key in &changed {
            match self.effect(key, in_file) {
                TakesEffect::Now => tracing::info!("in force: {key}"),
                TakesEffect::NextCommand => tracing::info!("in force with the next command: {key}"),
                TakesEffect::Restart => {
                    tracing::warn!("needs a restart: {key}");
                    continue;
                }
            }
            in_force.copy_from(key, in_file);
        }
        tracing::info!(changed = changed.len(), "configuration read again");
    }

    fn effect(&self, key: &str, in_file: &KeyValues) -> TakesEffect {
        match key {
            // A node without TLS cannot begin to offer it, and a node with TLS cannot stop.
            "tls.certificate" | "tls.key" if self.parts.certificates.is_some() && in_file.has(key) => TakesEffect::Now,
            "api.tokens_file" => TakesEffect::Now,
            // As long as PROVOST_LOG is set, the key has no effect.
            "node.log" if self.parts.log.is_fixed() => TakesEffect::Restart,
            "node.log" => TakesEffect::Now,
            "api.token_file" => TakesEffect::NextCommand,
            key if key.starts_with("cli.") => TakesEffect::NextCommand,
            _ => TakesEffect::Restart,
        }
    }
}

//! The log filter, which can change while the process runs.

use std::env::VarError;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload::Handle;

/// The environment variable that takes precedence over the configuration file.
pub(crate) const VARIABLE: &str = "PROVOST_LOG";
/// Default filter of a server: Provost's messages from `info`, those of `ldap3` from `error`, all others from `warn`.
pub(crate) const SERVER_DEFAULT: &str = "warn,provost=info,ldap3=error";
/// Default filter of a command: errors.
pub(crate) const COMMAND_DEFAULT: &str = "error";

/// The filter that [`VARIABLE`] has set; `None` when it is unset. A value that is no list of directives is an error.
pub(crate) fn of_environment(value: Result<String, VarError>) -> Result<Option<EnvFilter>, String> {
    match value {
        Ok(directives) => EnvFilter::try_new(directives).map(Some).map_err(|error| format!("{VARIABLE}: {error}")),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{VARIABLE}: not UTF-8")),
    }
}

/// The filter of the process's log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogFilter {
    /// `None` when the environment sets the filter, or in a test without a log.
    handle: Option<Handle<EnvFilter, tracing_subscriber::Registry>>,
    default: &'static str,
}

impl LogFilter {
    pub(crate) fn new(handle: Option<Handle<EnvFilter, tracing_subscriber::Registry>>, default: &'static str) -> Self {
        Self { handle, default }
    }

    /// Whether the environment sets the filter and the configuration file has no effect.
    pub(crate) fn is_fixed(&self) -> bool {
        self.handle.is_none()
    }

    /// Refuses text that is not a list of directives.
    pub(crate) fn check(directives: &str) -> Result<(), ParseError> {
        EnvFilter::try_new(directives).map(drop)
    }

    /// Sets the filter to these directives, which [`LogFilter::check`] has accepted; `None` sets the default. Has no
    /// effect when the environment sets the filter.
    pub(crate) fn set(&self, directives: Option<&str>) {
        let Some(handle) = &self.handle else { return };
        let Ok(filter) = EnvFilter::try_new(directives.unwrap_or(self.default)) else { return };
        if let Err(error) = handle.reload(filter) {
            tracing::error!(%error, "the log filter could not be changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_in_the_environment_is_reported() {
        assert!(of_environment(Err(VarError::NotPresent)).unwrap().is_none());
        assert!(of_environment(Ok("warn,provost=debug".to_owned())).unwrap().is_some());
        let error = of_environment(Ok("provost=loud".to_owned())).unwrap_err();
        assert!(error.starts_with("PROVOST_LOG: "), "{error}");
    }
}

//! What is logged, changed while the process runs.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload::Handle;

/// The variable that goes before the configuration file.
pub(crate) const VARIABLE: &str = "PROVOST_LOG";
/// What a server logs: what matters for running.
pub(crate) const OF_SERVERS: &str = "warn,provost=info,ldap3=error";
/// What a command logs: what is wrong.
pub(crate) const OF_COMMANDS: &str = "error";

/// The filter of the process's log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogFilter {
    /// `None` where the environment decides, or a test has no log.
    handle: Option<Handle<EnvFilter, tracing_subscriber::Registry>>,
    default: &'static str,
}

impl LogFilter {
    pub(crate) fn new(handle: Option<Handle<EnvFilter, tracing_subscriber::Registry>>, default: &'static str) -> Self {
        Self { handle, default }
    }

    /// Whether the environment decides, whatever the configuration file says.
    pub(crate) fn is_fixed(&self) -> bool {
        self.handle.is_none()
    }

    /// Refuses what is no list of directives.
    pub(crate) fn check(directives: &str) -> Result<(), ParseError> {
        EnvFilter::try_new(directives).map(drop)
    }

    /// Logs by these directives, checked before, from now on; by the default without any.
    pub(crate) fn set(&self, directives: Option<&str>) {
        let Some(handle) = &self.handle else { return };
        let Ok(filter) = EnvFilter::try_new(directives.unwrap_or(self.default)) else { return };
        if let Err(error) = handle.reload(filter) {
            tracing::error!(%error, "the log goes on as before");
        }
    }
}

//! The system's limit of descriptors, and the share of connections in it.

use provost_net::ConnectionBudget;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for files, the directory and the queue, and for the connections that each listener may open beyond
/// the budget.
const OTHERS: u64 = 2_048;
/// Maximum number of descriptors to request from the system: beyond these, the memory of idle connections is the bound.
const WANTED: u64 = 262_144;

/// Raises this process's limit as far as the system allows, to [`WANTED`] at most, and returns the share of connections
/// in it.
pub(crate) fn connections() -> ConnectionBudget {
    let limit = getrlimit(Resource::Nofile);
    let may = limit.maximum.unwrap_or(WANTED).min(WANTED);
    let has = limit.current.unwrap_or(WANTED);
    let raised = has < may && setrlimit(Resource::Nofile, Rlimit { current: Some(may), ..limit }).is_ok();
    let connections = share(if raised { may } else { has });
    tracing::debug!(connections, "connections of all listeners together");
    ConnectionBudget::new(connections)
}

/// The share of connections in `descriptors`: all but [`OTHERS`], and at least half.
fn share(descriptors: u64) -> usize {
    let connections = descriptors.saturating_sub(OTHERS).max(descriptors / 2);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_share() {
        for (descriptors, expect) in [(65_536, 63_488), (3_000, 1_500), (1_024, 512)] {
            assert_eq!(share(descriptors), expect);
        }
    }
}

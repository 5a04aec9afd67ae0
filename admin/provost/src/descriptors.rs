//! The system's limit on open descriptors, and the share of it that connections may use.

use provost_net::ConnectionBudget;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for files, the directory and the queue, and for the 64 connections of each listener that the budget
/// does not count.
const RESERVED: u64 = 2_048;
/// Maximum number of descriptors to request from the system: beyond these, the memory of idle connections is the bound.
const REQUESTED_MAX: u64 = 262_144;

/// Raises this process's limit as far as the system allows, to [`REQUESTED_MAX`] at most, and returns the budget of
/// connections in it.
pub(crate) fn raise_limit() -> ConnectionBudget {
    let limit = getrlimit(Resource::Nofile);
    let may = limit.maximum.unwrap_or(REQUESTED_MAX).min(REQUESTED_MAX);
    let has = limit.current.unwrap_or(REQUESTED_MAX);
    let raised = has < may && setrlimit(Resource::Nofile, Rlimit { current: Some(may), ..limit }).is_ok();
    let connections = share(if raised { may } else { has });
    tracing::debug!(connections, "maximum number of connections of all listeners together");
    ConnectionBudget::new(connections)
}

/// The share of connections in `descriptors`: all but [`RESERVED`], and at least half.
fn share(descriptors: u64) -> usize {
    let connections = descriptors.saturating_sub(RESERVED).max(descriptors / 2);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_all_but_the_reserve_and_at_least_half() {
        for (descriptors, expect) in [(65_536, 63_488), (3_000, 1_500), (1_024, 512)] {
            assert_eq!(share(descriptors), expect);
        }
    }
}

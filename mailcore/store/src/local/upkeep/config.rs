//! The configuration of the upkeep. Nodes use the default; tests make it faster.

use std::time::Duration;

use super::super::pack::PACK_OCTETS_MAX;

/// Pace and bounds of the upkeep.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepConfig {
    /// Longest pause between two rounds of the upkeep. Default 1 s.
    pub every: Duration,
    /// Shortest time that a body is kept after its last message was expunged, for running reads. Default 5 s; most
    /// bodies are removed within twice that.
    pub grace: Duration,
    /// Size at which a pack is full, octets. Default 256 MiB.
    pub pack_octets_max: u64,
    /// Highest rate at which compaction copies live bodies, octets per second. Default 32 MiB: a sixth of what a small
    /// disk writes. A body that needs a longer pause than `every` at this rate exceeds it.
    pub copied_octets_per_second: u64,
    /// Octets of inline bodies that an idle shard may keep. Default 1 MiB, so that a single body is not moved alone.
    pub inline_octets_kept: u64,
    /// Octets of free pages that a database may keep; a quarter of its size if that is more. Default 16 MiB: inline
    /// bodies use them again.
    pub free_octets_kept: u64,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            grace: Duration::from_secs(5),
            pack_octets_max: PACK_OCTETS_MAX,
            copied_octets_per_second: 32 * 1024 * 1024,
            inline_octets_kept: 1024 * 1024,
            free_octets_kept: 16 * 1024 * 1024,
        }
    }
}

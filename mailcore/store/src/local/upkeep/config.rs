//! What a site, or a test, can set of the upkeep.

use std::time::Duration;

use super::super::pack::PACK_OCTETS_MAX;

/// How a store does its upkeep.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepConfig {
    /// How often it looks for something to do. Default 1 s.
    pub every: Duration,
    /// How long a body is kept after its last message was expunged, for those who are reading it. Default 5 s; up to twice.
    pub grace: Duration,
    /// Octets at which a pack is full. Default 256 MiB.
    pub pack_octets_max: u64,
    /// Octets of live bodies that compaction copies in a second. Default 32 MiB: a sixth of what a small disk writes.
    pub copied_octets_per_second: u64,
    /// Octets of inline bodies that a shard may keep while nothing else happens. Default 1 MiB: a body that comes alone is not
    /// moved alone.
    pub inline_octets_kept: u64,
    /// Octets of free pages that a database may keep. Default 16 MiB: inline bodies come and go in them.
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

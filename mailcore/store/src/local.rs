//! The local engine: SQLite shards with one committer thread each, bodies in append-only packs.

/// Where and how.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The store's own folder; made when missing.
    pub folder: std::path::PathBuf,
    /// Shards made at first start; kept afterwards. Default 4.
    pub shards: u8,
}

/// The embedded engine.
pub struct LocalStore {}

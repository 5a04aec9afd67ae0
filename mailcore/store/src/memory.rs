//! The memory engine: the model that the others are held against.

/// Keeps everything in memory, loses it with the process.
#[derive(Default)]
pub struct MemoryStore {}

//! The state of the program's files after a power cut, a disk failure or a full disk.
//!
//! A *run* makes a random history under the file layer of `shim.c`, in one process (`bin/history.rs`) or in several,
//! one after the other. The layer records every call that changes the disk, and the marks of each step begun or
//! answered. From the record, [`disk`] computes the possible states after a power cut at any call; each such *crash
//! state* is written into a folder, opened by the program, and compared with a model of the acknowledged steps
//! ([`store`], [`directory`]). See `docs/decisions/0014-fault-layer.md`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

pub mod directory;
pub mod disk;
pub mod mark;
pub mod record;
pub mod run;
pub mod store;

//! The state of the program's files after a power cut, a disk failure or a full disk.
//!
//! A *run* performs a random history of steps in one process (`bin/history.rs`), or in several, one after the other.
//! Below the process, the file layer of `shim.c` records every call that changes the disk. The process marks in the
//! same record when a step begins and when it is answered. From the record, [`disk`] computes states that a power cut
//! at any call may leave. A random sample of these *crash states* is checked: each is written into a folder, opened by
//! the program, and compared with a model of the acknowledged steps ([`store`], [`directory`]). See
//! `docs/decisions/0014-fault-layer.md`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

pub mod directory;
pub mod disk;
pub mod mark;
pub mod record;
pub mod run;
pub mod store;

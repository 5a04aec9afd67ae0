//! What a power cut, a failing disk and a full disk leave of the program's files.
//!
//! A *run* is one process (`bin/history.rs`) that makes a random history under the file layer of `shim.c`. The layer records every call that
//! changes the disk, and the marks with which the process says what it has begun and what was acknowledged. From the record, [`disk`] works out
//! what a power cut after any call could have left; each such *crash state* is put into a folder, opened by the program as it is, and compared
//! with a model of what was acknowledged ([`store`], [`directory`]). `docs/decisions/0014-fault-layer.md` has the reasons.

#![allow(clippy::unwrap_used, clippy::panic)] // a tool of tests: what is not as expected ends the test

pub mod directory;
pub mod disk;
pub mod mark;
pub mod record;
pub mod run;
pub mod store;

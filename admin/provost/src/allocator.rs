//! The allocator, told to give memory back at once.
//!
//! What password hashing, a refresh of the View and an import had for a moment must not stay with the process: measured with
//! 35,500 people loaded, 99 MB resident instead of 137 MB. mimalloc takes these settings only from the environment, and
//! reads it before `main`; setting them from inside would need `unsafe`. So a server starts itself again with them.

use std::os::unix::process::CommandExt;
use std::process::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SETTINGS: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// Makes sure that this process runs with the settings: the same process id, arguments and open files. What the operator
/// has set stays. When it cannot be done the process goes on as it is, only larger.
pub(crate) fn settle() {
    let missing: Vec<_> = SETTINGS.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if missing.is_empty() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let error = Command::new(program).args(std::env::args_os().skip(1)).envs(missing).exec();
        eprintln!("provost: going on without the allocator's settings: {error}");
    }
}

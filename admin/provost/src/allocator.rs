//! Configures the allocator to return memory at once.
//!
//! The process must not keep the memory of password hashing, a refresh of the View or an import: with these options
//! and 35,500 people loaded, 99 MB were resident instead of 137 MB. mimalloc reads its options from the environment
//! before `main`; setting them later would need `unsafe`. A server therefore executes itself again with these
//! variables.

use std::os::unix::process::CommandExt;
use std::process::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPTIONS: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// The running program, even when its file has since been replaced or removed: children that a server starts after an
/// upgrade must not fail or have another version (proc(5)).
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Ensures that this process runs with the options, by executing it again with the same process id, arguments and open
/// files. Variables set by the operator stay. If the execution fails, the process continues and only uses more memory.
pub(crate) fn ensure_options() {
    let missing: Vec<_> = OPTIONS.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if missing.is_empty() {
        // Started through OWN_PROGRAM, the process is named `exe` by the kernel; restore the name for ps and top.
        let _ = std::fs::write("/proc/self/comm", "provost");
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "provost".into());
    let error = Command::new(OWN_PROGRAM).arg0(name).args(arguments).envs(missing).exec();
    err!("provost: continuing without the allocator's options: {OWN_PROGRAM}: {error}");
}

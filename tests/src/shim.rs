//! Compiles the file layer that injects faults, and preloads it into a process: see `tests/faults/shim.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use crate::node::checkout;

/// The compiled layer, built once for each version of its source.
pub fn library() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|why| anyhow::anyhow!("{why}"))
}

fn build() -> anyhow::Result<PathBuf> {
    let source = checkout().join("tests/faults/shim.c");
    let text = fs::read(&source).with_context(|| source.display().to_string())?;
    // FNV-1a: the name changes with the source, so that no test uses a layer built from another version.
    let hash = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3));
    let library = std::env::temp_dir().join(format!("provost-fault-layer-{hash:016x}.so"));
    if library.exists() {
        return Ok(library);
    }
    let draft = tempfile::Builder::new().prefix("provost-fault-layer").suffix(".so").tempfile()?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-Wall", "-Wno-nonnull-compare", "-shared", "-fPIC", "-o"])
        .arg(draft.path())
        .arg(&source)
        .arg("-ldl");
    let ran = gcc.output().context("gcc")?;
    ensure!(ran.status.success(), "gcc: {}", String::from_utf8_lossy(&ran.stderr));
    draft.persist(&library)?;
    Ok(library)
}

/// Preloads the layer into a command. Only files below `root` are affected. `root` must exist: without it, the layer
/// does nothing.
pub fn preload(command: &mut Command, root: &Path) -> anyhow::Result<()> {
    command.env("LD_PRELOAD", library()?).env("PROVOST_FAULT_ROOT", root);
    Ok(())
}

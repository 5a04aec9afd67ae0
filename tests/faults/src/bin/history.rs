//! Performs the steps that a seed determines on the store or the directory, or continues with them after a crash.
//!
//! `history store|directory FOLDER SEED LIFE [FIRST-STEP-OF-EACH-CALLER...]`. LIFE is the number of the process start,
//! from 0. The directory has one caller.
#![allow(missing_docs)]

use std::path::PathBuf;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [subject, folder, seed, life, from @ ..] = arguments.as_slice() else {
        bail!("usage: history store|directory FOLDER SEED LIFE [FIRST-STEP-OF-EACH-CALLER...]")
    };
    let from = from.iter().map(|step| step.parse()).collect::<Result<Vec<usize>, _>>().context("first steps")?;
    let (folder, seed, life) = (PathBuf::from(folder), seed.parse()?, life.parse()?);
    match subject.as_str() {
        "store" => provost_faults::store::make_history(&folder, seed, life, &from),
        "directory" => provost_faults::directory::make_history(&folder, seed, life, from.first().copied().unwrap_or(0)),
        other => bail!("unknown subject '{other}': 'store' or 'directory'"),
    }
}

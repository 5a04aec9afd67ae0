//! Makes one random history: `history SUBJECT FOLDER SEED LIFE [FIRST-STEP-OF-EACH-CALLER...]`.
#![allow(missing_docs)]

use std::path::PathBuf;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [subject, folder, seed, life, from @ ..] = arguments.as_slice() else {
        bail!("history SUBJECT FOLDER SEED LIFE")
    };
    let from = from.iter().map(|step| step.parse()).collect::<Result<Vec<usize>, _>>().context("first steps")?;
    let (folder, seed, life) = (PathBuf::from(folder), seed.parse()?, life.parse()?);
    match subject.as_str() {
        "store" => provost_faults::store::live(&folder, seed, life, &from),
        "directory" => provost_faults::directory::live(&folder, seed, life, from.first().copied().unwrap_or(0)),
        other => bail!("{other}"),
    }
}

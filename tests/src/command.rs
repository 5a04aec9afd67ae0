//! Runs external programs and `provost` itself to their end.

use std::process::{Command, Stdio};

use anyhow::Context;

/// How a program ended, and its output.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` when the program ended by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a program to its end, without input.
pub fn run(command: &mut Command) -> anyhow::Result<Ran> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Ran {
    /// The standard output of a program; an error unless it exited with 0.
    pub fn good(self) -> anyhow::Result<String> {
        anyhow::ensure!(self.code == Some(0), "exit {:?}\n{}\n{}", self.code, self.out, self.err);
        Ok(self.out)
    }
}

/// Runs `provost --config FILE ...` with the node's configuration file.
pub fn provost(node: &crate::Node, arguments: &[&str]) -> anyhow::Result<Ran> {
    run(Command::new(crate::node::binary()).arg("--config").arg(node.config()).args(arguments))
}

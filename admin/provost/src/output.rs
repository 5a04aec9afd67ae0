//! What commands print: text for people, JSON for programs.

use std::io::{ErrorKind, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::exit::Exit;

/// A line on standard output, as `println!`, which panics when the reader has gone (`provost settings show | head`).
macro_rules! out {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Writes a line. A reader that has gone wants no more of it, and the work goes on; any other failure (a full disk) ends the
/// program with exit code 1, for what it printed is not whole.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("provost: standard output: {error}");
        std::process::exit(Exit::Failed as i32);
    }
}

/// Prints results to standard output.
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// `value` as JSON, or what `text` makes of it.
    pub(crate) fn show<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T)) -> anyhow::Result<()> {
        if self.json {
            out!("{}", serde_json::to_string_pretty(value)?);
        } else {
            text(value);
        }
        Ok(())
    }

    /// A line for people only.
    pub(crate) fn line(&self, text: &str) {
        if !self.json {
            out!("{text}");
        }
    }
}

/// The list in a field of a JSON answer; empty when there is none.
pub(crate) fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Text that a peer or a writer of the directory chose, without control characters: nothing of it may steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Progress of long work on standard error: a bar on a terminal, else lines, of JSON where results are.
pub(crate) struct ProgressLine {
    bar: Option<ProgressBar>,
    json: bool,
    told: usize,
}

/// Lines come at every so many percent.
const TOLD_PERCENT: usize = 10;

impl ProgressLine {
    pub(crate) fn new(print: &Printer, total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, json: print.json, told: 0 }
    }

    pub(crate) fn set(&mut self, done: usize, total: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None => {
                let percent = (done * 100).checked_div(total).unwrap_or(100);
                if percent >= self.told + TOLD_PERCENT {
                    self.told = percent - percent % TOLD_PERCENT;
                    match self.json {
                        true => eprintln!("{{\"done\":{done},\"total\":{total}}}"),
                        false => eprintln!("{done} of {total}"),
                    }
                }
            }
        }
    }

    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

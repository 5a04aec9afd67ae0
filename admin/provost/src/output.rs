//! Output of commands: text for people, JSON for programs.

use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use provost_provision::{Language, Words};
use serde_json::Value;

use crate::exit::Exit;

/// Prints a line to standard output. `println!` panics when the reader has closed (`provost settings show | head`).
macro_rules! out {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Prints a line to standard error. `eprintln!` panics when the reader has closed, which would end an import halfway.
macro_rules! err {
    ($($text:tt)*) => { $crate::output::error_line(format_args!($($text)*)) };
}

/// Writes a line to standard error; a line that cannot be written is lost.
pub(crate) fn error_line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes a line to standard output. A closed reader is ignored and the work continues; any other failure (a full disk) ends the program
/// with exit code 1, because the output is incomplete.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        err!("provost: standard output: {error}");
        std::process::exit(Exit::Failed as i32);
    }
}

/// Prints results to standard output.
pub(crate) struct Printer {
    json: bool,
    /// Language of plans, histories and explanations.
    language: Language,
}

/// Variables that state the language of messages, in the order in which they count (POSIX, XBD §8.2).
const LOCALE_VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// The language of the environment's locale; English for any other than French.
pub(crate) fn language_of_locale() -> Language {
    let values = LOCALE_VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
    let stated = values.into_iter().find(|value| !value.is_empty());
    stated.and_then(|value| Language::parse(&value)).unwrap_or_default()
}

impl Printer {
    pub(crate) fn new(json: bool, language: Language) -> Self {
        Self { json, language }
    }

    /// Words in the language of the command, with the days of `zone`.
    pub(crate) fn words(&self, zone: &TimeZone) -> Words {
        Words::new(self.language, zone.clone())
    }

    /// Whether the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints `value` as JSON in JSON mode; otherwise calls `text`, which prints `value` for people.
    pub(crate) fn show<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T)) -> anyhow::Result<()> {
        if self.json {
            out!("{}", serde_json::to_string_pretty(value)?);
        } else {
            text(value);
        }
        Ok(())
    }

    /// Prints one of many values: as one JSON line in JSON mode; otherwise calls `text`.
    pub(crate) fn show_line<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T)) -> anyhow::Result<()> {
        if self.json {
            out!("{}", serde_json::to_string(value)?);
        } else {
            text(value);
        }
        Ok(())
    }

    /// Prints a line, without control characters; prints nothing in JSON mode.
    pub(crate) fn line(&self, text: &str) {
        if !self.json {
            out!("{}", printable(text));
        }
    }
}

/// Standard output for lists of any length: buffered, and told to end when its reader has closed.
pub(crate) struct ListOutput(BufWriter<Stdout>);

impl ListOutput {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, std::io::stdout()))
    }

    /// Writes text as it is. Breaks when the reader has closed: nobody waits for the rest. Any other failure (a full
    /// disk) ends the program with exit code 1, because the output is incomplete.
    pub(crate) fn write(&mut self, text: &str) -> ControlFlow<()> {
        flow(self.0.write_all(text.as_bytes()))
    }

    /// Writes what is buffered.
    pub(crate) fn flush(&mut self) -> ControlFlow<()> {
        flow(self.0.flush())
    }
}

fn flow(written: std::io::Result<()>) -> ControlFlow<()> {
    match written {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ControlFlow::Break(()),
        Err(error) => {
            err!("provost: standard output: {error}");
            std::process::exit(Exit::Failed as i32);
        }
    }
}

/// The elements of the array `name` in a JSON answer; empty when there is no such array.
pub(crate) fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Removes control characters from text that a peer or a writer of the directory chose, so that it cannot steer the
/// terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A number with its noun: "1 change", "2 changes".
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Shows the progress of long work on standard error: as a bar on a terminal, otherwise as lines. In JSON mode each
/// line is a JSON object.
pub(crate) struct ProgressDisplay {
    bar: Option<ProgressBar>,
    json: bool,
    /// The share done at the last line, in percent, rounded down to a multiple of [`STEP_PERCENT`].
    printed_percent: usize,
}

/// Percent between two progress lines: at most ten lines are few enough for a log and enough to estimate the end.
const STEP_PERCENT: usize = 10;

impl ProgressDisplay {
    pub(crate) fn new(print: &Printer, total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, json: print.json, printed_percent: 0 }
    }

    pub(crate) fn set(&mut self, done: usize, total: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None => {
                let percent = (done * 100).checked_div(total).unwrap_or(100);
                if percent >= self.printed_percent + STEP_PERCENT {
                    self.printed_percent = percent - percent % STEP_PERCENT;
                    match self.json {
                        true => err!("{{\"done\":{done},\"total\":{total}}}"),
                        false => err!("{done} of {total}"),
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

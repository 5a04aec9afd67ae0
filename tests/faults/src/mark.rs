//! The progress of a history: one line for each step that begins, and one for its outcome.
//!
//! The lines go to a file in the watched folder, so that they appear in the record between the calls to the disk. The
//! crash states do not contain this file: the lines are what a client on another machine knows, and that machine does
//! not crash.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// The marks file, as a path below the watched folder.
pub const FILE: &str = "/marks";

/// Progress of one step of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepProgress {
    /// The step is about to be requested.
    Begun,
    /// Acknowledged, or refused by the rules of the engine; with the answer or a digest of it.
    Answered(String),
    /// The step certainly had no effect.
    NotDone,
    /// The step may have had an effect.
    Unknown,
}

/// A line of the file.
#[derive(Clone, Debug)]
pub struct HistoryMark {
    /// The index of the caller.
    pub caller: usize,
    /// The index of the step among the caller's steps.
    pub step: usize,
    /// The number of the process start, from 0.
    pub life: usize,
    /// The progress of the step.
    pub progress: StepProgress,
}

impl HistoryMark {
    /// Reads a line.
    pub fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap();
        let progress = match words[3] {
            "begun" => StepProgress::Begun,
            "answered" => StepProgress::Answered(words[4].to_owned()),
            "not-done" => StepProgress::NotDone,
            "unknown" => StepProgress::Unknown,
            other => panic!("{other}"),
        };
        Self { life: number(0), caller: number(1), step: number(2), progress }
    }
}

/// The marks file of a history.
pub struct Marks {
    file: Mutex<File>,
    life: usize,
}

impl Marks {
    /// Opens the file in the watched folder.
    pub fn open(root: &Path, life: usize) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(root.join(FILE.trim_start_matches('/')))?;
        Ok(Self { file: Mutex::new(file), life })
    }

    /// Writes one line with one call.
    pub fn record(&self, caller: usize, step: usize, progress: &StepProgress) {
        let text = match progress {
            StepProgress::Begun => "begun".to_owned(),
            StepProgress::Answered(digest) => format!("answered {digest}"),
            StepProgress::NotDone => "not-done".to_owned(),
            StepProgress::Unknown => "unknown".to_owned(),
        };
        let line = format!("{} {caller} {step} {text}\n", self.life);
        // The fault layer (`shim.c`) lets every write to the marks file succeed. A lost mark could hide a fault.
        self.file.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

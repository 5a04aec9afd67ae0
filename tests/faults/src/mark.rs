//! What a history says while it goes on: one line for each step begun and each outcome.
//!
//! The lines go to a file in the watched folder, so that they stand in the record between the calls to the disk. They are no part
//! of the crash states: whoever got the answer is on another machine.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// Name of the file.
pub const FILE: &str = "/marks";

/// What is said of one step of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is about to be asked for.
    Begun,
    /// It was acknowledged, or refused for a reason of its own; with a digest of the answer.
    Answered(String),
    /// It is certainly not done.
    NotDone,
    /// It may be done.
    Unknown,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Who asked.
    pub caller: usize,
    /// Which of its steps.
    pub step: usize,
    /// Which start of the process.
    pub life: usize,
    /// What is said.
    pub said: Said,
}

impl Mark {
    /// Reads a line.
    pub fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap();
        let said = match words[3] {
            "begun" => Said::Begun,
            "answered" => Said::Answered(words[4].to_owned()),
            "not-done" => Said::NotDone,
            "unknown" => Said::Unknown,
            other => panic!("{other}"),
        };
        Self { life: number(0), caller: number(1), step: number(2), said }
    }
}

/// Where a history writes its marks.
pub struct Marks {
    file: Mutex<File>,
    life: usize,
}

impl Marks {
    /// In the watched folder.
    pub fn open(root: &Path, life: usize) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(root.join(FILE.trim_start_matches('/')))?;
        Ok(Self { file: Mutex::new(file), life })
    }

    /// Writes one line by one call.
    pub fn say(&self, caller: usize, step: usize, said: &Said) {
        let words = match said {
            Said::Begun => "begun".to_owned(),
            Said::Answered(digest) => format!("answered {digest}"),
            Said::NotDone => "not-done".to_owned(),
            Said::Unknown => "unknown".to_owned(),
        };
        let line = format!("{} {caller} {step} {words}\n", self.life);
        // The layer lets marks through whatever the plan; a mark that is lost would be a false alarm, not a false peace.
        let _ = self.file.lock().unwrap().write_all(line.as_bytes());
    }
}

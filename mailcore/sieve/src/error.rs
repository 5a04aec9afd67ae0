//! Errors in a script.

/// The script is invalid, or failed when it ran. RFC 5228 §2.10.6: the caller keeps the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SieveError {
    /// The number of the line, from one.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

impl SieveError {
    pub(crate) fn new(line: usize, problem: impl Into<String>) -> Self {
        Self { line, problem: problem.into() }
    }
}

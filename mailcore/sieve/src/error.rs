//! What is wrong with a script.

/// The script is wrong, with its line; or it went past a bound.
///
/// RFC 5228 §2.10.6: the caller keeps the message when a script fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {rule}")]
pub struct SieveError {
    /// Counted from one.
    pub line: usize,
    /// What was broken.
    pub rule: String,
}

impl SieveError {
    pub(crate) fn new(line: usize, rule: impl Into<String>) -> Self {
        Self { line, rule: rule.into() }
    }
}

//! Errors in a script.

/// The script is invalid, or exceeded a bound at run time. Holds the line and the broken rule.
///
/// RFC 5228 §2.10.6: when a script fails, the caller keeps the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {rule}")]
pub struct SieveError {
    /// The line number, from one.
    pub line: usize,
    /// The broken rule.
    pub rule: String,
}

impl SieveError {
    pub(crate) fn new(line: usize, rule: impl Into<String>) -> Self {
        Self { line, rule: rule.into() }
    }
}

//! What travels with a message and is not in it.

use crate::Path;

/// The SMTP envelope.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Envelope {
    /// `None` is `<>`.
    pub reverse_path: Option<Path>,
    /// At least one.
    pub recipients: Vec<Path>,
    /// BODY=8BITMIME was given.
    pub eight_bit: bool,
}

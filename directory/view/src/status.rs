//! How fresh the View is.

use jiff::Timestamp;

/// How fresh the View is.
#[derive(Clone, Debug)]
pub struct Status {
    /// A complete state was read once (now or before a restart).
    pub complete: bool,
    /// A live session to a ready server holds, so that "not there" can be believed.
    pub current: bool,
    /// When the last contact was.
    pub last_contact: Option<Timestamp>,
    /// Which server it follows.
    pub source: Option<String>,
    /// People in the snapshot.
    pub people: usize,
    /// Why a refresh was parked, when one was.
    pub parked: Option<String>,
}

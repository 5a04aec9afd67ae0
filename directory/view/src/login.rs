//! What came of a login.

use std::sync::Arc;

use crate::Person;

/// What came of a login.
#[derive(Clone, Debug)]
pub enum Login {
    /// This is the person, and they may log in.
    Accepted(Arc<Person>),
    /// Wrong name or password, or not allowed to log in: not told which.
    Refused,
    /// Cannot be verified now.
    Unavailable,
}

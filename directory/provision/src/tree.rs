//! The containers below the suffix.

use provost_client::{Directory, DirectoryError};

use crate::Settings;

/// Makes the suffix entry, the containers and the domain entry where they are missing; returns the DNs made.
pub async fn ensure_tree(directory: &Directory, settings: &Settings) -> Result<Vec<String>, DirectoryError> {
    let _ = (directory, settings);
    todo!("H3")
}

//! Sources that follow another directory: reading one whole, and what this node knows of it.

mod runs;
mod state;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use provost_credential::Secret;
use provost_provision::{FollowedAccess, FollowedDirectory, SourceProfile, check_entries};
use provost_store::StateStore;

use crate::config::{Config, read_secret};

pub(crate) use runs::FollowedSources;
use state::{FollowedState, FollowedStates};

/// Folder in the data folder with the passwords for followed directories.
const PASSWORD_FOLDER: &str = "sources";

/// The directory of a source, with what this node adds to its profile.
fn open(profile: &SourceProfile, data: &Path, ca_file: Option<&Path>) -> anyhow::Result<FollowedDirectory> {
    let password = match &profile.followed.password_file {
        Some(name) => {
            let file = data.join(PASSWORD_FOLDER).join(name);
            let text = read_secret(&file).context("the password for the followed directory")?;
            anyhow::ensure!(!text.is_empty(), "{}: the first line is empty, and must be the password", file.display());
            Some(Secret::new(text))
        }
        None => None,
    };
    let access = FollowedAccess { password, ca_file: ca_file.map(Path::to_owned) };
    Ok(FollowedDirectory::new(profile, access)?)
}

/// Reads the whole directory of a source, as a file. `stated` is the number of its entries that the caller vouches for.
pub(crate) async fn read_whole(
    profile: &SourceProfile,
    config: &Config,
    state: &Arc<dyn StateStore>,
    stated: Option<usize>,
) -> anyhow::Result<Vec<u8>> {
    let now = Timestamp::now();
    let known = FollowedStates::new(state.clone()).get(profile, now).await?;
    let (file, url) = open(profile, &config.node.data, config.directory.ca_file.as_deref())?.read().await?;
    check_entries(file.len(), known.entries, stated)?;
    Ok(file.into_ldif(&heading(profile, &url, now)))
}

/// Records that a whole read of `entries` entries was imported by hand. The node goes on from its own cookie.
pub(crate) async fn record_whole(
    profile: &SourceProfile,
    state: &Arc<dyn StateStore>,
    entries: usize,
) -> anyhow::Result<()> {
    let (states, now) = (FollowedStates::new(state.clone()), Timestamp::now());
    let known = states.get(profile, now).await?;
    states.put(profile, FollowedState { entries: Some(entries), ..known }, now).await
}

/// The first line of the file that is made of a whole read.
fn heading(profile: &SourceProfile, url: &str, now: Timestamp) -> String {
    format!("source {}, read from {url} at {now:.0}", profile.name)
}

/// How far the directory of a source has been read, for people.
pub(crate) async fn progress(
    profile: &SourceProfile,
    state: &Arc<dyn StateStore>,
) -> anyhow::Result<serde_json::Value> {
    let known = FollowedStates::new(state.clone()).get(profile, Timestamp::now()).await?;
    Ok(serde_json::json!({
        "complete_read": known.complete_at.map(|at| at.to_string()),
        "entries": known.entries,
        "last_change": known.changed_at.map(|at| at.to_string()),
        "failure": known.failure.map(|(at, why)| format!("{at:.0}: {why}")),
    }))
}

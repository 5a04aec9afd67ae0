//! Reads the directory of a source of the format `ldap`, whole or change by change (RFC 4533).
//!
//! Nothing here says that somebody is gone. A whole read names everybody whom the directory has; a change names only
//! what was added or modified. An entry that is deleted, or that the filter no longer selects, is only counted: the next
//! whole read finds it absent. A directory that fails, that has no contextCSN, or that has lost most of its entries is
//! unavailable.

mod content;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use provost_client::{
    Cookie, Directory, DirectoryConfig, DirectoryError, ServerAddress, ServerRole, SyncContent, SyncEvent, SyncStream,
};
use provost_credential::Secret;
use provost_entry::Dn;
use tokio::time::timeout_at;

use crate::FileError;
use crate::source::{FileFormat, FollowedFile, ProfileError, SourceProfile};
use content::FollowedContent;
pub use content::{FollowedChanges, FollowedStep};

/// Longest time to connect to a server of a followed directory; negotiating TLS may take as long again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for one operation, and between two entries of a refresh.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest duration of a refresh, however steadily its entries arrive.
const REFRESH_TIME_MAX: Duration = Duration::from_secs(1800);
/// A stream without traffic for this long is probed, because RFC 4533 has no heartbeat.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// A whole read with fewer entries than this part of the last one, in percent, is taken for that of a directory that is
/// being filled, or whose access rules hide entries. A smaller loss is left to the guard, which counts people.
const ENTRIES_PERCENT_MIN: usize = 75;
/// A loss of so few entries is never taken for that.
const ENTRIES_LOST_MIN: usize = 10;

/// Why a followed directory was not read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FollowError {
    /// The profile cannot work.
    #[error("the profile of the source cannot be used: {0}")]
    Profile(#[from] ProfileError),
    /// The directory is unavailable or refuses.
    #[error("the followed directory cannot be read: {0}")]
    Directory(DirectoryError),
    /// What it has exceeds a bound of files.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has far fewer entries than at the last whole read.
    #[error(
        "the followed directory has {found} entries, and had {before} at the last complete read: it may be half-filled, or its access rules may have changed; nothing was read. If the number is right, read it by hand and state it: provost import --source NAME --rows {found}"
    )]
    HalfFilled {
        /// Entries now.
        found: usize,
        /// Entries at the last whole read.
        before: usize,
    },
    /// It does not have the number of entries that the caller stated.
    #[error("{stated} entries are stated, and the followed directory has {found}: nothing was read")]
    Count {
        /// Entries now.
        found: usize,
        /// Entries as stated.
        stated: usize,
    },
}

impl FollowError {
    fn late(what: &str) -> Self {
        Self::Directory(DirectoryError::Unavailable(what.to_owned()))
    }

    /// Whether a later attempt may succeed without anybody's help.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Directory(error) => matches!(error, DirectoryError::Unavailable(_) | DirectoryError::Unknown(_)),
            Self::HalfFilled { .. } => true,
            Self::Profile(_) | Self::File(_) | Self::Count { .. } => false,
        }
    }
}

/// What a node adds to a profile to reach the directory.
#[derive(Clone, Debug, Default)]
pub struct FollowedAccess {
    /// Password of the profile's `bind-dn`.
    pub password: Option<Secret>,
    /// PEM file of trusted CA certificates; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
}

/// The directory of a source.
#[derive(Clone)]
pub struct FollowedDirectory {
    profile: SourceProfile,
    directory: Directory,
    base: Dn,
}

impl FollowedDirectory {
    /// Makes the client, without connecting yet.
    pub fn new(profile: &SourceProfile, access: FollowedAccess) -> Result<Self, FollowError> {
        profile.check()?;
        let origin = &profile.followed;
        let (FileFormat::Ldap, Some(base)) = (profile.format, &origin.base) else {
            let rule = "only a source of the format ldap is read without a file".to_owned();
            return Err(ProfileError { line: "format".to_owned(), rule }.into());
        };
        let server = |server: &crate::source::FollowedServer| ServerAddress {
            url: server.url.clone(),
            // A provider in the client's sense: its contextCSN is found above the base when a search begins.
            role: ServerRole::Provider,
            start_tls: server.start_tls,
        };
        let directory = Directory::new(DirectoryConfig {
            servers: origin.servers.iter().map(server).collect(),
            bind_dn: origin.bind_dn.as_ref().map(|dn| dn.as_str().to_owned()).unwrap_or_default(),
            bind_password: access.password.as_ref().map(Secret::reveal).unwrap_or_default().to_owned(),
            suffix: base.clone(),
            ca_file: access.ca_file,
            connect_timeout: CONNECT_TIMEOUT,
            operation_timeout: OPERATION_TIMEOUT,
        });
        Ok(Self { profile: profile.clone(), directory, base: base.clone() })
    }

    /// Reads the whole directory once (refreshOnly). The URL is that of the server.
    pub async fn read(&self) -> Result<(FollowedFile, String), FollowError> {
        let mut stream = self.stream(None, false).await?;
        loop {
            match stream.next().await? {
                FollowedStep::Whole => break,
                FollowedStep::StartOver => return Err(FollowError::late("the server wants the read to begin again")),
                FollowedStep::Changed | FollowedStep::Nothing | FollowedStep::Saveable(_) => {}
            }
        }
        Ok((stream.take().file, stream.url().to_owned()))
    }

    /// Follows the directory (refreshAndPersist), from `cookie` or from the beginning.
    pub async fn follow(&self, cookie: Option<Cookie>) -> Result<FollowedStream, FollowError> {
        self.stream(cookie, true).await
    }

    async fn stream(&self, cookie: Option<Cookie>, persist: bool) -> Result<FollowedStream, FollowError> {
        let content = FollowedContent::new(&self.profile, cookie.is_none());
        let search = SyncContent {
            base: self.base.clone(),
            filter: self.profile.followed.filter(),
            attributes: content.attributes().to_vec(),
            persist,
        };
        let stream = self.directory.follow(&search, cookie).await.map_err(FollowError::Directory)?;
        let heard = Instant::now();
        Ok(FollowedStream { stream, content, refresh_end: Some(heard + REFRESH_TIME_MAX), heard })
    }
}

/// A running search of a followed directory.
pub struct FollowedStream {
    stream: SyncStream,
    content: FollowedContent,
    /// When the refresh must be complete; `None` when it is.
    refresh_end: Option<Instant>,
    /// When the server last showed that it is alive. Kept here, because callers cancel [`FollowedStream::next`].
    heard: Instant,
}

impl FollowedStream {
    /// URL of the server.
    pub fn url(&self) -> &str {
        self.stream.url()
    }

    /// Waits for the next event and takes it in. After an error or [`FollowedStep::StartOver`] the stream has ended.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<FollowedStep, FollowError> {
        let event = match self.refresh_end {
            Some(end) if end < Instant::now() => return Err(FollowError::late("the refresh takes too long")),
            Some(_) => match timeout_at((self.heard + OPERATION_TIMEOUT).into(), self.stream.next()).await {
                Ok(event) => event.map_err(FollowError::Directory)?,
                Err(_) => return Err(FollowError::late("the server stopped in the middle of a refresh")),
            },
            None => self.next_change().await?,
        };
        self.heard = Instant::now();
        let step = self.content.apply(event)?;
        if matches!(step, FollowedStep::Whole) {
            self.refresh_end = None;
        }
        Ok(step)
    }

    async fn next_change(&mut self) -> Result<SyncEvent, FollowError> {
        loop {
            match timeout_at((self.heard + PROBE_INTERVAL).into(), self.stream.next()).await {
                Ok(event) => return event.map_err(FollowError::Directory),
                Err(_) => {
                    self.stream.probe().await.map(drop).map_err(FollowError::Directory)?;
                    self.heard = Instant::now();
                }
            }
        }
    }

    /// Takes what has arrived since the last call.
    pub fn take(&mut self) -> FollowedChanges {
        self.content.take()
    }

    /// Number of entries that have arrived since the last [`FollowedStream::take`].
    pub fn waiting(&self) -> usize {
        self.content.waiting()
    }
}

/// Refuses a whole read that looks like that of a directory in trouble. `before` is the number of entries of the last
/// whole read; `stated` is the number that a person vouches for.
pub fn check_entries(found: usize, before: Option<usize>, stated: Option<usize>) -> Result<(), FollowError> {
    match (stated, before) {
        (Some(stated), _) if stated == found => Ok(()),
        (Some(stated), _) => Err(FollowError::Count { found, stated }),
        (None, Some(before)) => {
            let is_far_below = found.saturating_mul(100) < before.saturating_mul(ENTRIES_PERCENT_MIN);
            let is_empty = found == 0 && before > 0;
            if is_empty || (is_far_below && before - found >= ENTRIES_LOST_MIN) {
                return Err(FollowError::HalfFilled { found, before });
            }
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_has_lost_most_entries_is_unavailable() {
        for (found, before, stated, is_good) in [
            (100, None, None, true),
            (0, None, None, true), // An empty file is refused later, whatever was before.
            (100, Some(100), None, true),
            (75, Some(100), None, true),
            (74, Some(100), None, false),
            (74, Some(100), Some(74), true),
            (74, Some(100), Some(75), false),
            (0, Some(5), None, false),
            (1, Some(10), None, true), // The guard counts the people of such a small source.
            (1000, Some(10), None, true),
        ] {
            assert_eq!(check_entries(found, before, stated).is_ok(), is_good, "{found} {before:?} {stated:?}");
        }
    }
}

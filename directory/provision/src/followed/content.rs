//! What has arrived from a followed directory and is not imported yet. Uses neither socket nor clock.

use provost_client::{Cookie, SyncEvent};
use uuid::Uuid;

use crate::FileError;
use crate::source::{FollowedFile, SourceProfile};

/// The consequence of one event.
#[derive(Debug)]
pub enum FollowedStep {
    /// Nothing to import.
    Nothing,
    /// An entry waits to be imported.
    Changed,
    /// The refresh is complete.
    Whole,
    /// What has arrived so far may be imported, and the cookie saved after that.
    Saveable(Cookie),
    /// The provider cannot resume from the cookie: follow again without one.
    StartOver,
}

/// Entries that have arrived.
#[derive(Debug)]
pub struct FollowedChanges {
    /// Added and modified entries.
    pub file: FollowedFile,
    /// Number of entries that are deleted, or that the filter no longer selects.
    pub gone: usize,
    /// Whether the entries are all that the directory has.
    pub is_whole: bool,
}

/// The events of one stream, gathered.
pub(super) struct FollowedContent {
    empty: FollowedFile,
    file: FollowedFile,
    gone: usize,
    /// Whether the entries since the last [`FollowedContent::take`] are all that the directory has.
    from_nothing: bool,
    is_refreshing: bool,
}

impl FollowedContent {
    pub(super) fn new(profile: &SourceProfile, from_nothing: bool) -> Self {
        let empty = FollowedFile::new(profile);
        Self { file: empty.clone(), empty, gone: 0, from_nothing, is_refreshing: true }
    }

    pub(super) fn attributes(&self) -> &[String] {
        self.empty.attributes()
    }

    pub(super) fn waiting(&self) -> usize {
        self.file.len()
    }

    pub(super) fn apply(&mut self, event: SyncEvent) -> Result<FollowedStep, FileError> {
        Ok(match event {
            SyncEvent::Put(uuid, entry) => {
                self.file.put(*uuid.as_bytes(), &uuid.to_string(), &entry)?;
                FollowedStep::Changed
            }
            SyncEvent::Present(uuids) => {
                // Without a cookie, a provider sends every entry. One that it only names is one that this client cannot
                // read: it must not count as absent.
                if self.from_nothing && self.is_refreshing {
                    for uuid in uuids {
                        self.file.put_unreadable(*uuid.as_bytes(), &uuid.to_string())?;
                    }
                }
                FollowedStep::Nothing
            }
            SyncEvent::Delete(uuids) => {
                uuids.iter().for_each(|uuid| self.delete(uuid));
                FollowedStep::Nothing
            }
            SyncEvent::RefreshPresentDone => FollowedStep::Nothing,
            SyncEvent::RefreshDone => {
                self.is_refreshing = false;
                FollowedStep::Whole
            }
            SyncEvent::Cookie(cookie) => FollowedStep::Saveable(cookie),
            SyncEvent::RefreshRequired => FollowedStep::StartOver,
        })
    }

    /// An entry that came and went between two imports is not imported.
    fn delete(&mut self, uuid: &Uuid) {
        self.file.remove(uuid.as_bytes());
        self.gone += 1;
    }

    pub(super) fn take(&mut self) -> FollowedChanges {
        let file = std::mem::replace(&mut self.file, self.empty.clone());
        let is_whole = std::mem::take(&mut self.from_nothing);
        FollowedChanges { file, gone: std::mem::take(&mut self.gone), is_whole: is_whole && !self.is_refreshing }
    }
}

#[cfg(test)]
mod tests {
    use provost_entry::{Dn, Entry};

    use super::*;

    fn content(from_nothing: bool) -> FollowedContent {
        let lines = ["format ldap", "server ldap://localhost", "base dc=x", "column person_id uid"];
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        FollowedContent::new(&SourceProfile::parse("hr", &lines).unwrap(), from_nothing)
    }

    fn put(number: u128) -> SyncEvent {
        let uid = number.to_string();
        SyncEvent::Put(Uuid::from_u128(number), Entry::new(Dn::root().child("uid", &uid)).with("uid", uid))
    }

    fn gone(number: u128) -> SyncEvent {
        SyncEvent::Delete(vec![Uuid::from_u128(number)])
    }

    fn play(content: &mut FollowedContent, events: Vec<SyncEvent>) {
        events.into_iter().for_each(|event| drop(content.apply(event).unwrap()));
    }

    #[test]
    fn a_refresh_from_nothing_is_whole_and_what_follows_is_not() {
        let mut content = content(true);
        let unreadable = SyncEvent::Present(vec![Uuid::from_u128(1), Uuid::from_u128(9)]);
        play(&mut content, vec![put(1), put(2), put(3), put(2), gone(3), unreadable, SyncEvent::RefreshDone]);
        let taken = content.take();
        assert_eq!((taken.file.len(), taken.gone, taken.is_whole), (3, 1, true), "1, 2 and the unreadable 9");
        play(&mut content, vec![put(4), put(5), gone(5), gone(1), SyncEvent::Present(vec![Uuid::from_u128(7)])]);
        let taken = content.take();
        assert_eq!((taken.file.len(), taken.gone, taken.is_whole), (1, 2, false));
        assert_eq!(content.waiting(), 0);
    }

    /// Entries that a present phase does not mention are not gone: the next whole read decides.
    #[test]
    fn a_refresh_from_a_cookie_is_never_whole() {
        let mut content = content(false);
        let present = SyncEvent::Present(vec![Uuid::from_u128(1)]);
        play(&mut content, vec![present, put(2), SyncEvent::RefreshPresentDone, SyncEvent::RefreshDone]);
        let taken = content.take();
        assert_eq!((taken.file.len(), taken.gone, taken.is_whole), (1, 0, false));
    }

    #[test]
    fn a_refresh_that_is_not_complete_is_never_whole() {
        let mut content = content(true);
        play(&mut content, vec![put(1)]);
        assert!(!content.take().is_whole);
    }
}

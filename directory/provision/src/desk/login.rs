//! Last logins in the directory, by which policies count inactivity.
//!
//! The mail nodes know each login; the directory is told about once a week for each person. More would change every
//! entry every day, and with it every plan that waits for its approval.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use provost_client::{DirectoryError, LdapSearch, Scope, WriteConditions};
use provost_entry::time::format_generalized;
use provost_entry::{AttributeDescription, Entry, Filter, Modification};
use provost_schema::{attr, class};
use uuid::Uuid;

use super::{Desk, DeskError};
use crate::{Permission, Principal, tree};

/// How old the recorded login may be before a newer one replaces it.
const RECORDED_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Desk {
    /// Records last logins, by entryUUID, of the people whose recorded one is a week older. Returns the number of
    /// people who were written. Not audited: the person has caused it, and nothing else changes.
    pub async fn record_logins(
        &self,
        principal: &Principal,
        logins: &HashMap<Uuid, Timestamp>,
    ) -> Result<usize, DeskError> {
        self.permit(principal, Permission::RunLifecycle).await?;
        let mut written = 0;
        for (entry, last) in self.people_with_old_login(logins).await? {
            let name = AttributeDescription::of(attr::PROVOST_LAST_LOGIN);
            let later = Filter::GreaterOrEqual(name.clone(), format_generalized(last).into_bytes());
            let conditions = WriteConditions { assert: Some(Filter::Not(Box::new(later))) };
            let change = Modification::replace(name, vec![format_generalized(last).into_bytes()]);
            match self.directory.modify(&entry.dn, vec![change], conditions).await {
                Ok(_) => written += 1,
                // Another node was faster, or the person is gone.
                Err(DirectoryError::AssertionFailed | DirectoryError::NoSuchObject(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }

    async fn people_with_old_login(
        &self,
        logins: &HashMap<Uuid, Timestamp>,
    ) -> Result<Vec<(Entry, Timestamp)>, DeskError> {
        if logins.is_empty() {
            return Ok(Vec::new());
        }
        let search = LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT),
            attributes: [attr::ENTRY_UUID, attr::PROVOST_LAST_LOGIN].map(str::to_owned).to_vec(),
            limit: None,
        };
        let people = match self.directory.collect_provider(search, || Outdated { logins, found: Vec::new() }).await {
            Ok(people) => people,
            Err(DirectoryError::NoSuchObject(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        Ok(people.found)
    }
}

/// Keeps the people whose recorded login is too old.
struct Outdated<'a> {
    logins: &'a HashMap<Uuid, Timestamp>,
    found: Vec<(Entry, Timestamp)>,
}

impl Extend<Entry> for Outdated<'_> {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        for entry in entries {
            let uuid = entry.first(attr::ENTRY_UUID).and_then(|uuid| uuid.parse().ok());
            let Some(last) = uuid.and_then(|uuid: Uuid| self.logins.get(&uuid).copied()) else { continue };
            let held = entry.first(attr::PROVOST_LAST_LOGIN).and_then(provost_entry::time::parse_generalized);
            if held.is_none_or(|held| last.duration_since(held) >= RECORDED_EVERY) {
                self.found.push((entry, last));
            }
        }
    }
}

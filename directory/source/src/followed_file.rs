//! The entries of a followed directory as an LDIF file, which is then read, checked and reported like any other file.

use std::collections::BTreeMap;

use provost_entry::{AttributeDescription, Dn, Entry, ldif};

use crate::column::Column;
use crate::profile::SourceProfile;
use crate::record::FileError;
use crate::{FILE_MIB_MAX, ROWS_MAX, ldif as reader};

/// Largest entry, octets of LDIF. Of a larger one only the name is kept, and it is reported as unreadable.
const ENTRY_OCTETS_MAX: usize = 64 * 1024;
/// The attribute that holds the identity of an entry, in lower case. Renaming keeps it (RFC 4530).
const ENTRY_UUID: &str = "entryuuid";
/// Octets of a UUID.
type Uuid = [u8; 16];

/// Entries by their entryUUID, in the form of LDIF.
#[derive(Clone, Debug)]
pub struct FollowedFile {
    /// Attributes that are kept, in lower case.
    attributes: Vec<String>,
    /// Of these, the attributes that the profile itself names: an entry without one has a blank cell.
    stated: Vec<(String, Column)>,
    records: BTreeMap<Uuid, Box<str>>,
    octets: usize,
}

impl FollowedFile {
    /// Holds no entry yet.
    pub fn new(profile: &SourceProfile) -> Self {
        let (attributes, stated) = (reader::attributes_read(profile), profile.columns.clone());
        Self { attributes, stated, records: BTreeMap::new(), octets: 0 }
    }

    /// The attributes to ask the directory for.
    pub fn attributes(&self) -> &[String] {
        &self.attributes
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether there is an entry with this entryUUID.
    pub fn contains(&self, uuid: &Uuid) -> bool {
        self.records.contains_key(uuid)
    }

    /// Adds an entry, or replaces the one with the same entryUUID. `uuid_text` is the UUID as RFC 4122 writes it.
    pub fn put(&mut self, uuid: Uuid, uuid_text: &str, entry: &Entry) -> Result<(), FileError> {
        let record = self.record(uuid_text, entry);
        let record = if record.len() > ENTRY_OCTETS_MAX { unreadable(&entry.dn) } else { record };
        self.insert(uuid, record)
    }

    /// Adds an entry that cannot be read, unless it is known: it is reported, and whoever it may be is not absent.
    pub fn put_unreadable(&mut self, uuid: Uuid, uuid_text: &str) -> Result<(), FileError> {
        if self.contains(&uuid) {
            return Ok(());
        }
        self.insert(uuid, unreadable(&Dn::root().child("entryUUID", uuid_text)))
    }

    /// Removes an entry. Returns whether there was one.
    pub fn remove(&mut self, uuid: &Uuid) -> bool {
        let removed = self.records.remove(uuid);
        self.octets -= removed.as_ref().map_or(0, |record| record.len());
        removed.is_some()
    }

    fn insert(&mut self, uuid: Uuid, record: String) -> Result<(), FileError> {
        self.octets += record.len();
        if let Some(former) = self.records.insert(uuid, record.into()) {
            self.octets -= former.len();
        }
        if self.records.len() > ROWS_MAX {
            return Err(FileError::TooManyRows(ROWS_MAX));
        }
        if self.octets as u64 > FILE_MIB_MAX * 1024 * 1024 {
            return Err(FileError::TooLarge(FILE_MIB_MAX));
        }
        Ok(())
    }

    fn record(&self, uuid_text: &str, entry: &Entry) -> String {
        let mut kept = Entry::new(entry.dn.clone());
        for (name, values) in entry.attributes() {
            let lower = name.as_str().to_lowercase();
            if lower != ENTRY_UUID && self.attributes.contains(&lower) {
                values.iter().for_each(|value| kept.push(name.clone(), value.clone()));
            }
        }
        for (name, column) in &self.stated {
            let is_held = |(other, of): &(String, Column)| of == column && !kept.values(other).is_empty();
            let value = if name == ENTRY_UUID { uuid_text } else { "" };
            if !self.stated.iter().any(is_held)
                && let Ok(name) = AttributeDescription::parse(name)
            {
                kept.push(name, value.as_bytes().to_vec());
            }
        }
        ldif::write(&kept)
    }

    /// The file: `heading` as a comment, then the entries by their entryUUID. The heading makes two files of the same
    /// entries different, so that the second one is not taken for the first one sent again.
    pub fn into_ldif(self, heading: &str) -> Vec<u8> {
        let heading: String = heading.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut text = format!("# {heading}\nversion: 1\n\n");
        text.reserve(self.octets);
        self.records.into_values().for_each(|record| text.push_str(&record));
        text.into_bytes()
    }
}

/// The record of an entry that is not read.
fn unreadable(dn: &Dn) -> String {
    ldif::write(&Entry::new(dn.clone()).with(reader::UNREADABLE, "1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coverage, ReadOptions, Source, read_file};

    fn profile(lines: &[&str]) -> SourceProfile {
        let usual = ["format ldap", "server ldap://localhost", "base dc=x", "constant affiliation staff"];
        let lines: Vec<String> = usual.iter().chain(lines).map(|line| (*line).to_owned()).collect();
        SourceProfile::parse("hr", &lines).unwrap()
    }

    fn entry(name: &str, given: &str) -> Entry {
        Entry::new(Dn::parse(&format!("uid={name},dc=x")).unwrap())
            .with("objectClass", "inetOrgPerson")
            .with("uid", name)
            .with("givenName", given)
            .with("sn", "Roy")
    }

    fn read(profile: &SourceProfile, file: FollowedFile) -> Source {
        read_file(profile, &file.into_ldif("read now\n"), &ReadOptions::default()).unwrap()
    }

    #[test]
    fn entries_become_people_by_the_attributes_of_the_profile() {
        let profile = profile(&["column person_id uid", "column private_email mail", "blank private_email clear"]);
        let mut file = FollowedFile::new(&profile);
        assert!(!file.attributes().contains(&"employeenumber".to_owned()), "the profile names another attribute");
        file.put([2; 16], "2", &entry("ann", "Ann").with("employeeNumber", "9").with("jpegPhoto", vec![0xFF; 9]))
            .unwrap();
        file.put([1; 16], "1", &entry("zoe", "Zo\u{e9}").with("mail", "zoe@x.example")).unwrap();
        file.put([3; 16], "3", &entry("gone", "Gone")).unwrap();
        file.put([3; 16], "3", &entry("gone", "Still")).unwrap();
        assert!(file.remove(&[3; 16]) && !file.remove(&[3; 16]) && file.len() == 2);
        let source = read(&profile, file);
        let names: Vec<_> = source.records.iter().map(|record| (&*record.person_id, &*record.given_name)).collect();
        assert_eq!(names, [("zoe", "Zo\u{e9}"), ("ann", "Ann")], "{source:?}");
        assert_eq!(source.records[0].private_email.as_deref(), Some("zoe@x.example"));
        assert!(source.records[1].cleared.contains(crate::Column::PrivateEmail), "an attribute that is gone is blank");
        assert!(source.rejected.is_empty() && source.warnings.is_empty(), "{source:?}");
        assert_eq!(source.coverage, Coverage::Complete);
    }

    /// The entryUUID stays when a key such as uid changes.
    #[test]
    fn the_entry_uuid_can_be_the_number() {
        const UUID: &str = "0b1e52d6-1f5b-4b7e-8f2c-0a1b2c3d4e5f";
        let profile = profile(&["column person_id entryUUID"]);
        let mut file = FollowedFile::new(&profile);
        file.put([1; 16], UUID, &entry("ann", "Ann")).unwrap();
        let source = read(&profile, file);
        assert_eq!(&*source.records[0].person_id, UUID);
    }

    /// Nobody is taken for absent because an entry cannot be read.
    #[test]
    fn an_unreadable_or_huge_entry_is_reported_and_counts() {
        let profile = profile(&["column person_id uid"]);
        let mut file = FollowedFile::new(&profile);
        file.put([1; 16], "1", &entry("ann", "Ann")).unwrap();
        file.put_unreadable([1; 16], "1").unwrap();
        file.put_unreadable([2; 16], "2").unwrap();
        file.put([3; 16], "3", &entry("huge", &"x".repeat(ENTRY_OCTETS_MAX))).unwrap();
        let source = read(&profile, file);
        assert_eq!((source.records.len(), source.unreadable, source.rows_read), (1, 1, 3), "{source:?}");
        assert_eq!(source.rejected_ids, ["huge".into()], "{source:?}");
        assert!(source.rejected.iter().all(|problem| problem.rule.as_str() == "ldap.unreadable"), "{source:?}");
    }
}

//! The audit in the shared state, and the migration of `audit.jsonl` of an earlier version.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use provost_provision::{AUDIT_RECORD_OCTETS_MAX, Audit, AuditLog, AuditRecord};
use provost_store::{
    ChangeCondition, LogEntry, STATE_CHANGES_MAX, STATE_KEY_OCTETS_MAX, StateChange, StateError, StateLog, StateSpace,
    StateStore, WhenFull,
};

/// The audit file of earlier versions, in the data folder.
const FILE: &str = "audit.jsonl";
/// Value of the record in [`MIGRATION`] when the migration is complete; before that, the value is the number of octets
/// migrated.
const DONE: &str = "done";
/// Maximum number of lines that one transaction migrates: one of its changes is the record of the progress.
const LINES_MAX: usize = STATE_CHANGES_MAX - 1;
/// Maximum number of entries that are read to find the subjects of one address.
const ADDRESS_ENTRIES_MAX: usize = 1000;
/// Longest line that is read, with its line end; no version wrote a longer one.
const LINE_OCTETS_MAX: u64 = AUDIT_RECORD_OCTETS_MAX as u64 + 1;

static AUDIT: StateLog = StateLog { name: "audit", octets_max: AUDIT_RECORD_OCTETS_MAX };
/// Finds records by an address: the subject of an entry is the address, its value the subject of the record.
static AUDIT_ADDRESSES: StateLog = StateLog { name: "audit-address", octets_max: STATE_KEY_OCTETS_MAX };
static MIGRATION: StateSpace =
    StateSpace { name: "audit-file", records_max: 1, octets_max: 32, when_full: WhenFull::Refuse };

type LogFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

struct StateAudit {
    state: Arc<dyn StateStore>,
}

impl AuditLog for StateAudit {
    fn append(&self, record: &AuditRecord) -> LogFuture<'_, ()> {
        let changes = encode_with_addresses(record);
        Box::pin(async move {
            let made = self.state.change(changes?, Timestamp::now()).await;
            made.map(drop).map_err(io::Error::other)
        })
    }

    fn newest(
        &self,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        let subject = subject.map(|subject| subject_key(subject).to_owned());
        Box::pin(async move {
            let entries =
                self.state.entries(&AUDIT, subject.as_deref(), before, limit).await.map_err(io::Error::other)?;
            decode(&entries)
        })
    }

    fn oldest(&self, subject: Option<&str>, after: u64, limit: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        let subject = subject.map(|subject| subject_key(subject).to_owned());
        Box::pin(async move {
            let entries = self.state.entries_after(&AUDIT, subject.as_deref(), after, limit).await;
            decode(&entries.map_err(io::Error::other)?)
        })
    }

    fn subjects_of(&self, address: &str, limit: usize) -> LogFuture<'_, Vec<String>> {
        let address = subject_key(address).to_owned();
        Box::pin(async move {
            let entries = self.state.entries(&AUDIT_ADDRESSES, Some(&address), None, ADDRESS_ENTRIES_MAX).await;
            let mut found: Vec<String> = Vec::new();
            for entry in entries.map_err(io::Error::other)? {
                let subject = String::from_utf8_lossy(&entry.value).into_owned();
                if !found.contains(&subject) && found.len() < limit {
                    found.push(subject);
                }
            }
            Ok(found)
        })
    }
}

fn decode(entries: &[LogEntry]) -> io::Result<Vec<(u64, AuditRecord)>> {
    entries.iter().map(|entry| Ok((entry.sequence, serde_json::from_slice(&entry.value)?))).collect()
}

/// The record, then one entry for each address by which it is found.
fn encode_with_addresses(record: &AuditRecord) -> io::Result<Vec<StateChange>> {
    let mut changes = vec![encode(record)?];
    let addresses = record.addresses.iter().take(STATE_CHANGES_MAX - 1);
    changes.extend(addresses.map(|address| {
        let subject = subject_key(&record.subject).as_bytes().to_vec();
        StateChange::append(&AUDIT_ADDRESSES, subject_key(address), subject)
    }));
    Ok(changes)
}

fn encode(record: &AuditRecord) -> io::Result<StateChange> {
    Ok(StateChange::append(&AUDIT, subject_key(&record.subject), serde_json::to_vec(record)?))
}

/// The key of a subject: its first characters, at most [`STATE_KEY_OCTETS_MAX`] octets. The record holds the subject in
/// full.
fn subject_key(subject: &str) -> &str {
    subject.get(..subject.floor_char_boundary(STATE_KEY_OCTETS_MAX)).unwrap_or_default()
}

/// The audit in `state`. Records in `audit.jsonl` of an earlier version are migrated once; the file stays unchanged.
pub(crate) async fn open(data: &Path, state: Arc<dyn StateStore>) -> anyhow::Result<Audit> {
    while !migrate_some(&data.join(FILE), &*state).await? {}
    Ok(Audit::new(Arc::new(StateAudit { state })))
}

/// Migrates the next lines; `true` once the migration is recorded as complete. Each transaction records its progress,
/// so that an interruption or two concurrent processes neither lose nor duplicate a line.
async fn migrate_some(file: &Path, state: &dyn StateStore) -> anyhow::Result<bool> {
    let now = Timestamp::now();
    let record = state.record(&MIGRATION, FILE, now).await?;
    let (from, expect) = match &record {
        None => (0, ChangeCondition::Absent),
        Some(record) if record.value == DONE => return Ok(true),
        Some(record) => (std::str::from_utf8(&record.value)?.parse()?, ChangeCondition::Version(record.version)),
    };
    let (records, to) = read_lines(file, from)?;
    let mut changes = records.iter().map(encode).collect::<io::Result<Vec<_>>>()?;
    let reached = if to == from { DONE.to_owned() } else { to.to_string() };
    changes.push(StateChange::put(&MIGRATION, FILE, expect, reached, None));
    match state.change(changes, now).await {
        // A conflict means that another process was faster. Either way, continue from the progress recorded now.
        Ok(_) | Err(StateError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The records of the next [`LINES_MAX`] lines from octet `from` on, and the offset after these lines. A line that is
/// not a record, which a power cut may leave, is skipped with a warning. A missing file has no lines.
fn read_lines(file: &Path, from: u64) -> io::Result<(Vec<AuditRecord>, u64)> {
    let mut opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), from)),
        Err(error) => return Err(error),
    };
    opened.seek(SeekFrom::Start(from))?;
    let (mut reader, mut records, mut to) = (BufReader::new(opened), Vec::new(), from);
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        let octets = reader.by_ref().take(LINE_OCTETS_MAX).read_until(b'\n', &mut line)?;
        if octets == 0 {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), octet = to, "a line of the audit file is not a record: skipped")
            }
        }
        to += octets as u64;
    }
    Ok((records, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_store::MemoryState;

    fn line(number: usize) -> String {
        let record = AuditRecord {
            id: number.to_string(),
            at: "2026-09-01T08:00:00Z".into(),
            actor: "cli:root".into(),
            via: "cli".into(),
            action: "vacation.set".into(),
            subject: format!("cn={}", number % 2),
            detail: serde_json::json!({}),
            addresses: Vec::new(),
        };
        serde_json::to_string(&record).unwrap() + "\n"
    }

    #[tokio::test]
    async fn the_file_of_an_earlier_version_is_migrated_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let text: String = (0..200).map(line).collect::<String>() + "{\"id\":\"torn";
        std::fs::write(&file, &text).unwrap();
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::default());
        let (one, two) = tokio::join!(open(folder.path(), state.clone()), open(folder.path(), state.clone()));
        let (audit, _) = (one.unwrap(), two.unwrap());
        let newest = audit.newest(1000).await.unwrap();
        assert_eq!(newest.len(), 200);
        assert_eq!((newest[0].id.as_str(), newest[199].id.as_str()), ("199", "0"));
        assert_eq!(audit.about("cn=1", 1000).await.unwrap().len(), 100);
        std::fs::write(&file, text.clone() + "\n" + &line(200)).unwrap();
        assert_eq!(open(folder.path(), state).await.unwrap().newest(1000).await.unwrap().len(), 200);
        assert!(std::fs::read_to_string(&file).unwrap().starts_with(&text), "the file must not change");
    }

    #[tokio::test]
    async fn a_new_folder_has_an_empty_audit() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path(), Arc::new(MemoryState::default())).await.unwrap();
        assert!(audit.newest(10).await.unwrap().is_empty());
    }

    #[test]
    fn the_keys_of_long_subjects_end_between_characters() {
        assert_eq!(subject_key("cn=zoé"), "cn=zoé");
        assert_eq!(subject_key(&"é".repeat(STATE_KEY_OCTETS_MAX)).len(), STATE_KEY_OCTETS_MAX);
        assert_eq!(subject_key(&("x".to_owned() + &"é".repeat(STATE_KEY_OCTETS_MAX))).len(), STATE_KEY_OCTETS_MAX - 1);
    }
}

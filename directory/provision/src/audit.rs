//! Who did what: one JSON line each, synced to disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

/// How much of the file's end [`Audit::about`] reads, in octets. An older record is in the file for whoever greps it.
const TAIL_OCTETS_MAX: u64 = 8 * 1024 * 1024;
/// Most records that wait for the disk; a caller beyond them waits in `note`.
const WAITING_MAX: usize = 1024;
/// Longest line in octets; larger details are replaced by a remark, so that no caller can fill the disk with one call.
const LINE_OCTETS_MAX: usize = 64 * 1024;

/// Who asks, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `cli:root`, `token:quickstart`, a person's uid.
    pub name: String,
    /// cli, api, web.
    pub via: &'static str,
}

/// One line of the audit file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// Unique; told to the caller.
    pub id: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Through what.
    pub via: String,
    /// `vacation.set`, `address.add`, `password.reset`, `person.view`, `import.apply`, ...
    pub action: String,
    /// Whom: DN or file digest.
    pub subject: String,
    /// Details, never a secret.
    pub detail: serde_json::Value,
}

/// The audit file. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    waiting: SyncSender<Line>,
}

/// One line on its way to the disk, and whom to tell when it is there.
struct Line {
    text: String,
    done: oneshot::Sender<io::Result<()>>,
}

impl Audit {
    /// Opens (makes) the file for appending.
    pub fn open(file: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut opened = options.open(file)?;
        end_torn_line(&mut opened)?;
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // A new file is only there after a power cut when its folder knows it.
            File::open(folder)?.sync_all()?;
        }
        let (waiting, lines) = sync_channel(WAITING_MAX);
        std::thread::Builder::new().name("audit".into()).spawn(move || write_lines(&mut opened, &lines))?;
        Ok(Self { inner: Arc::new(Inner { path: file.to_owned(), waiting }) })
    }

    /// Appends one record and returns its id; durable when it returns.
    pub async fn note(
        &self,
        actor: &Actor,
        action: &str,
        subject: &str,
        detail: serde_json::Value,
    ) -> io::Result<String> {
        let mut record = AuditRecord {
            id: uuid::Uuid::now_v7().to_string(),
            at: jiff::Timestamp::now().to_string(),
            actor: actor.name.clone(),
            via: actor.via.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        };
        let mut text = serde_json::to_string(&record)?;
        if text.len() > LINE_OCTETS_MAX {
            record.detail = serde_json::json!({ "left_out": "the details were too long" });
            text = serde_json::to_string(&record)?;
        }
        text.push('\n');
        let (done, written) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        // `send` waits while the disk is behind; the async threads must not.
        let sent = tokio::task::spawn_blocking(move || inner.waiting.send(Line { text, done })).await;
        match (sent, written.await) {
            (Ok(Ok(())), Ok(result)) => result.map(|()| record.id),
            _ => Err(io::Error::other("the audit file is closed")),
        }
    }

    /// The last `most` records about one subject, newest first.
    pub async fn about(&self, subject: &str, most: usize) -> io::Result<Vec<AuditRecord>> {
        let (path, subject) = (self.inner.path.clone(), subject.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let tail = read_tail(&path)?;
            let records = tail.split(|b| *b == b'\n').rev().filter_map(|line| serde_json::from_slice(line).ok());
            Ok(records.filter(|record: &AuditRecord| record.subject == subject).take(most).collect())
        });
        read.await.map_err(io::Error::other)?
    }
}

/// Writes what waits, syncs once for all of it, then tells everyone.
fn write_lines(file: &mut File, lines: &Receiver<Line>) {
    while let Ok(first) = lines.recv() {
        let group: Vec<Line> = std::iter::once(first).chain(lines.try_iter().take(WAITING_MAX)).collect();
        let text: String = group.iter().map(|line| line.text.as_str()).collect();
        let result = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        for line in group {
            // A caller that went away has nobody to tell; the line stands all the same.
            let _ = line
                .done
                .send(result.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string())));
        }
    }
}

/// A power cut may leave half a line: it is ended, so that the next record does not grow onto it.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn read_tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_OCTETS_MAX)))?;
    let mut tail = Vec::new();
    file.take(TAIL_OCTETS_MAX).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn actor() -> Actor {
        Actor { name: "cli:test".into(), via: "cli" }
    }

    #[tokio::test]
    async fn records_survive_a_restart_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        let first = audit.note(&actor(), "vacation.set", "cn=a", json!({ "n": 1 })).await.unwrap();
        drop(audit);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"id\":\"torn").unwrap();
        let audit = Audit::open(&path).unwrap();
        let second = audit.note(&actor(), "vacation.clear", "cn=a", json!({ "n": 2 })).await.unwrap();
        audit.note(&actor(), "vacation.clear", "cn=b", json!({})).await.unwrap();
        let ids = |records: Vec<AuditRecord>| records.into_iter().map(|record| record.id).collect::<Vec<_>>();
        assert_eq!(ids(audit.about("cn=a", 10).await.unwrap()), [second.clone(), first]);
        assert_eq!(ids(audit.about("cn=a", 1).await.unwrap()), [second]);
        assert!(audit.about("cn=c", 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn many_at_once_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(&folder.path().join("audit.jsonl")).unwrap();
        let notes = (0..200).map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.note(&actor(), "x", "s", json!({ "n": n })).await })
        });
        for note in notes.collect::<Vec<_>>() {
            note.await.unwrap().unwrap();
        }
        assert_eq!(audit.about("s", 1000).await.unwrap().len(), 200);
    }

    #[tokio::test]
    async fn an_enormous_detail_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(&folder.path().join("audit.jsonl")).unwrap();
        audit.note(&actor(), "x", "s", json!("a".repeat(LINE_OCTETS_MAX))).await.unwrap();
        assert!(audit.about("s", 1).await.unwrap()[0].detail.get("left_out").is_some());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(Audit::open(Path::new("/nonexistent/audit.jsonl")).is_err());
    }
}

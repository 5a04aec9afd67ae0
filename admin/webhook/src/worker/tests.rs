//! The task against a receiver that answers as a script says.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Mutex;

use provost_provision::AuditLog;
use provost_store::{MemoryState, MemoryStore};
use serde_json::{Value, json};

use super::*;
use crate::cursor::WebhookCursor;
use crate::signature::sign;

/// An audit whose records a test writes.
#[derive(Default)]
struct Log(Mutex<Vec<AuditRecord>>);

type LogFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl AuditLog for Log {
    fn append(&self, record: &AuditRecord) -> LogFuture<'_, ()> {
        self.0.lock().unwrap().push(record.clone());
        Box::pin(async { Ok(()) })
    }

    fn newest(&self, subject: Option<&str>, _: Option<u64>, limit: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        let records = self.0.lock().unwrap();
        let found =
            (1u64..).zip(records.iter().cloned()).filter(|(_, record)| subject.is_none_or(|s| record.subject == s));
        let found = found.collect::<Vec<_>>().into_iter().rev().take(limit).collect();
        Box::pin(async { Ok(found) })
    }

    fn oldest(&self, _: Option<&str>, after: u64, limit: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        let records = self.0.lock().unwrap();
        let found = (1u64..).zip(records.iter().cloned()).filter(|(number, _)| *number > after).take(limit).collect();
        Box::pin(async { Ok(found) })
    }

    fn subjects_of(&self, _: &str, _: usize) -> LogFuture<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A request as the receiver got it.
struct Received {
    id: String,
    timestamp: i64,
    signature: String,
    body: Vec<u8>,
}

struct Rig {
    log: Arc<Log>,
    parts: WebhookParts,
    endpoint: WebhookEndpoint,
    received: Arc<Mutex<Vec<Received>>>,
    /// Statuses of the next answers; 200 when there is none.
    script: Arc<Mutex<Vec<u16>>>,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn start(events: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (received, script) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::<Mutex<Vec<u16>>>::default());
        let (kept, statuses) = (received.clone(), script.clone());
        std::thread::spawn(move || listener.incoming().flatten().for_each(|socket| answer(socket, &kept, &statuses)));
        let folder = tempfile::tempdir().unwrap();
        let secrets = WebhookSecrets::new(folder.path().into());
        secrets.ensure("sis").unwrap();
        let endpoint = WebhookEndpoint::parse("sis", &[format!("url {url}"), format!("events {events}")]).unwrap();
        let log = Arc::new(Log::default());
        let in_force = endpoint.clone();
        let parts = WebhookParts {
            audit: Audit::new(log.clone()),
            cursors: WebhookCursors::new(Arc::new(MemoryState::default())),
            sender: Sender::new(secrets.folder()),
            secrets,
            endpoints: Arc::new(move || vec![in_force.clone()]),
            store: Arc::new(MemoryStore::default()),
        };
        Self { log, parts, endpoint, received, script, _folder: folder }
    }

    /// Adds a record about a person, made this many seconds ago.
    fn record(&self, id: &str, action: &str, age: i64, detail: Value) {
        let at = Timestamp::now() - SignedDuration::from_secs(age);
        self.log.0.lock().unwrap().push(AuditRecord {
            id: id.into(),
            at: at.to_string(),
            actor: "cli:helen".into(),
            via: "cli".into(),
            action: action.into(),
            subject: "provostPersonId=7,ou=people,dc=x".into(),
            detail,
            addresses: Vec::new(),
        });
    }

    fn changed(&self, id: &str, age: i64) {
        self.record(id, "person.update", age, json!({ "changes": [{ "attribute": "sn" }] }));
    }

    async fn serve(&self) -> WebhookCursor {
        serve(&self.parts, &self.endpoint).await.unwrap();
        self.cursor().await
    }

    async fn cursor(&self) -> WebhookCursor {
        self.parts.cursors.get("sis", Timestamp::now()).await.unwrap().unwrap()
    }

    fn ids(&self) -> Vec<String> {
        self.received.lock().unwrap().iter().map(|request| request.id.clone()).collect()
    }

    /// Ends the wait after a failure.
    async fn forget_wait(&self) {
        let mut read = self.parts.cursors.read("sis", Timestamp::now()).await.unwrap();
        read.cursor.due = None;
        self.parts.cursors.write("sis", &mut read, Timestamp::now()).await.unwrap();
    }
}

fn answer(socket: std::net::TcpStream, received: &Mutex<Vec<Received>>, script: &Mutex<Vec<u16>>) {
    let mut reader = BufReader::new(socket);
    loop {
        let (mut head, mut line) = (Vec::new(), String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            head.push(std::mem::take(&mut line).trim().to_lowercase());
        }
        if head.is_empty() {
            return;
        }
        let raw = |name: &str| head.iter().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default();
        let mut body = vec![0; raw("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let (id, timestamp) = (raw("webhook-id").to_owned(), raw("webhook-timestamp").parse().unwrap());
        received.lock().unwrap().push(Received { id, timestamp, signature: raw("webhook-signature").to_owned(), body });
        let mut script = script.lock().unwrap();
        let status = if script.is_empty() { 200 } else { script.remove(0) };
        let location = if status == 302 { "Location: http://127.0.0.1:1/\r\n" } else { "" };
        let reply = format!("HTTP/1.1 {status} X\r\n{location}Content-Length: 2\r\n\r\nno");
        reader.get_mut().write_all(reply.as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn events_arrive_signed_in_order_and_once() {
    let rig = Rig::start("*");
    rig.parts.cursors.put("sis", 0, Timestamp::now()).await.unwrap();
    rig.record("a", "person.create", 60, json!({ "changes": [{ "attribute": "sn", "after": ["Roy"] }] }));
    rig.record("b", "person.view", 50, json!({}));
    rig.changed("c", 40);
    let cursor = rig.serve().await;
    assert_eq!((rig.ids(), cursor.after), (vec!["a.1".to_owned(), "c.1".to_owned()], 3));
    rig.serve().await;
    assert_eq!(rig.ids().len(), 2, "an accepted event was sent again");
    let secret = rig.parts.secrets.read("sis").unwrap();
    let received = rig.received.lock().unwrap();
    for request in received.iter() {
        let expect = sign(&secret, &request.id, request.timestamp, &request.body);
        assert_eq!(request.signature, expect.to_lowercase());
    }
    let body: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["person"]), (&json!("person.created"), &json!("7")));
    assert!(!String::from_utf8_lossy(&received[0].body).contains("Roy"), "a value left without being asked for");
}

#[tokio::test]
async fn a_failure_is_tried_again_and_nothing_overtakes_it() {
    let rig = Rig::start("person.*");
    rig.parts.cursors.put("sis", 0, Timestamp::now()).await.unwrap();
    ["a", "b"].iter().for_each(|id| rig.changed(id, 60));
    *rig.script.lock().unwrap() = vec![500, 302, 200, 503];
    for (error, failures) in [("status 500: no", 1), ("a redirect (302)", 2)] {
        let cursor = rig.serve().await;
        assert!(cursor.last_error.unwrap().contains(error), "{error}");
        assert_eq!((cursor.failures, cursor.after), (failures, 0));
        rig.serve().await;
        rig.forget_wait().await;
    }
    let cursor = rig.serve().await;
    assert_eq!(rig.ids(), ["a.1", "a.1", "a.1", "b.1"], "a wait was not kept, or an event overtook another");
    assert_eq!((cursor.failures, cursor.after), (1, 1));
    rig.forget_wait().await;
    let cursor = rig.serve().await;
    assert_eq!((rig.ids().len(), cursor.after, cursor.last_error), (5, 2, None));
}

#[tokio::test]
async fn what_was_not_done_is_no_event_and_what_is_new_waits() {
    let rig = Rig::start("person.* change.outcome");
    rig.parts.cursors.put("sis", 0, Timestamp::now()).await.unwrap();
    rig.changed("a", 60);
    rig.record("b", "change.outcome", 60, json!({ "of": "a", "outcome": "not_done" }));
    rig.changed("c", 60);
    rig.record("d", "change.outcome", 60, json!({ "of": "c", "outcome": "partly" }));
    rig.changed("e", 0);
    let cursor = rig.serve().await;
    assert_eq!((rig.ids(), cursor.after), (["b.1", "c.1", "d.1"].map(str::to_owned).to_vec(), 4));
    let received = rig.received.lock().unwrap();
    let body: Value = serde_json::from_slice(&received[1].body).unwrap();
    assert_eq!(body["data"]["outcome"], "partly");
}

#[tokio::test]
async fn a_replay_sends_again_from_its_place() {
    let rig = Rig::start("*");
    rig.parts.cursors.put("sis", 0, Timestamp::now()).await.unwrap();
    ["a", "b", "c"].iter().for_each(|id| rig.changed(id, 60));
    rig.serve().await;
    rig.parts.cursors.put("sis", 1, Timestamp::now()).await.unwrap();
    rig.serve().await;
    assert_eq!(rig.ids(), ["a.1", "b.1", "c.1", "b.1", "c.1"]);
}

#[tokio::test]
async fn an_endpoint_of_another_program_begins_at_the_end() {
    let rig = Rig::start("*");
    rig.changed("a", 60);
    assert_eq!(rig.serve().await.after, 1);
    assert!(rig.ids().is_empty());
    rig.changed("b", 60);
    rig.serve().await;
    assert_eq!(rig.ids(), ["b.1"]);
}

#[tokio::test]
async fn without_a_secret_nothing_is_sent() {
    let rig = Rig::start("*");
    rig.parts.cursors.put("sis", 0, Timestamp::now()).await.unwrap();
    rig.changed("a", 60);
    std::fs::remove_file(rig.parts.secrets.folder().join("sis.secret")).unwrap();
    let cursor = rig.serve().await;
    assert!(cursor.last_error.unwrap().contains("there is no secret"));
    assert!(rig.ids().is_empty());
}

#[tokio::test]
async fn one_node_sends() {
    let store = MemoryStore::default();
    let first = held(&store, None).await;
    assert!(first.is_some());
    assert!(held(&store, None).await.is_none(), "two nodes have the lease");
    let renewed = held(&store, first).await;
    assert!(renewed.is_some());
    drop(renewed);
    assert!(held(&store, None).await.is_some());
}

#[test]
fn waits_grow_to_an_hour() {
    let seconds = |failures| back_off(failures).as_secs();
    assert!((5..=5).contains(&seconds(0)) && (20..=22).contains(&seconds(2)));
    assert!((3600..=3960).contains(&seconds(12)) && (3600..=3960).contains(&seconds(u32::MAX)));
}

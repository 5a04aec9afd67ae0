//! A change through the API is recorded in the audit before it is made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

#[path = "support/site.rs"]
mod site;
mod support;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use jiff::{SignedDuration, Timestamp};
use provost_api::{ApiState, MessageTraces, NewToken, Tokens, router};
use provost_delivery::Delivery;
use provost_provision::{Audit, AuditLog, AuditRecord, Desk, Journals, Role};
use provost_queue::{Queue, QueueConfig};
use provost_store::{MemoryStore, StateSpace, WhenFull};
use site::{HEADER, Site};
use support::{admin, send};

/// A log that notes, for each record, whether the token is still valid. It refuses records while `is_full` is set.
struct TokenLog {
    tokens: Tokens,
    token: Mutex<String>,
    was_valid: Mutex<Vec<bool>>,
    is_full: Mutex<bool>,
}

type LogFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl AuditLog for TokenLog {
    fn append(&self, _: &AuditRecord) -> LogFuture<'_, ()> {
        Box::pin(async {
            let token = self.token.lock().unwrap().clone();
            let principal = self.tokens.find(&token, Timestamp::now()).await.unwrap();
            self.was_valid.lock().unwrap().push(principal.is_some());
            if *self.is_full.lock().unwrap() { Err(io::Error::other("the disk is full")) } else { Ok(()) }
        })
    }

    fn newest(&self, _: Option<&str>, _: Option<u64>, _: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn oldest(&self, _: Option<&str>, _: u64, _: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn subjects_of(&self, _: &str, _: usize) -> LogFuture<'_, Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[tokio::test]
async fn a_revocation_is_recorded_first_and_done_even_when_the_audit_fails() {
    let tokens = Tokens::new(support::state(), Vec::new());
    let log = Arc::new(TokenLog {
        tokens: tokens.clone(),
        token: Mutex::default(),
        was_valid: Mutex::default(),
        is_full: Mutex::new(false),
    });
    let journals = Journals::new("/nonexistent/journal".into());
    let desk = Desk::new(support::no_directory(), support::settings(), Audit::new(log.clone()), journals);
    let now = Timestamp::now();
    for is_full in [false, true] {
        *log.is_full.lock().unwrap() = false;
        let new = NewToken {
            name: "program".into(),
            role: Role::Auditor,
            expires: now + SignedDuration::from_hours(1),
            person: None,
        };
        let (token, _) = tokens.create(&desk, &admin(), &new, now).await.unwrap();
        *log.token.lock().unwrap() = token.clone();
        *log.is_full.lock().unwrap() = is_full;
        let revoked = tokens.revoke(&desk, &admin(), "program", now).await;
        assert_eq!(revoked.is_err(), is_full, "{revoked:?}");
        assert_eq!(
            log.was_valid.lock().unwrap().last(),
            Some(&true),
            "the token was revoked before the record was written"
        );
        assert!(tokens.find(&token, now).await.unwrap().is_none());
    }
}

/// A log whose disk is full.
struct FullLog;

impl AuditLog for FullLog {
    fn append(&self, _: &AuditRecord) -> LogFuture<'_, ()> {
        Box::pin(std::future::ready(Err(io::Error::other("the disk is full"))))
    }

    fn newest(&self, _: Option<&str>, _: Option<u64>, _: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn oldest(&self, _: Option<&str>, _: u64, _: usize) -> LogFuture<'_, Vec<(u64, AuditRecord)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn subjects_of(&self, _: &str, _: usize) -> LogFuture<'_, Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_audited_is_not_kept() {
    // As in src/uploaded_files.rs.
    static FILES: StateSpace =
        StateSpace { name: "import", records_max: 50, octets_max: 4096, when_full: WhenFull::Refuse };
    const TOKEN: &str = "a-token-of-the-tests";
    let site = Site::start().await;
    let state = support::state();
    for (audit, status, kept) in [(Audit::new(Arc::new(FullLog)), 503, 0), (Audit::in_memory(), 201, 1)] {
        let journals = Journals::new("/nonexistent/journal".into());
        let desk = Desk::new(site.directory.clone(), support::settings(), audit, journals);
        let store = support::store();
        let delivery = Delivery { view: site.view.clone(), store: store.clone(), hostname: "mx".into() };
        let config = QueueConfig { concurrency: 1, per_destination: 1 };
        let digest = blake3::hash(TOKEN.as_bytes());
        let token = provost_api::FixedToken { name: "tests".into(), digest, role: Role::Admin, expires: None };
        let api = router(ApiState {
            desk: desk.clone(),
            store,
            view: site.view.clone(),
            queue: Queue::new(Arc::new(MemoryStore::default()), delivery, None, config),
            messages: MessageTraces::new(desk, "/nonexistent/trace".into()),
            tokens: Tokens::new(state.clone(), vec![token]),
            state: state.clone(),
            node: "node-a".into(),
        });
        let request = Request::post("/api/v1/imports")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "text/csv");
        let file = Body::from(format!("{HEADER}2001,Ann,Roy,,,staff,,,,\n"));
        let reply = send(&api, request.body(file).unwrap()).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        assert_eq!(state.records(&FILES, None, 10, Timestamp::now()).await.unwrap().len(), kept);
    }
}

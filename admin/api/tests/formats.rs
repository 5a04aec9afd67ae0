//! The shared state written by version 1 is still read: `tests/fixtures/state-v1.sqlite` at the root of the repository.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use provost_api::{Tokens, ValidToken};
use provost_provision::{AUDIT_RECORD_OCTETS_MAX, AuditRecord, Permission};
use provost_store::{LocalState, StateChange, StateLog, StateStore};

/// The token created together with the file, valid until October 2028.
const TOKEN: &str = "fixture.f7d7d4c549be44ea0bf49675005dd61cdfc875ae82dcb8f9ea6e8c7d333ce37a";
/// The same log as in admin/provost/src/audit_log.rs, which this crate cannot use.
static AUDIT: StateLog = StateLog { name: "audit", octets_max: AUDIT_RECORD_OCTETS_MAX };

#[tokio::test]
async fn state_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/state-v1.sqlite");
    std::fs::copy(fixture, folder.path().join("state.sqlite")).unwrap();
    let state: Arc<dyn StateStore> = Arc::new(LocalState::open(folder.path()).unwrap());

    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let token = Tokens::new(state.clone(), Vec::new()).find(TOKEN, now).await.unwrap();
    let Some(ValidToken::Program(principal)) = token else { panic!("{token:?}") };
    assert_eq!(principal.actor().name, "token:fixture");
    assert!(principal.may(Permission::ViewAudit) && !principal.may(Permission::ResetPassword));

    let entries = state.entries(&AUDIT, None, None, 100).await.unwrap();
    let records: Vec<AuditRecord> = entries.iter().map(|entry| serde_json::from_slice(&entry.value).unwrap()).collect();
    let actions: Vec<&str> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(records.len(), 6, "the fixture has six audit records");
    assert_eq!(actions[..2], ["import.plan", "token.change"], "not newest first: {actions:?}");

    let change = StateChange::append(&AUDIT, "subject", b"{}".to_vec());
    let made = state.change(vec![change], now).await.unwrap();
    assert!(made[0] > entries[0].sequence, "the sequence numbers begin anew");
}

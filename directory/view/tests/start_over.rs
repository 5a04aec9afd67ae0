//! The View at a server that answers e-syncRefreshRequired.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::time::{Duration, Instant};

use fake::{Fake, done, healthy};
use provost_view::{Fallback, PasswordSource, View, ViewConfig};

/// Least time of the waits after the first two sessions: 200 ms and 400 ms, each shortened by at most a fifth.
const WAITS_MIN: Duration = Duration::from_millis(480);

/// RFC 4533 §2.6: after e-syncRefreshRequired the consumer begins anew, also when the server always answers so.
#[tokio::test]
async fn a_server_that_always_requires_a_refresh_is_not_asked_without_pause() {
    let server = Fake::start(healthy(|message| (!message.ctrl.is_empty()).then(|| vec![done(4096)]))).await;
    let folder = tempfile::tempdir().unwrap();
    let config = ViewConfig {
        file: folder.path().join("view"),
        passwords: PasswordSource::View,
        credential_ttl: Duration::from_secs(600),
        fallback: Fallback::default(),
    };
    let start = Instant::now();
    let _view = View::start(config, server.directory());
    server.wait_until_received_times("SyncRequest", 3).await;
    assert!(start.elapsed() >= WAITS_MIN, "{:?}", start.elapsed());
}

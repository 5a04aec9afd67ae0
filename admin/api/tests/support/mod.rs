//! Fixtures for the tests of the API and the pages that need no directory, and those that `site.rs` builds on.
#![allow(dead_code)] // Each test file uses only a part of this module.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use provost_client::{Directory, DirectoryConfig, ServerAddress, ServerRole};
use provost_credential::{Scheme, Secret, hash};
use provost_entry::{Address, Dn};
use provost_provision::{Audit, Desk, Journals, Principal, ProvisionSettings, Role};
use provost_store::{MemoryState, MemoryStore, MessageStore, StateStore};
use provost_view::{Affiliation, Person, PersonState, View};
use tower::ServiceExt;
use uuid::Uuid;

pub(crate) const SUFFIX: &str = "dc=example,dc=edu";

/// A reply, read to the end.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends one request through the router.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> HttpResponse {
    let reply = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (reply.status(), reply.headers().clone());
    let octets = reply.into_body().collect().await.unwrap().to_bytes();
    HttpResponse { status, headers, text: String::from_utf8(octets.to_vec()).unwrap() }
}

pub(crate) fn settings() -> ProvisionSettings {
    ProvisionSettings {
        domain: "example.edu".into(),
        source: "registrar".into(),
        passwords: provost_credential::PasswordPolicy {
            scheme: Scheme::Ssha,
            // People sign in with the passwords of their file.
            must_change_initial: false,
            ..provost_credential::PasswordPolicy::default()
        },
        web_url: Some("https://accounts.example.edu".into()),
        client_servers: Vec::new(),
        address_quarantine: 180,
        time_zone: jiff::tz::TimeZone::UTC,
    }
}

pub(crate) fn directory_at(url: String, bind_dn: &str, bind_password: &str) -> Directory {
    Directory::new(DirectoryConfig {
        servers: vec![ServerAddress { url, role: ServerRole::Provider, start_tls: false }],
        bind_dn: bind_dn.into(),
        bind_password: bind_password.into(),
        suffix: Dn::parse(SUFFIX).unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_secs(5),
    })
}

/// A desk on [`no_directory`].
pub(crate) fn desk_without_directory() -> Desk {
    Desk::new(no_directory(), settings(), Audit::in_memory(), Journals::new("/nonexistent/journal".into()))
}

/// A directory that refuses every connection: port 1 of the loopback address has no listener.
pub(crate) fn no_directory() -> Directory {
    directory_at("ldap://127.0.0.1:1".into(), "", "")
}

/// A person of a fixed View with one role and the password `correct horse`.
pub(crate) fn person(uid: &str, role: &str, state: PersonState) -> Person {
    let entry_uuid = Uuid::new_v4();
    Person {
        entry_uuid,
        dn: format!("provostPersonId={entry_uuid},ou=people,{SUFFIX}").into(),
        uid: uid.into(),
        display_name: uid.into(),
        primary: Address::parse(&format!("{uid}@example.edu")).unwrap(),
        state,
        affiliation: Affiliation::Staff,
        language: None,
        passwords: vec![hash(&Secret::new("correct horse"), Scheme::Ssha).into()],
        quota_octets: None,
        vacation: None,
        roles: vec![role.into()],
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

pub(crate) fn store() -> Arc<dyn MessageStore> {
    Arc::new(MemoryStore::default())
}

pub(crate) fn state() -> Arc<dyn StateStore> {
    Arc::new(MemoryState::default())
}

pub(crate) fn admin() -> Principal {
    Principal::command("test", Some(Role::Admin))
}

pub(crate) fn fixed_view() -> View {
    View::fixed(vec![
        person("helen", "helpdesk", PersonState::Active),
        person("rita", "registrar", PersonState::Active),
        person("noa", "auditor", PersonState::Active),
        person("ben", "", PersonState::Active),
        person("sue", "helpdesk", PersonState::Suspended),
    ])
}

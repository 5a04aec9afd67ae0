//! Requests to the REST API of the running node.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use ureq::tls::TlsConfig;

use crate::config::{Config, read_secret};

/// Longest time for the node to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Sends one GET for `path`, such as `/queue?limit=20`, and returns the JSON answer. The request has the token of
/// `--token-file` if there is one, else the node's own. The error says why there is none: no listener or token is
/// configured, no node answers, or the node refuses.
pub(crate) async fn get(config: &Config, path: &str) -> anyhow::Result<Value> {
    let rest = config.rest_url().context("listeners.http is off, so the node cannot answer")?;
    let file =
        config.token_for_role.as_ref().or(config.api.token_file.as_ref()).context("api.token_file is not set")?;
    let token = read_secret(file)?;
    let url = format!("{rest}/api/v1{path}");
    tokio::task::spawn_blocking(move || request(&url, &token)).await?
}

fn request(url: &str, token: &str) -> anyhow::Result<Value> {
    // The request goes to an address of this machine, which the node's certificate does not name. As with plain HTTP,
    // only a program that listens there in the node's place could read the token.
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER_LIMIT)).tls_config(tls).build().into();
    let mut answer = agent
        .get(url)
        .header("Authorization", format!("Bearer {token}"))
        .call()
        .with_context(|| format!("{url}: is the node running?"))?;
    Ok(answer.body_mut().read_json()?)
}

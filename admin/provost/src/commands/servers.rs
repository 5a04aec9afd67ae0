//! The state of each directory server and of the running node's View, for `directory status` and `doctor`.

use provost_client::{Directory, DirectoryConfig, ServerRole};
use serde::Serialize;

use super::node_client;
use crate::config::Config;

/// The state of one server of `directory.servers`. Each server is queried by itself, without failover to another one.
#[derive(Serialize)]
pub(crate) struct ServerState {
    pub(crate) url: String,
    /// `provider` or `replica`.
    pub(crate) role: &'static str,
    /// The server's contextCSN; empty when the server returns none or cannot be used.
    pub(crate) context_csn: Vec<String>,
    /// Why the server cannot be used; `None` when it can.
    pub(crate) fault: Option<String>,
}

/// Whether no provider can be used: then nothing can be written.
pub(crate) fn is_without_provider(states: &[ServerState]) -> bool {
    states.iter().all(|state| state.role != "provider" || state.fault.is_some())
}

/// Reads contextCSN from each server, in the order of the configuration.
pub(crate) async fn server_states(config: &DirectoryConfig) -> Vec<ServerState> {
    let mut states = Vec::with_capacity(config.servers.len());
    for server in &config.servers {
        let one_server = Directory::new(DirectoryConfig { servers: vec![server.clone()], ..config.clone() });
        let read = one_server.read(one_server.suffix(), &["contextCSN"]).await;
        let (context_csn, fault) = match read {
            Ok(Some(entry)) => (entry.texts("contextCSN").map(str::to_owned).collect(), None),
            Ok(None) => (
                Vec::new(),
                Some(format!("{} does not exist, or this identity has no right to read it", one_server.suffix())),
            ),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let role = match server.role {
            ServerRole::Provider => "provider",
            ServerRole::Replica => "replica",
        };
        states.push(ServerState { url: server.url.clone(), role, context_csn, fault });
    }
    states
}

/// The state of the View, the running node's copy of the directory.
#[derive(Serialize)]
pub(crate) struct NodeView {
    /// The server that the View follows; `None` while it follows none.
    pub(crate) source: Option<String>,
    /// Whether the View is complete: an entry that it lacks is then certainly not in the directory either.
    pub(crate) current: bool,
    /// Why the last refresh or removal was parked, that is, not applied because it would remove too many entries;
    /// `None` once a refresh is complete.
    pub(crate) parked: Option<String>,
}

/// Asks the running node for the state of its View; `None` when the node does not answer or refuses.
pub(crate) async fn node_view(config: &Config) -> Option<NodeView> {
    let answer = node_client::get(config, "/status").await.ok()?;
    let view = &answer["view"];
    let text = |name: &str| view[name].as_str().map(str::to_owned);
    Some(NodeView { source: text("source"), current: view["current"].as_bool()?, parked: text("parked") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_usable_provider_is_enough_to_write() {
        let state = |role, fault: Option<&str>| ServerState {
            url: "ldap://ldap.example.edu".to_owned(),
            role,
            context_csn: Vec::new(),
            fault: fault.map(str::to_owned),
        };
        let (good, dead) = (state("provider", None), state("provider", Some("refused")));
        let replica = state("replica", None);
        assert!(!is_without_provider(&[dead, good, replica]));
        assert!(is_without_provider(&[state("provider", Some("refused")), state("replica", None)]));
    }
}

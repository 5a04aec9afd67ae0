//! The state of each directory server, for `directory status` and `doctor`, and the server that the node follows.

use provost_client::{Directory, DirectoryConfig, ServerRole};
use serde::Serialize;

use super::node_client;
use crate::config::Config;

/// The state of one of `directory.servers`, which is queried separately.
#[derive(Serialize)]
pub(crate) struct ServerState {
    pub(crate) url: String,
    /// `provider` or `replica`.
    pub(crate) role: &'static str,
    /// The server's contextCSN; empty when it shows none.
    pub(crate) context_csn: Vec<String>,
    /// The reason why the server cannot be used.
    pub(crate) fault: Option<String>,
}

impl ServerState {
    pub(crate) fn is_dead_provider(&self) -> bool {
        self.fault.is_some() && self.role == "provider"
    }
}

/// Reads contextCSN from each server, in the order of the configuration.
pub(crate) async fn server_states(config: &DirectoryConfig) -> Vec<ServerState> {
    let mut states = Vec::with_capacity(config.servers.len());
    for server in &config.servers {
        let one_server = Directory::new(DirectoryConfig { servers: vec![server.clone()], ..config.clone() });
        let read = one_server.read(one_server.suffix(), &["contextCSN"]).await;
        let (context_csn, fault) = match read {
            Ok(Some(entry)) => (entry.texts("contextCSN").map(str::to_owned).collect(), None),
            Ok(None) => (Vec::new(), Some(format!("there is no {}, or it may not be read", one_server.suffix()))),
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

/// The running node's report on its View.
#[derive(Serialize)]
pub(crate) struct FollowedServer {
    /// The server that the View follows; `None` while it follows none.
    pub(crate) source: Option<String>,
    /// Whether an entry that is missing from the View is certainly absent.
    pub(crate) current: bool,
    /// The reason why the last refresh is parked.
    pub(crate) parked: Option<String>,
}

/// Asks the running node for the state of its View; `None` when the node does not answer or refuses.
pub(crate) async fn followed(config: &Config) -> Option<FollowedServer> {
    let answer = node_client::get(config, "/status").await.ok()?;
    let view = &answer["view"];
    let text = |name: &str| view[name].as_str().map(str::to_owned);
    Some(FollowedServer { source: text("source"), current: view["current"].as_bool()?, parked: text("parked") })
}

//! One file for each command. A command reads its arguments, calls an operation of another crate, and prints.

pub(crate) mod activation;
pub(crate) mod address;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod directory;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod group;
mod guard;
pub(crate) mod import;
pub(crate) mod lifecycle;
mod moment;
mod node_client;
pub(crate) mod person;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod queue;
pub(crate) mod roles;
mod servers;
pub(crate) mod settings;
pub(crate) mod source;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod undo;
pub(crate) mod vacation;
pub(crate) mod webhook;

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use provost_api::{Tokens, ValidToken};
use provost_client::Directory;
use provost_provision::{Audit, Desk, Journals, Permission, Principal, ProvisionSettings, Role, read_shared_settings};
use provost_store::{LocalState, StateStore};

use crate::config::{Config, read_secret};
use crate::mail_outbox::StateOutbox;
use crate::{audit_log, machine_user};

/// The desk for a command, and the principal that runs it.
pub(crate) struct DeskAccess {
    pub(crate) desk: Desk,
    /// The shared settings: those of the directory, else those of the configuration file, else the defaults.
    pub(crate) settings: ProvisionSettings,
    pub(crate) principal: Principal,
    pub(crate) state: Arc<dyn StateStore>,
}

/// Opens the desk, whether or not the node is running. The directory is accessed with the node's own account; the audit
/// is in the shared state.
pub(crate) async fn desk_access(config: &Config) -> anyhow::Result<DeskAccess> {
    let directory = Directory::new(config.provisioning_config()?);
    let settings = ProvisionSettings::of(&read_shared_settings(&directory, &config.fallback()).await?);
    open(config, directory, settings).await
}

/// Like [`desk_access`], for commands that need only the shared state: revoking a token and reading the audit must work
/// while the directory is down. If the directory cannot be read, the settings are those of the configuration file and
/// the defaults.
pub(crate) async fn desk_access_without_directory(config: &Config) -> anyhow::Result<DeskAccess> {
    let directory = Directory::new(config.directory_config()?);
    let settings = match read_shared_settings(&directory, &config.fallback()).await {
        Ok(shared) => ProvisionSettings::of(&shared),
        Err(error) => {
            tracing::warn!(%error, "the settings of the directory cannot be read");
            config.settings()
        }
    };
    open(config, directory, settings).await
}

async fn open(config: &Config, directory: Directory, settings: ProvisionSettings) -> anyhow::Result<DeskAccess> {
    let (state, audit) = shared_state(config).await?;
    let outbox = Arc::new(StateOutbox::new(state.clone()));
    let desk = Desk::new(directory, settings.clone(), audit, journals(config)).with_outbox(outbox);
    let principal = principal(config, &state, &desk).await?;
    Ok(DeskAccess { desk, settings, principal, state })
}

/// Checks that the principal of the command may have the running node perform an operation. Without `--token-file`, the
/// request to the node has the node's own token, whose role must not pass to the user. Works while the directory is
/// down.
pub(crate) async fn permit(config: &Config, operation: Permission) -> anyhow::Result<()> {
    let directory = Directory::new(config.directory_config()?);
    let DeskAccess { desk, principal, .. } = open(config, directory, config.settings()).await?;
    Ok(desk.permit(&principal, operation).await?)
}

async fn shared_state(config: &Config) -> anyhow::Result<(Arc<dyn StateStore>, Audit)> {
    let state: Arc<dyn StateStore> = Arc::new(LocalState::open(&config.store_folder()).context("shared state")?);
    let audit = audit_log::open(&config.node.data, state.clone()).await.context("audit")?;
    Ok((state, audit))
}

/// The journals of imports on this machine.
pub(crate) fn journals(config: &Config) -> Journals {
    Journals::new(config.node.data.join("journal"))
}

/// The principal of a command: the token's role if a token is given, else the role that `[cli]` gives the user. Without
/// `[cli]`, every user is an admin: only a user who can read the node's password for the directory gets here.
async fn principal(config: &Config, state: &Arc<dyn StateStore>, desk: &Desk) -> anyhow::Result<Principal> {
    if let Some(file) = &config.token_for_role {
        let tokens = Tokens::new(state.clone(), config.fixed_tokens()?);
        let now = Timestamp::now();
        let principal = match tokens.find(&read_secret(file)?, now).await? {
            None => bail!("{}: the token is unknown, revoked or expired", file.display()),
            Some(ValidToken::Program(principal)) => principal,
            Some(ValidToken::Person(token)) => {
                let roles = desk.roles_of_token_owner(token.entry_uuid(), now).await?;
                let principal = roles.and_then(|roles| token.principal(roles.iter().map(String::as_str)));
                principal.ok_or_else(|| {
                    anyhow!("{}: the person of this token may not log in or lacks its role", file.display())
                })?
            }
        };
        return Ok(principal.on_the_command_line());
    }
    let user = machine_user::name(&config.node.data);
    let Some(cli) = &config.cli else { return Ok(Principal::command(&user, Some(Role::Admin))) };
    let Some(role) = cli.roles.get(&user) else { return Ok(Principal::command(&user, None)) };
    match Role::parse(role) {
        Some(role) => Ok(Principal::command(&user, Some(role))),
        None => bail!("cli.roles: '{role}' is not a role; see 'provost roles show'"),
    }
}

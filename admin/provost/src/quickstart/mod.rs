//! `provost quickstart`: prepares a data folder with certificate, secrets and configuration, starts a node there,
//! imports people, and proves that mail arrives.

mod layout;
mod proof;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use provost_credential::Secret;
use provost_provision::{Desk, Principal, Role};

pub(crate) use proof::{Arguments as ProofArguments, run as proof};

use crate::allocator::OWN_PROGRAM;
use crate::compose::{Node, hangup_signal, stop_signal};
use crate::config::{Config, read_secret};
use crate::exit::Exit;
use crate::log_filter::LogFilter;
use layout::Layout;

/// Longest wait for the View to be complete and to follow the directory.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Login of the help desk in a quickstart.
const OPERATOR_UID: &str = "helpdesk";

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost quickstart --data demo                      serve with the sample people until interrupted
  provost quickstart --data demo --import people.csv  with the people of a registrar's file
  provost quickstart --once                           prove that mail arrives, and exit")]
pub(crate) struct Arguments {
    /// Folder for all files; it is kept. By default provost-data; with --once, a temporary folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// First port: LDAP there, HTTP +1, MX +2, submission +3, submissions +4, LMTP +5, IMAP +6, IMAPS +7, POP3 +8,
    /// POP3S +9, health +11. By default 3890, 8080, 2525, 5870, 4650, 2424, 1430, 9930, 1100, 9950, 9090.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_500))]
    port_base: Option<u16>,
    /// A registrar's file; the sample by default.
    #[arg(long)]
    import: Option<PathBuf>,
    /// Exit after the proof.
    #[arg(long)]
    once: bool,
    /// Next hop for mail to other domains, host:port.
    #[arg(long)]
    relay: Option<String>,
    /// Domain of the addresses.
    #[arg(long, default_value = "example.edu")]
    domain: String,
}

/// Runs `provost quickstart`.
pub(crate) async fn run(arguments: Arguments, log: &LogFilter) -> anyhow::Result<Exit> {
    let temporary = match (&arguments.data, arguments.once) {
        (None, true) => Some(tempfile::tempdir()?),
        _ => None,
    };
    let data = match (&temporary, &arguments.data) {
        (Some(folder), _) => folder.path().to_owned(),
        (None, Some(folder)) => folder.clone(),
        (None, None) => PathBuf::from("provost-data"),
    };
    let layout = Layout::prepare(&data, arguments.port_base, &arguments.domain, arguments.relay.as_deref())?;
    let config = Config::read(&layout.config_file)?;
    let mut hangup = hangup_signal()?;
    let node = Node::start(&config, log).await?;
    let ended = demonstrate(&arguments, &config, &layout, &node).await;
    if ended.is_ok() && !arguments.once {
        out!("\nServing until interrupted (INT or TERM).");
        if std::io::stdin().is_terminal() {
            // On a terminal, HUP means that it was closed: stop instead of reloading the configuration.
            tokio::select! {
                stopped = stop_signal() => stopped?,
                _ = hangup.recv() => tracing::info!("the terminal was closed: stopping"),
            }
        } else {
            node.wait_for_stop(&mut hangup).await?;
        }
    }
    node.stop().await;
    ended.map(|()| Exit::Clean)
}

async fn demonstrate(arguments: &Arguments, config: &Config, layout: &Layout, node: &Node) -> anyhow::Result<()> {
    let operator = operator(&node.desk, config, layout).await?;
    if !node.ready(READY_LIMIT).await {
        bail!("the view of the directory did not become ready in {} s", READY_LIMIT.as_secs());
    }
    let file = arguments.import.as_ref().unwrap_or(&layout.sample_file);
    match &arguments.import {
        Some(file) => out!("== Import {}", file.display()),
        None => out!("== Import the sample"),
    }
    child(layout, &["import".as_ref(), file.as_os_str()], &[Exit::Clean, Exit::RowsRejected]).await?;
    out!("\n== Proof: a message in by SMTP, out by IMAP and POP3");
    let proved = child(layout, &["proof".as_ref(), "--import".as_ref(), file.as_os_str()], &[Exit::Clean]).await;
    match proved {
        Err(error) if arguments.once => return Err(error),
        // In a reused data folder, a password may have been changed since the file was written.
        Err(error) => out!("The proof did not succeed: {error:#}"),
        Ok(()) => {}
    }
    layout.print_summary(config, OPERATOR_UID, operator.reveal());
    Ok(())
}

/// Creates the help desk's account, with a password kept in the data folder, and makes it the postmaster unless
/// somebody else is.
async fn operator(desk: &Desk, config: &Config, layout: &Layout) -> anyhow::Result<Secret> {
    let password = Secret::new(read_secret(&layout.operator_password_file)?);
    let quickstart = Principal::command("quickstart", Some(Role::Admin));
    desk.ensure_tree(&quickstart).await?;
    desk.ensure_operator(&quickstart, OPERATOR_UID, "Help Desk", "helpdesk", password.clone()).await?;
    // RFC 5321 §4.5.1: mail to postmaster must reach a person. What somebody has said already stays.
    let operator = format!("{OPERATOR_UID}@{}", config.settings().domain);
    let roles = desk.role_addresses(&quickstart).await?;
    for role in roles.iter().filter(|role| role.targets.is_empty()) {
        desk.set_role_targets(&quickstart, &role.address, std::slice::from_ref(&operator)).await?;
    }
    Ok(password)
}

/// Runs a command of this program in its own process, which releases its memory at the end. Any exit code but those of
/// `expected` is an error.
async fn child(layout: &Layout, arguments: &[&std::ffi::OsStr], expected: &[Exit]) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(OWN_PROGRAM);
    command.arg0("provost").arg("--config").arg(&layout.config_file).args(arguments).kill_on_drop(true);
    let name = arguments.first().unwrap_or(&std::ffi::OsStr::new("?")).display();
    let status = command.status().await.with_context(|| format!("cannot start provost {name} ({OWN_PROGRAM})"))?;
    match status.code() {
        Some(code) if expected.iter().any(|exit| *exit as i32 == code) => Ok(()),
        _ => bail!("provost {name} ended with {status}"),
    }
}

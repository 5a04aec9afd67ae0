//! `provost`: the only binary, with the commands, the configuration, and the composition of the node.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

mod allocator;
mod audit_log;
mod commands;
mod compose;
mod config;
mod descriptors;
mod exit;
mod followed;
mod http;
mod ldap_clients;
mod lifecycle_runs;
mod log;
mod log_filter;
mod machine_user;
mod mail_outbox;
mod monitoring;
mod private;
mod quickstart;
mod reload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use provost_provision::Language;

use crate::commands::{
    activation, address, apply, audit, directory, doctor, explain, group, import, lifecycle, person, plan, policy,
    queue, roles, settings, source, token, trace, undo, vacation, webhook,
};
use crate::config::Config;
use crate::exit::Exit;
use crate::log_filter::LogFilter;

/// Directory-driven mail for a university.
#[derive(Parser)]
#[command(version, about, max_term_width = 110, after_help = EXIT_HELP)]
struct Cli {
    /// The node's configuration file.
    #[arg(long, global = true, env = "PROVOST_CONFIG", default_value = "/etc/provost/provost.toml")]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Use the role of the token in this file, as over REST, instead of the role of this machine's user.
    #[arg(long, global = true, env = "PROVOST_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Language of plans, histories and explanations, `en` or `fr`; by default that of the locale (LANG).
    #[arg(long, global = true, env = "PROVOST_LANGUAGE", value_parser = parse_language)]
    language: Option<Language>,
    #[command(subcommand)]
    command: Command,
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| "the languages are en and fr".to_owned())
}

const EXIT_HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or changes pending (--dry-run), 3 stopped by the guard, 4 rows left out \
    or not applied, 5 directory unavailable, 6 not allowed.";

#[derive(Subcommand)]
enum Command {
    /// Run the node: directory (when embedded), mail listeners, REST and web.
    #[command(after_help = "Example: provost --config /etc/provost/provost.toml serve")]
    Serve,
    /// Run everything on one machine with sample people, for a first look.
    Quickstart(quickstart::Arguments),
    /// Run the second half of the quickstart: send a message in, read it by IMAP and POP3.
    #[command(hide = true)]
    Proof(quickstart::ProofArguments),
    /// Import a registrar's CSV file into the directory.
    Import(import::Arguments),
    /// Plan a file and keep the plan; list and show plans that are kept.
    Plan(plan::Arguments),
    /// Apply a plan that is kept, or one that the guard has stopped.
    Apply(apply::Arguments),
    /// Take an import back; without a batch, list the last imports.
    Undo(undo::Arguments),
    /// Find and show people.
    #[command(subcommand)]
    Person(person::Command),
    /// Explain where each value of a person comes from, or where mail to an address goes and who had it.
    Explain(explain::Arguments),
    /// Set, show and clear vacation rules.
    #[command(subcommand)]
    Vacation(vacation::Command),
    /// Invite people: mail one-time links, or print letters.
    #[command(subcommand)]
    Activation(activation::Command),
    /// List, add and remove addresses of a person.
    #[command(subcommand)]
    Address(address::Command),
    /// Check and initialise the directory.
    #[command(subcommand)]
    Directory(directory::Command),
    /// Show which role may do what.
    #[command(subcommand)]
    Roles(roles::Command),
    /// Create, list and revoke tokens of programs that use the REST API.
    #[command(subcommand)]
    Token(token::Command),
    /// Show and export the audit: who viewed or changed what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show the messages that wait to be delivered or sent on.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Show what happened to a message: find it by recipient, sender or Message-ID.
    Trace(trace::Arguments),
    /// Show and change the settings that all nodes share: quotas, limits, time zone.
    #[command(subcommand)]
    Settings(settings::Command),
    /// Give accounts the states that policies and time ask for, and show what is to come.
    #[command(subcommand)]
    Lifecycle(lifecycle::Command),
    /// List, show and write the policies: the rules about people, as dated documents.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Groups of people and their mailing lists: list, show, create, change and delete.
    #[command(subcommand)]
    Group(group::Command),
    /// Send events to other programs: list, set, test and replay the endpoints.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// List, show, write and try the profiles of sources: how the files of each sender are read.
    #[command(subcommand)]
    Source(source::Command),
    /// Check this node and show what is wrong and what to do.
    #[command(after_help = "Example: provost --config /etc/provost/provost.toml doctor")]
    Doctor,
}

fn main() -> ExitCode {
    private::make_files_private();
    let cli = Cli::parse();
    let serving = matches!(cli.command, Command::Serve | Command::Quickstart(_));
    if serving {
        allocator::ensure_options();
    }
    let (log, _mail_log) = log::start(serving);
    // Installing fails only when a crypto provider is already installed; rustls then uses that one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::anyhow!("cannot start: {error}")),
    };
    match runtime.block_on(run(cli, &log)) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error),
    }
}

async fn run(cli: Cli, log: &LogFilter) -> anyhow::Result<Exit> {
    let Cli { config: file, json, token_file, language, command } = cli;
    let print = output::Printer::new(json, language.unwrap_or_else(output::language_of_locale));
    // Some commands need no configuration.
    let config = || -> anyhow::Result<Config> {
        let config = Config::read(&file)
            .context("the configuration cannot be used (--config FILE or PROVOST_CONFIG names its file)")?;
        Ok(Config { token_for_role: token_file.clone(), ..config })
    };
    match command {
        Command::Serve => compose::serve(&config()?, log).await,
        Command::Quickstart(arguments) => quickstart::run(arguments, log).await,
        Command::Proof(arguments) => quickstart::proof(&config()?, &arguments).await,
        Command::Import(arguments) => import::run(&config()?, &arguments, &print).await,
        Command::Plan(arguments) => plan::run(&config()?, arguments, &print).await,
        Command::Apply(arguments) => apply::run(&config()?, &arguments, &print).await,
        Command::Undo(arguments) => undo::run(&config()?, &arguments, &print).await,
        Command::Person(command) => person::run(&config()?, command, &print).await,
        Command::Explain(arguments) => explain::run(&config()?, &arguments, &print).await,
        Command::Vacation(command) => vacation::run(&config()?, command, &print).await,
        Command::Activation(command) => activation::run(&config()?, command, &print).await,
        Command::Address(command) => address::run(&config()?, command, &print).await,
        Command::Directory(command) => directory::run(&config()?, command, &print).await,
        Command::Roles(command) => roles::run(&command, &print),
        Command::Token(command) => token::run(&config()?, command, &print).await,
        Command::Audit(command) => audit::run(&config()?, command, &print).await,
        Command::Queue(command) => queue::run(&config()?, command, &print).await,
        Command::Trace(arguments) => trace::run(&config()?, arguments, &print).await,
        Command::Settings(command) => settings::run(&config()?, command, &print).await,
        Command::Lifecycle(command) => lifecycle::run(&config()?, command, &print).await,
        Command::Source(command) => source::run(&config()?, command, &print).await,
        Command::Policy(command) => policy::run(&config()?, command, &print).await,
        Command::Group(command) => group::run(&config()?, command, &print).await,
        Command::Webhook(command) => webhook::run(&config()?, command, &print).await,
        Command::Doctor => doctor::run(&config()?, &file, &print).await,
    }
}

//! `provost activation send|letters`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use provost_provision::{ActivationSelection, DeskError, LetterPages, LetterSite};
use serde::Serialize;

use super::DeskAccess;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

/// People whose links are made at once: enough to keep the directory busy.
const IN_FLIGHT: usize = 16;

/// Invitations of people who have no password.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Mail one-time links to private addresses. With the link, a person chooses a password.
    #[command(after_help = "Examples:
  provost activation send zoe.tremblay
  provost activation send --batch 0199c3d2-7e1f-7a10-9d54-3c7f2f1f8f10
  provost activation send --all-invited --again
The mails are sent by the node; they wait if none is running. Links need the setting web-url and end after
activation-days. A person named here may have a password, which the link replaces when it is used. With --batch,
--all-invited or --without-password, people who have a password or a link that still works are left out.")]
    Send {
        /// Whom to invite.
        #[command(flatten)]
        whom: Whom,
    },
    /// Print letters: one page for each person, with the code that activates the account, for people without a private
    /// address.
    #[command(after_help = "Examples:
  provost activation letters --batch 0199c3d2-7e1f-7a10-9d54-3c7f2f1f8f10 --out letters.html
  provost activation letters bo.li --out bo.html
Open the file in a browser and print it. It holds codes that open accounts: only its owner may read it; delete it
after printing. Every run makes new codes, and earlier links and letters of these people end.")]
    Letters {
        /// Whom to invite.
        #[command(flatten)]
        whom: Whom,
        /// The file to write; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Whom a command concerns.
#[derive(Args)]
#[group(id = "whom", required = true, multiple = false)]
pub(crate) struct Selection {
    /// Logins, addresses, registrar's numbers, or provostPersonIds.
    person: Vec<String>,
    /// The people whom this import wrote last; `provost undo` lists the imports.
    #[arg(long)]
    batch: Option<String>,
    /// The people in state `invited`.
    #[arg(long)]
    all_invited: bool,
    /// Everyone who may log in and has no password.
    #[arg(long)]
    without_password: bool,
}

/// Whom a command concerns, and whether again.
#[derive(Args)]
pub(crate) struct Whom {
    #[command(flatten)]
    selection: Selection,
    /// Also people who have a link that still works; it ends.
    #[arg(long)]
    again: bool,
}

/// The result of a command.
#[derive(Serialize)]
struct Invited {
    /// Number of links or letters that were made.
    done: usize,
    /// People who have a link that still works, and were left out.
    with_link: usize,
    /// Each person who failed, with the reason.
    failed: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    person: String,
    reason: String,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access(config).await?;
    match command {
        Command::Send { whom } => send(&access, whom, print).await,
        Command::Letters { whom, out } => letters(&access, whom, &out, print).await,
    }
}

async fn send(access: &DeskAccess, whom: Whom, print: &Printer) -> anyhow::Result<Exit> {
    let (people, with_link) = whom.people(access).await?;
    let (desk, principal) = (&access.desk, &access.principal);
    let mut sending = futures_util::stream::iter(people)
        .map(|person| async move {
            let sent = desk.send_activation(principal, &person).await;
            (person, sent)
        })
        .buffer_unordered(IN_FLIGHT);
    let mut invited = Invited { done: 0, with_link, failed: Vec::new() };
    while let Some((person, sent)) = sending.next().await {
        match sent {
            Ok(_) => invited.done += 1,
            Err(error) => invited.fail(person, error)?,
        }
    }
    report(&invited, "link mailed", "links mailed", print)
}

async fn letters(access: &DeskAccess, whom: Whom, out: &PathBuf, print: &Printer) -> anyhow::Result<Exit> {
    let site = LetterSite::of(&access.settings).context(
        "the setting web-url is not stated, so a letter would lead nowhere: \
         provost settings set web-url https://ADDRESS-OF-THE-PAGES",
    )?;
    let (people, with_link) = whom.people(access).await?;
    let pages = LetterPages::new(site);
    // The codes open accounts, so nobody else may read the file, and no earlier file is overwritten.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let mut file = file.with_context(|| format!("{} cannot be made", out.display()))?;
    let mut write = |text: &str| file.write_all(text.as_bytes()).with_context(|| format!("{}", out.display()));
    write(&pages.head()?)?;
    let mut invited = Invited { done: 0, with_link, failed: Vec::new() };
    // One after the other, each on the disk before the next: whatever interrupts this, few codes are lost.
    for person in people {
        match access.desk.activation_letter(&access.principal, &person).await {
            Ok(letter) => {
                write(&pages.page(&letter)?)?;
                invited.done += 1;
            }
            Err(error) => invited.fail(person, error)?,
        }
    }
    write(pages.foot())?;
    file.sync_all().with_context(|| format!("{}", out.display()))?;
    report(&invited, "letter written", "letters written", print)
}

impl Whom {
    /// The keys of the people, and how many were left out because they have a link.
    async fn people(self, access: &DeskAccess) -> anyhow::Result<(Vec<String>, usize)> {
        let Selection { person, batch, all_invited, .. } = self.selection;
        if !person.is_empty() {
            return Ok((person, 0));
        }
        let selection = match batch {
            Some(batch) => ActivationSelection::Batch(batch),
            None if all_invited => ActivationSelection::Invited,
            None => ActivationSelection::WithoutPassword,
        };
        let mut found = access.desk.activation_candidates(&access.principal, &selection).await?;
        if self.again {
            found.people.append(&mut found.with_link);
        }
        found.people.sort_unstable();
        Ok((found.people, found.with_link.len()))
    }
}

impl Invited {
    /// Counts a person who failed. A failure that concerns everyone ends the command.
    fn fail(&mut self, person: String, error: DeskError) -> anyhow::Result<()> {
        match error {
            DeskError::NotAllowed(_) if self.done > 0 || !self.failed.is_empty() => {}
            DeskError::Unavailable(_)
            | DeskError::AuditUnavailable(_)
            | DeskError::Refused(_)
            | DeskError::NotAllowed(_) => {
                if self.done > 0 {
                    err!("{} done before the failure; the same command goes on with the others", self.done);
                }
                bail!(error);
            }
            _ => {}
        }
        self.failed.push(Failure { person, reason: error.to_string() });
        Ok(())
    }
}

fn report(invited: &Invited, one: &str, many: &str, print: &Printer) -> anyhow::Result<Exit> {
    print.show(invited, |invited| {
        for Failure { person, reason } in &invited.failed {
            out!("{}: {}", printable(person), printable(reason));
        }
        out!("{}", counted(invited.done, one, many));
        if invited.with_link > 0 {
            out!(
                "{} left out: a link that still works; --again replaces it",
                counted(invited.with_link, "person", "people")
            );
        }
        if !invited.failed.is_empty() {
            out!("{} failed", counted(invited.failed.len(), "person", "people"));
        }
    })?;
    Ok(if invited.failed.is_empty() { Exit::Clean } else { Exit::RowsRejected })
}

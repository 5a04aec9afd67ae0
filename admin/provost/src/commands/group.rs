//! `provost group list|show|create|set|add|remove|delete`: groups of people and their mailing lists.

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use provost_provision::{GroupDetail, GroupMember, GroupRules, GroupSummary};
use serde_json::json;

use super::moment::Moment;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Operations on groups.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the groups.
    #[command(after_help = "Example: provost group list")]
    List,
    /// Show a group: its addresses, rules, owners and members, and why each person is a member.
    #[command(after_help = "Example: provost group show maths-staff")]
    Show {
        /// Name of the group.
        group: String,
    },
    /// Create a group, with --address as a mailing list.
    #[command(after_help = "Examples:
  provost group create maths-staff --address maths-staff@example.edu --owner zoe.tremblay --post site
  provost group create all-civil --address all-civil@example.edu --post owners \\
    --filter '(&(eduPersonAffiliation=student)(provostProgram=CIVIL))' --owner li.wei")]
    Create {
        /// Name: a-z, 0-9, '-', '.' and '_'.
        group: String,
        /// Address of the list, in a served domain.
        #[arg(long)]
        address: Option<String>,
        #[command(flatten)]
        rules: RuleArguments,
    },
    /// Change the rules of a group; what is not stated stays.
    #[command(after_help = "Examples:
  provost group set maths-staff --post members --post dean@example.edu
  provost group set maths-staff --message-size 0     # no limit of its own
  provost group set maths-staff --until 2027-06-30   # refuses mail after that day")]
    Set {
        /// Name of the group.
        group: String,
        #[command(flatten)]
        rules: RuleArguments,
    },
    /// Add members: people, groups and addresses elsewhere.
    #[command(
        after_help = "Example: provost group add maths-staff zoe.tremblay group:maths-teachers guest@example.org"
    )]
    Add {
        /// Name of the group.
        group: String,
        /// Login, address or number of a person, group:NAME, or an address elsewhere.
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Remove members.
    #[command(after_help = "Example: provost group remove maths-staff zoe.tremblay")]
    Remove {
        /// Name of the group.
        group: String,
        /// Login, address or number of a person, group:NAME, or an address elsewhere.
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Delete a group. Its addresses go into quarantine (setting address-quarantine).
    #[command(after_help = "Example: provost group delete maths-2026")]
    Delete {
        /// Name of the group.
        group: String,
    },
}

/// What a group does as a list.
#[derive(Args)]
pub(crate) struct RuleArguments {
    /// What the group is for.
    #[arg(long)]
    description: Option<String>,
    /// LDAP filter over people, who are then members; '' removes it. docs/groups.md lists the attributes.
    #[arg(long)]
    filter: Option<String>,
    /// Who may send, besides the owners: anyone, members, owners, site, group:NAME, or an address. Several are allowed.
    #[arg(long = "post", value_name = "WHO")]
    posters: Option<Vec<String>>,
    /// Owner: login, address or number of a person. Several are allowed; they replace the present ones.
    #[arg(long = "owner", value_name = "PERSON")]
    owners: Option<Vec<String>>,
    /// Largest message, octets; 0 removes the limit.
    #[arg(long, value_name = "OCTETS")]
    message_size: Option<u64>,
    /// Last day on which the list takes mail, or the exact time of its end.
    #[arg(long, value_parser = super::moment::parse)]
    until: Option<Moment>,
}

impl RuleArguments {
    fn rules(self, zone: &TimeZone) -> GroupRules {
        GroupRules {
            description: self.description,
            filter: self.filter,
            posters: self.posters,
            owners: self.owners,
            message_octets_max: self.message_size,
            until: self.until.map(|until| until.end(zone)),
        }
    }
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    let zone = &settings.time_zone;
    match command {
        Command::List => {
            let groups = desk.groups(&principal).await?;
            print.show(&groups, |groups| groups.iter().for_each(line))?;
        }
        Command::Show { group } => print.show(&desk.group(&principal, &group).await?, detail)?,
        Command::Create { group, address, rules } => {
            let created = desk.create_group(&principal, &group, address.as_deref(), &rules.rules(zone)).await?;
            print.show(&json!({ "audit": created }), |_| out!("group {group} created"))?;
        }
        Command::Set { group, rules } => {
            let audit_id = desk.set_group(&principal, &group, &rules.rules(zone)).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("group {group} changed"))?;
        }
        Command::Add { group, members } => {
            let audit_id = desk.change_members(&principal, &group, &members, &[]).await?;
            print.show(&json!({ "audit": audit_id }), |_| changed(&group, audit_id.is_some()))?;
        }
        Command::Remove { group, members } => {
            let audit_id = desk.change_members(&principal, &group, &[], &members).await?;
            print.show(&json!({ "audit": audit_id }), |_| changed(&group, audit_id.is_some()))?;
        }
        Command::Delete { group } => {
            if group.is_empty() {
                bail!("state the name of the group");
            }
            let audit_id = desk.delete_group(&principal, &group).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("group {group} deleted"))?;
        }
    }
    Ok(Exit::Clean)
}

fn changed(group: &str, is_changed: bool) {
    match is_changed {
        true => out!("group {group} changed"),
        false => out!("nothing to change in group {group}"),
    }
}

fn line(group: &GroupSummary) {
    let until = group.until.as_deref().map_or_else(String::new, |until| format!(" until {}", printable(until)));
    let description = group.description.as_deref().unwrap_or_default();
    out!("{:<32} {:<9}{until} {}", printable(&group.name), printable(&group.kind), printable(description));
}

fn detail(group: &GroupDetail) {
    line(&group.summary);
    for address in &group.addresses {
        out!("  address  {}", printable(address));
    }
    let of_class: Vec<&str> =
        [&group.summary.course, &group.summary.term].into_iter().flatten().map(String::as_str).collect();
    if !of_class.is_empty() {
        out!("  class    {}", printable(&of_class.join(", ")));
    }
    out!("  may send {}", printable(&group.summary.posters.join(", ")));
    if let Some(filter) = &group.summary.filter {
        out!("  filter   {}", printable(filter));
    }
    if let Some(octets) = group.summary.message_octets_max {
        out!("  at most  {octets} octets a message");
    }
    group.owners.iter().for_each(|owner| member("owner", owner));
    group.members.iter().for_each(|one| member("member", one));
    if group.has_more_members {
        out!("  and more members that are not shown");
    }
}

fn member(what: &str, one: &GroupMember) {
    let mail = one.mail.as_deref().unwrap_or("-");
    out!("  {what:<8} {} <{}> {} ({})", printable(&one.name), printable(mail), printable(&one.key), one.why);
}

//! `provost token create|list|revoke`: tokens of programs that use the REST API.

use anyhow::bail;
use clap::Subcommand;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use provost_api::{NewToken, TOKEN_DAYS_MAX, TokenInfo, Tokens};
use provost_provision::Role;
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

/// Operations on tokens.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a token and print it. It is shown only once.
    #[command(after_help = "Examples:
  provost token create ticket-system --role helpdesk1 --expires 90d
  provost token create registrar-upload --role registrar --expires 2027-08-31
  provost token create ada-scripts --role admin --expires 30d --person ada.lovelace
What each role may do: provost roles show")]
    Create {
        /// Name of the token in the audit: a-z, 0-9, '-' and '_'.
        name: String,
        /// Role: registrar, helpdesk1, helpdesk2, postmaster, admin or auditor.
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// Expiry: a number of days as in 90d, or the last day as YYYY-MM-DD; at most two years from now.
        #[arg(long)]
        expires: String,
        /// The person to whom the token belongs, who must have the role: the token is refused once the person may not log
        /// in or no longer has the role. Without it, the token is that of a program.
        #[arg(long)]
        person: Option<String>,
    },
    /// List the valid tokens that 'provost token create' made; those of api.tokens_file are not shown.
    #[command(after_help = "Example: provost token list")]
    List,
    /// Revoke a token at once, on every node.
    #[command(after_help = "Example: provost token revoke ticket-system")]
    Revoke {
        /// Name of the token, as 'provost token list' prints it.
        name: String,
    },
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text)
        .ok_or_else(|| "expected one of registrar, helpdesk1, helpdesk2, postmaster, admin, auditor".to_owned())
}

#[derive(Serialize)]
struct CreatedToken {
    name: String,
    token: String,
    role: &'static str,
    expires: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    audit_id: String,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let access = match &command {
        Command::Create { person: Some(_), .. } => super::desk_access(config).await?,
        _ => super::desk_access_without_directory(config).await?,
    };
    let (desk, principal, now) = (&access.desk, &access.principal, Timestamp::now());
    let no_fixed_tokens = Vec::new();
    let tokens = Tokens::new(access.state.clone(), no_fixed_tokens);
    match command {
        Command::Create { name, role, expires, person } => {
            let expires = end_of(&expires, now, &access.settings.time_zone)?;
            let new = NewToken { name: name.clone(), role, expires, person: person.clone() };
            let (token, audit_id) = tokens.create(desk, principal, &new, now).await?;
            let created = CreatedToken { name, token, role: role.name(), expires, person, audit_id };
            print.show(&created, |created| {
                out!("{}", created.token);
                err!("The token is shown only once. Role {}, valid until {}.", created.role, created.expires);
            })?;
        }
        Command::List => print.show(&tokens.list(desk, principal, now).await?, |tokens| list(tokens))?,
        Command::Revoke { name } => {
            let audit_id = tokens.revoke(desk, principal, &name, now).await?;
            print.show(&audit_id, |_| out!("{name} revoked"))?;
        }
    }
    Ok(Exit::Clean)
}

fn list(tokens: &[TokenInfo]) {
    for token in tokens {
        let of = token.person.as_ref().map(|person| format!(", of {}", printable(person))).unwrap_or_default();
        out!("{:<24} {:<11} until {}, by {}{of}", token.name, token.role, token.expires, printable(&token.created_by));
    }
    out!("{} valid", counted(tokens.len(), "token", "tokens"));
}

/// Reads an expiry: `90d` from now, or the end of the given day in `zone`.
fn end_of(text: &str, now: Timestamp, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            bail!("--expires must be 1d to {TOKEN_DAYS_MAX}d");
        }
        return Ok(now.checked_add(Span::new().try_hours(24 * days)?)?);
    }
    let Ok(day) = text.parse::<Date>() else {
        bail!("--expires: expected a number of days such as 90d, or a date such as 2027-08-31");
    };
    Ok(zone.to_timestamp(day.tomorrow()?.at(0, 0, 0, 0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_number_of_days_or_a_last_day() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let now: Timestamp = "2026-09-01T12:00:00Z".parse().unwrap();
        assert_eq!(end_of("1d", now, &zone).unwrap().to_string(), "2026-09-02T12:00:00Z");
        assert_eq!(
            end_of("2026-09-01", now, &zone).unwrap().to_string(),
            "2026-09-02T04:00:00Z",
            "not the end of the last day"
        );
        for text in ["", "0d", "733d", "-1d", "soon", "2026-13-01", "99999999999999999999d"] {
            assert!(end_of(text, now, &zone).is_err(), "{text}");
        }
    }
}

//! Changes of the settings that all nodes share, by OpenLDAP's tools and by `provost settings`, and how soon a running
//! node applies them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::ldap::{Ldap, SUFFIX};
use crate::{Ran, deadline, mail, run};

/// Longest time until a node applies a changed setting.
const EFFECT_LIMIT: Duration = Duration::from_secs(1);
/// Octets of a message that exceeds the smaller of the two quotas, and not the larger.
const LARGE: usize = 2_500_000;

/// A running node, its directory, and a function that runs its command.
pub struct Site<'a> {
    /// The writable directory.
    pub ldap: &'a Ldap,
    /// Runs `provost` with the node's configuration.
    pub provost: &'a dyn Fn(&[&str]) -> Ran,
    /// The node's LMTP listener.
    pub lmtp: SocketAddr,
    /// The node's HTTP listener.
    pub http: SocketAddr,
    /// A token of its REST API.
    pub token: String,
    /// Address of a person without a quota of their own and with an empty mailbox.
    pub person: String,
}

impl Site<'_> {
    /// Adds the entry of a setting by `ldapadd`.
    fn add(&self, container: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let entry =
            format!("dn: {}\nobjectClass: provostSetting\ncn: {name}\nprovostValue: {value}\n", dn_of(container, name));
        self.ldap.feed("ldapadd", &entry)?.good().map(drop)
    }

    /// Changes the entry of a setting by `ldapmodify`.
    fn modify(&self, container: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let dn = dn_of(container, name);
        let change = format!("dn: {dn}\nchangetype: modify\nreplace: provostValue\nprovostValue: {value}\n");
        self.ldap.feed("ldapmodify", &change)?.good().map(drop)
    }

    /// Waits until the node reports that the setting has this value from this source. Returns the time that passed.
    fn until_shown(&self, name: &str, value: &str, from: &str) -> anyhow::Result<Duration> {
        let is_shown = || {
            let output = self.show()?;
            let mut lines = output.lines().skip_while(|line| !line.split_whitespace().take(2).eq([name, value]));
            let origin = lines.nth(1).unwrap_or_default();
            Ok(origin.ends_with(&format!("from: {from}")).then_some(()))
        };
        let waited = deadline::until(EFFECT_LIMIT, is_shown).with_context(|| format!("{name} {value} from {from}"));
        waited.map(|((), after)| after).with_context(|| self.show().unwrap_or_default())
    }

    /// The output of `provost settings show`; an error unless the running node answered.
    fn show(&self) -> anyhow::Result<String> {
        let output = (self.provost)(&["settings", "show"]).good()?;
        ensure!(!output.contains("values are not available"), "the node did not answer:\n{output}");
        Ok(output)
    }

    /// Delivers a message of [`LARGE`] octets; an error when it is refused.
    fn deliver_large(&self) -> anyhow::Result<()> {
        let text = format!(
            "Subject: large\r\n\r\n{}",
            "0123456789abcdef0123456789abcdef012345678901234567890123456789\r\n".repeat(LARGE / 64)
        );
        mail::send(self.lmtp, None, "a@example.net", &[&self.person], &text)
    }

    /// A changed default quota applies to deliveries within `EFFECT_LIMIT`.
    pub fn a_default_quota_is_obeyed(&self) -> anyhow::Result<()> {
        let dn = dn_of("policies", "default-quota");
        ensure!(self.show()?.contains("from: default"), "{}", self.show()?);
        self.add("policies", "default-quota", "2000000")?;
        let is_refused = || match self.deliver_large() {
            Err(error) if format!("{error:#}").contains("552") => Ok(Some(())),
            other => other.map(|()| None),
        };
        let ((), after) = deadline::until(EFFECT_LIMIT, is_refused).context("waiting for a refusal as over quota")?;
        println!("default-quota obeyed by a delivery {after:?} after ldapadd ended");
        self.until_shown("default-quota", "2000000", &dn)?;
        self.modify("policies", "default-quota", "90000000")?;
        let is_accepted = || Ok(self.deliver_large().is_ok().then_some(()));
        let ((), after) =
            deadline::until(EFFECT_LIMIT, is_accepted).context("waiting for the message to be accepted")?;
        println!("default-quota obeyed by a delivery {after:?} after ldapmodify ended");
        Ok(())
    }

    /// A changed time zone applies to the days in REST within `EFFECT_LIMIT`.
    pub fn a_time_zone_is_obeyed(&self) -> anyhow::Result<()> {
        let person = self.ldap.dn(&format!("(mail={})", self.person))?;
        // Late in the evening of the last day of 2026 in Toronto, the next day in Paris.
        let vacation = format!(
            "dn: {person}\nchangetype: modify\nreplace: mailAutoReplyMode\nmailAutoReplyMode: reply\n-\n\
             replace: vacationStartDate\nvacationStartDate: 20270101040000Z\n-\n\
             replace: mailAutoReplyText;lang-fr\nmailAutoReplyText;lang-fr: Absente\n"
        );
        self.ldap.feed("ldapmodify", &vacation)?.good()?;
        ensure!(self.vacation()?.contains("\"2026-12-31\""), "{}", self.vacation()?);
        self.add("policies", "time-zone", "Europe/Paris")?;
        let next_day = || Ok(self.vacation()?.contains("\"2027-01-01\"").then_some(()));
        let ((), after) = deadline::until(EFFECT_LIMIT, next_day).context("waiting for the day in Paris")?;
        println!("time-zone obeyed by REST {after:?} after ldapadd ended");
        self.modify("policies", "time-zone", "America/Toronto")?;
        let day_before = || Ok(self.vacation()?.contains("\"2026-12-31\"").then_some(()));
        let ((), after) = deadline::until(EFFECT_LIMIT, day_before).context("waiting for the day in Toronto")?;
        println!("time-zone obeyed by REST {after:?} after ldapmodify ended");
        Ok(())
    }

    /// The person's resource in REST, which has the vacation rule.
    fn vacation(&self) -> anyhow::Result<String> {
        let url = format!("http://{}/api/v1/people/{}", self.http, self.person);
        let token = format!("Authorization: Bearer {}", self.token);
        run(Command::new("curl").args(["--silent", "--show-error", "--fail", "-H", &token, &url]))?.good()
    }

    /// A guard limit is in force within `EFFECT_LIMIT`; an invalid one is reported and ignored.
    pub fn a_guard_is_obeyed_and_a_bad_one_ignored(&self) -> anyhow::Result<()> {
        let dn = dn_of("policies", "removal-guard");
        self.add("policies", "removal-guard", "20")?;
        self.modify("policies", "removal-guard", "33")?;
        println!("removal-guard shown {:?} after ldapmodify ended", self.until_shown("removal-guard", "33", &dn)?);
        self.modify("policies", "removal-guard", "500")?;
        let after = self.until_shown("removal-guard", "33", &format!("last good value of {dn}"))?;
        println!("a bad removal-guard reported {after:?} after ldapmodify ended");
        self.the_bad_guard_is_reported()
    }

    /// `settings show` and `doctor` report the invalid value: 500 is stated, and 33 is in force.
    pub fn the_bad_guard_is_reported(&self) -> anyhow::Result<()> {
        let dn = dn_of("policies", "removal-guard");
        self.until_shown("removal-guard", "33", &format!("last good value of {dn}"))?;
        let output = self.show()?;
        let report = "BAD removal-guard: '500' is not in force; rule: a whole number from 1 to 100";
        ensure!(output.contains(report) && output.contains(&dn), "{output}");
        let doctor = (self.provost)(&["doctor"]);
        let finding = format!("BAD  {dn}: '500' is not in force; rule: a whole number from 1 to 100");
        ensure!(doctor.code == Some(1) && doctor.out.contains(&finding), "{doctor:?}");
        Ok(())
    }

    /// `settings set` refuses an invalid value with the rule, and writes a valid one; `unset` restores the default.
    pub fn the_command_refuses_what_is_bad(&self) -> anyhow::Result<()> {
        for (arguments, rule) in [
            (["removal-guard", "101"], "a whole number from 1 to 100"),
            (["time-zone", "Amerika/Toronto"], "time zone database"),
            (["mail-domain", "not.served.example"], "a served domain"),
            (["no-such", "1"], "no setting is named 'no-such'"),
            (["default-quota", "5 GB"], "1048576"),
        ] {
            let refused = (self.provost)(&["settings", "set", arguments[0], arguments[1]]);
            let names_rule_and_setting = refused.err.contains(rule) && refused.err.contains(arguments[0]);
            ensure!(refused.code == Some(1) && names_rule_and_setting, "{arguments:?}: {refused:?}");
        }
        (self.provost)(&["settings", "set", "removal-guard", "25"]).good()?;
        let after = self.until_shown("removal-guard", "25", &dn_of("policies", "removal-guard"))?;
        println!("removal-guard shown {after:?} after 'settings set' ended");
        ensure!(!self.show()?.contains("BAD"), "{}", self.show()?);
        (self.provost)(&["settings", "set", "message-size", "1000000"]).good()?;
        self.until_shown("message-size", "1000000", &dn_of("services", "message-size"))?;
        (self.provost)(&["settings", "unset", "message-size"]).good()?;
        self.until_shown("message-size", "52428800", "default")?;
        ensure!(
            (self.provost)(&["settings", "unset", "message-size"]).code == Some(1),
            "unset of an unset setting must fail"
        );
        Ok(())
    }
}

fn dn_of(container: &str, name: &str) -> String {
    format!("cn={name},ou={container},{SUFFIX}")
}

//! Mailing lists of a running site: static ones, by filter, with owners, posters and an end.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::ldap::Ldap;
use crate::{MailSink, Port, Ran, SamplePerson, deadline, mail};

/// Time within which a change must show.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest wait for what has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// A site with three people of the sample file, all in the programme `Arts`.
pub struct ListSite<'a> {
    /// The address of each listener.
    pub address: &'a dyn Fn(Port) -> SocketAddr,
    /// Runs the program.
    pub provost: &'a dyn Fn(&[&str]) -> anyhow::Result<Ran>,
    /// The directory, with an identity that may write.
    pub ldap: &'a Ldap,
    /// Where mail to other sites goes.
    pub sink: &'a MailSink,
    /// A folder for files to import.
    pub folder: &'a Path,
}

impl ListSite<'_> {
    /// Everything that a list does, one after the other.
    pub fn lists_work(&self) -> anyhow::Result<()> {
        self.a_static_list_reaches_its_members()?;
        self.who_may_send_shows_in_time()?;
        self.a_filter_list_follows_people()?;
        self.a_class_reaches_its_members()?;
        self.a_list_ends()
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        (self.provost)(arguments)?.good()
    }

    fn a_static_list_reaches_its_members(&self) -> anyhow::Result<()> {
        let (one, two) = (SamplePerson::of(1), SamplePerson::of(2));
        self.run(&["group", "create", "maths", "--address", "maths@example.edu", "--owner", &one.uid()])?;
        self.run(&["group", "add", "maths", &one.uid(), &two.uid(), "guest@far.example.net"])?;
        let shown = self.run(&["group", "show", "maths"])?;
        ensure!(shown.contains("maths@example.edu") && shown.contains(&two.uid()), "{shown}");
        self.wait_rcpt(Some(&two), "maths@example.edu", "250", "a new member may send")?;
        self.post(&two, "maths@example.edu", "static")?;
        for person in [&one, &two] {
            let message = self.received(person, "static")?;
            for part in ["List-Id: <maths.example.edu>", "Return-Path: <maths-owner@example.edu>", "Precedence: list"] {
                ensure!(message.contains(part), "{part} is missing: {message}");
            }
        }
        let outside = self.sink.wait_for("guest@far.example.net", PATIENCE)?;
        let copy = String::from_utf8_lossy(&outside.text);
        ensure!(copy.contains("List-Post: <mailto:maths@example.edu>"), "{copy}");
        ensure!(outside.reverse_path == "maths-owner@example.edu", "{}", outside.reverse_path);
        // A report, which has no sender, reaches the owner.
        mail::send((self.address)(Port::Mx), None, "", &["maths-owner@example.edu"], &text("report"))?;
        self.received(&one, "report").map(drop)
    }

    fn who_may_send_shows_in_time(&self) -> anyhow::Result<()> {
        let three = SamplePerson::of(3);
        self.expect_rcpt(None, "maths@example.edu", "550 5.7.2")?;
        self.expect_rcpt(Some(&three), "maths@example.edu", "550 5.7.2")?;
        self.run(&["group", "set", "maths", "--post", "site"])?;
        self.wait_rcpt(Some(&three), "maths@example.edu", "250", "the people of the site may send")?;
        self.expect_rcpt(None, "maths@example.edu", "550 5.7.2")?;
        self.run(&["group", "set", "maths", "--post", "anyone", "--message-size", "2000"])?;
        self.wait_rcpt(None, "maths@example.edu", "250", "anyone may send")?;
        let long = format!("{}{}", text("too long"), "x\r\n".repeat(1000));
        let sent = mail::send((self.address)(Port::Mx), None, "a@example.net", &["maths@example.edu"], &long);
        ensure!(sent.as_ref().is_err_and(|error| format!("{error:#}").contains("552 5.3.4")), "{sent:?}");
        Ok(())
    }

    fn a_filter_list_follows_people(&self) -> anyhow::Result<()> {
        let three = SamplePerson::of(3);
        let filter = "(&(eduPersonAffiliation=student)(provostProgram=arts))";
        self.run(&["group", "create", "arts", "--address", "arts@example.edu", "--filter", filter])?;
        self.wait_rcpt(Some(&three), "arts@example.edu", "250", "who matches a filter may send")?;
        self.post(&three, "arts@example.edu", "filtered")?;
        for number in 1..=3 {
            self.received(&SamplePerson::of(number), "filtered")?;
        }
        let shown = self.run(&["group", "show", "arts"])?;
        ensure!(shown.contains(&three.uid()) && shown.contains("(filter)"), "{shown}");
        let dn = self.ldap.dn(&format!("(uid={})", three.uid()))?;
        let change = format!("dn: {dn}\nchangetype: modify\nreplace: provostProgram\nprovostProgram: Law\n");
        self.ldap.feed("ldapmodify", &change)?.good()?;
        self.wait_rcpt(Some(&three), "arts@example.edu", "550 5.7.2", "who changes leaves the filter's list")
    }

    fn a_class_reaches_its_members(&self) -> anyhow::Result<()> {
        let (one, two, three) = (SamplePerson::of(1), SamplePerson::of(2), SamplePerson::of(3));
        let (profile, file) = (self.folder.join("timetable.source"), self.folder.join("timetable.csv"));
        let (profile, file) = (profile.to_str().unwrap_or_default(), file.to_str().unwrap_or_default());
        std::fs::write(profile, "format enrolments\nnumbers-of registrar\n")?;
        self.run(&["source", "set", "timetable", profile])?;
        let header = "person_id,course,section,title,term,term_end,role\n";
        let class = "PHY101,A,Mechanics,Fall 2037,2037-12-31";
        std::fs::write(file, format!("{header}T0001,{class},teacher\nT0002,{class},\n"))?;
        let ran = self.run(&["import", file, "--source", "timetable"])?;
        ensure!(ran.contains("class phy101-a-fall-2037 is new (PHY101 A): 2 members"), "{ran}");
        let list = "phy101-a-fall-2037@example.edu";
        self.wait_rcpt(Some(&two), list, "250", "who takes a class may send to it")?;
        self.post(&two, list, "class")?;
        self.received(&one, "class")?;
        self.received(&two, "class")?;
        self.expect_rcpt(Some(&three), list, "550 5.7.2")?;
        // The next complete file names another student instead.
        std::fs::write(file, format!("{header}T0001,{class},teacher\nT0003,{class},student\nT9999,{class},\n"))?;
        let ran = self.run(&["import", file, "--source", "timetable"])?;
        // Somebody unknown may be a member with a damaged number: nobody is taken out.
        ensure!(ran.contains("+1 -0 members") && ran.contains("[enrolment.person]"), "{ran}");
        self.wait_rcpt(Some(&three), list, "250", "a new student may send")?;
        std::fs::write(file, format!("{header}T0001,{class},teacher\nT0003,{class},student\n"))?;
        let ran = self.run(&["import", file, "--source", "timetable"])?;
        ensure!(ran.contains("+0 -1 members"), "{ran}");
        self.wait_rcpt(Some(&two), list, "550 5.7.2", "who has left may not send")
    }

    fn a_list_ends(&self) -> anyhow::Result<()> {
        self.run(&["group", "set", "maths", "--until", "2026-01-31"])?;
        self.wait_rcpt(None, "maths@example.edu", "550 5.2.1", "a list that has ended refuses mail")?;
        self.run(&["group", "delete", "maths"])?;
        self.wait_rcpt(None, "maths@example.edu", "550 5.1.1", "a list that is deleted is unknown")
    }

    fn rcpt(&self, sender: Option<&SamplePerson>, list: &str) -> anyhow::Result<String> {
        match sender {
            Some(person) => {
                let login = (person.uid(), person.password());
                mail::rcpt_reply_as((self.address)(Port::Submission), (&login.0, &login.1), &person.mail(), list)
            }
            None => mail::rcpt_reply((self.address)(Port::Mx), list),
        }
    }

    fn expect_rcpt(&self, sender: Option<&SamplePerson>, list: &str, reply: &str) -> anyhow::Result<()> {
        let found = self.rcpt(sender, list)?;
        ensure!(found.starts_with(reply), "{sender:?} to {list}: {found}, not {reply}");
        Ok(())
    }

    /// Waits for the reply to RCPT; `what` must be so within [`LIMIT`] from now, when the change is written.
    fn wait_rcpt(&self, sender: Option<&SamplePerson>, list: &str, reply: &str, what: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        deadline::until(PATIENCE, || Ok(self.rcpt(sender, list)?.starts_with(reply).then_some(())))?;
        let passed = since.elapsed();
        println!("{what}: {passed:?} after the directory's answer");
        ensure!(passed < LIMIT, "{what}: only after {passed:?}");
        Ok(())
    }

    fn post(&self, sender: &SamplePerson, list: &str, subject: &str) -> anyhow::Result<()> {
        let (uid, password) = (sender.uid(), sender.password());
        let login = Some((uid.as_str(), password.as_str()));
        mail::send((self.address)(Port::Submission), login, &sender.mail(), &[list], &text(subject))
    }

    /// The message with this subject in the person's INBOX, of which there must be one.
    fn received(&self, person: &SamplePerson, subject: &str) -> anyhow::Result<String> {
        let wanted = format!("Subject: {subject}\r\n");
        let (found, _) = deadline::until(PATIENCE, || {
            let all = mail::inbox((self.address)(Port::Imap), &person.uid(), &person.password())?;
            let found: Vec<String> = all.into_iter().filter(|message| message.contains(&wanted)).collect();
            Ok((!found.is_empty()).then_some(found))
        })?;
        ensure!(found.len() == 1, "{} copies for {}", found.len(), person.uid());
        Ok(found.into_iter().next().unwrap_or_default())
    }
}

fn text(subject: &str) -> String {
    format!("From: a@example.net\r\nSubject: {subject}\r\n\r\nx\r\n")
}

//! Changes of what a person may do, seen on sessions that are logged in, with the time that each takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::http::{HttpRequest, HttpResponse, send};
use crate::ldap::Ldap;
use crate::{MailSink, Port, TextClient, deadline, mail};

/// Time within which a change must show.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest wait for what has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// A site with one person whose rights are changed.
pub struct RestrictedPerson<'a> {
    /// The address of each listener.
    pub address: &'a dyn Fn(Port) -> SocketAddr,
    /// The directory, with an identity that may write.
    pub ldap: &'a Ldap,
    /// Where mail to other sites goes.
    pub sink: &'a MailSink,
    /// Login name.
    pub login: &'a str,
    /// Password.
    pub password: &'a str,
    /// Primary address.
    pub mail: &'a str,
    /// Makes a token of the role `admin` that belongs to the person, who has this role by then.
    pub make_token: &'a dyn Fn() -> anyhow::Result<String>,
}

impl RestrictedPerson<'_> {
    /// Changes attributes of the person, each with its values; none removes the attribute.
    fn set(&self, values: &[(&str, &[&str])]) -> anyhow::Result<()> {
        let mut ldif = format!("dn: {}\nchangetype: modify\n", self.ldap.dn(&format!("(uid={})", self.login))?);
        for (name, values) in values {
            ldif.push_str(&format!("replace: {name}\n"));
            values.iter().for_each(|value| ldif.push_str(&format!("{name}: {value}\n")));
            ldif.push_str("-\n");
        }
        self.ldap.feed("ldapmodify", &ldif)?.good().map(drop)
    }

    fn imap(&self) -> anyhow::Result<TextClient> {
        let mut client = TextClient::open((self.address)(Port::Imap))?;
        client.until(&["* OK"])?;
        client.ask(&format!("a LOGIN {} \"{}\"", self.login, self.password), &["a OK"])?;
        Ok(client)
    }

    fn pop3(&self) -> anyhow::Result<TextClient> {
        let mut client = TextClient::open((self.address)(Port::Pop3))?;
        client.until(&["+OK"])?;
        client.ask(&format!("USER {}", self.login), &["+OK"])?;
        client.ask(&format!("PASS {}", self.password), &["+OK"])?;
        Ok(client)
    }

    fn submission(&self) -> anyhow::Result<TextClient> {
        let mut client = TextClient::open((self.address)(Port::Submission))?;
        client.until(&["220 "])?;
        client.ask("EHLO client.example.net", &["250 "])?;
        let plain = crate::conversation::base64(format!("\0{}\0{}", self.login, self.password).as_bytes());
        client.ask(&format!("AUTH PLAIN {plain}"), &["235"])?;
        Ok(client)
    }

    fn wait_rcpt(&self, code: &str, since: Instant, what: &str) -> anyhow::Result<()> {
        let answered = || {
            let reply = mail::rcpt_reply((self.address)(Port::Mx), self.mail)?;
            Ok(reply.starts_with(code).then_some(()))
        };
        deadline::until(PATIENCE, answered)?;
        in_time(since, what)
    }

    /// All changes, one after the other; at the end the person may do everything again.
    pub fn each_change_shows_in_time(&self) -> anyhow::Result<()> {
        self.a_lock_ends_live_sessions()?;
        self.a_live_session_may_no_longer_send()?;
        self.live_sessions_may_only_read()?;
        self.mail_is_refused_or_only_forwarded()?;
        self.a_web_session_and_a_token_end_with_the_right_to_log_in()
    }

    fn a_lock_ends_live_sessions(&self) -> anyhow::Result<()> {
        let (mut idle, mut waiting, mut pop3) = (self.imap()?, self.imap()?, self.pop3()?);
        let mut submission = self.submission()?;
        idle.ask("b SELECT INBOX", &["b OK"])?;
        idle.ask("c IDLE", &["+ "])?;
        self.set(&[("provostLock", &["abuse 20260101000000Z - cli:helen spam", "fees 20260101000000Z - sis unpaid"])])?;
        let since = Instant::now();
        idle.until(&["* BYE"])?;
        waiting.until(&["* BYE"])?;
        pop3.until(&["-ERR"])?;
        submission.until(&["421"])?;
        in_time(since, "a lock ended IMAP (IDLE and waiting), POP3 and submission")?;
        ensure!(!self.logs_in()?, "a locked person logs in");
        self.wait_rcpt("250", Instant::now(), "a locked person still receives")?;
        // One lock of two is lifted, the other one ends by itself.
        self.set(&[("provostLock", &["fees 20260101000000Z - sis unpaid"])])?;
        ensure!(!self.logs_in()?, "one lock of two is lifted, and the person logs in");
        self.set(&[("provostLock", &["fees 20260101000000Z 20260201000000Z sis unpaid"])])?;
        let since = Instant::now();
        deadline::until(PATIENCE, || Ok(self.logs_in()?.then_some(())))?;
        in_time(since, "a lock that has ended allows login")?;
        self.set(&[("provostLock", &[])])
    }

    fn logs_in(&self) -> anyhow::Result<bool> {
        mail::logs_in_by_imap((self.address)(Port::Imap), self.login, self.password)
    }

    fn a_live_session_may_no_longer_send(&self) -> anyhow::Result<()> {
        let mut submission = self.submission()?;
        let from = format!("MAIL FROM:<{}>", self.mail);
        submission.ask(&from, &["250"])?;
        submission.ask("RSET", &["250"])?;
        self.set(&[("provostRestriction", &["no-send"])])?;
        let since = Instant::now();
        let refused = || {
            let reply = submission.ask(&from, &["250", "550"])?;
            submission.ask("RSET", &["250"])?;
            Ok(reply.last().is_some_and(|line| line.starts_with("550 5.7.1")).then_some(()))
        };
        deadline::until(PATIENCE, refused)?;
        in_time(since, "a live submission session may no longer send")?;
        ensure!(self.logs_in()?, "who may not send may still log in");
        self.set(&[("provostRestriction", &[])])
    }

    fn live_sessions_may_only_read(&self) -> anyhow::Result<()> {
        self.receive("to be read")?;
        deadline::until(PATIENCE, || {
            Ok((!mail::inbox((self.address)(Port::Imap), self.login, self.password)?.is_empty()).then_some(()))
        })?;
        let (mut idle, mut pop3) = (self.imap()?, self.pop3()?);
        idle.ask("b SELECT INBOX", &["b OK [READ-WRITE]"])?;
        idle.ask("c IDLE", &["+ "])?;
        pop3.ask("DELE 1", &["+OK"])?;
        self.set(&[("provostRestriction", &["read-only"])])?;
        let since = Instant::now();
        idle.until(&["* OK [READ-ONLY]"])?;
        pop3.ask("DELE 1", &["-ERR [SYS/PERM]"])?;
        in_time(since, "IMAP (IDLE) and POP3 may only read")?;
        pop3.ask("QUIT", &["-ERR [SYS/PERM]"])?;
        idle.ask("DONE", &["c OK"])?;
        for command in ["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 Trash", "CREATE new"] {
            idle.ask(&format!("d {command}"), &["d NO [NOPERM]"])?;
        }
        idle.ask("e APPEND INBOX {3+}\r\na:b", &["e NO [NOPERM]"])?;
        idle.ask("f FETCH 1 FLAGS", &["f OK"])?;
        self.imap()?.ask("a SELECT INBOX", &["a OK [READ-ONLY]"])?;
        let mut submission = self.submission()?;
        submission.ask(&format!("MAIL FROM:<{}>", self.mail), &["250"])?;
        idle.ask("g IDLE", &["+ "])?;
        self.set(&[("provostRestriction", &[])])?;
        let since = Instant::now();
        idle.until(&["* OK [READ-WRITE]"])?;
        in_time(since, "the mailbox can be changed again")
    }

    fn mail_is_refused_or_only_forwarded(&self) -> anyhow::Result<()> {
        self.set(&[("provostRestriction", &["no-receive"])])?;
        self.wait_rcpt("550 5.2.1", Instant::now(), "mail is refused")?;
        // An account that only forwards has nowhere to put a message while nothing says where to forward.
        self.set(&[("provostRestriction", &["forward-only"])])?;
        self.wait_rcpt("550 5.2.1", Instant::now(), "an account that forwards nowhere refuses mail")?;
        let before = mail::inbox((self.address)(Port::Imap), self.login, self.password)?.len();
        self.set(&[("mailForwardingAddress", &["away@example.net"])])?;
        self.wait_rcpt("250", Instant::now(), "an account with a forwarding accepts mail")?;
        self.receive("only forwarded")?;
        self.sink.wait_for("away@example.net", PATIENCE)?;
        let after = mail::inbox((self.address)(Port::Imap), self.login, self.password)?.len();
        ensure!(before == after, "a copy of a message that is only forwarded came into the mailbox");
        self.set(&[("provostRestriction", &[])])?;
        deadline::until(PATIENCE, || {
            self.receive("kept and forwarded")?;
            Ok((mail::inbox((self.address)(Port::Imap), self.login, self.password)?.len() > before).then_some(()))
        })?;
        self.set(&[("mailForwardingAddress", &[])])
    }

    fn a_web_session_and_a_token_end_with_the_right_to_log_in(&self) -> anyhow::Result<()> {
        // Nothing is due that would lead to the page for a new password.
        self.set(&[("provostRole", &["admin"]), ("provostCredentialState", &[])])?;
        let mut cookie = self.signs_in()?;
        let token = (self.make_token)()?;
        ensure!(self.status_by_token(&token)? == 200, "the token of the person is refused");
        for (what, attribute, forbidding, allowing) in [
            ("a lock", "provostLock", "abuse 20260101000000Z - cli:helen spam", None),
            ("a suspended state", "provostState", "suspended", Some("active")),
            ("a closed state", "provostState", "closed", Some("active")),
            ("a phase without login", "provostRestriction", "no-login", None),
            ("the loss of the role", "provostRole", "auditor", Some("admin")),
        ] {
            self.set(&[(attribute, &[forbidding])])?;
            let since = Instant::now();
            let is_refused = || Ok((self.status_by_token(&token)? == 401).then_some(()));
            deadline::until(PATIENCE, is_refused)?;
            // Another role stays signed in: it ends only what needs the lost one.
            if attribute != "provostRole" {
                deadline::until(PATIENCE, || Ok((!self.is_signed_in(&cookie)?).then_some(())))?;
            }
            in_time(since, &format!("{what} shows on a web session and a token"))?;
            let allowed: Vec<&str> = allowing.into_iter().collect();
            self.set(&[(attribute, &allowed)])?;
            let next = self.signs_in()?;
            let is_accepted = || Ok((self.status_by_token(&token)? == 200).then_some(()));
            deadline::until(PATIENCE, is_accepted)?;
            ensure!(attribute == "provostRole" || !self.is_signed_in(&cookie)?, "{what}: an ended session came back");
            cookie = next;
        }
        // Who only receives less mail stays signed in.
        self.set(&[("provostState", &["alumni"]), ("provostRestriction", &["no-send", "forward-only"])])?;
        self.wait_rcpt("550 5.2.1", Instant::now(), "an alumni account that forwards nowhere refuses mail")?;
        ensure!(self.is_signed_in(&cookie)? && self.status_by_token(&token)? == 200, "alumni were signed out");
        self.set(&[("provostState", &["active"]), ("provostRestriction", &[]), ("provostRole", &[])])?;
        self.a_web_session_without_a_role_ends_by_a_lock(&cookie)
    }

    fn a_web_session_without_a_role_ends_by_a_lock(&self, cookie: &str) -> anyhow::Result<()> {
        let leads_to_own_page = || {
            let reply = self.get("/", &format!("Cookie: {cookie}"))?;
            Ok(reply.header("location").starts_with("/people/").then_some(()))
        };
        deadline::until(PATIENCE, leads_to_own_page)?;
        self.set(&[("provostLock", &["abuse 20260101000000Z - cli:helen spam"])])?;
        let since = Instant::now();
        deadline::until(PATIENCE, || Ok((!self.is_signed_in(cookie)?).then_some(())))?;
        in_time(since, "a lock ended the web session of a person without a role")?;
        self.set(&[("provostLock", &[])])
    }

    /// Signs in to the pages as soon as the node permits it. Returns the cookie of the session.
    fn signs_in(&self) -> anyhow::Result<String> {
        let address = (self.address)(Port::Http);
        let headers = ["Content-Type: application/x-www-form-urlencoded", &format!("Origin: http://{address}")];
        let body = format!("name={}&password={}", self.login, self.password.replace(' ', "+"));
        let request = HttpRequest { method: "POST", path: "/sign-in", headers: &headers, body: &body };
        let (cookie, _) = deadline::until(PATIENCE, || {
            let reply = send(address, request)?;
            let cookie = reply.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
            Ok((reply.header("location") == "/").then_some(cookie))
        })?;
        Ok(cookie)
    }

    /// Whether the start page for the cookie of a session is the search or leads to the own page, and not to the
    /// sign-in.
    fn is_signed_in(&self, cookie: &str) -> anyhow::Result<bool> {
        let reply = self.get("/", &format!("Cookie: {cookie}"))?;
        let is_in = reply.status == 200 || reply.header("location").starts_with("/people/");
        ensure!(is_in || reply.header("location").starts_with("/sign-in"), "{reply:?}");
        Ok(is_in)
    }

    fn status_by_token(&self, token: &str) -> anyhow::Result<u16> {
        Ok(self.get("/api/v1/status", &format!("Authorization: Bearer {token}"))?.status)
    }

    fn get(&self, path: &str, header: &str) -> anyhow::Result<HttpResponse> {
        send((self.address)(Port::Http), HttpRequest { method: "GET", path, headers: &[header], body: "" })
    }

    fn receive(&self, subject: &str) -> anyhow::Result<()> {
        let text = format!("From: a@example.net\r\nSubject: {subject}\r\n\r\nx\r\n");
        mail::send((self.address)(Port::Mx), None, "a@example.net", &[self.mail], &text)
    }
}

fn in_time(since: Instant, what: &str) -> anyhow::Result<()> {
    let passed = since.elapsed();
    println!("{what}: {passed:?} after the directory's answer");
    ensure!(passed < LIMIT, "{what}: only after {passed:?}");
    Ok(())
}

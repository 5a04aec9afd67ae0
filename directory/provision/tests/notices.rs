//! Notices before a change, and objections to it, against the real slapd 2.5 of Debian and the embedded server.

// A panic here is a failure of the test; clippy exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "the servers are shared with tests/directories.rs")]

#[path = "directories/servers.rs"]
mod servers;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use provost_entry::{Dn, Entry};
use provost_provision::{
    CsvOptions, Desk, DeskError, DirectoryContent, InitialPasswords, MailOutbox, OutgoingMail, Policies, ensure_tree,
    plan, read_policies, read_source, wanted,
};
use provost_schema::attr;
use uuid::Uuid;

use self::servers::{Embedded, Site, Slapd, actor, admin};

const POLICY: &str = "kind lifecycle\nphase 1 grace days=30\nphase 2 closing days=60\nphase 3 closed days=365\n";
const ROWS: &str = "person_id,given_name,family_name,private_email,affiliation,end_date\n\
    1,Zoé,Lécuyer,zoe@example.net,student,2026-06-30\n2,Ida,Roy,ida@example.net,student,2027-06-30\n\
    3,Bo,Li,,staff,2026-06-30\n";

#[tokio::test(flavor = "multi_thread")]
async fn notices_on_slapd() {
    let slapd = Slapd::start();
    check(&slapd.desk()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_on_the_embedded_server() {
    let embedded = Embedded::start().await;
    check(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn check(site: &Site) {
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    site.desk.set_policy(&admin(), "everybody-2", POLICY).await.unwrap();
    import(site).await;
    each_notice_goes_out_once_to_both_addresses(site).await;
    the_person_objects(site).await;
    a_login_is_recorded_once_a_week(site).await;
}

async fn a_login_is_recorded_once_a_week(site: &Site) {
    let uuid = site.person("bo.li").await.unwrap().entry_uuid;
    for (day, people, held) in [
        ("2026-07-01", 1, "20260701120000Z"),
        ("2026-07-07", 0, "20260701120000Z"),
        ("2026-07-08", 1, "20260708120000Z"),
        // A node that is behind takes nothing back.
        ("2026-07-01", 0, "20260708120000Z"),
    ] {
        let logins = HashMap::from([(uuid, at(day)), (Uuid::nil(), at(day))]);
        assert_eq!(site.desk.record_logins(&admin(), &logins).await, Ok(people), "{day}");
        assert_eq!(entry(site, "bo.li").await.first(attr::PROVOST_LAST_LOGIN), Some(held), "{day}");
    }
}

fn at(day: &str) -> Timestamp {
    format!("{day}T12:00:00Z").parse().unwrap()
}

async fn import(site: &Site) {
    let sources = vec![read_source("registrar", ROWS.as_bytes(), &CsvOptions::default()).unwrap()];
    let actual = DirectoryContent::read(&site.directory).await.unwrap();
    let policies = Policies::from(&site.settings).with_lifecycle(read_policies(&site.directory).await.unwrap());
    let plan = plan(&wanted(&sources, &policies, at("2026-07-10")), &actual).unwrap();
    let done =
        site.applier(&actor()).apply(&Arc::new(plan), &InitialPasswords::of(sources), &mut |_| {}).await.unwrap();
    assert!(done.failed.is_empty(), "{:?}", done.failed);
}

async fn entry(site: &Site, key: &str) -> Entry {
    let dn = Dn::parse(&site.person(key).await.unwrap().dn).unwrap();
    site.directory.read(&dn, &["*"]).await.unwrap().unwrap()
}

/// Keeps mails in memory; the mail to one address can fail.
#[derive(Default)]
struct MemoryOutbox {
    mails: Mutex<Vec<OutgoingMail>>,
    fails_for: Option<&'static str>,
}

impl MailOutbox for MemoryOutbox {
    fn put(&self, mail: OutgoingMail) -> BoxFuture<'_, io::Result<()>> {
        if self.fails_for == Some(mail.to.as_str()) {
            return Box::pin(async { Err(io::Error::other("disk full")) });
        }
        self.mails.lock().unwrap().push(mail);
        Box::pin(async { Ok(()) })
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, io::Result<()>> {
        self.mails.lock().unwrap().retain(|mail| mail.id != id);
        Box::pin(async { Ok(()) })
    }
}

impl MemoryOutbox {
    /// The recipients of the mails that may go, sorted.
    async fn sendable(&self, site: &Site) -> Vec<String> {
        let mails = self.mails.lock().unwrap().clone();
        let mut to = Vec::new();
        for mail in mails {
            let condition = mail.condition.unwrap();
            let entry = site.directory.read(&condition.entry().unwrap(), &["*"]).await.unwrap().unwrap();
            to.extend(condition.holds(&entry).then_some(mail.to));
        }
        to.sort();
        to
    }

    fn token_for(&self, to: &str) -> String {
        let mails = self.mails.lock().unwrap();
        let text = mails.iter().rfind(|mail| mail.to == to).unwrap().message.replace("=\r\n", "");
        let (_, rest) = text.split_once("https://accounts.example.edu/notice/").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

fn with_outbox(site: &Site, outbox: &Arc<MemoryOutbox>) -> Desk {
    site.desk.clone().with_outbox(outbox.clone())
}

async fn each_notice_goes_out_once_to_both_addresses(site: &Site) {
    let outbox = Arc::new(MemoryOutbox::default());
    let desk = with_outbox(site, &outbox);
    // Zoé and Bo left at the end of June: 30 days of grace end on the 30th of July. Ida stays.
    let due = desk.due_notices(&admin(), at("2026-07-10")).await.unwrap();
    let due: Vec<(&str, u16)> = due.iter().map(|due| (due.person.as_str(), due.notice.days)).collect();
    assert_eq!(due.len(), 2, "{due:?}");
    assert!(due.contains(&("zoe.lecuyer@example.edu", 30)) && due.contains(&("bo.li@example.edu", 30)), "{due:?}");

    // One of two mails cannot be kept: nothing is recorded, and nothing may go.
    let full = Arc::new(MemoryOutbox { fails_for: Some("zoe@example.net"), ..MemoryOutbox::default() });
    let failed = with_outbox(site, &full).send_notices(&admin(), at("2026-07-10")).await;
    assert!(matches!(failed, Err(DeskError::Unavailable(_))), "{failed:?}");
    let held_back = full.sendable(site).await;
    assert!(!held_back.iter().any(|to| to.starts_with("zoe")), "{held_back:?}");

    desk.send_notices(&admin(), at("2026-07-10")).await.unwrap();
    let mut to = outbox.sendable(site).await;
    to.extend(held_back);
    to.sort();
    assert_eq!(to, ["bo.li@example.edu", "zoe.lecuyer@example.edu", "zoe@example.net"]);
    let again = desk.send_notices(&admin(), at("2026-07-11")).await.unwrap();
    assert_eq!((again.people, again.mails), (0, 0), "a notice was sent twice");
    let week = desk.send_notices(&admin(), at("2026-07-24")).await.unwrap();
    assert_eq!((week.people, week.mails), (2, 3));
    assert_eq!(entry(site, "zoe.lecuyer").await.values(attr::PROVOST_NOTICE).len(), 2);
}

async fn the_person_objects(site: &Site) {
    let outbox = Arc::new(MemoryOutbox::default());
    let desk = with_outbox(site, &outbox);
    desk.send_notices(&admin(), at("2026-07-30")).await.unwrap();
    let token = outbox.token_for("zoe@example.net");
    let held = entry(site, "zoe.lecuyer").await;
    assert!(held.texts(attr::PROVOST_NOTICE).all(|value| !value.contains(&token[33..])), "the directory has the code");
    let now = at("2026-07-30");
    let loss = desk.announced_loss(&token, now).await.unwrap().unwrap();
    assert_eq!((loss.mail.as_str(), loss.losses[1].len(), loss.objection), ("zoe.lecuyer@example.edu", 2, None));
    for bad in ["", "   ", &"x".repeat(501)] {
        let refused = desk.object(&token, bad, now).await;
        assert!(matches!(refused, Err(DeskError::Invalid { field: "reason", .. })), "{refused:?}");
    }
    let other = if token.ends_with('x') { "y" } else { "x" };
    assert_eq!(desk.object(&format!("{}{other}", &token[..token.len() - 1]), "late", now).await, Ok(None));
    desk.object(&token, "my thesis\nis late", now).await.unwrap().unwrap();
    desk.object(&token, "my thesis is very late", now).await.unwrap().unwrap();
    let detail = site.person("zoe.lecuyer").await.unwrap();
    let said: Vec<&str> = detail.objections.iter().map(|objection| objection.reason.as_str()).collect();
    assert_eq!(said, ["my thesis is very late"]);
    // A link of a notice is none to set a password, and ends with the change.
    assert_eq!(desk.invitee(&token).await, Ok(None));
    assert_eq!(desk.announced_loss(&token, at("2026-08-02")).await.unwrap().map(|loss| loss.mail), None);
}

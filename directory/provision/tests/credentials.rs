//! Passwords and activation against the real slapd 2.5 of Debian and against the embedded server.

// A panic here is a failure of the test; clippy exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "the servers are shared with tests/directories.rs")]

#[path = "directories/servers.rs"]
mod servers;

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use provost_client::WriteConditions;
use provost_credential::{ScramVerifier, Secret};
use provost_entry::{AttributeDescription, Dn, Entry, Modification};
use provost_provision::{
    ActivationSelection, CsvOptions, Desk, DeskError, DirectoryContent, InitialPasswords, MailOutbox, OutgoingMail,
    Policies, Principal, Role, ensure_tree, plan, read_source, wanted,
};
use provost_schema::attr;
use uuid::Uuid;

use self::servers::{Embedded, Site, Slapd, actor, admin};

const HEADER: &str = "person_id,given_name,family_name,birth_date,private_email,affiliation,password\n";

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_links_on_slapd() {
    let slapd = Slapd::start();
    check(&slapd.desk()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_links_on_the_embedded_server() {
    let embedded = Embedded::start().await;
    check(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn check(site: &Site) {
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    an_import_writes_all_of_a_password_and_its_undo_removes_it(site).await;
    import(
        site,
        "1,Zoé,Lécuyer,2004-05-17,zoe@example.net,student,of the file\n\
         2,Ida,Roy,,ida@example.net,student,\n3,Bo,Li,,,staff,\n",
    )
    .await;
    a_person_replaces_the_password_that_another_has_chosen(site).await;
    a_password_of_other_software_ends_the_verifier_and_the_state(site).await;
    a_mailed_link_works_once(site).await;
    a_letter_ends_the_link_and_a_link_the_letter(site).await;
    links_that_do_not_work_show_nothing(site).await;
    who_may_send_links(site).await;
    secrets_are_in_no_record(site).await;
}

/// Imports rows; returns the batch.
async fn import(site: &Site, rows: &str) -> String {
    let sources = vec![read_source("registrar", format!("{HEADER}{rows}").as_bytes(), &CsvOptions::default()).unwrap()];
    let actual = DirectoryContent::read(&site.directory).await.unwrap();
    let plan = plan(&wanted(&sources, &Policies::from(&site.settings), jiff::Timestamp::now()), &actual).unwrap();
    let passwords = InitialPasswords::of(sources);
    let done = site.applier(&actor()).apply(&Arc::new(plan), &passwords, &mut |_| {}).await.unwrap();
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    done.batch
}

async fn entry(site: &Site, key: &str) -> Entry {
    let dn = Dn::parse(&site.person(key).await.unwrap().dn).unwrap();
    site.directory.read(&dn, &["*"]).await.unwrap().unwrap()
}

async fn oneself(site: &Site, key: &str) -> Principal {
    let person = site.person(key).await.unwrap();
    Principal::person(&person.summary.uid, person.entry_uuid, [])
}

fn is_bound(entry: &Entry) -> bool {
    let verifier = entry.first(attr::PROVOST_SCRAM).and_then(ScramVerifier::parse);
    let passwords = entry.values(attr::USER_PASSWORD);
    assert_eq!(passwords.len(), 1);
    verifier.is_some_and(|verifier| verifier.is_bound_to(&passwords[0]))
}

async fn an_import_writes_all_of_a_password_and_its_undo_removes_it(site: &Site) {
    let of_password =
        [attr::USER_PASSWORD, attr::PROVOST_SCRAM, attr::PROVOST_PASSWORD_SINCE, attr::PROVOST_CREDENTIAL_STATE];
    import(site, "9,Noa,Kim,,,staff,\n").await;
    let batch = import(site, "9,Noa,Kim,,,staff,of the file\n").await;
    let noa = entry(site, "noa.kim").await;
    assert!(is_bound(&noa));
    assert_eq!(noa.first(attr::PROVOST_CREDENTIAL_STATE), Some("must-change"));
    assert!(of_password.iter().all(|name| noa.values(name).len() == 1), "{noa:?}");
    let credential = site.person("noa.kim").await.unwrap().credential;
    assert_eq!((credential.state, credential.since.is_some(), credential.link_until), ("must-change", true, None));

    let undo = site.plan_undo(&admin(), &batch).await.unwrap();
    assert!(undo.plan.rejected().is_empty(), "{:?}", undo.plan.rejected());
    site.apply_import(std::future::pending(), &admin(), &undo, &mut |_| {}).await.unwrap().unwrap();
    let noa = entry(site, "noa.kim").await;
    assert!(of_password.iter().all(|name| noa.values(name).is_empty()), "{noa:?}");
    assert_eq!(site.person("noa.kim").await.unwrap().credential.state, "none");

    // A link that nobody has used does not keep a person whom an import should not have created.
    let batch = import(site, "8,Not,Wanted,,,staff,\n").await;
    site.activation_letter(&admin(), "8").await.unwrap();
    assert_eq!(site.person("8").await.unwrap().summary.state, "invited");
    let undo = site.plan_undo(&admin(), &batch).await.unwrap();
    assert!(undo.plan.rejected().is_empty(), "{:?}", undo.plan.rejected());
    site.apply_import(std::future::pending(), &admin(), &undo, &mut |_| {}).await.unwrap().unwrap();
    assert!(matches!(site.person("8").await, Err(DeskError::NotFound(_))));
}

async fn a_person_replaces_the_password_that_another_has_chosen(site: &Site) {
    let zoe = oneself(site, "zoe.lecuyer").await;
    let set = async |who: &Principal, password: &str| {
        let set = site.reset_password(who, "zoe.lecuyer", Some(Secret::new(password))).await;
        set.map(drop).map_err(|error| error.to_string())
    };
    for (password, rule) in [
        ("too short", "shorter than 10 characters"),
        ("Lecuyer2004!", "made of the person's own names"),
        ("17-05-2004", "made of the person's own names"),
        ("motdepasse12", "one of the passwords that guessers try first"),
        ("of the file", "the present password or one of the last 5"),
    ] {
        let refused = set(&zoe, password).await.unwrap_err();
        assert!(refused.starts_with(&format!("password: {rule}")), "{password}: {refused}");
    }
    set(&zoe, "first of my own").await.unwrap();
    let held = entry(site, "zoe.lecuyer").await;
    assert!(is_bound(&held) && held.first(attr::PROVOST_CREDENTIAL_STATE).is_none());
    assert_eq!(site.person("zoe.lecuyer").await.unwrap().credential.state, "set");
    set(&admin(), "chosen by the desk").await.unwrap();
    assert_eq!(site.person("zoe.lecuyer").await.unwrap().credential.state, "must-change");
    for number in 1..=6 {
        set(&zoe, &format!("my password no. {number}")).await.unwrap();
    }
    assert_eq!(entry(site, "zoe.lecuyer").await.values(attr::PROVOST_PASSWORD_HISTORY).len(), 5);
    assert!(set(&zoe, "my password no. 1").await.is_err(), "the fifth password before this one");
    set(&zoe, "first of my own").await.expect("the seventh password before this one");
    let dn = Dn::parse(&site.person("zoe.lecuyer").await.unwrap().dn).unwrap();
    site.directory.bind(&dn, "first of my own").await.unwrap();
}

/// `ldappasswd` on OpenLDAP replaces userPassword and nothing else.
async fn a_password_of_other_software_ends_the_verifier_and_the_state(site: &Site) {
    site.reset_password(&admin(), "zoe.lecuyer", None).await.unwrap();
    let held = entry(site, "zoe.lecuyer").await;
    assert!(is_bound(&held));
    let other = provost_credential::hash(&Secret::new("of other software"), provost_credential::Scheme::Ssha);
    let change = Modification::replace(AttributeDescription::of(attr::USER_PASSWORD), vec![other.into_bytes()]);
    site.directory.modify(&held.dn, vec![change], WriteConditions::default()).await.unwrap();
    assert!(!is_bound(&entry(site, "zoe.lecuyer").await), "the verifier of the password before is still valid");
    let credential = site.person("zoe.lecuyer").await.unwrap().credential;
    assert_eq!((credential.state, credential.since), ("set", None));
}

/// Keeps mails in memory, or fails.
#[derive(Default)]
struct MemoryOutbox {
    mails: Mutex<Vec<OutgoingMail>>,
    fails: bool,
}

impl MailOutbox for MemoryOutbox {
    fn put(&self, mail: OutgoingMail) -> BoxFuture<'_, io::Result<()>> {
        if self.fails {
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

/// The token in the last mail.
fn token(outbox: &MemoryOutbox) -> String {
    let mails = outbox.mails.lock().unwrap();
    let text = mails.last().unwrap().message.replace("=\r\n", "");
    let (_, rest) = text.split_once("https://accounts.example.edu/activate/").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

fn with_outbox(site: &Site, outbox: &Arc<MemoryOutbox>) -> Desk {
    site.desk.clone().with_outbox(outbox.clone())
}

async fn a_mailed_link_works_once(site: &Site) {
    let full = Arc::new(MemoryOutbox { fails: true, ..MemoryOutbox::default() });
    let failed = with_outbox(site, &full).send_activation(&admin(), "ida.roy").await;
    assert!(matches!(failed, Err(DeskError::Unavailable(_))), "{failed:?}");
    assert!(entry(site, "ida.roy").await.values(attr::PROVOST_ACTIVATION).is_empty());

    let outbox = Arc::new(MemoryOutbox::default());
    let desk = with_outbox(site, &outbox);
    let found = desk.activation_candidates(&admin(), &ActivationSelection::WithoutPassword).await.unwrap();
    assert_eq!((found.people.len(), found.with_link.len()), (3, 0), "Ida, Bo and Noa");
    let sent = desk.send_activation(&admin(), "ida.roy").await.unwrap();
    assert_eq!(sent.to, "ida@example.net");
    let ida = entry(site, "ida.roy").await;
    assert_eq!(ida.first(attr::PROVOST_CREDENTIAL_STATE), Some("activation"));
    assert_eq!(ida.first(attr::PROVOST_STATE), Some("invited"));
    let mail = outbox.mails.lock().unwrap()[0].clone();
    assert!(mail.condition.as_ref().unwrap().holds(&ida) && mail.to == "ida@example.net", "{mail:?}");
    let detail = site.person("ida.roy").await.unwrap();
    assert_eq!((detail.credential.state, detail.credential.link_until.is_some()), ("none", true));
    let found = desk.activation_candidates(&admin(), &ActivationSelection::Invited).await.unwrap();
    assert_eq!((found.people.len(), found.with_link.len()), (0, 1));

    let token = token(&outbox);
    assert!(!ida.first(attr::PROVOST_ACTIVATION).unwrap().contains(&token[33..]), "the directory holds the code");
    let shown = desk.invitee(&token).await.unwrap().unwrap();
    assert_eq!((shown.uid.as_str(), shown.name.as_str()), ("ida.roy", "Ida Roy"));
    let weak = desk.activate(&token, &Secret::new("idaroy2026")).await;
    assert!(matches!(weak, Err(DeskError::Invalid { field: "password", .. })), "{weak:?}");
    let done = desk.activate(&token, &Secret::new("a good long one")).await.unwrap().unwrap();
    assert_eq!(done.mail, "ida.roy@example.edu");
    let ida = entry(site, "ida.roy").await;
    assert!(is_bound(&ida) && ida.values(attr::PROVOST_ACTIVATION).is_empty());
    assert_eq!((ida.first(attr::PROVOST_STATE), ida.first(attr::PROVOST_CREDENTIAL_STATE)), (Some("active"), None));
    site.directory.bind(&ida.dn, "a good long one").await.unwrap();
    assert!(!mail.condition.unwrap().holds(&ida), "a mail that is still waiting would be sent");
    assert_eq!(desk.activate(&token, &Secret::new("another long one")).await, Ok(None), "a link was used twice");
    assert_eq!(desk.invitee(&token).await, Ok(None));
}

async fn a_letter_ends_the_link_and_a_link_the_letter(site: &Site) {
    let outbox = Arc::new(MemoryOutbox::default());
    let desk = with_outbox(site, &outbox);
    desk.send_activation(&admin(), "ida.roy").await.unwrap();
    let mailed = token(&outbox);
    let letter = desk.activation_letter(&admin(), "ida.roy").await.unwrap();
    assert_eq!(desk.invitee(&mailed).await, Ok(None));
    // A person who has a password keeps it and its state while the link is open.
    assert_eq!(site.person("ida.roy").await.unwrap().credential.state, "set");
    let printed = letter.code.reveal().to_uppercase();
    let token = desk.activation_token("ida.roy@example.edu", &printed).await.unwrap().unwrap();
    assert!(desk.invitee(&token).await.unwrap().is_some());
    let again = desk.activation_letter(&admin(), "ida.roy").await.unwrap();
    assert_ne!(again.code, letter.code);
    assert_eq!(desk.invitee(&token).await, Ok(None));
    // The code of one person is not that of another, although the form takes any login.
    let others = desk.activation_token("bo.li", again.code.reveal()).await.unwrap().unwrap();
    assert_eq!(desk.invitee(&others).await, Ok(None));
}

async fn links_that_do_not_work_show_nothing(site: &Site) {
    let desk = &site.desk;
    let letter = desk.activation_letter(&admin(), "bo.li").await.unwrap();
    let token = desk.activation_token("bo.li", letter.code.reveal()).await.unwrap().unwrap();
    let bo = entry(site, "bo.li").await;
    let set = async |name, value: String| {
        let change = Modification::replace(AttributeDescription::of(name), vec![value.into_bytes()]);
        site.directory.modify(&bo.dn, vec![change], WriteConditions::default()).await.unwrap();
    };
    let held = entry(site, "bo.li").await.first(attr::PROVOST_ACTIVATION).unwrap().to_owned();
    set(attr::PROVOST_ACTIVATION, format!("{} 20200101000000Z", held.split(' ').next().unwrap())).await;
    assert_eq!(desk.invitee(&token).await, Ok(None), "a link that has ended");
    set(attr::PROVOST_ACTIVATION, held).await;
    set(attr::PROVOST_STATE, "closed".to_owned()).await;
    assert_eq!(desk.invitee(&token).await, Ok(None), "a link of a closed account");
    let closed = desk.activation_letter(&admin(), "bo.li").await.map(drop);
    assert!(matches!(closed, Err(DeskError::Invalid { field: "person", .. })), "{closed:?}");
    set(attr::PROVOST_STATE, "active".to_owned()).await;
    assert!(desk.invitee(&token).await.unwrap().is_some());
    for wrong in ["", "x", &token[1..], &format!("{}aaaa", &token[..token.len() - 4]), &"a".repeat(10_000)] {
        assert_eq!(desk.invitee(wrong).await, Ok(None), "{wrong}");
        assert_eq!(desk.activate(wrong, &Secret::new("a good long one")).await, Ok(None), "{wrong}");
    }
    assert_eq!(desk.activation_token("nobody", letter.code.reveal()).await, Ok(None));
    let none = with_outbox(site, &Arc::default()).send_activation(&admin(), "bo.li").await;
    assert!(matches!(none, Err(DeskError::Invalid { field: "private_email", .. })), "{none:?}");
}

async fn who_may_send_links(site: &Site) {
    let desk = with_outbox(site, &Arc::default());
    let registrar = Principal::token("feed", Role::Registrar);
    desk.activation_letter(&registrar, "bo.li").await.expect("a person without a password");
    let refused = desk.send_activation(&registrar, "zoe.lecuyer").await;
    assert!(matches!(refused, Err(DeskError::NotAllowed(_))), "a registrar replaces a password: {refused:?}");
    desk.send_activation(&Principal::token("desk", Role::HelpDesk1), "zoe.lecuyer").await.unwrap();
}

async fn secrets_are_in_no_record(site: &Site) {
    let records = format!("{:?}", site.audit.newest(1000).await.unwrap());
    for secret in ["SCRAM-SHA", "{SSHA}", "my password no", "good long one", "/activate/"] {
        assert!(!records.contains(secret), "{secret}");
    }
    for key in ["zoe.lecuyer", "ida.roy", "bo.li"] {
        let held = entry(site, key).await;
        let person = serde_json::to_string(&site.person(key).await.unwrap()).unwrap();
        for name in attr::SECRETS {
            for value in held.texts(name) {
                let digest = value.split(' ').next().unwrap();
                assert!(!records.contains(digest) && !person.contains(digest), "{key}: {name}");
            }
        }
    }
}

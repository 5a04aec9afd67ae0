//! Lists over a fixed View and the memory store.

use std::sync::Arc;

use provost_message::{Findings, HelloVerb, PeerConnection, Service, TraceId};
use provost_store::{MemoryStore, QueueStore};
use provost_view::{Access, Affiliation, Forwarding, PersonState, View};
use provost_view::{Dn, Entry};
use uuid::Uuid;

use super::*;
use crate::batch_id;

const MESSAGE: &[u8] =
    b"Received: x\r\nFrom: p1@example.edu\r\nList-Id: other\r\n <other.far.example>\r\nSubject: hi\r\n\
    Precedence: bulk\r\n\r\nList-Id: text\r\n";

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn person(n: usize) -> Person {
    Person {
        entry_uuid: Uuid::from_u128(n as u128),
        dn: format!("uid=p{n},ou=people,dc=example,dc=edu").into(),
        uid: format!("p{n}").into(),
        display_name: "P".into(),
        primary: Address::parse(&format!("p{n}@example.edu")).unwrap(),
        state: PersonState::Active,
        affiliation: Affiliation::Student,
        language: None,
        passwords: Vec::new(),
        quota_octets: None,
        vacation: None,
        roles: Vec::new(),
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

/// A list `NAME@example.edu` with these attributes.
fn list(name: &str, attributes: &[(&'static str, &str)]) -> Vec<Entry> {
    let group = format!("cn={name},ou=groups,dc=example,dc=edu");
    let entry = Entry::new(Dn::parse(&group).unwrap()).with("objectClass", "provostGroup");
    let entry = attributes.iter().fold(entry, |entry, (attribute, value)| entry.with(attribute, *value));
    let address = format!("{name}@example.edu");
    let dn = Dn::parse(&format!("provostAddress={address},ou=addresses,dc=example,dc=edu")).unwrap();
    let address = Entry::new(dn)
        .with("objectClass", "provostAddressEntry")
        .with("provostAddress", address)
        .with("provostAddressKind", "list")
        .with("provostOwner", group);
    vec![entry, address]
}

fn member(n: usize) -> (&'static str, String) {
    ("member", person(n).dn.into())
}

struct Site {
    delivery: Delivery,
    store: Arc<MemoryStore>,
}

fn site(people: usize, lists: &[Vec<Entry>]) -> Site {
    let closed = Person { state: PersonState::Closed, ..person(0) };
    site_of((1..=people).map(person).chain([closed]).collect(), lists)
}

fn site_of(people: Vec<Person>, lists: &[Vec<Entry>]) -> Site {
    let suffix = Dn::parse("dc=example,dc=edu").unwrap();
    let view = View::fixed_with_entries(people, &suffix, &lists.concat());
    let store = Arc::new(MemoryStore::default());
    Site { delivery: Delivery { view, store: store.clone(), hostname: "mx.example.edu".into() }, store }
}

fn arrival(sender: Option<&str>, person: Option<Person>) -> Arrival {
    let connection = PeerConnection {
        service: if person.is_some() { Service::Submission } else { Service::Mx },
        remote: "192.0.2.1:1000".parse().unwrap(),
        local: "192.0.2.2:25".parse().unwrap(),
        tls: true,
        hello: Some(provost_message::Hello { verb: HelloVerb::Ehlo, name: "x".into(), findings: Findings::default() }),
        person: person.map(Arc::new),
        findings: Findings::default(),
    };
    let envelope = Envelope::new(sender.map(|sender| Path::parse(sender).unwrap()), []);
    Arrival::through(Arc::new(connection), TraceId::from(Uuid::from_u128(9)), envelope)
}

impl Site {
    async fn deliver(&self, to: &str, message: &[u8]) -> Delivered {
        let (arrival, address) = (arrival(Some("p1@example.edu"), Some(person(1))), Address::parse(to).unwrap());
        let recipient = Recipient { path: Path::from(&address), notify: None, original: None };
        let id = batch_id(arrival.trace_id.as_uuid(), &recipient.path);
        let message = &Bytes::copy_from_slice(message);
        let incoming =
            IncomingMessage { id, arrival: &arrival, recipient: &recipient, address: &address, message, now: now() };
        self.delivery.deliver(incoming).await
    }

    /// The reverse-path, the recipients and the text of each row of the queue.
    async fn queued(&self) -> Vec<(Option<String>, Vec<String>, String)> {
        let mut all = Vec::new();
        for row in self.store.list(1000).await.unwrap() {
            let body = self.store.queued_body(&row).await.unwrap();
            let recipients = row.recipients.iter().map(|one| one.recipient.path.to_string()).collect();
            let sender = row.reverse_path.as_ref().map(Path::to_string);
            all.push((sender, recipients, String::from_utf8(body.to_vec()).unwrap()));
        }
        all.sort();
        all
    }
}

#[tokio::test]
async fn a_message_goes_to_each_member_once_with_the_fields_of_the_list() {
    let (one, two, gone) = (member(1), member(2), member(0));
    let maths = [
        (one.0, one.1.as_str()),
        (two.0, two.1.as_str()),
        (gone.0, gone.1.as_str()),
        ("provostTarget", "p2@example.edu"),
        ("provostTarget", "x@far.example"),
        ("provostTarget", "maths@example.edu"),
    ];
    let site = site(3, &[list("maths", &maths)]);
    for _ in 0..2 {
        assert_eq!(site.deliver("maths@example.edu", MESSAGE).await, Delivered::Stored);
    }
    let queued = site.queued().await;
    let expect = "Delivered-To: maths@example.edu\r\nList-Id: <maths.example.edu>\r\nList-Post: <mailto:maths@example.edu>\
        \r\nList-Owner: <mailto:maths-owner@example.edu>\r\nPrecedence: list\r\nReceived: x\r\nFrom: p1@example.edu\r\n\
        Subject: hi\r\n\r\nList-Id: text\r\n";
    let owner = Some("maths-owner@example.edu".to_owned());
    assert_eq!(
        queued,
        [
            (owner.clone(), vec!["p1@example.edu".into(), "p2@example.edu".into()], expect.into()),
            (owner, vec!["x@far.example".into()], expect.into()),
        ],
        "a repeated delivery queues nothing twice"
    );
}

#[tokio::test]
async fn some_messages_are_not_distributed() {
    let (one, small) = (member(1), member(1));
    let site = site(
        3,
        &[
            list("maths", &[(one.0, one.1.as_str())]),
            list("small", &[(small.0, small.1.as_str()), ("provostMessageSize", "10")]),
            list("empty", &[]),
            list("loop", &[("provostTarget", "loop@example.edu")]),
        ],
    );
    for (to, message, expect) in [
        ("maths@example.edu", "Auto-Submitted: auto-replied (vacation)\r\n\r\n", "550 5.7.1"),
        ("maths@example.edu", "Auto-Submitted: auto-notified; owner-email=x\r\n\r\n", "550 5.7.1"),
        ("maths@example.edu", "Auto-Submitted: auto-generated\r\n\r\n", "stored"),
        ("maths@example.edu", "Auto-Submitted: no\r\n\r\n", "stored"),
        ("maths@example.edu", "List-Id: Maths <MATHS.example.edu>\r\n\r\n", "554 5.4.6"),
        ("small@example.edu", "Subject: long\r\n\r\n", "552 5.3.4"),
        ("empty@example.edu", "\r\n", "550 5.2.4"),
        ("loop@example.edu", "\r\n", "550 5.2.4"),
    ] {
        let reply = match site.deliver(to, message.as_bytes()).await {
            Delivered::Stored => "stored".to_owned(),
            Delivered::Refused(refusal) => refusal.to_string(),
            Delivered::Unavailable(why) => why,
        };
        assert!(reply.starts_with(expect), "{to} {message:?}: {reply}");
    }
}

#[tokio::test]
async fn ten_thousand_members_are_one_message() {
    let members: Vec<_> = (1..=10_000).map(member).collect();
    let members: Vec<_> = members.iter().map(|(name, dn)| (*name, dn.as_str())).collect();
    let site = site(10_000, &[list("all", &members)]);
    assert_eq!(site.deliver("all@example.edu", MESSAGE).await, Delivered::Stored);
    let queued = site.queued().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].1.len(), 10_000);
}

#[tokio::test]
async fn owners_get_reports_and_letters() {
    let owner = ("owner", person(2).dn.to_string());
    let site = site(3, &[list("maths", &[(owner.0, owner.1.as_str())])]);
    assert_eq!(site.deliver("maths-owner@example.edu", MESSAGE).await, Delivered::Stored);
    let queued = site.queued().await;
    assert_eq!(queued[0].1, ["p2@example.edu"]);
    assert!(queued[0].0.as_deref() == Some("p1@example.edu") && queued[0].2.contains("List-Id: other"));
    // A report has no sender, and goes to the owners too.
    let address = Address::parse("maths-owner@example.edu").unwrap();
    assert_eq!(site.delivery.check_sender(&address, &arrival(None, None), now()), Ok(()));
}

#[test]
fn posters_decide_who_may_send() {
    let (one, two) = (member(1), ("owner", person(2).dn.to_string()));
    let base = |poster: &'static str| {
        list("maths", &[(one.0, one.1.as_str()), (two.0, two.1.as_str()), ("provostPoster", poster)])
    };
    let ended = |until: &'static str| {
        list("maths", &[(one.0, one.1.as_str()), ("provostPoster", "anyone"), ("provostUntil", until)])
    };
    let with_target = list("maths", &[("provostTarget", "x@far.example"), ("provostPoster", "members")]);
    for (entries, sender, login, expect) in [
        (base("anyone"), Some("x@far.example"), None, None),
        (base("anyone"), None, None, Some("550 5.7.1")),
        (base("members"), Some("p1@example.edu"), Some(1), None),
        (base("members"), Some("p1@example.edu"), None, Some("550 5.7.2")),
        (base("members"), Some("p3@example.edu"), Some(3), Some("550 5.7.2")),
        (base("members"), Some("p2@example.edu"), Some(2), None),
        (base("owners"), Some("p2@example.edu"), Some(2), None),
        (base("owners"), Some("p1@example.edu"), Some(1), Some("550 5.7.2")),
        (base("site"), Some("p3@example.edu"), Some(3), None),
        (base("site"), Some("p3@example.edu"), None, Some("550 5.7.2")),
        (base("p3@example.edu"), Some("other@example.edu"), Some(3), None),
        (base("p3@example.edu"), Some("p3@example.edu"), None, Some("550 5.7.2")),
        (base("x@far.example"), Some("X@far.example"), None, None),
        (base("group:maths"), Some("p1@example.edu"), Some(1), None),
        (base("group:none"), Some("p1@example.edu"), Some(1), Some("550 5.7.2")),
        (base("nonsense"), Some("p1@example.edu"), Some(1), Some("550 5.7.2")),
        (with_target, Some("x@far.example"), None, None),
        (ended("20200101000000Z"), Some("p1@example.edu"), Some(1), Some("550 5.2.1")),
        (ended("20300101000000Z"), Some("p1@example.edu"), Some(1), None),
    ] {
        let site = site(3, std::slice::from_ref(&entries));
        let address = Address::parse("maths@example.edu").unwrap();
        let checked = site.delivery.check_sender(&address, &arrival(sender, login.map(person)), now());
        let reply = match checked {
            Ok(()) => None,
            Err(Delivered::Refused(refusal)) => Some(refusal.to_string()),
            Err(other) => panic!("{other:?}"),
        };
        let agrees =
            reply.as_deref().zip(expect).map_or(reply.is_none() && expect.is_none(), |(r, e)| r.starts_with(e));
        assert!(agrees, "{sender:?} {login:?}: {reply:?}, not {expect:?}: {entries:?}");
    }
}

/// A person's forwarding would pass everybody's mail to the members, past the check of who may send.
#[tokio::test]
async fn no_forwarding_leads_to_a_list() {
    let one = member(1);
    for (to, expect) in [
        ("maths@example.edu", 0),
        ("maths+x@example.edu", 0),
        ("maths-owner@example.edu", 0),
        ("maths-owner+x@example.edu", 0),
        ("x@far.example", 1),
    ] {
        let forwarding =
            Forwarding { to: [Address::parse(to).unwrap()].into(), start: None, end: None, keeps_copy: false };
        let access = Access { forwarding: Some(Box::new(forwarding)), ..Access::default() };
        let forwards = Person { access, ..person(2) };
        let site = site_of(vec![person(1), forwards], &[list("maths", &[(one.0, one.1.as_str())])]);
        assert_eq!(site.deliver("p2@example.edu", MESSAGE).await, Delivered::Stored, "{to}");
        assert_eq!(site.queued().await.len(), expect, "{to}");
    }
}

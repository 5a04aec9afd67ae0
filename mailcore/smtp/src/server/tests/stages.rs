//! The effect of each verdict at each command, and of a stage that fails.

use std::sync::Mutex;

use provost_message::{Arrival, AuthenticationResult, Envelope, HelloVerb, Path, Service, SmtpReply, Verdict};
use provost_net::{OutputBuffer, Session, Step};

use super::site::{Site, TestConversation, person, site};
use crate::server::stages::{Stage, StageFinding, StageTable};

/// A stage with the verdict that a test chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ScriptedStage {
    Accept,
    Tag,
    Quarantine,
    Defer,
    Refuse,
    /// Quarantines if the last recipient is Ann, else accepts.
    QuarantineAnn,
    /// Refuses if the last recipient is Ann, else accepts.
    RefuseAnn,
    /// Accepts with twenty results that name the last recipient.
    Authenticate,
    /// Objects, but with a success reply.
    Contradict,
    Panic,
    /// Never ends.
    Hang,
    /// Accepts, and records its input.
    Record(&'static RecordedInput),
}

/// The recorded input of a stage.
#[derive(Debug, Default)]
pub(in crate::server) struct RecordedInput(Mutex<Vec<Arrival>>);

impl PartialEq for RecordedInput {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for RecordedInput {}

impl ScriptedStage {
    pub(in crate::server) async fn judge(self, arrival: &Arrival) -> StageFinding {
        // Not ready at once, like a stage that queries a server.
        tokio::task::yield_now().await;
        let is_ann = arrival.envelope.recipients.last().is_some_and(|to| to.path.local() == "ann");
        let verdict = match self {
            Self::QuarantineAnn | Self::RefuseAnn if !is_ann => Verdict::Accept,
            Self::Accept => Verdict::Accept,
            Self::Tag => Verdict::tag("test_tag", "2.0.0", "tagged"),
            Self::Quarantine | Self::QuarantineAnn => Verdict::quarantine("test_quarantine", "5.7.1", "quarantined"),
            Self::Defer => Verdict::object("test", SmtpReply::of(450, "4.7.1", "later")),
            Self::Refuse | Self::RefuseAnn => Verdict::object("test", SmtpReply::of(554, "5.7.1", "never")),
            Self::Contradict => Verdict::object("test", SmtpReply::of(250, "2.0.0", "taken")),
            Self::Panic => panic!("a stage of a test"),
            Self::Hang => std::future::pending().await,
            Self::Record(seen) => {
                seen.0.lock().unwrap().push(arrival.clone());
                Verdict::Accept
            }
            Self::Authenticate => {
                let path = &arrival.envelope.recipients.last().unwrap().path;
                let authentication = vec![AuthenticationResult::of_login(path); 20];
                return StageFinding { verdict: Verdict::Accept, authentication };
            }
        };
        verdict.into()
    }
}

/// The point at which the stage runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StagePoint {
    Connect,
    Hello,
    Mail,
    Rcpt,
    DataEnd,
}

const POINTS: [StagePoint; 5] =
    [StagePoint::Connect, StagePoint::Hello, StagePoint::Mail, StagePoint::Rcpt, StagePoint::DataEnd];

/// Returns the table of a service with one more stage: the last one at `point`.
fn with_stage(service: Service, point: StagePoint, script: ScriptedStage) -> &'static StageTable {
    with_stages(service, point, &[script])
}

/// Like [`with_stage`], with several stages.
fn with_stages(service: Service, point: StagePoint, scripts: &[ScriptedStage]) -> &'static StageTable {
    let table = StageTable::of(service);
    let at = |here: StagePoint, stages: &'static [Stage]| -> &'static [Stage] {
        if here != point {
            return stages;
        }
        Box::leak(stages.iter().copied().chain(scripts.iter().copied().map(Stage::Scripted)).collect())
    };
    Box::leak(Box::new(StageTable {
        connect: at(StagePoint::Connect, table.connect),
        hello: at(StagePoint::Hello, table.hello),
        mail: at(StagePoint::Mail, table.mail),
        rcpt: at(StagePoint::Rcpt, table.rcpt),
        data_end: at(StagePoint::DataEnd, table.data_end),
    }))
}

/// Sends one message, command by command as far as the server accepts; returns the last reply.
async fn converse(conversation: &mut TestConversation, service: Service, to: &[&str]) -> String {
    let (mut buffer, mut replies) = (bytes::BytesMut::new(), Vec::new());
    let mut out = OutputBuffer::new(&mut buffer, &mut replies);
    let step = conversation.session.open(&mut out).await.unwrap();
    out.flush().await.unwrap();
    let mut replies = String::from_utf8(replies).unwrap();
    if step == Step::Close {
        conversation.ended = Some(step);
        return replies;
    }
    let hello = if service == Service::Lmtp { "LHLO client.example" } else { "EHLO client.example" };
    let mut commands = vec![hello.to_owned()];
    match service {
        Service::Submission => {
            commands.extend(["AUTH PLAIN AHpvZQBzZWNyZXQ=".into(), "MAIL FROM:<zoe@example.edu>".into()]);
        }
        Service::Mx | Service::Lmtp => commands.push("MAIL FROM:<a@b.example>".into()),
    }
    commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
    commands.push("DATA".into());
    commands.push("Subject: hi\r\n\r\nhello\r\n.".into());
    for command in commands {
        replies = conversation.send(format!("{command}\r\n").as_bytes()).await;
        if !replies.starts_with(['2', '3']) {
            break;
        }
    }
    replies
}

async fn last_reply(site: &Site, service: Service, point: StagePoint, script: ScriptedStage) -> String {
    let mut conversation = site.connect(service);
    conversation.session.stages = with_stage(service, point, script);
    converse(&mut conversation, service, &["zoe@example.edu"]).await
}

/// At every point the peer gets the stage's objection, and only a message without objection is stored. A stage that
/// panics, hangs or objects with a reply other than 4xx or 5xx counts as 451: a fault of the stage must not decide
/// about the message.
#[tokio::test(start_paused = true)]
async fn an_objection_at_each_point_prevents_delivery() {
    for service in [Service::Mx, Service::Submission, Service::Lmtp] {
        for point in POINTS {
            for (script, expect) in [
                (ScriptedStage::Accept, "250 2."),
                (ScriptedStage::Tag, "250 2."),
                (ScriptedStage::Defer, "450 4.7.1 later\r\n"),
                (ScriptedStage::Refuse, "554 5.7.1 never\r\n"),
                (ScriptedStage::Contradict, "451 4.3.0 taken\r\n"),
                (ScriptedStage::Panic, "451 4.3.0 Cannot be done now"),
                (ScriptedStage::Hang, "451 4.3.0 Cannot be done now"),
            ] {
                let site = site();
                let replies = last_reply(&site, service, point, script).await;
                assert!(replies.starts_with(expect), "{service:?} {point:?} {script:?}: {replies}");
                let taken = usize::from(expect.starts_with('2'));
                assert_eq!(site.inbox("zoe").await.len(), taken, "{service:?} {point:?} {script:?}");
                assert_eq!(site.queued().await.len(), 0);
            }
        }
    }
}

/// RFC 2033 §4.2: an objection to the message answers each recipient.
#[tokio::test]
async fn lmtp_answers_each_recipient_of_a_refused_message() {
    let mut conversation = site().connect(Service::Lmtp);
    conversation.session.stages = with_stage(Service::Lmtp, StagePoint::DataEnd, ScriptedStage::Refuse);
    let replies = converse(&mut conversation, Service::Lmtp, &["zoe@example.edu", "ann@example.edu"]).await;
    assert_eq!(replies, "554 5.7.1 never\r\n554 5.7.1 never\r\n");
}

/// A session continues after an objection, except one at `connect`.
#[tokio::test]
async fn an_objection_ends_only_its_command_or_transaction() {
    for (point, next, expect) in [
        (StagePoint::Hello, "MAIL FROM:<>", "503 5.5.1"),
        (StagePoint::Mail, "RCPT TO:<zoe@example.edu>", "503 5.5.1"),
        (StagePoint::Rcpt, "DATA", "503 5.5.1"),
        (StagePoint::DataEnd, "MAIL FROM:<>", "250 2.1.0"),
    ] {
        let mut conversation = site().connect(Service::Mx);
        conversation.session.stages = with_stage(Service::Mx, point, ScriptedStage::Refuse);
        assert!(converse(&mut conversation, Service::Mx, &["zoe@example.edu"]).await.starts_with("554"));
        conversation.run(&format!("C: {next}\nS: {expect}")).await;
    }
    // RFC 5321 §4.1.4: a refused HELO leaves the transaction as it was.
    let mut conversation = site().connect(Service::Mx);
    conversation.run("C: HELO x\nS: 250\nC: MAIL FROM:<>\nS: 250").await;
    conversation.session.stages = with_stage(Service::Mx, StagePoint::Hello, ScriptedStage::Refuse);
    conversation.run("C: HELO y\nS: 554\nC: RCPT TO:<zoe@example.edu>\nS: 250 2.1.5").await;
    let mut conversation = site().connect(Service::Mx);
    conversation.session.stages = with_stage(Service::Mx, StagePoint::Connect, ScriptedStage::Refuse);
    converse(&mut conversation, Service::Mx, &["zoe@example.edu"]).await;
    assert_eq!(conversation.ended, Some(Step::Close));
}

/// A tag is a `Provost-Verdict` field above this server's Received. A tag from `connect` or `hello` is in every message
/// that follows on the connection.
#[tokio::test]
async fn a_tag_is_in_the_message() {
    for point in POINTS {
        let site = site();
        let mut conversation = site.connect(Service::Mx);
        conversation.session.stages = with_stage(Service::Mx, point, ScriptedStage::Tag);
        for _ in 0..2 {
            converse(&mut conversation, Service::Mx, &["zoe@example.edu"]).await;
        }
        let bodies = site.inbox("zoe").await;
        assert_eq!(bodies.len(), 2, "{point:?}");
        for body in bodies {
            let (above, _) = body.split_once("Received: ").unwrap();
            assert_eq!(
                above.matches("Provost-Verdict: tag test_tag 2.0.0\r\n\ttagged\r\n").count(),
                1,
                "{point:?} {body}"
            );
        }
    }
}

/// The rule that combines verdicts: the first objection decides and ends the run; marks add up, and one quarantine is
/// enough, whatever follows it.
#[tokio::test(start_paused = true)]
async fn verdicts_are_combined_by_one_rule() {
    use ScriptedStage::{Accept, Defer, Hang, Panic, Quarantine, Refuse, Tag};
    for (scripts, expect, (tags, quarantines)) in [
        (&[][..], "250", (0, 0)),
        (&[Accept, Accept], "250", (0, 0)),
        (&[Accept, Tag, Accept], "250", (1, 0)),
        (&[Tag, Tag], "250", (2, 0)),
        (&[Quarantine, Accept], "250", (0, 1)),
        (&[Tag, Quarantine, Tag], "250", (2, 1)),
        (&[Quarantine, Quarantine], "250", (0, 2)),
        (&[Accept, Refuse], "554 5.7.1", (0, 0)),
        (&[Tag, Refuse], "554 5.7.1", (0, 0)),
        (&[Quarantine, Defer], "450 4.7.1", (0, 0)),
        // The first objection in the order of the table wins: a deferral before a refusal, or a refusal before a
        // deferral.
        (&[Defer, Refuse], "450 4.7.1", (0, 0)),
        (&[Refuse, Defer], "554 5.7.1", (0, 0)),
        (&[Refuse, Panic], "554 5.7.1", (0, 0)),
        (&[Panic, Refuse], "451 4.3.0", (0, 0)),
        (&[Tag, Hang, Accept], "451 4.3.0", (0, 0)),
        (&[Quarantine, Panic], "451 4.3.0", (0, 0)),
    ] {
        let site = site();
        let mut conversation = site.connect(Service::Mx);
        conversation.session.stages = with_stages(Service::Mx, StagePoint::DataEnd, scripts);
        let replies = converse(&mut conversation, Service::Mx, &["zoe@example.edu"]).await;
        assert!(replies.starts_with(expect), "{scripts:?}: {replies}");
        let filed = [site.mailbox("zoe", "INBOX").await, site.mailbox("zoe", "Junk").await];
        let taken = usize::from(expect == "250");
        let is_junk = usize::from(quarantines > 0);
        assert_eq!(filed.each_ref().map(Vec::len), [taken - is_junk * taken, is_junk * taken], "{scripts:?}");
        let text = filed.concat().concat();
        let count = |effect: &str| text.matches(&format!("Provost-Verdict: {effect} ")).count();
        assert_eq!((count("tag"), count("quarantine")), (tags, quarantines), "{scripts:?}");
        // The session still works after a stage that panicked or hung.
        assert!(conversation.send(b"NOOP\r\n").await.starts_with("250"), "{scripts:?}");
    }
}

/// The message holds at most `AUTHENTICATION_RESULTS_MAX` results of its own transaction, and none for a recipient that
/// a later stage refuses.
#[tokio::test]
async fn authentication_results_are_in_the_message() {
    for (to, of_zoe, of_full) in [
        (&["zoe@example.edu"][..], 20, 0),
        (&["ann@example.edu", "zoe@example.edu"], 20, 0),
        (&["full@example.edu", "zoe@example.edu"], 12, 20),
    ] {
        let site = site();
        let mut conversation = site.connect(Service::Mx);
        conversation.session.stages =
            with_stages(Service::Mx, StagePoint::Rcpt, &[ScriptedStage::Authenticate, ScriptedStage::RefuseAnn]);
        conversation.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n").await;
        for to in to {
            conversation.send(format!("RCPT TO:<{to}>\r\n").as_bytes()).await;
        }
        conversation.run("C: DATA\nS: 354\nC: A: b\nC: \nC: .\nS: 250").await;
        let body = site.inbox("zoe").await.remove(0);
        let count = |of: &str| body.matches(&format!("auth=pass smtp.mailfrom={of}@example.edu")).count();
        assert_eq!(count("ann"), 0, "{body}");
        assert_eq!((count("zoe"), count("full")), (of_zoe, of_full), "{body}");
    }
}

/// A tag is for the recipient's rules: Sieve reads this server's tags, not those that arrived with the message.
#[tokio::test]
async fn sieve_reads_a_tag() {
    let script = "require \"fileinto\"; if header :contains \"Provost-Verdict\" \"test_tag\" { fileinto \"Tagged\"; }";
    for (stage, expect) in [(ScriptedStage::Tag, "Tagged"), (ScriptedStage::Accept, "INBOX")] {
        let site = site();
        let mut conversation = site.connect(Service::Mx);
        conversation.session.stages = with_stage(Service::Mx, StagePoint::DataEnd, stage);
        conversation.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<zoe@example.edu>\r\nDATA\r\n").await;
        let replies = conversation.send(b"Provost-Verdict: tag test_tag 2.0.0\r\nA: b\r\n\r\nhi\r\n.\r\n").await;
        assert!(replies.starts_with("250"), "{replies}");
        let body = site.inbox("zoe").await.remove(0);
        let arrival = Arrival::from_queue(uuid::Uuid::nil().into(), Envelope::new(None, []), body.as_bytes());
        let (recipient, now) = (&person("zoe").primary, jiff::Timestamp::UNIX_EPOCH);
        let forward_path = &Path::from(recipient);
        let context = provost_sieve::ScriptContext { arrival: &arrival, forward_path, recipient, addresses: &[], now };
        let outcome = provost_sieve::run(script, body.as_bytes(), &context).unwrap();
        let filed = outcome.actions.contains(&provost_sieve::Action::FileInto("Tagged".into()));
        assert_eq!(if filed { "Tagged" } else { "INBOX" }, expect, "{body}");
        assert_eq!(arrival.marks().count(), usize::from(expect == "Tagged"));
    }
}

/// A mark applies to the whole message, whichever recipient caused it. A recipient that a later stage refuses
/// causes none.
#[tokio::test]
async fn a_mark_for_one_recipient_applies_to_all() {
    for (scripts, to, junk) in [
        (&[ScriptedStage::Quarantine][..], &["zoe@example.edu", "ann@example.edu"][..], 1),
        (&[ScriptedStage::QuarantineAnn], &["zoe@example.edu", "ann@example.edu"], 1),
        (&[ScriptedStage::QuarantineAnn], &["zoe@example.edu"], 0),
        (&[ScriptedStage::QuarantineAnn, ScriptedStage::RefuseAnn], &["zoe@example.edu", "ann@example.edu"], 0),
    ] {
        let site = site();
        let mut conversation = site.connect(Service::Mx);
        conversation.session.stages = with_stages(Service::Mx, StagePoint::Rcpt, scripts);
        conversation.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n").await;
        for to in to {
            conversation.send(format!("RCPT TO:<{to}>\r\n").as_bytes()).await;
        }
        conversation.run("C: DATA\nS: 354\nC: A: b\nC: \nC: .\nS: 250").await;
        let counts = (site.inbox("zoe").await.len(), site.mailbox("zoe", "Junk").await.len());
        assert_eq!(counts, (1 - junk, junk), "{scripts:?} {to:?}");
    }
}

/// A quarantined message does not leave this site: another site would not file it into Junk.
#[tokio::test]
async fn a_quarantined_message_is_not_relayed() {
    for (to, expect) in [("ann@example.edu", "250 2.0.0"), ("far@far.example", "550 5.7.1 Refused: quarantined")] {
        let site = site();
        let mut conversation = site.connect(Service::Submission);
        conversation.session.stages = with_stage(Service::Submission, StagePoint::DataEnd, ScriptedStage::Quarantine);
        conversation.send(b"EHLO x\r\nAUTH PLAIN AHpvZQBzZWNyZXQ=\r\n").await;
        let mail = format!("MAIL FROM:<zoe@example.edu>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        assert!(conversation.send(mail.as_bytes()).await.contains("354"));
        let replies = conversation.send(b"Subject: hi\r\n\r\n.\r\n").await;
        assert!(replies.starts_with(expect), "{replies}");
        assert_eq!(site.queued().await.len(), 0);
    }
}

/// The arrival that a stage gets has everything that is known at its point.
#[tokio::test]
async fn a_stage_sees_what_came_before_it() {
    let site = site();
    for point in POINTS {
        let seen: &'static RecordedInput = Box::leak(Box::default());
        last_reply(&site, Service::Lmtp, point, ScriptedStage::Record(seen)).await;
        let arrivals = seen.0.lock().unwrap();
        assert_eq!(arrivals.len(), 1, "{point:?}");
        let (arrival, connection) = (&arrivals[0], arrivals[0].connection.as_ref().unwrap());
        assert_eq!((connection.service, connection.remote.to_string()), (Service::Lmtp, "127.0.0.1:1000".into()));
        assert!(!connection.tls && connection.person.is_none());
        let hello = connection.hello.as_ref().map(|hello| (hello.verb, hello.name.as_str()));
        assert_eq!(hello, (point != StagePoint::Connect).then_some((HelloVerb::Lhlo, "client.example")), "{point:?}");
        let from = arrival.envelope.reverse_path.as_ref().map(ToString::to_string);
        let has_sender = !matches!(point, StagePoint::Connect | StagePoint::Hello);
        assert_eq!(from, has_sender.then(|| "a@b.example".into()), "{point:?}");
        let to = arrival.envelope.recipients.len();
        assert_eq!(to, usize::from(matches!(point, StagePoint::Rcpt | StagePoint::DataEnd)), "{point:?}");
        assert_eq!(arrival.authentication().count(), 0, "a result without a login");
    }
}

/// Every stage in the tables stands at a command where it can judge.
#[tokio::test]
async fn no_stage_in_the_tables_is_misplaced() {
    for service in [Service::Mx, Service::Submission, Service::Lmtp] {
        let site = site();
        let mut conversation = site.connect(service);
        let replies = converse(&mut conversation, service, &["zoe@example.edu"]).await;
        assert!(replies.starts_with("250"), "{service:?} {replies}");
    }
}

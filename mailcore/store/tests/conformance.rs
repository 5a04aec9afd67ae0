//! Conformance tests, run on the memory engine and on the local engine: effects and refusals of ops, UIDs, modseqs,
//! bounds, notices and leases.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "helper functions of tests are test code"
)]

#[macro_use]
mod engines;

use std::time::Duration;

use engines::*;
use provost_store::*;
use uuid::Uuid;

conformance!(
    a_new_account_has_the_default_mailboxes,
    uidvalidity_only_grows,
    mailboxes_are_created,
    mailboxes_are_deleted,
    mailboxes_are_renamed,
    renaming_inbox_moves_its_messages,
    names_are_subscribed,
    messages_are_appended,
    append_creates_missing_default_mailboxes,
    flags_are_stored,
    flags_are_stored_unless_changed_since,
    keywords_of_a_mailbox_are_bounded,
    messages_are_copied,
    messages_are_moved,
    messages_are_expunged,
    expunged_uids_are_reported_by_modseq,
    recent_from_only_rises,
    replies_are_remembered,
    the_quota_bounds_appends_and_copies,
    a_required_mailbox_must_exist,
    a_batch_id_is_remembered,
    later_ops_see_earlier_ones,
    message_octets_and_ops_are_bounded,
    bodies_are_read_in_parts,
    unknown_mailboxes_and_bodies_are_gone,
    notices_follow_each_batch,
    leases_are_exclusive,
    logins_are_recorded,
    mailboxes_and_subscriptions_are_bounded,
    concurrent_appends_get_their_own_uids,
);

async fn a_new_account_has_the_default_mailboxes(one: OneAccount) {
    let first = one.snapshot().await;
    let listed: Vec<_> = first.mailboxes.iter().map(|m| (m.name.as_str(), m.special_use, m.subscribed)).collect();
    let expected = [
        ("INBOX", None, true),
        ("Drafts", Some(SpecialUse::Drafts), true),
        ("Junk", Some(SpecialUse::Junk), true),
        ("Sent", Some(SpecialUse::Sent), true),
        ("Trash", Some(SpecialUse::Trash), true),
    ];
    assert_eq!(listed, expected);
    assert!(first.subscribed_only.is_empty() && first.octets == 0 && first.last_logins.is_empty());
    one.done(append("INBOX", "a")).await;
    for (before, after) in first.mailboxes.iter().zip(one.snapshot().await.mailboxes) {
        assert_eq!(
            (before.id, before.uid_validity),
            (after.id, after.uid_validity),
            "the first batch replaced the mailboxes of the earlier snapshot"
        );
        assert!(before.highest_modseq > Modseq::new(0) && before.uid_next == Uid::FIRST);
    }
}

/// RFC 3501 §2.3.1.1: a recreated mailbox has a greater UIDVALIDITY, even if the clock was set back.
async fn uidvalidity_only_grows(one: OneAccount) {
    let mut last = 0;
    for now in [1_000_000, 1_000_000, 5, 2_000_000, 1] {
        let ops = vec![create("again")];
        one.store.apply(Batch { now: at(now), ..batch(one.account, ops) }).await.unwrap();
        let recreated = one.mailbox("again").await;
        assert!(recreated.uid_validity.get() > last);
        last = recreated.uid_validity.get();
        one.done(delete("again")).await;
    }
    assert!(last > 2_000_000);
}

async fn mailboxes_are_created(one: OneAccount) {
    let effect = one.done(create("a/b/c")).await;
    let info = one.mailbox("a/b/c").await;
    assert_eq!(effect, OpEffect::Mailbox(Box::new(info.clone())));
    assert!(!info.subscribed && info.special_use.is_none() && info.messages == 0);
    assert_eq!(one.names().await, ["INBOX", "Drafts", "Junk", "Sent", "Trash", "a", "a/b", "a/b/c"]);
    let archive = Op::CreateMailbox { name: name("Old"), special_use: Some(SpecialUse::Archive) };
    one.done(archive).await;
    assert_eq!(one.mailbox("Old").await.special_use, Some(SpecialUse::Archive));
    assert_eq!(one.refused(create("a/b")).await, BatchError::MailboxExists("a/b".into()));
    assert_eq!(one.refused(create("inbox")).await, BatchError::MailboxExists("INBOX".into()));
}

async fn mailboxes_are_deleted(one: OneAccount) {
    one.apply(vec![create("a/b"), append("a", "12345"), append("INBOX", "123")]).await.unwrap();
    let id = one.id("a").await;
    assert_eq!(one.snapshot().await.octets, 8);
    one.done(delete("a")).await;
    assert_eq!(
        one.names().await,
        ["INBOX", "Drafts", "Junk", "Sent", "Trash", "a/b"],
        "the child did not stay, or its parent did"
    );
    assert_eq!(one.snapshot().await.octets, 3);
    assert_eq!(read(&one, id).await, Err(StoreError::Gone));
    one.done(create("a")).await;
    assert_ne!(one.id("a").await, id, "the id of a deleted mailbox is reused");
    assert!(one.changes("a", 0).await.messages.is_empty());
    assert_eq!(one.refused(delete("b")).await, BatchError::NoMailbox("b".into()));
    assert!(matches!(one.refused(delete("INBOX")).await, BatchError::Refused(_)));
}

async fn read(one: &OneAccount, mailbox: MailboxId) -> Result<Rows, StoreError> {
    one.store.read(one.account, mailbox, MessageSelection::all(), Columns::NONE, None).await
}

async fn mailboxes_are_renamed(one: OneAccount) {
    one.apply(vec![create("a/b/c"), create("ab"), append("a/b", "x")]).await.unwrap();
    let before = one.mailbox("a/b").await;
    one.done(rename("a", "x/y")).await;
    let expected = ["INBOX", "Drafts", "Junk", "Sent", "Trash", "ab", "x", "x/y", "x/y/b", "x/y/b/c"];
    assert_eq!(one.names().await, expected);
    let after = one.mailbox("x/y/b").await;
    assert_eq!((before.id, before.uid_validity, before.messages), (after.id, after.uid_validity, after.messages));
    assert_eq!(one.listing("x/y/b").await, ["1 x"]);

    // A mailbox may take the name of its deleted parent. Its old name is then free for its own child.
    one.apply(vec![create("p/p/p/q"), delete("p"), rename("p/p", "p")]).await.unwrap();
    let names: Vec<String> = one.names().await.into_iter().filter(|text| text.starts_with('p')).collect();
    assert_eq!(names, ["p", "p/p", "p/p/q"]);

    one.apply(vec![create("t/b"), delete("t"), create("u/b")]).await.unwrap();
    assert_eq!(one.refused(rename("nothing", "z")).await, BatchError::NoMailbox("nothing".into()));
    assert_eq!(one.refused(rename("x", "ab")).await, BatchError::MailboxExists("ab".into()));
    assert_eq!(one.refused(rename("ab", "ab")).await, BatchError::MailboxExists("ab".into()));
    assert_eq!(one.refused(rename("ab", "INBOX")).await, BatchError::MailboxExists("INBOX".into()));
    assert_eq!(
        one.refused(rename("u", "t")).await,
        BatchError::MailboxExists("t/b".into()),
        "the name of the child is taken"
    );
    assert!(matches!(one.refused(rename("x", "x/z")).await, BatchError::Refused(_)), "renamed below itself");
    let deep = "d".repeat(253);
    assert!(
        matches!(one.refused(rename("x", &deep)).await, BatchError::Refused(_)),
        "a child got a name that is too long"
    );
}

/// RFC 3501 §6.3.5.
async fn renaming_inbox_moves_its_messages(one: OneAccount) {
    one.apply(vec![append("INBOX", "a"), append_flagged("INBOX", "b", "\\Seen"), create("INBOX/child")]).await.unwrap();
    one.done(Op::Expunge { mailbox: one.id("INBOX").await, uids: Some(uids([1])), only_deleted: false }).await;
    let before = one.mailbox("INBOX").await;
    one.done(rename("INBOX", "old/mail")).await;
    let after = one.mailbox("INBOX").await;
    assert_eq!((after.id, after.uid_validity, after.uid_next), (before.id, before.uid_validity, before.uid_next));
    assert_eq!(after.messages, 0);
    assert_eq!(one.listing("old/mail").await, ["1 \\Seen b"]);
    assert_eq!(one.changes("INBOX", before.highest_modseq.get()).await.expunged, [uid(2)]);
    assert!(one.names().await.contains(&"INBOX/child".into()));
    assert_eq!(one.snapshot().await.octets, 1);
    assert_eq!(one.refused(rename("INBOX", "old/mail")).await, BatchError::MailboxExists("old/mail".into()));
}

/// RFC 3501 §6.3.6, §6.3.9; RFC 9051 §6.3.7: a name stays subscribed when its mailbox is deleted or renamed.
async fn names_are_subscribed(one: OneAccount) {
    let subscribe = |text: &str, on| Op::Subscribe { name: name(text), on };
    one.apply(vec![subscribe("later", true), subscribe("Trash", false), subscribe("never", false)]).await.unwrap();
    assert_eq!(one.snapshot().await.subscribed_only, [name("later")]);
    assert!(!one.mailbox("Trash").await.subscribed);
    one.done(create("later")).await;
    assert!(one.mailbox("later").await.subscribed);
    assert!(one.snapshot().await.subscribed_only.is_empty());
    one.done(rename("later", "now")).await;
    assert!(!one.mailbox("now").await.subscribed);
    one.apply(vec![subscribe("now", true), delete("now")]).await.unwrap();
    assert_eq!(one.snapshot().await.subscribed_only, [name("later"), name("now")]);
    let all = one.snapshot().await;
    let off = all.mailboxes.iter().map(|m| m.name.clone()).chain(all.subscribed_only);
    one.apply(off.map(|name| Op::Subscribe { name, on: false }).collect()).await.unwrap();
    let none = one.snapshot().await;
    assert!(none.subscribed_only.is_empty() && none.mailboxes.iter().all(|mailbox| !mailbox.subscribed));
}

async fn messages_are_appended(one: OneAccount) {
    let applied =
        one.apply(vec![append_flagged("INBOX", "one", "\\Seen $Fwd"), append("INBOX", "two!")]).await.unwrap();
    let inbox = one.mailbox("INBOX").await;
    let appended =
        |number| OpEffect::Appended { mailbox: inbox.id, uid_validity: inbox.uid_validity, uid: uid(number) };
    assert_eq!(applied.effects, [appended(1), appended(2)]);
    let changes = one.changes("INBOX", 0).await;
    assert_counters_agree(&changes);
    let first = &changes.messages[0];
    assert_eq!((first.modseq, first.internal_date, first.octets), (applied.modseq, at(1_700_000_000), 3));
    assert_eq!((inbox.messages, inbox.unseen, inbox.octets, inbox.uid_next), (2, 1, 7, uid(3)));
    assert_eq!(inbox.highest_modseq, applied.modseq);
    assert_eq!(one.listing("INBOX").await, ["1 \\Seen $Fwd one", "2 two!"]);
    let next = one.apply(vec![append("INBOX", "")]).await.unwrap();
    assert_eq!(next.modseq.get(), applied.modseq.get() + 1, "the batch did not raise the modseq by exactly one");
    assert_eq!(one.listing("INBOX").await[2], "3 ");
    assert_eq!(one.refused(append("nowhere", "x")).await, BatchError::NoMailbox("nowhere".into()));
}

async fn append_creates_missing_default_mailboxes(one: OneAccount) {
    let subscribe = Op::Subscribe { name: name("Junk"), on: false };
    one.apply(vec![delete("Sent"), rename("Junk", "Spam"), subscribe]).await.unwrap();
    one.apply(vec![append("Sent", "s"), append("Junk", "j")]).await.unwrap();
    assert_eq!(one.mailbox("Sent").await.special_use, Some(SpecialUse::Sent));
    assert_eq!(one.mailbox("Spam").await.special_use, Some(SpecialUse::Junk));
    assert_eq!(one.mailbox("Junk").await.special_use, None, "two mailboxes have \\Junk");
    let mut filed = append("courses/mail", "c");
    if let Op::Append { create, .. } = &mut filed {
        *create = true;
    }
    one.done(filed).await;
    assert_eq!(one.listing("courses/mail").await, ["1 c"]);
    assert!(one.names().await.contains(&"courses".into()));
}

async fn flags_are_stored(one: OneAccount) {
    one.apply(vec![append("INBOX", "a"), append_flagged("INBOX", "b", "\\Seen Work"), append("INBOX", "c")])
        .await
        .unwrap();
    let mailbox = one.id("INBOX").await;
    let store = |numbers: &[u32], change| Op::Store {
        mailbox,
        uids: uids(numbers.iter().copied()),
        change,
        unchanged_since: None,
    };
    let before = one.mailbox("INBOX").await.highest_modseq;
    let effect = one.done(store(&[1, 2, 9], FlagChange::Add(flags("\\Seen")))).await;
    let changes = one.changes("INBOX", before.get()).await;
    assert_counters_agree(&one.changes("INBOX", 0).await);
    assert_eq!(changes.messages.len(), 1, "a message that had the flag already got a new modseq");
    assert_eq!(changes.messages[0].modseq, Modseq::new(before.get() + 1));
    let all = one.changes("INBOX", 0).await.messages;
    assert_eq!(effect, OpEffect::Stored { messages: all[..2].to_vec(), modified: vec![] });
    one.done(store(&[1, 2], FlagChange::Remove(flags("\\Seen WORK")))).await;
    one.done(store(&[3], FlagChange::Replace(flags("\\Deleted \\Draft New")))).await;
    assert_eq!(one.listing("INBOX").await, ["1 a", "2 b", "3 \\Deleted \\Draft New c"]);
    assert_eq!(one.mailbox("INBOX").await.unseen, 3);
    let missing = Op::Store {
        mailbox: MailboxId::new(99),
        uids: uids([1]),
        change: FlagChange::Add(flags("")),
        unchanged_since: None,
    };
    assert!(matches!(one.refused(missing).await, BatchError::NoMailbox(_)));
}

/// RFC 7162 §3.1.3.
async fn flags_are_stored_unless_changed_since(one: OneAccount) {
    let first = one.apply(vec![append("INBOX", "a")]).await.unwrap().modseq;
    one.apply(vec![append("INBOX", "b")]).await.unwrap();
    let mailbox = one.id("INBOX").await;
    let change = FlagChange::Add(flags("\\Flagged"));
    let effect = one.done(Op::Store { mailbox, uids: UidSet::all(), change, unchanged_since: Some(first) }).await;
    let OpEffect::Stored { messages, modified } = effect else { panic!() };
    assert_eq!((messages.len(), messages[0].uid, modified), (1, uid(1), vec![uid(2)]));
    assert_eq!(one.listing("INBOX").await, ["1 \\Flagged a", "2 b"]);
}

async fn keywords_of_a_mailbox_are_bounded(one: OneAccount) {
    let words: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
    one.apply(vec![append_flagged("INBOX", "a", &words.join(" ")), append("INBOX", "b")]).await.unwrap();
    let mailbox = one.id("INBOX").await;
    let add = |number, words: &str| Op::Store {
        mailbox,
        uids: uids([number]),
        change: FlagChange::Add(flags(words)),
        unchanged_since: None,
    };
    one.done(add(2, "K63 k1")).await;
    assert!(matches!(one.refused(add(2, "more")).await, BatchError::Refused(_)));
    assert!(matches!(one.refused(append_flagged("INBOX", "c", "more")).await, BatchError::Refused(_)));
    let remove = FlagChange::Remove(flags("k0"));
    one.done(Op::Store { mailbox, uids: uids([1]), change: remove, unchanged_since: None }).await;
    one.done(add(2, "more")).await;
    one.done(append_flagged("Sent", "each mailbox has its own bound", "yet-more")).await;
}

async fn messages_are_copied(one: OneAccount) {
    let ops =
        vec![append_flagged("INBOX", "a", "\\Seen x"), append("INBOX", "b"), append("INBOX", "c"), append("Sent", "s")];
    one.apply(ops).await.unwrap();
    let (from, to) = (one.id("INBOX").await, one.mailbox("Sent").await);
    let effect = one.done(Op::Copy { from, uids: uids([1, 3, 8]), to: name("Sent") }).await;
    let pairs = vec![(uid(1), uid(2)), (uid(3), uid(3))];
    assert_eq!(effect, OpEffect::Copied { mailbox: to.id, uid_validity: to.uid_validity, uids: pairs });
    assert_eq!(one.listing("Sent").await, ["1 s", "2 \\Seen x a", "3 c"]);
    assert_eq!(one.listing("INBOX").await.len(), 3);
    assert_eq!(one.snapshot().await.octets, 6);
    one.done(Op::Copy { from, uids: UidSet::all(), to: name("INBOX") }).await;
    assert_eq!(one.listing("INBOX").await.len(), 6, "a copy onto the same mailbox did not add each message once");
    assert_counters_agree(&one.changes("INBOX", 0).await);
    let nowhere = Op::Copy { from, uids: uids([1]), to: name("nowhere") };
    assert_eq!(one.refused(nowhere).await, BatchError::NoMailbox("nowhere".into()));
    let from = MailboxId::new(77);
    assert!(matches!(
        one.refused(Op::Copy { from, uids: uids([1]), to: name("Sent") }).await,
        BatchError::NoMailbox(_)
    ));
}

/// RFC 6851 §3.
async fn messages_are_moved(one: OneAccount) {
    one.apply(vec![append("INBOX", "a"), append_flagged("INBOX", "b", "\\Seen"), append("INBOX", "c")]).await.unwrap();
    let before = one.mailbox("INBOX").await;
    let effect = one.done(Op::Move { from: before.id, uids: uids([2, 3]), to: name("Trash") }).await;
    let OpEffect::Copied { uids: pairs, .. } = effect else { panic!() };
    assert_eq!(pairs, [(uid(2), uid(1)), (uid(3), uid(2))]);
    assert_eq!(one.listing("INBOX").await, ["1 a"]);
    assert_eq!(one.listing("Trash").await, ["1 \\Seen b", "2 c"]);
    let changes = one.changes("INBOX", before.highest_modseq.get()).await;
    assert_eq!((changes.expunged, changes.messages.len()), (vec![uid(2), uid(3)], 0));
    assert_eq!(one.mailbox("INBOX").await.uid_next, uid(4), "UIDNEXT fell");
    assert_eq!(one.snapshot().await.octets, 3);
    one.done(Op::Move { from: before.id, uids: uids([1]), to: name("INBOX") }).await;
    assert_eq!(one.listing("INBOX").await, ["4 a"]);
    let nowhere = Op::Move { from: before.id, uids: uids([4]), to: name("nowhere") };
    assert_eq!(one.refused(nowhere).await, BatchError::NoMailbox("nowhere".into()));
}

async fn messages_are_expunged(one: OneAccount) {
    let deleted = |body| append_flagged("INBOX", body, "\\Deleted");
    one.apply(vec![deleted("a"), append("INBOX", "b"), deleted("c"), append("INBOX", "d"), deleted("e")])
        .await
        .unwrap();
    let mailbox = one.id("INBOX").await;
    let expunge = |uids, only_deleted| Op::Expunge { mailbox, uids, only_deleted };
    assert_eq!(one.done(expunge(Some(uids([1, 2])), true)).await, OpEffect::Expunged(vec![uid(1)]));
    assert_eq!(one.done(expunge(Some(uids([2, 17])), false)).await, OpEffect::Expunged(vec![uid(2)]));
    assert_eq!(one.done(expunge(None, true)).await, OpEffect::Expunged(vec![uid(3), uid(5)]));
    assert_eq!(one.done(expunge(None, true)).await, OpEffect::Expunged(vec![]));
    assert_eq!(one.listing("INBOX").await, ["4 d"]);
    assert_eq!(one.done(expunge(None, false)).await, OpEffect::Expunged(vec![uid(4)]));
    let empty = one.mailbox("INBOX").await;
    assert_eq!((empty.messages, empty.unseen, empty.octets, empty.uid_next), (0, 0, 0, uid(6)));
    assert_eq!(one.snapshot().await.octets, 0);
    let missing = Op::Expunge { mailbox: MailboxId::new(99), uids: None, only_deleted: true };
    assert!(matches!(one.refused(missing).await, BatchError::NoMailbox(_)));
}

/// RFC 7162 §3.2.10.1: the UIDs of VANISHED (EARLIER).
async fn expunged_uids_are_reported_by_modseq(one: OneAccount) {
    let start = one.apply((0..6).map(|n| append("INBOX", &n.to_string())).collect()).await.unwrap().modseq.get();
    let mailbox = one.id("INBOX").await;
    let expunge =
        |numbers: &[u32]| Op::Expunge { mailbox, uids: Some(uids(numbers.iter().copied())), only_deleted: false };
    one.done(expunge(&[5])).await;
    one.done(expunge(&[1, 2])).await;
    let change = FlagChange::Add(flags("\\Seen"));
    one.done(Op::Store { mailbox, uids: uids([3]), change, unchanged_since: None }).await;
    one.done(append("INBOX", "late")).await;
    let listed = |changes: Changes| -> (Vec<u32>, Vec<u32>) {
        let messages = changes.messages.iter().map(|message| message.uid.get()).collect();
        (messages, changes.expunged.iter().map(|uid| uid.get()).collect())
    };
    assert_eq!(listed(one.changes("INBOX", start).await), (vec![3, 7], vec![1, 2, 5]));
    assert_eq!(listed(one.changes("INBOX", start + 1).await), (vec![3, 7], vec![1, 2]));
    assert_eq!(listed(one.changes("INBOX", start + 2).await), (vec![3, 7], vec![]));
    assert_eq!(listed(one.changes("INBOX", start + 3).await), (vec![7], vec![]));
    assert_eq!(listed(one.changes("INBOX", start + 4).await), (vec![], vec![]));
    assert_eq!(listed(one.changes("INBOX", 0).await), (vec![3, 4, 6, 7], vec![]), "modseq 0 lists expunged UIDs");
    assert_eq!(listed(one.changes("INBOX", u64::MAX).await), (vec![], vec![]));
}

async fn recent_from_only_rises(one: OneAccount) {
    one.apply(vec![append("INBOX", "a"), append("INBOX", "b")]).await.unwrap();
    let info = one.mailbox("INBOX").await;
    assert_eq!(info.recent_from, uid(1));
    let clear = |number| Op::ClearRecent { mailbox: info.id, up_to: uid(number) };
    one.done(clear(3)).await;
    assert_eq!(one.mailbox("INBOX").await.recent_from, uid(3));
    one.done(clear(2)).await;
    assert_eq!(one.mailbox("INBOX").await.recent_from, uid(3), "lowered");
    one.done(clear(500)).await;
    assert_eq!(one.mailbox("INBOX").await.recent_from, uid(3), "raised above UIDNEXT");
    assert_eq!(one.mailbox("INBOX").await.highest_modseq, info.highest_modseq);
    let missing = Op::ClearRecent { mailbox: MailboxId::new(99), up_to: uid(1) };
    assert!(matches!(one.refused(missing).await, BatchError::NoMailbox(_)));
}

/// RFC 5230 §4.2.
async fn replies_are_remembered(one: OneAccount) {
    let reply = |handle: &str, to: &str| Op::RememberReply {
        handle: handle.into(),
        correspondent: to.into(),
        until: at(100),
        reply: None,
    };
    let apply_at = |now, op| one.store.apply(Batch { now: at(now), ..batch(one.account, vec![op]) });
    let table = [
        (10, "v", "a@x", true),
        (11, "v", "a@x", false),
        (12, "v", "b@x", true),
        (13, "w", "a@x", true),
        (99, "v", "a@x", false),
        (100, "v", "a@x", true),
    ];
    for (now, handle, to, expect) in table {
        assert_eq!(
            apply_at(now, reply(handle, to)).await.unwrap().effects,
            [OpEffect::Remembered(expect)],
            "{now} {handle} {to}"
        );
    }
    let long = "x".repeat(1025);
    assert!(matches!(one.refused(reply(&long, "a@x")).await, BatchError::Refused(_)));
    assert!(matches!(one.refused(reply("v", &long)).await, BatchError::Refused(_)));
}

async fn the_quota_bounds_appends_and_copies(one: OneAccount) {
    let with = |quota, ops| {
        one.store.apply(Batch { require: vec![BatchCondition::QuotaOctets(quota)], ..batch(one.account, ops) })
    };
    with(10, vec![append("INBOX", "12345"), append("INBOX", "12345")]).await.unwrap();
    assert_eq!(with(10, vec![append("INBOX", "x")]).await, Err(BatchError::OverQuota));
    assert_eq!(with(14, vec![append("INBOX", "12"), append("Sent", "123")]).await, Err(BatchError::OverQuota));
    let from = one.id("INBOX").await;
    let copy = || vec![Op::Copy { from, uids: uids([1]), to: name("Sent") }];
    assert_eq!(with(14, copy()).await, Err(BatchError::OverQuota), "copies do not count");
    with(15, copy()).await.unwrap();
    with(3, vec![Op::Move { from, uids: uids([1]), to: name("Trash") }]).await.unwrap();
    let change = FlagChange::Add(flags("\\Seen"));
    with(3, vec![Op::Store { mailbox: from, uids: uids([2]), change, unchanged_since: None }]).await.unwrap();
    with(3, vec![create("full"), Op::Expunge { mailbox: from, uids: None, only_deleted: false }]).await.unwrap();
    assert_eq!(one.snapshot().await.octets, 10);
}

async fn a_required_mailbox_must_exist(one: OneAccount) {
    one.done(create("a")).await;
    let id = one.id("a").await;
    let with = |ops| one.store.apply(Batch { require: vec![BatchCondition::Mailbox(id)], ..batch(one.account, ops) });
    with(vec![append("a", "x")]).await.unwrap();
    one.done(delete("a")).await;
    assert!(matches!(with(vec![append("INBOX", "x")]).await, Err(BatchError::NoMailbox(_))));
    assert!(one.changes("INBOX", 0).await.messages.is_empty());
}

async fn a_batch_id_is_remembered(one: OneAccount) {
    let id = Some(BatchId::new(Uuid::from_u128(5)));
    let now = 1_000_000;
    let send = |account, now| one.store.apply(Batch { id, now, ..batch(account, vec![append("INBOX", "once")]) });
    let first = send(one.account, at(now)).await.unwrap();
    one.done(append("INBOX", "between")).await;
    assert_eq!(send(one.account, at(now + 6 * 86_400)).await.unwrap(), first);
    assert_eq!(one.listing("INBOX").await.len(), 2);
    let other = account(8);
    send(other, at(now)).await.unwrap();
    assert_eq!(
        one.store.snapshot(other, None).await.unwrap().mailboxes[0].messages,
        1,
        "the batch id of one account counted in another"
    );

    let id = Some(BatchId::new(Uuid::from_u128(6)));
    let refused = Batch { id, ..batch(one.account, vec![append("later", "x")]) };
    assert!(matches!(one.store.apply(refused.clone()).await, Err(BatchError::NoMailbox(_))));
    one.done(create("later")).await;
    one.store.apply(refused).await.expect("the id of a refused batch was remembered");
    assert_eq!(one.listing("later").await, ["1 x"]);
}

async fn later_ops_see_earlier_ones(one: OneAccount) {
    one.done(create("first")).await;
    let id = one.id("first").await;
    let ops = vec![
        rename("first", "second"),
        append("second", "a"),
        Op::Store { mailbox: id, uids: uids([1]), change: FlagChange::Add(flags("\\Deleted")), unchanged_since: None },
        Op::Copy { from: id, uids: uids([1]), to: name("INBOX") },
        Op::Expunge { mailbox: id, uids: None, only_deleted: true },
        delete("second"),
        create("first"),
    ];
    let applied = one.apply(ops).await.unwrap();
    assert_eq!(applied.effects[4], OpEffect::Expunged(vec![uid(1)]));
    assert_eq!(one.listing("INBOX").await, ["1 \\Deleted a"]);
    assert_eq!(one.changes("INBOX", 0).await.messages[0].modseq, applied.modseq, "not the modseq of the batch");
    assert_ne!(one.id("first").await, id);
}

async fn message_octets_and_ops_are_bounded(one: OneAccount) {
    let large = "x".repeat(MESSAGE_OCTETS_MAX as usize);
    one.done(append("INBOX", &large)).await;
    assert!(matches!(one.refused(append("INBOX", &format!("{large}x"))).await, BatchError::Refused(_)));
    let many = vec![Op::ClearRecent { mailbox: one.id("INBOX").await, up_to: uid(1) }; 10_001];
    assert!(matches!(one.apply(many).await, Err(BatchError::Refused(_))));
}

async fn bodies_are_read_in_parts(one: OneAccount) {
    let body: String = (0..40_000).map(|n| format!("{n:07}")).collect();
    one.done(append("INBOX", &body)).await;
    let message = one.changes("INBOX", 0).await.messages[0].clone();
    assert_eq!(message.octets, 280_000);
    for (start, end) in [(0, 280_000), (0, 0), (5, 17), (65_000, 140_000), (279_999, 900_000), (900_000, 900_001)] {
        let part = one.store.body(one.account, message.body, Some(start..end)).await.unwrap();
        let (start, end) = (start.min(280_000) as usize, end.min(280_000) as usize);
        assert_eq!(part, body.as_bytes()[start..end], "{start} {end}");
    }
}

async fn unknown_mailboxes_and_bodies_are_gone(one: OneAccount) {
    assert_eq!(read(&one, MailboxId::new(1)).await, Err(StoreError::Gone), "an account that was never written");
    one.snapshot().await;
    assert_eq!(read(&one, MailboxId::new(99)).await, Err(StoreError::Gone));
    assert_eq!(one.store.body(one.account, BodyId::NONE, None).await, Err(StoreError::Gone));
    one.done(append("INBOX", "mine")).await;
    let body = one.changes("INBOX", 0).await.messages[0].body;
    assert_eq!(
        one.store.body(account(8), body, None).await,
        Err(StoreError::Gone),
        "the body of another account was read"
    );
}

async fn notices_follow_each_batch(one: OneAccount) {
    let mut notices = one.store.notices(one.account);
    let mut other = one.store.notices(account(1_234));
    let applied = one.apply(vec![append("INBOX", "a")]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), notices.changed()).await.unwrap().unwrap();
    assert_eq!(*notices.borrow_and_update(), applied.modseq.get());
    assert!(one.apply(vec![append("nowhere", "a")]).await.is_err());
    assert!(!notices.has_changed().unwrap());
    assert!(!other.has_changed().unwrap());
    drop(notices);
    one.done(append("INBOX", "b")).await;
    let mut again = one.store.notices(one.account);
    let applied = one.apply(vec![append("INBOX", "c")]).await.unwrap();
    assert_eq!(*again.borrow_and_update(), applied.modseq.get());
    assert_eq!(*other.borrow_and_update(), 0);
}

async fn leases_are_exclusive(one: OneAccount) {
    let long = Duration::from_secs(3600);
    let first = one.store.lease("work", long).await.unwrap().unwrap();
    assert!(one.store.lease("work", long).await.unwrap().is_none());
    let epoch = first.epoch;
    drop(first);
    // A lease of zero length ends at once, so the third call gets the lease while `second` is still held.
    let second = one.store.lease("work", Duration::ZERO).await.unwrap().unwrap();
    assert!(second.epoch > epoch);
    assert!(one.store.lease("work", long).await.unwrap().is_some_and(|third| third.epoch > second.epoch));
}

async fn logins_are_recorded(one: OneAccount) {
    one.store.note_login(one.account, "imap", at(50));
    one.store.note_login(one.account, "pop3", at(60));
    one.store.note_login(one.account, "imap", at(70));
    one.store.note_login(account(8), "imap", at(80));
    assert_eq!(one.snapshot().await.last_logins, [("imap".into(), at(70)), ("pop3".into(), at(60))]);
    let of_eight = (account(8), at(80));
    assert_eq!(one.store.logins_since(at(60), 10).await.unwrap(), [(one.account, at(70)), of_eight]);
    assert_eq!(one.store.logins_since(at(60), 1).await.unwrap(), [(one.account, at(70))]);
    assert_eq!(one.store.logins_since(at(71), 10).await.unwrap(), [of_eight]);
}

async fn mailboxes_and_subscriptions_are_bounded(one: OneAccount) {
    one.apply((0..9_995).map(|n| create(&format!("m{n}"))).collect()).await.unwrap();
    assert!(matches!(one.apply(vec![create("one too many")]).await, Err(BatchError::Refused(_))));
    one.apply(vec![delete("m5"), create("in its place")]).await.unwrap();
    let subscribe = |n: u32| Op::Subscribe { name: name(&format!("s{n}")), on: true };
    one.apply((0..9_995).map(subscribe).collect()).await.unwrap();
    assert!(matches!(one.apply(vec![subscribe(10_000)]).await, Err(BatchError::Refused(_))));
}

async fn concurrent_appends_get_their_own_uids(one: OneAccount) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let (store, account) = (one.store.clone(), account(number % 5));
        tasks.spawn(
            async move { store.apply(batch(account, vec![append("INBOX", &number.to_string())])).await.unwrap() },
        );
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for number in 0..5 {
        let one = OneAccount { store: one.store.clone(), account: account(number) };
        let changes = one.changes("INBOX", 0).await;
        assert_counters_agree(&changes);
        let listed: Vec<u32> = changes.messages.iter().map(|message| message.uid.get()).collect();
        assert_eq!(listed, (1..=40).collect::<Vec<_>>());
        let mut bodies: Vec<String> = one.listing("INBOX").await;
        bodies.iter_mut().for_each(|message| *message = message.split(' ').nth(1).unwrap().to_owned());
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 40, "a message is there twice");
    }
}

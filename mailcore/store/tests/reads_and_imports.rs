//! Rules for both engines of the store, in memory and on disk: reads, conditions of batches, leases, deleted accounts,
//! imports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

#[macro_use]
mod engines;

use std::time::Duration;

use engines::*;
use provost_store::*;
use uuid::Uuid;

conformance!(
    a_read_returns_the_selected_messages,
    columns_are_derived_from_the_message,
    reads_are_unavailable_until_the_moment_of_their_token,
    a_batch_can_require_an_unchanged_account,
    a_batch_can_require_present_messages,
    a_lease_guards_writes,
    leases_are_renewed,
    accounts_are_listed,
    accounts_are_deleted,
    a_deletion_of_an_account_is_the_only_op_of_its_batch,
    a_body_lives_as_long_as_its_last_message,
    mailboxes_are_restored,
    a_retired_uidvalidity_is_not_restored,
    a_renamed_mailbox_that_shares_its_uidvalidity_gets_a_new_one,
    special_uses_move_to_restored_mailboxes,
    messages_are_restored,
    restored_uids_ascend,
    restored_modseqs_are_kept,
    restored_messages_are_bounded_by_quota_and_size,
);

/// Length of a lease that does not end during a test.
const LONG: Duration = Duration::from_secs(3600);

fn uids_of(rows: &Rows) -> Vec<u32> {
    rows.rows.iter().map(|row| row.meta.uid.get()).collect()
}

async fn a_read_returns_the_selected_messages(one: OneAccount) {
    let first = one.apply((1..=6).map(|n| append("INBOX", &n.to_string())).collect()).await.unwrap();
    let mailbox = one.id("INBOX").await;
    let expunge = Op::Expunge { mailbox, uids: Some(uids([2, 5])), only_deleted: false };
    let second = one.apply(vec![expunge, append("INBOX", "7")]).await.unwrap();
    let table: &[(MessageSelection, &[u32], &[u32])] = &[
        (MessageSelection::all(), &[1, 3, 4, 6, 7], &[]),
        (MessageSelection::Uids(UidSet::all()), &[1, 3, 4, 6, 7], &[]),
        (MessageSelection::Uids(uids([1, 2, 6, 99])), &[1, 6], &[]),
        (MessageSelection::Uids(uids([])), &[], &[]),
        (MessageSelection::Last(2), &[6, 7], &[]),
        (MessageSelection::Last(0), &[], &[]),
        (MessageSelection::Last(u32::MAX), &[1, 3, 4, 6, 7], &[]),
        (MessageSelection::ChangedSince(first.modseq), &[7], &[2, 5]),
        (MessageSelection::ChangedSince(second.modseq), &[], &[]),
        (MessageSelection::ChangedSince(Modseq::new(u64::MAX)), &[], &[]),
    ];
    for (which, expected, expunged) in table {
        let rows = one.read("INBOX", which.clone(), Columns::NONE).await;
        assert_eq!(uids_of(&rows), *expected, "{which:?}");
        assert_eq!(rows.expunged.iter().map(|uid| uid.get()).collect::<Vec<_>>(), *expunged, "{which:?}");
        assert!(rows.rows.iter().all(|row| row.derived.is_none()), "columns that were not selected");
        assert_eq!((rows.info, rows.token), (one.mailbox("INBOX").await, second.token()));
    }
    let gone = one.store.read(one.account, MailboxId::new(99), MessageSelection::all(), Columns::NONE, None).await;
    assert_eq!(gone, Err(StoreError::Gone));
}

async fn columns_are_derived_from_the_message(one: OneAccount) {
    let message = "Date: Thu, 26 Nov 2026 10:00:00 +0100\r\nSubject: columns\r\n\r\ntext\r\n";
    one.apply(vec![append("INBOX", message), append("INBOX", "no header")]).await.unwrap();
    let from = one.id("INBOX").await;
    one.done(Op::Copy { from, uids: uids([1]), to: name("Sent") }).await;
    for mailbox in ["INBOX", "Sent"] {
        let rows = one.read(mailbox, MessageSelection::Uids(uids([1])), Columns::SENT).await;
        let derived = rows.rows[0].derived.clone().unwrap();
        assert_eq!(derived.sent, Some(at(1_795_683_600)), "{mailbox}");
        let all = provost_message::derive(message.as_bytes());
        assert!(derived.envelope.is_empty() && derived.fields.is_empty(), "columns that were not selected");
        let columns = Columns::SENT | Columns::ENVELOPE | Columns::STRUCTURE | Columns::PREVIEW;
        let rows = one.read(mailbox, MessageSelection::Last(9), columns | Columns::THREAD | Columns::FIELDS).await;
        assert_eq!(rows.rows[0].derived.as_deref(), Some(&all), "{mailbox}");
    }
    assert_eq!(
        one.read("INBOX", MessageSelection::Last(1), Columns::SENT).await.rows[0].derived.clone().unwrap().sent,
        None
    );
}

async fn reads_are_unavailable_until_the_moment_of_their_token(one: OneAccount) {
    let never = one.store.snapshot(one.account, Some(ReadToken::new(Modseq::new(1)))).await;
    assert!(
        matches!(never, Err(StoreError::Unavailable(_))),
        "a read of an account that was never written did not wait"
    );
    let applied = one.apply(vec![append("INBOX", "a")]).await.unwrap();
    let mailbox = one.id("INBOX").await;
    let read = |token| one.store.read(one.account, mailbox, MessageSelection::all(), Columns::NONE, Some(token));
    let now = applied.token();
    assert_eq!(one.store.snapshot(one.account, Some(now)).await.unwrap().token, now);
    assert_eq!(read(now).await.unwrap().token, now);
    let later = ReadToken::new(Modseq::new(now.get().get() + 1));
    assert!(matches!(read(later).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(one.store.snapshot(one.account, Some(later)).await, Err(StoreError::Unavailable(_))));
    assert_eq!(one.done(append("INBOX", "b")).await, appended_to_inbox(&one, 2).await);
    assert_eq!(read(later).await.unwrap().rows.len(), 2);
}

/// Returns the effect of an op that added a message with this UID to INBOX.
async fn appended_to_inbox(one: &OneAccount, number: u32) -> OpEffect {
    let inbox = one.mailbox("INBOX").await;
    OpEffect::Appended { mailbox: inbox.id, uid_validity: inbox.uid_validity, uid: uid(number) }
}

async fn a_batch_can_require_an_unchanged_account(one: OneAccount) {
    let with = |token, ops| {
        one.store.apply(Batch { require: vec![BatchCondition::Unchanged(token)], ..batch(one.account, ops) })
    };
    assert!(
        matches!(with(ReadToken::new(Modseq::new(1)), vec![]).await, Err(BatchError::Conflict(_))),
        "the account did not exist"
    );
    let seen = one.snapshot().await.token;
    let next = with(seen, vec![append("INBOX", "a")]).await.unwrap();
    assert!(matches!(with(seen, vec![append("INBOX", "b")]).await, Err(BatchError::Conflict(_))));
    with(next.token(), vec![append("INBOX", "b")]).await.unwrap();
    assert_eq!(one.listing("INBOX").await, ["1 a", "2 b"]);
}

async fn a_batch_can_require_present_messages(one: OneAccount) {
    one.apply(vec![append("INBOX", "a"), append("INBOX", "b"), append("INBOX", "c")]).await.unwrap();
    let (from, to) = (one.id("INBOX").await, name("Trash"));
    one.done(Op::Expunge { mailbox: from, uids: Some(uids([2])), only_deleted: false }).await;
    let with = |op| one.store.apply(Batch { require: vec![BatchCondition::Present], ..batch(one.account, vec![op]) });
    let before = one.snapshot().await;
    let change = FlagChange::Add(Flags::none());
    for op in [
        Op::Copy { from, uids: uids(1..=3), to: to.clone() },
        Op::Move { from, uids: uids(1..=3), to: to.clone() },
        Op::Store { mailbox: from, uids: uids(1..=3), change, unchanged_since: None },
    ] {
        assert!(matches!(with(op).await, Err(BatchError::Conflict(_))));
    }
    assert_eq!(one.snapshot().await, before, "a refused batch changed the account");
    with(Op::Copy { from, uids: uids([1, 3]), to }).await.unwrap();
    assert_eq!(one.listing("Trash").await, ["1 a", "2 c"]);
}

async fn a_lease_guards_writes(one: OneAccount) {
    let with = |epoch| {
        let require = vec![BatchCondition::Lease { name: "work".into(), epoch }];
        one.store.apply(Batch { require, ..batch(one.account, vec![append("INBOX", "x")]) })
    };
    assert_eq!(with(1).await, Err(BatchError::Fenced), "a lease that nobody holds");
    let first = one.store.lease("work", LONG).await.unwrap().unwrap();
    assert_eq!(first.name(), "work");
    with(first.epoch).await.unwrap();
    assert_eq!(with(first.epoch + 1).await, Err(BatchError::Fenced));
    let frozen = first.epoch;
    drop(first);
    assert_eq!(with(frozen).await, Err(BatchError::Fenced), "a released lease");
    let second = one.store.lease("work", LONG).await.unwrap().unwrap();
    assert_eq!(with(frozen).await, Err(BatchError::Fenced), "the epoch of an earlier holder");
    with(second.epoch).await.unwrap();
    assert_eq!(one.listing("INBOX").await, ["1 x", "2 x"]);
}

async fn leases_are_renewed(one: OneAccount) {
    let lease = one.store.lease("work", LONG).await.unwrap().unwrap();
    one.store.renew(&lease, Duration::ZERO).await.unwrap();
    assert_eq!(one.store.renew(&lease, LONG).await, Err(LeaseError::Fenced), "an expired lease");
    let next = one.store.lease("work", LONG).await.unwrap().unwrap();
    assert_eq!(one.store.renew(&lease, LONG).await, Err(LeaseError::Fenced), "the lease of another holder");
    drop(lease);
    one.store.renew(&next, LONG).await.unwrap();
    assert!(one.store.lease("work", LONG).await.unwrap().is_none());
}

async fn accounts_are_listed(one: OneAccount) {
    assert!(one.store.accounts(None, 10).await.unwrap().is_empty());
    for number in [5, 1, 9, 3, 7] {
        one.store.snapshot(account(number), None).await.unwrap();
    }
    let list = async |after: Option<u128>, limit| -> Vec<u128> {
        let listed = one.store.accounts(after.map(account), limit).await.unwrap();
        listed.iter().map(|id| id.get().as_u128()).collect()
    };
    assert_eq!(list(None, 10).await, [1, 3, 5, 7, 9]);
    assert_eq!(list(None, 2).await, [1, 3]);
    assert_eq!(list(Some(3), 2).await, [5, 7]);
    assert_eq!(list(Some(4), 1).await, [5]);
    assert!(list(Some(9), 10).await.is_empty());
}

async fn accounts_are_deleted(one: OneAccount) {
    one.done(Op::DeleteAccount).await;
    assert!(one.store.accounts(None, 10).await.unwrap().is_empty(), "the deletion created the account");
    let reply =
        || Op::RememberReply { handle: "v".into(), correspondent: "a@x".into(), until: at(2_000_000), reply: None };
    let send = || Batch {
        id: Some(BatchId::new(Uuid::from_u128(5))),
        ..batch(one.account, vec![create("a/b"), append("a/b", "x"), append("INBOX", "y"), reply()])
    };
    one.store.apply(send()).await.unwrap();
    one.store.note_login(one.account, "imap", at(50));
    let subscribe = Op::Subscribe { name: name("elsewhere"), on: true };
    one.apply(vec![subscribe, delete("Junk")]).await.unwrap();
    let message = one.changes("a/b", 0).await.messages.remove(0);
    let mut notices = one.store.notices(one.account);
    one.store.apply(batch(account(8), vec![append("INBOX", "of another")])).await.unwrap();

    one.done(Op::DeleteAccount).await;
    tokio::time::timeout(Duration::from_secs(5), notices.changed()).await.unwrap().unwrap();
    assert_eq!(one.store.accounts(None, 10).await.unwrap(), [account(8)]);
    let read = one.store.read(one.account, MailboxId::new(1), MessageSelection::all(), Columns::NONE, None).await;
    assert_eq!(read, Err(StoreError::Gone));
    one.done(Op::DeleteAccount).await;

    let fresh = one.snapshot().await;
    assert_eq!(one.names().await, ["INBOX", "Drafts", "Junk", "Sent", "Trash"]);
    assert!(fresh.octets == 0 && fresh.subscribed_only.is_empty() && fresh.last_logins.is_empty());
    let effects = one.store.apply(send()).await.unwrap().effects;
    assert_eq!(effects[3], OpEffect::Remembered(true), "a batch id or reply of the deleted account counted");
    assert_eq!(one.listing("a/b").await, ["1 x"]);
    assert_ne!(one.changes("a/b", 0).await.messages[0].body, message.body, "the id of a body is reused");
    let other = OneAccount { store: one.store.clone(), account: account(8) };
    assert_eq!(other.listing("INBOX").await, ["1 of another"]);
}

async fn a_deletion_of_an_account_is_the_only_op_of_its_batch(one: OneAccount) {
    one.done(append("INBOX", "kept")).await;
    let refused = one.apply(vec![Op::DeleteAccount, append("INBOX", "x")]).await;
    assert!(matches!(refused, Err(BatchError::Refused(_))));
    assert_eq!(one.listing("INBOX").await, ["1 kept"]);
    let require = vec![BatchCondition::Unchanged(ReadToken::new(Modseq::new(99)))];
    let guarded = Batch { require, ..batch(one.account, vec![Op::DeleteAccount]) };
    assert!(matches!(one.store.apply(guarded).await, Err(BatchError::Conflict(_))));
    assert_eq!(one.listing("INBOX").await, ["1 kept"]);
}

/// Copied and moved messages share the body. The body is removed soon after the last message that has it.
async fn a_body_lives_as_long_as_its_last_message(one: OneAccount) {
    one.apply(vec![append("INBOX", "shared"), append("INBOX", "alone")]).await.unwrap();
    let messages = one.changes("INBOX", 0).await.messages;
    let (inbox, sent) = (one.id("INBOX").await, one.id("Sent").await);
    one.done(Op::Copy { from: inbox, uids: uids([1]), to: name("Sent") }).await;
    assert_eq!(one.changes("Sent", 0).await.messages[0].body, messages[0].body);
    one.done(Op::Expunge { mailbox: inbox, uids: Some(uids([1])), only_deleted: false }).await;
    one.done(Op::Move { from: sent, uids: uids([1]), to: name("Trash") }).await;
    assert_eq!(one.listing("Trash").await, ["1 shared"]);
    one.done(rename("INBOX", "old")).await;
    assert_eq!(one.listing("old").await, ["1 alone"]);
    one.done(delete("Trash")).await;
    assert_eq!(one.refused(delete("nowhere")).await, BatchError::NoMailbox("nowhere".into()));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while one.store.body(one.account, messages[0].body, None).await != Err(StoreError::Gone) {
        assert!(std::time::Instant::now() < deadline, "a body without messages is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(one.listing("old").await, ["1 alone"]);
}

async fn mailboxes_are_restored(one: OneAccount) {
    let effect = one.done(restore_mailbox("a/b", 77, 500)).await;
    let info = one.mailbox("a/b").await;
    assert_eq!(effect, OpEffect::Mailbox(Box::new(info.clone())));
    assert_eq!((info.uid_validity.get(), info.uid_next, info.messages, info.subscribed), (77, uid(500), 0, false));
    assert!(one.names().await.contains(&"a".into()));
    // INBOX never had a message, so it takes over the UIDVALIDITY.
    let inbox = Op::RestoreMailbox {
        name: name("INBOX"),
        uid_validity: UidValidity::of(5.try_into().unwrap()),
        uid_next: uid(10),
        special_use: None,
        subscribed: false,
    };
    one.done(inbox).await;
    let info = one.mailbox("INBOX").await;
    assert_eq!((info.uid_validity.get(), info.uid_next, info.subscribed), (5, uid(10), false));
    one.done(append("INBOX", "next")).await;
    assert_eq!(one.listing("INBOX").await, ["10 next"]);
    one.done(restore_mailbox("INBOX", 5, 3)).await;
    assert_eq!(one.mailbox("INBOX").await.uid_next, uid(11), "UIDNEXT was lowered");
    one.done(restore_mailbox("INBOX", 5, 30)).await;
    assert_eq!(one.mailbox("INBOX").await.uid_next, uid(30));
    assert!(matches!(one.refused(restore_mailbox("INBOX", 6, 30)).await, BatchError::Refused(_)), "INBOX has messages");
    one.done(create("made later")).await;
    assert!(one.mailbox("made later").await.uid_validity.get() > 77);
}

/// RFC 3501 §2.3.1.1: name, UIDVALIDITY and UID identify one message for ever.
async fn a_retired_uidvalidity_is_not_restored(one: OneAccount) {
    one.apply(vec![restore_mailbox("a", 100, 1), restore("a", 1, 1, "x"), restore_mailbox("empty", 200, 9)])
        .await
        .unwrap();
    one.apply(vec![delete("a"), delete("empty")]).await.unwrap();
    for validity in [100, 99] {
        assert!(matches!(one.refused(restore_mailbox("a", validity, 1)).await, BatchError::Refused(_)), "{validity}");
    }
    one.done(restore_mailbox("a", 101, 1)).await;
    one.done(restore_mailbox("empty", 200, 1)).await;
    one.apply(vec![restore("a", 1, 1, "y"), rename("a", "b")]).await.unwrap();
    assert_eq!(one.mailbox("b").await.uid_validity.get(), 101, "the rename changed UIDVALIDITY");
    // The messages of the renamed mailbox had this name and UIDVALIDITY.
    assert!(matches!(one.refused(restore_mailbox("a", 101, 1)).await, BatchError::Refused(_)));
    one.done(restore_mailbox("a", 102, 1)).await;
}

/// Some servers give all mailboxes one UIDVALIDITY. A rename of one to the name of another would then repeat a name,
/// UIDVALIDITY and UID.
async fn a_renamed_mailbox_that_shares_its_uidvalidity_gets_a_new_one(one: OneAccount) {
    let ops = vec![
        restore_mailbox("a", 7, 1),
        restore_mailbox("b", 7, 1),
        restore("a", 1, 1, "of a"),
        restore("b", 1, 1, "of b"),
    ];
    one.apply(ops).await.unwrap();
    assert_eq!((one.mailbox("a").await.uid_validity.get(), one.mailbox("b").await.uid_validity.get()), (7, 7));
    one.apply(vec![delete("a"), rename("b", "a")]).await.unwrap();
    assert_eq!(one.listing("a").await, ["1 \\Seen kept of b"]);
    assert!(
        one.mailbox("a").await.uid_validity.get() > 1_000_000,
        "not a new UIDVALIDITY: those begin with the seconds since 1970"
    );
}

async fn special_uses_move_to_restored_mailboxes(one: OneAccount) {
    let with_use = |text: &str, validity| {
        let mut op = restore_mailbox(text, validity, 1);
        if let Op::RestoreMailbox { special_use, .. } = &mut op {
            *special_use = Some(SpecialUse::Sent);
        }
        op
    };
    one.apply(vec![with_use("Sent Items", 50), restore("Sent Items", 1, 1, "x")]).await.unwrap();
    assert_eq!(one.mailbox("Sent Items").await.special_use, Some(SpecialUse::Sent));
    assert_eq!(one.mailbox("Sent").await.special_use, None);
    one.done(with_use("Other", 51)).await;
    assert_eq!(one.mailbox("Other").await.special_use, None, "two mailboxes have the use");
    assert_eq!(one.mailbox("Sent Items").await.special_use, Some(SpecialUse::Sent));
}

async fn messages_are_restored(one: OneAccount) {
    let ops =
        vec![restore_mailbox("INBOX", 5, 100), restore("INBOX", 3, 40, "three"), restore("INBOX", 99, 41, "last")];
    let applied = one.apply(ops).await.unwrap();
    assert_eq!(applied.effects[1], appended_to_inbox(&one, 3).await);
    assert!(applied.modseq >= Modseq::new(41));
    assert_eq!(one.listing("INBOX").await, ["3 \\Seen kept three", "99 \\Seen kept last"]);
    let changes = one.changes("INBOX", 0).await;
    assert_counters_agree(&changes);
    let first = &changes.messages[0];
    assert_eq!((first.modseq, first.internal_date, first.octets), (Modseq::new(40), at(1_600_000_000), 5));
    assert_eq!((changes.info.uid_next, changes.info.unseen), (uid(100), 0));
    assert_eq!(changes.info.recent_from, uid(100), "a restored message is recent");
    one.done(append("INBOX", "new")).await;
    assert_eq!(one.listing("INBOX").await[2], "100 new");
    assert_eq!(one.refused(restore("nowhere", 1, 1, "x")).await, BatchError::NoMailbox("nowhere".into()));
}

async fn restored_uids_ascend(one: OneAccount) {
    one.apply(vec![restore_mailbox("a", 5, 100), restore("a", 10, 1, "x")]).await.unwrap();
    for number in [1, 9, 10, u32::MAX] {
        assert!(matches!(one.refused(restore("a", number, 1, "x")).await, BatchError::Refused(_)), "{number}");
    }
    let mailbox = one.id("a").await;
    one.apply(vec![restore("a", 20, 1, "y"), Op::Expunge { mailbox, uids: None, only_deleted: false }]).await.unwrap();
    assert!(
        matches!(one.refused(restore("a", 20, 1, "y")).await, BatchError::Refused(_)),
        "the UID of an expunged message was reused"
    );
    one.done(restore("a", 21, 1, "z")).await;
    one.done(append("a", "new")).await;
    assert_eq!(one.listing("a").await, ["21 \\Seen kept z", "100 new"]);
    assert!(matches!(one.refused(restore("a", 99, 1, "late")).await, BatchError::Refused(_)), "below the last UID");
    one.done(restore("a", 150, 1, "above")).await;
    assert_eq!(one.mailbox("a").await.uid_next, uid(151));
}

async fn restored_modseqs_are_kept(one: OneAccount) {
    for modseq in [0, (1 << 62) + 1, u64::MAX] {
        assert!(matches!(one.refused(restore("INBOX", 1, modseq, "x")).await, BatchError::Refused(_)), "{modseq}");
    }
    let applied = one.apply(vec![restore("INBOX", 1, 5_000, "a"), restore("INBOX", 2, 900, "b")]).await.unwrap();
    assert_eq!(applied.modseq, Modseq::new(5_000));
    assert_eq!(uids_of(&one.read("INBOX", MessageSelection::ChangedSince(Modseq::new(900)), Columns::NONE).await), [1]);
    assert_eq!(
        uids_of(&one.read("INBOX", MessageSelection::ChangedSince(Modseq::new(899)), Columns::NONE).await),
        [1, 2]
    );
    let next = one.apply(vec![append("INBOX", "c")]).await.unwrap();
    assert_eq!(next.modseq, Modseq::new(5_001), "not above the restored modseqs");
    let mailbox = one.id("INBOX").await;
    let change = FlagChange::Add(flags("\\Deleted"));
    one.done(Op::Store { mailbox, uids: uids([2]), change, unchanged_since: Some(Modseq::new(900)) }).await;
    assert_eq!(uids_of(&one.read("INBOX", MessageSelection::ChangedSince(next.modseq), Columns::NONE).await), [2]);
}

async fn restored_messages_are_bounded_by_quota_and_size(one: OneAccount) {
    let with = |quota, op| {
        one.store.apply(Batch { require: vec![BatchCondition::QuotaOctets(quota)], ..batch(one.account, vec![op]) })
    };
    assert_eq!(with(4, restore("INBOX", 1, 1, "12345")).await, Err(BatchError::OverQuota));
    with(5, restore("INBOX", 1, 1, "12345")).await.unwrap();
    assert_eq!(one.snapshot().await.octets, 5);
    let large = "x".repeat(MESSAGE_OCTETS_MAX as usize + 1);
    assert!(matches!(one.refused(restore("INBOX", 2, 1, &large)).await, BatchError::Refused(_)));
}

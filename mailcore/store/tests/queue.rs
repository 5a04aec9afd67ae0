//! Rows of the queue: rules that every engine keeps, and random histories on which both engines agree. The time of each
//! operation is an argument, so no test waits for a lease to end.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

#[macro_use]
mod engines;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use engines::*;
use jiff::Timestamp;
use proptest::prelude::*;
use provost_message::{Envelope, EnvelopeId, Notify, OriginalRecipient, Path, Recipient, ReturnContent};
use provost_store::*;
use uuid::Uuid;

conformance![
    a_message_has_a_row_for_each_destination,
    rows_are_counted_by_their_state,
    a_repeated_id_changes_nothing_for_seven_days,
    the_envelope_keeps_its_dsn_parameters,
    a_due_row_is_taken_by_one_worker_until_its_lease_ends,
    a_worker_does_not_take_the_rows_of_its_running_attempts,
    the_rows_of_one_destination_are_bounded,
    settling_defers_or_removes_a_row,
    an_outcome_and_the_messages_that_it_causes_are_written_together,
    the_result_of_a_part_outlives_its_attempt,
    a_frozen_worker_is_fenced,
    a_proof_prolongs_the_lease,
    a_row_taken_five_times_without_an_outcome_is_set_aside,
    a_batch_and_the_messages_that_it_causes_are_written_together,
    a_reply_is_queued_only_when_its_record_is_new,
    arrivals_tick_when_a_message_is_queued,
];

fn id(number: u128) -> QueueId {
    QueueId::new(Uuid::from_u128(number))
}

fn recipient(text: &str) -> Recipient {
    Path::parse(text).unwrap().into()
}

fn outgoing(number: u128, to: &[&str], when: i64) -> NewMessage {
    let envelope = Envelope::new(Path::parse("sender@example.edu").ok(), to.iter().map(|to| Path::parse(to).unwrap()));
    let envelope = Envelope { eight_bit: true, ..envelope };
    NewMessage { id: id(number), envelope, body: Bytes::from(format!("message {number}\r\n")), when: at(when) }
}

/// The outcome of an attempt that leaves no recipient.
fn all_settled(now: i64) -> AttemptOutcome {
    AttemptOutcome { recipients: Vec::new(), due_at: at(now), now: at(now) }
}

/// The outcome of an attempt that defers all recipients of the row.
fn all_deferred(row: &QueueRow, due_at: i64) -> AttemptOutcome {
    let again = |one: &QueuedRecipient| QueuedRecipient { last_error: Some("451 busy".into()), ..one.clone() };
    AttemptOutcome { recipients: row.recipients.iter().map(again).collect(), due_at: at(due_at), now: at(due_at) }
}

/// Describes each row by the number of its message, its destination, and the local parts of its recipients.
fn summaries(rows: &[QueueRow]) -> Vec<String> {
    let paths = |row: &QueueRow| {
        row.recipients.iter().map(|one| one.recipient.path.local().to_owned()).collect::<Vec<_>>().join(",")
    };
    rows.iter().map(|row| format!("{} {} {}", row.id.get().as_u128(), row.destination.as_str(), paths(row))).collect()
}

/// Length of a lease in these tests, seconds.
const LEASE: i64 = 60;

impl OneAccount {
    async fn enqueue(&self, number: u128, to: &[&str], when: i64) {
        self.store.enqueue(outgoing(number, to, when)).await.unwrap();
    }

    async fn take(&self, now: i64, limit: usize) -> Vec<TakenRow> {
        self.store.take_due(TakeLimits::any(at(now), limit, Duration::from_secs(LEASE.unsigned_abs()))).await.unwrap()
    }

    async fn rows(&self) -> Vec<QueueRow> {
        self.store.list(100).await.unwrap()
    }
}

async fn a_message_has_a_row_for_each_destination(one: OneAccount) {
    one.enqueue(2, &["a@x.example", "b@y.example", "c@X.example", "postmaster"], 100).await;
    one.enqueue(1, &["d@x.example"], 200).await;
    let rows = one.rows().await;
    assert_eq!(summaries(&rows), ["2  postmaster", "2 x.example a,c", "2 y.example b", "1 x.example d"]);
    assert_eq!(one.store.list(2).await.unwrap().len(), 2);
    let row = &rows[1];
    assert_eq!((row.attempts, row.queued_at, row.due_at, row.octets), (0, at(100), at(100), 11));
    assert!(row.eight_bit && row.set_aside.is_none());
    for row in &rows {
        assert_eq!(one.store.queued_body(row).await.unwrap(), format!("message {}\r\n", row.id.get().as_u128()));
    }
    one.enqueue(3, &[], 300).await;
    assert_eq!(one.rows().await, rows, "a message without recipients was queued");
}

async fn rows_are_counted_by_their_state(one: OneAccount) {
    assert_eq!(one.store.tally(at(0)).await.unwrap(), QueueTally::default());
    one.enqueue(1, &["a@x.example", "b@y.example"], 100).await;
    one.enqueue(2, &["c@z.example"], 300).await;
    let tally = async |now| one.store.tally(now).await.unwrap();
    let at_200 = QueueTally { waiting: 1, due: 2, oldest: Some(at(100)), ..QueueTally::default() };
    assert_eq!(tally(at(200)).await, at_200);
    let taken = one.take(200, 1).await;
    assert_eq!(tally(at(200)).await, QueueTally { due: 1, taken: 1, ..at_200 });
    assert_eq!(tally(at(200 + LEASE)).await, at_200, "a row whose lease has ended is not due");
    one.store.settle(taken[0].claim, all_settled(200), Vec::new()).await.unwrap();
    assert_eq!(tally(at(300)).await, QueueTally { due: 2, oldest: Some(at(100)), ..QueueTally::default() });
}

async fn a_repeated_id_changes_nothing_for_seven_days(one: OneAccount) {
    const WEEK: i64 = 7 * 86_400;
    one.enqueue(1, &["a@x.example"], 100).await;
    one.enqueue(1, &["z@y.example"], 150).await;
    assert_eq!(summaries(&one.rows().await), ["1 x.example a"]);
    let taken = one.take(200, 9).await;
    one.store.settle(taken[0].claim, all_settled(200), Vec::new()).await.unwrap();
    one.enqueue(1, &["a@x.example"], 200 + WEEK - 1).await;
    assert_eq!(one.rows().await, [], "queued again too early");
    assert_eq!(one.store.queued_body(&taken[0].row).await, Err(StoreError::Gone));
    one.enqueue(1, &["a@x.example"], 200 + WEEK).await;
    assert_eq!(one.rows().await.len(), 1, "not queued after seven days");
}

async fn the_envelope_keeps_its_dsn_parameters(one: OneAccount) {
    let recipient = Recipient {
        notify: Notify::parse("SUCCESS,FAILURE").ok(),
        original: OriginalRecipient::parse("rfc822;A@x.example").ok(),
        ..recipient("a@x.example")
    };
    let mut message = outgoing(1, &[], 0);
    message.envelope.recipients = vec![recipient.clone(), self::recipient("b@x.example")];
    message.envelope.envelope_id = EnvelopeId::parse("Qq+2B1").ok();
    message.envelope.ret = Some(ReturnContent::Full);
    let envelope = message.envelope.clone();
    one.store.enqueue(message).await.unwrap();
    let TakenRow { row, claim } = one.take(10, 1).await.remove(0);
    let all = row.recipients.iter().map(|one| one.recipient.clone()).collect();
    assert_eq!(row.envelope(all), envelope);
    assert_eq!((row.held_until, one.rows().await[0].held_until), (Some(at(10 + LEASE)), Some(at(10 + LEASE))));
    let left = AttemptOutcome { recipients: vec![recipient.into()], due_at: at(20), now: at(10) };
    one.store.settle(claim, left.clone(), Vec::new()).await.unwrap();
    let row = one.rows().await.remove(0);
    assert_eq!(row.held_until, None);
    assert_eq!((row.recipients, row.envelope_id, row.ret), (left.recipients, envelope.envelope_id, envelope.ret));
}

async fn a_due_row_is_taken_by_one_worker_until_its_lease_ends(one: OneAccount) {
    for (number, when) in [(1, 100), (2, 50), (3, 900)] {
        one.enqueue(number, &["a@x.example"], when).await;
    }
    assert_eq!(one.store.next_due(at(0)).await.unwrap(), Some(at(50)));
    assert_eq!(one.store.next_due(at(50)).await.unwrap(), Some(at(100)));
    let first = one.take(200, 1).await.remove(0);
    assert_eq!((first.row.id, first.row.attempts), (id(2), 1), "not the earliest due row, or not counted");
    assert_eq!(one.take(200, 10).await[0].row.id, id(1));
    assert!(one.take(259, 10).await.is_empty());
    assert_eq!(one.store.next_due(at(200)).await.unwrap(), Some(at(260)), "not the end of a lease");
    assert_eq!(one.store.next_due(at(260)).await.unwrap(), Some(at(900)));
    let again = one.take(260, 10).await;
    assert_eq!(again.len(), 2, "not taken after the end of the lease");
    assert!(again.iter().all(|taken| taken.row.attempts == 2));
    one.store.settle(again[0].claim, all_deferred(&again[0].row, 270), Vec::new()).await.unwrap();
    assert_eq!(one.store.next_due(at(260)).await.unwrap(), Some(at(270)));
    assert_eq!(one.take(270, 10).await.len(), 1, "still leased after the settling");
}

/// A worker that was frozen past its lease still runs its attempt, which may have handed the message over. Taking the
/// row again could send the message twice.
async fn a_worker_does_not_take_the_rows_of_its_running_attempts(one: OneAccount) {
    one.enqueue(1, &["a@x.example"], 0).await;
    one.enqueue(2, &["a@y.example"], 0).await;
    let under_way = one.take(0, 1).await.remove(0);
    let take =
        TakeLimits { held_rows: [under_way.row.key].into(), ..TakeLimits::any(at(60), 10, Duration::from_secs(60)) };
    let taken = one.store.take_due(take).await.unwrap();
    assert_eq!(taken.iter().map(|taken| taken.row.id).collect::<Vec<_>>(), [id(2)]);
    one.store.settle(under_way.claim, all_settled(60), Vec::new()).await.unwrap();
}

async fn the_rows_of_one_destination_are_bounded(one: OneAccount) {
    for number in 0..10 {
        one.enqueue(number, &["a@slow.example"], number as i64).await;
    }
    one.enqueue(20, &["a@other.example"], 50).await;
    let destination = |text: &str| Destination::of(&Path::parse(text).unwrap());
    let running = HashMap::from([(destination("a@slow.example"), 1)]);
    let take = TakeLimits { per_destination: 3, running, ..TakeLimits::any(at(100), 10, Duration::from_secs(60)) };
    let taken = one.store.take_due(take).await.unwrap();
    let taken: Vec<QueueRow> = taken.into_iter().map(|taken| taken.row).collect();
    assert_eq!(summaries(&taken), ["0 slow.example a", "1 slow.example a", "20 other.example a"]);
}

async fn settling_defers_or_removes_a_row(one: OneAccount) {
    one.enqueue(1, &["a@x.example", "b@x.example", "c@y.example"], 100).await;
    let taken = one.take(100, 10).await;
    let (x, y) = (&taken[0], &taken[1]);
    let mut left = all_deferred(&x.row, 500);
    left.recipients.remove(0);
    one.store.settle(x.claim, left, Vec::new()).await.unwrap();
    one.store.settle(y.claim, all_settled(100), Vec::new()).await.unwrap();
    let rows = one.rows().await;
    assert_eq!(summaries(&rows), ["1 x.example b"]);
    assert_eq!((rows[0].due_at, rows[0].queued_at, rows[0].attempts), (at(500), at(100), 1));
    assert_eq!(rows[0].recipients[0].last_error.as_deref(), Some("451 busy"));
    for claim in [x.claim, y.claim] {
        assert_eq!(
            one.store.settle(claim, all_settled(100), Vec::new()).await,
            Err(LeaseError::Fenced),
            "settled twice"
        );
        assert_eq!(one.store.prove(claim, at(100), Duration::from_secs(60)).await, Err(LeaseError::Fenced));
    }
    assert_eq!(one.rows().await, rows);
}

async fn an_outcome_and_the_messages_that_it_causes_are_written_together(one: OneAccount) {
    one.enqueue(1, &["a@x.example"], 100).await;
    let old = one.take(100, 1).await.remove(0);
    let new = one.take(160, 1).await.remove(0);
    let report = outgoing(7, &["sender@example.edu"], 160);
    assert_eq!(one.store.settle(old.claim, all_settled(160), vec![report.clone()]).await, Err(LeaseError::Fenced));
    assert_eq!(summaries(&one.rows().await), ["1 x.example a"], "a fenced worker changed the queue");
    one.store.settle(new.claim, all_settled(160), vec![report]).await.unwrap();
    let rows = one.rows().await;
    assert_eq!(summaries(&rows), ["7 example.edu sender"], "the outcome or the message is missing");
    assert_eq!(one.store.queued_body(&rows[0]).await.unwrap(), "message 7\r\n");
}

/// The first worker records that one of two recipients is settled, and never ends the attempt. A later worker takes the
/// row with only the other recipient, which fences the first worker.
async fn the_result_of_a_part_outlives_its_attempt(one: OneAccount) {
    one.enqueue(1, &["a@x.example", "b@x.example"], 0).await;
    let taken = one.take(0, 10).await.remove(0);
    let left = vec![taken.row.recipients[1].clone()];
    let bounce = vec![outgoing(2, &["sender@y.example"], 0)];
    one.store.advance(taken.claim, left.clone(), at(2 * LEASE), bounce.clone()).await.unwrap();
    assert_eq!(
        one.take(LEASE, 10).await.iter().map(|taken| taken.row.id).collect::<Vec<_>>(),
        [id(2)],
        "the lease was not extended"
    );
    let again = one.take(2 * LEASE, 10).await.into_iter().find(|taken| taken.row.id == id(1)).unwrap();
    assert_eq!((&again.row.recipients, again.row.attempts), (&left, 2));
    let late = one.store.advance(taken.claim, Vec::new(), at(9 * LEASE), bounce).await;
    assert_eq!(late, Err(LeaseError::Fenced));
    assert_eq!(
        one.rows().await.iter().find(|row| row.id == id(1)).unwrap().recipients,
        left,
        "a fenced worker changed the row"
    );
}

async fn a_frozen_worker_is_fenced(one: OneAccount) {
    one.enqueue(1, &["a@x.example"], 100).await;
    let frozen = one.take(100, 1).await.remove(0);
    assert_eq!(
        one.store.prove(frozen.claim, at(159), Duration::from_secs(60)).await,
        Ok(()),
        "fenced before the end of its lease"
    );
    let other = one.take(300, 1).await.remove(0);
    assert_eq!(one.store.prove(frozen.claim, at(300), Duration::from_secs(60)).await, Err(LeaseError::Fenced));
    assert_eq!(one.store.settle(frozen.claim, all_settled(300), Vec::new()).await, Err(LeaseError::Fenced));
    assert_eq!(one.store.prove(other.claim, at(300), Duration::from_secs(60)).await, Ok(()));
    one.store.settle(other.claim, all_deferred(&other.row, 400), Vec::new()).await.unwrap();
    assert_eq!(
        one.store.prove(frozen.claim, at(300), Duration::from_secs(60)).await,
        Err(LeaseError::Fenced),
        "not fenced while no worker holds the row"
    );
    let third = one.take(400, 1).await.remove(0);
    assert_eq!(one.store.prove(other.claim, at(400), Duration::from_secs(60)).await, Err(LeaseError::Fenced));
    one.store.settle(third.claim, all_settled(400), Vec::new()).await.unwrap();
}

async fn a_proof_prolongs_the_lease(one: OneAccount) {
    one.enqueue(1, &["a@x.example"], 0).await;
    let taken = one.store.take_due(TakeLimits::any(at(0), 1, Duration::from_secs(900))).await.unwrap().remove(0);
    one.store.prove(taken.claim, at(10), Duration::from_secs(900)).await.unwrap();
    assert!(one.take(899, 1).await.is_empty());
    one.store.prove(taken.claim, at(899), Duration::from_secs(900)).await.unwrap();
    assert!(one.take(900, 1).await.is_empty() && one.take(1_738, 1).await.is_empty());
    one.store.prove(taken.claim, at(5_000), Duration::from_secs(900)).await.unwrap();
    // The lease had run out, but no other worker had taken the row.
    assert!(one.take(5_800, 1).await.is_empty());
    assert_eq!(one.take(5_900, 1).await.len(), 1);
}

async fn a_row_taken_five_times_without_an_outcome_is_set_aside(one: OneAccount) {
    one.enqueue(1, &["a@x.example"], 0).await;
    one.enqueue(2, &["b@y.example"], 0).await;
    for number in 0..UNSETTLED_MAX {
        let taken = one.take(i64::from(number) * 60, 10).await;
        assert_eq!(taken.len(), 2);
        // The second row has an outcome once.
        if number == 1 {
            one.store.settle(taken[1].claim, all_deferred(&taken[1].row, 120), Vec::new()).await.unwrap();
        }
    }
    let now = i64::from(UNSETTLED_MAX) * 60;
    let taken = one.take(now, 10).await;
    assert_eq!(taken.len(), 1, "taken a sixth time");
    assert_eq!(taken[0].row.id, id(2));
    let rows = one.rows().await;
    assert!(rows[0].set_aside.as_deref().unwrap().contains("5 times"), "{:?}", rows[0].set_aside);
    assert!(rows[1].set_aside.is_none());
    one.store.settle(taken[0].claim, all_settled(now), Vec::new()).await.unwrap();
    assert!(one.take(Timestamp::MAX.as_second(), 10).await.is_empty());
    assert_eq!(one.store.next_due(at(0)).await.unwrap(), None);
    assert_eq!(one.rows().await.len(), 1, "the row that was set aside is gone");
}

async fn a_batch_and_the_messages_that_it_causes_are_written_together(one: OneAccount) {
    let enqueue = |number, to| Op::Enqueue(Box::new(outgoing(number, &[to], 100)));
    let ops = vec![append("INBOX", "hello"), enqueue(1, "a@x.example")];
    let keyed = Batch { id: Some(BatchId::new(Uuid::from_u128(1))), ..batch(one.account, ops) };
    for _ in 0..2 {
        let applied = one.store.apply(keyed.clone()).await.unwrap();
        assert_eq!(applied.effects[1], OpEffect::Done);
        assert_eq!((summaries(&one.rows().await).len(), one.changes("INBOX", 0).await.messages.len()), (1, 1));
    }
    let refused = one.apply(vec![enqueue(2, "b@x.example"), delete("INBOX")]).await;
    assert!(refused.is_err());
    assert_eq!(summaries(&one.rows().await), ["1 x.example a"], "a refused batch queued a message");
    // The message has left the queue: a batch with another id does not queue it again.
    let taken = one.take(100, 1).await.remove(0);
    one.store.settle(taken.claim, all_settled(100), Vec::new()).await.unwrap();
    one.apply(vec![enqueue(1, "a@x.example")]).await.unwrap();
    assert_eq!(one.rows().await, []);
    // A message in a mailbox and two rows share one body, which stays readable while one of the three is left.
    let shared = outgoing(3, &["a@x.example", "b@y.example"], 100);
    let append_shared = Op::Append {
        mailbox: name("INBOX"),
        create: false,
        body: shared.body.clone(),
        flags: Flags::none(),
        internal_date: at(0),
    };
    one.apply(vec![append_shared, Op::Enqueue(Box::new(shared))]).await.unwrap();
    let inbox = one.id("INBOX").await;
    one.done(Op::Expunge { mailbox: inbox, uids: None, only_deleted: false }).await;
    let taken = one.take(100, 2).await;
    assert_eq!(one.store.queued_body(&taken[0].row).await.unwrap(), "message 3\r\n");
    one.store.settle(taken[0].claim, all_settled(100), Vec::new()).await.unwrap();
    assert_eq!(one.store.queued_body(&taken[1].row).await.unwrap(), "message 3\r\n");
    one.apply(vec![Op::DeleteAccount]).await.unwrap();
    assert_eq!(one.rows().await.len(), 1, "deleting the account removed a queued message");
}

async fn a_reply_is_queued_only_when_its_record_is_new(one: OneAccount) {
    let reply = |number, until| Op::RememberReply {
        handle: "v".into(),
        correspondent: "ann".into(),
        until,
        reply: Some(Box::new(outgoing(number, &["ann@x.example"], 100))),
    };
    let batch_at = |now, op| Batch { now: at(now), ..batch(one.account, vec![op]) };
    for (number, now, remembered) in [(1, 1_000, true), (2, 1_500, false), (3, 2_000, true)] {
        let applied = one.store.apply(batch_at(now, reply(number, at(now + 1_000)))).await.unwrap();
        assert_eq!(applied.effects, [OpEffect::Remembered(remembered)]);
    }
    assert_eq!(summaries(&one.rows().await), ["1 x.example ann", "3 x.example ann"]);
}

async fn arrivals_tick_when_a_message_is_queued(one: OneAccount) {
    let mut arrivals = one.store.arrivals();
    one.enqueue(1, &["a@x.example"], 100).await;
    assert!(arrivals.has_changed().unwrap());
    arrivals.mark_unchanged();
    one.apply(vec![Op::Enqueue(Box::new(outgoing(2, &["a@x.example"], 100)))]).await.unwrap();
    assert!(arrivals.has_changed().unwrap());
    arrivals.mark_unchanged();
    one.apply(vec![append("INBOX", "hello")]).await.unwrap();
    assert!(!arrivals.has_changed().unwrap());
    let first = one.take(100, 1).await.remove(0);
    let second = one.take(100 + LEASE, 1).await.remove(0);
    let caused = || vec![outgoing(3, &["c@z.example"], 200)];
    assert_eq!(one.store.settle(first.claim, all_settled(200), caused()).await, Err(LeaseError::Fenced));
    let remaining = first.row.recipients.clone();
    assert_eq!(one.store.advance(first.claim, remaining, at(300), caused()).await, Err(LeaseError::Fenced));
    assert!(!arrivals.has_changed().unwrap(), "a tick although a fenced worker queued nothing");
    one.store.settle(second.claim, all_settled(200), caused()).await.unwrap();
    assert!(arrivals.has_changed().unwrap());
}

/// A start releases the leases of the process before: the store is locked, so no worker of that process is left. But a
/// row taken twice without an outcome waits for its lease, so that quick restarts do not set it aside.
#[tokio::test]
async fn a_restart_releases_leases_and_keeps_the_count_of_takings() {
    let folder = tempfile::tempdir().unwrap();
    OneAccount::new(local(folder.path())).enqueue(1, &["a@x.example"], 0).await;
    let mut now = 0;
    for start in 1..=UNSETTLED_MAX {
        if start > 2 {
            assert!(
                OneAccount::new(local(folder.path())).take(now, 10).await.is_empty(),
                "start {start} did not wait for the lease"
            );
            now += LEASE;
        }
        let taken = OneAccount::new(local(folder.path())).take(now, 10).await;
        assert_eq!(taken[0].row.attempts, start);
    }
    now += LEASE;
    let one = OneAccount::new(local(folder.path()));
    assert!(one.take(now, 10).await.is_empty(), "taken although five starts ended without an outcome");
    assert!(one.rows().await[0].set_aside.is_some());
}

/// A row with a damaged column is set aside, and all other rows are taken. A row with a damaged destination is taken
/// too, because the destination is replaced.
#[tokio::test]
async fn a_row_that_cannot_be_read_stops_no_other() {
    for damage in [
        "envelope = x'ff00'",
        "envelope = x''",
        "message = x'01'",
        "destination = CAST(x'ff' AS TEXT)",
        "attempts = -1",
        "octets = -1",
        "unsettled = -1",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let one = OneAccount::new(local(folder.path()));
        let numbers = 1..=20;
        for number in numbers.clone() {
            one.enqueue(number, &["a@x.example"], 0).await;
        }
        let mut damaged = 0;
        for shard in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path().join("meta.sqlite")) {
            if shard.exists() {
                let shard = rusqlite::Connection::open(shard).unwrap();
                let sql = format!("UPDATE outgoing SET {damage} WHERE no = (SELECT min(no) FROM outgoing)");
                damaged += shard.execute(&sql, []).unwrap();
            }
        }
        assert!(damaged > 0, "no shard has a row");
        let taken = one.take(10, 100).await;
        let is_readable = damage.starts_with("destination");
        let set_aside = if is_readable { 0 } else { damaged };
        assert_eq!(taken.len(), numbers.count() - set_aside, "{damage}");
        for taken in taken {
            one.store.settle(taken.claim, all_settled(10), Vec::new()).await.unwrap();
        }
        let rows = one.rows().await;
        assert_eq!(rows.len(), set_aside, "{damage}");
        assert!(rows.iter().all(|row| row.set_aside.is_some()), "{damage}: {rows:?}");
        assert_eq!(one.store.next_due(at(-1)).await.unwrap(), None, "{damage}: a row that is set aside is due");
    }
}

/// A step of a history. Addresses are indices of [`ADDRESSES`], claims are numbered in the order of taking.
#[derive(Clone, Debug)]
enum WorkerStep {
    /// Number and recipients of the message.
    Enqueue(u128, Vec<usize>),
    /// Number and recipients of a message that a batch queues.
    Cause(u128, Vec<usize>),
    /// Maximum number of rows.
    Take(usize),
    /// Index of the claim.
    Prove(usize),
    /// Index of the claim, whether all recipients are deferred (else all are settled), and the number of the message
    /// that the attempt causes.
    Settle(usize, bool, Option<u128>),
    /// Seconds.
    Wait(i64),
    Reopen,
}

const ADDRESSES: [&str; 5] = ["a@x.example", "b@x.example", "c@y.example", "d@z.example", "postmaster"];

fn worker_steps() -> impl Strategy<Value = WorkerStep> {
    let to = || prop::collection::vec(0..ADDRESSES.len(), 0..4);
    prop_oneof![
        4 => (0u128..8, to()).prop_map(|(number, to)| WorkerStep::Enqueue(number, to)),
        2 => (0u128..8, to()).prop_map(|(number, to)| WorkerStep::Cause(number, to)),
        5 => (1usize..4).prop_map(WorkerStep::Take),
        3 => (0usize..12).prop_map(WorkerStep::Prove),
        6 => (0usize..12, any::<bool>(), prop::option::weighted(0.3, 8u128..12))
            .prop_map(|(claim, deferred, causes)| WorkerStep::Settle(claim, deferred, causes)),
        4 => (1i64..100).prop_map(WorkerStep::Wait),
        1 => Just(WorkerStep::Reopen),
    ]
}

fn message(number: u128, to: &[usize], when: i64) -> NewMessage {
    let to: Vec<&str> = to.iter().map(|index| ADDRESSES[*index]).collect();
    outgoing(number, &to, when)
}

/// Removes what may differ between engines: keys, and leases that have expired.
fn comparable(mut rows: Vec<QueueRow>, key: RowKey, now: i64) -> Vec<QueueRow> {
    for row in &mut rows {
        row.key = key;
        row.held_until = row.held_until.filter(|until| *until > at(now));
    }
    rows
}

async fn run(history: Vec<WorkerStep>) {
    let folder = tempfile::tempdir().unwrap();
    let (model, mut tested) = (memory(), local_sharded(folder.path(), 1));
    let (mut now, mut claims): (i64, Vec<(Claim, Claim, QueueRow)>) = (1_000, Vec::new());
    let mut key = None;
    for step in history {
        match &step {
            WorkerStep::Enqueue(number, to) => {
                let message = message(*number, to, now);
                assert_eq!(tested.enqueue(message.clone()).await, model.enqueue(message).await);
            }
            WorkerStep::Cause(number, to) => {
                let ops = vec![append("INBOX", "m"), Op::Enqueue(Box::new(message(*number, to, now)))];
                let batch = Batch { now: at(now), ..batch(account(1), ops) };
                assert_eq!(tested.apply(batch.clone()).await.is_ok(), model.apply(batch).await.is_ok());
            }
            WorkerStep::Take(limit) => {
                let take =
                    TakeLimits { per_destination: 2, ..TakeLimits::any(at(now), *limit, Duration::from_secs(60)) };
                let expected = model.take_due(take.clone()).await.unwrap();
                let got = tested.take_due(take).await.unwrap();
                assert_eq!(got.len(), expected.len(), "{step:?}");
                claims.extend(got.iter().zip(&expected).map(|(a, b)| (a.claim, b.claim, b.row.clone())));
                let rows = |taken: Vec<TakenRow>| taken.into_iter().map(|taken| taken.row).collect::<Vec<_>>();
                let (got, expected) = (rows(got), rows(expected));
                key = key.or(got.first().map(|row| row.key));
                if let Some(key) = key {
                    assert_eq!(comparable(got, key, now), comparable(expected, key, now), "{step:?}");
                }
            }
            WorkerStep::Prove(index) => {
                let Some((tested_claim, model_claim, _)) = claims.get(*index) else { continue };
                let expected = model.prove(*model_claim, at(now), Duration::from_secs(60)).await;
                assert_eq!(tested.prove(*tested_claim, at(now), Duration::from_secs(60)).await, expected, "{step:?}");
            }
            WorkerStep::Settle(index, deferred, causes) => {
                let Some((tested_claim, model_claim, row)) = claims.get(*index) else { continue };
                let left = if *deferred { all_deferred(row, now + 30) } else { all_settled(now) };
                let caused: Vec<NewMessage> = causes.iter().map(|number| message(*number, &[0], now)).collect();
                let expected = model.settle(*model_claim, left.clone(), caused.clone()).await;
                assert_eq!(tested.settle(*tested_claim, left, caused).await, expected, "{step:?}");
            }
            WorkerStep::Wait(seconds) => now += seconds,
            WorkerStep::Reopen => {
                // Opening the store releases leases, but the model is not opened again: let all expire in both.
                now += 10_000;
                drop(tested);
                tested = local_sharded(folder.path(), 1);
                claims.clear();
            }
        }
        if let Some(key) = key {
            let (got, expected) = (tested.list(100).await.unwrap(), model.list(100).await.unwrap());
            for row in &got {
                let expect = format!("message {}\r\n", row.id.get().as_u128());
                assert_eq!(tested.queued_body(row).await.unwrap(), expect);
            }
            assert_eq!(comparable(got, key, now), comparable(expected, key, now), "{step:?}");
            assert_eq!(tested.tally(at(now)).await.unwrap(), model.tally(at(now)).await.unwrap(), "{step:?}");
        }
    }
    // All leases have ended by then.
    let end = now + 100_000;
    let count = |taken: Vec<TakenRow>| taken.len();
    let expected = count(model.take_due(TakeLimits::any(at(end), 100, Duration::from_secs(60))).await.unwrap());
    assert_eq!(count(tested.take_due(TakeLimits::any(at(end), 100, Duration::from_secs(60))).await.unwrap()), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn local_agrees_with_memory(history in prop::collection::vec(worker_steps(), 0..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(history));
    }
}

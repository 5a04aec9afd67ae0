//! Random histories: the local engine agrees with the memory engine in every effect, every refusal and every later
//! read, also after it was closed and reopened.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod engines;

use std::sync::Arc;

use engines::*;
use proptest::prelude::*;
use provost_store::*;
use uuid::Uuid;

/// Only a few names, so that many ops name a mailbox that an earlier op created.
fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["INBOX", "INBOX/x", "Sent", "Junk", "a", "a/b", "a/b/c", "b", "c/d", "new"])
}

fn mailbox_ids() -> impl Strategy<Value = MailboxId> {
    prop_oneof![3 => Just(MailboxId::new(1)), 5 => (1u64..9).prop_map(MailboxId::new)]
}

fn uid_sets() -> impl Strategy<Value = UidSet> {
    prop_oneof![
        prop::collection::vec(1u32..12, 0..4).prop_map(uids),
        (1u32..8, 1u32..20).prop_map(|(low, high)| UidSet::from_ranges([(uid(low), uid(high))])),
        Just(UidSet::all()),
    ]
}

fn flag_sets() -> impl Strategy<Value = Flags> {
    let words = vec!["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "\\Draft", "work", "Work", "$fwd"];
    prop::collection::vec(prop::sample::select(words), 0..4).prop_map(|words| flags(&words.join(" ")))
}

fn flag_changes() -> impl Strategy<Value = FlagChange> {
    (0u8..3, flag_sets()).prop_map(|(kind, flags)| match kind {
        0 => FlagChange::Replace(flags),
        1 => FlagChange::Add(flags),
        _ => FlagChange::Remove(flags),
    })
}

fn appends() -> impl Strategy<Value = Op> {
    (names(), any::<bool>(), flag_sets(), 0usize..60).prop_map(|(mailbox, create, flags, octets)| Op::Append {
        mailbox: name(mailbox),
        create,
        body: vec![b'm'; octets].into(),
        flags,
        internal_date: at(octets as i64),
    })
}

fn restores() -> impl Strategy<Value = Op> {
    (names(), 1u32..25, 0u64..40, flag_sets(), 0usize..60).prop_map(|(mailbox, number, modseq, flags, octets)| {
        Op::Restore {
            mailbox: name(mailbox),
            uid: uid(number),
            modseq: Modseq::new(modseq),
            flags,
            internal_date: at(octets as i64),
            body: vec![b'r'; octets].into(),
        }
    })
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => appends(),
        2 => names().prop_map(create),
        1 => names().prop_map(delete),
        2 => (names(), names()).prop_map(|(from, to)| rename(from, to)),
        1 => (names(), any::<bool>()).prop_map(|(text, on)| Op::Subscribe { name: name(text), on }),
        5 => (mailbox_ids(), uid_sets(), flag_changes(), prop::option::of(0u64..30)).prop_map(
            |(mailbox, uids, change, since)| {
                let unchanged_since = since.map(Modseq::new);
                Op::Store { mailbox, uids, change, unchanged_since }
            }
        ),
        2 => (mailbox_ids(), uid_sets(), names()).prop_map(|(from, uids, to)| Op::Copy { from, uids, to: name(to) }),
        2 => (mailbox_ids(), uid_sets(), names()).prop_map(|(from, uids, to)| Op::Move { from, uids, to: name(to) }),
        2 => (mailbox_ids(), prop::option::of(uid_sets()), any::<bool>())
            .prop_map(|(mailbox, uids, only_deleted)| Op::Expunge { mailbox, uids, only_deleted }),
        1 => (mailbox_ids(), 1u32..20).prop_map(|(mailbox, up_to)| Op::ClearRecent { mailbox, up_to: uid(up_to) }),
        1 => ("[vw]", "[ab]", 0i64..2_000).prop_map(|(handle, correspondent, until)| Op::RememberReply {
            handle,
            correspondent,
            until: at(until),
            reply: None,
        }),
        2 => (names(), 1u32..9, 1u32..20, any::<bool>()).prop_map(|(text, validity, next, on)| Op::RestoreMailbox {
            name: name(text),
            uid_validity: UidValidity::of((validity * 300).try_into().unwrap()),
            uid_next: uid(next),
            special_use: on.then_some(SpecialUse::Archive),
            subscribed: on,
        }),
        4 => restores(),
    ]
}

fn batches() -> impl Strategy<Value = Batch> {
    let require = prop_oneof![
        8 => Just(vec![]),
        1 => (0u64..800).prop_map(|quota| vec![BatchCondition::QuotaOctets(quota)]),
        1 => mailbox_ids().prop_map(|id| vec![BatchCondition::Mailbox(id)]),
        1 => (0u64..30).prop_map(|modseq| vec![BatchCondition::Unchanged(ReadToken::new(Modseq::new(modseq)))]),
        1 => Just(vec![BatchCondition::Present]),
        1 => (0u64..3).prop_map(|epoch| vec![BatchCondition::Lease { name: "held by nobody".into(), epoch }]),
    ];
    let id = prop::option::weighted(0.3, 0u128..6).prop_map(|id| id.map(|id| BatchId::new(Uuid::from_u128(id))));
    let ops = prop_oneof![20 => prop::collection::vec(ops(), 0..5), 1 => Just(vec![Op::DeleteAccount])];
    (id, 0u128..2, 0i64..2_000, require, ops).prop_map(|(id, number, now, require, ops)| Batch {
        id,
        account: account(number),
        now: at(now),
        require,
        ops,
    })
}

/// Removes the body ids, which differ between engines.
fn comparable(applied: Result<Applied, BatchError>) -> Result<Applied, BatchError> {
    applied.map(|mut applied| {
        for effect in &mut applied.effects {
            if let OpEffect::Stored { messages, .. } = effect {
                messages.iter_mut().for_each(|message| message.body = BodyId::NONE);
            }
        }
        applied
    })
}

/// Reads everything in an account, mailbox by mailbox with several selections, without body ids.
async fn everything(store: &Arc<dyn Engine>, account: AccountId) -> (AccountSnapshot, Vec<Rows>) {
    let snapshot = store.snapshot(account, None).await.unwrap();
    let columns = Columns::SENT | Columns::ENVELOPE | Columns::FIELDS;
    let mut all = Vec::new();
    for mailbox in &snapshot.mailboxes {
        let highest = mailbox.highest_modseq.get();
        let since = [0, 1, 3, 7, 20, highest.saturating_sub(1), highest]
            .map(|after| MessageSelection::ChangedSince(Modseq::new(after)));
        let others = [
            MessageSelection::Last(3),
            MessageSelection::Uids(uids([1, 2, 5, 9, 12])),
            MessageSelection::Uids(UidSet::all()),
        ];
        for which in since.into_iter().chain(others) {
            let read = store.read(account, mailbox.id, which, columns, Some(snapshot.token)).await;
            let mut rows = read.unwrap();
            for row in &mut rows.rows {
                let body = store.body(account, row.meta.body, None).await.unwrap();
                assert_eq!(body.len() as u64, row.meta.octets);
                row.meta.body = BodyId::NONE;
            }
            all.push(rows);
        }
        let one = OneAccount { store: Arc::clone(store), account };
        assert_counters_agree(&one.changes(mailbox.name.as_str(), 0).await);
    }
    (snapshot, all)
}

/// Checks all references between rows: each statement of the table counts those that are wrong.
fn assert_references(folder: &std::path::Path) {
    let connection = rusqlite::Connection::open(folder.join("shard-00/meta.sqlite")).unwrap();
    let table = [
        "SELECT count(*) FROM body WHERE refs <> (SELECT count(*) FROM message WHERE message.body = body.id)",
        "SELECT count(*) FROM message WHERE body NOT IN (SELECT id FROM body)",
        "SELECT count(*) FROM body WHERE (pack IS NULL) <> (id IN (SELECT body FROM inline))",
        "SELECT count(*) FROM inline WHERE body NOT IN (SELECT id FROM body)",
        "SELECT count(*) FROM derived WHERE body NOT IN (SELECT id FROM body)",
        "SELECT count(*) FROM body WHERE pack IS NOT NULL AND pack NOT IN (SELECT number FROM pack)",
        "SELECT count(*) FROM mailbox WHERE account NOT IN (SELECT no FROM account)",
    ];
    for sql in table {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "{sql}");
    }
}

async fn run(history: Vec<Batch>) {
    let folder = tempfile::tempdir().unwrap();
    let (model, mut tested) = (memory(), local_sharded(folder.path(), 1));
    let accounts = [account(0), account(1)];
    for account in accounts {
        // A batch creates the account, because a read would take the UIDVALIDITY from the machine's clock.
        let creation = batch(account, vec![]);
        assert_eq!(model.apply(creation.clone()).await, tested.apply(creation).await);
    }
    let half = history.len() / 2;
    for (number, batch) in history.into_iter().enumerate() {
        if number == half {
            drop(tested);
            tested = local_sharded(folder.path(), 1);
        }
        let (expected, got) = (model.apply(batch.clone()).await, tested.apply(batch.clone()).await);
        assert_eq!(comparable(got), comparable(expected), "{batch:?}");
    }
    for account in accounts {
        // The history may have deleted the account: create it again in the same way.
        let creation = batch(account, vec![]);
        assert_eq!(model.apply(creation.clone()).await, tested.apply(creation).await);
        assert_eq!(everything(&tested, account).await, everything(&model, account).await);
    }
    drop(tested);
    assert_references(folder.path());
    let reopened = local_sharded(folder.path(), 1);
    for account in accounts {
        assert_eq!(everything(&reopened, account).await, everything(&model, account).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn local_agrees_with_memory(history in prop::collection::vec(batches(), 0..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(history));
    }
}

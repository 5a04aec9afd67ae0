//! Random histories: the local engine agrees with the memory engine in every effect, every refusal, and all that can be
//! read afterwards; also after it was closed and opened again.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod engines;

use std::sync::Arc;

use engines::*;
use proptest::prelude::*;
use provost_store::*;
use uuid::Uuid;

/// Few names, so that they meet.
fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["INBOX", "INBOX/x", "Sent", "Junk", "a", "a/b", "a/b/c", "b", "c/d", "new"])
}

fn mailbox_ids() -> impl Strategy<Value = MailboxId> {
    prop_oneof![3 => Just(MailboxId(1)), 5 => (1u64..9).prop_map(MailboxId)]
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
        internal_date: octets as i64,
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
            |(mailbox, uids, change, since)| Op::Store { mailbox, uids, change, unchanged_since: since.map(Modseq) }
        ),
        2 => (mailbox_ids(), uid_sets(), names()).prop_map(|(from, uids, to)| Op::Copy { from, uids, to: name(to) }),
        2 => (mailbox_ids(), uid_sets(), names()).prop_map(|(from, uids, to)| Op::Move { from, uids, to: name(to) }),
        2 => (mailbox_ids(), prop::option::of(uid_sets()), any::<bool>())
            .prop_map(|(mailbox, uids, only_deleted)| Op::Expunge { mailbox, uids, only_deleted }),
        1 => (mailbox_ids(), 1u32..20).prop_map(|(mailbox, up_to)| Op::ClearRecent { mailbox, up_to: uid(up_to) }),
        1 => ("[vw]", "[ab]", 0i64..2_000).prop_map(|(handle, correspondent, until)| Op::RememberReply {
            handle,
            correspondent,
            until
        }),
    ]
}

fn batches() -> impl Strategy<Value = Batch> {
    let require = prop_oneof![
        8 => Just(vec![]),
        1 => (0u64..800).prop_map(|quota| vec![Require::QuotaOctets(quota)]),
        1 => mailbox_ids().prop_map(|id| vec![Require::Mailbox(id)]),
    ];
    let id = prop::option::weighted(0.3, 0u128..6).prop_map(|id| id.map(|id| BatchId(Uuid::from_u128(id))));
    (id, 0u128..2, 0i64..2_000, require, prop::collection::vec(ops(), 0..5))
        .prop_map(|(id, number, now, require, ops)| Batch { id, account: account(number), now, require, ops })
}

/// Bodies have other ids in each engine: all else of an effect is the same.
fn comparable(applied: Result<Applied, ApplyError>) -> Result<Applied, ApplyError> {
    applied.map(|mut applied| {
        for effect in &mut applied.effects {
            if let Effect::Stored { messages, .. } = effect {
                messages.iter_mut().for_each(|message| message.body = BodyId::NONE);
            }
        }
        applied
    })
}

/// All that can be read of an account.
async fn everything(store: &Arc<dyn Engine>, account: AccountId) -> (Snapshot, Vec<Changes>) {
    let snapshot = store.snapshot(account, None).await.unwrap();
    let mut all = Vec::new();
    for mailbox in &snapshot.mailboxes {
        for after in [0, 1, 3, 7, mailbox.highest_modseq.0.saturating_sub(1), mailbox.highest_modseq.0] {
            let mut changes = store.changes(account, mailbox.id, Modseq(after)).await.unwrap();
            if after == 0 {
                assert_sound(&changes);
            }
            for message in &mut changes.messages {
                let body = store.body(account, message.body, None).await.unwrap();
                assert_eq!(body.len() as u64, message.octets);
                message.body = BodyId::NONE;
            }
            all.push(changes);
        }
    }
    (snapshot, all)
}

async fn run(history: Vec<Batch>) {
    let folder = tempfile::tempdir().unwrap();
    let (model, mut tested) = (memory(), local_sharded(folder.path(), 1));
    let accounts = [account(0), account(1)];
    for first in accounts {
        // UIDVALIDITY of an account that is only looked at comes from the machine's clock.
        let made = batch(first, vec![]);
        assert_eq!(model.apply(made.clone()).await, tested.apply(made).await);
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
        assert_eq!(everything(&tested, account).await, everything(&model, account).await);
    }
    drop(tested);
    let opened = local_sharded(folder.path(), 1);
    for account in accounts {
        assert_eq!(everything(&opened, account).await, everything(&model, account).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn local_agrees_with_memory(history in prop::collection::vec(batches(), 0..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(history));
    }
}

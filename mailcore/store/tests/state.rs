//! Rules of every engine of shared state: conditions, bounds, expiry, order. Also what the local engine keeps over
//! restarts and between processes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "helper functions of tests are test code"
)]

use std::sync::Arc;

use jiff::Timestamp;
use provost_store::*;
use tempfile::TempDir;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

static BOX: StateSpace = StateSpace { name: "box", records_max: 3, octets_max: 100, when_full: WhenFull::Refuse };
static RING: StateSpace =
    StateSpace { name: "ring", records_max: 3, octets_max: 100, when_full: WhenFull::RemoveOldest };
static DIARY: StateLog = StateLog { name: "diary", octets_max: 50 };
static OTHER: StateLog = StateLog { name: "other", octets_max: 50 };

type StoredState = Arc<dyn StateStore>;

fn engines() -> (TempDir, [StoredState; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let local = LocalState::open(folder.path()).unwrap();
    (folder, [Arc::new(MemoryState::default()), Arc::new(local)])
}

async fn put(
    state: &StoredState,
    space: &'static StateSpace,
    key: &str,
    expect: ChangeCondition,
    now: i64,
) -> Result<u64, StateError> {
    let change = StateChange::put(space, key, expect, key.to_owned(), Some(at(100)));
    state.change(vec![change], at(now)).await.map(|made| made[0])
}

async fn version(state: &StoredState, space: &'static StateSpace, key: &str) -> ChangeCondition {
    ChangeCondition::Version(state.record(space, key, at(0)).await.unwrap().unwrap().version)
}

async fn keys(state: &StoredState, space: &'static StateSpace, now: i64) -> Vec<String> {
    state.records(space, None, 10, at(now)).await.unwrap().into_iter().map(|record| record.key).collect()
}

#[tokio::test]
async fn a_write_needs_what_it_expects() {
    for state in engines().1 {
        assert!(state.record(&BOX, "a", at(0)).await.unwrap().is_none());
        put(&state, &BOX, "a", ChangeCondition::Absent, 0).await.unwrap();
        assert_eq!(put(&state, &BOX, "a", ChangeCondition::Absent, 0).await, Err(StateError::Conflict));
        let first = version(&state, &BOX, "a").await;
        put(&state, &BOX, "a", first, 0).await.unwrap();
        assert_eq!(put(&state, &BOX, "a", first, 0).await, Err(StateError::Conflict), "the version has changed");
        let second = version(&state, &BOX, "a").await;
        let remove = |expect| state.change(vec![StateChange::remove(&BOX, "a", expect)], at(0));
        assert_eq!(remove(first).await, Err(StateError::Conflict));
        remove(second).await.unwrap();
        assert_eq!(remove(second).await, Err(StateError::Conflict));
        remove(ChangeCondition::Any).await.unwrap();
        put(&state, &BOX, "a", ChangeCondition::Any, 0).await.unwrap();
        assert_eq!(
            put(&state, &BOX, "a", second, 0).await,
            Err(StateError::Conflict),
            "a recreated record has another version"
        );
        assert_eq!(state.record(&BOX, "a", at(0)).await.unwrap().unwrap().value, "a");
        assert!(state.record(&RING, "a", at(0)).await.unwrap().is_none(), "spaces do not share keys");
    }
}

#[tokio::test]
async fn what_has_expired_is_absent() {
    for state in engines().1 {
        put(&state, &BOX, "a", ChangeCondition::Absent, 0).await.unwrap();
        let old = version(&state, &BOX, "a").await;
        assert!(state.record(&BOX, "a", at(99)).await.unwrap().is_some());
        assert!(state.record(&BOX, "a", at(100)).await.unwrap().is_none());
        assert!(keys(&state, &BOX, 100).await.is_empty());
        assert_eq!(put(&state, &BOX, "a", old, 100).await, Err(StateError::Conflict));
        put(&state, &BOX, "a", ChangeCondition::Absent, 100).await.unwrap();
    }
}

#[tokio::test]
async fn a_space_is_bounded() {
    for state in engines().1 {
        for key in ["a", "b", "c"] {
            put(&state, &BOX, key, ChangeCondition::Absent, 0).await.unwrap();
            put(&state, &RING, key, ChangeCondition::Absent, 0).await.unwrap();
        }
        assert_eq!(put(&state, &BOX, "d", ChangeCondition::Absent, 0).await, Err(StateError::Full("box")));
        put(&state, &BOX, "b", ChangeCondition::Any, 0).await.unwrap();
        put(&state, &RING, "a", ChangeCondition::Any, 0).await.unwrap();
        put(&state, &RING, "d", ChangeCondition::Absent, 0).await.unwrap();
        assert_eq!(keys(&state, &RING, 0).await, ["a", "c", "d"], "the least recently written record is gone");
        put(&state, &BOX, "e", ChangeCondition::Absent, 100).await.unwrap();
        let large =
            |space| state.change(vec![StateChange::put(space, "x", ChangeCondition::Any, vec![0; 101], None)], at(0));
        assert_eq!(large(&RING).await, Err(StateError::TooLarge("the value")));
        let long = StateChange::remove(&RING, "x".repeat(STATE_KEY_OCTETS_MAX + 1), ChangeCondition::Any);
        assert_eq!(state.change(vec![long.clone()], at(0)).await, Err(StateError::TooLarge("the key or subject")));
        let many = vec![long; STATE_CHANGES_MAX + 1];
        assert_eq!(state.change(many, at(0)).await, Err(StateError::TooLarge("the list of changes")));
        let entry = StateChange::append(&DIARY, "s", vec![0; 51]);
        assert_eq!(state.change(vec![entry], at(0)).await, Err(StateError::TooLarge("the value")));
    }
}

#[tokio::test]
async fn a_list_is_applied_whole_or_not_at_all() {
    for state in engines().1 {
        let list = |expect| {
            let put = StateChange::put(&BOX, "b", expect, "1", None);
            state.change(
                vec![
                    StateChange::put(&BOX, "a", ChangeCondition::Any, "1", None),
                    StateChange::append(&DIARY, "s", "e"),
                    put,
                ],
                at(0),
            )
        };
        let made = list(ChangeCondition::Absent).await.unwrap();
        assert!(made[0] < made[1] && made[1] < made[2], "{made:?}");
        let before =
            (state.record(&BOX, "a", at(0)).await.unwrap(), state.entries(&DIARY, None, None, 10).await.unwrap());
        assert_eq!(list(ChangeCondition::Absent).await, Err(StateError::Conflict));
        let after =
            (state.record(&BOX, "a", at(0)).await.unwrap(), state.entries(&DIARY, None, None, 10).await.unwrap());
        assert_eq!((before.1.len(), before), (1, after));
    }
}

#[tokio::test]
async fn records_are_listed_in_order() {
    for state in engines().1 {
        for key in ["c", "a", "b"] {
            put(&state, &BOX, key, ChangeCondition::Absent, 0).await.unwrap();
        }
        assert_eq!(keys(&state, &BOX, 0).await, ["a", "b", "c"]);
        let behind = state.records(&BOX, Some("a"), 1, at(0)).await.unwrap();
        assert_eq!(behind.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}

#[tokio::test]
async fn a_log_keeps_its_order() {
    for state in engines().1 {
        for (log, subject, text) in
            [(&DIARY, "zoe", "1"), (&DIARY, "noa", "2"), (&OTHER, "zoe", "3"), (&DIARY, "zoe", "4")]
        {
            state.change(vec![StateChange::append(log, subject, text)], at(0)).await.unwrap();
        }
        let read = async |subject, before, limit| {
            let entries = state.entries(&DIARY, subject, before, limit).await.unwrap();
            entries.into_iter().map(|entry| (entry.sequence, entry.value)).collect::<Vec<_>>()
        };
        let all = read(None, None, 10).await;
        assert_eq!(all.iter().map(|(_, value)| value.as_ref()).collect::<Vec<_>>(), [b"4", b"2", b"1"]);
        assert_eq!(read(Some("zoe"), None, 10).await.len(), 2);
        assert_eq!(read(None, Some(all[0].0), 1).await, all[1..2]);
        assert!(read(Some("ida"), None, 10).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_each_write_counts() {
    for state in engines().1 {
        let add = |state: StoredState| async move {
            loop {
                let record = state.record(&BOX, "n", at(0)).await.unwrap();
                let expect =
                    record.as_ref().map_or(ChangeCondition::Absent, |record| ChangeCondition::Version(record.version));
                let n = record.map_or(0, |record| std::str::from_utf8(&record.value).unwrap().parse().unwrap());
                let put = StateChange::put(&BOX, "n", expect, format!("{}", n + 1_u32), None);
                match state.change(vec![put], at(0)).await {
                    Ok(_) => return,
                    Err(error) => assert_eq!(error, StateError::Conflict),
                }
            }
        };
        let tasks: Vec<_> = (0..20).map(|_| tokio::spawn(add(state.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(state.record(&BOX, "n", at(0)).await.unwrap().unwrap().value, "20");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_have_it_open_see_each_other_and_a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> StoredState { Arc::new(LocalState::open(folder.path()).unwrap()) };
    let (node, command) = (open(), open());
    put(&node, &BOX, "a", ChangeCondition::Absent, 0).await.unwrap();
    assert_eq!(put(&command, &BOX, "a", ChangeCondition::Absent, 0).await, Err(StateError::Conflict));
    let seen = version(&command, &BOX, "a").await;
    put(&command, &BOX, "a", seen, 0).await.unwrap();
    assert_eq!(put(&node, &BOX, "a", seen, 0).await, Err(StateError::Conflict));
    let write = |state: StoredState| async move {
        for _ in 0..50 {
            state.change(vec![StateChange::append(&DIARY, "s", "e")], at(0)).await.unwrap();
        }
    };
    tokio::join!(write(node.clone()), write(command.clone()));
    drop((node, command));
    let again = open();
    assert_eq!(again.entries(&DIARY, None, None, 1000).await.unwrap().len(), 100);
    assert_eq!(keys(&again, &BOX, 0).await, ["a"]);
}

#[test]
fn nobody_else_may_read_it_and_a_later_version_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(LocalState::open(folder.path()).unwrap());
    let file = folder.path().join("state.sqlite");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    match LocalState::open(folder.path()) {
        Err(StateError::Damaged(why)) => assert!(why.contains("99"), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

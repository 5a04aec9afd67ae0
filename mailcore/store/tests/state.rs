//! Shared state. Both engines keep conditions, bounds, expiry and order. The local engine keeps its content over a
//! restart and shares it with every other instance that has opened the file.
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

static REFUSING: StateSpace =
    StateSpace { name: "refusing", records_max: 3, octets_max: 100, when_full: WhenFull::Refuse };
static REMOVING: StateSpace =
    StateSpace { name: "removing", records_max: 3, octets_max: 100, when_full: WhenFull::RemoveOldest };
static DIARY: StateLog = StateLog { name: "diary", octets_max: 50 };
static OTHER: StateLog = StateLog { name: "other", octets_max: 50 };

type StoredState = Arc<dyn StateStore>;

fn engines() -> (TempDir, [StoredState; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let local = LocalState::open(folder.path()).unwrap();
    (folder, [Arc::new(MemoryState::default()), Arc::new(local)])
}

/// Puts a record whose value is its key; it expires at second 100. Returns its version.
async fn put(
    state: &StoredState,
    space: &'static StateSpace,
    key: &str,
    expect: ChangeCondition,
    now: i64,
) -> Result<u64, StateError> {
    let change = StateChange::put(space, key, expect, key.to_owned(), Some(at(100)));
    state.change(vec![change], at(now)).await.map(|versions| versions[0])
}

/// Returns the condition that the record still has its present version.
async fn version(state: &StoredState, space: &'static StateSpace, key: &str) -> ChangeCondition {
    ChangeCondition::Version(state.record(space, key, at(0)).await.unwrap().unwrap().version)
}

async fn keys(state: &StoredState, space: &'static StateSpace, now: i64) -> Vec<String> {
    state.records(space, None, 10, at(now)).await.unwrap().into_iter().map(|record| record.key).collect()
}

#[tokio::test]
async fn a_change_needs_the_state_that_it_expects() {
    for state in engines().1 {
        assert!(state.record(&REFUSING, "a", at(0)).await.unwrap().is_none());
        put(&state, &REFUSING, "a", ChangeCondition::Absent, 0).await.unwrap();
        assert_eq!(put(&state, &REFUSING, "a", ChangeCondition::Absent, 0).await, Err(StateError::Conflict));
        let first = version(&state, &REFUSING, "a").await;
        put(&state, &REFUSING, "a", first, 0).await.unwrap();
        assert_eq!(
            put(&state, &REFUSING, "a", first, 0).await,
            Err(StateError::Conflict),
            "an old version was accepted"
        );
        let second = version(&state, &REFUSING, "a").await;
        let remove = |expect| state.change(vec![StateChange::remove(&REFUSING, "a", expect)], at(0));
        assert_eq!(remove(first).await, Err(StateError::Conflict));
        remove(second).await.unwrap();
        assert_eq!(remove(second).await, Err(StateError::Conflict));
        remove(ChangeCondition::Any).await.unwrap();
        put(&state, &REFUSING, "a", ChangeCondition::Any, 0).await.unwrap();
        assert_eq!(
            put(&state, &REFUSING, "a", second, 0).await,
            Err(StateError::Conflict),
            "the version of a removed record was accepted"
        );
        assert_eq!(state.record(&REFUSING, "a", at(0)).await.unwrap().unwrap().value, "a");
        assert!(state.record(&REMOVING, "a", at(0)).await.unwrap().is_none(), "two spaces share a key");
    }
}

#[tokio::test]
async fn an_expired_record_is_absent() {
    for state in engines().1 {
        put(&state, &REFUSING, "a", ChangeCondition::Absent, 0).await.unwrap();
        let old = version(&state, &REFUSING, "a").await;
        assert!(state.record(&REFUSING, "a", at(99)).await.unwrap().is_some());
        assert!(state.record(&REFUSING, "a", at(100)).await.unwrap().is_none());
        assert!(keys(&state, &REFUSING, 100).await.is_empty());
        assert_eq!(put(&state, &REFUSING, "a", old, 100).await, Err(StateError::Conflict));
        put(&state, &REFUSING, "a", ChangeCondition::Absent, 100).await.unwrap();
    }
}

#[tokio::test]
async fn a_space_is_bounded() {
    for state in engines().1 {
        for key in ["a", "b", "c"] {
            put(&state, &REFUSING, key, ChangeCondition::Absent, 0).await.unwrap();
            put(&state, &REMOVING, key, ChangeCondition::Absent, 0).await.unwrap();
        }
        assert_eq!(put(&state, &REFUSING, "d", ChangeCondition::Absent, 0).await, Err(StateError::Full("refusing")));
        put(&state, &REFUSING, "b", ChangeCondition::Any, 0).await.unwrap();
        put(&state, &REMOVING, "a", ChangeCondition::Any, 0).await.unwrap();
        put(&state, &REMOVING, "d", ChangeCondition::Absent, 0).await.unwrap();
        assert_eq!(
            keys(&state, &REMOVING, 0).await,
            ["a", "c", "d"],
            "not the least recently written record was removed"
        );
        put(&state, &REFUSING, "e", ChangeCondition::Absent, 100).await.unwrap();
        let large =
            |space| state.change(vec![StateChange::put(space, "x", ChangeCondition::Any, vec![0; 101], None)], at(0));
        assert_eq!(large(&REMOVING).await, Err(StateError::TooLarge("the value")));
        let long = StateChange::remove(&REMOVING, "x".repeat(STATE_KEY_OCTETS_MAX + 1), ChangeCondition::Any);
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
            let put = StateChange::put(&REFUSING, "b", expect, "1", None);
            state.change(
                vec![
                    StateChange::put(&REFUSING, "a", ChangeCondition::Any, "1", None),
                    StateChange::append(&DIARY, "s", "e"),
                    put,
                ],
                at(0),
            )
        };
        let numbers = list(ChangeCondition::Absent).await.unwrap();
        assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2], "{numbers:?}");
        let before =
            (state.record(&REFUSING, "a", at(0)).await.unwrap(), state.entries(&DIARY, None, None, 10).await.unwrap());
        assert_eq!(list(ChangeCondition::Absent).await, Err(StateError::Conflict));
        let after =
            (state.record(&REFUSING, "a", at(0)).await.unwrap(), state.entries(&DIARY, None, None, 10).await.unwrap());
        assert_eq!((before.1.len(), before), (1, after));
    }
}

#[tokio::test]
async fn records_are_listed_in_order() {
    for state in engines().1 {
        for key in ["c", "a", "b"] {
            put(&state, &REFUSING, key, ChangeCondition::Absent, 0).await.unwrap();
        }
        assert_eq!(keys(&state, &REFUSING, 0).await, ["a", "b", "c"]);
        let after = state.records(&REFUSING, Some("a"), 1, at(0)).await.unwrap();
        assert_eq!(after.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["b"]);
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
        let forward = async |subject, after, limit| {
            let entries = state.entries_after(&DIARY, subject, after, limit).await.unwrap();
            entries.into_iter().map(|entry| entry.sequence).collect::<Vec<_>>()
        };
        let (first, second, last) = (all[2].0, all[1].0, all[0].0);
        assert_eq!(forward(None, 0, 10).await, [first, second, last]);
        assert_eq!(forward(None, first, 1).await, [second]);
        assert_eq!(forward(Some("zoe"), first, 10).await, [last]);
        assert!(forward(None, last, 10).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_concurrent_increment_is_lost() {
    for state in engines().1 {
        let add = |state: StoredState| async move {
            loop {
                let record = state.record(&REFUSING, "n", at(0)).await.unwrap();
                let expect =
                    record.as_ref().map_or(ChangeCondition::Absent, |record| ChangeCondition::Version(record.version));
                let n = record.map_or(0, |record| std::str::from_utf8(&record.value).unwrap().parse().unwrap());
                let put = StateChange::put(&REFUSING, "n", expect, format!("{}", n + 1_u32), None);
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
        assert_eq!(state.record(&REFUSING, "n", at(0)).await.unwrap().unwrap().value, "20");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_open_engines_share_the_state_and_a_restart_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> StoredState { Arc::new(LocalState::open(folder.path()).unwrap()) };
    let (node, command) = (open(), open());
    put(&node, &REFUSING, "a", ChangeCondition::Absent, 0).await.unwrap();
    assert_eq!(put(&command, &REFUSING, "a", ChangeCondition::Absent, 0).await, Err(StateError::Conflict));
    let seen = version(&command, &REFUSING, "a").await;
    put(&command, &REFUSING, "a", seen, 0).await.unwrap();
    assert_eq!(put(&node, &REFUSING, "a", seen, 0).await, Err(StateError::Conflict));
    let write = |state: StoredState| async move {
        for _ in 0..50 {
            state.change(vec![StateChange::append(&DIARY, "s", "e")], at(0)).await.unwrap();
        }
    };
    tokio::join!(write(node.clone()), write(command.clone()));
    drop((node, command));
    let again = open();
    assert_eq!(again.entries(&DIARY, None, None, 1000).await.unwrap().len(), 100);
    assert_eq!(keys(&again, &REFUSING, 0).await, ["a"]);
}

#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(LocalState::open(folder.path()).unwrap());
    let file = folder.path().join("state.sqlite");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(LocalState::open(folder.path()).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join("state.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    match LocalState::open(folder.path()) {
        Err(StateError::Unavailable(why)) => {
            assert!(why.contains("the tables have version 99, written by a newer Provost"), "{why}");
            assert!(why.contains("knows versions up to 1:"), "{why}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a file of version 99 was opened"),
    }
}

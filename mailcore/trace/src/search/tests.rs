use std::sync::LazyLock;
use std::time::{Duration, Instant};

use provost_message::TraceId;

use super::*;
use crate::{Recorder, RecorderConfig, TraceOutcome};

/// Time of the event with number 0, seconds since 1970. It must not lie in the future: a file is named by the day of
/// its writing, and a search skips the files of days before its `since`.
static START_SECOND: LazyLock<i64> = LazyLock::new(|| Timestamp::now().as_second() - 60);

fn record(number: u64, event: TraceOutcome, to: &str) -> TraceRecord {
    TraceRecord {
        id: TraceId::from(Uuid::from_u128(number.into())).to_string(),
        at: at(*START_SECOND + i64::try_from(number).unwrap()),
        event,
        service: "smtp".into(),
        from: format!("s{}@example.org", number % 7),
        to: Some(to.into()),
        account: Some(Uuid::from_u128(7)).filter(|_| event == TraceOutcome::Delivered),
        message_id: Some(format!("m{number}@example.org")).filter(|_| event != TraceOutcome::Refused),
        peer: Some("192.0.2.1".into()),
        login: None,
        octets: 1000,
        text: "INBOX".into(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Writes records with a recorder that has ended when this returns.
fn written(folder: &Path, records: &[TraceRecord]) {
    let config = RecorderConfig { folder: folder.to_owned(), days: 3, octets_max: u64::MAX };
    let recorder = Recorder::start(config).unwrap();
    records.iter().for_each(|record| recorder.record(record.clone()));
    drop(recorder);
}

fn query(criterion: Criterion) -> TraceQuery {
    TraceQuery { all: vec![criterion], since: at(0), until: Timestamp::MAX, limit: 10 }
}

fn ids(folder: &Path, query: &TraceQuery) -> Vec<u64> {
    let id = |trace: &MessageTrace| u64::try_from(Uuid::parse_str(&trace.id).unwrap().as_u128()).unwrap();
    search(folder, query).unwrap().messages.iter().map(id).collect()
}

#[test]
fn finds_by_each_field() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let records = [
        record(1, TraceOutcome::Delivered, "zoe@example.edu"),
        record(2, TraceOutcome::Refused, "nobody@example.edu"),
        record(3, TraceOutcome::Delivered, "zoe.alias@example.edu"),
        TraceRecord { from: String::new(), ..record(4, TraceOutcome::Deferred, "ida@example.edu") },
        TraceRecord { to: None, from: "a\"b@example.org".into(), ..record(5, TraceOutcome::Refused, "") },
    ];
    written(folder, &records[..3]);
    written(folder, &records[3..]);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (what, criterion, expect) in [
        ("recipient", Criterion { to: texts(&["<ZOE@Example.edu>"]), ..Criterion::default() }, vec![1]),
        (
            "recipient or person",
            Criterion { to: texts(&["zoe@example.edu"]), account: Some(Uuid::from_u128(7)), ..Criterion::default() },
            vec![3, 1],
        ),
        ("a refused recipient", Criterion { to: texts(&["nobody@example.edu"]), ..Criterion::default() }, vec![2]),
        ("sender", Criterion { from: texts(&["S2@example.org"]), ..Criterion::default() }, vec![2]),
        ("null reverse-path", Criterion { from: texts(&["<>"]), ..Criterion::default() }, vec![4]),
        (
            "sender with a quotation mark",
            Criterion { from: texts(&["a\"b@example.org"]), ..Criterion::default() },
            vec![5],
        ),
        ("message-id", Criterion { message_id: Some("<m3@example.org>".into()), ..Criterion::default() }, vec![3]),
        (
            "part of a message-id",
            Criterion { message_id: Some("3@example.org".into()), ..Criterion::default() },
            vec![],
        ),
        ("trace id", Criterion { id: Some(format!("{:032x}", 4)), ..Criterion::default() }, vec![4]),
        ("not a trace id", Criterion { id: Some("4".into()), ..Criterion::default() }, vec![]),
        ("no field", Criterion::default(), vec![]),
    ] {
        assert_eq!(ids(folder, &query(criterion)), expect, "{what}");
    }
}

#[test]
fn all_criteria_and_the_time_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let records: Vec<TraceRecord> =
        (0..30).map(|n| record(n, TraceOutcome::Delivered, &format!("r{}@x.edu", n % 2))).collect();
    written(folder, &records);
    let to = Criterion { to: vec!["r0@x.edu".into()], ..Criterion::default() };
    let from = Criterion { from: vec!["s2@example.org".into()], ..Criterion::default() };
    let both = TraceQuery { all: vec![to.clone(), from], ..query(Criterion::default()) };
    assert_eq!(ids(folder, &both), [16, 2]);
    let window = TraceQuery { since: at(*START_SECOND + 4), until: at(*START_SECOND + 8), ..query(to.clone()) };
    assert_eq!(ids(folder, &window), [8, 6, 4]);
    let two = TraceQuery { limit: 2, ..query(to) };
    assert_eq!(ids(folder, &two), [28, 26]);
    assert!(search(folder, &two).unwrap().more);
}

#[test]
fn a_trace_is_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let later = |event, seconds: u64, to: &str| TraceRecord {
        at: record(1, event, to).at + Duration::from_secs(seconds),
        ..record(1, event, to)
    };
    written(
        folder,
        &[later(TraceOutcome::Sent, 60, "out@example.org"), record(2, TraceOutcome::Delivered, "zoe@x.edu")],
    );
    written(
        folder,
        &[later(TraceOutcome::Queued, 0, "out@example.org"), later(TraceOutcome::Deferred, 5, "out@example.org")],
    );
    written(folder, &[later(TraceOutcome::Delivered, 0, "zoe@x.edu")]);
    let found = search(folder, &query(Criterion { message_id: Some("m1@example.org".into()), ..Criterion::default() }));
    let found = found.unwrap();
    let events: Vec<TraceOutcome> = found.messages[0].events.iter().map(|record| record.event).collect();
    assert_eq!(events, [TraceOutcome::Queued, TraceOutcome::Delivered, TraceOutcome::Deferred, TraceOutcome::Sent]);
    assert_eq!((found.messages.len(), found.more, found.lost), (1, false, 0));
}

#[test]
fn torn_and_foreign_lines_are_skipped_and_losses_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let to = || query(Criterion { to: vec!["zoe@x.edu".into()], ..Criterion::default() });
    assert_eq!(search(folder, &to()).unwrap(), TraceResult::default(), "something is found in an empty folder");
    written(folder, &[record(1, TraceOutcome::Delivered, "zoe@x.edu")]);
    let path = TraceFile::all(folder).unwrap()[0].path(folder);
    let mut text = std::fs::read(&path).unwrap();
    let line = text.clone();
    text.splice(0..0, b"{\"lost\":5,\"at\":1}\n".iter().copied());
    text.extend_from_slice(b"{\"lost\":2,\"at\":1}\nnot json \"to\":\"zoe@x.edu\"\n");
    text.extend(vec![b'x'; 3 * LINE_OCTETS_MAX + BLOCK_OCTETS]);
    text.push(b'\n');
    text.extend_from_slice(&line[..line.len() / 2]);
    std::fs::write(&path, text).unwrap();
    written(folder, &[record(2, TraceOutcome::Delivered, "zoe@x.edu")]);
    assert_eq!(ids(folder, &to()), [2, 1]);
    assert_eq!(search(folder, &to()).unwrap().lost, 7);
}

#[test]
fn a_file_that_cannot_be_removed_does_not_stop_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("20200101-0000.jsonl")).unwrap();
    written(folder, &[record(1, TraceOutcome::Delivered, "zoe@x.edu")]);
    let to = Criterion { to: vec!["zoe@x.edu".into()], ..Criterion::default() };
    assert_eq!(ids(folder, &TraceQuery { since: at(*START_SECOND), ..query(to) }), [1]);
}

#[test]
fn events_that_cannot_be_written_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "in the way").unwrap();
    let config = RecorderConfig { folder: blocked.clone(), days: 3, octets_max: u64::MAX };
    let recorder = Recorder::start(config).unwrap();
    recorder.record(record(1, TraceOutcome::Delivered, "zoe@x.edu"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while recorder.dropped() == 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    std::fs::remove_file(&blocked).unwrap();
    recorder.record(record(2, TraceOutcome::Delivered, "zoe@x.edu"));
    drop(recorder);
    let found = search(&blocked, &query(Criterion { to: vec!["zoe@x.edu".into()], ..Criterion::default() })).unwrap();
    assert_eq!((found.messages.len(), found.lost), (1, 1));
}

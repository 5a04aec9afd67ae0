use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::{CsvOptions, DirectoryContent, Policies, SourceStamp, plan, read_source, wanted};

fn plan_of(rows: &str) -> Plan {
    let file = format!("person_id,given_name,family_name,affiliation,password\n{rows}");
    let sources = [read_source("registrar", file.as_bytes(), &CsvOptions::default()).unwrap()];
    let now = "2026-09-01T08:00:00Z".parse().unwrap();
    let suffix = provost_entry::Dn::parse("dc=example,dc=edu").unwrap();
    plan(&wanted(&sources, &Policies::built_in("example.edu"), now), &DirectoryContent::empty(suffix)).unwrap()
}

fn plan_of_two() -> Plan {
    plan_of("1,Ann,Roy,staff,long enough\n2,Bo,Li,student,\n")
}

fn actor() -> Actor {
    Actor { name: "cli:test".into(), via: "cli" }
}

const AT: &str = "2026-09-01T08:00:00Z";

fn receipt(change: u32, write: u32, outcome: WriteOutcome) -> Receipt {
    Receipt {
        change,
        write,
        dn: format!("cn={change}-{write}"),
        at: AT.to_owned(),
        outcome,
        csn: Some("20260901080000.000000Z#000000#001#000000".to_owned()),
        entry_uuid: Some(Uuid::nil()),
        attributes: Vec::new(),
        password: false,
        password_digest: None,
    }
}

/// A batch of [`plan_of_two`] with four receipts, not ended.
async fn begun(folder: &TempDir) -> (Journals, String) {
    let journals = Journals::new(folder.path().join("journal"));
    let journal = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
    for (change, write) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        journal.record(receipt(change, write, WriteOutcome::Done)).await.unwrap();
    }
    journal.flush().await.unwrap();
    let batch = journal.batch.clone();
    journal.release().await;
    (journals, batch)
}

#[tokio::test]
async fn a_batch_is_kept_with_its_plan_and_its_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, batch) = begun(&folder).await;
    assert_eq!(journals.batches().unwrap(), [(batch.clone(), false)]);
    let kept = journals.read(&batch).unwrap();
    assert_eq!((kept.plan_hash.as_str(), kept.since.as_str()), (plan_of_two().hash(), "20260901080000Z"));
    assert_eq!(kept.begins, [BeginLine { actor: "cli:test".into(), via: "cli".into(), at: AT.into() }]);
    assert_eq!((kept.receipts.len(), kept.end), (4, None));
    assert_eq!(kept.receipts[1], receipt(1, 0, WriteOutcome::Done));
    assert_eq!(journals.plan(&batch).unwrap(), plan_of_two());

    let journal = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
    assert!(journal.is_resumed() && journal.batch == batch && journal.known.len() == 4);
    let end = EndLine { at: AT.into(), applied: 2, failed: 0 };
    journal.end(end.clone()).await.unwrap();
    let kept = journals.read(&batch).unwrap();
    assert_eq!((kept.begins.len(), kept.receipts.len(), kept.end), (2, 4, Some(end)));
    assert_eq!(journals.batches().unwrap(), [(batch.clone(), true)]);
    let another = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
    assert!(!another.is_resumed() && another.batch != batch, "a finished batch was resumed");

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("journal")), 0o700);
    assert_eq!((mode(&journals.path(&batch, ENDED)), mode(&journals.path(&batch, PLAN))), (0o600, 0o600));
    let text = fs::read_to_string(journals.path(&batch, PLAN)).unwrap();
    assert!(text.contains("Ann") && !text.contains("long enough"));
    for unknown in ["", "../x", "00000000-0000-4000-8000-000000000000"] {
        assert!(matches!(journals.read(unknown), Err(JournalError::Gone)), "{unknown}");
    }
}

// A crash may leave any beginning of the file: whole lines count, a torn one does not. The next run resumes the batch
// if its header line is whole.
#[tokio::test]
async fn a_journal_cut_anywhere_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, batch) = begun(&folder).await;
    let path = journals.path(&batch, OPEN);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        let head = &whole[..cut];
        fs::write(&path, head).unwrap();
        let lines = head.iter().filter(|b| **b == b'\n').count();
        let journal = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
        if lines == 0 {
            assert_ne!(journal.batch, batch, "cut at {cut}: a batch without a whole header was resumed");
            fs::remove_file(journals.path(&journal.batch, OPEN)).unwrap();
            continue;
        }
        assert_eq!(
            (journal.batch.as_str(), journal.known.len()),
            (batch.as_str(), lines.saturating_sub(2)),
            "cut at {cut}"
        );
        journal.record(receipt(1, 1, WriteOutcome::Found)).await.unwrap();
        journal.flush().await.unwrap();
        journal.release().await;
        let kept = journals.read(&batch).unwrap();
        assert_eq!(kept.receipts.len(), lines.saturating_sub(2) + 1, "cut at {cut}");
        assert_eq!(kept.receipts.last(), Some(&receipt(1, 1, WriteOutcome::Found)), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_resumed_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, batch) = begun(&folder).await;
    let running = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
    let twice = journals.begin(&plan_of_two(), &actor(), AT);
    assert!(matches!(twice, Err(JournalError::InUse(of)) if of == batch), "two runs apply one batch");
    assert!(
        journals.abandoned("another plan").unwrap().is_empty(),
        "the batch of a running process counts as abandoned"
    );
    running.release().await;
    let path = journals.path(&batch, OPEN);
    let text = fs::read_to_string(&path).unwrap();
    for (damaged, expect, names_its_plan) in [
        (text.replacen("\"journal\":1", "\"journal\":9", 1), "of version 9", true),
        (text.replacen("{\"receipt\"", "{\"recipe\"", 1), "line 3 of the journal is damaged", true),
        ("no journal\n".to_owned(), "line 1 of the journal is damaged", false),
    ] {
        fs::write(&path, damaged).unwrap();
        let error = journals.read(&batch).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        // Other plans can still be applied.
        let found = journals.abandoned("another plan").unwrap();
        assert!(found.iter().all(|(journal, _)| journal.batch != batch));
        drop(found);
        let other = journals.begin(&plan_of(&format!("3,Cy,Lee,staff,{expect}\n")), &actor(), AT).unwrap();
        assert_ne!(other.batch, batch);
        match journals.begin(&plan_of_two(), &actor(), AT) {
            Err(error @ JournalError::NotResumable { .. }) if names_its_plan => {
                let error = error.to_string();
                assert!(error.contains(&batch) && error.contains(expect), "{error}");
            }
            Ok(other) if !names_its_plan => assert_ne!(other.batch, batch),
            other => panic!("{expect}: {:?}", other.map(|journal| journal.batch)),
        }
    }
}

#[tokio::test]
async fn abandoned_batches_are_found_and_empty_ones_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, batch) = begun(&folder).await;
    assert!(
        journals.abandoned(plan_of_two().hash()).unwrap().is_empty(),
        "the batch of the given plan counts as abandoned"
    );
    // A crash before the plan was durable: no write can have been sent.
    let empty = Uuid::now_v7().to_string();
    create(&journals.path(&empty, OPEN)).unwrap();
    let found = journals.abandoned("another plan").unwrap();
    let [(journal, plan)] = &found[..] else { panic!("not one batch") };
    assert_eq!((journal.batch.as_str(), plan.hash()), (batch.as_str(), plan_of_two().hash()));
    assert!(!journals.path(&empty, OPEN).exists());
    let stamps: Vec<&SourceStamp> = plan.sources().iter().collect();
    assert_eq!(stamps[0].name, "registrar");
}

#[tokio::test]
async fn only_the_newest_batches_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let journals = Journals::new(folder.path().join("journal"));
    fs::create_dir(folder.path().join("journal")).unwrap();
    let old: Vec<String> = (0..BATCHES_KEPT + 3).map(|_| Uuid::now_v7().to_string()).collect();
    for batch in &old {
        create(&journals.path(batch, ENDED)).unwrap();
        create(&journals.path(batch, PLAN)).unwrap();
    }
    let journal = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
    let kept: Vec<String> = journals.batches().unwrap().into_iter().map(|(batch, _)| batch).collect();
    assert_eq!(kept.len(), BATCHES_KEPT + 1);
    assert!(kept.contains(&journal.batch) && !kept.contains(&old[2]) && kept.contains(&old[3]));
    assert!(!journals.path(&old[0], PLAN).exists());
}

// A crash between the end record and the new name of the file.
#[tokio::test]
async fn a_batch_with_an_end_record_is_never_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, batch) = begun(&folder).await;
    let end = JournalLine::End(EndLine { at: AT.into(), applied: 2, failed: 0 });
    let mut file = OpenOptions::new().append(true).open(journals.path(&batch, OPEN)).unwrap();
    writeln!(file, "{}", serde_json::to_string(&end).unwrap()).unwrap();
    drop(file);
    assert!(journals.abandoned("another plan").unwrap().is_empty(), "a batch that has ended is settled");
    assert_eq!(journals.batches().unwrap(), [(batch.clone(), true)]);
    fs::rename(journals.path(&batch, ENDED), journals.path(&batch, OPEN)).unwrap();
    let next = journals.begin(&plan_of_two(), &actor(), AT).unwrap();
    assert!(!next.is_resumed() && next.batch != batch, "a batch that has ended is resumed");
    assert_eq!(journals.batches().unwrap(), [(batch.clone(), true), (next.batch.clone(), false)]);
}

#[tokio::test]
async fn a_batch_that_ends_while_it_is_read_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, begun) = begun(&folder).await;
    let text = fs::read(journals.path(&begun, OPEN)).unwrap();
    let batches: Vec<String> = (0..300).map(|_| Uuid::now_v7().to_string()).collect();
    for batch in &batches {
        fs::write(journals.path(batch, OPEN), &text).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| batches.iter().for_each(|batch| finish(&journals.folder, batch).unwrap()));
        for batch in &batches {
            while !journals.path(batch, ENDED).exists() {
                assert!(journals.read(batch).is_ok(), "{batch}");
            }
        }
    });
}

/// Another process renames the file of its batch between the listing of the folder and the look at that file.
#[tokio::test]
async fn a_batch_that_ends_meanwhile_does_not_stop_others() {
    let folder = tempfile::tempdir().unwrap();
    let (journals, batch) = begun(&folder).await;
    fs::rename(journals.path(&batch, OPEN), journals.path(&batch, ENDED)).unwrap();
    assert!(matches!(journals.open(&batch), Ok(OpenBatch::Ended)));
    assert!(!journals.is_of(&batch, &plan_of_two()).unwrap());
}

// An earlier Provost wrote the fixture.
#[test]
fn journals_of_version_1_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let journals = Journals::new(folder.path().into());
    let batch = "0199d000-0000-7000-8000-000000000001";
    fs::write(journals.path(batch, ENDED), include_bytes!("../../tests/fixtures/journal-v1.jsonl")).unwrap();
    let kept = journals.read(batch).unwrap();
    assert_eq!((kept.begins.len(), kept.receipts.len(), kept.end.map(|end| end.applied)), (1, 5, Some(2)));
    let overwritten = &kept.receipts[3].attributes[0];
    assert_eq!((overwritten.name.as_str(), overwritten.before.as_slice()), ("sn", &["Roy".to_owned()][..]));
    assert!(kept.receipts.iter().all(|receipt| receipt.csn.is_some() == receipt.outcome.is_done()));
}

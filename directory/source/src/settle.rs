//! Settles several rows of one person: equal rows become one, programme rows are merged, contradictions are held.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::collect::{CollectedRows, LeftOutRow};
use crate::column::Column;
use crate::number::person_key;
use crate::profile::SourceProfile;
use crate::record::{AffiliationRow, RecordError, SourceRecord};
use crate::rule;

/// What becomes of the rows of one person.
enum Settled {
    /// One record, and the number of rows that repeated another one.
    One(Box<SourceRecord>, usize),
    /// The rows contradict each other.
    Conflict,
}

/// Settles the rows of each person who has several, in the order of the first rows.
pub(crate) fn settle(rows: &mut CollectedRows, profile: &SourceProfile) {
    rows.hold_partners_of_rejected();
    for group in groups(&rows.records) {
        let members: Vec<SourceRecord> = group.iter().filter_map(|at| rows.records.get(*at).cloned()).collect();
        match merge(&members, profile) {
            Settled::One(record, repeated) => {
                rows.repeated += repeated;
                for at in group.iter().skip(1) {
                    drop_row(&mut rows.records, *at);
                }
                if let Some(first) = group.first().and_then(|at| rows.records.get_mut(*at)) {
                    *first = *record;
                }
            }
            Settled::Conflict => {
                for (at, row) in group.iter().zip(&members) {
                    rows.rejected.push(conflict(row, &members));
                    rows.rejected_rows.push(LeftOutRow { line: row.line, person_id: Some(row.person_id.clone()) });
                    drop_row(&mut rows.records, *at);
                }
            }
        }
    }
    rows.records.retain(|record| !record.person_id.is_empty());
    hold_former_numbers(rows, &profile.name);
}

/// Marks a row to be dropped: no good row has an empty number.
fn drop_row(records: &mut [SourceRecord], at: usize) {
    if let Some(record) = records.get_mut(at) {
        record.person_id = Box::default();
    }
}

/// The places of the records of each person who has several, in the order of the file.
///
/// Only digests of the numbers are kept at first: most people have one row, and a million of numbers need memory.
fn groups(records: &[SourceRecord]) -> Vec<Vec<usize>> {
    let mut places: Vec<(u64, u32)> =
        records.iter().zip(0..).map(|(record, place)| (digest(&record.person_id), place)).collect();
    places.sort_unstable();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for alike in places.chunk_by(|one, other| one.0 == other.0).filter(|alike| alike.len() > 1) {
        // Two numbers may have one digest.
        let mut by_number: HashMap<String, Vec<usize>> = HashMap::new();
        for at in alike.iter().map(|(_, place)| *place as usize) {
            if let Some(record) = records.get(at) {
                by_number.entry(person_key(&record.person_id)).or_default().push(at);
            }
        }
        groups.extend(by_number.into_values().filter(|group| group.len() > 1));
    }
    groups.sort_unstable();
    groups
}

fn digest(number: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    person_key(number).hash(&mut hasher);
    hasher.finish()
}

fn merge(members: &[SourceRecord], profile: &SourceProfile) -> Settled {
    let Some(first) = members.first() else { return Settled::Conflict };
    let common = facts_of_person(first);
    if !members.iter().all(|member| facts_of_person(member) == common) {
        return Settled::Conflict;
    }
    let (mut distinct, mut repeated): (Vec<&SourceRecord>, usize) = (Vec::new(), 0);
    for member in members {
        let row = |record: &SourceRecord| AffiliationRow { line: 0, ..affiliation_of(record) };
        match distinct.iter().find(|other| row(other) == row(member)) {
            // The affiliations of one object stand on one line.
            Some(other) => repeated += usize::from(other.line != member.line),
            None => distinct.push(member),
        }
    }
    let kind = |record: &SourceRecord| (record.affiliation, record.program.clone());
    let mut kinds: Vec<_> = distinct.iter().map(|record| kind(record)).collect();
    kinds.sort_unstable_by_key(|(affiliation, program)| (affiliation.as_str(), program.clone()));
    kinds.dedup();
    if kinds.len() < distinct.len() {
        return Settled::Conflict;
    }
    // Of equal rank, the one that ends last comes first.
    distinct.sort_by_key(|record| {
        let row = affiliation_of(record);
        let end = row.end_date.map_or((0, None), |end| (1, Some(std::cmp::Reverse(end))));
        (profile.rank(&row), end, row.line)
    });
    let mut merged = distinct.first().map_or_else(|| first.clone(), |record| (*record).clone());
    merged.line = first.line;
    let further: Vec<AffiliationRow> = distinct.iter().skip(1).map(|record| affiliation_of(record)).collect();
    if !further.is_empty() {
        merged.more.get_or_insert_default().further = further;
    }
    Settled::One(Box::new(merged), repeated)
}

fn affiliation_of(record: &SourceRecord) -> AffiliationRow {
    AffiliationRow {
        affiliation: record.affiliation,
        program: record.program.clone(),
        start_date: record.start_date,
        end_date: record.end_date,
        line: record.line,
    }
}

/// The record without what belongs to one of its affiliations.
fn facts_of_person(record: &SourceRecord) -> SourceRecord {
    let mut facts = SourceRecord {
        line: 0,
        program: None,
        start_date: None,
        end_date: None,
        affiliation: crate::Affiliation::Alum,
        person_id: person_key(&record.person_id).into(),
        ..record.clone()
    };
    [Column::Program, Column::StartDate, Column::EndDate].into_iter().for_each(|column| facts.cleared.remove(column));
    facts
}

fn conflict(row: &SourceRecord, group: &[SourceRecord]) -> RecordError {
    /// Maximum number of lines that one problem names: enough to find the fault, without repeating a long list in each
    /// line.
    const LINES_NAMED_MAX: usize = 5;
    let others = group.iter().filter(|other| other.line != row.line).map(|other| other.line.to_string());
    let others: Vec<String> = others.take(LINES_NAMED_MAX).collect();
    let lines = if others.len() == 1 { "line" } else { "lines" };
    let words = format!("this number is also on {lines} {}, and the rows differ", others.join(", "));
    RecordError::error(row.line, Column::PersonId, rule::CONFLICT, words)
}

/// Holds rows whose former number is still in use, or is claimed by two rows.
fn hold_former_numbers(rows: &mut CollectedRows, source: &str) {
    let mut claims: HashMap<String, Vec<u64>> = HashMap::new();
    for record in &rows.records {
        if let Some(former) = record.former_person_id() {
            claims.entry(former_key(source, former)).or_default().push(record.line);
        }
    }
    if claims.is_empty() {
        return;
    }
    let mut in_use: HashMap<String, u64> = HashMap::new();
    for record in &rows.records {
        let key = former_key(source, &record.person_id);
        if claims.contains_key(&key) {
            in_use.insert(key, record.line);
        }
    }
    let mut held = Vec::new();
    rows.records.retain(|record| {
        let Some(key) = record.former_person_id().map(|former| former_key(source, former)) else { return true };
        let mut hold = |rule, words: String| {
            held.push((RecordError::error(record.line, Column::FormerPersonId, rule, words), record.person_id.clone()));
            false
        };
        match (in_use.get(&key), claims.get(&key).map(Vec::as_slice)) {
            (Some(line), _) => {
                hold(rule::FORMER_IN_USE, format!("the former number still has a row of its own, line {line}"))
            }
            (None, Some([one, other, ..])) => hold(
                rule::FORMER_TWICE,
                format!("two people cannot have the same former number: lines {one} and {other}"),
            ),
            _ => true,
        }
    });
    for (problem, person_id) in held {
        rows.rejected_rows.push(LeftOutRow { line: problem.line, person_id: Some(person_id) });
        rows.rejected.push(problem);
    }
}

fn former_key(source: &str, number: &str) -> String {
    match number.split_once(':') {
        Some((other, number)) if crate::check_source_name(other).is_ok() => format!("{other}:{}", person_key(number)),
        _ => format!("{source}:{}", person_key(number)),
    }
}

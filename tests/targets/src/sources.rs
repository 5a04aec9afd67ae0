//! Files of sources other than a registrar's CSV file, and the profiles by which files are read.

use provost_provision::{ReadOptions, Source, SourceProfile, read_file, rejects_file};

pub(crate) fn json_lines(input: &[u8]) {
    file(input, "format jsonl");
}

pub(crate) fn ldif(input: &[u8]) {
    file(input, "format ldif");
}

pub(crate) fn oneroster(input: &[u8]) {
    file(input, "format oneroster");
}

/// The first part of the input is a profile, and the rest, after an empty line, is a file. A profile that is written is
/// read again as the same one.
pub(crate) fn profile(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (lines, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    let Ok(profile) = SourceProfile::parse("fuzz", &lines) else { return };
    let again = SourceProfile::parse("fuzz", &profile.lines()).expect("a profile as it is written");
    assert_eq!(profile.lines(), again.lines());
    check(&profile, rest.as_bytes());
}

fn file(input: &[u8], line: &str) {
    let profile = SourceProfile::parse("fuzz", &[line.to_owned()]).expect("a profile");
    check(&profile, input);
}

/// Two reads of a file agree. The rows that it leaves out can be written, and read again as rows that are left out.
fn check(profile: &SourceProfile, input: &[u8]) {
    let options = ReadOptions::default();
    let Ok(source) = read_file(profile, input, &options) else { return };
    let again = read_file(profile, input, &options).expect("what was read");
    assert_eq!(format!("{source:?}"), format!("{again:?}"));
    assert!(source.records.iter().all(|record| record.line > 0 && !record.person_id.is_empty()));
    assert!(source.records.len() <= source.rows_read);
    let Source { rejected, .. } = &source;
    let Ok(rejects) = rejects_file(profile, input, &options, rejected) else { return };
    let _ = read_file(profile, &rejects, &options);
}

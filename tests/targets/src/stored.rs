//! Data read from a disk, and files that users upload.

use provost_provision::{CsvOptions, Encoding, Plan, read_source};

/// Valid and invalid rows have line numbers within the file, and two reads of a file agree.
pub(crate) fn registrar_file(input: &[u8]) {
    for encoding in [Encoding::Utf8, Encoding::Windows1252] {
        let options = CsvOptions { encoding, separator: None };
        let Ok(source) = read_source("registrar", input, &options) else { continue };
        let lines = 1 + input.iter().filter(|octet| matches!(octet, b'\n' | b'\r')).count() as u64;
        assert!(source.records.iter().all(|record| (1..=lines).contains(&record.line)));
        assert!(source.rejected.iter().all(|problem| (1..=lines).contains(&problem.line)), "{:?}", source.rejected);
        assert!(source.records.len() + source.repeated <= source.rows_read && source.rows_read as u64 <= lines);
        let again = read_source("registrar", input, &options).expect("what was read");
        assert_eq!(format!("{source:?}"), format!("{again:?}"));
    }
}

/// A valid plan that is written, read and written again has the same octets both times.
pub(crate) fn plan_file(input: &[u8]) {
    let Ok(plan) = Plan::from_bytes(input) else { return };
    let again = Plan::from_bytes(&plan.to_bytes()).expect("a plan as it is written");
    assert_eq!(plan.to_bytes(), again.to_bytes());
}

/// The last four octets select the damage to the file before them.
pub(crate) fn view_file(input: &[u8]) {
    provost_view::fuzzing::file(input);
    let Some((file, [low, high, bits, more])) = input.split_last_chunk::<4>() else { return };
    let at = usize::from(u16::from_le_bytes([*low, *high])) % file.len().max(1);
    provost_view::fuzzing::damaged_file(file, &[(at, *bits), (at / 2, *more)]);
}

pub(crate) fn rows(input: &[u8]) {
    provost_store::fuzzing::queue_row(input);
    provost_store::fuzzing::rows(input);
    provost_message::fuzzing::columns(input);
}

pub(crate) fn directory_record(input: &[u8]) {
    provost_server::fuzzing::record(input);
}

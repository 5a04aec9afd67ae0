use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// Names that the code records, with the macro used for each.
fn recorded() -> BTreeMap<String, &'static str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeMap::new();
    for area in ["admin", "directory", "mailcore"] {
        read_folder(&root.join(area), &mut found);
    }
    found
}

fn read_folder(folder: &Path, found: &mut BTreeMap<String, &'static str>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            read_folder(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for kind in ["counter", "gauge", "histogram"] {
                for (at, call) in text.match_indices(&format!("{kind}!(")) {
                    let name =
                        text[at + call.len()..].trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                    if let Some((name, _)) = name.filter(|_| !text[..at].ends_with("describe_")) {
                        found.insert(name.to_owned(), kind);
                    }
                }
            }
        }
    }
}

/// A name outside the table has no HELP text and no line in docs/metrics.md.
#[test]
fn the_table_names_all_that_is_recorded_and_nothing_else() {
    let table: BTreeMap<String, &str> = FAMILIES
        .iter()
        .map(|family| {
            let kind = match family.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram(_) => "histogram",
            };
            (family.name.to_owned(), kind)
        })
        .collect();
    assert_eq!(table.len(), FAMILIES.len(), "a name is in the table twice");
    assert_eq!(recorded(), table);
}

#[test]
fn names_follow_the_conventions() {
    for family in FAMILIES {
        let Family { name, help, .. } = family;
        assert!(name.starts_with("provost_"), "{name}");
        assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == MetricKind::Counter, "{name}");
        assert!(help.ends_with('.') && help.len() > 15, "{name}: {help}");
        for unit in ["octets", "milliseconds", "minutes", "kilobytes"] {
            assert!(!name.contains(unit), "{name}: base units are seconds and bytes");
        }
        if let MetricKind::Histogram(buckets) = family.kind {
            assert!(buckets.is_sorted() && !buckets.is_empty(), "{name}");
        }
    }
}

#[test]
fn every_metric_is_documented_in_the_words_of_its_help_text() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md")).unwrap();
    for family in FAMILIES {
        let begin = format!("| `{}` |", family.name);
        let end = format!("| {} |", family.help.trim_end_matches('.'));
        let is_documented = page.lines().any(|line| line.starts_with(&begin) && line.ends_with(&end));
        assert!(is_documented, "docs/metrics.md lacks this line: {begin} … {end}");
    }
}

#[test]
fn series_begin_at_zero_and_no_histogram_becomes_a_summary() {
    let recorder = builder().unwrap().build_recorder();
    let text = metrics::with_local_recorder(&recorder, || {
        create_series(&EnabledListeners { mail: vec!["imap"], all: vec!["imap", "http"] });
        for family in FAMILIES.iter().filter(|family| matches!(family.kind, MetricKind::Histogram(_))) {
            metrics::histogram!(family.name).record(0.3);
        }
        let unknown = "provost_not_in_the_table";
        metrics::histogram!(unknown).record(0.3);
        recorder.handle().render()
    });
    for line in [
        "provost_logins_total{protocol=\"pop3\",outcome=\"unavailable\"} 0",
        "provost_net_refused_total{listener=\"http\"} 0",
        "provost_net_tls_failures_total{listener=\"imap\"} 0",
        "provost_queue_double_bounces_total 0",
        "provost_api_request_duration_seconds_bucket{le=\"0.5\"} 1",
        "provost_api_request_duration_seconds_bucket{le=\"+Inf\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no '{line}' in\n{text}");
    }
    assert!(!text.contains("quantile") && !text.contains(" summary"), "{text}");
}

#[test]
fn validity_fingerprint_and_names_of_a_certificate_are_read() {
    let made = rcgen::generate_simple_self_signed(vec!["mail.example.edu".to_owned(), "*.mx.example.edu".to_owned()]);
    let certificate = Certificate::read(made.unwrap().cert.der()).unwrap();
    assert!(certificate.not_before < Timestamp::now() && certificate.not_after > Timestamp::now());
    assert_eq!(certificate.fingerprint.len(), 95);
    for (name, expect) in [
        ("mail.example.edu", true),
        ("MAIL.example.edu", true),
        ("a.mx.example.edu", true),
        ("mx.example.edu", false),
        ("example.edu", false),
        ("not a name", false),
    ] {
        assert_eq!(certificate.is_for(name), expect, "{name}");
    }
    assert!(Certificate::read(&b"no certificate".to_vec().into()).is_none());
}

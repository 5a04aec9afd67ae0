#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| provost_targets::run("source_oneroster", octets));

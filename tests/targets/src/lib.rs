//! One function for each reader of octets from a peer, a file or a row, which asserts the properties of that reader.
//!
//! A target takes arbitrary octets and panics when a property is broken. `tests/fuzz` runs each under libFuzzer
//! (`scripts/fuzz`); `tests/` here runs each over its seeds, `tests/fuzz/corpus/NAME/`, in every ordinary test run. A
//! private item of a room is reached through its module `fuzzing`, which exists only with the feature of that name.
//!
//! A panic of the code under test fails a run, too. The runs over the seeds also bound memory and time.

#![allow(clippy::expect_used, clippy::panic)] // A test fails by a panic.

mod directory;
mod message;
mod names;
mod people;
mod pieces;
mod protocol;
mod session;
mod sieve;
mod sources;
mod stored;

/// A target and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct FuzzTarget {
    /// The name of the target and of its folder of seeds.
    pub name: &'static str,
    /// Longest input, octets.
    pub octets_max: usize,
    /// Octets that a run may allocate in addition to those for each octet of the input.
    pub allocated_max: usize,
    /// Runs the target; panics when a property is broken.
    pub run: fn(&[u8]),
}

/// Octets that a run may allocate in total, freed or not, besides those for its input: for the buffers of a parser.
const PARSER: usize = 1024 * 1024;
/// The same for a session: with a store, a directory and a runtime.
const SESSION: usize = 32 * 1024 * 1024;
/// The same for an archive: eight files of 4 MiB each may be unpacked before their size is judged by the packed one.
const ARCHIVE: usize = 256 * 1024 * 1024;

/// All targets. Targets with sessions get short inputs, because a few octets can be a command that reads the store.
pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget { name: "imap_framing", octets_max: 16 * 1024, allocated_max: PARSER, run: protocol::imap_framing },
    FuzzTarget { name: "imap_commands", octets_max: 16 * 1024, allocated_max: PARSER, run: protocol::imap_commands },
    FuzzTarget { name: "imap_session", octets_max: 2 * 1024, allocated_max: SESSION, run: session::imap },
    FuzzTarget { name: "pop3_commands", octets_max: 4 * 1024, allocated_max: PARSER, run: protocol::pop3_commands },
    FuzzTarget { name: "pop3_session", octets_max: 2 * 1024, allocated_max: SESSION, run: session::pop3 },
    FuzzTarget { name: "smtp_commands", octets_max: 16 * 1024, allocated_max: PARSER, run: protocol::smtp_commands },
    FuzzTarget { name: "smtp_data", octets_max: 16 * 1024, allocated_max: PARSER, run: protocol::smtp_data },
    FuzzTarget { name: "smtp_session", octets_max: 2 * 1024, allocated_max: SESSION, run: session::smtp },
    FuzzTarget { name: "proxy_header", octets_max: 4 * 1024, allocated_max: PARSER, run: protocol::proxy_header },
    FuzzTarget { name: "sasl_plain", octets_max: 4 * 1024, allocated_max: PARSER, run: protocol::sasl_plain },
    FuzzTarget { name: "sieve", octets_max: 32 * 1024, allocated_max: PARSER, run: sieve::script },
    FuzzTarget { name: "sieve_vacation", octets_max: 128 * 1024, allocated_max: PARSER, run: sieve::vacation },
    FuzzTarget { name: "mime", octets_max: 64 * 1024, allocated_max: PARSER, run: message::mime },
    FuzzTarget { name: "mime_search", octets_max: 16 * 1024, allocated_max: PARSER, run: message::search },
    FuzzTarget { name: "mime_seven_bit", octets_max: 16 * 1024, allocated_max: PARSER, run: message::seven_bit },
    FuzzTarget { name: "header_fields", octets_max: 16 * 1024, allocated_max: PARSER, run: message::header_fields },
    FuzzTarget { name: "header_values", octets_max: 16 * 1024, allocated_max: PARSER, run: message::header_values },
    FuzzTarget { name: "ldap_ber", octets_max: 16 * 1024, allocated_max: PARSER, run: directory::ber },
    FuzzTarget { name: "ldap_session", octets_max: 1024, allocated_max: SESSION, run: directory::session },
    FuzzTarget { name: "ldap_answers", octets_max: 64 * 1024, allocated_max: PARSER, run: directory::answers },
    FuzzTarget { name: "sync_cookies", octets_max: 8 * 1024, allocated_max: PARSER, run: directory::cookies },
    FuzzTarget { name: "names", octets_max: 8 * 1024, allocated_max: PARSER, run: names::names },
    FuzzTarget { name: "ldif", octets_max: 16 * 1024, allocated_max: PARSER, run: names::ldif },
    FuzzTarget { name: "registrar_file", octets_max: 16 * 1024, allocated_max: PARSER, run: stored::registrar_file },
    FuzzTarget { name: "source_json", octets_max: 16 * 1024, allocated_max: PARSER, run: sources::json_lines },
    FuzzTarget { name: "source_ldif", octets_max: 16 * 1024, allocated_max: PARSER, run: sources::ldif },
    FuzzTarget { name: "source_oneroster", octets_max: 16 * 1024, allocated_max: ARCHIVE, run: sources::oneroster },
    FuzzTarget { name: "source_profile", octets_max: 16 * 1024, allocated_max: PARSER, run: sources::profile },
    FuzzTarget { name: "plan_file", octets_max: 32 * 1024, allocated_max: PARSER, run: stored::plan_file },
    FuzzTarget { name: "view_file", octets_max: 16 * 1024, allocated_max: PARSER, run: stored::view_file },
    FuzzTarget { name: "stored_rows", octets_max: 8 * 1024, allocated_max: PARSER, run: stored::rows },
    FuzzTarget {
        name: "directory_records",
        octets_max: 8 * 1024,
        allocated_max: PARSER,
        run: stored::directory_record,
    },
];

/// Runs the target of that name; a longer input than [`FuzzTarget::octets_max`] is cut.
pub fn run(name: &str, octets: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(octets.get(..target.octets_max).unwrap_or(octets));
}

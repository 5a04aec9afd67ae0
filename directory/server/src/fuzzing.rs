//! Properties of the server that `tests/targets` checks over arbitrary octets. A violated property panics, and the
//! fuzzer reports the panic.

use std::sync::Arc;

use provost_entry::{Entry, FILTER_DEPTH_MAX, Filter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access::Identity;
use crate::ber::{self, BerReader, BerWriter, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE};
use crate::controls::{self, ControlledOperation};
use crate::csn::ContextCsn;
use crate::ldap_result::{LdapResult, ResultCode};
use crate::message::{self, ATTRIBUTES_MAX, CONTROLS_MAX, FILTER_NODES_MAX, Operation, VALUES_MAX, WriteOperation};
use crate::record::EncodedEntry;
use crate::session;
use crate::shared::ServerContext;
use crate::{ServerConfig, StartError, open, server_context};

/// Deepest nesting that [`check_elements`] enters; no accepted request nests so deep.
const WALK_DEPTH_MAX: usize = 64;
/// Capacity of a duplex pipe, octets.
const PIPE_OCTETS: usize = 16 * 1024;

/// Each element lies within its container and reads the same after encoding. A complete frame begins with an element.
pub fn ber(octets: &[u8]) {
    if let Ok(Some(length)) = ber::frame_length(octets) {
        let whole = octets.get(..length).map(|frame| BerReader::new(frame).element().is_ok());
        assert_ne!(whole, Some(false), "a complete frame is not an element");
    }
    check_elements(octets, 0);
}

fn check_elements(octets: &[u8], depth: usize) {
    let mut reader = BerReader::new(octets);
    let mut left = octets.len();
    while let Ok((tag, content)) = reader.element() {
        assert!(content.len() + 2 <= left, "an element is longer than its container");
        left -= content.len() + 2;
        check_round_trip(tag, content);
        if tag & 0x20 != 0 && depth < WALK_DEPTH_MAX {
            check_elements(content, depth + 1);
        }
    }
}

fn check_round_trip(tag: u8, content: &[u8]) {
    let mut writer = BerWriter::default();
    writer.within(SEQUENCE, |writer| writer.string(tag, content));
    let wire = writer.into_octets();
    assert_eq!(ber::frame_length(&wire), Ok(Some(wire.len())));
    let read = BerReader::new(&wire).within(SEQUENCE).and_then(|mut inner| inner.element());
    assert_eq!(read, Ok((tag, content)));
    if matches!(tag, INTEGER | ENUMERATED)
        && let Ok(value) = ber::integer(content)
    {
        let mut writer = BerWriter::default();
        writer.integer(tag, value);
        let wire = writer.into_octets();
        assert!(wire.len() <= content.len() + 2, "an integer grows");
        assert_eq!(BerReader::new(&wire).integer(tag), Ok(value));
    }
    if tag == OCTET_STRING {
        // The value of a control is an OCTET STRING that holds BER.
        _ = message::assertion_filter(content).map(|filter| check_filter(&filter));
        _ = message::attribute_selection(content);
    }
}

/// Two decodes of a frame agree. A decoded request is within the bounds, and its filter survives printing and parsing.
pub fn request(frame: &[u8]) {
    let (decoded, again) = (message::decode(frame), message::decode(frame));
    assert_eq!(format!("{decoded:?}"), format!("{again:?}"));
    let Ok(request) = decoded else { return };
    assert!(request.id > 0 && request.controls.len() <= CONTROLS_MAX);
    let target = match &request.operation {
        Operation::Search(search) => {
            assert!(search.attributes.len() <= ATTRIBUTES_MAX);
            check_filter(&search.filter);
            ControlledOperation::Search
        }
        Operation::Compare { .. } => ControlledOperation::Compare,
        Operation::Write(operation) => {
            assert!(values(operation) <= VALUES_MAX);
            ControlledOperation::of(operation)
        }
        _ => ControlledOperation::Other,
    };
    if let Ok(controls) = controls::read(&request.controls, target) {
        assert!(controls.page.is_none() || controls.sync.is_none());
        controls.write.assertion.iter().for_each(check_filter);
    }
}

fn values(operation: &WriteOperation) -> usize {
    match operation {
        WriteOperation::Add { attributes, .. } => attributes.iter().map(|(_, values)| values.len()).sum(),
        WriteOperation::Modify { items, .. } => items.iter().map(|item| item.values.len()).sum(),
        _ => 0,
    }
}

fn check_filter(filter: &Filter) {
    let mut nodes = 0;
    let has_text = measure(filter, 1, &mut nodes);
    assert!(nodes <= FILTER_NODES_MAX, "{nodes} nodes");
    let text = filter.to_string();
    if has_text && text.len() <= provost_entry::FILTER_OCTETS_MAX {
        assert_eq!(Filter::parse(&text).as_ref(), Ok(filter), "{text}");
    }
}

/// Counts the nodes; returns whether the filter has a text that can be parsed.
fn measure(filter: &Filter, depth: usize, nodes: &mut usize) -> bool {
    assert!(depth <= FILTER_DEPTH_MAX, "a filter of depth {depth}");
    *nodes += 1;
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            // Counts all parts, also after one without a text.
            let have_text: Vec<bool> = parts.iter().map(|part| measure(part, depth + 1, nodes)).collect();
            have_text.into_iter().all(|has_text| has_text)
        }
        Filter::Not(part) => measure(part, depth + 1, nodes),
        Filter::Undefined => false,
        Filter::Substring { initial, any, last, .. } => {
            // RFC 4515 has no text for an empty part.
            initial.iter().chain(any).chain(last).all(|part| !part.is_empty())
        }
        _ => true,
    }
}

/// A valid sync cookie survives printing and parsing, unless printing makes it too long.
pub fn cookie(octets: &[u8]) {
    let Some(context) = ContextCsn::parse_cookie(octets) else { return };
    let written = context.cookie();
    if let Some(read) = ContextCsn::parse_cookie(&written) {
        assert_eq!(read, context);
    } else {
        assert!(written.len() > octets.len(), "{} cannot be read", written.escape_ascii());
    }
    assert!(context.covers_all(&context));
}

/// A record from the disk is refused, or survives decoding and encoding.
pub fn record(octets: &[u8]) {
    let Some(record) = EncodedEntry::from_octets(octets.to_vec()) else { return };
    let values: usize = record.attributes().map(|(_, values)| values.map(<[u8]>::len).sum::<usize>()).sum();
    assert!(values <= octets.len(), "values of {values} octets");
    let Some(draft) = record.open() else { unreachable!("a checked record cannot be opened") };
    _ = (draft.head.created(), draft.head.csn.to_string());
    let written = draft.encode();
    let read = EncodedEntry::from_octets(written.octets().to_vec()).and_then(|record| record.open());
    assert_eq!(read, Some(draft));
}

/// A read-only directory. A session decodes and queues a write; a task in place of the committer refuses it.
pub struct ReadOnly {
    shared: Arc<ServerContext>,
}

impl ReadOnly {
    /// Opens the directory of `config`, with the seed entries if it is empty. Must be called within a Tokio runtime.
    pub fn open(config: &ServerConfig, seed: &[Entry]) -> Result<Self, StartError> {
        let committer = open(config, seed)?;
        let (jobs, mut waiting) = mpsc::channel::<crate::committer::WriteJob>(16);
        tokio::spawn(async move {
            while let Some(job) = waiting.recv().await {
                (job.answer)(Err(LdapResult::new(ResultCode::UnwillingToPerform, "read only")));
            }
        });
        Ok(Self { shared: Arc::new(server_context(config, committer.directory, jobs, CancellationToken::new())) })
    }

    /// Sends `octets` over a new connection, with the root identity or anonymous. Returns all that the session sends
    /// until its end.
    pub async fn run_connection(&self, octets: &[u8], is_root: bool) -> Vec<u8> {
        let identity = if is_root { Identity::root(self.shared.root_dn.clone()) } else { Identity::anonymous() };
        let (near, far) = tokio::io::duplex(PIPE_OCTETS);
        let (mut reader, mut writer) = tokio::io::split(near);
        let session = tokio::spawn(session::serve_in_memory(self.shared.clone(), identity, far));
        let write = async {
            // A session that closes the connection reads no more.
            _ = writer.write_all(octets).await;
            _ = writer.shutdown().await;
        };
        let mut answers = Vec::new();
        let (_, read) = tokio::join!(write, reader.read_to_end(&mut answers));
        read.map_or_else(|error| unreachable!("a pipe in memory fails: {error}"), |_| ());
        assert!(session.await.is_ok(), "the session panicked");
        answers
    }
}

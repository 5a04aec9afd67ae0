//! SEARCH and UID SEARCH (RFC 3501 §6.4.4; ESEARCH, RFC 4731).
//!
//! A message is read only as far as its result needs. The keys are tested with the flags and the UID from memory, then
//! with the row and the header fields in it, then with the whole header, then with the body. Reading stops at the first
//! step that decides the keys.

mod body;
mod content;
mod key;

use provost_net::OutputBuffer;
use provost_store::{Columns, StoreError};

use crate::codec::StatusResponse;
use crate::codec::command::{NumberKind, SearchArguments, SearchReturn};
use crate::codec::sequence;
use crate::context::{CommandContext, unreadable};
use crate::mailbox::SelectedMailbox;
use crate::source::MessageSource;

use content::LoadedContent;
use key::{ResolvedKey, SearchCandidate};

/// Number of messages tested between two yields to other sessions. Their rows are read with one call.
const MESSAGES_PER_YIELD: usize = 256;

/// SEARCH and UID SEARCH: the matching numbers in a SEARCH or ESEARCH response.
pub(crate) async fn search(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    tag: &str,
    search: &SearchArguments,
    out: &mut OutputBuffer<'_>,
) -> StatusResponse {
    if !search.charset_known {
        return StatusResponse::no("BADCHARSET (US-ASCII UTF-8)", "Unknown charset");
    }
    let key = ResolvedKey::new(&search.key, selected);
    let columns = key::columns(&search.key);
    let mut found = Vec::new();
    let mut from = 0;
    while from < selected.messages.len() {
        let to = selected.messages.len().min(from + MESSAGES_PER_YIELD);
        match matches_among(context, selected, &key, columns, from..to).await {
            Ok(indices) => found.extend(indices),
            Err(error) => return unreadable(&error),
        }
        from = to;
        tokio::task::yield_now().await;
    }
    let number = |index: &usize| match search.numbers {
        NumberKind::Sequence => number(*index),
        NumberKind::Uid => selected.messages.uid(*index).map_or(0, provost_store::Uid::get),
    };
    let found: Vec<u32> = found.iter().map(number).collect();
    match search.returns {
        None => out.put(search_response(&found)),
        Some(returns) => out.put(esearch_response(tag, &found, returns, search.numbers)),
    }
    StatusResponse::ok("SEARCH completed")
}

/// The indices, among `indices`, of the messages that match, ascending. A message that is damaged does not match.
async fn matches_among(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    key: &ResolvedKey<'_>,
    columns: Columns,
    indices: std::ops::Range<usize>,
) -> Result<Vec<usize>, StoreError> {
    let (mut found, mut undecided) = (Vec::new(), Vec::new());
    for index in indices {
        let Some(message) = selected.messages.message(index) else { continue };
        let is_recent = selected.is_recent(message.uid);
        let candidate = SearchCandidate { message, number: number(index), is_recent, row: None };
        match key.test(&candidate, &LoadedContent::Nothing) {
            Some(true) => found.push(index),
            Some(false) => {}
            None => undecided.push((index, candidate)),
        }
    }
    if undecided.is_empty() {
        return Ok(found);
    }
    let indices: Vec<usize> = undecided.iter().map(|(index, _)| *index).collect();
    let mut rows = context.rows(selected, selected.uids(&indices), columns).await?.into_iter().peekable();
    for (index, mut candidate) in undecided {
        // A message without a row has been expunged, which is not reported to the client yet: no match.
        candidate.row = rows.next_if(|row| row.meta.uid == candidate.message.uid);
        match is_match(context, selected, key, &candidate).await {
            Ok(true) => found.push(index),
            Ok(false) | Err(StoreError::Gone | StoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Tests one message with its row, and reads the header and the body only while the keys are undecided.
async fn is_match(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    key: &ResolvedKey<'_>,
    candidate: &SearchCandidate,
) -> Result<bool, StoreError> {
    let Some(row) = &candidate.row else { return Ok(false) };
    if let Some(answer) = key.test(candidate, &LoadedContent::of_row(row)) {
        return Ok(answer);
    }
    let mut source = MessageSource::new(context, row);
    let header = LoadedContent::header(source.header().await?);
    if let Some(answer) = key.test(candidate, &header) {
        return Ok(answer);
    }
    let mut texts = Vec::new();
    key.body_texts(&header, &mut texts);
    let found = body::search_body(context, selected, row.meta.uid, source, &texts).await?;
    let content = header.with_body(texts.into_iter().zip(found).collect());
    Ok(key.test(candidate, &content).unwrap_or(false))
}

fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Writes the SEARCH response (RFC 3501 §7.2.5).
fn search_response(found: &[u32]) -> String {
    let mut line = "* SEARCH".to_owned();
    for number in found {
        line.push(' ');
        line.push_str(&number.to_string());
    }
    line.push_str("\r\n");
    line
}

/// Writes the ESEARCH response (RFC 4731 §3.1).
fn esearch_response(tag: &str, found: &[u32], returns: SearchReturn, numbers: NumberKind) -> String {
    let mut line = format!("* ESEARCH (TAG \"{tag}\")");
    if numbers == NumberKind::Uid {
        line.push_str(" UID");
    }
    if let (true, Some(first)) = (returns.min, found.first()) {
        line.push_str(&format!(" MIN {first}"));
    }
    if let (true, Some(last)) = (returns.max, found.last()) {
        line.push_str(&format!(" MAX {last}"));
    }
    if returns.all && !found.is_empty() {
        line.push_str(&format!(" ALL {}", sequence::format(found.iter().copied())));
    }
    if returns.count {
        line.push_str(&format!(" COUNT {}", found.len()));
    }
    line.push_str("\r\n");
    line
}

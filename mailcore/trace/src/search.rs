//! Searches messages in the files: one pass for the query, a second for all events of the messages found.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::TraceRecord;
use crate::event::{message_id, trace_id};
use crate::trace_file::TraceFile;

/// Octets read at once.
const BLOCK_OCTETS: usize = 1024 * 1024;
/// Longest line, octets; the bounds of a record keep the writer below it.
const LINE_OCTETS_MAX: usize = 16 * 1024;
/// Number of messages after which the first pass ends with the current file. A search that matches more is too wide,
/// and returns the newest of those found.
const REMEMBERED_MAX: usize = 20_000;
/// Number of events of one message after which only those that the query matches are added to the result: a message to
/// thousands of recipients has thousands.
const OTHER_EVENTS_MAX: usize = 100;
/// Maximum number of events of one message in the result.
const EVENTS_MAX: usize = 1000;
/// Position of the trace id in a line: after `{"id":"`.
const ID_AT: std::ops::Range<usize> = 7..39;

/// One condition on an event: an event meets the criterion when at least one field matches. A criterion without fields
/// matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criterion {
    /// Recipients in the form of the envelope; case is ignored.
    pub to: Vec<String>,
    /// entryUUID of the person who owns the mailbox.
    pub account: Option<Uuid>,
    /// Reverse-paths; case is ignored, `<>` or an empty text is the null reverse-path.
    pub from: Vec<String>,
    /// Message-ID, with or without angle brackets.
    pub message_id: Option<String>,
    /// The message's trace id, 32 hexadecimal digits.
    pub id: Option<String>,
}

/// The conditions and bounds of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceQuery {
    /// One event must meet all of these.
    pub all: Vec<Criterion>,
    /// Earliest time of an event.
    pub since: Timestamp,
    /// Latest time of an event, inclusive.
    pub until: Timestamp,
    /// Largest number of messages; the newest are returned.
    pub limit: usize,
}

/// The result of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TraceResult {
    /// The messages found, newest first by the last event that matched.
    pub messages: Vec<MessageTrace>,
    /// Whether more messages match than are returned.
    pub more: bool,
    /// Number of events that could not be recorded, in the files that were searched.
    pub lost: u64,
}

/// One message and its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageTrace {
    /// The message's trace id, 32 hexadecimal digits.
    pub id: String,
    /// Oldest first; none from before the first searched day (UTC).
    pub events: Vec<TraceRecord>,
    /// Whether some events are left out, because the message has too many.
    pub left_out: bool,
}

/// A line with the number of events that could not be recorded.
#[derive(Deserialize)]
struct LostEvents {
    lost: u64,
}

/// Searches the files of a folder. Blocks: some tenths of a second for a million events.
pub fn search(folder: &Path, query: &TraceQuery) -> io::Result<TraceResult> {
    let matcher = TraceMatcher::new(query);
    let (mut found, mut hits) = (TraceResult::default(), BTreeMap::new());
    if matcher.needles.is_empty() || query.limit == 0 {
        return Ok(found);
    }
    let day = |at: Timestamp| at.to_zoned_datetime(TimeZone::UTC).date();
    // An event from right before midnight can be in the file of the next day.
    let last = day(query.until).tomorrow().unwrap_or(Date::MAX);
    let files: Vec<TraceFile> = TraceFile::all(folder)?.into_iter().filter(|one| one.day >= day(query.since)).collect();
    let searched = files.iter().filter(|file| file.day <= last);
    for file in searched.rev() {
        each_block(&file.path(folder), |block| {
            found.lost += matcher.lost(block);
            matcher.find(block, |record| {
                let last = hits.entry(record.id).or_insert(record.at);
                *last = record.at.max(*last);
            });
        })?;
        if hits.len() > REMEMBERED_MAX {
            found.more = true;
            break;
        }
    }
    let mut newest: Vec<(Timestamp, String)> = hits.into_iter().map(|(id, at)| (at, id)).collect();
    newest.sort_unstable_by(|one, other| other.cmp(one));
    found.more |= newest.len() > query.limit;
    newest.truncate(query.limit);
    found.messages = traces(folder, &files, &matcher, newest)?;
    Ok(found)
}

/// Returns the events of the messages since the first searched day, also those outside the searched time.
fn traces(
    folder: &Path,
    files: &[TraceFile],
    matcher: &TraceMatcher,
    newest: Vec<(Timestamp, String)>,
) -> io::Result<Vec<MessageTrace>> {
    let empty = |(_, id): (Timestamp, String)| MessageTrace { id, events: Vec::new(), left_out: false };
    let mut traces: Vec<MessageTrace> = newest.into_iter().map(empty).collect();
    let places: HashMap<Vec<u8>, usize> =
        traces.iter().enumerate().map(|(place, trace)| (trace.id.clone().into_bytes(), place)).collect();
    if traces.is_empty() {
        return Ok(traces);
    }
    for file in files {
        each_block(&file.path(folder), |block| {
            for line in block.split_inclusive(|octet| *octet == b'\n') {
                let place = line.get(ID_AT).and_then(|id| places.get(id)).copied();
                let Some(trace) = place.and_then(|place| traces.get_mut(place)) else { continue };
                let Ok(record) = serde_json::from_slice::<TraceRecord>(line) else { continue };
                let limit = if matcher.matches(&record) { EVENTS_MAX } else { OTHER_EVENTS_MAX };
                if trace.events.len() < limit { trace.events.push(record) } else { trace.left_out = true }
            }
        })?;
    }
    traces.iter_mut().for_each(|trace| trace.events.sort_by_key(|event| event.at));
    Ok(traces)
}

/// Calls `take` with blocks of complete lines. A file that was removed meanwhile has none.
fn each_block(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let (mut block, mut filled) = (vec![0; BLOCK_OCTETS + LINE_OCTETS_MAX], 0);
    loop {
        let read = file.read(block.get_mut(filled..).unwrap_or_default())?;
        filled += read;
        let whole = block.get(..filled).unwrap_or_default();
        let end = memchr::memrchr(b'\n', whole).map_or(0, |at| at + 1);
        take(whole.get(..end).unwrap_or_default());
        if read == 0 {
            // What follows the last line end is a line that is still being written, or was torn.
            return Ok(());
        }
        block.copy_within(end..filled, 0);
        filled -= end;
        // A record's line is shorter than this: drop the part read so far.
        if filled >= LINE_OCTETS_MAX {
            filled = 0;
        }
    }
}

/// A query prepared for matching.
struct TraceMatcher {
    all: Vec<Criterion>,
    since: Timestamp,
    until: Timestamp,
    /// Octet sequences; every matching line contains at least one of them.
    needles: Vec<memmem::Finder<'static>>,
}

impl TraceMatcher {
    fn new(query: &TraceQuery) -> Self {
        let all: Vec<Criterion> = query.all.iter().map(normal).collect();
        // The needles of one criterion suffice; the criterion with the fewest is the fastest.
        let needles = all.iter().map(needles).min_by_key(Vec::len).unwrap_or_default();
        let finder = |needle: String| memmem::Finder::new(needle.as_bytes()).into_owned();
        Self { all, since: query.since, until: query.until, needles: needles.into_iter().map(finder).collect() }
    }

    /// Calls `take` once for each matching record of a block.
    fn find(&self, block: &[u8], mut take: impl FnMut(TraceRecord)) {
        let mut lines: Vec<usize> = Vec::new();
        for needle in &self.needles {
            lines.extend(needle.find_iter(block).map(|at| begin_of_line(block, at)));
        }
        lines.sort_unstable();
        lines.dedup();
        for begin in lines {
            let line = block.get(begin..).unwrap_or_default();
            let line = line.get(..memchr::memchr(b'\n', line).unwrap_or(line.len())).unwrap_or_default();
            if let Ok(record) = serde_json::from_slice::<TraceRecord>(line)
                && (self.since..=self.until).contains(&record.at)
                && self.matches(&record)
            {
                take(record);
            }
        }
    }

    fn lost(&self, block: &[u8]) -> u64 {
        let mut lost = 0u64;
        for at in memmem::find_iter(block, b"\n{\"lost\":")
            .map(|at| at + 1)
            .chain(block.starts_with(b"{\"lost\":").then_some(0))
        {
            let line = block.get(at..).unwrap_or_default();
            let line = line.get(..memchr::memchr(b'\n', line).unwrap_or(line.len())).unwrap_or_default();
            lost = lost.saturating_add(serde_json::from_slice::<LostEvents>(line).map_or(0, |lost| lost.lost));
        }
        lost
    }

    fn matches(&self, record: &TraceRecord) -> bool {
        self.all.iter().all(|criterion| {
            let Criterion { to, account, from, message_id, id } = criterion;
            record.to.as_ref().is_some_and(|held| to.contains(held))
                || account.is_some() && record.account == *account
                || from.contains(&record.from)
                || message_id.is_some() && record.message_id == *message_id
                || id.as_ref() == Some(&record.id)
        })
    }
}

fn begin_of_line(block: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', block.get(..at).unwrap_or_default()).map_or(0, |end| end + 1)
}

/// Normalises a criterion in the same way as records.
fn normal(criterion: &Criterion) -> Criterion {
    let address = |text: &String| text.trim().trim_start_matches('<').trim_end_matches('>').to_lowercase();
    Criterion {
        to: criterion.to.iter().map(address).filter(|to| !to.is_empty()).collect(),
        account: criterion.account,
        from: criterion.from.iter().map(address).collect(),
        message_id: criterion.message_id.as_deref().map(message_id).filter(|id| !id.is_empty()),
        id: criterion.id.as_deref().and_then(trace_id),
    }
}

/// Returns the texts to search for: each line whose record meets the criterion contains at least one of them.
fn needles(criterion: &Criterion) -> Vec<String> {
    let field = |name: &str, value: &str| serde_json::to_string(value).map(|value| format!("\"{name}\":{value}")).ok();
    let to = criterion.to.iter().map(|to| field("to", to));
    let from = criterion.from.iter().map(|from| field("from", from));
    let account = criterion.account.iter().map(|account| field("account", &account.to_string()));
    let message_id = criterion.message_id.iter().map(|id| field("message_id", id));
    let id = criterion.id.iter().map(|id| field("id", id));
    to.chain(from).chain(account).chain(message_id).chain(id).flatten().collect()
}

#[cfg(test)]
mod tests;

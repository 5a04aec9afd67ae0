//! Finding messages in the files: one pass for what was asked, a second one for all that happened to what was found.

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

use crate::Record;
use crate::event::{message_id, trace_id};
use crate::segment::Segment;

/// Octets that are read at once.
const BLOCK_OCTETS: usize = 1024 * 1024;
/// Longest line; a longer one is none of ours.
const LINE_OCTETS_MAX: usize = 16 * 1024;
/// Messages that the first pass remembers. Beyond them a search is too wide, and shows the newest of those.
const REMEMBERED_MAX: usize = 20_000;
/// Events of one message besides those that were asked for: a message to thousands has as many.
const OTHER_EVENTS_MAX: usize = 100;
/// Events of one message in all.
const EVENTS_MAX: usize = 1000;
/// Where a line has its message's number: behind `{"id":"`.
const ID_AT: std::ops::Range<usize> = 7..39;

/// One thing that must be true of a message; any of the fields makes it so. Without a field it finds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criterion {
    /// Recipients as envelopes name them; case is ignored.
    pub to: Vec<String>,
    /// The person in whose mailbox it is (entryUUID).
    pub account: Option<Uuid>,
    /// Reverse-paths; case is ignored, `<>` or nothing is the null reverse-path.
    pub from: Vec<String>,
    /// Message-ID, with or without angle brackets.
    pub message_id: Option<String>,
    /// The message's number.
    pub id: Option<String>,
}

/// A search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// All of these must be true of one event.
    pub all: Vec<Criterion>,
    /// From when on.
    pub since: Timestamp,
    /// Until when, this moment included.
    pub until: Timestamp,
    /// Most messages; the newest are returned.
    pub most: usize,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Newest first, by the last event that was asked for.
    pub messages: Vec<Journey>,
    /// Whether there are more than the most that were wanted.
    pub more: bool,
    /// Events of the days looked at that could not be recorded.
    pub lost: u64,
}

/// One message and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Journey {
    /// The message's number.
    pub id: String,
    /// Oldest first.
    pub events: Vec<Record>,
    /// Whether events for others than were asked for are left out.
    pub left_out: bool,
}

/// A line that says how many events could not be recorded.
#[derive(Deserialize)]
struct Lost {
    lost: u64,
}

/// Looks into the files of a folder. Blocks: some tenths of a second for a million events.
pub fn search(folder: &Path, query: &Query) -> io::Result<Found> {
    let matcher = Matcher::new(query);
    let (mut found, mut hits) = (Found::default(), BTreeMap::new());
    if matcher.needles.is_empty() || query.most == 0 {
        return Ok(found);
    }
    let day = |at: Timestamp| at.to_zoned_datetime(TimeZone::UTC).date();
    // What happened right before midnight is written after it.
    let last = day(query.until).tomorrow().unwrap_or(Date::MAX);
    let segments: Vec<Segment> = Segment::all(folder)?.into_iter().filter(|one| one.day >= day(query.since)).collect();
    let looked_at = segments.iter().filter(|segment| segment.day <= last);
    for segment in looked_at.rev() {
        each_block(&segment.path(folder), |block| {
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
    let mut newest: Vec<(i64, String)> = hits.into_iter().map(|(id, at)| (at, id)).collect();
    newest.sort_unstable_by(|one, other| other.cmp(one));
    found.more |= newest.len() > query.most;
    newest.truncate(query.most);
    found.messages = journeys(folder, &segments, &matcher, newest)?;
    Ok(found)
}

/// All that happened to the messages, also after the time that was asked for.
fn journeys(
    folder: &Path,
    segments: &[Segment],
    matcher: &Matcher,
    newest: Vec<(i64, String)>,
) -> io::Result<Vec<Journey>> {
    let journey = |(_, id): (i64, String)| Journey { id, events: Vec::new(), left_out: false };
    let mut journeys: Vec<Journey> = newest.into_iter().map(journey).collect();
    let places: HashMap<Vec<u8>, usize> =
        journeys.iter().enumerate().map(|(place, journey)| (journey.id.clone().into_bytes(), place)).collect();
    if journeys.is_empty() {
        return Ok(journeys);
    }
    for segment in segments {
        each_block(&segment.path(folder), |block| {
            for line in block.split_inclusive(|octet| *octet == b'\n') {
                let place = line.get(ID_AT).and_then(|id| places.get(id)).copied();
                let Some(journey) = place.and_then(|place| journeys.get_mut(place)) else { continue };
                let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
                let most = if matcher.matches(&record) { EVENTS_MAX } else { OTHER_EVENTS_MAX };
                if journey.events.len() < most { journey.events.push(record) } else { journey.left_out = true }
            }
        })?;
    }
    journeys.iter_mut().for_each(|journey| journey.events.sort_by_key(|event| event.at));
    Ok(journeys)
}

/// Calls `take` with whole lines, many at once. A file that was removed meanwhile has none.
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
            // What follows the last line end is a line that is being written, or was torn.
            return Ok(());
        }
        block.copy_within(end..filled, 0);
        filled -= end;
        if filled >= LINE_OCTETS_MAX {
            filled = 0;
        }
    }
}

/// A query made ready.
struct Matcher {
    all: Vec<Criterion>,
    since: i64,
    until: i64,
    /// Octets of which one stands in every line that is looked for.
    needles: Vec<memmem::Finder<'static>>,
}

impl Matcher {
    fn new(query: &Query) -> Self {
        let all: Vec<Criterion> = query.all.iter().map(normal).collect();
        // Those of one criterion are enough; the one with the fewest is the quickest.
        let needles = all.iter().map(needles).min_by_key(Vec::len).unwrap_or_default();
        let finder = |needle: String| memmem::Finder::new(needle.as_bytes()).into_owned();
        Self {
            all,
            since: query.since.as_millisecond(),
            until: query.until.as_millisecond(),
            needles: needles.into_iter().map(finder).collect(),
        }
    }

    /// The records of a block that match, each once.
    fn find(&self, block: &[u8], mut take: impl FnMut(Record)) {
        let mut lines: Vec<usize> = Vec::new();
        for needle in &self.needles {
            lines.extend(needle.find_iter(block).map(|at| begin_of_line(block, at)));
        }
        lines.sort_unstable();
        lines.dedup();
        for begin in lines {
            let line = block.get(begin..).unwrap_or_default();
            let line = line.get(..memchr::memchr(b'\n', line).unwrap_or(line.len())).unwrap_or_default();
            if let Ok(record) = serde_json::from_slice::<Record>(line)
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
            lost = lost.saturating_add(serde_json::from_slice::<Lost>(line).map_or(0, |lost| lost.lost));
        }
        lost
    }

    fn matches(&self, record: &Record) -> bool {
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

/// As records are kept.
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

/// What stands in the line of each record that meets a criterion: one of these.
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

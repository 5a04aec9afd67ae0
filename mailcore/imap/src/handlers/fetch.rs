//! FETCH and UID FETCH (RFC 3501 §6.4.5).
//!
//! Flags and UIDs are known; for everything else the rows of the messages asked for are read, with the derived columns that
//! the items need, some at a time. Octets of bodies are read in pieces while they are sent.

mod item;
mod plan;
mod stream;

use std::collections::BTreeSet;
use std::ops::Range;

use provost_net::{Output, SessionError};
use provost_store::{Flag, FlagChange, Flags, Op, Row, StoreError, Uid};

use crate::codec::Reply;
use crate::codec::command::{self, FetchItem, Numbers};
use crate::mailbox::{Access, Selected};
use crate::roster::Message;
use crate::source::Source;
use crate::world::World;

use super::store::stored;
use item::Prepared;
use plan::Plan;

/// Octets of items that are made ready before any is sent: what cannot be read shows in time for nearly every FETCH.
const HELD_OCTETS_MAX: usize = 256 * 1024;

/// FETCH.
pub(crate) async fn fetch(
    world: &World<'_>,
    selected: &mut Selected,
    fetch: command::Fetch,
    out: &mut Output<'_>,
) -> Result<Reply, SessionError> {
    let indices = match selected.indices(&fetch.messages) {
        Ok(indices) => indices,
        Err(error) => return Ok(Reply::bad(error.0)),
    };
    let mut items = fetch.items;
    if fetch.messages.numbers == Numbers::Uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    let seen =
        if items.iter().any(marks_seen) { mark_seen(world, selected, &indices, out).await } else { BTreeSet::new() };
    let plan = Plan::of(&items);
    let mut failure = None;
    for indices in indices.chunks(plan.rows_at_once()) {
        let rows = match read_rows(world, selected, indices, &plan).await {
            Ok(rows) => rows,
            Err(error) => return Ok(crate::world::unreadable(&error)),
        };
        let mut rows = rows.into_iter().peekable();
        for index in indices {
            let Some(message) = selected.messages.message(*index) else { continue };
            let row = rows.next_if(|row| row.meta.uid == message.uid);
            let response = Response { world, selected, index: *index, message, row };
            let has_news = seen.contains(&response.message.uid);
            if let Err(error) = response.send(&items, &plan, has_news, out).await? {
                failure = Some(error);
            }
            out.relieve().await?;
        }
    }
    Ok(match failure {
        None => Reply::ok("FETCH completed"),
        // RFC 5530 §3: the client's numbers are older than an expunge that it has not been told.
        Some(StoreError::Gone) => Reply::no("EXPUNGEISSUED", "Some messages are no longer there"),
        Some(error) => crate::world::unreadable(&error),
    })
}

/// The rows of these messages, ascending; none when the items need none. A message that is gone has none.
async fn read_rows(
    world: &World<'_>,
    selected: &Selected,
    indices: &[usize],
    plan: &Plan,
) -> Result<Vec<Row>, StoreError> {
    match plan.needs_rows {
        true => world.rows(selected, selected.uids(indices), plan.columns).await,
        false => Ok(Vec::new()),
    }
}

/// RFC 3501 §6.4.5: fetching text sets `\Seen`, peeking and headers alone by RFC822.HEADER do not.
fn marks_seen(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Section { peek: false, .. })
}

/// Sets `\Seen` where it is missing, in one batch; returns for which. A store that refuses does not keep the client
/// from reading.
async fn mark_seen(
    world: &World<'_>,
    selected: &mut Selected,
    indices: &[usize],
    out: &mut Output<'_>,
) -> BTreeSet<Uid> {
    let is_unseen = |at: &&usize| !selected.messages.has(**at, Flag::Seen);
    let unseen: Vec<usize> = indices.iter().filter(is_unseen).copied().collect();
    if selected.access == Access::ReadOnly || unseen.is_empty() {
        return BTreeSet::new();
    }
    let mut flags = Flags::none();
    flags.insert(Flag::Seen);
    let uids = selected.uids(&unseen);
    let op = Op::Store { mailbox: selected.id, uids, change: FlagChange::Add(flags), unchanged_since: None };
    let messages = match world.apply(vec![op]).await {
        Ok(applied) => stored(applied.effects),
        Err(error) => {
            tracing::warn!(%error, "\\Seen was not set");
            return BTreeSet::new();
        }
    };
    let known_flags = selected.flags_lines();
    let seen = messages.iter().map(|message| message.uid).collect();
    messages.iter().for_each(|message| selected.note(message));
    let flags = selected.flags_lines();
    if flags != known_flags {
        out.put(flags);
    }
    seen
}

/// One message's response.
struct Response<'a> {
    world: &'a World<'a>,
    selected: &'a Selected,
    index: usize,
    message: Message,
    row: Option<Row>,
}

impl Response<'_> {
    /// Sends it whole, or nothing of it when the message cannot be read. Items are made ready before the first one is sent,
    /// as far as memory for them goes.
    async fn send(
        &self,
        items: &[FetchItem],
        plan: &Plan,
        tell_flags: bool,
        out: &mut Output<'_>,
    ) -> Result<Result<(), StoreError>, SessionError> {
        let mut source = match &self.row {
            Some(row) => Some(Source::new(self.world, row)),
            None if plan.needs_rows => return Ok(Err(StoreError::Gone)),
            None => None,
        };
        let mut sending = Sending::new(self.index);
        for item in items {
            match self.prepare(item, source.as_mut()).await {
                Ok(ready) => sending.hold(ready),
                Err(error) if !sending.has_begun => return Ok(Err(error)),
                Err(error) => return Err(stream::broken(&error)),
            }
            if sending.held_octets > HELD_OCTETS_MAX {
                sending.release(source.as_mut(), out).await?;
            }
        }
        if !sending.has_begun
            && let (Some(range), Some(source)) = (sending.first_range(), &mut source)
            && let Err(error) = source.begin(range).await
        {
            return Ok(Err(error));
        }
        sending.release(source.as_mut(), out).await?;
        if tell_flags && !items.contains(&FetchItem::Flags) {
            out.put(format!(" FLAGS {}", self.flags()));
        }
        out.put(")\r\n");
        Ok(Ok(()))
    }
}

/// Items on their way out.
struct Sending {
    number: usize,
    held: Vec<Prepared>,
    held_octets: usize,
    has_begun: bool,
}

impl Sending {
    fn new(index: usize) -> Self {
        Self { number: index + 1, held: Vec::new(), held_octets: 0, has_begun: false }
    }

    fn hold(&mut self, ready: Prepared) {
        self.held_octets += ready.octets();
        self.held.push(ready);
    }

    /// The octets of the message that are sent first.
    fn first_range(&self) -> Option<Range<u64>> {
        self.held.iter().find_map(Prepared::range)
    }

    async fn release(&mut self, mut source: Option<&mut Source<'_>>, out: &mut Output<'_>) -> Result<(), SessionError> {
        self.held_octets = 0;
        for ready in self.held.drain(..) {
            match self.has_begun {
                true => out.put(" "),
                false => out.put(format!("* {} FETCH (", self.number)),
            }
            self.has_begun = true;
            ready.send(source.as_deref_mut(), out).await?;
        }
        Ok(())
    }
}

//! FETCH and UID FETCH (RFC 3501 §6.4.5).
//!
//! Flags and UIDs are in memory; other items need the rows of the messages, read in batches with the derived columns
//! that the items need. Octets of bodies are read in pieces while they are sent.

mod expunged;
mod item;
mod needs;
mod response;
mod stream;

use std::collections::BTreeSet;

use provost_net::{OutputBuffer, SessionError};
use provost_store::{Flag, FlagChange, Flags, MessageRow, Op, StoreError, Uid};

use crate::codec::StatusResponse;
use crate::codec::command::{self, FetchItem, NumberKind};
use crate::context::CommandContext;
use crate::mailbox::SelectedMailbox;
use crate::message_list::ListedMessage;

use super::store::stored;
use item::MessageData;
use needs::FetchNeeds;
use response::FetchResponse;

/// FETCH and UID FETCH.
pub(crate) async fn fetch(
    context: &CommandContext<'_>,
    selected: &mut SelectedMailbox,
    fetch: command::FetchArguments,
    out: &mut OutputBuffer<'_>,
) -> Result<StatusResponse, SessionError> {
    let indices = match selected.indices(&fetch.messages) {
        Ok(indices) => indices,
        Err(error) => return Ok(StatusResponse::bad(error.0)),
    };
    let mut items = fetch.items;
    if fetch.messages.numbers == NumberKind::Uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    let sets_seen = items.iter().any(marks_seen);
    let newly_seen = if sets_seen { mark_seen(context, selected, &indices, out).await } else { BTreeSet::new() };
    let mut sending = FetchResponses {
        context,
        selected,
        numbers: fetch.messages.numbers,
        needs: FetchNeeds::of(&items),
        items,
        newly_seen,
    };
    let reply = sending.all(&indices, out).await?;
    // The command has set `\Seen` also on messages whose responses could not be sent: report their new flags.
    for uid in std::mem::take(&mut sending.newly_seen) {
        if let Some(index) = selected.index_of(uid) {
            out.put(selected.message_flags_response(index, fetch.messages.numbers));
        }
    }
    Ok(reply)
}

/// The responses of one FETCH, while they are sent.
struct FetchResponses<'a> {
    context: &'a CommandContext<'a>,
    selected: &'a SelectedMailbox,
    numbers: NumberKind,
    items: Vec<FetchItem>,
    needs: FetchNeeds,
    /// Messages that this command has marked `\Seen` and whose new flags are not reported yet.
    newly_seen: BTreeSet<Uid>,
}

impl FetchResponses<'_> {
    async fn all(&mut self, indices: &[usize], out: &mut OutputBuffer<'_>) -> Result<StatusResponse, SessionError> {
        let (mut failure, mut is_partial) = (None, false);
        for indices in indices.chunks(self.needs.rows_at_once()) {
            let rows = match read_rows(self.context, self.selected, indices, &self.needs).await {
                Ok(rows) => rows,
                Err(error) => return Ok(crate::context::unreadable(&error)),
            };
            let mut rows = rows.into_iter().peekable();
            for index in indices {
                let Some(message) = self.selected.messages.message(*index) else { continue };
                let row = rows.next_if(|row| row.meta.uid == message.uid);
                match self.one(*index, message, row, out).await? {
                    Ok(()) => {}
                    Err(StoreError::Gone) => is_partial |= self.numbers == NumberKind::Sequence,
                    Err(error) => failure = Some(error),
                }
                out.relieve().await?;
            }
        }
        let ok = StatusResponse::ok("FETCH completed");
        Ok(match failure {
            // RFC 5530 §3: a sequence number names a message whose expunge was not reported to the client yet.
            None if is_partial => ok.with_code("EXPUNGEISSUED"),
            None => ok,
            Some(error) => crate::context::unreadable(&error),
        })
    }

    /// Sends one message's response. If the items need the row or body of an expunged message, UID FETCH sends nothing
    /// for that message (RFC 3501 §6.4.8), and FETCH sends the response of [`expunged`].
    async fn one(
        &mut self,
        index: usize,
        message: ListedMessage,
        row: Option<MessageRow>,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Result<(), StoreError>, SessionError> {
        let (uid, is_recent) = (message.uid, self.selected.is_recent(message.uid));
        let response = FetchResponse { context: self.context, index, data: MessageData { message, is_recent, row } };
        let sent = response.send(&self.items, &self.needs, &self.newly_seen, out).await?;
        match sent {
            Ok(()) => {
                self.newly_seen.remove(&uid);
            }
            Err(StoreError::Gone) if self.numbers == NumberKind::Sequence => {
                out.put(expunged::response(index, &self.items, &response.data));
            }
            Err(_) => {}
        }
        Ok(sent)
    }
}

/// The rows of these messages, ascending; none when the items need none. An expunged message has no row.
async fn read_rows(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    indices: &[usize],
    needs: &FetchNeeds,
) -> Result<Vec<MessageRow>, StoreError> {
    match needs.needs_rows {
        true => context.rows(selected, selected.uids(indices), needs.columns).await,
        false => Ok(Vec::new()),
    }
}

/// RFC 3501 §6.4.5: RFC822, RFC822.TEXT and BODY[...] set `\Seen`; RFC822.HEADER and BODY.PEEK[...] do not.
fn marks_seen(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Section { peek: false, .. })
}

/// Sets `\Seen` on the messages without it, in one batch, and returns the changed messages. Sets nothing in a read-only
/// mailbox. If the batch fails, the messages are fetched nevertheless.
async fn mark_seen(
    context: &CommandContext<'_>,
    selected: &mut SelectedMailbox,
    indices: &[usize],
    out: &mut OutputBuffer<'_>,
) -> BTreeSet<Uid> {
    let is_unseen = |at: &&usize| !selected.messages.has(**at, Flag::Seen);
    let unseen: Vec<usize> = indices.iter().filter(is_unseen).copied().collect();
    if selected.access.is_read_only() || unseen.is_empty() {
        return BTreeSet::new();
    }
    let mut flags = Flags::none();
    flags.insert(Flag::Seen);
    let uids = selected.uids(&unseen);
    let op = Op::Store { mailbox: selected.id, uids, change: FlagChange::Add(flags), unchanged_since: None };
    let messages = match context.apply(vec![op]).await {
        Ok(applied) => stored(applied.effects),
        Err(error) => {
            tracing::warn!(%error, "\\Seen was not set");
            return BTreeSet::new();
        }
    };
    let known_flags = selected.mailbox_flags_responses();
    let uids = messages.iter().map(|message| message.uid).collect();
    messages.iter().for_each(|message| selected.record_flags(message));
    let flags = selected.mailbox_flags_responses();
    if flags != known_flags {
        out.put(flags);
    }
    uids
}

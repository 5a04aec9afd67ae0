//! STORE and UID STORE (RFC 3501 §6.4.6).

use provost_net::{OutputBuffer, SessionError};
use provost_store::{FlagChange, MessageMeta, Op, OpEffect};

use crate::codec::StatusResponse;
use crate::codec::command::{self, NumberKind, StoreChange};
use crate::context::{CommandContext, refused};
use crate::mailbox::SelectedMailbox;

use super::expunge::{expunge_issued, read_only};

/// STORE. Sequence numbers may name messages that another session has expunged, and the server must not report an
/// expunge during the command (RFC 3501 §7.4.1). It stores and reports the flags of the other messages, and replies
/// `NO [EXPUNGEISSUED]`. With `.SILENT` the reply is `OK [EXPUNGEISSUED]`, unless every message is gone (RFC 2180 §4.2,
/// RFC 5530 §3).
///
/// UID STORE replies OK. Without `.SILENT` it reports an expunged message with the flags that the message would have.
pub(crate) async fn store(
    context: &CommandContext<'_>,
    selected: &mut SelectedMailbox,
    store: command::StoreArguments,
    out: &mut OutputBuffer<'_>,
) -> Result<StatusResponse, SessionError> {
    if selected.access.is_read_only() {
        return Ok(read_only());
    }
    let indices = match selected.indices(&store.messages) {
        Ok(indices) => indices,
        Err(error) => return Ok(StatusResponse::bad(error.0)),
    };
    let ok = StatusResponse::ok("STORE completed");
    let uids = selected.uids(&indices);
    if uids.is_empty() {
        return Ok(ok);
    }
    let change = match store.change {
        StoreChange::Replace => FlagChange::Replace(store.flags),
        StoreChange::Add => FlagChange::Add(store.flags),
        StoreChange::Remove => FlagChange::Remove(store.flags),
    };
    let op = Op::Store { mailbox: selected.id, uids, change: change.clone(), unchanged_since: None };
    let messages = match context.apply(vec![op]).await {
        Ok(applied) => stored(applied.effects),
        Err(error) => return Ok(refused(error, "NONEXISTENT")),
    };
    let known_flags = selected.mailbox_flags_responses();
    let mut rows = messages.iter().peekable();
    let is_whole = messages.len() == indices.len();
    let is_refused =
        !is_whole && store.messages.numbers == NumberKind::Sequence && (!store.silent || messages.is_empty());
    let mut reported = Vec::new();
    for index in indices {
        let row = rows.next_if(|row| selected.messages.uid(index) == Some(row.uid));
        if row.is_none() && is_refused {
            continue;
        }
        let is_expected = selected.store(index, &change, row);
        // RFC 3501 §6.4.6: .SILENT omits flags that the client can derive, not changes by another session.
        if !store.silent || !is_expected {
            reported.push(index);
        }
    }
    let flags = selected.mailbox_flags_responses();
    if flags != known_flags {
        out.put(flags);
    }
    for index in reported {
        out.put(selected.message_flags_response(index, store.messages.numbers));
        out.relieve().await?;
    }
    Ok(match store.messages.numbers {
        _ if is_refused => expunge_issued(),
        NumberKind::Sequence if !is_whole => ok.with_code("EXPUNGEISSUED"),
        NumberKind::Sequence | NumberKind::Uid => ok,
    })
}

/// Returns the messages of a batch of one `Op::Store`: those that it changed, and those that had the flags already.
pub(crate) fn stored(effects: Vec<OpEffect>) -> Vec<MessageMeta> {
    match effects.into_iter().next() {
        Some(OpEffect::Stored { messages, .. }) => messages,
        _ => Vec::new(),
    }
}

//! STORE and UID STORE (RFC 3501 §6.4.6).

use provost_net::{Output, SessionError};
use provost_store::{Effect, FlagChange, MessageMeta, Op};

use crate::codec::Reply;
use crate::codec::command::{self, Numbers, StoreChange};
use crate::mailbox::{Access, Selected};
use crate::world::{World, refused};

use super::expunge::read_only;

/// STORE. The numbers may name messages that another session has expunged, which this client does not know yet and may not learn
/// now (RFC 3501 §7.4.1). Their flags change in the client's view alone, until the EXPUNGE response takes them away; the answer is
/// OK with the code EXPUNGEISSUED (RFC 5530 §3). A client that gets NO reports a failure to its user, though nothing is left to mend.
pub(crate) async fn store(
    world: &World<'_>,
    selected: &mut Selected,
    store: command::Store,
    out: &mut Output<'_>,
) -> Result<Reply, SessionError> {
    if selected.access == Access::ReadOnly {
        return Ok(read_only());
    }
    let indices = match selected.indices(&store.messages) {
        Ok(indices) => indices,
        Err(error) => return Ok(Reply::bad(error.0)),
    };
    let done = Reply::ok("STORE completed");
    let uids = selected.uids(&indices);
    if uids.is_empty() {
        return Ok(done);
    }
    let change = match store.change {
        StoreChange::Replace => FlagChange::Replace(store.flags),
        StoreChange::Add => FlagChange::Add(store.flags),
        StoreChange::Remove => FlagChange::Remove(store.flags),
    };
    let op = Op::Store { mailbox: selected.id, uids, change: change.clone(), unchanged_since: None };
    let messages = match world.apply(vec![op]).await {
        Ok(applied) => stored(applied.effects),
        Err(error) => return Ok(refused(error, "NONEXISTENT")),
    };
    let known_flags = selected.flags_lines();
    let mut rows = messages.iter().peekable();
    let (mut reported, mut is_whole) = (Vec::new(), true);
    for index in indices {
        let row = rows.next_if(|row| selected.messages.uid(index) == Some(row.uid));
        is_whole &= row.is_some();
        let is_expected = selected.store(index, &change, row);
        // RFC 3501 §6.4.6: .SILENT leaves out what the client can work out, not what another session has changed.
        if !store.silent || !is_expected {
            reported.push(index);
        }
    }
    let flags = selected.flags_lines();
    if flags != known_flags {
        out.put(flags);
    }
    for index in reported {
        out.put(selected.flags_line(index, store.messages.numbers));
        out.relieve().await?;
    }
    Ok(if is_whole || store.messages.numbers == Numbers::Uid { done } else { done.with_code("EXPUNGEISSUED") })
}

/// The messages that a Store op was about.
pub(crate) fn stored(effects: Vec<Effect>) -> Vec<MessageMeta> {
    match effects.into_iter().next() {
        Some(Effect::Stored { messages, .. }) => messages,
        _ => Vec::new(),
    }
}

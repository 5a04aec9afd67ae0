//! STORE and UID STORE (RFC 3501 §6.4.6).

use provost_net::{Output, SessionError};
use provost_store::{Effect, FlagChange, MessageMeta, Op};

use crate::codec::Reply;
use crate::codec::command::{self, Numbers, StoreChange};
use crate::mailbox::{Access, Selected};
use crate::world::{World, refused};

use super::expunge::{expunge_issued, read_only};

/// STORE. A message number of which the message is gone makes it NO; the flags of the others are stored (RFC 2180 §4.2.2).
pub(crate) async fn store(
    world: &World<'_>,
    selected: &mut Selected,
    store: command::Store,
    out: &mut Output<'_>,
) -> Result<Reply, SessionError> {
    if selected.access == Access::ReadOnly {
        return Ok(read_only());
    }
    let uids = match selected.indices(&store.messages) {
        Ok(indices) => selected.uids(&indices),
        Err(error) => return Ok(Reply::bad(error.0)),
    };
    let done = Reply::ok("STORE completed");
    if uids.is_empty() {
        return Ok(done);
    }
    let change = match store.change {
        StoreChange::Replace => FlagChange::Replace(store.flags),
        StoreChange::Add => FlagChange::Add(store.flags),
        StoreChange::Remove => FlagChange::Remove(store.flags),
    };
    let named = uids.count();
    let op = Op::Store { mailbox: selected.id, uids, change, unchanged_since: None };
    let effects = match world.apply(vec![op]).await {
        Ok(applied) => applied.effects,
        Err(error) => return Ok(refused(error, "NONEXISTENT")),
    };
    let known_flags = selected.flags_lines();
    let messages = stored(effects);
    let is_whole = messages.len() as u64 == named;
    let mut lines = Vec::new();
    for message in messages {
        let uid = message.uid;
        selected.note(&message);
        lines.extend(selected.index_of(uid));
    }
    let flags = selected.flags_lines();
    if flags != known_flags {
        out.put(flags);
    }
    if !store.silent {
        for index in lines {
            out.put(selected.flags_line(index, store.messages.numbers));
            out.relieve().await?;
        }
    }
    Ok(if is_whole || store.messages.numbers == Numbers::Uid { done } else { expunge_issued() })
}

/// The messages that a Store op was about.
pub(crate) fn stored(effects: Vec<Effect>) -> Vec<MessageMeta> {
    match effects.into_iter().next() {
        Some(Effect::Stored { messages, .. }) => messages,
        _ => Vec::new(),
    }
}

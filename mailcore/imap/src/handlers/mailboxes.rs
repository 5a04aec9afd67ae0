//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7; RFC 6154 §3).

use provost_store::Op;

use crate::codec::Reply;
use crate::codec::command::{NamedMailbox, WantedUse};
use crate::mailbox::Selected;
use crate::state::Completion;
use crate::world::{CommandContext, bad_name, refused};

async fn apply(world: &CommandContext<'_>, op: Op, done: &'static str) -> Reply {
    match world.apply(vec![op]).await {
        Ok(_) => Reply::ok(done),
        Err(error) => refused(error, "NONEXISTENT"),
    }
}

/// CREATE, with an optional special use (RFC 6154 §3).
pub(crate) async fn create(world: &CommandContext<'_>, mailbox: NamedMailbox, special_use: Option<WantedUse>) -> Reply {
    let Some(name) = mailbox else { return bad_name() };
    let special_use = match special_use {
        None => None,
        Some(WantedUse::Known(special_use)) => Some(special_use),
        Some(WantedUse::Unknown) => return Reply::no("USEATTR", "No mailbox can have that use"),
    };
    apply(world, Op::CreateMailbox { name, special_use }, "CREATE completed").await
}

/// DELETE; a mailbox that this session has selected is also closed.
pub(crate) async fn delete(
    world: &CommandContext<'_>,
    selected: Option<&Selected>,
    mailbox: NamedMailbox,
) -> Completion {
    let info = match world.mailbox(&mailbox).await {
        Ok(info) => info,
        Err(reply) => return reply.into(),
    };
    if info.name.is_inbox() {
        return Reply::no("CANNOT", "INBOX cannot be deleted").into();
    }
    let reply = apply(world, Op::DeleteMailbox { name: info.name }, "DELETE completed").await;
    match selected.filter(|selected| selected.id == info.id && reply.is_ok()) {
        Some(_) => Completion::Select(None, reply),
        None => reply.into(),
    }
}

/// RENAME (RFC 3501 §6.3.5).
pub(crate) async fn rename(world: &CommandContext<'_>, from: NamedMailbox, to: NamedMailbox) -> Reply {
    let (Some(from), Some(to)) = (from, to) else { return bad_name() };
    apply(world, Op::RenameMailbox { from, to }, "RENAME completed").await
}

/// SUBSCRIBE and UNSUBSCRIBE.
pub(crate) async fn subscribe(world: &CommandContext<'_>, mailbox: NamedMailbox, on: bool) -> Reply {
    let Some(name) = mailbox else { return bad_name() };
    let done = if on { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" };
    apply(world, Op::Subscribe { name, on }, done).await
}

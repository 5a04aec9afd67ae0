//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7; RFC 6154 §3).

use provost_store::Op;

use crate::codec::StatusResponse;
use crate::codec::command::{NamedMailbox, RequestedUse};
use crate::context::{CommandContext, bad_name, refused};
use crate::mailbox::SelectedMailbox;
use crate::state::Completion;

async fn apply(context: &CommandContext<'_>, op: Op, completed: &'static str) -> StatusResponse {
    match context.apply(vec![op]).await {
        Ok(_) => StatusResponse::ok(completed),
        Err(error) => refused(error, "NONEXISTENT"),
    }
}

/// CREATE, with an optional special use (RFC 3501 §6.3.3, RFC 6154 §3).
pub(crate) async fn create(
    context: &CommandContext<'_>,
    mailbox: NamedMailbox,
    special_use: Option<RequestedUse>,
) -> StatusResponse {
    let Some(name) = mailbox else { return bad_name() };
    let special_use = match special_use {
        None => None,
        Some(RequestedUse::Known(special_use)) => Some(special_use),
        Some(RequestedUse::Unknown) => return StatusResponse::no("USEATTR", "No mailbox can have that use"),
    };
    apply(context, Op::CreateMailbox { name, special_use }, "CREATE completed").await
}

/// DELETE (RFC 3501 §6.3.4); if the mailbox is selected in this session, none is selected afterwards.
pub(crate) async fn delete(
    context: &CommandContext<'_>,
    selected: Option<&SelectedMailbox>,
    mailbox: NamedMailbox,
) -> Completion {
    let info = match context.mailbox(&mailbox).await {
        Ok(info) => info,
        Err(reply) => return reply.into(),
    };
    if info.name.is_inbox() {
        return StatusResponse::no("CANNOT", "INBOX cannot be deleted").into();
    }
    let reply = apply(context, Op::DeleteMailbox { name: info.name }, "DELETE completed").await;
    match selected.filter(|selected| selected.id == info.id && reply.is_ok()) {
        Some(_) => Completion::Select(None, reply),
        None => reply.into(),
    }
}

/// RENAME (RFC 3501 §6.3.5).
pub(crate) async fn rename(context: &CommandContext<'_>, from: NamedMailbox, to: NamedMailbox) -> StatusResponse {
    let (Some(from), Some(to)) = (from, to) else { return bad_name() };
    apply(context, Op::RenameMailbox { from, to }, "RENAME completed").await
}

/// SUBSCRIBE if `on`, else UNSUBSCRIBE (RFC 3501 §6.3.6, §6.3.7).
pub(crate) async fn subscribe(context: &CommandContext<'_>, mailbox: NamedMailbox, on: bool) -> StatusResponse {
    let Some(name) = mailbox else { return bad_name() };
    let text = if on { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" };
    apply(context, Op::Subscribe { name, on }, text).await
}

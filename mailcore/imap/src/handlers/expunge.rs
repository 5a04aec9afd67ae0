//! EXPUNGE, UID EXPUNGE, CLOSE, UNSELECT (RFC 3501 §6.4.2, §6.4.3; RFC 4315 §2.1; RFC 3691).

use provost_store::{Flag, Op};

use crate::codec::StatusResponse;
use crate::codec::command::{MessageNumbers, NumberKind};
use crate::codec::sequence::SequenceSet;
use crate::context::{CommandContext, refused};
use crate::mailbox::SelectedMailbox;
use crate::state::Completion;

use super::select::store_recent;

/// EXPUNGE and UID EXPUNGE. The EXPUNGE responses are sent with the other changes, before the tagged reply.
pub(crate) async fn expunge(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    uids: Option<SequenceSet>,
) -> StatusResponse {
    if selected.access.is_read_only() {
        return read_only();
    }
    let uids = match uids {
        None => None,
        Some(set) => match selected.indices(&MessageNumbers { set, numbers: NumberKind::Uid }) {
            Ok(indices) => Some(selected.uids(&indices)),
            Err(error) => return StatusResponse::bad(error.0),
        },
    };
    let ok = StatusResponse::ok("EXPUNGE completed");
    if uids.as_ref().is_some_and(|uids| uids.is_empty()) {
        return ok;
    }
    match context.apply(vec![Op::Expunge { mailbox: selected.id, uids, only_deleted: true }]).await {
        Ok(_) => ok,
        Err(error) => refused(error, "NONEXISTENT"),
    }
}

/// CLOSE: expunges without EXPUNGE responses; an examined mailbox is closed without expunging. When the expunge fails,
/// the reply is NO and the mailbox stays selected.
pub(crate) async fn close(context: &CommandContext<'_>, selected: &SelectedMailbox) -> Completion {
    // Without a message that this session knows as \Deleted, nothing is written to the store. What another session has
    // just marked stays, as if it had been marked after this command.
    if !selected.access.is_read_only() && selected.messages.any_has(Flag::Deleted) {
        let op = Op::Expunge { mailbox: selected.id, uids: None, only_deleted: true };
        if let Err(error) = context.apply(vec![op]).await {
            return refused(error, "NONEXISTENT").into();
        }
    }
    store_recent(context, selected).await;
    Completion::Select(None, StatusResponse::ok("CLOSE completed"))
}

/// UNSELECT (RFC 3691): closes without expunging.
pub(crate) async fn unselect(context: &CommandContext<'_>, selected: &SelectedMailbox) -> Completion {
    store_recent(context, selected).await;
    Completion::Select(None, StatusResponse::ok("UNSELECT completed"))
}

/// The reply to a change of an examined mailbox (RFC 3501 §6.3.2).
pub(crate) fn read_only() -> StatusResponse {
    StatusResponse::no("READ-ONLY", "The mailbox is read-only")
}

/// The reply to a change by a person who may only read (RFC 5530 §3).
pub(crate) fn no_permission() -> StatusResponse {
    StatusResponse::no("NOPERM", "This account can only read its mail")
}

/// The reply when a sequence number names a message whose expunge was not reported to the client yet (RFC 5530 §3).
pub(crate) fn expunge_issued() -> StatusResponse {
    StatusResponse::no("EXPUNGEISSUED", "Some of these messages have been deleted")
}

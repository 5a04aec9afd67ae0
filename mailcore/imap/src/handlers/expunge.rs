//! EXPUNGE, UID EXPUNGE, CLOSE, UNSELECT (RFC 3501 §6.4.2, §6.4.3; RFC 4315 §2.1; RFC 3691).

use provost_store::{Flag, Op};

use crate::codec::Reply;
use crate::codec::command::{MessageNumbers, Numbers};
use crate::codec::sequence::SequenceSet;
use crate::mailbox::{MailboxAccess, Selected};
use crate::state::Completion;
use crate::world::{CommandContext, refused};

use super::select::leave;

/// EXPUNGE and UID EXPUNGE. The EXPUNGE responses are sent with the other changes, before the tagged reply.
pub(crate) async fn expunge(world: &CommandContext<'_>, selected: &Selected, uids: Option<SequenceSet>) -> Reply {
    if selected.access == MailboxAccess::ReadOnly {
        return read_only();
    }
    let uids = match uids {
        None => None,
        Some(set) => match selected.indices(&MessageNumbers { set, numbers: Numbers::Uid }) {
            Ok(indices) => Some(selected.uids(&indices)),
            Err(error) => return Reply::bad(error.0),
        },
    };
    let done = Reply::ok("EXPUNGE completed");
    if uids.as_ref().is_some_and(|uids| uids.is_empty()) {
        return done;
    }
    match world.apply(vec![Op::Expunge { mailbox: selected.id, uids, only_deleted: true }]).await {
        Ok(_) => done,
        Err(error) => refused(error, "NONEXISTENT"),
    }
}

/// CLOSE: expunges without EXPUNGE responses; an examined mailbox is closed without expunging.
pub(crate) async fn close(world: &CommandContext<'_>, selected: &Selected) -> Completion {
    let mut reply = Reply::ok("CLOSE completed");
    if selected.access == MailboxAccess::ReadWrite && selected.messages.any_has(Flag::Deleted) {
        let op = Op::Expunge { mailbox: selected.id, uids: None, only_deleted: true };
        if let Err(error) = world.apply(vec![op]).await {
            reply = refused(error, "NONEXISTENT");
        }
    }
    leave(world, selected).await;
    Completion::Select(None, reply)
}

/// UNSELECT (RFC 3691): closes without expunging.
pub(crate) async fn unselect(world: &CommandContext<'_>, selected: &Selected) -> Completion {
    leave(world, selected).await;
    Completion::Select(None, Reply::ok("UNSELECT completed"))
}

/// The reply to a change of an examined mailbox (RFC 3501 §6.3.2).
pub(crate) fn read_only() -> Reply {
    Reply::no("READ-ONLY", "The mailbox is read-only")
}

/// The reply when the client's numbers are older than an expunge that was not reported to it (RFC 5530 §3).
pub(crate) fn expunge_issued() -> Reply {
    Reply::no("EXPUNGEISSUED", "Some of these messages have been deleted")
}

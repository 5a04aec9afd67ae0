//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use provost_net::Output;
use provost_store::{Modseq, Op};

use crate::codec::Reply;
use crate::codec::command::NamedMailbox;
use crate::mailbox::{Access, Selected};
use crate::world::{World, unreadable};

/// The reply, and the mailbox when it could be had.
pub(crate) async fn select(
    world: &World<'_>,
    mailbox: &NamedMailbox,
    read_only: bool,
    out: &mut Output<'_>,
) -> (Reply, Option<Selected>) {
    let info = match world.mailbox(mailbox).await {
        Ok(info) => info,
        Err(reply) => return (reply, None),
    };
    let changes = match world.config.store.changes(world.account.id, info.id, Modseq(0)).await {
        Ok(changes) => changes,
        Err(error) => return (unreadable(&error), None),
    };
    let access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
    let mut selected = Selected::open(changes, access);
    out.put(selected.flags_lines());
    out.put(selected.size_lines());
    if let Some(number) = selected.first_unseen() {
        out.put(format!("* OK [UNSEEN {number}] First unseen message\r\n"));
    }
    out.put(format!("* OK [UIDVALIDITY {}] UIDs valid\r\n", selected.uid_validity.0));
    out.put(format!("* OK [UIDNEXT {}] Predicted next UID\r\n", selected.uid_next.0));
    clear_recent(world, &selected).await;
    selected.recent_cleared = selected.uid_next;
    let reply = match access {
        Access::ReadWrite => Reply::ok("SELECT completed").with_code("READ-WRITE"),
        Access::ReadOnly => Reply::ok("EXAMINE completed").with_code("READ-ONLY"),
    };
    (reply, Some(selected))
}

/// Takes `\Recent` from other sessions for what this one has been told (RFC 3501 §2.3.2); EXAMINE takes nothing
/// (§6.3.2). Best effort: the worst is that a message is recent twice.
pub(crate) async fn clear_recent(world: &World<'_>, selected: &Selected) {
    if selected.access == Access::ReadOnly || selected.recent_cleared >= selected.uid_next {
        return;
    }
    let op = Op::ClearRecent { mailbox: selected.id, up_to: selected.uid_next };
    if let Err(error) = world.apply(vec![op]).await {
        tracing::debug!(%error, "\\Recent was not cleared");
    }
}

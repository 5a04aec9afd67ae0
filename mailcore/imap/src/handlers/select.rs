//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use provost_net::Output;
use provost_store::{Columns, MailboxInfo, Modseq, Op, StoreError, Which};

use crate::account::LoggedInAccount;
use crate::codec::Reply;
use crate::codec::command::NamedMailbox;
use crate::connection::Connection;
use crate::mailbox::{MailboxAccess, Selected};
use crate::message_list::MessageList;
use crate::state::Completion;
use crate::world::{CommandContext, unreadable};

/// SELECT and EXAMINE: leaves the previous mailbox, even when the new one cannot be opened.
pub(crate) async fn select(
    here: &Connection,
    account: &mut LoggedInAccount,
    before: Option<&Selected>,
    mailbox: &NamedMailbox,
    read_only: bool,
    out: &mut Output<'_>,
) -> Completion {
    // Before the read: a message that arrives meanwhile must cause another read.
    account.notices.borrow_and_update();
    let world = here.world(account);
    if let Some(before) = before {
        leave(&world, before).await;
    }
    let (reply, selected) = examine(&world, mailbox, read_only, out).await;
    Completion::Select(selected.map(Box::new), reply)
}

/// The reply, and the mailbox if it could be opened.
async fn examine(
    world: &CommandContext<'_>,
    mailbox: &NamedMailbox,
    read_only: bool,
    out: &mut Output<'_>,
) -> (Reply, Option<Selected>) {
    let info = match world.mailbox(mailbox).await {
        Ok(info) => info,
        Err(reply) => return (reply, None),
    };
    let (info, message_list) = match open(world, &info).await {
        Ok(opened) => opened,
        Err(error) => return (unreadable(&error), None),
    };
    let access = if read_only { MailboxAccess::ReadOnly } else { MailboxAccess::ReadWrite };
    let first_recent = access.first_recent(&world.config.recents, world.account.id, &info);
    let mut selected = Selected::open(&info, message_list, access, first_recent);
    out.put(selected.flags_lines());
    out.put(selected.size_lines());
    if let Some(number) = selected.first_unseen() {
        out.put(format!("* OK [UNSEEN {number}] First unseen message\r\n"));
    }
    out.put(format!("* OK [UIDVALIDITY {}] UIDs valid\r\n", selected.uid_validity.0));
    out.put(format!("* OK [UIDNEXT {}] Predicted next UID\r\n", selected.uid_next.0));
    leave(world, &selected).await;
    selected.recent_cleared = selected.uid_next;
    let reply = match access {
        MailboxAccess::ReadWrite => Reply::ok("SELECT completed").with_code("READ-WRITE"),
        MailboxAccess::ReadOnly => Reply::ok("EXAMINE completed").with_code("READ-ONLY"),
    };
    (reply, Some(selected))
}

/// The mailbox with its message list, from the kept list and the changes since.
async fn open(world: &CommandContext<'_>, mailbox: &MailboxInfo) -> Result<(MailboxInfo, MessageList), StoreError> {
    let (account, message_lists) = (world.account.id, &world.config.message_lists);
    let (mut message_list, after) = message_lists.get(account, mailbox).unwrap_or_default();
    let read = |after| world.config.store.read(account, mailbox.id, Which::ChangedSince(after), Columns::NONE, None);
    let mut rows = read(after).await?;
    message_list.take(&rows);
    if message_list.len() != rows.info.messages as usize && after != Modseq(0) {
        // The store no longer records all expunges since then.
        rows = read(Modseq(0)).await?;
        message_list = MessageList::default();
        message_list.take(&rows);
    }
    message_lists.share(account, &rows.info, rows.info.highest_modseq, &mut message_list);
    Ok((rows.info, message_list))
}

/// Records in the store that the messages reported here are not `\Recent` elsewhere (RFC 3501 §2.3.2); not for EXAMINE
/// (§6.3.2). Best effort: on failure a message can be recent in two sessions.
pub(crate) async fn leave(world: &CommandContext<'_>, selected: &Selected) {
    if selected.access == MailboxAccess::ReadOnly || selected.recent_cleared >= selected.uid_next {
        return;
    }
    let op = Op::ClearRecent { mailbox: selected.id, up_to: selected.uid_next };
    if let Err(error) = world.apply(vec![op]).await {
        tracing::debug!(%error, "\\Recent was not cleared");
    }
}

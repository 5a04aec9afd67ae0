//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use provost_net::OutputBuffer;
use provost_store::{Columns, MailboxInfo, MessageSelection, Modseq, Op, StoreError};

use crate::account::LoggedInAccount;
use crate::codec::StatusResponse;
use crate::codec::command::NamedMailbox;
use crate::connection::Connection;
use crate::context::{CommandContext, unreadable};
use crate::mailbox::{MailboxAccess, SelectedMailbox};
use crate::message_list::MessageList;
use crate::state::Completion;

/// SELECT, or EXAMINE if `read_only`: leaves the previous mailbox, even when the new one cannot be opened.
pub(crate) async fn select(
    connection: &Connection,
    account: &mut LoggedInAccount,
    before: Option<&SelectedMailbox>,
    mailbox: &NamedMailbox,
    read_only: bool,
    out: &mut OutputBuffer<'_>,
) -> Completion {
    // Mark the notices so far as seen before the mailbox is read: a message that arrives later causes a new notice.
    account.notices.borrow_and_update();
    let context = connection.context(account);
    if let Some(before) = before {
        store_recent(&context, before).await;
    }
    let (reply, selected) = open(&context, mailbox, read_only, out).await;
    Completion::Select(selected.map(Box::new), reply)
}

/// Opens the mailbox and sends the untagged responses of RFC 3501 §6.3.1. Returns the reply, and the mailbox if it
/// could be opened.
async fn open(
    context: &CommandContext<'_>,
    mailbox: &NamedMailbox,
    read_only: bool,
    out: &mut OutputBuffer<'_>,
) -> (StatusResponse, Option<SelectedMailbox>) {
    let info = match context.mailbox(mailbox).await {
        Ok(info) => info,
        Err(reply) => return (reply, None),
    };
    let (info, message_list) = match read_messages(context, &info).await {
        Ok(read) => read,
        Err(error) => return (unreadable(&error), None),
    };
    let access = match read_only {
        true => MailboxAccess::ReadOnly,
        false if context.account.person.may_change_mail() => MailboxAccess::ReadWrite,
        false => MailboxAccess::Restricted,
    };
    let first_recent = access.claim_recent(&context.config.recents, context.account.id, &info);
    let mut selected = SelectedMailbox::open(&info, message_list, access, first_recent);
    out.put(selected.mailbox_flags_responses());
    out.put(selected.size_responses());
    if let Some(number) = selected.first_unseen() {
        out.put(format!("* OK [UNSEEN {number}] First unseen message\r\n"));
    }
    out.put(format!("* OK [UIDVALIDITY {}] UIDs valid\r\n", selected.uid_validity.get()));
    out.put(format!("* OK [UIDNEXT {}] Predicted next UID\r\n", selected.uid_next.get()));
    store_recent(context, &selected).await;
    selected.recent_cleared = selected.uid_next;
    let reply = match access {
        MailboxAccess::ReadWrite => StatusResponse::ok("SELECT completed").with_code("READ-WRITE"),
        MailboxAccess::Restricted => StatusResponse::ok("SELECT completed").with_code("READ-ONLY"),
        MailboxAccess::ReadOnly => StatusResponse::ok("EXAMINE completed").with_code("READ-ONLY"),
    };
    (reply, Some(selected))
}

/// Reads the mailbox and its messages: the kept message list with the changes after it, or all messages.
async fn read_messages(
    context: &CommandContext<'_>,
    mailbox: &MailboxInfo,
) -> Result<(MailboxInfo, MessageList), StoreError> {
    let (account, message_lists) = (context.account.id, &context.config.message_lists);
    let (mut message_list, after) = message_lists.get(account, mailbox).unwrap_or_default();
    let read = |after| {
        context.config.store.read(account, mailbox.id, MessageSelection::ChangedSince(after), Columns::NONE, None)
    };
    let mut rows = read(after).await?;
    message_list.apply(&rows);
    if message_list.len() != rows.info.messages as usize && after != Modseq::new(0) {
        // The store has forgotten some of the expunges since the list was kept: read all messages.
        rows = read(Modseq::new(0)).await?;
        message_list = MessageList::default();
        message_list.apply(&rows);
    }
    message_lists.share(account, &rows.info, rows.info.highest_modseq, &mut message_list);
    Ok((rows.info, message_list))
}

/// Records in the store that the messages reported to this session are not `\Recent` in other sessions (RFC 3501
/// §2.3.2). Does nothing without write access (§6.3.2). A failure is only logged: a message may then be `\Recent` in two
/// sessions.
pub(crate) async fn store_recent(context: &CommandContext<'_>, selected: &SelectedMailbox) {
    if selected.access.is_read_only() || selected.recent_cleared >= selected.uid_next {
        return;
    }
    let op = Op::ClearRecent { mailbox: selected.id, up_to: selected.uid_next };
    if let Err(error) = context.apply(vec![op]).await {
        tracing::debug!(%error, "\\Recent was not cleared");
    }
}

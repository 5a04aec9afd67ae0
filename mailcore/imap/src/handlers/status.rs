//! STATUS (RFC 3501 §6.3.10; STATUS=SIZE, RFC 8438).

use provost_net::OutputBuffer;
use provost_store::{Columns, MailboxInfo, MessageSelection, Uid, UidSet};

use crate::codec::command::{NamedMailbox, StatusItem};
use crate::codec::{StatusResponse, encode};
use crate::context::{CommandContext, unreadable};

/// STATUS (RFC 3501 §6.3.10).
pub(crate) async fn status(
    context: &CommandContext<'_>,
    mailbox: &NamedMailbox,
    items: &[StatusItem],
    out: &mut OutputBuffer<'_>,
) -> StatusResponse {
    let line = match context.mailbox(mailbox).await {
        Ok(info) => status_line(context, &info, items).await,
        Err(reply) => return reply,
    };
    match line {
        Ok(line) => {
            out.put(line);
            StatusResponse::ok("STATUS completed")
        }
        Err(reply) => reply,
    }
}

/// The response line `* STATUS name (...)`.
pub(crate) async fn status_line(
    context: &CommandContext<'_>,
    info: &MailboxInfo,
    items: &[StatusItem],
) -> Result<String, StatusResponse> {
    let mut words = Vec::with_capacity(items.len());
    for item in items {
        words.push(match item {
            StatusItem::Messages => format!("MESSAGES {}", info.messages),
            StatusItem::Recent => format!("RECENT {}", recent(context, info).await?),
            StatusItem::UidNext => format!("UIDNEXT {}", info.uid_next.get()),
            StatusItem::UidValidity => format!("UIDVALIDITY {}", info.uid_validity.get()),
            StatusItem::Unseen => format!("UNSEEN {}", info.unseen),
            StatusItem::Size => format!("SIZE {}", info.octets),
        });
    }
    Ok(format!("* STATUS {} ({})\r\n", encode::mailbox(&info.name), words.join(" ")))
}

/// Counts the messages that are `\Recent` in no session yet. Only the first UID is recorded, so the rows are read to
/// leave out expunged messages.
async fn recent(context: &CommandContext<'_>, info: &MailboxInfo) -> Result<usize, StatusResponse> {
    let first = context.config.recents.first_unclaimed(context.account.id, info);
    if first >= info.uid_next || info.messages == 0 {
        return Ok(0);
    }
    let uids = UidSet::from_ranges([(first, Uid::LAST)]);
    let read =
        context.config.store.read(context.account.id, info.id, MessageSelection::Uids(uids), Columns::NONE, None).await;
    Ok(read.map_err(|error| unreadable(&error))?.rows.len())
}

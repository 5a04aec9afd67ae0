//! STATUS (RFC 3501 §6.3.10; STATUS=SIZE, RFC 8438).

use provost_net::Output;
use provost_store::{Columns, MailboxInfo, Uid, UidSet, Which};

use crate::codec::command::{NamedMailbox, StatusItem};
use crate::codec::{Reply, encode};
use crate::world::{CommandContext, unreadable};

/// STATUS (RFC 3501 §6.3.10).
pub(crate) async fn status(
    world: &CommandContext<'_>,
    mailbox: &NamedMailbox,
    items: &[StatusItem],
    out: &mut Output<'_>,
) -> Reply {
    let line = match world.mailbox(mailbox).await {
        Ok(info) => status_line(world, &info, items).await,
        Err(reply) => return reply,
    };
    match line {
        Ok(line) => {
            out.put(line);
            Reply::ok("STATUS completed")
        }
        Err(reply) => reply,
    }
}

/// The response line `* STATUS name (...)`.
pub(crate) async fn status_line(
    world: &CommandContext<'_>,
    info: &MailboxInfo,
    items: &[StatusItem],
) -> Result<String, Reply> {
    let mut words = Vec::with_capacity(items.len());
    for item in items {
        words.push(match item {
            StatusItem::Messages => format!("MESSAGES {}", info.messages),
            StatusItem::Recent => format!("RECENT {}", recent(world, info).await?),
            StatusItem::UidNext => format!("UIDNEXT {}", info.uid_next.0),
            StatusItem::UidValidity => format!("UIDVALIDITY {}", info.uid_validity.0),
            StatusItem::Unseen => format!("UNSEEN {}", info.unseen),
            StatusItem::Size => format!("SIZE {}", info.octets),
        });
    }
    Ok(format!("* STATUS {} ({})\r\n", encode::mailbox(&info.name), words.join(" ")))
}

/// Number of `\Recent` messages. Only the first recent UID is recorded, so the messages that still exist are counted here.
async fn recent(world: &CommandContext<'_>, info: &MailboxInfo) -> Result<usize, Reply> {
    let first = world.config.recents.first(world.account.id, info);
    if first >= info.uid_next || info.messages == 0 {
        return Ok(0);
    }
    let uids = UidSet::from_ranges([(first, Uid::LAST)]);
    let read = world.config.store.read(world.account.id, info.id, Which::Uids(uids), Columns::NONE, None).await;
    Ok(read.map_err(|error| unreadable(&error))?.rows.len())
}

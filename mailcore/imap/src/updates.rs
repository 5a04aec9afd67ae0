//! What a client is sent about its selected mailbox at the end of a command, and while it listens (RFC 3501 §7).

use provost_net::Output;
use provost_store::{Columns, StoreError, Which};

use crate::ImapConfig;
use crate::account::Account;
use crate::codec::Command;
use crate::codec::command::Numbers;
use crate::mailbox::{Expunges, Selected};

/// How the end of a command looks at the store.
#[derive(Clone, Copy)]
pub(crate) struct Refresh {
    /// Also without a notice: the client asks for news, or the command made some.
    always: bool,
    expunges: Expunges,
}

impl Refresh {
    /// In any case.
    pub(crate) fn now(expunges: Expunges) -> Self {
        Self { always: true, expunges }
    }

    /// When there was a notice.
    pub(crate) fn hinted(expunges: Expunges) -> Self {
        Self { always: false, expunges }
    }

    /// RFC 3501 §7.4.1: no EXPUNGE during FETCH, STORE, SEARCH; the UID forms are other commands.
    pub(crate) fn after(command: &Command) -> Self {
        let numbers = match command {
            Command::Fetch(fetch) => fetch.messages.numbers,
            Command::Store(store) => store.messages.numbers,
            Command::Search(search) => search.numbers,
            Command::Noop | Command::Check | Command::Expunge { .. } | Command::Copy { .. } | Command::Append(_) => {
                return Self::now(Expunges::Reported);
            }
            _ => return Self::hinted(Expunges::Reported),
        };
        Self::hinted(if numbers == Numbers::Uid { Expunges::Reported } else { Expunges::Held })
    }
}

/// The selected mailbox is no more (RFC 2180 §3.3: another session deleted it).
pub(crate) struct MailboxGone;

/// Reports what has happened in the selected mailbox.
pub(crate) async fn report(
    config: &ImapConfig,
    account: &mut Account,
    selected: &mut Selected,
    look: Refresh,
    out: &mut Output<'_>,
) -> Result<(), MailboxGone> {
    let has_news = account.is_overdue || account.notices.has_changed().unwrap_or(true);
    let is_due = look.expunges == Expunges::Reported && selected.has_unreported();
    if !(look.always || has_news || is_due) {
        return Ok(());
    }
    account.notices.borrow_and_update();
    let which = Which::ChangedSince(selected.modseq);
    let read = config.store.read(account.id, selected.id, which, Columns::NONE, None).await;
    // The next look begins at the same modseq, so that nothing is lost. It must come without another notice.
    account.is_overdue = read.is_err();
    match read {
        Ok(changes) => {
            let first_recent = selected.access.first_recent(&config.recents, account.id, &changes.info);
            out.put(selected.sync(&changes, look.expunges, first_recent));
            if !selected.has_unreported() {
                let modseq = selected.modseq;
                config.message_lists.share(account.id, &changes.info, modseq, &mut selected.messages);
            }
            Ok(())
        }
        Err(StoreError::Gone) => Err(MailboxGone),
        Err(error) => {
            tracing::warn!(%error, account = %account.name, "changes cannot be read");
            Ok(())
        }
    }
}

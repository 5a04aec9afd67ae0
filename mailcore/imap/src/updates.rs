//! The updates that a client gets about its selected mailbox at the end of a command, and during IDLE (RFC 3501 §7).

use provost_net::OutputBuffer;
use provost_store::{Columns, MessageSelection, StoreError};

use crate::ImapConfig;
use crate::account::LoggedInAccount;
use crate::codec::Command;
use crate::codec::command::NumberKind;
use crate::mailbox::{Expunges, SelectedMailbox};

/// Whether the end of a command reads the store, and whether it may report EXPUNGE.
#[derive(Clone, Copy)]
pub(crate) struct UpdatePolicy {
    /// Read even without a notice: the client asks for updates, or expects those of its own change.
    always: bool,
    expunges: Expunges,
}

impl UpdatePolicy {
    /// Reads even without a notice.
    pub(crate) fn now(expunges: Expunges) -> Self {
        Self { always: true, expunges }
    }

    /// Reads only after a notice or a failed read, or when EXPUNGE responses that were held back may be sent.
    pub(crate) fn hinted(expunges: Expunges) -> Self {
        Self { always: false, expunges }
    }

    /// The policy at the end of a command. RFC 3501 §7.4.1: FETCH, STORE and SEARCH must not report EXPUNGE; their UID
    /// forms may.
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
        Self::hinted(if numbers == NumberKind::Uid { Expunges::Reported } else { Expunges::Held })
    }
}

/// The selected mailbox no longer exists (RFC 2180 §3.3: another session deleted it).
pub(crate) struct MailboxGone;

/// Reads and reports the changes of the selected mailbox, if the policy, a notice or held EXPUNGE responses ask for it.
/// A failed read is logged, and repeated at the next report.
pub(crate) async fn report(
    config: &ImapConfig,
    account: &mut LoggedInAccount,
    selected: &mut SelectedMailbox,
    policy: UpdatePolicy,
    out: &mut OutputBuffer<'_>,
) -> Result<(), MailboxGone> {
    let has_news = account.is_overdue || account.notices.has_changed().unwrap_or(true);
    let is_due = policy.expunges == Expunges::Reported && selected.has_unreported();
    if !(policy.always || has_news || is_due) {
        return Ok(());
    }
    account.notices.borrow_and_update();
    let which = MessageSelection::ChangedSince(selected.modseq);
    let read = config.store.read(account.id, selected.id, which, Columns::NONE, None).await;
    // After a failed read, the next report reads from the same modseq, so no change is lost. That read must not
    // wait for another notice.
    account.is_overdue = read.is_err();
    match read {
        Ok(changes) => {
            let first_recent = selected.access.claim_recent(&config.recents, account.id, &changes.info);
            out.put(selected.sync(&changes, policy.expunges, first_recent));
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

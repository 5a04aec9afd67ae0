//! COPY (RFC 3501 §6.4.7), MOVE (RFC 6851), COPYUID (RFC 4315 §3).

use provost_net::OutputBuffer;
use provost_store::{BatchCondition, BatchError, Op, OpEffect};

use crate::codec::command::{CopyOrMove, MessageNumbers, NamedMailbox, NumberKind};
use crate::codec::{StatusResponse, sequence};
use crate::context::{CommandContext, bad_name, refused};
use crate::mailbox::SelectedMailbox;

use super::expunge::{expunge_issued, read_only};

/// COPY and MOVE, all or nothing: when a sequence number names an expunged message, the command is refused (RFC 2180
/// §4.4.1). A UID without a message is ignored (RFC 3501 §6.4.8).
pub(crate) async fn copy(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    messages: &MessageNumbers,
    to: NamedMailbox,
    manner: CopyOrMove,
    out: &mut OutputBuffer<'_>,
) -> StatusResponse {
    if manner == CopyOrMove::Move && selected.access.is_read_only() {
        return read_only();
    }
    let Some(to) = to else { return bad_name() };
    let uids = match selected.indices(messages) {
        Ok(indices) => selected.uids(&indices),
        Err(error) => return StatusResponse::bad(error.0),
    };
    let (ok, from) = (StatusResponse::ok("Completed"), selected.id);
    if uids.is_empty() {
        return ok;
    }
    // MOVE does not enlarge an account, so an account over quota may still move mail to the trash.
    let (mut require, op) = match manner {
        CopyOrMove::Copy => (context.quota(), Op::Copy { from, uids, to }),
        CopyOrMove::Move => (Vec::new(), Op::Move { from, uids, to }),
    };
    if messages.numbers == NumberKind::Sequence {
        require.push(BatchCondition::Present);
    }
    let effects = match context.apply_once(require, vec![op]).await {
        Ok(applied) => applied.effects,
        Err(BatchError::Conflict(_)) => return expunge_issued(),
        Err(error) => return refused(error, "TRYCREATE"),
    };
    let Some(code) = copy_uid(effects) else { return ok };
    match manner {
        CopyOrMove::Copy => ok.with_code(code),
        CopyOrMove::Move => {
            // RFC 6851 §4.3: COPYUID comes before the EXPUNGE responses, so that the client can match the messages
            // that leave this mailbox with their new UIDs.
            out.put(StatusResponse::ok("Moved").with_code(code).line("*"));
            ok
        }
    }
}

/// The response code `COPYUID uidvalidity from to`; `None` when none of the messages existed any more.
fn copy_uid(effects: Vec<OpEffect>) -> Option<String> {
    let Some(OpEffect::Copied { uid_validity, uids, .. }) = effects.into_iter().next() else { return None };
    if uids.is_empty() {
        return None;
    }
    let from = sequence::format_uids(uids.iter().map(|(from, _)| *from));
    let to = sequence::format_uids(uids.iter().map(|(_, to)| *to));
    Some(format!("COPYUID {} {from} {to}", uid_validity.get()))
}

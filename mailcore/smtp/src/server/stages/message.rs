//! Stages at the end of data: whether the data is a message.

use provost_message::{Verdict, is_looping};

use super::{JudgedItem, StageInput, misplaced};
use crate::data::DataFault;
use crate::reply;

/// Refuses data with a bare CR or LF (RFC 5321 §2.3.8), with NUL (RFC 5322 §2.1) or longer than the offered SIZE
/// (RFC 1870 §6.3), and data for which there was no memory.
pub(super) async fn octets(input: StageInput<'_>) -> Verdict {
    match input.subject {
        JudgedItem::Message(Ok(_)) => Verdict::Accept,
        JudgedItem::Message(Err(DataFault::NoRoom)) => Verdict::object("no_room", reply::NO_ROOM),
        JudgedItem::Message(Err(DataFault::TooLong)) => Verdict::object("too_large", reply::TOO_LARGE),
        JudgedItem::Message(Err(DataFault::Nul)) => Verdict::object("nul", reply::NUL_IN_MESSAGE),
        JudgedItem::Message(Err(DataFault::BareLineEnd)) => Verdict::object("bare_line_end", reply::BARE_LINE_END),
        _ => misplaced("octets"),
    }
}

/// Refuses a message that loops (RFC 5321 §6.3).
pub(super) async fn hops(input: StageInput<'_>) -> Verdict {
    match input.subject {
        JudgedItem::Message(Ok(message)) if is_looping(message) => Verdict::object("loop", reply::LOOPING),
        JudgedItem::Message(Ok(_)) => Verdict::Accept,
        _ => misplaced("hops"),
    }
}

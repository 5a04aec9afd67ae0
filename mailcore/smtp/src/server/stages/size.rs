//! Stages at MAIL: whether a message of the announced size can be accepted.

use provost_message::{Arrival, Verdict};

use super::StageInput;
use crate::reply;

/// RFC 1870 §6.1: refuses an announced size above the SIZE that EHLO offers.
pub(super) async fn size(arrival: &Arrival, input: StageInput<'_>) -> Verdict {
    match arrival.announced_octets {
        Some(octets) if octets > input.message_octets_max() => Verdict::object("too_large", reply::TOO_LARGE),
        _ => Verdict::Accept,
    }
}

/// Defers with 452 when the memory that all sessions of the process share has no room for the announced size.
pub(super) async fn memory(arrival: &Arrival, input: StageInput<'_>) -> Verdict {
    if input.config.memory.has_room(arrival.announced_octets.unwrap_or_default()) {
        Verdict::Accept
    } else {
        Verdict::object("no_room", reply::NO_ROOM)
    }
}

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

/// Defers with 452 when the announced size does not fit into the memory budget of the process, or into the share of it
/// that one address (or IPv6 network of 64 bits) may use.
pub(super) async fn memory(arrival: &Arrival, input: StageInput<'_>) -> Verdict {
    let memory = match &arrival.connection {
        Some(connection) => input.config.message_memory(connection),
        None => input.config.memory.body(),
    };
    if memory.has_room(arrival.announced_octets.unwrap_or_default()) {
        Verdict::Accept
    } else {
        Verdict::object("no_room", reply::NO_ROOM)
    }
}

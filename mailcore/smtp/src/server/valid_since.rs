//! Whether a mailbox has had the owner whom the sender knew (RFC 7293).

use jiff::Timestamp;
use provost_delivery::RecipientRefusal;
use provost_message::{Address, valid_since_fields, without_detail};
use provost_view::{OwnerSince, View};

/// Why a message that was meant for the owner of `moment` is refused; `None` when it may be delivered. An address of a
/// role passes: it is a function, and mail to it must arrive (RFC 5321 §4.5.1).
pub(super) fn refusal_since(
    view: &View,
    address: &Address,
    moment: Timestamp,
    now: Timestamp,
) -> Option<RecipientRefusal> {
    let snapshot = view.snapshot();
    let of = |address: &Address| snapshot.owner_since(address, moment, now);
    match of(address).or_else(|| without_detail(address).and_then(|user| of(&user))) {
        Some(OwnerSince::Same) => None,
        Some(OwnerSince::Changed) => Some(RecipientRefusal::OwnerChanged),
        Some(OwnerSince::NotRecorded) => Some(RecipientRefusal::OwnerNotRecorded),
        // Nobody has the address any more: the delivery itself says so.
        None => None,
    }
}

/// Why the header of a message refuses one recipient. Counts at the final delivery only, and only for a recipient for
/// whom the sender did not use the extension (RFC 7293 §5.2).
pub(super) fn refusal_by_header(
    view: &View,
    address: &Address,
    message: &[u8],
    now: Timestamp,
) -> Option<RecipientRefusal> {
    let mut of_recipient = valid_since_fields(message).filter(|(named, _)| named == address);
    of_recipient.find_map(|(_, moment)| refusal_since(view, address, moment, now))
}

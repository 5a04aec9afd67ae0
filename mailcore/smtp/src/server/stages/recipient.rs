//! Stages at RCPT: whether this server carries mail for the recipient.

use provost_delivery::RecipientRefusal;
use provost_message::{Arrival, SmtpReply, Verdict};

use super::{JudgedItem, StageInput, misplaced};
use crate::reply;
use crate::server::route::DeliveryRoute;

/// Defers a recipient beyond the limit of one transaction (RFC 5321 §4.5.3.1.10). The envelope already has this
/// recipient.
pub(super) async fn count(arrival: &Arrival, input: StageInput<'_>) -> Verdict {
    if arrival.envelope.recipients.len() > input.config.recipients_max {
        Verdict::object("too_many", reply::TOO_MANY_RECIPIENTS)
    } else {
        Verdict::Accept
    }
}

/// RFC 5321 §3.6.2: no relaying. A domain that a stale View does not know is deferred, because it may be new at
/// this site.
pub(super) async fn relay(arrival: &Arrival, input: StageInput<'_>) -> Verdict {
    let is_foreign = || {
        let domain = arrival.envelope.recipients.last().map(|recipient| recipient.path.domain().to_ascii_lowercase());
        domain.is_none_or(|domain| input.config.view.is_foreign(&domain))
    };
    match input.subject {
        JudgedItem::Recipient(DeliveryRoute::Remote) if is_foreign() => {
            Verdict::object("relay", refused(&RecipientRefusal::NotLocal))
        }
        JudgedItem::Recipient(DeliveryRoute::Remote) => Verdict::object("directory", reply::TRY_LATER),
        JudgedItem::Recipient(_) => Verdict::Accept,
        _ => misplaced("relay"),
    }
}

/// Refuses a recipient for good only when the View is certain; defers the recipient when it is not, or when memory is
/// short.
pub(super) async fn recipient(input: StageInput<'_>) -> Verdict {
    match input.subject {
        JudgedItem::Recipient(DeliveryRoute::Local(_) | DeliveryRoute::Remote) => Verdict::Accept,
        JudgedItem::Recipient(DeliveryRoute::Refused(refusal)) => {
            let label = match refusal {
                RecipientRefusal::NoSuchUser => "unknown",
                RecipientRefusal::Closed => "closed",
                RecipientRefusal::OwnerChanged | RecipientRefusal::OwnerNotRecorded => "owner",
                RecipientRefusal::List(_) => "list",
                _ => "refused",
            };
            Verdict::object(label, refused(refusal))
        }
        JudgedItem::Recipient(DeliveryRoute::Unavailable) => Verdict::object("directory", reply::TRY_LATER),
        JudgedItem::Recipient(DeliveryRoute::NoMemory) => Verdict::object("memory", reply::TOO_MANY_RECIPIENTS),
        _ => misplaced("recipient"),
    }
}

fn refused(refusal: &RecipientRefusal) -> SmtpReply {
    let (code, status, text) = refusal.reply();
    SmtpReply::new(code, status, text)
}

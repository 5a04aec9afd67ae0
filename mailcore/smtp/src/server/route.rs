//! The route of a message to a recipient, by the present state of the directory.

use jiff::Timestamp;
use provost_delivery::{Delivered, RecipientRefusal};
use provost_message::{Address, Arrival, Path};

use super::config::SmtpConfig;
use super::valid_since::refusal_since;

/// The route of a message to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeliveryRoute {
    /// By local delivery to this address.
    Local(Address),
    /// By the queue, to another site.
    Remote,
    /// Not at all: the recipient is refused for good.
    Refused(RecipientRefusal),
    /// Unknown now: the directory cannot answer.
    Unavailable,
    /// Not looked up: this transaction can take no more recipients, because memory is short.
    NoMemory,
}

impl DeliveryRoute {
    /// Looks up the route to a forward-path.
    pub(super) fn of(path: &Path, config: &SmtpConfig) -> Self {
        let Some(address) = local_address(path, config) else {
            let domain = path.domain().to_ascii_lowercase();
            return match domain.is_empty() || config.view.serves(&domain) {
                // A View that is empty or old may lack the postmaster, or still serve a domain that has left.
                true if !config.view.is_certain() => Self::Unavailable,
                true => Self::Refused(RecipientRefusal::NoSuchUser),
                false => Self::Remote,
            };
        };
        match config.delivery.check(&address) {
            Ok(()) | Err(Delivered::Stored) => Self::Local(address),
            Err(Delivered::Refused(RecipientRefusal::NotLocal)) => Self::Remote,
            Err(Delivered::Refused(RecipientRefusal::NoSuchUser)) if address.local() == "postmaster" => {
                config.delivery.postmaster().map_or(Self::Refused(RecipientRefusal::NoSuchUser), Self::Local)
            }
            Err(Delivered::Refused(refusal)) => Self::Refused(refusal),
            Err(Delivered::Unavailable(_)) => Self::Unavailable,
        }
    }
}

impl DeliveryRoute {
    /// The same route, unless it leads to a list that does not take mail from this sender.
    pub(super) fn if_may_send(self, arrival: &Arrival, config: &SmtpConfig, now: Timestamp) -> Self {
        let Self::Local(address) = &self else { return self };
        match config.delivery.check_sender(address, arrival, now) {
            Ok(()) | Err(Delivered::Stored) => self,
            Err(Delivered::Refused(refusal)) => Self::Refused(refusal),
            Err(Delivered::Unavailable(_)) => Self::Unavailable,
        }
    }

    /// The same route, unless the mailbox has had its owner for less long than the sender asks (RFC 7293).
    pub(super) fn if_valid_since(self, moment: Option<Timestamp>, config: &SmtpConfig, now: Timestamp) -> Self {
        let (Self::Local(address), Some(moment)) = (&self, moment) else { return self };
        match refusal_since(&config.view, address, moment, now) {
            Some(refusal) if address.local() != "postmaster" => Self::Refused(refusal),
            _ => self,
        }
    }
}

/// Returns the path as an address; `None` when it cannot be one, or the site has no postmaster. RFC 5321 §4.5.1:
/// `postmaster` without a domain is the postmaster of this site, whom the directory names.
fn local_address(path: &Path, config: &SmtpConfig) -> Option<Address> {
    path.address().or_else(|| if path.domain().is_empty() { config.delivery.postmaster() } else { None })
}

//! Who would carry a message to a recipient, by the directory of now.

use provost_delivery::{Delivered, Refusal};
use provost_message::{Address, Path};

use super::config::SmtpConfig;

/// Who carries the message on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// We do, to this address.
    Local(Address),
    /// The queue, to another site.
    Remote,
    /// Nobody, for good.
    Refused(Refusal),
    /// The directory cannot say now.
    Unavailable,
}

impl Route {
    /// To a recipient as RCPT names it.
    pub(super) fn to(path: &Path, config: &SmtpConfig) -> Self {
        let Some(address) = local_address(path, config) else {
            let is_ours = path.domain().is_empty() || config.view.serves(&path.domain().to_ascii_lowercase());
            return if is_ours { Self::Refused(Refusal::NoSuchUser) } else { Self::Remote };
        };
        match config.delivery.check(&address) {
            Ok(()) | Err(Delivered::Stored) => Self::Local(address),
            Err(Delivered::Refused(Refusal::NotLocal)) => Self::Remote,
            Err(Delivered::Refused(Refusal::NoSuchUser)) if address.local() == "postmaster" => {
                config.delivery.postmaster().map_or(Self::Refused(Refusal::NoSuchUser), Self::Local)
            }
            Err(Delivered::Refused(refusal)) => Self::Refused(refusal),
            Err(Delivered::Unavailable(_)) => Self::Unavailable,
        }
    }
}

/// RFC 5321 §4.5.1: `postmaster` alone is that of this site, whoever the directory says that is.
fn local_address(path: &Path, config: &SmtpConfig) -> Option<Address> {
    path.address().or_else(|| if path.domain().is_empty() { config.delivery.postmaster() } else { None })
}

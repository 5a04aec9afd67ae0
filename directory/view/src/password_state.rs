//! What the View knows of a person's password: whether it must be changed before a mail program may use it.

use provost_credential::StatedPassword;
pub use provost_credential::{PasswordDue, PasswordState};
use provost_entry::{Entry, time};
use provost_schema::attr;
use provost_settings::SharedSettings;

/// Path of the page on which people change their password.
const CHANGE_PATH: &str = "/password";

/// Reads the state of the password in an entry.
pub(crate) fn of_entry(entry: &Entry) -> PasswordState {
    PasswordState::of(StatedPassword {
        passwords: entry.values(attr::USER_PASSWORD),
        verifiers: entry.values(attr::PROVOST_SCRAM),
        state: entry.first(attr::PROVOST_CREDENTIAL_STATE),
        since: entry.first(attr::PROVOST_PASSWORD_SINCE).and_then(time::parse_generalized),
    })
}

/// The text for a mail program whose user must change the password first: one line of ASCII.
pub(crate) fn change_first(settings: &SharedSettings) -> Box<str> {
    let page = settings.web_url.as_ref().map(|url| format!("{url}{CHANGE_PATH}"));
    let page = page.as_deref().unwrap_or("the web page for passwords of your institution");
    format!("The password must be changed first at {page}").into()
}

//! What a help desk does: look up, vacation, aliases, password. The one set of operations behind CLI, REST and web.

use provost_client::{Directory, DirectoryError};
use provost_credential::Secret;

use crate::{Actor, Audit, Settings};

/// A person in a list.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PersonSummary {
    /// provostPersonId.
    pub id: String,
    /// Login.
    pub uid: String,
    /// Name.
    pub display_name: String,
    /// Primary address.
    pub mail: String,
    /// Affiliation.
    pub affiliation: String,
    /// State.
    pub state: String,
}

/// One address of a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AddressInfo {
    /// The address.
    pub address: String,
    /// primary, alias, retained, ...
    pub kind: String,
    /// RFC 3339.
    pub since: Option<String>,
}

/// A vacation rule as people state it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VacationChange {
    /// First day, `YYYY-MM-DD`, midnight in the site's time zone; `None` is now.
    pub start: Option<jiff::civil::Date>,
    /// Last day, `YYYY-MM-DD`, to its end; `None` is open.
    pub end: Option<jiff::civil::Date>,
    /// Subject in French.
    pub subject_fr: Option<String>,
    /// Subject in English.
    pub subject_en: Option<String>,
    /// Text in French.
    pub text_fr: Option<String>,
    /// Text in English.
    pub text_en: Option<String>,
    /// Days between two replies to one sender (1 to 365); `None` is 7.
    pub interval_days: Option<u16>,
}

/// All that the directory knows of one person, for the help desk.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PersonDetail {
    /// Summary.
    #[serde(flatten)]
    pub summary: PersonSummary,
    /// DN.
    pub dn: String,
    /// Account key in the store.
    pub entry_uuid: uuid::Uuid,
    /// entryCSN: the version of what was read, for conditional writes.
    pub version: String,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Source ids (`registrar:12345`).
    pub sources: Vec<String>,
    /// Programme.
    pub program: Option<String>,
    /// RFC 3339 date.
    pub start_date: Option<String>,
    /// RFC 3339 date.
    pub end_date: Option<String>,
    /// Whether a password is set.
    pub has_password: bool,
    /// Octets.
    pub quota_octets: Option<u64>,
    /// Addresses, primary first.
    pub addresses: Vec<AddressInfo>,
    /// Vacation rule when one is set.
    pub vacation: Option<VacationChange>,
    /// RFC 3339.
    pub created: Option<String>,
    /// RFC 3339.
    pub modified: Option<String>,
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No such person or address.
    #[error("not found: {0}")]
    NotFound(String),
    /// More than one person fits a name given as key.
    #[error("'{0}' fits more than one person")]
    Ambiguous(String),
    /// A field is wrong: field name and rule.
    #[error("{field}: {rule}")]
    Invalid {
        /// Which input.
        field: &'static str,
        /// Which rule.
        rule: String,
    },
    /// The address belongs to somebody.
    #[error("{0} is in use")]
    InUse(String),
    /// The entry changed since the caller read it.
    #[error("changed meanwhile; read it again")]
    Stale,
    /// The directory said no.
    #[error("{0}")]
    Refused(String),
    /// Later may work.
    #[error("the directory is unavailable: {0}")]
    Unavailable(String),
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    /// The directory.
    pub directory: Directory,
    /// The site.
    pub settings: Settings,
    /// The audit file.
    pub audit: Audit,
}

impl Desk {
    /// People whose name, login, address or source id begins with (each word of) `text`, case and accents ignored where
    /// the server does; at most `most`, sorted by name.
    pub async fn search(&self, text: &str, most: usize) -> Result<Vec<PersonSummary>, DeskError> {
        let _ = (text, most);
        todo!("H3")
    }

    /// One person by provostPersonId, login, address or source id (`registrar:12345` or bare `12345`).
    pub async fn person(&self, key: &str) -> Result<PersonDetail, DeskError> {
        let _ = key;
        todo!("H3")
    }

    /// Sets the vacation rule. Returns the audit id.
    pub async fn set_vacation(&self, actor: &Actor, key: &str, change: VacationChange) -> Result<String, DeskError> {
        let _ = (actor, key, change);
        todo!("H3")
    }

    /// Clears it. Clearing none is no error.
    pub async fn clear_vacation(&self, actor: &Actor, key: &str) -> Result<String, DeskError> {
        let _ = (actor, key);
        todo!("H3")
    }

    /// Gives an alias: the address entry first, then the projection on the person.
    pub async fn add_alias(&self, actor: &Actor, key: &str, address: &str) -> Result<String, DeskError> {
        let _ = (actor, key, address);
        todo!("H3")
    }

    /// Takes an alias (or a retained address) away; the primary one is refused.
    pub async fn remove_alias(&self, actor: &Actor, key: &str, address: &str) -> Result<String, DeskError> {
        let _ = (actor, key, address);
        todo!("H3")
    }

    /// Sets `password`, or a generated one that is returned once. Second value: the audit id.
    pub async fn reset_password(
        &self,
        actor: &Actor,
        key: &str,
        password: Option<Secret>,
    ) -> Result<(Secret, String), DeskError> {
        let _ = (actor, key, password);
        todo!("H3")
    }
}

impl From<DirectoryError> for DeskError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NoSuchObject(what) => Self::NotFound(what),
            DirectoryError::AlreadyExists(what) => Self::InUse(what),
            DirectoryError::AssertionFailed => Self::Stale,
            DirectoryError::Unavailable(why) | DirectoryError::Unknown(why) => Self::Unavailable(why),
            other => Self::Refused(other.to_string()),
        }
    }
}

//! What provisioning needs to know of the site, read anew for each operation.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use provost_client::{Directory, DirectoryError, Scope, Search};
use provost_entry::{Entry, Filter};
use provost_schema::{attr, class, ou};
use provost_settings::{Fallback, SETTINGS_MAX, ServedDomains, SharedSettings, Stated};

use crate::REGISTRAR;

/// What provisioning needs to know of the site, for one operation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Domain of primary addresses, lower case.
    pub domain: String,
    /// Name of the source of a registrar's file: `registrar`.
    pub source: String,
    /// How new passwords are stored.
    pub scheme: provost_credential::Scheme,
    /// Days for which an address that was taken away can be given back to its former owner only; 0 frees it at once.
    pub address_quarantine: u16,
    /// Where the days of enrolments and vacations begin and end.
    pub time_zone: TimeZone,
}

impl Settings {
    /// Those of the settings that all nodes share.
    pub fn of(shared: &SharedSettings) -> Self {
        Self {
            domain: shared.mail_domain.clone(),
            source: REGISTRAR.to_owned(),
            scheme: shared.password_scheme,
            address_quarantine: shared.address_quarantine,
            time_zone: shared.time_zone.clone(),
        }
    }
}

/// Where the settings of the moment come from: the View on a node, one reading of the directory for a command.
#[derive(Clone)]
pub struct SettingsSource(Arc<dyn Fn() -> Settings + Send + Sync>);

impl SettingsSource {
    /// `read` is called once for each operation.
    pub fn new(read: impl Fn() -> Settings + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The settings of the moment: for one operation, not to keep.
    pub fn get(&self) -> Settings {
        (self.0)()
    }
}

impl From<Settings> for SettingsSource {
    fn from(settings: Settings) -> Self {
        Self::new(move || settings.clone())
    }
}

impl fmt::Debug for SettingsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SettingsSource").field(&self.get()).finish()
    }
}

/// Reads what the directory states from the writable provider, for a command that has no View. There is no last good
/// value here: where a value is bad, what counts without it is in force, and the fault says so.
pub async fn read_shared_settings(
    directory: &Directory,
    fallback: &Fallback,
) -> Result<SharedSettings, DirectoryError> {
    let search = Search {
        base: directory.suffix().clone(),
        scope: Scope::Subtree,
        filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_SETTING),
        attributes: vec![attr::CN.to_owned(), attr::PROVOST_VALUE.to_owned()],
        limit: Some(SETTINGS_MAX),
    };
    let entries = match directory.search_provider(search).await {
        Ok(entries) => entries,
        // Nothing was made yet: nothing is stated.
        Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let stated: Vec<Stated> = entries.iter().filter_map(stated).collect();
    let domains = read_domains(directory).await?;
    let is_served = |domain: &str| domains.iter().any(|served| served.eq_ignore_ascii_case(domain));
    let served = if domains.is_empty() { ServedDomains::Unknown } else { ServedDomains::Known(&is_served) };
    Ok(SharedSettings::resolve(fallback, &stated, served))
}

/// The domains that the directory serves; none while it is being made.
async fn read_domains(directory: &Directory) -> Result<Vec<String>, DirectoryError> {
    let search = Search {
        base: directory.suffix().child(attr::OU, ou::DOMAINS),
        scope: Scope::One,
        filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_DOMAIN_ENTRY),
        attributes: vec![attr::PROVOST_DOMAIN.to_owned()],
        limit: None,
    };
    match directory.search_provider(search).await {
        Ok(entries) => {
            Ok(entries.iter().flat_map(|entry| entry.texts(attr::PROVOST_DOMAIN)).map(str::to_owned).collect())
        }
        Err(DirectoryError::NoSuchObject(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What an entry states; `None` when it has no name.
pub(crate) fn stated(entry: &Entry) -> Option<Stated> {
    let name = entry.dn.rdn_value(attr::CN).or_else(|| entry.first(attr::CN).map(str::to_owned))?;
    let values = entry.texts(attr::PROVOST_VALUE).map(Into::into).collect();
    Some(Stated { name: name.into(), dn: entry.dn.as_str().into(), values, last_good: None })
}

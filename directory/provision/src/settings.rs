//! Settings of the site that provisioning needs.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use provost_client::{Directory, DirectoryError, LdapSearch, Scope};
use provost_credential::PasswordPolicy;
use provost_entry::{Entry, Filter};
use provost_schema::{attr, class, ou};
use provost_settings::{ClientServer, Fallback, SETTINGS_MAX, ServedDomains, SharedSettings, StatedEntry};

use crate::REGISTRAR;

/// Settings of the site that provisioning needs, as of one moment.
#[derive(Clone, Debug)]
pub struct ProvisionSettings {
    /// Domain of primary addresses, lower case.
    pub domain: String,
    /// Name of the source of a registrar's file: `registrar`.
    pub source: String,
    /// The rules for passwords and activation links.
    pub passwords: PasswordPolicy,
    /// Address of the pages, without a `/` at the end; `None` when the site states none.
    pub web_url: Option<String>,
    /// Servers that people enter in their mail program.
    pub client_servers: Vec<ClientServer>,
    /// Days for which only the former owner can get a removed address back; 0 frees it at once.
    pub address_quarantine: u16,
    /// Time zone in which the days of enrolments and vacations begin and end.
    pub time_zone: TimeZone,
}

impl ProvisionSettings {
    /// Takes the fields that provisioning needs from the shared settings.
    pub fn of(shared: &SharedSettings) -> Self {
        Self {
            domain: shared.mail_domain.clone(),
            source: REGISTRAR.to_owned(),
            passwords: shared.passwords.clone(),
            web_url: shared.web_url.clone(),
            client_servers: shared.client_servers.clone(),
            address_quarantine: shared.address_quarantine,
            time_zone: shared.time_zone.clone(),
        }
    }
}

/// Supplies the current settings: from the View on a node, from one reading of the directory for a command.
#[derive(Clone)]
pub struct SettingsSource(Arc<dyn Fn() -> ProvisionSettings + Send + Sync>);

impl SettingsSource {
    /// `read` is called whenever an operation needs a setting.
    pub fn new(read: impl Fn() -> ProvisionSettings + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The settings as they are now. Do not keep them: they can change.
    pub fn get(&self) -> ProvisionSettings {
        (self.0)()
    }
}

impl From<ProvisionSettings> for SettingsSource {
    fn from(settings: ProvisionSettings) -> Self {
        Self::new(move || settings.clone())
    }
}

impl fmt::Debug for SettingsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SettingsSource").field(&self.get()).finish()
    }
}

/// Reads the stated settings for a command, which has no View: from the writable provider, or from a replica while the
/// provider does not answer. A command does not know the last good value of a setting: in place of a bad value it uses
/// the value of `fallback`, else the default, and [`SharedSettings::faults`] lists the bad value.
pub async fn read_shared_settings(
    directory: &Directory,
    fallback: &Fallback,
) -> Result<SharedSettings, DirectoryError> {
    let search = LdapSearch {
        base: directory.suffix().clone(),
        scope: Scope::Subtree,
        filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_SETTING),
        attributes: vec![attr::CN.to_owned(), attr::PROVOST_VALUE.to_owned()],
        limit: Some(SETTINGS_MAX),
    };
    let entries = match directory.search_newest(search).await {
        Ok((entries, _)) => entries,
        // The tree does not exist yet, so no setting is stated.
        Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let setting_entries: Vec<StatedEntry> = entries.iter().filter_map(stated_entry).collect();
    let domains = read_domains(directory).await?;
    let is_served = |domain: &str| domains.iter().any(|served| served.eq_ignore_ascii_case(domain));
    let served = if domains.is_empty() { ServedDomains::Unknown } else { ServedDomains::Known(&is_served) };
    Ok(SharedSettings::resolve(fallback, &setting_entries, served))
}

/// The domains that the directory serves; empty while the tree is being created.
pub async fn read_domains(directory: &Directory) -> Result<Vec<String>, DirectoryError> {
    let search = LdapSearch {
        base: directory.suffix().child(attr::OU, ou::DOMAINS),
        scope: Scope::One,
        filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_DOMAIN_ENTRY),
        attributes: vec![attr::PROVOST_DOMAIN.to_owned()],
        limit: None,
    };
    match directory.search_newest(search).await {
        Ok((entries, _)) => {
            Ok(entries.iter().flat_map(|entry| entry.texts(attr::PROVOST_DOMAIN)).map(str::to_owned).collect())
        }
        Err(DirectoryError::NoSuchObject(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The name and values that an entry states; `None` when it has no name.
pub(crate) fn stated_entry(entry: &Entry) -> Option<StatedEntry> {
    let name = entry.dn.rdn_value(attr::CN).or_else(|| entry.first(attr::CN).map(str::to_owned))?;
    let values = entry.texts(attr::PROVOST_VALUE).map(Into::into).collect();
    Some(StatedEntry { name: name.into(), dn: entry.dn.as_str().into(), values, last_good: None })
}

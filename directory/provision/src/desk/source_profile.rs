//! Reads and writes the profiles by which the files of sources are read.

use provost_client::{Directory, DirectoryError, LdapSearch, Scope};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class, ou};
use serde_json::json;

use super::{Desk, DeskError, ReadPurpose};
use crate::source::{SourceProfile, check_source_name};
use crate::{Permission, Principal, tree};

/// Attributes read of a profile's entry.
const ATTRIBUTES: [&str; 3] = [attr::CN, attr::PROVOST_VALUE, attr::ENTRY_CSN];

impl Desk {
    /// The profiles that the directory holds, by name. One that cannot be read fails the whole: its source must not be
    /// read in another way.
    pub async fn source_profiles(&self, principal: &Principal) -> Result<Vec<SourceProfile>, DeskError> {
        self.permit(principal, Permission::ViewImports).await?;
        let search = LdapSearch {
            base: self.directory.suffix().child(attr::OU, ou::SOURCES),
            scope: Scope::One,
            filter: Filter::equal(attr::OBJECT_CLASS, class::PROVOST_SOURCE_PROFILE),
            attributes: ATTRIBUTES.iter().map(|name| (*name).to_owned()).collect(),
            limit: None,
        };
        let entries = match self.read_for(ReadPurpose::Show, search).await {
            Ok((entries, _)) => entries,
            Err(DeskError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let named = |entry: &Entry| entry.first(attr::CN).map(|name| profile_of(name, entry));
        let mut profiles = entries.iter().filter_map(named).collect::<Result<Vec<_>, _>>()?;
        profiles.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(profiles)
    }

    /// The profile of a source: the one that the directory holds, else the built-in one.
    pub async fn source_profile(&self, principal: &Principal, name: &str) -> Result<SourceProfile, DeskError> {
        self.permit(principal, Permission::ViewImports).await?;
        read_source_profile(&self.directory, name).await
    }

    /// Writes the profile of a source. Returns the version and the audit id. A profile without a line `version` gets the
    /// next version; a stated one must be higher than the present one.
    pub async fn set_source_profile(
        &self,
        principal: &Principal,
        name: &str,
        lines: &[String],
    ) -> Result<(u32, String), DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        check_name(name)?;
        let mut profile = SourceProfile::parse(name, lines).map_err(|error| invalid(error.to_string()))?;
        profile.check().map_err(|error| invalid(error.to_string()))?;
        self.refuse_own_directory(&profile)?;
        let dn = dn(&self.directory, name);
        let before = tree::read_provider(&self.directory, &dn, &ATTRIBUTES).await?;
        // A profile that cannot be read is replaced all the same: this is how it is corrected.
        let held = before.as_ref().and_then(|entry| profile_of(name, entry).ok()?.version);
        let next = held.unwrap_or(0).saturating_add(1);
        if !lines.iter().any(|line| line.trim().starts_with("version")) {
            profile.version = Some(next);
        }
        let version = profile.version.unwrap_or(next);
        if version < next {
            return Err(invalid(format!("version {version} is not higher than the present one, {}", next - 1)));
        }
        let after = profile.lines();
        let former: Option<Vec<&str>> = before.as_ref().map(|entry| entry.texts(attr::PROVOST_VALUE).collect());
        let detail = json!({ "before": former, "after": after });
        let audited_change = self.announce(principal.actor(), "source.set", &dn, detail).await?;
        let values: Vec<Vec<u8>> = after.iter().map(|line| line.as_bytes().to_vec()).collect();
        let written = match &before {
            Some(entry) => {
                let change = Modification::replace(AttributeDescription::of(attr::PROVOST_VALUE), values);
                let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
                self.directory.modify(&dn, vec![change], conditions).await.map(drop)
            }
            None => self.directory.add(new_entry(&dn, name, values)).await.map(drop),
        };
        Ok((version, self.conclude(audited_change, written).await?))
    }

    /// A source that follows the site's own people would feed them back to themselves.
    fn refuse_own_directory(&self, profile: &SourceProfile) -> Result<(), DeskError> {
        let Some(base) = &profile.followed.base else { return Ok(()) };
        let own = self.directory.config();
        let is_own = |url: &str| own.servers.iter().any(|server| server.url.eq_ignore_ascii_case(url));
        let people = self.directory.suffix().child(attr::OU, ou::PEOPLE);
        let overlaps = base.is_within(&people) || people.is_within(base);
        match profile.followed.servers.iter().find(|server| is_own(&server.url)) {
            Some(server) if overlaps => {
                Err(invalid(format!("'server {}': this is the site's own directory, with its own people", server.url)))
            }
            _ => Ok(()),
        }
    }

    /// Removes the profile of a source, which is then read by the built-in profile. Returns the audit id.
    pub async fn remove_source_profile(&self, principal: &Principal, name: &str) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let dn = dn(&self.directory, name);
        let Some(entry) = tree::read_provider(&self.directory, &dn, &ATTRIBUTES).await? else {
            return Err(DeskError::NotFound(format!("a profile of the source {name}")));
        };
        let before: Vec<&str> = entry.texts(attr::PROVOST_VALUE).collect();
        let detail = json!({ "before": before, "after": null });
        let audited_change = self.announce(principal.actor(), "source.remove", &dn, detail).await?;
        let removed = self.directory.delete(&dn, tree::unchanged_since(entry.first(attr::ENTRY_CSN))).await;
        self.conclude(audited_change, removed).await
    }
}

/// The profile of a source, from the writable provider.
pub(super) async fn read_source_profile(directory: &Directory, name: &str) -> Result<SourceProfile, DeskError> {
    check_name(name)?;
    match tree::read_provider(directory, &dn(directory, name), &ATTRIBUTES).await {
        Ok(Some(entry)) => profile_of(name, &entry),
        Ok(None) => Ok(SourceProfile::built_in(name)),
        Err(DirectoryError::NoSuchObject(_)) => Ok(SourceProfile::built_in(name)),
        Err(error) => Err(error.into()),
    }
}

fn check_name(name: &str) -> Result<(), DeskError> {
    check_source_name(name).map_err(|rule| DeskError::Invalid { field: "source", rule: rule.to_owned() })
}

fn invalid(rule: String) -> DeskError {
    DeskError::Invalid { field: "profile", rule }
}

fn dn(directory: &Directory, name: &str) -> Dn {
    directory.suffix().child(attr::OU, ou::SOURCES).child(attr::CN, name)
}

fn profile_of(name: &str, entry: &Entry) -> Result<SourceProfile, DeskError> {
    let lines: Vec<String> = entry.texts(attr::PROVOST_VALUE).map(str::to_owned).collect();
    SourceProfile::parse(name, &lines).map_err(|error| {
        DeskError::Refused(format!(
            "the profile of the source {name} cannot be read: {error}; 'provost source set' replaces it"
        ))
    })
}

fn new_entry(dn: &Dn, name: &str, values: Vec<Vec<u8>>) -> Entry {
    let mut entry = Entry::new(dn.clone())
        .with(attr::OBJECT_CLASS, class::TOP)
        .with(attr::OBJECT_CLASS, class::PROVOST_SOURCE_PROFILE)
        .with(attr::CN, name);
    for value in values {
        entry.push(AttributeDescription::of(attr::PROVOST_VALUE), value);
    }
    entry
}

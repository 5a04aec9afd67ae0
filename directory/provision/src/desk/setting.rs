//! Changes the settings that all nodes share.

use provost_client::DirectoryError;
use provost_entry::{AttributeDescription, Dn, Entry, Modification};
use provost_schema::{attr, class};
use provost_settings::{Fallback, MAIL_DOMAIN, SettingDefinition, SharedSettings};
use serde_json::json;

use super::{ChangeTarget, Desk, DeskError, ExpectedVersion};
use crate::{Permission, Principal, read_shared_settings, tree};

/// Attributes read of an entry before a change.
const READ_ATTRIBUTES: [&str; 2] = [attr::PROVOST_VALUE, attr::ENTRY_CSN];

/// The version of a setting for which the directory has no entry.
const UNSTATED: &str = "unstated";

/// The values that the directory states for one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedSetting {
    /// Name of the setting.
    pub name: &'static str,
    /// Values of the setting; empty when the directory does not state it.
    pub values: Vec<String>,
    /// The version, for a conditional change with [`ExpectedVersion`].
    pub version: String,
}

/// A setting as read from the provider.
struct SettingEntry {
    dn: Dn,
    /// `None` when the directory has no entry at `dn`.
    entry: Option<Entry>,
    /// Whether the caller named versions: a concurrent change is then reported as a version mismatch.
    is_expected: bool,
}

impl SettingEntry {
    fn version(&self) -> &str {
        self.entry.as_ref().map_or(UNSTATED, |entry| entry.first(attr::ENTRY_CSN).unwrap_or_default())
    }

    fn values(&self) -> Option<Vec<String>> {
        self.entry.as_ref().map(|entry| entry.texts(attr::PROVOST_VALUE).map(str::to_owned).collect())
    }

    /// Reports a write to a stale entry as a version mismatch when the caller named versions. The write asserts the
    /// version that was read and matched; when the assertion fails, another writer has changed the entry since.
    fn lost_race(&self, error: DeskError) -> DeskError {
        match error {
            DeskError::Stale if self.is_expected => {
                DeskError::VersionMismatch(format!("newer than {}", self.version()))
            }
            error => error,
        }
    }
}

impl Desk {
    /// The settings as the directory states them now. A setting without a valid value in the directory has the value of
    /// `fallback`, or else its default. A running node uses its View instead, which may keep the last valid value.
    pub async fn shared_settings(
        &self,
        principal: &Principal,
        fallback: &Fallback,
    ) -> Result<SharedSettings, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        Ok(read_shared_settings(&self.directory, fallback).await?)
    }

    /// The values that the directory states for one setting, from the writable provider.
    pub async fn stated_setting(&self, principal: &Principal, name: &str) -> Result<StatedSetting, DeskError> {
        self.permit(principal, Permission::ViewSettings).await?;
        let definition = defined(name)?;
        let before = self.read_setting(definition, &ExpectedVersion::Any).await?;
        let (values, version) = (before.values().unwrap_or_default(), before.version().to_owned());
        Ok(StatedSetting { name: definition.name, values, version })
    }

    /// Writes the values of the setting that `target` names. Returns the audit id.
    ///
    /// Values that break the setting's rule are refused with that rule, and nothing is written. A missing entry is
    /// made; an existing one is written under the condition that it is unchanged since it was read.
    pub async fn set_setting(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        values: &[String],
    ) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let target = target.into();
        let definition = defined(target.key)?;
        if !definition.accepts(values) {
            return Err(DeskError::Invalid { field: definition.name, rule: definition.rule.to_owned() });
        }
        self.check_domain(definition, values).await?;
        let before = self.read_setting(definition, &target.expected).await?;
        let dn = &before.dn;
        let octets: Vec<Vec<u8>> = values.iter().map(|value| value.trim().as_bytes().to_vec()).collect();
        let detail = json!({ "before": before.values(), "after": values });
        let audited_change = self.announce(principal.actor(), "setting.set", dn, detail).await?;
        let result = match &before.entry {
            Some(entry) => {
                let change = Modification::replace(AttributeDescription::of(attr::PROVOST_VALUE), octets);
                let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
                self.directory.modify(dn, vec![change], conditions).await
            }
            None => match self.directory.add(new_entry(dn, definition, octets)).await {
                // Another writer has added the entry since the read.
                Err(DirectoryError::AlreadyExists(_)) => Err(DirectoryError::AssertionFailed),
                result => result,
            },
        };
        self.conclude(audited_change, result.map(drop)).await.map_err(|error| before.lost_race(error))
    }

    /// Removes a setting from the directory, so that the value of the node's file or the default applies again. Returns
    /// the audit id; removing a setting that is not stated is [`DeskError::NotStated`].
    pub async fn clear_setting(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
    ) -> Result<String, DeskError> {
        self.permit(principal, Permission::ChangeSettings).await?;
        let target = target.into();
        let definition = defined(target.key)?;
        let before = self.read_setting(definition, &target.expected).await?;
        let entry = before.entry.as_ref().ok_or(DeskError::NotStated(definition.name))?;
        let conditions = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
        let detail = json!({ "before": before.values(), "after": null });
        let audited_change = self.announce(principal.actor(), "setting.clear", &before.dn, detail).await?;
        let result = match self.directory.delete(&before.dn, conditions).await {
            // Another writer has removed the entry since it was read.
            Err(DirectoryError::NoSuchObject(_)) => Err(DirectoryError::AssertionFailed),
            result => result,
        };
        self.conclude(audited_change, result).await.map_err(|error| before.lost_race(error))
    }

    /// Reads the entry of a setting; refuses a version that the caller does not expect.
    async fn read_setting(
        &self,
        definition: &SettingDefinition,
        expected: &ExpectedVersion,
    ) -> Result<SettingEntry, DeskError> {
        let dn = self.directory.suffix().child(attr::OU, definition.container).child(attr::CN, definition.name);
        let entry = tree::read_provider(&self.directory, &dn, &READ_ATTRIBUTES).await?;
        let before = SettingEntry { dn, entry, is_expected: *expected != ExpectedVersion::Any };
        match expected {
            ExpectedVersion::OneOf(versions) if !versions.iter().any(|version| version == before.version()) => {
                Err(DeskError::VersionMismatch(before.version().to_owned()))
            }
            ExpectedVersion::OneOf(_) | ExpectedVersion::Any => Ok(before),
        }
    }

    /// Refuses a primary domain that is not served: new people would get addresses that receive no mail.
    async fn check_domain(&self, definition: &SettingDefinition, values: &[String]) -> Result<(), DeskError> {
        let (MAIL_DOMAIN, [domain]) = (definition.name, values) else { return Ok(()) };
        let served = tree::domain(self.directory.suffix(), &domain.trim().to_ascii_lowercase());
        match tree::read_provider(&self.directory, &served, &[attr::PROVOST_DOMAIN]).await? {
            Some(_) => Ok(()),
            None => {
                let rule = format!("a served domain; there is no {served}");
                Err(DeskError::Invalid { field: definition.name, rule })
            }
        }
    }
}

fn defined(name: &str) -> Result<&'static SettingDefinition, DeskError> {
    SettingDefinition::named(name).ok_or_else(|| DeskError::UnknownSetting(name.to_owned()))
}

fn new_entry(dn: &Dn, definition: &SettingDefinition, values: Vec<Vec<u8>>) -> Entry {
    let mut entry = Entry::new(dn.clone())
        .with(attr::OBJECT_CLASS, class::TOP)
        .with(attr::OBJECT_CLASS, class::PROVOST_SETTING)
        .with(attr::CN, definition.name);
    for value in values {
        entry.push(AttributeDescription::of(attr::PROVOST_VALUE), value);
    }
    entry
}

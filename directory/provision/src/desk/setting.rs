//! The settings that all nodes share, as an operator changes them.

use provost_client::DirectoryError;
use provost_entry::{AttributeDescription, Dn, Entry, Modification};
use provost_schema::{attr, class};
use provost_settings::{Definition, Fallback, MAIL_DOMAIN, SharedSettings};
use serde_json::json;

use super::{Desk, DeskError, Expected, Target};
use crate::{Operation, Principal, read_shared_settings, tree};

/// What is read of an entry before it is changed.
const READ: [&str; 2] = [attr::PROVOST_VALUE, attr::ENTRY_CSN];

/// The version of a setting that the directory does not state.
const UNSTATED: &str = "unstated";

/// What the directory states of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedSetting {
    /// Its name.
    pub name: &'static str,
    /// Its values; none where the directory does not state it.
    pub values: Vec<String>,
    /// For a conditional change: [`Expected`].
    pub version: String,
}

/// The entry of a setting as read for a change; none where there is none.
struct Before {
    dn: Dn,
    entry: Option<Entry>,
    /// Whether the caller named versions: then a change by somebody else is a mismatch of theirs.
    is_expected: bool,
}

impl Before {
    fn version(&self) -> &str {
        self.entry.as_ref().map_or(UNSTATED, |entry| entry.first(attr::ENTRY_CSN).unwrap_or_default())
    }

    fn values(&self) -> Option<Vec<String>> {
        self.entry.as_ref().map(|entry| entry.texts(attr::PROVOST_VALUE).map(str::to_owned).collect())
    }

    /// The write asserts the version that was compared with what the caller expects.
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
    /// The settings as the directory states them now, with what counts where it states nothing. A node that runs shows those
    /// of its View instead, which may hold the last good value of an entry.
    pub async fn shared_settings(
        &self,
        principal: &Principal,
        fallback: &Fallback,
    ) -> Result<SharedSettings, DeskError> {
        self.permit(principal, Operation::ViewSettings).await?;
        Ok(read_shared_settings(&self.directory, fallback).await?)
    }

    /// What the directory states of one setting, from the writable provider.
    pub async fn stated_setting(&self, principal: &Principal, name: &str) -> Result<StatedSetting, DeskError> {
        self.permit(principal, Operation::ViewSettings).await?;
        let definition = defined(name)?;
        let before = self.before(definition, &Expected::Any).await?;
        let (values, version) = (before.values().unwrap_or_default(), before.version().to_owned());
        Ok(StatedSetting { name: definition.name, values, version })
    }

    /// States the values of the setting that `target` names. Returns the audit id.
    ///
    /// Values that break the setting's rule are refused with it, and nothing is written. The entry is made where there is
    /// none; written under the condition that nobody else changed it meanwhile.
    pub async fn set_setting(
        &self,
        principal: &Principal,
        target: impl Into<Target<'_>>,
        values: &[String],
    ) -> Result<String, DeskError> {
        self.permit(principal, Operation::ChangeSettings).await?;
        let target = target.into();
        let definition = defined(target.key)?;
        if !definition.accepts(values) {
            return Err(DeskError::Invalid { field: definition.name, rule: definition.rule.to_owned() });
        }
        self.check_domain(definition, values).await?;
        let before = self.before(definition, &target.expected).await?;
        let dn = &before.dn;
        let stated: Vec<Vec<u8>> = values.iter().map(|value| value.trim().as_bytes().to_vec()).collect();
        let detail = json!({ "before": before.values(), "after": values });
        let noted = self.announce(principal.actor(), "setting.set", dn, detail).await?;
        let result = match &before.entry {
            Some(entry) => {
                let change = Modification::replace(AttributeDescription::of(attr::PROVOST_VALUE), stated);
                let control = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
                self.directory.modify(dn, vec![change], control).await
            }
            None => match self.directory.add(new_entry(dn, definition, stated)).await {
                // Made by another writer since it was read.
                Err(DirectoryError::AlreadyExists(_)) => Err(DirectoryError::AssertionFailed),
                result => result,
            },
        };
        self.conclude(noted, result.map(drop)).await.map_err(|error| before.lost_race(error))
    }

    /// Takes away what the directory states of a setting, so that the default counts again. Returns the audit id; taking
    /// away what is not stated is [`DeskError::NotStated`].
    pub async fn clear_setting(
        &self,
        principal: &Principal,
        target: impl Into<Target<'_>>,
    ) -> Result<String, DeskError> {
        self.permit(principal, Operation::ChangeSettings).await?;
        let target = target.into();
        let definition = defined(target.key)?;
        let before = self.before(definition, &target.expected).await?;
        let entry = before.entry.as_ref().ok_or(DeskError::NotStated(definition.name))?;
        let control = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
        let detail = json!({ "before": before.values(), "after": null });
        let noted = self.announce(principal.actor(), "setting.clear", &before.dn, detail).await?;
        let result = match self.directory.delete(&before.dn, control).await {
            // Taken away by another writer since it was read.
            Err(DirectoryError::NoSuchObject(_)) => Err(DirectoryError::AssertionFailed),
            result => result,
        };
        self.conclude(noted, result).await.map_err(|error| before.lost_race(error))
    }

    /// Reads the entry of a setting, in one of the versions that the caller expects.
    async fn before(&self, definition: &Definition, expected: &Expected) -> Result<Before, DeskError> {
        let dn = self.directory.suffix().child(attr::OU, definition.container).child(attr::CN, definition.name);
        let entry = tree::read_provider(&self.directory, &dn, &READ).await?;
        let before = Before { dn, entry, is_expected: *expected != Expected::Any };
        match expected {
            Expected::OneOf(versions) if !versions.iter().any(|version| version == before.version()) => {
                Err(DeskError::VersionMismatch(before.version().to_owned()))
            }
            Expected::OneOf(_) | Expected::Any => Ok(before),
        }
    }

    /// New people would get addresses at which nothing arrives if the domain were not served.
    async fn check_domain(&self, definition: &Definition, values: &[String]) -> Result<(), DeskError> {
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

fn defined(name: &str) -> Result<&'static Definition, DeskError> {
    Definition::named(name).ok_or_else(|| DeskError::UnknownSetting(name.to_owned()))
}

fn new_entry(dn: &Dn, definition: &Definition, values: Vec<Vec<u8>>) -> Entry {
    let mut entry = Entry::new(dn.clone())
        .with(attr::OBJECT_CLASS, class::TOP)
        .with(attr::OBJECT_CLASS, class::PROVOST_SETTING)
        .with(attr::CN, definition.name);
    for value in values {
        entry.push(AttributeDescription::of(attr::PROVOST_VALUE), value);
    }
    entry
}

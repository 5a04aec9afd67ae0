//! The settings that all nodes share, as an operator changes them.

use provost_client::DirectoryError;
use provost_entry::{AttributeDescription, Dn, Entry, Modification};
use provost_schema::{attr, class};
use provost_settings::{Definition, Fallback, SharedSettings};
use serde_json::json;

use super::{Desk, DeskError};
use crate::{Operation, Principal, read_shared_settings, tree};

/// What is read of an entry before it is changed.
const READ: [&str; 2] = [attr::PROVOST_VALUE, attr::ENTRY_CSN];

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

    /// States the values of a setting. Returns the audit id.
    ///
    /// Values that break the setting's rule are refused with it, and nothing is written. The entry is made where there is
    /// none; written under the condition that nobody else changed it meanwhile.
    pub async fn set_setting(&self, principal: &Principal, name: &str, values: &[String]) -> Result<String, DeskError> {
        self.permit(principal, Operation::ChangeSettings).await?;
        let definition = defined(name)?;
        if !definition.accepts(values) {
            return Err(DeskError::Invalid { field: definition.name, rule: definition.rule.to_owned() });
        }
        self.check_domain(definition, values).await?;
        let dn = self.setting_dn(definition);
        let before = tree::read_provider(&self.directory, &dn, &READ).await?;
        let stated: Vec<Vec<u8>> = values.iter().map(|value| value.trim().as_bytes().to_vec()).collect();
        let result = match &before {
            Some(entry) => {
                let change = Modification::replace(AttributeDescription::of(attr::PROVOST_VALUE), stated);
                let control = tree::unchanged_since(entry.first(attr::ENTRY_CSN));
                self.directory.modify(&dn, vec![change], control).await
            }
            None => match self.directory.add(new_entry(&dn, definition, stated)).await {
                // Made by another writer since it was read.
                Err(DirectoryError::AlreadyExists(_)) => return Err(DeskError::Stale),
                result => result,
            },
        };
        let detail = json!({ "before": before.as_ref().map(values_of), "after": values });
        self.note(principal.actor(), "setting.set", &dn, result.map(drop), detail).await
    }

    /// Takes away what the directory states of a setting, so that the default counts again. Returns the audit id; taking
    /// away what is not stated is [`DeskError::NotStated`].
    pub async fn clear_setting(&self, principal: &Principal, name: &str) -> Result<String, DeskError> {
        self.permit(principal, Operation::ChangeSettings).await?;
        let definition = defined(name)?;
        let dn = self.setting_dn(definition);
        let before = tree::read_provider(&self.directory, &dn, &READ).await?;
        let before = before.ok_or(DeskError::NotStated(definition.name))?;
        let result = self.directory.delete(&dn, tree::unchanged_since(before.first(attr::ENTRY_CSN))).await;
        let detail = json!({ "before": values_of(&before), "after": null });
        self.note(principal.actor(), "setting.clear", &dn, result, detail).await
    }

    fn setting_dn(&self, definition: &Definition) -> Dn {
        self.directory.suffix().child(attr::OU, definition.container).child(attr::CN, definition.name)
    }

    /// New people would get addresses at which nothing arrives if the domain were not served.
    async fn check_domain(&self, definition: &Definition, values: &[String]) -> Result<(), DeskError> {
        let ("mail-domain", [domain]) = (definition.name, values) else { return Ok(()) };
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

fn values_of(entry: &Entry) -> Vec<String> {
    entry.texts(attr::PROVOST_VALUE).map(str::to_owned).collect()
}

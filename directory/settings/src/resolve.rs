//! Determines the value in force: that of the directory, else the last valid one of the same entry, else that of the
//! node's file, else the built-in default.

use std::collections::BTreeMap;
use std::ops::Deref;

use provost_entry::Dn;
use serde::{Deserialize, Serialize};

use crate::{
    DEFINITIONS, MAIL_DOMAIN, SettingDefinition, SettingValues, WEBHOOK_PREFIX, WEBHOOKS_MAX, WebhookEndpoint,
};

/// Maximum number of entries of class `provostSetting` that are read. There are few settings, so more entries are a
/// mistake.
pub const SETTINGS_MAX: usize = 256;

/// Container of the webhook endpoints.
const WEBHOOK_CONTAINER: &str = "services";

/// The domains that the directory serves; `mail-domain` must be one of them.
#[derive(Clone, Copy)]
pub enum ServedDomains<'a> {
    /// The domains are not known: every domain is accepted.
    Unknown,
    /// The domains, in lower case, for which this function returns true.
    Known(&'a dyn Fn(&str) -> bool),
}

impl ServedDomains<'_> {
    fn may_serve(self, domain: &str) -> bool {
        match self {
            Self::Unknown => true,
            Self::Known(is_served) => is_served(domain),
        }
    }
}

/// The origin of a value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The entry with this DN.
    Directory(String),
    /// The last valid value of the entry with this DN, whose present value breaks the rule.
    LastGood(String),
    /// This key of the node's file. It applies where the directory states no valid value and none is remembered.
    File(String),
    /// The built-in default.
    Default,
}

impl ValueOrigin {
    /// Returns the kind (`directory`, `last-good`, `file`, `default`), and the DN or key.
    pub fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Directory(dn) => ("directory", Some(dn)),
            Self::LastGood(dn) => ("last-good", Some(dn)),
            Self::File(key) => ("file", Some(key)),
            Self::Default => ("default", None),
        }
    }
}

impl std::fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(dn) => f.write_str(dn),
            Self::LastGood(dn) => write!(f, "last good value of {dn}"),
            Self::File(key) => write!(f, "{key} in the node's file"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// An entry that states a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedEntry {
    /// The `cn` of the entry.
    pub name: Box<str>,
    /// The DN of the entry.
    pub dn: Box<str>,
    /// The `provostValue` values of the entry.
    pub values: Vec<Box<str>>,
    /// The last values that kept the rule; `None` while the present ones keep it, or when no such values are known.
    pub last_good: Option<Vec<Box<str>>>,
}

impl StatedEntry {
    /// Returns the rule that the entry breaks; `None` when its values may take effect.
    pub fn broken_rule(&self, served: ServedDomains<'_>) -> Option<String> {
        if let Some(name) = self.name.strip_prefix(WEBHOOK_PREFIX) {
            if !is_below(&self.dn, WEBHOOK_CONTAINER) {
                return Some(format!("its place is cn={},ou={WEBHOOK_CONTAINER}", self.name));
            }
            return WebhookEndpoint::parse(name, &self.values).err();
        }
        let Some(definition) = SettingDefinition::named(&self.name) else {
            return Some("there is no setting of that name; 'provost settings show' lists them".to_owned());
        };
        if !is_below(&self.dn, definition.container) {
            return Some(format!("its place is cn={},ou={}", definition.name, definition.container));
        }
        broken_by(definition, &self.values, served)
    }
}

/// Returns the rule that values of a setting break; `None` when they may take effect.
fn broken_by<S: AsRef<str>>(definition: &SettingDefinition, values: &[S], served: ServedDomains<'_>) -> Option<String> {
    let mut read = SettingValues::default();
    if !definition.apply(&mut read, values) {
        return Some(definition.rule.to_owned());
    }
    let is_served = definition.name != MAIL_DOMAIN || served.may_serve(&read.mail_domain);
    (!is_served).then(|| format!("a served domain; there is no {} below ou=domains", read.mail_domain))
}

/// Whether the entry is directly below the container of that name.
fn is_below(dn: &str, container: &str) -> bool {
    let parent = Dn::parse(dn).ok().and_then(|dn| dn.parent());
    parent.and_then(|parent| parent.rdn_value("ou")).is_some_and(|name| name.eq_ignore_ascii_case(container))
}

/// A stated value that is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// The name of the setting, as the entry spells it.
    pub name: String,
    /// The DN of the entry.
    pub dn: String,
    /// The values that the entry states.
    pub values: Vec<String>,
    /// Why the values are not in force: the rule that they break, or what is wrong with the entry.
    pub rule: String,
}

/// Settings in the node's own file, which apply where the directory gives no valid value.
#[derive(Clone, Debug, Default)]
pub struct Fallback(Vec<(&'static SettingDefinition, String, String)>);

impl Fallback {
    /// Adds a value of the setting `name`, which the file states under `key`. `Err` holds `key` and the rule that the
    /// value breaks, or reports that no setting has the name.
    pub fn add(&mut self, name: &str, key: &str, value: &str) -> Result<(), String> {
        let definition = SettingDefinition::named(name).ok_or_else(|| format!("no setting is named {name}"))?;
        if !definition.accepts(&[value]) {
            return Err(format!("{key}: {}", definition.rule));
        }
        self.0.push((definition, key.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Returns the name, key and value of each setting that the file states.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str, &str)> {
        self.0.iter().map(|(definition, key, value)| (definition.name, key.as_str(), value.as_str()))
    }
}

/// One setting for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// The name of the setting.
    pub name: String,
    /// The values in force.
    pub values: Vec<String>,
    /// The unit of the values; empty when they have none.
    pub unit: String,
    /// The origin of the values.
    pub origin: ValueOrigin,
    /// What the setting determines.
    pub about: String,
    /// The rule for its values.
    pub rule: String,
}

/// The settings in force with their origins, and the stated values that are not in force.
#[derive(Clone, Debug, Default)]
pub struct SharedSettings {
    values: SettingValues,
    origins: BTreeMap<&'static str, ValueOrigin>,
    faults: Vec<SettingFault>,
    webhooks: Vec<WebhookEndpoint>,
}

impl Deref for SharedSettings {
    type Target = SettingValues;

    fn deref(&self) -> &SettingValues {
        &self.values
    }
}

impl SharedSettings {
    /// Returns the settings in force where the directory states nothing.
    pub fn of_file(fallback: &Fallback) -> Self {
        Self::resolve(fallback, [], ServedDomains::Unknown)
    }

    /// Determines the settings in force. The order of `stated` does not matter.
    pub fn resolve<'a>(
        fallback: &Fallback,
        stated: impl IntoIterator<Item = &'a StatedEntry>,
        served: ServedDomains<'_>,
    ) -> Self {
        let mut settings = Self::default();
        for (definition, key, value) in &fallback.0 {
            settings.apply(definition, &[value.as_str()], ValueOrigin::File(key.clone()));
        }
        let mut entries: Vec<&StatedEntry> = stated.into_iter().collect();
        // Valid entries first: the last valid value of one entry must not displace the valid value of another.
        entries.sort_by_cached_key(|entry| (entry.broken_rule(served).is_some(), &entry.dn));
        for entry in entries {
            settings.take_stated(entry, served);
        }
        settings
    }

    fn take_stated(&mut self, entry: &StatedEntry, served: ServedDomains<'_>) {
        let fault = |rule: String| SettingFault {
            name: entry.name.to_string(),
            dn: entry.dn.to_string(),
            values: entry.values.iter().map(ToString::to_string).collect(),
            rule,
        };
        if let Some(name) = entry.name.strip_prefix(WEBHOOK_PREFIX) {
            let rule = self.take_webhook(name, entry, served);
            self.faults.extend(rule.map(fault));
            return;
        }
        let definition = SettingDefinition::named(&entry.name);
        let before = definition.and_then(|definition| self.origins.get(definition.name));
        if let Some(ValueOrigin::Directory(dn) | ValueOrigin::LastGood(dn)) = before {
            let of_two = || format!("stated by two entries; {dn} is in force");
            self.faults.push(fault(entry.broken_rule(served).unwrap_or_else(of_two)));
            return;
        }
        let broken = entry.broken_rule(served);
        if let Some(definition) = definition {
            match (&broken, &entry.last_good) {
                (None, _) => {
                    self.apply(definition, &entry.values, ValueOrigin::Directory(entry.dn.to_string()));
                }
                (Some(_), Some(good)) if broken_by(definition, good, served).is_none() => {
                    self.apply(definition, good, ValueOrigin::LastGood(entry.dn.to_string()));
                }
                (Some(_), Some(_) | None) => {}
            }
        }
        self.faults.extend(broken.map(fault));
    }

    fn apply<S: AsRef<str>>(&mut self, definition: &SettingDefinition, values: &[S], origin: ValueOrigin) {
        if definition.apply(&mut self.values, values) {
            self.origins.insert(definition.name, origin);
        }
    }

    /// Takes an endpoint, or its last valid form while the present one breaks a rule. Returns the rule that it breaks.
    fn take_webhook(&mut self, name: &str, entry: &StatedEntry, served: ServedDomains<'_>) -> Option<String> {
        let broken = entry.broken_rule(served);
        let values = if broken.is_none() { Some(&entry.values) } else { entry.last_good.as_ref() };
        let endpoint = values.and_then(|values| WebhookEndpoint::parse(name, values).ok());
        let Some(endpoint) = endpoint else { return broken };
        if self.webhooks.iter().any(|known| known.name == endpoint.name) {
            return Some("stated by two entries".to_owned());
        }
        if self.webhooks.len() >= WEBHOOKS_MAX {
            return Some(format!("at most {WEBHOOKS_MAX} endpoints"));
        }
        self.webhooks.push(endpoint);
        broken
    }

    /// Returns the webhook endpoints in force.
    pub fn webhooks(&self) -> &[WebhookEndpoint] {
        &self.webhooks
    }

    /// Returns the origin of that setting's value.
    pub fn origin(&self, name: &str) -> ValueOrigin {
        self.origins.get(name).cloned().unwrap_or(ValueOrigin::Default)
    }

    /// Returns the values that are stated in the directory and not in force.
    pub fn faults(&self) -> &[SettingFault] {
        &self.faults
    }

    /// Returns every setting for display.
    pub fn rows(&self) -> Vec<SettingRow> {
        let row = |definition: &SettingDefinition| SettingRow {
            name: definition.name.to_owned(),
            values: definition.texts(&self.values),
            unit: definition.unit.to_owned(),
            origin: self.origin(definition.name),
            about: definition.about.to_owned(),
            rule: definition.rule.to_owned(),
        };
        DEFINITIONS.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: &str = "cn=removal-guard,ou=policies,dc=example,dc=edu";

    fn stated(name: &str, dn: &str, value: &str, last_good: Option<&str>) -> StatedEntry {
        let last_good = last_good.map(|value| vec![value.into()]);
        StatedEntry { name: name.into(), dn: dn.into(), values: vec![value.into()], last_good }
    }

    fn file(value: &str) -> Fallback {
        let mut fallback = Fallback::default();
        fallback.add("removal-guard", "directory.removal_guard_percent", value).unwrap();
        fallback
    }

    #[test]
    fn the_directory_goes_before_the_file_and_the_file_before_the_default() {
        let from_file = ValueOrigin::File("directory.removal_guard_percent".to_owned());
        for (fallback, entry, value, origin) in [
            (Fallback::default(), None, 20, ValueOrigin::Default),
            (file("30"), None, 30, from_file.clone()),
            (file("30"), Some(("5", None)), 5, ValueOrigin::Directory(GUARD.to_owned())),
            (file("30"), Some(("500", Some("5"))), 5, ValueOrigin::LastGood(GUARD.to_owned())),
            (file("30"), Some(("500", None)), 30, from_file.clone()),
            // A last valid value that breaks today's rule does not apply.
            (file("30"), Some(("500", Some("400"))), 30, from_file),
            (Fallback::default(), Some(("500", None)), 20, ValueOrigin::Default),
        ] {
            let entry = entry.map(|(value, good)| stated("Removal-Guard", GUARD, value, good));
            let settings = SharedSettings::resolve(&fallback, entry.as_ref(), ServedDomains::Unknown);
            assert_eq!((settings.removal_guard, settings.origin("removal-guard")), (value, origin), "{entry:?}");
            let bad = entry.as_ref().is_some_and(|entry| entry.values[0].as_ref() == "500");
            assert_eq!(settings.faults().len(), usize::from(bad), "{entry:?}");
            if let Some(fault) = settings.faults().first() {
                assert_eq!((fault.dn.as_str(), fault.rule.as_str()), (GUARD, "a whole number from 1 to 100"));
            }
        }
    }

    #[test]
    fn misplaced_repeated_and_unknown_settings_are_reported() {
        let entries = [
            stated("removal-guard", "cn=removal-guard,ou=services,dc=example,dc=edu", "50", None),
            stated("no-such", "cn=no-such,ou=policies,dc=example,dc=edu", "1", None),
            stated("time-zone", "cn=time-zone,ou=policies,dc=example,dc=edu", "Europe/Paris", None),
            stated("time-zone", "cn=time-zone,ou=policies,ou=x,dc=example,dc=edu", "Europe/Rome", None),
        ];
        let reversed = entries.iter().rev().cloned().collect::<Vec<_>>();
        for entries in [entries.to_vec(), reversed] {
            let settings = SharedSettings::resolve(&Fallback::default(), &entries, ServedDomains::Unknown);
            assert_eq!(settings.removal_guard, 20);
            assert_eq!(settings.time_zone.iana_name(), Some("Europe/Paris"), "the order of the entries decides");
            let rules: Vec<&str> = settings.faults().iter().map(|fault| fault.rule.as_str()).collect();
            assert_eq!(rules.len(), 3, "{rules:?}");
            assert!(rules.iter().any(|rule| rule.contains("its place is cn=removal-guard,ou=policies")));
            assert!(rules.iter().any(|rule| rule.contains("no setting of that name")));
            assert!(rules.iter().any(|rule| rule.contains("two entries")));
        }
    }

    /// For a new misplaced entry, the View takes the last valid value from another entry of the same name. The
    /// misplaced entry must not bring an older value of that entry back into force.
    #[test]
    fn a_misplaced_entry_does_not_displace_a_valid_one() {
        let elsewhere = "cn=removal-guard,ou=extra,dc=example,dc=edu";
        let entries = [stated("removal-guard", elsewhere, "50", Some("5")), stated("removal-guard", GUARD, "7", None)];
        let settings = SharedSettings::resolve(&Fallback::default(), &entries, ServedDomains::Unknown);
        assert_eq!(settings.removal_guard, 7);
        assert_eq!(settings.origin("removal-guard"), ValueOrigin::Directory(GUARD.to_owned()));
        let faults: Vec<(&str, &str)> = settings.faults().iter().map(|f| (f.dn.as_str(), f.rule.as_str())).collect();
        assert_eq!(faults, [(elsewhere, "its place is cn=removal-guard,ou=policies")]);
    }

    #[test]
    fn only_a_served_domain_becomes_the_mail_domain() {
        let dn = "cn=mail-domain,ou=policies,dc=example,dc=edu";
        let is_served = |domain: &str| ["example.edu", "alumni.example.edu"].contains(&domain);
        for (value, last_good, in_force, is_fault) in [
            ("Alumni.Example.edu", None, "alumni.example.edu", false),
            ("nowhere.example", Some("alumni.example.edu"), "alumni.example.edu", true),
            // Neither domain is served.
            ("nowhere.example", Some("old.example"), "", true),
            ("nowhere.example", None, "", true),
        ] {
            let entry = stated("mail-domain", dn, value, last_good);
            let known = ServedDomains::Known(&is_served);
            let settings = SharedSettings::resolve(&Fallback::default(), [&entry], known);
            let expect = if in_force.is_empty() { SettingValues::default().mail_domain } else { in_force.to_owned() };
            assert_eq!((&settings.mail_domain, settings.faults().len()), (&expect, usize::from(is_fault)), "{entry:?}");
            let unknown = SharedSettings::resolve(&Fallback::default(), [&entry], ServedDomains::Unknown);
            assert_eq!(unknown.mail_domain, value.to_lowercase());
        }
    }

    #[test]
    fn a_bad_value_of_the_file_is_refused_with_its_key() {
        let error = Fallback::default().add("retry-first", "queue.retry_first", "0").unwrap_err();
        assert_eq!(error, "queue.retry_first: a whole number from 1 to 86400");
    }

    #[test]
    fn a_persons_quota_precedes_that_of_the_class_and_the_default() {
        let dn = |name: &str| format!("cn={name},ou=policies,dc=example,dc=edu");
        let entries = [
            stated("default-quota", &dn("default-quota"), "1000000000", None),
            stated("quota-classes", &dn("quota-classes"), "faculty 2000000000", None),
        ];
        let settings = SharedSettings::resolve(&Fallback::default(), &entries, ServedDomains::Unknown);
        for (own, class, affiliation, octets) in [
            (Some(5), Some("faculty"), "faculty", 5),
            (None, None, "faculty", 2_000_000_000),
            (None, None, "student", 1_000_000_000),
            (None, Some("faculty"), "student", 2_000_000_000),
            (None, Some("unknown"), "faculty", 2_000_000_000),
        ] {
            assert_eq!(settings.quota(own, class, affiliation), Some(octets), "{own:?} {class:?} {affiliation}");
        }
    }

    #[test]
    fn every_setting_has_its_row() {
        let rows = SharedSettings::default().rows();
        assert_eq!(rows.len(), DEFINITIONS.len());
        assert!(rows.iter().all(|row| row.origin == ValueOrigin::Default && !row.rule.is_empty()));
    }

    #[test]
    fn an_endpoint_is_in_force_or_a_fault() {
        let dn = |name: &str| format!("cn={name},ou=services,dc=example,dc=edu");
        let good = stated("webhook.sis", &dn("webhook.sis"), "url https://x/", None);
        let bad = stated("webhook.old", &dn("webhook.old"), "url http://x/", Some("url https://y/"));
        let worse = stated("webhook.bad", &dn("webhook.bad"), "url http://x/", None);
        let elsewhere = stated("webhook.no", "cn=webhook.no,ou=policies,dc=example,dc=edu", "url https://x/", None);
        let settings =
            SharedSettings::resolve(&Fallback::default(), [&good, &bad, &worse, &elsewhere], ServedDomains::Unknown);
        let urls: Vec<&str> = settings.webhooks().iter().map(|endpoint| endpoint.url.as_str()).collect();
        assert_eq!(urls, ["https://x/", "https://y/"]);
        assert_eq!(settings.faults().len(), 3);
    }
}

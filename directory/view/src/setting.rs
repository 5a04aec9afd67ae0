//! Settings that all nodes share: the values that the directory states, and the values in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_settings::{Fallback, SETTINGS_MAX, ServedDomains, SharedSettings, StatedEntry};

use crate::cow_map::MapKey;
use crate::snapshot::Domains;

/// The values that the entries state, and the values in force that result.
#[derive(Clone, Default)]
pub(crate) struct StatedSettings {
    fallback: Arc<Fallback>,
    entries: BTreeMap<MapKey, Arc<StatedEntry>>,
    in_force: Arc<SharedSettings>,
}

impl StatedSettings {
    /// Starts without entries; `fallback` applies where the directory states nothing.
    pub(crate) fn new(fallback: Fallback) -> Self {
        let in_force = Arc::new(SharedSettings::of_file(&fallback));
        Self { fallback: Arc::new(fallback), entries: BTreeMap::new(), in_force }
    }

    pub(crate) fn in_force(&self) -> &Arc<SharedSettings> {
        &self.in_force
    }

    /// Adds the last good value to a stated one that breaks its rule. That value comes from the same entry, or from
    /// another entry of the same name, because a refilled server has new entryUUIDs.
    pub(crate) fn with_last_good(&self, key: &MapKey, entry: Arc<StatedEntry>, domains: &Domains) -> Arc<StatedEntry> {
        let is_served = |domain: &str| domains.contains_key(domain);
        let served = served(domains, &is_served);
        if entry.last_good.is_some() || entry.broken_rule(served).is_none() {
            return entry;
        }
        let of_name = || self.entries.values().find(|other| other.name.eq_ignore_ascii_case(&entry.name));
        let before = self.entries.get(key).or_else(of_name);
        let last_good = before.and_then(|before| match before.broken_rule(served) {
            None => Some(before.values.clone()),
            Some(_) => before.last_good.clone(),
        });
        Arc::new(StatedEntry { last_good, ..(*entry).clone() })
    }

    /// Returns the entries, each with its entryUUID.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&MapKey, &Arc<StatedEntry>)> {
        self.entries.iter()
    }

    /// Inserts an entry. [`StatedSettings::resolve`] then updates the values in force.
    pub(crate) fn insert(&mut self, key: MapKey, entry: Arc<StatedEntry>) {
        // An excess setting counts as not stated. The names are few, so this many entries are a mistake.
        if self.entries.len() >= SETTINGS_MAX && !self.entries.contains_key(&key) {
            tracing::warn!(dn = %entry.dn, "more than {SETTINGS_MAX} settings: this one is ignored");
            return;
        }
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &MapKey) {
        self.entries.remove(key);
    }

    /// Updates the values in force.
    pub(crate) fn resolve(&mut self, domains: &Domains) {
        let is_served = |domain: &str| domains.contains_key(domain);
        let stated = self.entries.values().map(Arc::as_ref);
        self.in_force = Arc::new(SharedSettings::resolve(&self.fallback, stated, served(domains, &is_served)));
    }
}

/// Returns the test for served domains; [`ServedDomains::Unknown`] while there are no domains, because the directory is
/// then not loaded yet or is being filled.
fn served<'a>(domains: &Domains, is_served: &'a dyn Fn(&str) -> bool) -> ServedDomains<'a> {
    if domains.is_empty() { ServedDomains::Unknown } else { ServedDomains::Known(is_served) }
}

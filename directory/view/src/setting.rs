//! The settings that all nodes share, as far as they stand in the directory, and what is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_settings::{Fallback, SETTINGS_MAX, SharedSettings, Stated};

use crate::shards::Key;

/// What the entries state, and what follows from it.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    fallback: Arc<Fallback>,
    stated: BTreeMap<Key, Arc<Stated>>,
    in_force: Arc<SharedSettings>,
}

impl Settings {
    /// With what counts where the directory states nothing.
    pub(crate) fn new(fallback: Fallback) -> Self {
        let in_force = Arc::new(SharedSettings::resolve(&fallback, []));
        Self { fallback: Arc::new(fallback), stated: BTreeMap::new(), in_force }
    }

    pub(crate) fn in_force(&self) -> &Arc<SharedSettings> {
        &self.in_force
    }

    /// What an entry states now, with the last good value beside one that breaks the rule: that of the same entry, or of
    /// an entry of the same name (a server that was filled again has other entryUUIDs).
    pub(crate) fn with_last_good(&self, key: &Key, stated: Arc<Stated>) -> Arc<Stated> {
        if stated.last_good.is_some() || stated.broken_rule().is_none() {
            return stated;
        }
        let of_name = || self.stated.values().find(|other| other.name.eq_ignore_ascii_case(&stated.name));
        let before = self.stated.get(key).or_else(of_name);
        let last_good = before.and_then(|before| match before.broken_rule() {
            None => Some(before.values.clone()),
            Some(_) => before.last_good.clone(),
        });
        Arc::new(Stated { last_good, ..(*stated).clone() })
    }

    pub(crate) fn insert(&mut self, key: Key, stated: Arc<Stated>) {
        // What is left out counts as not stated. Names are few: so many entries are a mistake.
        if self.stated.len() >= SETTINGS_MAX && !self.stated.contains_key(&key) {
            tracing::warn!(dn = %stated.dn, "more than {SETTINGS_MAX} settings: this one is not looked at");
            return;
        }
        self.stated.insert(key, stated);
        self.resolve();
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if self.stated.remove(key).is_some() {
            self.resolve();
        }
    }

    fn resolve(&mut self) {
        self.in_force = Arc::new(SharedSettings::resolve(&self.fallback, self.stated.values().map(Arc::as_ref)));
    }
}

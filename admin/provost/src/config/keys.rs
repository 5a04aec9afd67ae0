//! The configuration file as single keys, to find what has changed in it.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// Each key with its value; tables are split into keys such as `listeners.imap.address`. A list is one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KeyValues(BTreeMap<String, Value>);

impl KeyValues {
    pub(super) fn of(table: &Table) -> Self {
        let mut keys = Self::default();
        keys.add("", table);
        keys
    }

    fn add(&mut self, prefix: &str, table: &Table) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(table) => self.add(&key, table),
                value => _ = self.0.insert(key, value.clone()),
            }
        }
    }

    /// The keys whose values differ, and the keys that only `self` or only `other` has, in alphabetical order.
    pub(crate) fn changed(&self, other: &Self) -> BTreeSet<String> {
        let all = self.0.keys().chain(other.0.keys());
        all.filter(|key| self.0.get(*key) != other.0.get(*key)).cloned().collect()
    }

    /// Whether the file states the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Sets one key to its value in `other`, or removes it if `other` lacks it.
    pub(crate) fn copy_from(&mut self, key: &str, other: &Self) {
        match other.0.get(key) {
            Some(value) => _ = self.0.insert(key.to_owned(), value.clone()),
            None => _ = self.0.remove(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_are_named_in_full() {
        let keys = |text: &str| KeyValues::of(&toml::from_str(text).unwrap());
        let before = keys("[a]\nx = 1\ny = [1, 2]\n[a.b]\nz = true\ngone = 1");
        let after = keys("[a]\nx = 1\ny = [1, 3]\nb = { z = false }\n[c]\nnew = 1");
        let changed: Vec<String> = before.changed(&after).into_iter().collect();
        assert_eq!(changed, ["a.b.gone", "a.b.z", "a.y", "c.new"]);
        let mut updated = before;
        changed.iter().for_each(|key| updated.copy_from(key, &after));
        assert_eq!(updated, after);
    }
}

//! What an audit record says that a change did: values of attributes before and after.
//!
//! A record is read as it was written, also by an earlier version: a detail that is not understood changes nothing.

use std::collections::BTreeSet;

use provost_entry::{Entry, ModOp, Modification};
use provost_schema::attr;
use serde_json::{Value, json};

/// Attributes whose values no record, page or list shows.
pub(crate) const SECRETS: [&str; 4] = attr::SECRETS;
/// Longest value that a record holds, octets. A longer one, such as the text of a vacation reply, is recorded by its
/// digest.
const VALUE_OCTETS_MAX: usize = 1024;
/// What a record holds in place of a secret value.
const HIDDEN: &str = "set";

/// One attribute before and after a recorded change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedChange {
    /// The address, when the attribute is of an address entry and not of the subject's own entry.
    pub(crate) address: Option<String>,
    /// Name of the attribute, with its options.
    pub(crate) attribute: String,
    /// Whether `before` and `after` are all values of the attribute; else only the values of one side that the other
    /// side lacks have come or gone, and there may be others.
    pub(crate) is_whole: bool,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    /// Id of the rule that leads to the values, where an import records it.
    pub(crate) rule: Option<String>,
}

impl RecordedChange {
    /// All changes of a record with this action and detail.
    pub(crate) fn all(action: &str, detail: &Value) -> Vec<Self> {
        let listed = detail["changes"].as_array().or_else(|| detail["values"].as_array());
        let mut changes: Vec<Self> = listed.into_iter().flatten().filter_map(Self::listed).collect();
        if detail["password_set"] == true {
            changes.push(Self::whole(attr::USER_PASSWORD, Vec::new(), vec![HIDDEN.to_owned()]));
        }
        if listed.is_none() {
            changes.extend(Self::of_action(action, detail));
        }
        changes
    }

    fn listed(change: &Value) -> Option<Self> {
        let attribute = change["attribute"].as_str()?.to_owned();
        // Records of earlier versions do not say how an attribute changes; only these two are ever added to.
        let is_added_to = [attr::MAIL_LOCAL_ADDRESS, attr::PROVOST_SOURCE_ID].contains(&attribute.as_str());
        let is_whole = match change["how"].as_str() {
            Some(how) => how != "add",
            None => !is_added_to || change["before"].is_null(),
        };
        Some(Self {
            address: change["address"].as_str().map(str::to_lowercase),
            is_whole,
            before: texts(&change["before"]),
            after: texts(&change["after"]),
            rule: change["rule"].as_str().map(str::to_owned),
            attribute,
        })
    }

    /// The changes of operations whose records name no attributes.
    fn of_action(action: &str, detail: &Value) -> Vec<Self> {
        let address = texts(&detail["address"]);
        let part = |before, after| Self { is_whole: false, ..Self::whole(attr::MAIL_LOCAL_ADDRESS, before, after) };
        match action {
            "address.add" => vec![part(Vec::new(), address)],
            "address.remove" => vec![part(address, Vec::new())],
            "role.set" => vec![Self::whole(attr::PROVOST_ROLE, texts(&detail["before"]), texts(&detail["after"]))],
            "password.reset" | "password.change" | "activation.use" => {
                let before = if detail["had_one"] == true { vec![HIDDEN.to_owned()] } else { Vec::new() };
                vec![Self { is_whole: false, ..Self::whole(attr::USER_PASSWORD, before, vec![HIDDEN.to_owned()]) }]
            }
            "operator.add" => {
                let new = |attribute, value| Self::whole(attribute, Vec::new(), texts(value));
                vec![
                    new(attr::MAIL, &detail["address"]),
                    new(attr::MAIL_LOCAL_ADDRESS, &detail["address"]),
                    new(attr::CN, &detail["name"]),
                    new(attr::DISPLAY_NAME, &detail["name"]),
                    new(attr::PROVOST_ROLE, &detail["role"]),
                ]
            }
            _ => Vec::new(),
        }
    }

    fn whole(attribute: &str, before: Vec<String>, after: Vec<String>) -> Self {
        Self { address: None, attribute: attribute.to_owned(), is_whole: true, before, after, rule: None }
    }

    /// Whether the values are mail addresses of the person.
    pub(crate) fn is_of_addresses(&self) -> bool {
        [attr::MAIL, attr::MAIL_LOCAL_ADDRESS].iter().any(|name| self.attribute.eq_ignore_ascii_case(name))
    }

    /// Whether the attribute is a secret, of which a record shows only that it changed.
    pub(crate) fn is_secret(&self) -> bool {
        is_secret(&self.attribute)
    }

    /// The values that the change added.
    pub(crate) fn gained(&self) -> Vec<&String> {
        self.only_in(&self.after, &self.before)
    }

    /// The values that the change removed.
    pub(crate) fn lost(&self) -> Vec<&String> {
        self.only_in(&self.before, &self.after)
    }

    fn only_in<'v>(&self, values: &'v [String], others: &[String]) -> Vec<&'v String> {
        let key = |value: &str| if self.is_of_addresses() { value.to_lowercase() } else { value.to_owned() };
        let others: BTreeSet<String> = others.iter().map(|value| key(value)).collect();
        // A new password replaces the former one, although neither is recorded.
        values.iter().filter(|value| self.is_secret() || !others.contains(&key(value))).collect()
    }
}

/// Whether an attribute is a secret.
pub(crate) fn is_secret(attribute: &str) -> bool {
    SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(attribute))
}

/// What a record holds of a value: the value itself, a digest of a long one, or only that a secret is set.
pub(crate) fn recorded_value(attribute: &str, value: &str) -> String {
    if is_secret(attribute) {
        return HIDDEN.to_owned();
    }
    if value.len() <= VALUE_OCTETS_MAX {
        return value.to_owned();
    }
    format!("blake3:{}", blake3::hash(value.as_bytes()).to_hex())
}

/// The `values` of a record of a change of `entry`: each attribute that the modifications change, before and after.
pub(crate) fn recorded_modifications(entry: &Entry, modifications: &[Modification]) -> Value {
    let mut after = entry.clone();
    let mut names: Vec<&str> = Vec::new();
    for modification in modifications {
        let name = modification.attribute.as_str();
        let mut values = after.values(name).to_vec();
        match modification.op {
            ModOp::Replace => values.clone_from(&modification.values),
            ModOp::Add => values.extend(modification.values.iter().cloned()),
            ModOp::Delete if modification.values.is_empty() => values.clear(),
            ModOp::Delete => values.retain(|value| !modification.values.contains(value)),
        }
        after.set(modification.attribute.clone(), values);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let texts = |entry: &Entry, name: &str| -> Vec<String> {
        entry.texts(name).map(|value| recorded_value(name, value)).collect()
    };
    let changes = names.into_iter().filter(|name| is_secret(name) || texts(entry, name) != texts(&after, name));
    changes
        .map(|name| json!({ "attribute": name, "before": texts(entry, name), "after": texts(&after, name) }))
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use provost_entry::{AttributeDescription, Dn};

    use super::*;

    fn shown(action: &str, detail: &Value) -> Vec<String> {
        let line = |change: &RecordedChange| {
            let whole = if change.is_whole { "" } else { "~" };
            format!("{whole}{} -{:?} +{:?}", change.attribute, change.lost(), change.gained())
        };
        RecordedChange::all(action, detail).iter().map(line).collect()
    }

    #[test]
    fn records_of_each_kind_are_understood() {
        let import = json!({ "password_set": true, "changes": [
            { "attribute": "sn", "before": ["Roy"], "after": ["Li"], "rule": "column.family_name" },
            { "attribute": "mailLocalAddress", "how": "add", "before": ["a@x"], "after": ["A@x", "b@x"] },
        ] });
        let old =
            json!({ "changes": [{ "attribute": "mailLocalAddress", "before": ["a@x"], "after": ["a@x", "b@x"] }] });
        for (action, detail, expect) in [
            (
                "person.rename",
                import,
                &[r#"sn -["Roy"] +["Li"]"#, r#"~mailLocalAddress -[] +["b@x"]"#, r#"userPassword -[] +["set"]"#][..],
            ),
            ("person.rename", old, &[r#"~mailLocalAddress -[] +["b@x"]"#]),
            ("address.add", json!({ "address": "z@x" }), &[r#"~mailLocalAddress -[] +["z@x"]"#]),
            ("address.remove", json!({ "address": "z@x" }), &[r#"~mailLocalAddress -["z@x"] +[]"#]),
            ("role.set", json!({ "before": ["auditor"], "after": [] }), &[r#"provostRole -["auditor"] +[]"#]),
            ("password.reset", json!({ "had_one": true }), &[r#"~userPassword -["set"] +["set"]"#]),
            ("person.view", json!({}), &[]),
            ("x", json!("no object"), &[]),
        ] {
            assert_eq!(shown(action, &detail), expect, "{action}");
        }
    }

    #[test]
    fn modifications_are_recorded_without_secrets_and_long_values() {
        let name = AttributeDescription::of;
        let entry = Entry::new(Dn::parse("cn=a").unwrap()).with(attr::SN, "Roy").with(attr::USER_PASSWORD, "{X}1");
        let values = recorded_modifications(
            &entry,
            &[
                Modification::replace(name(attr::USER_PASSWORD), vec![b"{X}2".to_vec()]),
                Modification::add(name(attr::SN), vec![b"Li".to_vec()]),
                Modification::delete(name(attr::SN), vec![b"Roy".to_vec()]),
                Modification::replace(name(attr::DESCRIPTION), vec![vec![b'x'; VALUE_OCTETS_MAX + 1]]),
                Modification::replace(name(attr::CN), Vec::new()),
            ],
        );
        let text = values.to_string();
        assert!(!text.contains("{X}") && text.contains("blake3:"), "{text}");
        assert_eq!(values[1], json!({ "attribute": "sn", "before": ["Roy"], "after": ["Li"] }));
        assert_eq!(values.as_array().unwrap().len(), 3, "{text}");
    }
}

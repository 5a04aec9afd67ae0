//! A person's history: audit records in the form that the interfaces show.

use serde::Serialize;
use serde_json::Value;

use crate::AuditRecord;
use crate::recorded_change::is_secret;

/// One audit record about a person: a change that was made or tried, a sign-in or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// Id of the audit record.
    pub id: String,
    /// Time of the record, which precedes the change: RFC 3339, UTC.
    pub at: String,
    /// The actor: `cli:helen`, `token:registrar`, a login.
    pub actor: String,
    /// The interface that was used: cli, api, web.
    pub via: String,
    /// `person.rename`, `address.add`, `password.reset`, ...
    pub action: String,
    /// For an import: the row that asked for the change.
    pub import: Option<ImportRow>,
    /// Values before and after; never a password.
    pub changes: Vec<ValueChange>,
    /// Whether an import set an initial password.
    pub password_set: bool,
    /// `not_done`, `partly` or `unknown`; `None` for a change that succeeded completely and for other records.
    pub outcome: Option<String>,
    /// The reason for that outcome.
    pub outcome_reason: Option<String>,
}

/// A row of a registrar's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportRow {
    /// Name of the source.
    pub source: String,
    /// Line of the file.
    pub row: u64,
    /// Id of the batch: provostLastBatch of the entries that it wrote, and the name of its journal.
    pub batch: String,
    /// The change, described for people.
    pub what: String,
    /// The reason for the change, described for people.
    pub reason: String,
}

/// One attribute before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// The mail address, when an import changed this attribute in an address entry and not in the person's entry.
    pub address: Option<String>,
    /// Name of the attribute.
    pub attribute: String,
    /// Values before; empty for what was added.
    pub before: Vec<String>,
    /// Values after; empty for what was removed.
    pub after: Vec<String>,
}

impl From<AuditRecord> for HistoryEntry {
    fn from(record: AuditRecord) -> Self {
        let AuditRecord { id, at, actor, via, action, subject: _, detail, addresses: _ } = record;
        Self {
            import: import_row(&detail),
            changes: changes(&action, &detail),
            password_set: detail["password_set"] == true,
            outcome: detail["outcome"].as_str().map(str::to_owned),
            outcome_reason: detail["outcome_reason"].as_str().map(str::to_owned),
            id,
            at,
            actor,
            via,
            action,
        }
    }
}

fn import_row(detail: &Value) -> Option<ImportRow> {
    let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
    let row = detail["row"].as_u64()?;
    Some(ImportRow { source: text("source"), row, batch: text("batch"), what: text("what"), reason: text("reason") })
}

/// Reads the changes from a record's detail: an import lists them, a change of an alias names its `address`, other
/// operations that show values state `before` and `after`.
fn changes(action: &str, detail: &Value) -> Vec<ValueChange> {
    if let Some(listed) = detail["changes"].as_array() {
        return listed.iter().map(listed_change).collect();
    }
    if let Some(address) = detail["address"].as_str() {
        let addresses = vec![address.to_owned()];
        let (before, after) =
            if action == "address.remove" { (addresses, Vec::new()) } else { (Vec::new(), addresses) };
        return vec![ValueChange { address: None, attribute: "address".to_owned(), before, after }];
    }
    let (before, after) = (&detail["before"], &detail["after"]);
    if detail.get("before").is_none() && detail.get("after").is_none() {
        let shown = |change: &&Value| !is_secret(change["attribute"].as_str().unwrap_or_default());
        return detail["values"].as_array().into_iter().flatten().filter(shown).map(listed_change).collect();
    }
    match (before.as_object(), after.as_object()) {
        (None, None) => {
            let what = action.split('.').next().unwrap_or_default();
            different(what, before, after).into_iter().collect()
        }
        (held, stated) => {
            let names = held.into_iter().chain(stated).flat_map(|fields| fields.keys());
            let names: std::collections::BTreeSet<&String> = names.collect();
            names.into_iter().filter_map(|name| different(name, &before[name], &after[name])).collect()
        }
    }
}

fn listed_change(change: &Value) -> ValueChange {
    ValueChange {
        address: change["address"].as_str().map(str::to_owned),
        attribute: change["attribute"].as_str().unwrap_or_default().to_owned(),
        before: texts(&change["before"]),
        after: texts(&change["after"]),
    }
}

fn different(name: &str, before: &Value, after: &Value) -> Option<ValueChange> {
    let (before, after) = (texts(before), texts(after));
    (before != after).then(|| ValueChange { address: None, attribute: name.to_owned(), before, after })
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(action: &str, detail: &Value) -> String {
        let changes = changes(action, detail);
        let line = |change: &ValueChange| format!("{} {:?} {:?}", change.attribute, change.before, change.after);
        changes.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_kind_of_change_shows_its_values() {
        let listed = json!({ "changes": [{ "attribute": "sn", "before": ["Roy"], "after": ["Côté"] }] });
        let vacation = json!({
            "before": { "text_en": "Away", "interval_days": 7, "start": null },
            "after": { "text_en": "Gone", "interval_days": 7, "start": "2026-12-01" },
        });
        for (action, detail, expect) in [
            ("person.rename", listed, r#"sn ["Roy"] ["Côté"]"#),
            ("address.add", json!({ "address": "z@x.edu" }), r#"address [] ["z@x.edu"]"#),
            ("address.remove", json!({ "address": "z@x.edu" }), r#"address ["z@x.edu"] []"#),
            ("role.set", json!({ "before": [], "after": ["auditor"] }), r#"role [] ["auditor"]"#),
            ("vacation.set", vacation, r#"start [] ["2026-12-01"]; text_en ["Away"] ["Gone"]"#),
            ("vacation.clear", json!({ "before": { "text_en": "A" }, "after": null }), r#"text_en ["A"] []"#),
            ("password.reset", json!({ "generated": true }), ""),
            ("x", json!("no object"), ""),
        ] {
            assert_eq!(shown(action, &detail), expect, "{action}");
        }
    }
}

//! Audit records as CSV: one line for each changed attribute, so that a spreadsheet can sort and filter them.

use serde_json::Value;

use crate::AuditRecord;
use crate::people_list::csv_line;
use crate::recorded_change::RecordedChange;

/// The header of the export, with its line end.
pub fn audit_csv_header() -> String {
    csv_line([
        "id",
        "at",
        "actor",
        "via",
        "action",
        "subject",
        "outcome",
        "outcome_of",
        "reason",
        "batch",
        "source",
        "row",
        "rule",
        "policies",
        "address",
        "attribute",
        "before",
        "after",
    ])
}

/// The lines of a record: one for each changed attribute, or one alone for a record that states no values. Several
/// values of an attribute are separated by line ends.
pub fn audit_csv_lines(record: &AuditRecord) -> String {
    let detail = &record.detail;
    let text = |name: &str| match &detail[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let rule = text("rule");
    let line = |change: Option<&RecordedChange>| {
        let of_change = |get: &dyn Fn(&RecordedChange) -> String| change.map(get).unwrap_or_default();
        let own_rule = of_change(&|change| change.rule.clone().unwrap_or_default());
        csv_line([
            record.id.clone(),
            record.at.clone(),
            record.actor.clone(),
            record.via.clone(),
            record.action.clone(),
            record.subject.clone(),
            text("outcome"),
            text("of"),
            text("reason"),
            text("batch"),
            text("source"),
            text("row"),
            if own_rule.is_empty() { rule.clone() } else { own_rule },
            text("policies"),
            of_change(&|change| change.address.clone().unwrap_or_default()),
            of_change(&|change| change.attribute.clone()),
            of_change(&|change| change.before.join("\n")),
            of_change(&|change| change.after.join("\n")),
        ])
    };
    let changes = RecordedChange::all(&record.action, detail);
    if changes.is_empty() { line(None) } else { changes.iter().map(|change| line(Some(change))).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_changed_attribute_has_a_line() {
        let record = |action: &str, detail| AuditRecord {
            id: "1".into(),
            at: "2026-09-01T08:00:00Z".into(),
            actor: "=cmd".into(),
            via: "cli".into(),
            action: action.into(),
            subject: "provostPersonId=7,ou=people,dc=x".into(),
            detail,
            addresses: Vec::new(),
        };
        let import = json!({ "batch": "b", "source": "registrar", "row": 3, "reason": "r", "policies": "built-in/1",
            "rule": "person.differs", "changes": [
                { "attribute": "sn", "before": ["Roy"], "after": ["Li"], "rule": "column.family_name" },
                { "attribute": "mailLocalAddress", "address": "a@x", "after": ["a@x", "b@x"] }] });
        let head = "1,2026-09-01T08:00:00Z,'=cmd,cli";
        let subject = "\"provostPersonId=7,ou=people,dc=x\"";
        assert_eq!(
            audit_csv_lines(&record("person.update", import)),
            format!(
                "{head},person.update,{subject},,,r,b,registrar,3,column.family_name,built-in/1,,sn,Roy,Li\r\n\
                 {head},person.update,{subject},,,r,b,registrar,3,person.differs,built-in/1,a@x,mailLocalAddress,,\"a@x\nb@x\"\r\n"
            )
        );
        let outcome = json!({ "of": "0", "outcome": "not_done", "reason": "changed meanwhile" });
        assert_eq!(
            audit_csv_lines(&record("change.outcome", outcome)),
            format!("{head},change.outcome,{subject},not_done,0,changed meanwhile,,,,,,,,,\r\n")
        );
        let columns = audit_csv_header().split(',').count();
        assert_eq!(columns, 18);
    }
}

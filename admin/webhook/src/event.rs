//! The events that follow from one audit record.

use provost_entry::Dn;
use provost_provision::AuditRecord;
use provost_schema::attr;
use serde_json::{Map, Value, json};

/// One event, before an endpoint's choice of details.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookEvent {
    /// The id of the event, the same in every attempt: receivers drop what they have seen.
    pub id: String,
    /// The type: `person.renamed`.
    pub kind: &'static str,
    /// Time of the record: RFC 3339.
    at: String,
    /// Data without anything personal but ids.
    data: Map<String, Value>,
    /// Data for endpoints that ask for details.
    details: Map<String, Value>,
}

/// Audit actions of the end of an apply: of an import, an undo, a run of the lifecycle.
const APPLIED: [&str; 3] = ["import.apply", "undo.apply", "lifecycle.apply"];
/// Audit action that states the outcome of an earlier change.
pub(crate) const OUTCOME: &str = "change.outcome";

impl WebhookEvent {
    /// The body of the request.
    pub fn body(&self, with_details: bool) -> Vec<u8> {
        let mut data = self.data.clone();
        if with_details {
            data.insert("details".to_owned(), self.details.clone().into());
        }
        let body = json!({ "type": self.kind, "timestamp": self.at, "data": data });
        body.to_string().into_bytes()
    }

    /// Adds the outcome of a change that did not succeed completely.
    pub(crate) fn set_outcome(&mut self, outcome: &str) {
        self.data.insert("outcome".to_owned(), outcome.into());
    }
}

/// The event of `provost webhook test`.
pub fn test_event(now: jiff::Timestamp, id: &str) -> WebhookEvent {
    WebhookEvent { id: id.to_owned(), kind: "webhook.test", at: now.to_string(), data: Map::new(), details: Map::new() }
}

/// The events of a record, in their order; none for a view, a refusal, a sign-in and the like.
pub fn events_of(sequence: u64, record: &AuditRecord) -> Vec<WebhookEvent> {
    let kinds = kinds(record);
    let events = (1u32..).zip(kinds);
    events
        .map(|(number, kind)| WebhookEvent {
            id: format!("{}.{number}", record.id),
            kind,
            at: record.at.clone(),
            data: data(sequence, record, kind),
            details: details(record),
        })
        .collect()
}

fn kinds(record: &AuditRecord) -> Vec<&'static str> {
    match record.action.as_str() {
        action if APPLIED.contains(&action) => return vec!["import.applied"],
        OUTCOME => return vec!["change.outcome"],
        _ => {}
    }
    if person(record).is_none() {
        return Vec::new();
    }
    match record.action.as_str() {
        "notice.send" => return vec!["notice.sent"],
        "notice.object" => return vec!["notice.objected"],
        _ => {}
    }
    let mut kinds = Vec::new();
    match record.action.as_str() {
        "person.create" | "operator.add" => kinds.push("person.created"),
        "person.remove" => kinds.push("person.removed"),
        "person.rename" => kinds.push("person.renamed"),
        _ if is_change(record) => kinds.push("person.changed"),
        _ => return Vec::new(),
    }
    if kinds == ["person.changed"] || kinds == ["person.renamed"] {
        kinds.extend(of_locks(record));
        if let Some((from, to)) = states(record) {
            kinds.extend(of_states(&from, &to));
        }
    }
    kinds
}

/// Whether the record says that something was changed.
fn is_change(record: &AuditRecord) -> bool {
    !changes(record).is_empty()
        || ["address.add", "address.remove", "vacation.set", "vacation.clear", "role.set", "password.reset"]
            .contains(&record.action.as_str())
}

/// The changes that the record lists: by an import, or by an operation of the desk.
fn changes(record: &AuditRecord) -> &[Value] {
    let listed = record.detail["changes"].as_array().or_else(|| record.detail["values"].as_array());
    listed.map(Vec::as_slice).unwrap_or_default()
}

fn of_attribute<'r>(record: &'r AuditRecord, attribute: &str) -> Option<&'r Value> {
    let is_it = |change: &&Value| {
        change["address"].is_null()
            && change["attribute"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(attribute))
    };
    changes(record).iter().find(is_it)
}

/// The state before and after, when it changes.
fn states(record: &AuditRecord) -> Option<(String, String)> {
    let change = of_attribute(record, attr::PROVOST_STATE)?;
    let state = |value: &Value| value[0].as_str().unwrap_or_default().to_ascii_lowercase();
    let (from, to) = (state(&change["before"]), state(&change["after"]));
    (from != to).then_some((from, to))
}

/// A lock that was set suspends; one that was lifted releases, even if others stand: the event names the locks left.
fn of_locks(record: &AuditRecord) -> Option<&'static str> {
    let change = of_attribute(record, attr::PROVOST_LOCK)?;
    let (before, after) = (list(&change["before"]), list(&change["after"]));
    match (after.iter().any(|lock| !before.contains(lock)), before.iter().any(|lock| !after.contains(lock))) {
        (true, _) => Some("person.suspended"),
        (false, true) => Some("person.released"),
        (false, false) => None,
    }
}

fn of_states(from: &str, to: &str) -> Vec<&'static str> {
    let mut kinds = vec!["state.changed"];
    match (from, to) {
        (_, "closed") => kinds.push("person.closed"),
        ("closed", _) => kinds.push("person.restored"),
        (_, "suspended") => kinds.push("person.suspended"),
        ("suspended", _) => kinds.push("person.released"),
        _ => {}
    }
    kinds
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// provostPersonId of the person whom the record is about.
fn person(record: &AuditRecord) -> Option<String> {
    Dn::parse(&record.subject).ok()?.rdn_value(attr::PROVOST_PERSON_ID)
}

fn data(sequence: u64, record: &AuditRecord, kind: &str) -> Map<String, Value> {
    let mut data = Map::new();
    let mut set = |name: &str, value: Value| _ = data.insert(name.to_owned(), value);
    set("audit_id", record.id.clone().into());
    set("sequence", sequence.into());
    if let Some(person) = person(record) {
        set("person", person.into());
    }
    for name in ["batch", "of", "outcome", "applied", "failed", "interrupted", "undoes"] {
        let value = &record.detail[name];
        if !value.is_null() {
            set(name, value.clone());
        }
    }
    if kind == "import.applied" || kind == "change.outcome" {
        return data;
    }
    let mut names: Vec<&str> = changes(record).iter().filter_map(|change| change["attribute"].as_str()).collect();
    if record.detail["password_set"] == true {
        names.push(attr::USER_PASSWORD);
    }
    if record.action.starts_with("address.") {
        names.push(attr::MAIL_LOCAL_ADDRESS);
    }
    names.sort_unstable();
    names.dedup();
    set("changed", names.into());
    if let Some((from, to)) = states(record) {
        set("state", json!({ "from": from, "to": to }));
    }
    if kind == "person.suspended" || kind == "person.released" {
        // A lock's first word is its name; owner and reason are details.
        let locks = of_attribute(record, attr::PROVOST_LOCK).map(|change| list(&change["after"])).unwrap_or_default();
        let names: Vec<&str> = locks.into_iter().filter_map(|lock| lock.split(' ').next()).collect();
        set("locks", names.into());
    }
    data
}

fn details(record: &AuditRecord) -> Map<String, Value> {
    let mut details = Map::new();
    details.insert("actor".to_owned(), record.actor.clone().into());
    details.insert("via".to_owned(), record.via.clone().into());
    details.insert("action".to_owned(), record.action.clone().into());
    details.insert("subject".to_owned(), record.subject.clone().into());
    details.insert("record".to_owned(), record.detail.clone());
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(action: &str, detail: Value) -> AuditRecord {
        AuditRecord {
            id: "a1".into(),
            at: "2026-09-01T08:00:00Z".into(),
            actor: "cli:helen".into(),
            via: "cli".into(),
            action: action.into(),
            subject: "provostPersonId=7,ou=people,dc=x".into(),
            detail,
            addresses: Vec::new(),
        }
    }

    fn of_change(attribute: &str, before: &[&str], after: &[&str]) -> Value {
        json!({ "reason": "secret matter", "values": [{ "attribute": attribute, "before": before, "after": after }] })
    }

    #[test]
    fn each_record_leads_to_its_events() {
        let lock = "abuse 20260901080000Z - cli:helen spam";
        for (action, detail, expect) in [
            ("person.create", json!({ "changes": [{ "attribute": "sn", "after": ["Roy"] }] }), &["person.created"][..]),
            ("person.remove", json!({ "changes": [] }), &["person.removed"]),
            ("person.rename", json!({ "changes": [{ "attribute": "mail" }] }), &["person.renamed"]),
            ("person.update", of_change("sn", &["Roy"], &["Li"]), &["person.changed"]),
            ("person.suspend", of_change("provostLock", &[], &[lock]), &["person.changed", "person.suspended"]),
            ("person.release", of_change("provostLock", &[lock], &[]), &["person.changed", "person.released"]),
            ("person.update", of_change("provostState", &["active"], &["grace"]), &["person.changed", "state.changed"]),
            (
                "person.close",
                of_change("provostState", &["grace"], &["closed"]),
                &["person.changed", "state.changed", "person.closed"],
            ),
            (
                "person.update",
                of_change("provostState", &["closed"], &["active"]),
                &["person.changed", "state.changed", "person.restored"],
            ),
            ("password.reset", json!({ "generated": true }), &["person.changed"]),
            ("address.add", json!({ "address": "a@x" }), &["person.changed"]),
            ("person.view", json!({}), &[]),
            ("operation.refused", json!({}), &[]),
            ("change.outcome", json!({ "of": "a0", "outcome": "partly" }), &["change.outcome"]),
            ("import.apply", json!({ "batch": "b" }), &["import.applied"]),
            ("lifecycle.apply", json!({ "batch": "b" }), &["import.applied"]),
            ("notice.send", of_change("provostNotice", &[], &["closing@20270301 7 20270222120000Z"]), &["notice.sent"]),
            ("notice.object", of_change("provostObjection", &[], &["closing@20270301 x"]), &["notice.objected"]),
        ] {
            let kinds: Vec<&str> = events_of(1, &record(action, detail)).iter().map(|event| event.kind).collect();
            assert_eq!(kinds, expect, "{action}");
            assert!(kinds.iter().all(|kind| provost_settings::WEBHOOK_EVENTS.contains(kind)), "{kinds:?}");
        }
        let other =
            AuditRecord { subject: "cn=removal-guard,ou=policies,dc=x".into(), ..record("setting.set", json!({})) };
        assert!(events_of(1, &other).is_empty());
    }

    #[test]
    fn only_an_endpoint_that_asks_gets_personal_data() {
        let lock = "abuse 20260901080000Z - cli:helen spam";
        let suspended = events_of(7, &record("person.suspend", of_change("provostLock", &[], &[lock])));
        let event = &suspended[1];
        assert_eq!(event.id, "a1.2");
        let body: Value = serde_json::from_slice(&event.body(false)).unwrap();
        assert_eq!(
            body,
            json!({ "type": "person.suspended", "timestamp": "2026-09-01T08:00:00Z", "data": {
                "audit_id": "a1", "sequence": 7, "person": "7", "changed": ["provostLock"], "locks": ["abuse"] } })
        );
        let text = String::from_utf8(event.body(true)).unwrap();
        assert!(text.contains("secret matter") && text.contains("cli:helen"), "{text}");
    }
}

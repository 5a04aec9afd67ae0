//! Tangled histories: each row of a table is a record, newest last; the explanation names exactly the records that
//! count.

use jiff::tz::TimeZone;
use provost_entry::{Dn, Entry};
use serde_json::json;

use super::*;
use crate::{Language, Words};

const DN: &str = "provostPersonId=7,ou=people,dc=x";

fn time(text: &str) -> Timestamp {
    format!("2026-{text}T08:00:00Z").parse().unwrap()
}

/// A record about the person on a day of 2026; its id is the day.
fn record(day: &str, action: &str, detail: Value) -> AuditRecord {
    AuditRecord {
        id: day.to_owned(),
        at: time(day).to_string(),
        actor: "cli:helen".into(),
        via: "cli".into(),
        action: action.into(),
        subject: DN.into(),
        detail,
        addresses: Vec::new(),
    }
}

/// The record of an import's row: attribute, before, after, rule; `+` before an attribute adds values.
fn import(day: &str, action: &str, row: u64, changes: &[(&str, &[&str], &[&str], &str)]) -> AuditRecord {
    let changes: Vec<Value> = changes
        .iter()
        .map(|(attribute, before, after, rule)| {
            let how = if attribute.starts_with('+') { "add" } else { "set" };
            json!({ "attribute": attribute.trim_start_matches('+'), "how": how, "before": before, "after": after, "rule": rule })
        })
        .collect();
    let batch = format!("batch-{day}");
    record(
        day,
        action,
        json!({ "batch": batch, "source": "registrar", "digest": format!("file-{day}"), "row": row,
            "policies": "built-in/1", "reason": "r", "changes": changes }),
    )
}

fn person(values: &[(&'static str, &str)]) -> Entry {
    values.iter().fold(Entry::new(Dn::parse(DN).unwrap()), |entry, (name, value)| entry.with(name, *value))
}

/// For each value: `attribute=value <- origin`, where the origin is row and rule, an actor's action, or how little is
/// known.
fn explained(entry: &Entry, addresses: &[Entry], oldest_first: &[AuditRecord], at: &str) -> Vec<String> {
    let mut records = oldest_first.to_vec();
    records.reverse();
    let facts = PersonFacts { entry, addresses, records: &records, batches: &Batches::new() };
    let explanation = match explain_person(&facts, time(at), time("12-31")) {
        Ok(explanation) => explanation,
        Err(error) => return vec![error.to_string()],
    };
    let values = explanation.values.iter().map(|value| (format!("{}={}", value.attribute, value.value), &value.origin));
    let addresses = explanation
        .addresses
        .iter()
        .map(|address| (format!("{} {}", address.address_kind, address.address), &address.origin));
    let state = explanation.state.origin.iter().map(|origin| (format!("state={}", explanation.state.state), origin));
    let uncertain = explanation.uncertain.iter().map(|name| format!("{name}?"));
    let lines = state.chain(values).chain(addresses);
    lines.map(|(what, origin)| format!("{what} <- {}", shown(origin))).chain(uncertain).collect()
}

fn shown(origin: &ExplainedOrigin) -> String {
    match origin {
        ExplainedOrigin::Record(record) => match &record.file {
            Some(file) => format!(
                "{} row {} {} {}",
                file.digest.as_deref().unwrap_or("?"),
                file.row,
                record.rule.as_deref().unwrap_or("?"),
                record.policies.as_deref().unwrap_or("?")
            ),
            None => format!("{} {}", record.audit_id, record.action),
        },
        ExplainedOrigin::Outside { after: Some(after), .. } => format!("outside after {}", &after[5..10]),
        ExplainedOrigin::Outside { before: Some(before), .. } => format!("outside before {}", &before[5..10]),
        ExplainedOrigin::Outside { .. } => "no record".to_owned(),
    }
}

/// Created in January, renamed in March, a programme by hand outside Provost in May, set again in July.
fn history() -> Vec<AuditRecord> {
    vec![
        import(
            "01-10",
            "person.create",
            2,
            &[
                ("sn", &[], &["Roy"], "column.family_name"),
                ("mail", &[], &["ida.roy@x"], "address.primary"),
                ("mailLocalAddress", &[], &["ida.roy@x"], "address.primary"),
                ("provostState", &[], &["active"], "account.new"),
                ("provostProgram", &[], &["Law"], "column.program"),
            ],
        ),
        import(
            "03-10",
            "person.rename",
            5,
            &[
                ("sn", &["Roy"], &["Li"], "column.family_name"),
                ("mail", &["ida.roy@x"], &["ida.li@x"], "address.primary"),
                ("+mailLocalAddress", &["ida.roy@x"], &["ida.roy@x", "ida.li@x"], "address.kept"),
            ],
        ),
        record("04-01", "address.add", json!({ "address": "ida@x" })),
        import("07-10", "person.update", 9, &[("provostProgram", &["Arts"], &["Music"], "column.program")]),
        record("08-01", "role.set", json!({ "before": [], "after": ["auditor"] })),
    ]
}

fn present() -> Entry {
    person(&[
        ("sn", "Li"),
        ("mail", "ida.li@x"),
        ("mailLocalAddress", "ida.roy@x"),
        ("mailLocalAddress", "ida.li@x"),
        ("mailLocalAddress", "ida@x"),
        ("provostState", "active"),
        ("provostProgram", "Music"),
        ("provostRole", "auditor"),
    ])
}

#[test]
fn each_value_leads_to_its_row_and_rule() {
    let lines = explained(&present(), &[], &history(), "12-01");
    assert_eq!(
        lines,
        [
            "state=active <- file-01-10 row 2 account.new built-in/1",
            "provostProgram=Music <- file-07-10 row 9 column.program built-in/1",
            "provostRole=auditor <- 08-01 role.set",
            "sn=Li <- file-03-10 row 5 column.family_name built-in/1",
            "primary ida.li@x <- file-03-10 row 5 address.kept built-in/1",
            "alias ida.roy@x <- file-01-10 row 2 address.primary built-in/1",
            "alias ida@x <- 04-01 address.add",
        ]
    );
}

#[test]
fn the_past_is_what_the_changes_since_then_found() {
    for (at, expect) in [
        // In July the import found Arts, which no record had set.
        (
            "06-01",
            &[
                "state=active <- file-01-10 row 2 account.new built-in/1",
                "provostProgram=Arts <- outside after 01-10",
                "sn=Li <- file-03-10 row 5 column.family_name built-in/1",
                "primary ida.li@x <- file-03-10 row 5 address.kept built-in/1",
                "alias ida.roy@x <- file-01-10 row 2 address.primary built-in/1",
                "alias ida@x <- 04-01 address.add",
            ][..],
        ),
        (
            "02-01",
            &[
                "state=active <- file-01-10 row 2 account.new built-in/1",
                "provostProgram=Arts <- outside after 01-10",
                "sn=Roy <- file-01-10 row 2 column.family_name built-in/1",
                "primary ida.roy@x <- file-01-10 row 2 address.primary built-in/1",
            ],
        ),
        ("01-01", &["the account did not exist then: it was created at 2026-01-10T08:00:00Z"]),
    ] {
        assert_eq!(explained(&present(), &[], &history(), at), expect, "{at}");
    }
}

#[test]
fn what_no_record_accounts_for_was_set_outside() {
    // Somebody wrote another family name with an LDAP client after the last record of it.
    let edited = person(&[("sn", "Lee"), ("uid", "ida.roy")]);
    let lines = explained(&edited, &[], &history(), "12-01");
    assert_eq!(lines, ["sn=Lee <- outside after 03-10", "uid=ida.roy <- outside after 01-10"]);
    // Before that record, the value is the one that the record found, and the explanation says that it is uncertain.
    let lines = explained(&edited, &[], &history(), "02-01");
    assert!(lines.contains(&"sn=Roy <- file-01-10 row 2 column.family_name built-in/1".to_owned()), "{lines:?}");
    assert!(lines.contains(&"sn?".to_owned()), "{lines:?}");
    // Without the record of the creation, the oldest record bounds the time.
    let late = history().split_off(2);
    let lines = explained(&edited, &[], &late, "12-01");
    assert_eq!(lines[0], "sn=Lee <- outside before 04-01");
    assert_eq!(explained(&edited, &[], &[], "12-01")[0], "sn=Lee <- no record");
    assert!(explained(&edited, &[], &[], "12-31").len() == 2);
    let future = PersonFacts { entry: &edited, addresses: &[], records: &[], batches: &Batches::new() };
    assert_eq!(explain_person(&future, time("12-31"), time("12-01")), Err(ExplainError::Future));
}

#[test]
fn a_change_that_was_not_done_explains_nothing() {
    let mut history = history();
    let failed = |day: &str, outcome: &str| {
        let mut record = import(day, "person.update", 4, &[("sn", &["Li"], &["Côté"], "column.family_name")]);
        record.detail["outcome"] = outcome.into();
        record
    };
    history.push(failed("09-01", "not_done"));
    history.push(failed("09-02", "unknown"));
    let row = "sn=Li <- file-03-10 row 5 column.family_name built-in/1".to_owned();
    assert!(explained(&present(), &[], &history, "12-01").contains(&row));
    assert!(explained(&present(), &[], &history, "06-01").contains(&row));
    // The outcome was unknown, but the entry shows that it was done.
    let done = person(&[("sn", "Côté")]);
    assert_eq!(explained(&done, &[], &history, "12-01"), ["sn=Côté <- file-09-02 row 4 column.family_name built-in/1"]);
    assert!(explained(&done, &[], &history, "06-01").contains(&row));
}

#[test]
fn an_undo_and_a_return_are_followed() {
    let history = [
        import("01-10", "person.create", 2, &[("sn", &[], &["Roy"], "column.family_name")]),
        import("02-10", "person.update", 3, &[("sn", &["Roy"], &["Li"], "column.family_name")]),
        import("03-10", "person.restore", 3, &[("sn", &["Li"], &["Roy"], "undo.batch")]),
        import("04-10", "person.update", 8, &[("sn", &["Roy"], &["Li"], "column.family_name")]),
    ];
    let entry = person(&[("sn", "Li")]);
    for (at, expect) in [
        ("12-01", "sn=Li <- file-04-10 row 8 column.family_name built-in/1"),
        ("03-20", "sn=Roy <- file-03-10 row 3 undo.batch built-in/1"),
        ("02-20", "sn=Li <- file-02-10 row 3 column.family_name built-in/1"),
        ("01-20", "sn=Roy <- file-01-10 row 2 column.family_name built-in/1"),
    ] {
        assert_eq!(explained(&entry, &[], &history, at), [expect], "{at}");
    }
}

#[test]
fn state_locks_and_timers_are_told() {
    let lock = "abuse 20260301080000Z - cli:helen spam";
    let old_lock = "exam 20260101080000Z 20260110080000Z cli:rita";
    let entry = person(&[
        ("displayName", "Ida Li"),
        ("provostState", "grace"),
        ("provostStateSince", "20260601000000Z"),
        ("provostStateUntil", "20260901000000Z"),
        ("provostNextState", "closing"),
        ("provostPolicy", "staff-2020"),
        ("provostRestriction", "no-send"),
        ("provostLock", lock),
        ("provostLock", old_lock),
    ]);
    let values = json!({ "reason": "spam", "values": [{ "attribute": "provostLock", "before": [old_lock], "after": [old_lock, lock] }] });
    let records = [record("03-01", "person.suspend", values)];
    let facts = PersonFacts { entry: &entry, addresses: &[], records: &records, batches: &Batches::new() };
    let explanation = explain_person(&facts, time("07-01"), time("07-01")).unwrap();
    assert!(explanation.state.suspended);
    let lines = Words::new(Language::English, TimeZone::UTC).explanation(&Explanation::Person(Box::new(explanation)));
    assert_eq!(
        lines,
        [
            "Ida Li, as of 2026-07-01 08:00",
            "state: grace period, suspended by a lock since 2026-06-01 00:00",
            "    set outside Provost, or before 2026-03-01 08:00, the first record",
            "    by the policy staff-2020",
            "        set outside Provost, or before 2026-03-01 08:00, the first record",
            "    restrictions: no sending",
            "    next: ends on 2026-09-01 00:00, then closing",
            "lock abuse since 2026-03-01 08:00, by cli:helen: spam",
            "    person.suspend, spam, by cli:helen (cli), 2026-03-01 08:00",
            "lock exam since 2026-01-01 08:00 until 2026-01-10 08:00 (does not stand), by cli:rita: ",
            "    set outside Provost, or before 2026-03-01 08:00, the first record",
            "name shown: Ida Li",
            "    set outside Provost, or before 2026-03-01 08:00, the first record",
        ]
    );
    // Before the lock was set.
    let before = explain_person(&facts, time("02-01"), time("07-01")).unwrap();
    assert!(!before.state.suspended && before.state.locks.len() == 1);
}

fn address_entry(kind: &str, owner: &str, until: Option<&str>) -> Entry {
    let entry = Entry::new(Dn::parse("provostAddress=ida.roy@x,ou=addresses,dc=x").unwrap())
        .with("provostAddress", "ida.roy@x")
        .with("provostAddressKind", kind)
        .with("provostSince", "20260401080000Z");
    let entry = if owner.is_empty() { entry } else { entry.with("provostOwner", owner) };
    until.into_iter().fold(entry, |entry, until| entry.with("provostUntil", until))
}

#[test]
fn an_address_leads_to_its_destination_and_its_holders() {
    const OTHER: &str = "provostPersonId=9,ou=people,dc=x";
    let first = vec![
        record("04-01", "address.remove", json!({ "address": "ida.roy@x" })),
        import(
            "01-10",
            "person.create",
            2,
            &[
                ("mail", &[], &["ida.roy@x"], "address.primary"),
                ("mailLocalAddress", &[], &["ida.roy@x"], "address.primary"),
            ],
        ),
        // The former primary address was replaced before it was removed.
    ];
    let mut first = first;
    first.insert(
        1,
        import(
            "03-10",
            "person.rename",
            5,
            &[
                ("mail", &["ida.roy@x"], &["ida.li@x"], "address.primary"),
                ("+mailLocalAddress", &["ida.roy@x"], &["ida.roy@x", "ida.li@x"], "address.kept"),
            ],
        ),
    );
    let second = vec![record("10-01", "address.add", json!({ "address": "ida.roy@x" }))];
    let other = Entry::new(Dn::parse(OTHER).unwrap()).with("displayName", "Bo Li").with("provostState", "active");
    let entry = address_entry("alias", OTHER, None);
    let batches = Batches::new();
    let facts = AddressFacts {
        address: "ida.roy@x",
        is_served: true,
        entry: Some(&entry),
        owner: Some(&other),
        holders: vec![
            HolderFacts { dn: OTHER, entry: Some(&other), records: &second },
            HolderFacts { dn: DN, entry: None, records: &first },
        ],
        batches: &batches,
    };
    let at = |day: &str| explain_address(&facts, time(day), time("12-31"));
    let now = at("12-01");
    let periods: Vec<String> = now
        .holders
        .iter()
        .map(|holder| {
            let day = |time: &Option<String>| time.as_ref().map_or("-".to_owned(), |time| time[5..10].to_owned());
            let taken = holder.taken_by.as_ref().map_or("-".to_owned(), shown);
            format!(
                "{} {} {} {} / {taken}",
                holder.name,
                day(&holder.from),
                day(&holder.until),
                shown(&holder.given_by)
            )
        })
        .collect();
    assert_eq!(
        periods,
        [
            format!("{DN} 01-10 04-01 file-01-10 row 2 address.primary built-in/1 / 04-01 address.remove"),
            "Bo Li 10-01 - 10-01 address.add / -".to_owned(),
        ]
    );
    assert_eq!((now.held_then, at("03-20").held_then, at("06-01").held_then), (Some(1), Some(0), None));
    assert_eq!(now.destination, MailDestination::Mailbox { person: OTHER.to_owned(), name: "Bo Li".to_owned() });
}

#[test]
fn mail_goes_where_the_attributes_say() {
    let person = |values: &[(&'static str, &str)]| {
        values
            .iter()
            .fold(Entry::new(Dn::parse(DN).unwrap()).with("cn", "Ida"), |entry, (name, value)| entry.with(name, *value))
    };
    let to = ("mailForwardingAddress", "ida@home");
    let own = address_entry("primary", DN, None);
    let rows: Vec<(&Entry, Option<Entry>, &str)> = vec![
        (&own, Some(person(&[("provostState", "active")])), "mail goes to the mailbox of Ida"),
        (&own, Some(person(&[to, ("mailDeliveryOption", "forward")])), "mail is forwarded to ida@home, for Ida"),
        (
            &own,
            Some(person(&[to, ("mailDeliveryOption", "both")])),
            "mail is forwarded to ida@home, for Ida, and a copy stays",
        ),
        (
            &own,
            Some(person(&[to, ("mailDeliveryOption", "both"), ("provostForwardEnd", "20260101000000Z")])),
            "mail goes to the mailbox of Ida",
        ),
        // A file states no word: mail goes on and a copy stays, except where the account only forwards.
        (&own, Some(person(&[to])), "mail is forwarded to ida@home, for Ida, and a copy stays"),
        (&own, Some(person(&[to, ("provostRestriction", "forward-only")])), "mail is forwarded to ida@home, for Ida"),
        (&own, Some(person(&[("provostState", "closed")])), "mail is refused: the account of Ida, closed"),
        (
            &own,
            Some(person(&[("provostRestriction", "no-receive")])),
            "mail is refused: the account of Ida, no receiving",
        ),
        (
            &own,
            Some(person(&[("provostRestriction", "forward-only")])),
            "mail is refused: the account of Ida, forwarding only",
        ),
        (&own, None, "mail is refused: there is no such address"),
    ]
    .into_iter()
    .collect();
    let words = Words::new(Language::English, TimeZone::UTC);
    let batches = Batches::new();
    let told = |entry: Option<&Entry>, owner: Option<&Entry>, is_served: bool| {
        let facts =
            AddressFacts { address: "ida.roy@x", is_served, entry, owner, holders: Vec::new(), batches: &batches };
        let explained = explain_address(&facts, time("07-01"), time("07-01"));
        let lines = words.explanation(&Explanation::Address(Box::new(explained)));
        lines[0].strip_prefix("ida.roy@x: ").unwrap().to_owned()
    };
    for (entry, owner, expect) in rows {
        assert_eq!(told(Some(entry), owner.as_ref(), true), expect);
    }
    let quarantined = address_entry("quarantined", DN, Some("20261001080000Z"));
    assert_eq!(told(Some(&quarantined), None, true), "mail is refused: in quarantine until 2026-10-01 08:00");
    let role = address_entry("role", "", None).with("provostTarget", "helen@x");
    assert_eq!(told(Some(&role), None, true), "mail goes to the role of helen@x");
    let list = address_entry("list", "cn=law,ou=groups,dc=x", None);
    assert_eq!(told(Some(&list), None, true), "mail goes to the members of cn=law,ou=groups,dc=x");
    assert_eq!(told(None, None, false), "the domain is not served here");
}

proptest::proptest! {
    #[test]
    fn no_record_causes_a_panic(text in ".{0,40}", days in proptest::collection::vec(1..13u8, 0..6)) {
        let records: Vec<AuditRecord> = days
            .iter()
            .map(|day| {
                let detail = json!({ "changes": [{ "attribute": text, "before": [text], "after": text }], "address": text });
                record(&format!("{day:02}-01"), "address.add", detail)
            })
            .collect();
        let lock = person(&[("provostLock", text.as_str()), ("sn", text.as_str())]);
        let _ = explained(&lock, &[], &records, "06-15");
    }
}

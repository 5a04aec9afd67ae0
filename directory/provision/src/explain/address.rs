//! Explains one address: where mail to it goes, and who had it when.

use jiff::Timestamp;
use provost_entry::time::parse_generalized;
use provost_entry::{Dn, Entry};
use provost_schema::attr;
use serde::Serialize;

use super::{Batches, ExplainedOrigin, TimedRecord, rfc3339};
use crate::AuditRecord;
use crate::lifecycle::AddressEnd;
use crate::recorded_change::RecordedChange;
use crate::write::QUARANTINED;

/// What is known of an address.
pub(crate) struct AddressFacts<'a> {
    /// In lower case.
    pub(crate) address: &'a str,
    /// Whether the domain is served here.
    pub(crate) is_served: bool,
    /// The address entry.
    pub(crate) entry: Option<&'a Entry>,
    /// The person or group that owns the entry, or has the address without an entry.
    pub(crate) owner: Option<&'a Entry>,
    /// Everyone who is recorded to have got or lost the address.
    pub(crate) holders: Vec<HolderFacts<'a>>,
    pub(crate) batches: &'a Batches,
}

/// A present or former holder.
pub(crate) struct HolderFacts<'a> {
    /// DN of the person.
    pub(crate) dn: &'a str,
    /// The person's entry, while it exists.
    pub(crate) entry: Option<&'a Entry>,
    /// The records about the person, newest first, with their outcomes.
    pub(crate) records: &'a [AuditRecord],
}

/// The explanation of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressExplanation {
    /// The address in full, with its domain.
    pub address: String,
    /// The moment of the explanation: RFC 3339.
    pub at: String,
    /// Where mail to it goes now.
    pub destination: MailDestination,
    /// Kind of the address entry.
    pub address_kind: Option<String>,
    /// Start of the ownership, in quarantine of that of the former owner: RFC 3339.
    pub since: Option<String>,
    /// End of the address or of the quarantine: RFC 3339.
    pub until: Option<String>,
    /// The naming policy and the pattern that gave it, and what it collided with, when a document of the site gave it.
    pub found_by: Option<String>,
    /// Who had it at the moment: index into `holders`.
    pub held_then: Option<usize>,
    /// Who had it when, oldest first.
    pub holders: Vec<AddressHolder>,
}

/// Where mail to an address goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum MailDestination {
    /// To a person's mailbox.
    Mailbox {
        /// DN of the person.
        person: String,
        /// The person's name.
        name: String,
    },
    /// To a person's forwarding addresses.
    Forward {
        /// DN of the person.
        person: String,
        /// The person's name.
        name: String,
        /// The forwarding addresses.
        addresses: Vec<String>,
        /// Whether the mailbox keeps a copy.
        keeps_copy: bool,
    },
    /// To the targets of a role.
    Role {
        /// The addresses to which mail goes on.
        targets: Vec<String>,
    },
    /// To the members of a group.
    List {
        /// DN of the group.
        group: String,
    },
    /// Nowhere: the address was taken from its owner and is kept from others.
    Quarantine {
        /// End of the quarantine, RFC 3339; `None` when the entry states none.
        until: Option<String>,
    },
    /// Nowhere: the time of the address is over, and the next run of the lifecycle takes it from its owner.
    Ended {
        /// End of the address, RFC 3339.
        at: Option<String>,
    },
    /// Nowhere: the account refuses mail.
    Refused {
        /// DN of the person.
        person: String,
        /// The person's name.
        name: String,
        /// The state or restriction that refuses it.
        reason: String,
    },
    /// Nowhere: the address does not exist.
    Unknown,
    /// Elsewhere: the domain is not served here.
    NotServed,
}

/// A time in which a person had the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressHolder {
    /// DN of the person.
    pub person: String,
    /// The person's name, now or as last recorded.
    pub name: String,
    /// Start: RFC 3339; `None` when it is not recorded.
    pub from: Option<String>,
    /// End: RFC 3339; `None` while the person has the address.
    pub until: Option<String>,
    /// What gave the address.
    pub given_by: ExplainedOrigin,
    /// What took it away.
    pub taken_by: Option<ExplainedOrigin>,
}

/// Explains an address: the destination at `now`, the holders at all times, and which of them had it at `at`.
pub(crate) fn explain_address(facts: &AddressFacts<'_>, at: Timestamp, now: Timestamp) -> AddressExplanation {
    let entry = facts.entry;
    let time = |name: &str| entry.and_then(|entry| entry.first(name)).and_then(rfc3339);
    let mut holders: Vec<AddressHolder> =
        facts.holders.iter().flat_map(|holder| periods(holder, facts.address, facts.batches)).collect();
    holders.extend(unrecorded(facts, &holders));
    holders.sort_by(|one, other| one.from.cmp(&other.from));
    let parsed = |time: &Option<String>| time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
    let held_then = holders.iter().position(|holder| {
        parsed(&holder.from).is_none_or(|from| from <= at) && parsed(&holder.until).is_none_or(|until| at < until)
    });
    AddressExplanation {
        address: facts.address.to_owned(),
        at: at.to_string(),
        destination: destination(facts, now),
        address_kind: entry.and_then(|entry| entry.first(attr::PROVOST_ADDRESS_KIND)).map(str::to_owned),
        since: time(attr::PROVOST_SINCE),
        until: time(attr::PROVOST_UNTIL),
        found_by: entry.and_then(|entry| entry.first(attr::DESCRIPTION)).map(str::to_owned),
        held_then,
        holders,
    }
}

fn destination(facts: &AddressFacts<'_>, now: Timestamp) -> MailDestination {
    if !facts.is_served {
        return MailDestination::NotServed;
    }
    let kind = facts.entry.and_then(|entry| entry.first(attr::PROVOST_ADDRESS_KIND)).unwrap_or_default();
    match (kind.to_ascii_lowercase().as_str(), facts.entry, facts.owner) {
        (QUARANTINED, Some(entry), _) => {
            MailDestination::Quarantine { until: entry.first(attr::PROVOST_UNTIL).and_then(rfc3339) }
        }
        (_, Some(entry), _) if AddressEnd::of(entry, now).is_some() => {
            MailDestination::Ended { at: entry.first(attr::PROVOST_UNTIL).and_then(rfc3339) }
        }
        ("role", Some(entry), None) => {
            MailDestination::Role { targets: entry.texts(attr::PROVOST_TARGET).map(str::to_owned).collect() }
        }
        ("list", Some(entry), _) => {
            MailDestination::List { group: entry.first(attr::PROVOST_OWNER).unwrap_or_default().to_owned() }
        }
        (_, _, Some(person)) => of_person(person, now),
        (_, _, None) => MailDestination::Unknown,
    }
}

fn of_person(entry: &Entry, now: Timestamp) -> MailDestination {
    let (person, name) = (entry.dn.to_string(), name_of(entry));
    let restricts = |word: &str| entry.texts(attr::PROVOST_RESTRICTION).any(|held| held.eq_ignore_ascii_case(word));
    let state = entry.first(attr::PROVOST_STATE).unwrap_or_default();
    if restricts("no-receive") {
        return MailDestination::Refused { person, name, reason: "no-receive".to_owned() };
    }
    if state.eq_ignore_ascii_case("closed") {
        return MailDestination::Refused { person, name, reason: state.to_owned() };
    }
    let forward_only = restricts("forward-only");
    let addresses = forwarding(entry, now);
    if addresses.is_empty() {
        if forward_only {
            return MailDestination::Refused { person, name, reason: "forward-only".to_owned() };
        }
        return MailDestination::Mailbox { person, name };
    }
    let options = |word: &str| entry.texts(attr::MAIL_DELIVERY_OPTION).any(|held| held.eq_ignore_ascii_case(word));
    // As the View reads it: without a word, a copy stays.
    let keeps_copy = !forward_only && (options("mailbox") || !options("forward"));
    MailDestination::Forward { person, name, addresses, keeps_copy }
}

/// The forwarding addresses in force.
fn forwarding(entry: &Entry, now: Timestamp) -> Vec<String> {
    let time = |name: &str| entry.first(name).and_then(parse_generalized);
    let has_begun = time(attr::PROVOST_FORWARD_START).is_none_or(|start| start <= now);
    let has_ended = time(attr::PROVOST_FORWARD_END).is_some_and(|end| end < now);
    if !has_begun || has_ended {
        return Vec::new();
    }
    entry.texts(attr::MAIL_FORWARDING_ADDRESS).map(str::to_owned).collect()
}

fn name_of(entry: &Entry) -> String {
    let name = entry.first(attr::DISPLAY_NAME).or_else(|| entry.first(attr::CN));
    name.unwrap_or_else(|| entry.dn.as_str()).to_owned()
}

/// The times in which the records say that a person had the address.
fn periods(holder: &HolderFacts<'_>, address: &str, batches: &Batches) -> Vec<AddressHolder> {
    let records = TimedRecord::of(holder.records);
    let name = holder.entry.map(name_of).or_else(|| recorded_name(&records)).unwrap_or_else(|| holder.dn.to_owned());
    let mut periods: Vec<AddressHolder> = Vec::new();
    // The person has the address while it is a value of either attribute.
    let (mut in_mail, mut in_local) = (false, false);
    for record in records.iter().rev() {
        let (had, mut given, mut taken) = (in_mail || in_local, None, None);
        for change in record.changes.iter().filter(|change| change.address.is_none() && change.is_of_addresses()) {
            let is_among = |values: Vec<&String>| values.iter().any(|value| value.eq_ignore_ascii_case(address));
            let (gains, loses) = (is_among(change.gained()), is_among(change.lost()));
            let held = if change.attribute.eq_ignore_ascii_case(attr::MAIL) { &mut in_mail } else { &mut in_local };
            if gains {
                *held = true;
                given = Some(change);
            }
            if loses {
                *held = false;
                taken = Some(change);
            }
        }
        let has = in_mail || in_local;
        // A loss of an address whose gain is not recorded ends a time that began before the first record.
        let never_recorded = !had && periods.is_empty();
        match (had, has, given, taken) {
            (false, true, Some(change), _) => periods.push(begun(holder, &name, record, change, batches)),
            (true, false, _, Some(change)) => end(&mut periods, record, change, batches),
            (false, false, _, Some(change)) if never_recorded => {
                let from = ExplainedOrigin::Outside { after: None, before: Some(record.record.at.clone()) };
                periods.push(AddressHolder {
                    person: holder.dn.to_owned(),
                    name: name.clone(),
                    from: None,
                    until: None,
                    given_by: from,
                    taken_by: None,
                });
                end(&mut periods, record, change, batches);
            }
            _ => {}
        }
    }
    periods
}

fn begun(
    holder: &HolderFacts<'_>,
    name: &str,
    record: &TimedRecord<'_>,
    change: &RecordedChange,
    batches: &Batches,
) -> AddressHolder {
    AddressHolder {
        person: holder.dn.to_owned(),
        name: name.to_owned(),
        from: Some(record.record.at.clone()),
        until: None,
        given_by: record.origin(change, batches),
        taken_by: None,
    }
}

fn end(periods: &mut [AddressHolder], record: &TimedRecord<'_>, change: &RecordedChange, batches: &Batches) {
    if let Some(last) = periods.last_mut() {
        last.until = Some(record.record.at.clone());
        last.taken_by = Some(record.origin(change, batches));
    }
}

/// The name that the records last gave a person who no longer exists.
fn recorded_name(records: &[TimedRecord<'_>]) -> Option<String> {
    let mut changes = records.iter().flat_map(|record| &record.changes);
    let named = changes.find_map(|change| {
        let is_name = change.address.is_none() && change.attribute.eq_ignore_ascii_case(attr::DISPLAY_NAME);
        change.after.first().or(change.before.first()).filter(|_| is_name)
    });
    named.cloned()
}

/// The present owner, when no record says that they have the address.
fn unrecorded(facts: &AddressFacts<'_>, holders: &[AddressHolder]) -> Option<AddressHolder> {
    let entry = facts.entry;
    let kind = entry.and_then(|entry| entry.first(attr::PROVOST_ADDRESS_KIND)).unwrap_or_default();
    let owner =
        facts.owner.filter(|_| !kind.eq_ignore_ascii_case(QUARANTINED) && !kind.eq_ignore_ascii_case("list"))?;
    let is_recorded = holders
        .iter()
        .any(|holder| holder.until.is_none() && Dn::parse(&holder.person).is_ok_and(|person| person == owner.dn));
    (!is_recorded).then(|| AddressHolder {
        person: owner.dn.to_string(),
        name: name_of(owner),
        from: entry.and_then(|entry| entry.first(attr::PROVOST_SINCE)).and_then(rfc3339),
        until: None,
        given_by: ExplainedOrigin::Outside { after: None, before: None },
        taken_by: None,
    })
}

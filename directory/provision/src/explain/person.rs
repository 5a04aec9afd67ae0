//! Explains one person: each value, the state with its timers and locks, and the addresses.

use jiff::Timestamp;
use provost_entry::Entry;
use provost_entry::time::parse_generalized;
use provost_schema::attr;
use serde::Serialize;

use super::replay::{Origins, ValueKey, Values};
use super::{Batches, ExplainError, ExplainedOrigin, TimedRecord, rfc3339};
use crate::AuditRecord;
use crate::person_lock::PersonLock;
use crate::write::QUARANTINED;

/// What is known of a person.
pub(crate) struct PersonFacts<'a> {
    pub(crate) entry: &'a Entry,
    /// The address entries that name the person as owner.
    pub(crate) addresses: &'a [Entry],
    /// The records about the person, newest first, with their outcomes.
    pub(crate) records: &'a [AuditRecord],
    pub(crate) batches: &'a Batches,
}

/// The explanation of a person at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonExplanation {
    /// The key that stays when name and login change (provostPersonId).
    pub id: String,
    /// DN of the entry.
    pub dn: String,
    /// Name as it was shown.
    pub name: String,
    /// The moment: RFC 3339.
    pub at: String,
    /// The state of the account.
    pub state: ExplainedState,
    /// Each value, except those of state and addresses.
    pub values: Vec<ExplainedValue>,
    /// The addresses, the primary one first.
    pub addresses: Vec<ExplainedAddress>,
    /// Attributes with a change outside Provost after the moment: their values at the moment are those that the next
    /// recorded change found.
    pub uncertain: Vec<String>,
}

/// One value with its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedValue {
    /// Name of the attribute.
    pub attribute: String,
    /// The value; `set` for a secret, a digest for a long text.
    pub value: String,
    /// Where it comes from.
    pub origin: ExplainedOrigin,
}

/// The state of an account, why it holds, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedState {
    /// The state as provostState has it.
    pub state: String,
    /// Whether a lock stood.
    pub suspended: bool,
    /// Start of the state: RFC 3339.
    pub since: Option<String>,
    /// What led to the state; `None` for an entry without one.
    pub origin: Option<ExplainedOrigin>,
    /// Name of the lifecycle policy whose promise held.
    pub policy: Option<String>,
    /// What led to this policy.
    pub policy_origin: Option<ExplainedOrigin>,
    /// What the state forbids.
    pub restrictions: Vec<String>,
    /// The next timer, RFC 3339: when the state is to end.
    pub until: Option<String>,
    /// The state that is to follow.
    pub next: Option<String>,
    /// The locks, also those that have ended.
    pub locks: Vec<ExplainedLock>,
}

/// One lock, which forbids login while it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedLock {
    /// Name of the lock.
    pub name: String,
    /// Start, RFC 3339.
    pub since: Option<String>,
    /// End, RFC 3339; `None` for a lock without end.
    pub until: Option<String>,
    /// Who set it.
    pub owner: String,
    /// Why the lock was set, as its owner stated it.
    pub reason: String,
    /// Whether it stood at the moment.
    pub stands: bool,
    /// The recorded change that set it.
    pub origin: ExplainedOrigin,
}

/// One address with its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedAddress {
    /// The address in full, with its domain.
    pub address: String,
    /// primary, alias, retained, quarantined, ...
    pub address_kind: String,
    /// Start of the ownership, where the address entry states it: RFC 3339. It stays in quarantine.
    pub since: Option<String>,
    /// End of the address or of the quarantine: RFC 3339.
    pub until: Option<String>,
    /// What gave the person the address, or made it what it is.
    pub origin: ExplainedOrigin,
    /// The naming policy and the pattern that gave it, and what it collided with, when a document of the site gave it.
    pub found_by: Option<String>,
}

/// Attributes of which [`ExplainedState`] and [`ExplainedAddress`] tell.
const TOLD_ELSEWHERE: [&str; 9] = [
    attr::PROVOST_STATE,
    attr::PROVOST_STATE_SINCE,
    attr::PROVOST_STATE_UNTIL,
    attr::PROVOST_NEXT_STATE,
    attr::PROVOST_POLICY,
    attr::PROVOST_RESTRICTION,
    attr::PROVOST_LOCK,
    attr::MAIL,
    attr::MAIL_LOCAL_ADDRESS,
];

/// Explains a person at `at`, which is at most `now`.
pub(crate) fn explain_person(
    facts: &PersonFacts<'_>,
    at: Timestamp,
    now: Timestamp,
) -> Result<PersonExplanation, ExplainError> {
    if at > now {
        return Err(ExplainError::Future);
    }
    let records = TimedRecord::of(facts.records);
    if let Some(created) = created(facts.entry, &records).filter(|created| *created > at) {
        return Err(ExplainError::NotYet(created.to_string()));
    }
    let mut values = Values::present(facts.entry, facts.addresses);
    let outside = values.rewind(&records, at);
    let origins = values.origins(&records, at, facts.batches);
    let mut uncertain: Vec<String> = outside.into_iter().map(|(key, _)| spelled(facts.entry, &key)).collect();
    uncertain.sort_unstable();
    uncertain.dedup();
    let name = values.first(attr::DISPLAY_NAME).or_else(|| values.first(attr::CN)).unwrap_or_default();
    Ok(PersonExplanation {
        id: values.first(attr::PROVOST_PERSON_ID).unwrap_or_default().to_owned(),
        dn: facts.entry.dn.to_string(),
        name: name.to_owned(),
        at: at.to_string(),
        state: state(&values, &origins, at),
        values: explained_values(facts, &values, &origins),
        addresses: addresses(facts, &values, &origins),
        uncertain,
    })
}

/// When the entry was made: by the entry itself, else by the record.
fn created(entry: &Entry, records: &[TimedRecord<'_>]) -> Option<Timestamp> {
    let by_record = records.iter().find(|record| record.record.action == "person.create").map(|record| record.at);
    // A record precedes its write, and a directory that was restored from a copy has younger entries than people.
    by_record.or_else(|| entry.first(attr::CREATE_TIMESTAMP).and_then(parse_generalized))
}

fn explained_values(facts: &PersonFacts<'_>, values: &Values, origins: &Origins) -> Vec<ExplainedValue> {
    let told = |key: &ValueKey| TOLD_ELSEWHERE.iter().any(|name| name.eq_ignore_ascii_case(&key.attribute));
    let of_person = values.iter().filter(|(key, _)| key.address.is_none() && !told(key));
    let mut explained: Vec<ExplainedValue> = of_person
        .flat_map(|(key, values)| {
            values.iter().map(|value| ExplainedValue {
                attribute: spelled(facts.entry, key),
                value: value.clone(),
                origin: origin_of(origins, key, value),
            })
        })
        .collect();
    explained.sort_by(|one, other| (&one.attribute, &one.value).cmp(&(&other.attribute, &other.value)));
    explained
}

fn origin_of(origins: &Origins, key: &ValueKey, value: &str) -> ExplainedOrigin {
    let found = origins.get(&(key.clone(), value.to_owned())).cloned();
    found.unwrap_or(ExplainedOrigin::Outside { after: None, before: None })
}

/// The attribute in the spelling of the schema: that of the entry, else that of the table of words.
fn spelled(entry: &Entry, key: &ValueKey) -> String {
    let held = entry.attributes().map(|(name, _)| name.as_str());
    let held = held.into_iter().find(|name| name.eq_ignore_ascii_case(&key.attribute));
    let known = || crate::words::spelling(&key.attribute);
    held.map(str::to_owned).or_else(known).unwrap_or_else(|| key.attribute.clone())
}

fn state(values: &Values, origins: &Origins, at: Timestamp) -> ExplainedState {
    let first = |name: &str| values.first(name).map(str::to_owned);
    let time = |name: &str| values.first(name).and_then(rfc3339);
    let origin = |name: &str| {
        let value = values.first(name)?;
        Some(origin_of(origins, &ValueKey::of_person(name), value))
    };
    let locks: Vec<ExplainedLock> =
        values.of_person(attr::PROVOST_LOCK).iter().map(|value| lock(value, origins, at)).collect();
    let state = first(attr::PROVOST_STATE).unwrap_or_default();
    ExplainedState {
        suspended: state.eq_ignore_ascii_case("suspended") || locks.iter().any(|lock| lock.stands),
        since: time(attr::PROVOST_STATE_SINCE),
        origin: origin(attr::PROVOST_STATE),
        policy: first(attr::PROVOST_POLICY),
        policy_origin: origin(attr::PROVOST_POLICY),
        restrictions: values.of_person(attr::PROVOST_RESTRICTION).to_vec(),
        until: time(attr::PROVOST_STATE_UNTIL),
        next: first(attr::PROVOST_NEXT_STATE),
        locks,
        state,
    }
}

fn lock(value: &str, origins: &Origins, at: Timestamp) -> ExplainedLock {
    let PersonLock { name, since, until, owner, reason, stands } = PersonLock::parse(value, at);
    let origin = origin_of(origins, &ValueKey::of_person(attr::PROVOST_LOCK), value);
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    ExplainedLock { name, since: text(since), until: text(until), owner, reason, stands, origin }
}

fn addresses(facts: &PersonFacts<'_>, values: &Values, origins: &Origins) -> Vec<ExplainedAddress> {
    let primary = values.first(attr::MAIL).unwrap_or_default().to_lowercase();
    let held: Vec<String> = values
        .of_person(attr::MAIL)
        .iter()
        .chain(values.of_person(attr::MAIL_LOCAL_ADDRESS))
        .map(|address| address.to_lowercase())
        .collect();
    // What the person no longer receives is told only of the present: the entry holds no date of its own for the past.
    let owned = facts.addresses.iter().filter_map(|entry| entry.first(attr::PROVOST_ADDRESS)).map(str::to_lowercase);
    let mut all: Vec<String> = held.iter().cloned().chain(owned).collect();
    all.sort_unstable();
    all.dedup();
    let mut explained: Vec<ExplainedAddress> = all
        .into_iter()
        .filter_map(|address| explained_address(&address, address == primary, held.contains(&address), values, origins))
        .collect();
    explained.sort_by_key(|info| (info.address != primary, info.address.clone()));
    explained
}

/// `None` for an address that the person did not have at the moment.
fn explained_address(
    address: &str,
    is_primary: bool,
    is_held: bool,
    values: &Values,
    origins: &Origins,
) -> Option<ExplainedAddress> {
    let key = |name: &str| ValueKey::of_address(address, name);
    let first = |name: &str| values.get(&key(name)).first().cloned();
    let stated_kind = first(attr::PROVOST_ADDRESS_KIND);
    let kind = match (is_primary, is_held, stated_kind.as_deref()) {
        (true, ..) => "primary".to_owned(),
        (false, true, None | Some(QUARANTINED | "primary")) => "alias".to_owned(),
        (false, _, Some(kind)) => kind.to_owned(),
        (false, false, None) => return None,
    };
    let of_kind = stated_kind
        .as_deref()
        .and_then(|kind| origins.get(&(key(attr::PROVOST_ADDRESS_KIND), kind.to_owned())))
        .filter(|origin| matches!(origin, ExplainedOrigin::Record(_)));
    let of_value = [attr::MAIL_LOCAL_ADDRESS, attr::MAIL].into_iter().find_map(|name| {
        let value = values.of_person(name).iter().find(|value| value.eq_ignore_ascii_case(address))?;
        origins.get(&(ValueKey::of_person(name), value.clone()))
    });
    let origin = of_value.or(of_kind).cloned();
    Some(ExplainedAddress {
        address: address.to_owned(),
        address_kind: kind,
        since: first(attr::PROVOST_SINCE).as_deref().and_then(rfc3339),
        until: first(attr::PROVOST_UNTIL).as_deref().and_then(rfc3339),
        origin: origin.unwrap_or(ExplainedOrigin::Outside { after: None, before: None }),
        found_by: first(attr::DESCRIPTION),
    })
}

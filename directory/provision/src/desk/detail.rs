//! Converts entries to what the help desk sees.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_credential::{PasswordDue, PasswordPolicy, PasswordState, StatedPassword};
use provost_entry::Entry;
use provost_entry::time::parse_generalized;
use provost_schema::attr;

use super::activation::link_end;
use super::password::has_password;
use super::{
    AddressInfo, CredentialDetail, DeskError, PersonDetail, PersonSummary, forwarding, notice, quota, vacation,
};
use crate::calendar::{day_of, rfc3339};
use crate::manual_origin::ManualOrigin;
use crate::person_lock::PersonLock;

/// The attributes that make up a [`PersonSummary`].
pub(super) const SUMMARY_ATTRIBUTES: [&str; 7] = [
    attr::PROVOST_PERSON_ID,
    attr::UID,
    attr::CN,
    attr::DISPLAY_NAME,
    attr::MAIL,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::PROVOST_STATE,
];

pub(super) fn summary(entry: &Entry) -> PersonSummary {
    let text = |name: &str| entry.first(name).unwrap_or_default().to_owned();
    PersonSummary {
        id: text(attr::PROVOST_PERSON_ID),
        uid: text(attr::UID),
        display_name: entry.first(attr::DISPLAY_NAME).or_else(|| entry.first(attr::CN)).unwrap_or_default().to_owned(),
        mail: text(attr::MAIL),
        affiliation: text(attr::EDU_PERSON_PRIMARY_AFFILIATION),
        state: text(attr::PROVOST_STATE),
    }
}

/// Builds a person from the entry and the address entries that the person owns; days are in `zone`.
pub(super) fn detail(
    person: &Entry,
    addresses: &[Entry],
    zone: &TimeZone,
    passwords: &PasswordPolicy,
) -> Result<PersonDetail, DeskError> {
    let text = |name: &str| person.first(name).map(str::to_owned);
    let date = |name: &str| person.first(name).and_then(|time| day_of(zone, time)).map(|date| date.to_string());
    let time = |name: &str| person.first(name).and_then(rfc3339);
    let (summary, now) = (summary(person), Timestamp::now());
    let entry_uuid = person.first(attr::ENTRY_UUID).and_then(|id| id.parse().ok());
    let entry_uuid = entry_uuid.ok_or_else(|| DeskError::Refused(format!("{} has no entryUUID", person.dn)))?;
    Ok(PersonDetail {
        addresses: merge_addresses(person, addresses, &summary.mail),
        summary,
        dn: person.dn.as_str().to_owned(),
        entry_uuid,
        version: text(attr::ENTRY_CSN).unwrap_or_default(),
        given_name: text(attr::GIVEN_NAME).unwrap_or_default(),
        family_name: text(attr::SN).unwrap_or_default(),
        sources: sorted(person, attr::PROVOST_SOURCE_ID),
        roles: sorted(person, attr::PROVOST_ROLE),
        program: text(attr::PROVOST_PROGRAM),
        start_date: date(attr::PROVOST_START_DATE),
        end_date: date(attr::PROVOST_END_DATE),
        has_password: has_password(person),
        credential: credential(person, passwords, now),
        quota_octets: person.first(attr::MAIL_QUOTA).and_then(|quota| quota.parse().ok()),
        vacation: vacation::of_entry(person, zone),
        forwarding: forwarding::of_entry(person, zone),
        quota: quota::of_entry(person, zone),
        locks: PersonLock::all_of(person, now),
        restrictions: sorted(person, attr::PROVOST_RESTRICTION),
        set_by_hand: ManualOrigin::all_of(person, now),
        objections: notice::objections(person),
        created: time(attr::CREATE_TIMESTAMP),
        modified: time(attr::MODIFY_TIMESTAMP),
        audit_id: String::new(),
    })
}

/// What people may see of themselves without another role: state, addresses, vacation rule, forwarding and quota, and
/// not what the help desk, files and policies have written about them.
pub(super) fn for_oneself(detail: PersonDetail) -> PersonDetail {
    PersonDetail {
        sources: Vec::new(),
        program: None,
        start_date: None,
        end_date: None,
        credential: CredentialDetail::default(),
        locks: Vec::new(),
        set_by_hand: Vec::new(),
        objections: Vec::new(),
        created: None,
        modified: None,
        ..detail
    }
}

/// The state of the password in an entry at `now`.
fn credential(person: &Entry, policy: &PasswordPolicy, now: Timestamp) -> CredentialDetail {
    let state = PasswordState::of(StatedPassword {
        passwords: person.values(attr::USER_PASSWORD),
        verifiers: person.values(attr::PROVOST_SCRAM),
        state: person.first(attr::PROVOST_CREDENTIAL_STATE),
        since: person.first(attr::PROVOST_PASSWORD_SINCE).and_then(parse_generalized),
    });
    let has_one = has_password(person);
    let word = match state.due(policy, now) {
        _ if !has_one => "none",
        None => "set",
        Some(PasswordDue::Initial) => "must-change",
        Some(PasswordDue::Expired) => "expired",
    };
    CredentialDetail {
        state: word,
        since: state.since.filter(|_| has_one).map(|since| since.to_string()),
        link_until: link_end(person).filter(|end| *end > now).map(|end| end.to_string()),
    }
}

/// All values of an attribute, sorted: they have no order of their own (RFC 4511 §4.1.7).
fn sorted(person: &Entry, name: &str) -> Vec<String> {
    let mut values: Vec<String> = person.texts(name).map(str::to_owned).collect();
    values.sort_unstable();
    values
}

/// Address entries, plus addresses that only the person's attributes name; the primary one first, the others sorted.
fn merge_addresses(person: &Entry, entries: &[Entry], mail: &str) -> Vec<AddressInfo> {
    let mut addresses: Vec<AddressInfo> = entries
        .iter()
        .map(|entry| AddressInfo {
            address: entry.first(attr::PROVOST_ADDRESS).unwrap_or_default().to_owned(),
            kind: entry.first(attr::PROVOST_ADDRESS_KIND).unwrap_or_default().to_owned(),
            since: entry.first(attr::PROVOST_SINCE).and_then(rfc3339),
            until: entry.first(attr::PROVOST_UNTIL).and_then(rfc3339),
        })
        .collect();
    for address in person.texts(attr::MAIL).chain(person.texts(attr::MAIL_LOCAL_ADDRESS)) {
        if !addresses.iter().any(|known| known.address.eq_ignore_ascii_case(address)) {
            let kind = if address.eq_ignore_ascii_case(mail) { "primary" } else { "alias" };
            addresses.push(AddressInfo {
                address: address.to_owned(),
                kind: kind.to_owned(),
                since: None,
                until: None,
            });
        }
    }
    addresses.sort_by_cached_key(|info| (!info.address.eq_ignore_ascii_case(mail), info.address.clone()));
    addresses
}

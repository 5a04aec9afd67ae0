//! Maps directory entries to the records of the mail core.
//!
//! To make the mail core use one more attribute of a person, define the attribute's name in `provost-schema`, add a
//! field to [`Person`], and read the value here.

use std::sync::Arc;

use provost_entry::{Address, Dn, Entry, Facets, time};
use provost_schema::{attr, class, ou};
use provost_settings::{StatedEntry, VALUE_OCTETS_MAX, VALUES_MAX};
use uuid::Uuid;

use crate::group::group_of_entry;
use crate::snapshot::{AddressRecord, PersonRecord, ViewRecord, dn_key};
use crate::{Access, AddressKind, Affiliation, Person, PersonState, Vacation};

/// Maximum number of `userPassword` values read: each may cost one hash at a login.
const PASSWORDS_MAX: usize = 4;
/// Longest `userPassword` value, octets; an argon2 hash has about a hundred.
const PASSWORD_OCTETS_MAX: usize = 1024;
/// Maximum number of `provostRole` values read.
const ROLES_MAX: usize = 16;
/// Maximum number of targets of a role.
const TARGETS_MAX: usize = 16;
/// Maximum number of `mailLocalAddress` values read.
const LOCAL_ADDRESSES_MAX: usize = 256;
/// Longest uid, display name, vacation subject or role, characters; the rest is cut off.
const SHORT_CHARS_MAX: usize = 512;
/// Longest vacation text, characters; the rest is cut off.
const VACATION_CHARS_MAX: usize = 16 * 1024;
/// Default days between two vacation replies to one sender (RFC 5230 §4.1).
pub const VACATION_INTERVAL_DAYS: u16 = 7;
/// Longest interval between vacation replies, days. RFC 5230 §4.1 lets a site choose any maximum above 7.
const VACATION_INTERVAL_DAYS_MAX: u16 = 365;

/// Longest `cn` of a group or a setting, octets.
const NAME_OCTETS_MAX: usize = 256;

/// The result of mapping one entry.
#[derive(Debug)]
pub(crate) enum MappedEntry {
    /// A record that the mail core uses.
    Record(ViewRecord),
    /// An entry that the mail core ignores.
    Other,
    /// An entry that the mail core needs and cannot read, with the reason.
    Unmappable(&'static str),
}

/// Maps one entry of the directory below `suffix`.
pub(crate) fn map(entry_uuid: Uuid, entry: &Entry, suffix: &Dn) -> MappedEntry {
    let mapped = if entry.has_class(class::PROVOST_ACCOUNT) {
        person(entry_uuid, entry)
    } else if entry.has_class(class::PROVOST_ADDRESS_ENTRY) {
        address(entry_uuid, entry)
    } else if entry.has_class(class::PROVOST_DOMAIN_ENTRY) {
        domain(entry)
    } else if entry.has_class(class::PROVOST_SETTING) {
        setting(entry)
    } else if is_group(entry, suffix) {
        group(entry_uuid, entry)
    } else if let Some(name) = container(entry, suffix) {
        Ok(ViewRecord::Container(name.into()))
    } else {
        return MappedEntry::Other;
    };
    mapped.map_or_else(MappedEntry::Unmappable, MappedEntry::Record)
}

fn person(entry_uuid: Uuid, entry: &Entry) -> Result<ViewRecord, &'static str> {
    let uid = entry.first(attr::UID).ok_or("a person without uid")?;
    let primary = entry
        .texts(attr::MAIL)
        .find_map(|text| Address::parse(text).ok())
        .ok_or("a person without a valid address in mail")?;
    let name = entry.first(attr::DISPLAY_NAME).or_else(|| entry.first(attr::CN)).unwrap_or(uid);
    let local_addresses = entry.texts(attr::MAIL_LOCAL_ADDRESS).filter_map(|text| Address::parse(text).ok());
    let local_addresses = local_addresses.filter(|address| *address != primary).take(LOCAL_ADDRESSES_MAX).collect();
    let passwords = entry.texts(attr::USER_PASSWORD).filter(|value| value.len() <= PASSWORD_OCTETS_MAX);
    let person = Person {
        entry_uuid,
        dn: entry.dn.as_str().into(),
        uid: short(uid),
        display_name: short(name),
        primary,
        state: state(entry.first(attr::PROVOST_STATE)),
        affiliation: affiliation(entry),
        language: entry.first(attr::PREFERRED_LANGUAGE).and_then(language),
        passwords: passwords.take(PASSWORDS_MAX).map(Into::into).collect(),
        quota_octets: entry.first(attr::MAIL_QUOTA).and_then(|text| text.trim().parse().ok()),
        vacation: vacation(entry).map(Box::new),
        roles: entry.texts(attr::PROVOST_ROLE).take(ROLES_MAX).map(short).collect(),
        password_state: crate::password_state::of_entry(entry),
        access: Access::of_entry(entry),
        quota_class: entry.first(attr::PROVOST_QUOTA_CLASS).map(|class| short(&class.to_ascii_lowercase())),
        quota_until: entry.first(attr::PROVOST_QUOTA_UNTIL).and_then(time::parse_generalized),
    };
    Ok(ViewRecord::Person(Arc::new(PersonRecord {
        person: Arc::new(person),
        local_addresses,
        facets: Facets::of_entry(entry),
    })))
}

/// Maps provostState. Absent means active. Any value that is not named here means suspended, the safe choice: mail is
/// accepted and login refused.
fn state(text: Option<&str>) -> PersonState {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("active" | "invited" | "grace" | "alumni" | "closing") => PersonState::Active,
        Some("closed" | "tombstone" | "purged") => PersonState::Closed,
        Some(_) => PersonState::Suspended,
    }
}

fn affiliation(entry: &Entry) -> Affiliation {
    let text = entry
        .first(attr::EDU_PERSON_PRIMARY_AFFILIATION)
        .or_else(|| entry.first(attr::EDU_PERSON_AFFILIATION))
        .map(str::to_ascii_lowercase);
    match text.as_deref() {
        Some("student") => Affiliation::Student,
        Some("faculty") => Affiliation::Faculty,
        Some("staff") => Affiliation::Staff,
        Some("alum") => Affiliation::Alum,
        _ => Affiliation::Other,
    }
}

/// Reads preferredLanguage (RFC 2798 §2.7), which has the form of Accept-Language: `fr`, or `fr-CA;q=0.8, en`. The
/// first tag counts, whatever its weight.
fn language(text: &str) -> Option<Box<str>> {
    let first = text.trim().split(|c: char| !c.is_ascii_alphanumeric()).next()?.to_ascii_lowercase();
    matches!(first.as_str(), "fr" | "en").then(|| first.into())
}

/// Maps the vacation rule. `mailAutoReplyMode: reply` turns it on; the dates bound it.
fn vacation(entry: &Entry) -> Option<Vacation> {
    let mode = entry.first(attr::MAIL_AUTO_REPLY_MODE)?;
    if !mode.eq_ignore_ascii_case("reply") {
        return None;
    }
    let date = |name| entry.first(name).and_then(time::parse_generalized);
    let subject = |option| with_option(entry, attr::MAIL_AUTO_REPLY_SUBJECT, option).map(short);
    let text = |option| {
        let found = with_option(entry, attr::MAIL_AUTO_REPLY_TEXT, option)?;
        Some(found.chars().take(VACATION_CHARS_MAX).collect::<String>().into_boxed_str())
    };
    let interval = entry.first(attr::PROVOST_VACATION_INTERVAL).and_then(|days| days.trim().parse::<u16>().ok());
    Some(Vacation {
        start: date(attr::VACATION_START_DATE),
        end: date(attr::VACATION_END_DATE),
        subject: subject(""),
        subject_fr: subject(";lang-fr"),
        subject_en: subject(";lang-en"),
        text: text(""),
        text_fr: text(";lang-fr"),
        text_en: text(";lang-en"),
        interval_days: interval.unwrap_or(VACATION_INTERVAL_DAYS).clamp(1, VACATION_INTERVAL_DAYS_MAX),
    })
}

fn with_option<'a>(entry: &'a Entry, name: &str, option: &str) -> Option<&'a str> {
    entry.first(&format!("{name}{option}"))
}

fn address(entry_uuid: Uuid, entry: &Entry) -> Result<ViewRecord, &'static str> {
    let text = entry.first(attr::PROVOST_ADDRESS).ok_or("an address entry without address")?;
    let address = Address::parse(text).map_err(|_| "an address entry with an invalid address")?;
    let kind = match entry.first(attr::PROVOST_ADDRESS_KIND).map(str::to_ascii_lowercase).as_deref() {
        Some("primary") => AddressKind::Primary,
        Some("alias") => AddressKind::Alias,
        Some("retained") => AddressKind::Retained,
        Some("role") => AddressKind::Role,
        Some("list") => AddressKind::List,
        Some("quarantined") => AddressKind::Quarantined,
        _ => return Err("an address entry of no known kind"),
    };
    let owner = entry.first(attr::PROVOST_OWNER).and_then(dn_key);
    let time = |name| entry.first(name).and_then(time::parse_generalized);
    let (since, until) = (time(attr::PROVOST_SINCE), time(attr::PROVOST_UNTIL));
    let targets = entry.texts(attr::PROVOST_TARGET).take(TARGETS_MAX).filter_map(|text| Address::parse(text).ok());
    let mut targets: Vec<Address> = targets.collect();
    // LDAP keeps values in no order, and each node must choose the same target.
    targets.sort_unstable();
    let targets = targets.into();
    Ok(ViewRecord::Address(Arc::new(AddressRecord { entry_uuid, address, kind, owner, since, until, targets })))
}

fn domain(entry: &Entry) -> Result<ViewRecord, &'static str> {
    let text = entry.first(attr::PROVOST_DOMAIN).ok_or("a domain entry without domain")?;
    // Parsed as the domain of an address, so that both follow the same rules and have the same lower case.
    let address = Address::from_parts("postmaster", text).map_err(|_| "a domain entry with an invalid domain")?;
    Ok(ViewRecord::Domain(address.domain().into()))
}

/// Maps a setting without checking its values. The snapshot checks them later, because a setting that breaks its rule
/// falls back to its previous values, which only the snapshot knows.
fn setting(entry: &Entry) -> Result<ViewRecord, &'static str> {
    let name = name(entry).ok_or("a setting without a cn of at most 256 octets")?;
    // One value and one character more than allowed are kept, so that an excess stays visible and is reported.
    let bounded = |text: &str| text.get(..text.ceil_char_boundary(VALUE_OCTETS_MAX + 1)).unwrap_or(text).into();
    let values = entry.texts(attr::PROVOST_VALUE).take(VALUES_MAX + 1).map(bounded).collect();
    let dn = entry.dn.as_str().into();
    Ok(ViewRecord::Setting(Arc::new(StatedEntry { name, dn, values, last_good: None })))
}

/// Returns the `ou` if the entry is one of the site's containers, directly below the suffix.
fn container(entry: &Entry, suffix: &Dn) -> Option<&'static str> {
    let name = entry.dn.rdn_value(attr::OU).filter(|_| entry.dn.parent().as_ref() == Some(suffix))?;
    let known = [ou::PEOPLE, ou::ADDRESSES, ou::GROUPS, ou::DOMAINS, ou::POLICIES, ou::SERVICES];
    known.into_iter().find(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the entry is a group directly below the site's `ou=groups`. Groups elsewhere belong to other programs.
fn is_group(entry: &Entry, suffix: &Dn) -> bool {
    let has_class = entry.has_class(class::GROUP_OF_NAMES) || entry.has_class(class::PROVOST_GROUP);
    has_class && entry.dn.parent() == Some(suffix.child(attr::OU, ou::GROUPS))
}

fn group(entry_uuid: Uuid, entry: &Entry) -> Result<ViewRecord, &'static str> {
    let name = name(entry).ok_or("a group without a cn of at most 256 octets")?;
    Ok(ViewRecord::Group(Arc::new(group_of_entry(entry_uuid, name, entry)?)))
}

/// Returns the `cn` in the RDN, else the first `cn`; `None` when it is absent, empty or too long.
fn name(entry: &Entry) -> Option<Box<str>> {
    let name = entry.dn.rdn_value(attr::CN).or_else(|| entry.first(attr::CN).map(str::to_owned))?;
    (1..=NAME_OCTETS_MAX).contains(&name.len()).then(|| name.into_boxed_str())
}

fn short(text: &str) -> Box<str> {
    text.chars().take(SHORT_CHARS_MAX).collect::<String>().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use provost_entry::AttributeDescription;

    use super::*;
    use crate::testing::{person_dn, suffix, uuid};

    fn base() -> Entry {
        Entry::new(Dn::parse(&person_dn(1)).unwrap())
            .with(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)
            .with(attr::UID, "zoe.tremblay")
            .with(attr::CN, "Zoé Tremblay")
            .with(attr::MAIL, "zoe.tremblay@example.edu")
    }

    fn mapped(entry: &Entry) -> Person {
        match map(uuid(1), entry, &suffix()) {
            MappedEntry::Record(ViewRecord::Person(record)) => (*record.person).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn attributes_of_a_person_are_read() {
        let mut entry = base()
            .with(attr::DISPLAY_NAME, "Zoé")
            .with(attr::PROVOST_STATE, "suspended")
            .with(attr::EDU_PERSON_PRIMARY_AFFILIATION, "faculty")
            .with(attr::PREFERRED_LANGUAGE, "fr-CA;q=0.9, en")
            .with(attr::USER_PASSWORD, "{SSHA}x")
            .with(attr::MAIL_QUOTA, "1000000")
            .with(attr::PROVOST_ROLE, "helpdesk")
            .with(attr::MAIL_AUTO_REPLY_MODE, "reply")
            .with(attr::VACATION_START_DATE, "20260801000000Z")
            .with(attr::VACATION_END_DATE, "20260831235959Z")
            .with(attr::PROVOST_VACATION_INTERVAL, "3")
            .with(attr::MAIL_AUTO_REPLY_TEXT, "away");
        let french = AttributeDescription::with_option(attr::MAIL_AUTO_REPLY_TEXT, "lang-fr");
        entry.push(french, "absente".into());
        let person = mapped(&entry);
        assert_eq!(&*person.display_name, "Zoé");
        assert_eq!(person.state, PersonState::Suspended);
        assert_eq!(person.affiliation, Affiliation::Faculty);
        assert_eq!(person.language.as_deref(), Some("fr"));
        assert_eq!((person.passwords.len(), person.quota_octets), (1, Some(1_000_000)));
        assert_eq!(&*person.roles[0], "helpdesk");
        let vacation = person.vacation.unwrap();
        assert_eq!((vacation.text.as_deref(), vacation.text_fr.as_deref()), (Some("away"), Some("absente")));
        assert_eq!((vacation.text_en, vacation.interval_days), (None, 3));
        assert!(vacation.start.is_some() && vacation.end > vacation.start);
    }

    #[test]
    fn absent_and_unknown_values_have_defaults() {
        let person = mapped(&base());
        assert_eq!(person.state, PersonState::Active);
        assert_eq!((&*person.display_name, person.affiliation), ("Zoé Tremblay", Affiliation::Other));
        assert!(person.vacation.is_none() && person.language.is_none() && person.quota_octets.is_none());
        assert!(mapped(&base().with(attr::MAIL_AUTO_REPLY_MODE, "echo")).vacation.is_none());
        let on =
            mapped(&base().with(attr::MAIL_AUTO_REPLY_MODE, "reply").with(attr::PROVOST_VACATION_INTERVAL, "9999"));
        assert_eq!(on.vacation.unwrap().interval_days, VACATION_INTERVAL_DAYS_MAX);
        for (text, expect) in [
            ("alumni", PersonState::Active),
            ("Closed", PersonState::Closed),
            ("staged", PersonState::Suspended),
            ("unheard-of", PersonState::Suspended),
        ] {
            assert_eq!(mapped(&base().with(attr::PROVOST_STATE, text)).state, expect, "{text}");
        }
        for (text, expect) in
            [("EN", Some("en")), ("fr, en", Some("fr")), ("frr", None), ("de;q=0.1, fr", None), ("", None)]
        {
            assert_eq!(mapped(&base().with(attr::PREFERRED_LANGUAGE, text)).language.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn a_setting_keeps_enough_of_an_excess_to_be_refused() {
        let dn = Dn::parse("cn=removal-guard,ou=policies,dc=example,dc=edu").unwrap();
        let mut entry = Entry::new(dn).with(attr::OBJECT_CLASS, class::PROVOST_SETTING);
        for n in 0..100 {
            entry.push(AttributeDescription::of(attr::PROVOST_VALUE), format!("{n}{}", "é".repeat(1000)).into());
        }
        let MappedEntry::Record(ViewRecord::Setting(record)) = map(uuid(1), &entry, &suffix()) else {
            panic!("no setting")
        };
        assert_eq!((&*record.name, record.values.len()), ("removal-guard", VALUES_MAX + 1));
        let excess = VALUE_OCTETS_MAX + 1..=VALUE_OCTETS_MAX + 4;
        assert!(record.values.iter().all(|value| excess.contains(&value.len())));
    }

    #[test]
    fn groups_are_those_directly_below_their_container() {
        let bare = |dn: &str, class: &str| {
            let entry = Entry::new(Dn::parse(dn).unwrap()).with(attr::OBJECT_CLASS, class);
            let member = |entry: Entry, n| entry.with(attr::MEMBER, person_dn(n));
            // The same member again, spelled differently.
            member(member(entry, 1), 2).with(attr::MEMBER, person_dn(1).to_uppercase()).with(attr::MEMBER, "not a dn")
        };
        for (dn, class, is_group) in [
            ("cn=Staff,ou=groups,dc=example,dc=edu", class::GROUP_OF_NAMES, true),
            ("cn=Staff,OU=Groups,dc=example,dc=edu", class::PROVOST_GROUP, true),
            ("cn=Staff,ou=other,dc=example,dc=edu", class::GROUP_OF_NAMES, false),
            ("cn=Staff,ou=groups,ou=lab,dc=example,dc=edu", class::GROUP_OF_NAMES, false),
            ("cn=Staff,ou=groups,dc=example,dc=edu", "device", false),
        ] {
            match map(uuid(7), &bare(dn, class), &suffix()) {
                MappedEntry::Record(ViewRecord::Group(group)) if is_group => {
                    assert_eq!((&*group.name, group.members.len()), ("Staff", 2), "{dn}");
                }
                MappedEntry::Other if !is_group => {}
                other => panic!("{dn}: {other:?}"),
            }
        }
    }

    #[test]
    fn containers_are_those_directly_below_the_suffix() {
        for (dn, expect) in [
            ("ou=people,dc=example,dc=edu", Some("people")),
            ("OU=Policies,DC=example,dc=edu", Some("policies")),
            ("ou=people,ou=lab,dc=example,dc=edu", None),
            ("ou=printers,dc=example,dc=edu", None),
            ("cn=people,dc=example,dc=edu", None),
        ] {
            let entry = Entry::new(Dn::parse(dn).unwrap()).with(attr::OBJECT_CLASS, "organizationalUnit");
            match map(uuid(1), &entry, &suffix()) {
                MappedEntry::Record(ViewRecord::Container(name)) => assert_eq!(Some(&*name), expect, "{dn}"),
                MappedEntry::Other => assert!(expect.is_none(), "{dn}"),
                other => panic!("{dn}: {other:?}"),
            }
        }
    }

    #[test]
    fn entries_without_a_needed_value_are_unmappable() {
        let bare = |class: &str| Entry::new(Dn::parse("cn=x").unwrap()).with(attr::OBJECT_CLASS, class);
        let address = || bare(class::PROVOST_ADDRESS_ENTRY).with(attr::PROVOST_ADDRESS, "a@example.edu");
        for entry in [
            bare(class::PROVOST_ACCOUNT),
            bare(class::PROVOST_ACCOUNT).with(attr::UID, "x"),
            bare(class::PROVOST_ACCOUNT).with(attr::UID, "x").with(attr::MAIL, "no address"),
            bare(class::PROVOST_ADDRESS_ENTRY),
            address(),
            address().with(attr::PROVOST_ADDRESS_KIND, "odd"),
            bare(class::PROVOST_ADDRESS_ENTRY).with(attr::PROVOST_ADDRESS, "zoé@example.edu"),
            bare(class::PROVOST_DOMAIN_ENTRY),
            bare(class::PROVOST_DOMAIN_ENTRY).with(attr::PROVOST_DOMAIN, "not a domain"),
        ] {
            assert!(matches!(map(uuid(1), &entry, &suffix()), MappedEntry::Unmappable(_)), "{entry:?}");
        }
        assert!(matches!(map(uuid(1), &bare("organizationalUnit"), &suffix()), MappedEntry::Other));
        let long = format!("cn={}", "x".repeat(300));
        for class in [class::PROVOST_SETTING, class::PROVOST_GROUP] {
            let dn = Dn::parse(&format!("{long},ou=groups,dc=example,dc=edu")).unwrap();
            let entry = Entry::new(dn).with(attr::OBJECT_CLASS, class);
            assert!(matches!(map(uuid(1), &entry, &suffix()), MappedEntry::Unmappable(_)), "{class}");
        }
        let served = bare(class::PROVOST_DOMAIN_ENTRY).with(attr::PROVOST_DOMAIN, "Example.EDU");
        assert!(
            matches!(map(uuid(1), &served, &suffix()), MappedEntry::Record(ViewRecord::Domain(domain)) if &*domain == "example.edu")
        );
    }
}

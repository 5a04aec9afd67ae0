//! The table of settings: name, unit, rule, place in the directory, and how values are parsed and written.
//!
//! A new setting is one field of [`SettingValues`] and one row here; the schema does not change.

use std::time::Duration;

use jiff::tz::TimeZone;
use provost_credential::Scheme;
use provost_entry::Address;
use provost_schema::ou;

use crate::SettingValues;
use crate::values::DEFAULT_TIME_ZONE;

/// Maximum number of values of one setting. With [`VALUE_OCTETS_MAX`], it bounds a setting to 32 KiB.
pub const VALUES_MAX: usize = 64;
/// Longest value, octets.
pub const VALUE_OCTETS_MAX: usize = 512;

/// Smallest quota, octets: 1 MiB, so that a number of megabytes stated by mistake is refused.
const QUOTA_MIN: u64 = 1 << 20;
/// Largest quota, octets: 1 PiB. A larger one is stated as `none`.
const QUOTA_MAX: u64 = 1 << 50;
/// Smallest `message-size`, octets: RFC 5321 §4.5.3.1.7 requires a server to accept 64 KiB.
const MESSAGE_SIZE_MIN: u64 = 64 * 1024;
/// Largest `message-size`, octets: a quarter of a node's default memory budget. One message may not take more.
pub const MESSAGE_SIZE_MAX: u64 = 128 << 20;
/// Upper bound of `retry-first` and `retry-max`: one day.
const RETRY_MAX: Duration = Duration::from_hours(24);
/// Upper bound of `queue-lifetime`: 30 days.
const LIFETIME_MAX: Duration = Duration::from_hours(30 * 24);
/// Shortest `lifecycle-interval`, seconds: a run reads every person.
const LIFECYCLE_INTERVAL_MIN: u64 = 60;
/// Longest `lifecycle-interval`, seconds: timers count days.
const LIFECYCLE_INTERVAL_MAX: u64 = 86_400;
/// Longest quarantine of an address, days: ten years of 365 days.
const QUARANTINE_DAYS_MAX: u64 = 3650;
/// Longest name of a time zone, octets: twice the longest in the IANA database, `America/Argentina/ComodRivadavia`.
const TIME_ZONE_OCTETS_MAX: usize = 64;
/// Affiliations that a quota class may name.
const AFFILIATIONS: [&str; 5] = ["student", "faculty", "staff", "alum", "other"];
/// Password schemes by the name that a setting states.
const SCHEMES: [(&str, Scheme); 3] =
    [("argon2", Scheme::Argon2), ("pbkdf2-sha256", Scheme::Pbkdf2Sha256), ("ssha", Scheme::Ssha)];
/// The value that states "unlimited".
const NO_BOUND: &str = "none";

/// One setting that nodes share.
#[derive(Debug)]
pub struct SettingDefinition {
    /// The name: the `cn` of its entry.
    pub name: &'static str,
    /// What the setting determines.
    pub about: &'static str,
    /// The unit of its values; empty when they have none.
    pub unit: &'static str,
    /// The rule for its values, in words for the person who corrects one.
    pub rule: &'static str,
    /// The container of its entry: `ou=policies` or `ou=services`.
    pub container: &'static str,
    /// An example value for help texts.
    pub example: &'static str,
    read: fn(&mut SettingValues, &[&str]) -> Option<()>,
    write: fn(&SettingValues) -> Vec<String>,
}

impl SettingDefinition {
    /// Returns the setting of that name, ignoring case.
    pub fn named(name: &str) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
    }

    /// Whether these values keep the rule. Does not check that `mail-domain` is a served domain;
    /// [`crate::SharedSettings::resolve`] checks that.
    pub fn accepts<S: AsRef<str>>(&self, values: &[S]) -> bool {
        self.apply(&mut SettingValues::default(), values)
    }

    /// Stores the values in `into`. Returns `false`, and changes nothing, when they break the rule.
    pub(crate) fn apply<S: AsRef<str>>(&self, into: &mut SettingValues, values: &[S]) -> bool {
        let values: Vec<&str> = values.iter().map(|value| value.as_ref().trim()).collect();
        let bounded = values.len() <= VALUES_MAX && values.iter().all(|value| value.len() <= VALUE_OCTETS_MAX);
        bounded && !values.is_empty() && (self.read)(into, &values).is_some()
    }

    /// Returns the value in force in the form in which it would be stated.
    pub fn texts(&self, values: &SettingValues) -> Vec<String> {
        (self.write)(values)
    }
}

/// The setting whose value must be one of the served domains.
pub const MAIL_DOMAIN: &str = "mail-domain";

/// Every setting, in the order of display.
pub static DEFINITIONS: &[SettingDefinition] = &[
    SettingDefinition {
        name: MAIL_DOMAIN,
        about: "domain of new primary addresses",
        unit: "",
        rule: "one domain name, as in example.edu",
        container: ou::POLICIES,
        example: "example.edu",
        read: |values, stated| {
            values.mail_domain = Address::from_parts("postmaster", one(stated)?).ok()?.domain().to_owned();
            Some(())
        },
        write: |values| vec![values.mail_domain.clone()],
    },
    SettingDefinition {
        name: "time-zone",
        about: "zone in which days of a vacation or an enrolment begin and end",
        unit: "",
        rule: "one name of the IANA time zone database, as in America/Toronto",
        container: ou::POLICIES,
        example: "America/Toronto",
        read: |values, stated| {
            let name = one(stated).filter(|name| name.len() <= TIME_ZONE_OCTETS_MAX)?;
            values.time_zone = TimeZone::get(name).ok()?;
            Some(())
        },
        write: |values| vec![values.time_zone.iana_name().unwrap_or(DEFAULT_TIME_ZONE).to_owned()],
    },
    SettingDefinition {
        name: "password-scheme",
        about: "how new passwords are stored",
        unit: "",
        rule: "argon2, pbkdf2-sha256 or ssha",
        container: ou::POLICIES,
        example: "argon2",
        read: |values, stated| {
            let name = one(stated)?;
            values.password_scheme = SCHEMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1;
            Some(())
        },
        write: |values| {
            let name = SCHEMES.iter().find(|(_, scheme)| *scheme == values.password_scheme);
            name.map(|(name, _)| (*name).to_owned()).into_iter().collect()
        },
    },
    SettingDefinition {
        name: "default-quota",
        about: "storage of an account whose entry and quota class state no quota",
        unit: "octets",
        rule: "a whole number from 1048576 to 1125899906842624, or none",
        container: ou::POLICIES,
        example: "5000000000",
        read: |values, stated| {
            values.default_quota = quota(one(stated)?)?;
            Some(())
        },
        write: |values| vec![quota_text(values.default_quota)],
    },
    SettingDefinition {
        name: "quota-classes",
        about: "storage of an account, by primary affiliation",
        unit: "octets",
        rule: "student, faculty, staff, alum or other, a space and a quota as in default-quota; each class once",
        container: ou::POLICIES,
        example: "faculty 20000000000",
        read: |values, stated| {
            let mut classes = std::collections::BTreeMap::new();
            for text in stated {
                let (affiliation, octets) = text.split_once(' ')?;
                let affiliation = AFFILIATIONS.iter().find(|known| known.eq_ignore_ascii_case(affiliation))?;
                if classes.insert((*affiliation).to_owned(), quota(octets.trim())?).is_some() {
                    return None;
                }
            }
            values.quota_classes = classes;
            Some(())
        },
        write: |values| {
            let text = |(name, octets): (&String, &Option<u64>)| format!("{name} {}", quota_text(*octets));
            values.quota_classes.iter().map(text).collect()
        },
    },
    SettingDefinition {
        name: "address-quarantine",
        about: "how long only the former owner can get back a removed address",
        unit: "days",
        rule: "a whole number from 0 to 3650; 0 frees an address at once",
        container: ou::POLICIES,
        example: "365",
        read: |values, stated| {
            values.address_quarantine = u16::try_from(whole(one(stated)?, 0, QUARANTINE_DAYS_MAX)?).ok()?;
            Some(())
        },
        write: |values| vec![values.address_quarantine.to_string()],
    },
    SettingDefinition {
        name: "lifecycle-interval",
        about: "time between two runs of the lifecycle",
        unit: "seconds",
        rule: "a whole number from 60 to 86400, or 0 for no runs",
        container: ou::POLICIES,
        example: "3600",
        read: |values, stated| {
            let text = one(stated)?;
            values.lifecycle_interval = match whole(text, 0, 0) {
                Some(_) => Duration::ZERO,
                None => Duration::from_secs(whole(text, LIFECYCLE_INTERVAL_MIN, LIFECYCLE_INTERVAL_MAX)?),
            };
            Some(())
        },
        write: |values| vec![values.lifecycle_interval.as_secs().to_string()],
    },
    SettingDefinition {
        name: "removal-guard",
        about: "largest share of people, addresses, groups, domains or settings that a refresh may remove",
        unit: "percent",
        rule: "a whole number from 1 to 100",
        container: ou::POLICIES,
        example: "20",
        read: |values, stated| {
            values.removal_guard = u8::try_from(whole(one(stated)?, 1, 100)?).ok()?;
            Some(())
        },
        write: |values| vec![values.removal_guard.to_string()],
    },
    SettingDefinition {
        name: "message-size",
        about: "the largest message that is accepted",
        unit: "octets",
        rule: "a whole number from 65536 to 134217728",
        container: ou::SERVICES,
        example: "52428800",
        read: |values, stated| {
            values.message_size = whole(one(stated)?, MESSAGE_SIZE_MIN, MESSAGE_SIZE_MAX)?;
            Some(())
        },
        write: |values| vec![values.message_size.to_string()],
    },
    SettingDefinition {
        name: "retry-first",
        about: "wait after the first deferral of a queued message; it doubles up to retry-max",
        unit: "seconds",
        rule: "a whole number from 1 to 86400",
        container: ou::SERVICES,
        example: "60",
        read: |values, stated| {
            values.retry_first = seconds(one(stated)?, RETRY_MAX)?;
            Some(())
        },
        write: |values| vec![values.retry_first.as_secs().to_string()],
    },
    SettingDefinition {
        name: "retry-max",
        about: "longest wait between two attempts at a queued message",
        unit: "seconds",
        rule: "a whole number from 1 to 86400",
        container: ou::SERVICES,
        example: "3600",
        read: |values, stated| {
            values.retry_max = seconds(one(stated)?, RETRY_MAX)?;
            Some(())
        },
        write: |values| vec![values.retry_max.as_secs().to_string()],
    },
    SettingDefinition {
        name: "queue-lifetime",
        about: "age at which a deferred message is returned to its sender",
        unit: "seconds",
        rule: "a whole number from 1 to 2592000",
        container: ou::SERVICES,
        example: "432000",
        read: |values, stated| {
            values.queue_lifetime = seconds(one(stated)?, LIFETIME_MAX)?;
            Some(())
        },
        write: |values| vec![values.queue_lifetime.as_secs().to_string()],
    },
];

/// Returns the value of a single-valued setting.
fn one<'a>(values: &[&'a str]) -> Option<&'a str> {
    match values {
        [value] => Some(value),
        _ => None,
    }
}

/// Parses digits only: no sign and no separator, which another program might read differently.
fn whole(text: &str, least: u64, most: u64) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let number = if digits { text.parse().ok()? } else { return None };
    (least..=most).contains(&number).then_some(number)
}

fn seconds(text: &str, most: Duration) -> Option<Duration> {
    whole(text, 1, most.as_secs()).map(Duration::from_secs)
}

/// Parses a quota. The outer `None` is a broken rule, the inner one means unlimited.
fn quota(text: &str) -> Option<Option<u64>> {
    if text.eq_ignore_ascii_case(NO_BOUND) {
        return Some(None);
    }
    whole(text, QUOTA_MIN, QUOTA_MAX).map(Some)
}

fn quota_text(octets: Option<u64>) -> String {
    octets.map_or_else(|| NO_BOUND.to_owned(), |octets| octets.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the values and writes them again; `None` when they break the rule.
    fn parsed_and_written(name: &str, texts: &[&str]) -> Option<Vec<String>> {
        let definition = SettingDefinition::named(name).unwrap();
        let mut values = SettingValues::default();
        definition.apply(&mut values, texts).then(|| definition.texts(&values))
    }

    #[test]
    fn good_values_are_read_and_shown() {
        for (name, stated, shown) in [
            ("mail-domain", "Example.EDU", "example.edu"),
            ("time-zone", "Europe/Paris", "Europe/Paris"),
            ("time-zone", " UTC ", "UTC"),
            ("password-scheme", "SSHA", "ssha"),
            ("password-scheme", "pbkdf2-sha256", "pbkdf2-sha256"),
            ("default-quota", "1048576", "1048576"),
            ("default-quota", "1125899906842624", "1125899906842624"),
            ("default-quota", "None", "none"),
            ("quota-classes", "Faculty  2000000", "faculty 2000000"),
            ("quota-classes", "alum none", "alum none"),
            ("address-quarantine", "0", "0"),
            ("address-quarantine", "3650", "3650"),
            ("lifecycle-interval", "0", "0"),
            ("lifecycle-interval", "60", "60"),
            ("lifecycle-interval", "86400", "86400"),
            ("removal-guard", "1", "1"),
            ("removal-guard", "100", "100"),
            ("message-size", "65536", "65536"),
            ("message-size", "134217728", "134217728"),
            ("retry-first", "1", "1"),
            ("retry-max", "86400", "86400"),
            ("queue-lifetime", "2592000", "2592000"),
        ] {
            assert_eq!(parsed_and_written(name, &[stated]), Some(vec![shown.to_owned()]), "{name}: {stated}");
        }
        let both = parsed_and_written("quota-classes", &["student 5000000", "faculty 9000000"]).unwrap();
        assert_eq!(both, ["faculty 9000000", "student 5000000"]);
    }

    #[test]
    fn bad_values_break_the_rule_and_change_nothing() {
        let long = "x".repeat(VALUE_OCTETS_MAX + 1);
        for (name, stated) in [
            ("mail-domain", "not a domain"),
            ("mail-domain", "a@b"),
            ("time-zone", "Amerika/Toronto"),
            ("time-zone", "/etc/passwd"),
            ("time-zone", "../../etc/passwd"),
            ("password-scheme", "md5"),
            ("default-quota", "5GB"),
            ("default-quota", "-1"),
            ("default-quota", "+1048576"),
            ("default-quota", "1048575"),
            ("default-quota", "1125899906842625"),
            ("default-quota", "99999999999999999999999"),
            ("quota-classes", "faculty"),
            ("quota-classes", "nobody 2000000"),
            ("quota-classes", "faculty 1"),
            ("address-quarantine", "3651"),
            ("lifecycle-interval", "59"),
            ("lifecycle-interval", "86401"),
            ("removal-guard", "0"),
            ("removal-guard", "101"),
            ("removal-guard", "20 %"),
            ("message-size", "65535"),
            ("message-size", "134217729"),
            ("retry-first", "0"),
            ("retry-max", "86401"),
            ("queue-lifetime", "2592001"),
            ("queue-lifetime", "5 days"),
        ] {
            assert_eq!(parsed_and_written(name, &[stated]), None, "{name}: {stated}");
        }
        for definition in DEFINITIONS {
            let mut values = SettingValues::default();
            for stated in [vec![], vec![""], vec![long.as_str()], vec!["\0"]] {
                assert!(!definition.apply(&mut values, &stated), "{} {stated:?}", definition.name);
            }
            let many = vec![definition.example; VALUES_MAX + 1];
            assert!(!definition.apply(&mut values, &many), "{}", definition.name);
            assert_eq!(values, SettingValues::default());
        }
        for (name, stated) in [("quota-classes", ["alum none", "ALUM 2000000"]), ("removal-guard", ["20", "30"])] {
            assert_eq!(parsed_and_written(name, &stated), None, "{name}: {stated:?}");
        }
    }

    #[test]
    fn examples_and_defaults_keep_their_rules() {
        let mut names = std::collections::HashSet::new();
        for definition in DEFINITIONS {
            assert!(names.insert(definition.name), "{} twice", definition.name);
            assert!(definition.accepts(&[definition.example]), "{}: its own example", definition.name);
            assert!([ou::POLICIES, ou::SERVICES].contains(&definition.container), "{}: its container", definition.name);
            // A default that has values can be stated as it is displayed.
            let texts = definition.texts(&SettingValues::default());
            assert!(texts.is_empty() || definition.accepts(&texts), "{}: its own default", definition.name);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_can_be_displayed_and_stated_again(text in ".{0,80}", index in 0..DEFINITIONS.len()) {
            let mut values = SettingValues::default();
            if DEFINITIONS[index].apply(&mut values, &[&text]) {
                let texts = DEFINITIONS[index].texts(&values);
                let mut again = SettingValues::default();
                assert!(DEFINITIONS[index].apply(&mut again, &texts));
                assert_eq!(again, values);
            }
        }
    }
}

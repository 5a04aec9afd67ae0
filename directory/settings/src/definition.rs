//! The table of settings: name, unit, rule, place in the directory, and how values are parsed and written.
//!
//! A new setting is one field of [`SettingValues`] and one row here; the schema does not change.

use std::time::Duration;

use jiff::tz::TimeZone;
use provost_credential::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN, Scheme};
use provost_entry::Address;
use provost_schema::ou;

use crate::values::DEFAULT_TIME_ZONE;
use crate::{ClientServer, SettingValues};

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
/// Upper bound of `list-recipients`: one message makes a row of the queue with as many addresses.
const LIST_RECIPIENTS_MAX: u64 = 200_000;
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
/// Password schemes by the name that a setting states.
const SCHEMES: [(&str, Scheme); 3] =
    [("argon2", Scheme::Argon2), ("pbkdf2-sha256", Scheme::Pbkdf2Sha256), ("ssha", Scheme::Ssha)];
/// Protocols of mail programs.
const CLIENT_PROTOCOLS: [&str; 3] = ["imap", "pop3", "submission"];
/// Bounds of `password-min-length`, characters: that of an initial password, and one that people can still choose.
const PASSWORD_LENGTH: (u64, u64) = (8, 64);
/// Longest `web-url`, octets: replies of SMTP have lines of at most 512 (RFC 5321 §4.5.3.1.5).
const WEB_URL_OCTETS_MAX: usize = 200;
/// Largest `password-history`: each value costs one hash when a password is set.
const HISTORY_MAX: u64 = 24;
/// Longest `password-max-age`, days: ten years of 365 days.
const PASSWORD_AGE_MAX: u64 = 3650;
/// Longest `activation-days`: a year.
const ACTIVATION_DAYS_MAX: u64 = 365;
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
            values.passwords.scheme = SCHEMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1;
            Some(())
        },
        write: |values| {
            let name = SCHEMES.iter().find(|(_, scheme)| *scheme == values.passwords.scheme);
            name.map(|(name, _)| (*name).to_owned()).into_iter().collect()
        },
    },
    SettingDefinition {
        name: "scram-iterations",
        about: "cost of the SCRAM-SHA-256 verifier that is stored with each new password; none stores none",
        unit: "rounds",
        rule: "a whole number from 4096 to 1000000, or none",
        container: ou::POLICIES,
        example: "10000",
        read: |values, stated| {
            let (least, most) = (u64::from(SCRAM_ITERATIONS_MIN), u64::from(SCRAM_ITERATIONS_MAX));
            let rounds = or_none(one(stated)?, |text| whole(text, least, most))?;
            values.passwords.scram_iterations = rounds.and_then(|rounds| u32::try_from(rounds).ok());
            Some(())
        },
        write: |values| vec![number_or_none(values.passwords.scram_iterations)],
    },
    SettingDefinition {
        name: "password-min-length",
        about: "fewest characters of a password that a person or the help desk chooses",
        unit: "characters",
        rule: "a whole number from 8 to 64",
        container: ou::POLICIES,
        example: "12",
        read: |values, stated| {
            let length = whole(one(stated)?, PASSWORD_LENGTH.0, PASSWORD_LENGTH.1)?;
            values.passwords.length_min = u8::try_from(length).ok()?;
            Some(())
        },
        write: |values| vec![values.passwords.length_min.to_string()],
    },
    SettingDefinition {
        name: "password-max-age",
        about: "age at which a password must be changed",
        unit: "days",
        rule: "a whole number from 1 to 3650, or none",
        container: ou::POLICIES,
        example: "365",
        read: |values, stated| {
            let days = or_none(one(stated)?, |text| whole(text, 1, PASSWORD_AGE_MAX))?;
            values.passwords.age_max_days = days.and_then(|days| u16::try_from(days).ok());
            Some(())
        },
        write: |values| vec![number_or_none(values.passwords.age_max_days)],
    },
    SettingDefinition {
        name: "password-history",
        about: "how many earlier passwords of a person cannot be set again; 0 allows all, the present one too",
        unit: "passwords",
        rule: "a whole number from 0 to 24",
        container: ou::POLICIES,
        example: "5",
        read: |values, stated| {
            values.passwords.history = u8::try_from(whole(one(stated)?, 0, HISTORY_MAX)?).ok()?;
            Some(())
        },
        write: |values| vec![values.passwords.history.to_string()],
    },
    SettingDefinition {
        name: "must-change-initial",
        about: "whether a person must replace a password that a file or the help desk has set",
        unit: "",
        rule: "yes or no",
        container: ou::POLICIES,
        example: "yes",
        read: |values, stated| {
            values.passwords.must_change_initial = yes_or_no(one(stated)?)?;
            Some(())
        },
        write: |values| vec![word_of(values.passwords.must_change_initial)],
    },
    SettingDefinition {
        name: "must-change-allows-mail",
        about: "whether a password that must be changed opens the mailbox meanwhile, for activation-days at most",
        unit: "",
        rule: "yes or no",
        container: ou::POLICIES,
        example: "yes",
        read: |values, stated| {
            values.passwords.must_change_allows_mail = yes_or_no(one(stated)?)?;
            Some(())
        },
        write: |values| vec![word_of(values.passwords.must_change_allows_mail)],
    },
    SettingDefinition {
        name: "activation-days",
        about: "how long an activation link, or an initial password in a mail program, can be used",
        unit: "days",
        rule: "a whole number from 1 to 365",
        container: ou::POLICIES,
        example: "30",
        read: |values, stated| {
            values.passwords.activation_days = u16::try_from(whole(one(stated)?, 1, ACTIVATION_DAYS_MAX)?).ok()?;
            Some(())
        },
        write: |values| vec![values.passwords.activation_days.to_string()],
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
        about: "storage of an account, by quota class or primary affiliation",
        unit: "octets",
        rule: "a class (an affiliation, or 1 to 64 lower-case letters, digits and hyphens), a space and a quota as in default-quota; \
               each class once",
        container: ou::POLICIES,
        example: "faculty 20000000000",
        read: |values, stated| {
            let mut classes = std::collections::BTreeMap::new();
            for text in stated {
                let (class, octets) = text.split_once(' ')?;
                let class = class.to_ascii_lowercase();
                if !is_quota_class(&class) || classes.insert(class, quota(octets.trim())?).is_some() {
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
        name: "list-recipients",
        about: "the most recipients that a mailing list may reach; a message to a larger one is refused",
        unit: "recipients",
        rule: "a whole number from 1 to 200000",
        container: ou::SERVICES,
        example: "50000",
        read: |values, stated| {
            values.list_recipients = usize::try_from(whole(one(stated)?, 1, LIST_RECIPIENTS_MAX)?).ok()?;
            Some(())
        },
        write: |values| vec![values.list_recipients.to_string()],
    },
    SettingDefinition {
        name: "web-url",
        about: "address of the pages, for links in mails and letters",
        unit: "",
        rule: "https:// or http://, a host, a port if it is not the usual one, and a path if there is one; at most 200 octets",
        container: ou::SERVICES,
        example: "https://accounts.example.edu",
        read: |values, stated| {
            values.web_url = Some(web_url(one(stated)?)?);
            Some(())
        },
        write: |values| values.web_url.iter().cloned().collect(),
    },
    SettingDefinition {
        name: "client-servers",
        about: "servers that people enter in their mail program, for mails and letters to new people",
        unit: "",
        rule: "imap, pop3 or submission, a space, host:port, and starttls if TLS is not on from the beginning; one of each",
        container: ou::SERVICES,
        example: "imap mail.example.edu:993",
        read: |values, stated| {
            let servers: Vec<ClientServer> = stated.iter().map(|text| client_server(text)).collect::<Option<_>>()?;
            let same = |a: &ClientServer, b: &ClientServer| a.protocol == b.protocol;
            if servers.iter().enumerate().any(|(at, one)| servers.iter().skip(at + 1).any(|other| same(one, other))) {
                return None;
            }
            values.client_servers = servers;
            Some(())
        },
        write: |values| values.client_servers.iter().map(server_text).collect(),
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

/// Whether the text names a quota class: provostQuotaClass has 64 characters.
fn is_quota_class(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
}

/// Parses a quota. The outer `None` is a broken rule, the inner one means unlimited.
fn quota(text: &str) -> Option<Option<u64>> {
    if text.eq_ignore_ascii_case(NO_BOUND) {
        return Some(None);
    }
    whole(text, QUOTA_MIN, QUOTA_MAX).map(Some)
}

/// Parses `none` as the inner `None`. The outer one is a broken rule.
fn or_none(text: &str, number: impl Fn(&str) -> Option<u64>) -> Option<Option<u64>> {
    if text.eq_ignore_ascii_case(NO_BOUND) { Some(None) } else { number(text).map(Some) }
}

fn number_or_none(number: Option<impl ToString>) -> String {
    number.map_or_else(|| NO_BOUND.to_owned(), |number| number.to_string())
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn word_of(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// Parses an address of pages; drops the `/` at its end. It stands in mails, so it has no other character than those of
/// a URL that need no escape (RFC 3986 §2.3).
fn web_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let rest = rest.trim_end_matches('/');
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let plain = path.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet));
    let is_host = is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0);
    (is_host && plain && text.len() <= WEB_URL_OCTETS_MAX).then(|| format!("{scheme}://{rest}"))
}

/// Parses `imap mail.example.edu:993`, or `submission mail.example.edu:587 starttls`.
fn client_server(text: &str) -> Option<ClientServer> {
    let mut words = text.split_whitespace();
    let (protocol, address, tls) = (words.next()?, words.next()?, words.next());
    if words.next().is_some() || tls.is_some_and(|word| !word.eq_ignore_ascii_case("starttls")) {
        return None;
    }
    let protocol = CLIENT_PROTOCOLS.into_iter().find(|known| protocol.eq_ignore_ascii_case(known))?;
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    is_host(host).then(|| ClientServer { protocol, host: host.to_ascii_lowercase(), port, implicit_tls: tls.is_none() })
}

fn server_text(server: &ClientServer) -> String {
    let tls = if server.implicit_tls { "" } else { " starttls" };
    format!("{} {}:{}{tls}", server.protocol, server.host, server.port)
}

/// Whether the text is a host name or an IPv4 address: labels of letters, digits and inner hyphens (RFC 1123 §2.1).
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
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
            ("list-recipients", "1", "1"),
            ("list-recipients", "200000", "200000"),
            ("message-size", "134217728", "134217728"),
            ("retry-first", "1", "1"),
            ("retry-max", "86400", "86400"),
            ("queue-lifetime", "2592000", "2592000"),
            ("scram-iterations", "4096", "4096"),
            ("scram-iterations", "None", "none"),
            ("password-min-length", "8", "8"),
            ("password-max-age", "none", "none"),
            ("password-max-age", "3650", "3650"),
            ("password-history", "0", "0"),
            ("must-change-initial", "No", "no"),
            ("must-change-allows-mail", "YES", "yes"),
            ("activation-days", "365", "365"),
            ("web-url", "HTTPS://accounts.example.edu/", "https://accounts.example.edu"),
            ("web-url", "http://127.0.0.1:8080/mail/", "http://127.0.0.1:8080/mail"),
            ("client-servers", "IMAP Mail.Example.edu:993", "imap mail.example.edu:993"),
            ("client-servers", "submission mail.example.edu:587  STARTTLS", "submission mail.example.edu:587 starttls"),
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
            ("quota-classes", "no_class 2000000"),
            ("quota-classes", "faculty 1"),
            ("address-quarantine", "3651"),
            ("lifecycle-interval", "59"),
            ("lifecycle-interval", "86401"),
            ("removal-guard", "0"),
            ("removal-guard", "101"),
            ("removal-guard", "20 %"),
            ("message-size", "65535"),
            ("list-recipients", "0"),
            ("list-recipients", "200001"),
            ("message-size", "134217729"),
            ("retry-first", "0"),
            ("retry-max", "86401"),
            ("queue-lifetime", "2592001"),
            ("queue-lifetime", "5 days"),
            ("scram-iterations", "4095"),
            ("scram-iterations", "1000001"),
            ("password-min-length", "7"),
            ("password-min-length", "65"),
            ("password-max-age", "0"),
            ("password-history", "25"),
            ("must-change-initial", "true"),
            ("activation-days", "0"),
            ("activation-days", "366"),
            ("web-url", "accounts.example.edu"),
            ("web-url", "ftp://accounts.example.edu"),
            ("web-url", "https://"),
            ("web-url", "https://a b/"),
            ("web-url", "https://a.example/?x=1"),
            ("web-url", "https://a.example/%0d%0aBcc"),
            ("web-url", "https://user@a.example"),
            ("web-url", "https://a.example:0"),
            ("client-servers", "imap mail.example.edu"),
            ("client-servers", "imap mail.example.edu:0"),
            ("client-servers", "smtp mail.example.edu:25"),
            ("client-servers", "imap mail.example.edu:143 plain"),
            ("client-servers", "imap -a.example:993"),
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

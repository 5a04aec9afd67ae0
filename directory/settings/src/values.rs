//! The values in force, each of its own type, with the defaults that hold where nobody states one.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use provost_credential::Scheme;

/// The default time zone as a rule, for a machine without a time zone database.
const DEFAULT_TIME_ZONE_RULE: &str = "EST5EDT,M3.2.0,M11.1.0";
/// The time zone of a site that states none.
const DEFAULT_TIME_ZONE: &str = "America/Toronto";
/// RFC 6761 §6.3: the domain of a site that states none, which no mail from outside can reach.
const DEFAULT_DOMAIN: &str = "localhost";

/// One value per setting. Every combination of valid values has a meaning: no rule spans two settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// `mail-domain`: the domain of new primary addresses, lower case.
    pub mail_domain: String,
    /// `time-zone`: where a day of a vacation or of an enrolment begins and ends.
    pub time_zone: TimeZone,
    /// `password-scheme`: how new passwords are stored.
    pub password_scheme: Scheme,
    /// `default-quota`: octets that an account may hold where neither its entry nor its class says; `None` is no bound.
    pub default_quota: Option<u64>,
    /// `quota-classes`: the same by primary affiliation.
    pub quota_classes: BTreeMap<String, Option<u64>>,
    /// `address-quarantine`: days for which an address that was taken away is nobody's but its former owner's.
    pub address_quarantine: u16,
    /// `removal-guard`: the View is parked where more than this share of one kind of entry, percent, would go.
    pub removal_guard: u8,
    /// `message-size`: the largest message that is taken, octets.
    pub message_size: u64,
    /// `retry-first`: seconds from the first deferral of a queued message to the next attempt; the wait doubles.
    pub retry_first: i64,
    /// `retry-max`: the longest wait between two attempts, seconds; it rules where `retry-first` is longer.
    pub retry_max: i64,
    /// `queue-lifetime`: seconds after which a deferred message is returned to its sender.
    pub queue_lifetime: i64,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            mail_domain: DEFAULT_DOMAIN.to_owned(),
            time_zone: default_time_zone(),
            password_scheme: Scheme::Argon2,
            default_quota: None,
            quota_classes: BTreeMap::new(),
            address_quarantine: 180,
            removal_guard: 20,
            message_size: 50 * 1024 * 1024,
            retry_first: 60,
            retry_max: 3600,
            queue_lifetime: 5 * 24 * 3600,
        }
    }
}

fn default_time_zone() -> TimeZone {
    TimeZone::get(DEFAULT_TIME_ZONE).or_else(|_| TimeZone::posix(DEFAULT_TIME_ZONE_RULE)).unwrap_or(TimeZone::UTC)
}

impl Values {
    /// Octets that an account may hold: what its entry says, else its class's, else the default. `None` is no bound.
    ///
    /// `affiliation` is the eduPerson word, lower case.
    pub fn quota(&self, own: Option<u64>, affiliation: &str) -> Option<u64> {
        own.or_else(|| self.quota_classes.get(affiliation).copied().unwrap_or(self.default_quota))
    }
}

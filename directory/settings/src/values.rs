//! The values in force, each in its own type, with the defaults for a site that states none.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use provost_credential::PasswordPolicy;

/// The default time zone as a POSIX rule, for a machine without a time zone database.
const DEFAULT_TIME_ZONE_RULE: &str = "EST5EDT,M3.2.0,M11.1.0";
/// The default time zone.
pub(crate) const DEFAULT_TIME_ZONE: &str = "America/Toronto";
/// The default domain, which no mail from outside can reach (RFC 6761 §6.3).
const DEFAULT_DOMAIN: &str = "localhost";

/// A server that people enter in their mail program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientServer {
    /// `imap`, `pop3` or `submission`.
    pub protocol: &'static str,
    /// Host name, lower case.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether the connection begins with TLS; otherwise it is upgraded (STARTTLS).
    pub implicit_tls: bool,
}

/// One value per setting. Every combination of valid values is valid: no rule involves two settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingValues {
    /// `mail-domain`: the domain of new primary addresses, lower case.
    pub mail_domain: String,
    /// `time-zone`: the zone in which days of a vacation or an enrolment begin and end.
    pub time_zone: TimeZone,
    /// `password-scheme`, `password-min-length` and the other settings of passwords and activation.
    pub passwords: PasswordPolicy,
    /// `web-url`: where people find the pages, without a `/` at the end; `None` when the site states none.
    pub web_url: Option<String>,
    /// `client-servers`: what people enter in their mail program.
    pub client_servers: Vec<ClientServer>,
    /// `default-quota`: octets for an account with no quota of its own or of its class; `None` is unlimited.
    pub default_quota: Option<u64>,
    /// `quota-classes`: quota by primary affiliation, octets; `None` is unlimited.
    pub quota_classes: BTreeMap<String, Option<u64>>,
    /// `address-quarantine`: days for which only the former owner can get back a removed address.
    pub address_quarantine: u16,
    /// `lifecycle-interval`: time between two runs of the lifecycle; zero means no runs.
    pub lifecycle_interval: Duration,
    /// `removal-guard`: percent of one kind of entry; a refresh that would remove more is parked. 100 parks none.
    pub removal_guard: u8,
    /// `message-size`: the largest message accepted, octets.
    pub message_size: u64,
    /// `list-recipients`: the most recipients that a list may reach; a message to a larger one is refused.
    pub list_recipients: usize,
    /// `retry-first`: time from the first deferral of a queued message to the next attempt; the wait then doubles.
    pub retry_first: Duration,
    /// `retry-max`: the longest wait between two attempts; it also bounds `retry-first`.
    pub retry_max: Duration,
    /// `queue-lifetime`: age at which a deferred message is returned to its sender.
    pub queue_lifetime: Duration,
}

impl Default for SettingValues {
    fn default() -> Self {
        Self {
            mail_domain: DEFAULT_DOMAIN.to_owned(),
            time_zone: default_time_zone(),
            passwords: PasswordPolicy::default(),
            web_url: None,
            client_servers: Vec::new(),
            default_quota: None,
            quota_classes: BTreeMap::new(),
            address_quarantine: 180,
            lifecycle_interval: Duration::from_hours(1),
            removal_guard: 20,
            message_size: 50 * 1024 * 1024,
            list_recipients: 50_000,
            retry_first: Duration::from_mins(1),
            retry_max: Duration::from_hours(1),
            queue_lifetime: Duration::from_hours(5 * 24),
        }
    }
}

fn default_time_zone() -> TimeZone {
    TimeZone::get(DEFAULT_TIME_ZONE).or_else(|_| TimeZone::posix(DEFAULT_TIME_ZONE_RULE)).unwrap_or(TimeZone::UTC)
}

impl SettingValues {
    /// Returns the quota of an account, octets: its own, else that of its class, else that of the affiliation, else the
    /// default. `None` is unlimited. A class that `quota-classes` does not name counts as none.
    ///
    /// `class` and `affiliation`, an eduPerson value, are in lower case.
    pub fn quota(&self, own: Option<u64>, class: Option<&str>, affiliation: &str) -> Option<u64> {
        let stated = |name: &str| self.quota_classes.get(name).copied();
        own.or_else(|| class.and_then(stated).or_else(|| stated(affiliation)).unwrap_or(self.default_quota))
    }
}

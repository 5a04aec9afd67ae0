//! The site's rules by which records become people and addresses: one value, with the version that plans record.
//!
//! [`Policies::built_in`] holds the rules without any setting. The settings `mail-domain` and `time-zone` replace
//! fields; a time zone other than the default one also changes the version.

use std::sync::Arc;

use jiff::tz::TimeZone;
use provost_policy::PolicySet;
use provost_settings::SettingValues;

use crate::ProvisionSettings;
use crate::lifecycle::digest_of;
use crate::naming::{LETTERS, RESERVED};
use crate::source::{Affiliation, Column};

/// Version of the rules that [`Policies::built_in`] holds. A change of any of these rules must change the version.
pub const BUILT_IN_POLICIES: &str = "built-in/2";

/// All rules that `wanted` and `plan` follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Name of these rules in plans and explanations: [`BUILT_IN_POLICIES`], followed by the time zone when it is not
    /// the default one.
    pub version: String,
    /// Rules by which a name becomes a login and an address.
    pub naming: NamingPolicy,
    /// Affiliations that are given an account.
    pub affiliations: AffiliationPolicy,
    /// Columns whose blank cell removes the held value. A blank cell of any other column keeps it.
    pub clearing_columns: Vec<Column>,
    /// Time zone in which the days of a record begin and end.
    pub time_zone: TimeZone,
    /// The lifecycle policies of the site and the built-in ones.
    pub lifecycle: Arc<PolicySet>,
}

/// Rules by which a name becomes a login and an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamingPolicy {
    /// Domain of primary addresses, lower case.
    pub domain: String,
    /// Folded local parts of mail and system roles, which no person gets. For a name with a hyphen, dots and hyphens do
    /// not count: `no-reply` covers `no.reply` and `noreply`.
    pub reserved: Vec<String>,
    /// Letters (lower case) and hyphens with their ASCII spelling at this site. This spelling takes precedence over
    /// decomposition and transliteration.
    pub letters: Vec<(char, String)>,
}

/// Affiliations that are given an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffiliationPolicy {
    /// A record with an affiliation outside this list is left out and reported.
    pub admitted: Vec<Affiliation>,
}

impl Policies {
    /// The rules in force without any setting, for addresses in `domain`.
    pub fn built_in(domain: &str) -> Self {
        Self {
            version: BUILT_IN_POLICIES.to_owned(),
            naming: NamingPolicy::built_in(domain),
            affiliations: AffiliationPolicy { admitted: Affiliation::ALL.to_vec() },
            clearing_columns: vec![Column::Program, Column::StartDate, Column::EndDate],
            time_zone: SettingValues::default().time_zone,
            lifecycle: Arc::new(PolicySet::built_in()),
        }
    }

    /// The same rules with the lifecycle policies of a site. They change the version unless they are the built-in ones.
    #[must_use]
    pub fn with_lifecycle(self, lifecycle: PolicySet) -> Self {
        if lifecycle == *self.lifecycle {
            return self;
        }
        let digest = digest_of(&lifecycle, &self.time_zone);
        let version = format!("{}; lifecycle {}", self.version, digest.get(..12).unwrap_or(&digest));
        Self { version, lifecycle: Arc::new(lifecycle), ..self }
    }
}

impl From<&ProvisionSettings> for Policies {
    fn from(settings: &ProvisionSettings) -> Self {
        let built_in = Self::built_in(&settings.domain);
        if built_in.time_zone == settings.time_zone {
            return built_in;
        }
        let name = settings.time_zone.iana_name().unwrap_or("unnamed");
        let version = format!("{BUILT_IN_POLICIES}; time-zone {name}");
        Self { version, time_zone: settings.time_zone.clone(), ..built_in }
    }
}

impl NamingPolicy {
    /// The rules in force without any setting: role names of RFC 2142 and of common systems; marks are dropped from
    /// letters.
    pub fn built_in(domain: &str) -> Self {
        Self {
            domain: domain.to_ascii_lowercase(),
            reserved: RESERVED.iter().map(|name| (*name).to_owned()).collect(),
            letters: LETTERS.iter().map(|(letter, ascii)| (*letter, (*ascii).to_owned())).collect(),
        }
    }
}

//! The site's rules by which records become people and addresses: one value, with the version that plans record.
//!
//! [`Policies::built_in`] holds the rules without any setting. The settings `mail-domain` and `time-zone` replace
//! fields; a time zone other than the default one also changes the version.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_policy::{NAMING, NamingRules, PolicySet};
use provost_settings::SettingValues;

use crate::ProvisionSettings;
use crate::lifecycle::digest_of;
use crate::naming::{LETTERS, RESERVED, VETTED};
use crate::source::Affiliation;

/// Version of the rules that [`Policies::built_in`] holds. A change of any of these rules must change the version.
pub const BUILT_IN_POLICIES: &str = "built-in/2";

/// All rules that `wanted` and `plan` follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Name of these rules in plans and explanations: [`BUILT_IN_POLICIES`], followed by the time zone when it is not
    /// the default one.
    pub version: String,
    /// Rules by which a name becomes a login and an address, where no document states others.
    pub naming: NamingPolicy,
    /// The rules of naming documents, by their names: see [`Policies::with_lifecycle`].
    pub namings: Arc<HashMap<String, NamingPolicy>>,
    /// Affiliations that are given an account.
    pub affiliations: AffiliationPolicy,
    /// Time zone in which the days of a record begin and end.
    pub time_zone: TimeZone,
    /// The policy documents of the site and the built-in ones.
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
    /// Folded words that may not come about where a pattern joins or cuts names.
    pub vetted: Vec<String>,
    /// Patterns, and what becomes of an address after a rename.
    pub rules: NamingRules,
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
            namings: Arc::default(),
            affiliations: AffiliationPolicy { admitted: Affiliation::ALL.to_vec() },
            time_zone: SettingValues::default().time_zone,
            lifecycle: Arc::new(PolicySet::built_in()),
        }
    }

    /// The same rules with the policy documents of a site. They change the version unless they are the built-in ones.
    #[must_use]
    pub fn with_lifecycle(self, documents: PolicySet) -> Self {
        if documents == *self.lifecycle {
            return self;
        }
        let mut version = self.version;
        if !documents.has_built_in_lifecycles_only() {
            let digest = digest_of(&documents, &self.time_zone);
            version = format!("{version}; lifecycle {}", digest.get(..12).unwrap_or(&digest));
        }
        let namings = documents.namings().map(|rules| {
            let policy = NamingPolicy::of_rules(rules.clone(), &self.naming);
            (rules.name.clone(), policy)
        });
        let namings: HashMap<String, NamingPolicy> = namings.collect();
        if !namings.is_empty() {
            let digest = naming_digest(&documents, &self.time_zone);
            version = format!("{version}; naming {}", digest.get(..12).unwrap_or(&digest));
        }
        Self { version, lifecycle: Arc::new(documents), namings: Arc::new(namings), ..self }
    }

    /// The naming rules that hold at a moment for a person with this affiliation and programme.
    pub fn naming_for(&self, affiliation: &str, program: Option<&str>, at: Timestamp) -> &NamingPolicy {
        let stated = self.lifecycle.naming_in_force(affiliation, program, at);
        stated.and_then(|rules| self.namings.get(&rules.name)).unwrap_or(&self.naming)
    }
}

/// The digest of all naming documents: blake3, hex.
fn naming_digest(documents: &PolicySet, zone: &TimeZone) -> String {
    let namings = documents.documents().iter().filter(|document| document.kind == NAMING);
    let mut texts: Vec<String> =
        namings.map(|document| format!("{}\n{}", document.name, document.text(zone))).collect();
    texts.sort();
    blake3::hash(texts.concat().as_bytes()).to_hex().to_string()
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
            vetted: VETTED.iter().map(|word| (*word).to_owned()).collect(),
            rules: NamingRules::built_in(),
        }
    }

    /// The rules of a document, beside those of the site that it does not state.
    pub(crate) fn of_rules(rules: NamingRules, site: &Self) -> Self {
        // The first spelling of a letter counts.
        let letters = rules.letters.iter().chain(&site.letters).cloned().collect();
        Self {
            domain: rules.domain.clone().unwrap_or_else(|| site.domain.clone()),
            reserved: site.reserved.iter().chain(&rules.reserved).cloned().collect(),
            vetted: site.vetted.iter().chain(&rules.vetted).cloned().collect(),
            letters,
            rules,
        }
    }
}

//! The serialised form of a plan: JSON with a version and the plan's hash, which is checked on reading.

use std::io::{self, Write as _};

use provost_entry::Dn;
use provost_schema::attr;
use serde::{Deserialize, Serialize};

use super::dated::{SUBJECT_EN, SUBJECT_FR, TEXT_EN, TEXT_FR};
use super::undo::OF_PASSWORD;
use super::{Plan, PlanSummary};
use crate::attributes::PERSON_ATTRIBUTES;
use crate::source::RecordError;
use crate::write::WriteKind;
use crate::{AttributeChange, PersonChange, SourceStamp, text_form, tree};

/// Version of the form that is written. Version 1, in which no write states the former provostLastBatch, is read as well.
/// A plan of a later version is refused, since the meaning of its writes is unknown.
pub const PLAN_VERSION: u32 = 2;
/// Largest plan that is read, in octets. A new person takes about 2 KB, so the plan of a source file with
/// [`crate::ROWS_MAX`] rows fits.
pub const PLAN_OCTETS_MAX: usize = 4 * 1024 * 1024 * 1024;

/// Attributes besides [`PERSON_ATTRIBUTES`] that plans change. A plan that names another one is refused: write access
/// to a plan file must not allow setting a role or a password hash.
const OTHER_ATTRIBUTES: [&str; 48] = [
    attr::PROVOST_ABSENCE,
    attr::PROVOST_PERSON_ID,
    attr::PROVOST_STATE,
    attr::PROVOST_SOURCE_ID,
    attr::UID,
    attr::MAIL,
    attr::MAIL_LOCAL_ADDRESS,
    attr::PROVOST_ADDRESS,
    attr::PROVOST_ADDRESS_KIND,
    attr::PROVOST_OWNER,
    attr::EDU_PERSON_AFFILIATION,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_START_DATE,
    attr::PROVOST_END_DATE,
    attr::PROVOST_AFFILIATION,
    attr::PROVOST_STATE_SINCE,
    attr::PROVOST_STATE_UNTIL,
    attr::PROVOST_NEXT_STATE,
    attr::PROVOST_RESTRICTION,
    attr::PROVOST_POLICY,
    attr::PROVOST_QUOTA_CLASS,
    attr::PROVOST_QUOTA_UNTIL,
    attr::MAIL_QUOTA,
    attr::MAIL_FORWARDING_ADDRESS,
    attr::PROVOST_FORWARD_START,
    attr::PROVOST_FORWARD_END,
    attr::MAIL_AUTO_REPLY_MODE,
    attr::MAIL_AUTO_REPLY_SUBJECT,
    attr::MAIL_AUTO_REPLY_TEXT,
    SUBJECT_FR,
    SUBJECT_EN,
    TEXT_FR,
    TEXT_EN,
    attr::VACATION_START_DATE,
    attr::VACATION_END_DATE,
    attr::PROVOST_VACATION_INTERVAL,
    attr::PROVOST_PURGE_REQUEST,
    attr::PROVOST_SINCE,
    attr::PROVOST_UNTIL,
    attr::PROVOST_SALT,
    attr::CN,
    attr::DESCRIPTION,
    attr::MEMBER,
    attr::OWNER,
    attr::PROVOST_GROUP_KIND,
    attr::PROVOST_COURSE,
    attr::PROVOST_TERM,
];

/// Why octets are not a plan that can be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// The octets are not JSON in the form of a plan, or are cut short.
    #[error("this is not a plan: {0}")]
    Malformed(String),
    /// The plan has a version that this program does not know.
    #[error("the plan is of version {0}, and this program reads versions 1 to {PLAN_VERSION}: plan again")]
    Version(u32),
    /// The suffix, sources, policies and changes do not have the hash that the plan states.
    #[error("the plan was changed since it was made: its content has another hash; plan again")]
    Changed,
    /// The plan names an entry or attribute that no plan writes.
    #[error("the plan names {0}, which no plan writes")]
    Foreign(String),
    /// The plan is larger than [`PLAN_OCTETS_MAX`].
    #[error("the plan is larger than {PLAN_OCTETS_MAX} octets")]
    TooLarge,
}

/// The one field that is read before the version is known.
#[derive(Deserialize)]
struct PlanVersion {
    version: u32,
}

#[derive(Serialize)]
struct SerialPlan<'a> {
    version: u32,
    hash: &'a str,
    #[serde(with = "text_form::dn")]
    suffix: &'a Dn,
    sources: &'a [SourceStamp],
    policies: &'a str,
    since: &'a str,
    summary: &'a PlanSummary,
    rejected: &'a [RecordError],
    #[serde(skip_serializing_if = "<[RecordError]>::is_empty")]
    warnings: &'a [RecordError],
    changes: &'a [PersonChange],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParsedPlan {
    #[serde(rename = "version")]
    _version: u32,
    hash: String,
    #[serde(with = "text_form::dn")]
    suffix: Dn,
    sources: Vec<SourceStamp>,
    policies: String,
    since: String,
    summary: PlanSummary,
    rejected: Vec<RecordError>,
    #[serde(default)]
    warnings: Vec<RecordError>,
    changes: Vec<PersonChange>,
}

impl Plan {
    /// Writes the plan as JSON, which holds names, birth dates and addresses, never a password.
    pub fn write_to(&self, to: &mut impl io::Write) -> io::Result<()> {
        let serial = SerialPlan {
            version: PLAN_VERSION,
            hash: &self.hash,
            suffix: &self.suffix,
            sources: &self.sources,
            policies: &self.policies,
            since: &self.since,
            summary: &self.summary,
            rejected: &self.rejected,
            warnings: &self.warnings,
            changes: &self.changes,
        };
        let mut to = io::BufWriter::new(to);
        serde_json::to_writer(&mut to, &serial)?;
        to.write_all(b"\n")?;
        to.flush()
    }

    /// The JSON of [`Plan::write_to`] as octets.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        match self.write_to(&mut octets) {
            Ok(()) => octets,
            // Memory accepts all octets, and every value of a plan has a JSON form.
            Err(error) => unreachable!("a plan has a JSON form: {error}"),
        }
    }

    /// Reads what [`Plan::write_to`] wrote. Refuses a plan whose suffix, sources, policies and changes do not have the
    /// stated hash; the hash does not cover the time, the summary and the rejected rows.
    pub fn from_bytes(octets: &[u8]) -> Result<Self, PlanFileError> {
        if octets.len() > PLAN_OCTETS_MAX {
            return Err(PlanFileError::TooLarge);
        }
        let malformed = |error: serde_json::Error| PlanFileError::Malformed(error.to_string());
        let PlanVersion { version } = serde_json::from_slice(octets).map_err(malformed)?;
        if !(1..=PLAN_VERSION).contains(&version) {
            return Err(PlanFileError::Version(version));
        }
        let read: ParsedPlan = serde_json::from_slice(octets).map_err(malformed)?;
        let plan = Self {
            hash: super::hash(&read.suffix, &read.sources, &read.policies, &read.changes),
            suffix: read.suffix,
            sources: read.sources,
            policies: read.policies,
            since: read.since,
            summary: read.summary,
            rejected: read.rejected,
            warnings: read.warnings,
            changes: read.changes,
        };
        if plan.hash != read.hash {
            return Err(PlanFileError::Changed);
        }
        plan.check_reach()?;
        Ok(plan)
    }

    /// Refuses a write outside the people, addresses, tombstones and groups of the plan's suffix, or to an attribute that plans do not
    /// change.
    fn check_reach(&self) -> Result<(), PlanFileError> {
        let containers = [tree::people, tree::addresses, tree::tombstones, tree::groups].map(|of| of(&self.suffix));
        for write in self.changes.iter().flat_map(|change| &change.writes) {
            if !write.dn.parent().is_some_and(|parent| containers.contains(&parent)) {
                return Err(PlanFileError::Foreign(write.dn.to_string()));
            }
            let is_known = |name: &str| PERSON_ATTRIBUTES.iter().chain(&OTHER_ATTRIBUTES).any(|known| *known == name);
            let is_allowed = |change: &AttributeChange| {
                let removes = matches!(write.action, WriteKind::Restore { .. }) && change.after.is_empty();
                let is_of_undo = change.name.is(attr::PROVOST_LAST_BATCH)
                    || removes && OF_PASSWORD.iter().any(|name| change.name.is(name));
                is_known(change.name.as_str()) || is_of_undo
            };
            if let Some(foreign) = write.attributes.iter().find(|change| !is_allowed(change)) {
                return Err(PlanFileError::Foreign(foreign.name.to_string()));
            }
        }
        Ok(())
    }
}

//! Plans that are kept on this machine: those that the guard stopped, and those that somebody planned to apply later.
//!
//! ```text
//! FOLDER/<hash>.plan    the plan (mode 0600: names and birth dates, never a password)
//! FOLDER/<hash>.json    who made it and when, what it does, which limits it exceeds
//! ```
//!
//! A plan of 35,500 people takes about 80 MB, so few are kept: at most [`PLANS_MAX`], for [`PLAN_DAYS`] days. Initial
//! passwords are not kept: who applies a plan that sets passwords gives the same file again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::guard::{GuardReport, PlanEffect};
use crate::{Plan, PlanFileError, PlanOrigin, PlanSummary, Principal};

/// Maximum number of plans that are kept; the oldest ones go first.
const PLANS_MAX: usize = 20;
/// Days for which a plan is kept.
const PLAN_DAYS: i64 = 30;
/// Fewest characters by which a hash may be shortened.
const PREFIX_MIN: usize = 8;
/// Largest file that describes a plan, octets.
const FACTS_OCTETS_MAX: u64 = 1024 * 1024;

const PLAN: &str = ".plan";
const FACTS: &str = ".json";

/// What is known of a kept plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPlan {
    /// Hash of the plan.
    pub hash: String,
    /// Who made the plan first: the actor of the audit. Only another one may override the guard.
    pub maker: String,
    /// entryUUID of the person who made it, where it is known.
    #[serde(default)]
    pub maker_person: Option<Uuid>,
    /// When it was made first.
    pub at: Timestamp,
    /// `import`, `lifecycle` or `undo`.
    pub origin: String,
    /// Name of the source.
    pub source: String,
    /// Digest of its file.
    pub digest: String,
    /// Counts of the plan.
    pub summary: PlanSummary,
    /// What the guard counted.
    pub effect: PlanEffect,
    /// The limits that the plan exceeded when it was made.
    pub report: GuardReport,
}

/// Why a kept plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptPlanError {
    /// No plan is kept under the hash.
    #[error("no plan is kept under '{0}': see 'provost plan list'")]
    Unknown(String),
    /// Several plans begin with the given characters, or too few are given.
    #[error("'{0}' does not name one plan: give more of the hash")]
    Ambiguous(String),
    /// The files of the plan are damaged.
    #[error("the kept plan cannot be used: {0}")]
    Plan(#[from] PlanFileError),
    /// A file cannot be read or written.
    #[error("the kept plans cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

/// The folder of kept plans. Several processes may use it at once.
#[derive(Clone, Debug)]
pub(crate) struct KeptPlans {
    folder: Arc<Path>,
}

impl KeptPlan {
    pub(crate) fn of(plan: &Plan, maker: &Principal, at: Timestamp, effect: PlanEffect, report: GuardReport) -> Self {
        let source = plan.sources().first();
        Self {
            hash: plan.hash().to_owned(),
            maker: maker.actor().name.clone(),
            maker_person: maker.behind(),
            at,
            origin: match plan.origin() {
                PlanOrigin::Import => "import",
                PlanOrigin::Lifecycle => "lifecycle",
                PlanOrigin::Undo => "undo",
            }
            .to_owned(),
            source: source.map(|source| source.name.clone()).unwrap_or_default(),
            digest: plan.digest(),
            summary: plan.summary().clone(),
            effect,
            report,
        }
    }
}

impl KeptPlans {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps a plan. One that is kept already keeps its first maker and time. Blocks.
    pub(crate) fn keep(&self, plan: &Plan, kept: KeptPlan) -> Result<KeptPlan, KeptPlanError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let kept = match self.read_facts(&kept.hash) {
            Ok(former) => KeptPlan { maker: former.maker, maker_person: former.maker_person, at: former.at, ..kept },
            Err(_) => kept,
        };
        self.remove_old(kept.at)?;
        if !self.path(&kept.hash, PLAN).exists() {
            self.write(&kept.hash, PLAN, |file| plan.write_to(file))?;
        }
        let facts = serde_json::to_vec(&kept).map_err(io::Error::from)?;
        self.write(&kept.hash, FACTS, |file| file.write_all(&facts))?;
        Ok(kept)
    }

    /// The kept plans, newest first. One that cannot be read is left out. Blocks.
    pub(crate) fn list(&self) -> Result<Vec<KeptPlan>, KeptPlanError> {
        let mut plans: Vec<KeptPlan> = self.hashes()?.iter().filter_map(|hash| self.read_facts(hash).ok()).collect();
        plans.sort_by(|one, other| (other.at, &other.hash).cmp(&(one.at, &one.hash)));
        Ok(plans)
    }

    /// The plan whose hash is `name` or begins with it. Blocks.
    pub(crate) fn find(&self, name: &str) -> Result<(KeptPlan, Plan), KeptPlanError> {
        let name = name.trim().to_ascii_lowercase();
        let mut matching = self.hashes()?.into_iter().filter(|hash| hash.starts_with(&name));
        let hash = match (matching.next(), matching.next()) {
            (None, _) => return Err(KeptPlanError::Unknown(name)),
            (Some(hash), None) if name.len() >= PREFIX_MIN => hash,
            _ => return Err(KeptPlanError::Ambiguous(name)),
        };
        let plan = Plan::from_bytes(&fs::read(self.path(&hash, PLAN))?)?;
        // The file's name is what people state: it must be the hash of the content.
        if plan.hash() != hash {
            return Err(PlanFileError::Changed.into());
        }
        Ok((self.read_facts(&hash)?, plan))
    }

    /// Forgets a plan. Blocks.
    pub(crate) fn remove(&self, hash: &str) -> Result<(), KeptPlanError> {
        for kind in [FACTS, PLAN] {
            match fs::remove_file(self.path(hash, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn hashes(&self) -> Result<Vec<String>, KeptPlanError> {
        let listed = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let names = listed.filter_map(|item| item.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_suffix(FACTS).map(str::to_owned)).filter(|hash| is_hash(hash)).collect())
    }

    fn read_facts(&self, hash: &str) -> Result<KeptPlan, KeptPlanError> {
        let path = self.path(hash, FACTS);
        if fs::metadata(&path)?.len() > FACTS_OCTETS_MAX {
            return Err(PlanFileError::TooLarge.into());
        }
        let facts = serde_json::from_slice(&fs::read(path)?);
        Ok(facts.map_err(|error| PlanFileError::Malformed(error.to_string()))?)
    }

    /// Writes a file whole or not at all.
    fn write(
        &self,
        hash: &str,
        kind: &str,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), KeptPlanError> {
        let temporary = self.folder.join(format!("{hash}{kind}.{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = write(&mut file).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // The first error counts; what remains of the file is replaced by the next attempt.
            let _ = fs::remove_file(&temporary);
            return Err(error.into());
        }
        fs::rename(&temporary, self.path(hash, kind))?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    fn remove_old(&self, now: Timestamp) -> Result<(), KeptPlanError> {
        let oldest = now - SignedDuration::from_hours(24 * PLAN_DAYS);
        for (place, plan) in self.list()?.iter().enumerate() {
            if place + 1 >= PLANS_MAX || plan.at < oldest {
                self.remove(&plan.hash)?;
            }
        }
        Ok(())
    }

    fn path(&self, hash: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{hash}{kind}"))
    }
}

/// Whether a file's name is a blake3 hash, hex.
fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceStamp;

    fn plan(name: &str) -> Plan {
        let suffix = provost_entry::Dn::parse("dc=example,dc=edu").unwrap();
        let stamp = SourceStamp { name: name.to_owned(), digest: "aa".to_owned(), profile: None };
        Plan::of_changes(&suffix, stamp, String::new(), Timestamp::UNIX_EPOCH, Vec::new(), 0)
    }

    fn keep(plans: &KeptPlans, plan: &Plan, maker: &str, day: i64) -> KeptPlan {
        let at = Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap();
        let maker = Principal::command(maker, None);
        plans.keep(plan, KeptPlan::of(plan, &maker, at, PlanEffect::default(), GuardReport::default())).unwrap()
    }

    #[test]
    fn a_plan_is_found_by_its_hash_and_keeps_its_first_maker() {
        let folder = tempfile::tempdir().unwrap();
        let plans = KeptPlans::new(folder.path().join("plans"));
        assert!(plans.list().unwrap().is_empty());
        let one = plan("registrar");
        keep(&plans, &one, "ann", 0);
        assert_eq!(keep(&plans, &one, "bo", 1).maker, "cli:ann");
        let (kept, found) = plans.find(&one.hash()[..12]).unwrap();
        assert_eq!((kept.hash.as_str(), found), (one.hash(), one.clone()));
        assert!(matches!(plans.find(&one.hash()[..3]), Err(KeptPlanError::Ambiguous(_))));
        for unknown in ["00000000", "../../etc/passwd"] {
            assert!(matches!(plans.find(unknown), Err(KeptPlanError::Unknown(_))), "{unknown}");
        }
        fs::write(plans.path(one.hash(), PLAN), plan("hr").to_bytes()).unwrap();
        assert!(matches!(plans.find(one.hash()), Err(KeptPlanError::Plan(PlanFileError::Changed))));
    }

    #[test]
    fn plans_are_bounded_in_number_and_age() {
        let folder = tempfile::tempdir().unwrap();
        let plans = KeptPlans::new(folder.path().join("plans"));
        for number in 0..30 {
            keep(&plans, &plan(&format!("source-{number}")), "cli:ann", 0);
        }
        assert_eq!(plans.list().unwrap().len(), PLANS_MAX);
        keep(&plans, &plan("later"), "cli:ann", 31);
        assert_eq!(plans.list().unwrap().len(), 1);
    }
}

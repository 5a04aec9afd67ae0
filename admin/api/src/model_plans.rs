//! JSON forms of plans: counts, the limits of the guard, and plans that are kept.

use jiff::Timestamp;
use provost_provision::{GuardReport, GuardTrip, KeptPlan, PersonChange, PlanSummary, Words};
use serde::Serialize;
use utoipa::ToSchema;

/// Counts of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SummaryBody {
    /// Rows of the file, good and wrong.
    rows: usize,
    /// People to create.
    create: usize,
    /// People to change.
    update: usize,
    /// People in `update` whose primary address changes.
    rename: usize,
    /// People whom a complete file does not name, and whose absence is counted or confirmed.
    absent: usize,
    /// People to whom a run of the lifecycle gives another state.
    state: usize,
    /// Accounts that a run of the lifecycle purges.
    purge: usize,
    /// Changes by which a run of the lifecycle ends addresses.
    address: usize,
    /// People that are already in the wanted state, and rows that repeat an earlier one.
    unchanged: usize,
    /// Rows left out.
    rejected: usize,
    /// Single-entry LDAP writes.
    writes: usize,
    /// Passwords to hash.
    passwords: usize,
}

impl From<&PlanSummary> for SummaryBody {
    fn from(summary: &PlanSummary) -> Self {
        let PlanSummary { rows, create, update, rename, absent, state, purge, address, .. } = *summary;
        let PlanSummary { unchanged, rejected, writes, passwords, .. } = *summary;
        Self { rows, create, update, rename, absent, state, purge, address, unchanged, rejected, writes, passwords }
    }
}

/// The limits of the guard that a plan exceeds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct GuardBody {
    /// Name of the policy whose limits were compared; `built-in` for those of a site that states none.
    policy: String,
    /// The exceeded limits, at most 50, those of the largest cohorts first; none when the plan may be applied.
    limits: Vec<ExceededLimit>,
}

impl From<GuardReport> for GuardBody {
    fn from(report: GuardReport) -> Self {
        Self { policy: report.policy, limits: report.trips.into_iter().map(Into::into).collect() }
    }
}

/// One limit that a plan exceeds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ExceededLimit {
    /// What happens to the people: `suspension`, `closing`, `departure`, `purge`, `absence`, `address`, `creation`, `reject`.
    category: String,
    /// The cohort: `everybody`, `source:registrar`, `student`, `student/Music`.
    cohort: String,
    /// Number of people that the plan concerns; for `reject`, rows of the file.
    count: u64,
    /// People of the cohort before the plan; for `reject`, rows of the file.
    size: u64,
    /// People whom earlier plans of the window changed in the same way; 0 for a limit of one plan.
    earlier: u64,
    /// Days of the window; `null` for the limit of one plan.
    window_days: Option<u32>,
    /// The largest number that is allowed.
    limit: u64,
    /// The first people, by address.
    first: Vec<String>,
    /// All of this in one line.
    words: String,
}

impl From<GuardTrip> for ExceededLimit {
    fn from(trip: GuardTrip) -> Self {
        let words = trip.to_string();
        let GuardTrip { count, earlier, window_days, limit } = trip;
        Self {
            category: count.category.name().to_owned(),
            cohort: count.cohort,
            count: count.count,
            size: count.size,
            earlier,
            window_days,
            limit,
            first: count.first,
            words,
        }
    }
}

/// Whether a kept plan may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeptPlanState {
    /// The guard stopped the plan, or would stop it: a second person must override it.
    Stopped,
    /// The plan was kept to be applied later, and exceeded no limit when it was made.
    Kept,
}

/// A plan that is kept under its hash.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptPlanItem {
    /// Hash of the plan.
    hash: String,
    /// Who made the plan, as in the audit. Only another one may override the guard.
    maker: String,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// `import` or `lifecycle`.
    origin: String,
    /// Name of the source.
    source: String,
    /// Whether it may be applied.
    state: KeptPlanState,
    /// Counts of rows, changes and writes.
    summary: SummaryBody,
    /// The limits that the plan exceeded when it was made.
    guard: GuardBody,
}

impl From<KeptPlan> for KeptPlanItem {
    fn from(kept: KeptPlan) -> Self {
        let state = if kept.report.has_tripped() { KeptPlanState::Stopped } else { KeptPlanState::Kept };
        Self {
            summary: (&kept.summary).into(),
            hash: kept.hash,
            maker: kept.maker,
            at: kept.at,
            origin: kept.origin,
            source: kept.source,
            state,
            guard: kept.report.into(),
        }
    }
}

/// The change of one person, in words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlannedChange {
    /// Line of the row that asks for the change; 0 when no row does.
    line: u64,
    /// The person and what is done to them.
    what: String,
    /// The reason, and for an existing person each value as `old -> new`. Passwords are not included.
    details: Vec<String>,
}

impl PlannedChange {
    pub(crate) fn new(words: &Words, change: &PersonChange) -> Self {
        Self { line: change.line, what: words.plan_line(change), details: words.plan_details(change) }
    }
}

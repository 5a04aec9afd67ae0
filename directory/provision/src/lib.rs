//! People's facts into the directory, through one door: read, plan, apply. And the small changes that a help desk makes.
//!
//! `plan` is pure; `apply` is ordered single-entry writes, each intermediate state valid, all repeatable. The CLI, the REST
//! API and the web pages call the same functions here. Nothing here knows who asks but by [`Actor`].

mod apply;
mod audit;
mod desk;
mod naming;
mod plan;
mod roster;
mod tree;

pub use apply::{apply, Outcomes, Progress};
pub use audit::{Actor, Audit, AuditRecord};
pub use desk::{AddressInfo, Desk, DeskError, PersonDetail, PersonSummary, VacationChange};
pub use naming::{fold_name, login_base};
pub use plan::{plan, Actual, Change, Plan, PlanError, PlanSummary};
pub use roster::{read_roster, Affiliation, Encoding, FileError, Roster, RosterOptions, Row, RowError};
pub use tree::ensure_tree;

/// What provisioning needs to know of the site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Domain of primary addresses, lower case.
    pub domain: String,
    /// Name of the source of a registrar's file: `registrar`.
    pub source: String,
    /// How new passwords are stored.
    pub scheme: provost_credential::Scheme,
}

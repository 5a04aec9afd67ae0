//! People's facts into the directory, through one door: read, plan, apply. And the small changes that a help desk makes.
//!
//! `plan` is pure; `apply` is ordered single-entry writes, each intermediate state valid, all repeatable. The CLI, the REST
//! API and the web pages call the same functions here. Nothing here knows who asks but by [`Actor`].

mod apply;
mod audit;
mod calendar;
mod desk;
mod facts;
mod invisible;
mod naming;
mod plan;
mod roster;
mod settings;
mod tree;
mod write;

pub use apply::{Outcomes, Progress, apply, apply_until};
pub use audit::{Actor, Audit, AuditRecord};
pub use calendar::site_time_zone;
pub use desk::{AddressInfo, Desk, DeskError, PersonDetail, PersonSummary, VacationChange};
pub use facts::Facts;
pub use naming::{fold_name, login_base};
pub use plan::{Actual, Change, ChangeKind, Plan, PlanError, PlanSummary, plan};
pub use roster::{
    Affiliation, Column, Encoding, FILE_MIB_MAX, FileError, ROWS_MAX, Roster, RosterOptions, Row, RowError, read_roster,
};
pub use settings::{Settings, SettingsSource, read_shared_settings};
pub use tree::{base_tree, ensure_tree};
pub use write::{AddressKind, NewPerson, Write};

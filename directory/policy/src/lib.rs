//! Policies: the site's rules about people, as dated documents in the directory.
//!
//! A [`PolicyDocument`] is one version of the rules of one kind for a population, with the day from which it holds. A
//! version that is in force is never edited: a new version gets a new name and a later day. So a promise that was made
//! under an earlier version can be kept. [`PolicySet`] chooses the version for a person and a moment.
//!
//! This crate reads and checks documents. What a kind of policy decides is in the crate that uses it; the rules of the
//! lifecycle, of names and of the guard are here, because the programs that show policies check them too. No function of
//! this crate reads the clock.

mod days;
mod document;
mod guard;
mod lifecycle;
mod line;
mod naming;
mod pattern;
mod phase;
mod population;
mod set;
mod terms;

pub use days::{days_after, days_before};
pub use document::{POLICY_NAME_OCTETS_MAX, PolicyDocument, PolicyError};
pub use guard::{FailureLimit, GUARD, GUARD_WINDOW_DAYS_MAX, GuardCategory, GuardLimit, GuardPolicy};
pub use lifecycle::{BUILT_IN_LIFECYCLES, LIFECYCLE, LifecyclePolicy, PromiseDate, PurgeRule};
pub use line::{LINE_OCTETS_MAX, LINES_MAX, PolicyLine};
pub use naming::{AlumniAddress, BUILT_IN_NAMING, LOCAL_PART_OCTETS_MAX, NAMING, NameSpaces, NamingRules};
pub use pattern::{AddressPattern, NameElement, NamePattern, PatternPart};
pub use phase::{Phase, PhaseLength, PhaseState, Receiving};
pub use population::Population;
pub use set::{PolicySet, PolicySetError};
pub use terms::Terms;

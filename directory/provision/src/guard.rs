//! The guard: stops a plan that would change too many people, until a second person has looked at it.
//!
//! A file that is cut short, a policy with a wrong day or a mistaken column can take thousands of accounts away in one
//! run. The guard counts what a plan does to each cohort (everybody, a source, an affiliation, a programme), adds what the
//! plans of the last days did, and compares the sums with the limits of the policy. The View has a guard of its own
//! against a directory that loses entries; this one judges plans.
//!
//! Pure but for [`batches`], which reads and writes the entries in `ou=batches`.

mod batches;
mod cohort;
mod effect;
mod judge;
mod loss;
mod tally;

pub(crate) use batches::{BatchEntry, note_undone, read_batches, remove_batch, write_batch};
pub use effect::{CohortCount, PlanEffect};
pub(crate) use judge::judge;
pub use judge::{GuardReport, GuardTrip};
pub(crate) use tally::Tally;

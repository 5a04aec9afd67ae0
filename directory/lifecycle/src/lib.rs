//! The lifecycle of an account: from the facts about a person, the site's policies and a moment to the state that
//! holds.
//!
//! [`decide`] is pure and looks only at facts: a run that was missed changes nothing, since the next one comes to the
//! state that holds by then. A timeline of years is a loop over moments ([`timeline`]). This crate knows no directory
//! and no clock, and writes nothing: `provost-provision` compares a decision with the entry and plans the difference.

mod decide;
mod facts;
mod notice;
mod period;
mod timeline;

pub use decide::{AccountState, Decision, DecisionReason, decide};
pub use facts::{Extension, LifecycleFacts};
pub use notice::{DueNotice, SentNotice, due_notice};
pub use period::{AffiliationPeriod, PERIODS_MAX};
pub use timeline::{TimelineEvent, next_moment, timeline};

//! Plans a run of the lifecycle: each person gets the state that policies and moment ask for.
//!
//! The decision itself is in `provost-lifecycle`; this module reads the facts from a person's entry and compares the
//! decision with what the entry holds. The result is a plan like that of an import, so a run has the same guard,
//! journal, audit and undo.

mod addresses;
mod alumni;
mod class_end;
mod comparison;
mod facts;
mod notice_mail;
mod planner;
mod purge;
mod words;

pub(crate) use addresses::{AddressEnd, EndedAddresses, OWNER_ATTRIBUTES, freed, owner_of, quarantine_days};
pub(crate) use alumni::{AlumniGrant, DueAlumni, held_in};
pub(crate) use class_end::EndedClass;
pub(crate) use comparison::LifecycleRules;
pub(crate) use facts::{is_closed, lifecycle_facts};
pub(crate) use notice_mail::{NoticeMail, losses};
pub(crate) use planner::{LIFECYCLE_ATTRIBUTES, LIFECYCLE_SOURCE, LifecyclePlanner, digest_of};
pub(crate) use purge::Purge;

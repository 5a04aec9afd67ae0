//! Sieve: the managed script made from directory attributes, and the interpreter of it (RFC 5228, 5230, 3834).

mod run;

pub use run::{managed_script, run, Action, Context, Outcome, SieveError, VacationReply};

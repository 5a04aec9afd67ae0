//! Sieve: the managed script made from directory attributes, and the interpreter of it (RFC 5228, 5230, 3834).
//!
//! Text to tokens (`lexer`), to a tree (`syntax`), to a checked program (`compile`), which runs over a message and a
//! [`Context`]. Everything is bounded: a script's length, strings, nesting, actions, and the work of one run. Nothing
//! here reads a clock, a store or a socket, or knows a mailbox; [`Outcome`] says what is to be done, delivery does it.

mod arguments;
mod compile;
mod compile_test;
mod compile_vacation;
mod date;
mod error;
mod lexer;
mod managed;
mod matching;
mod program;
mod require;
mod run;
mod syntax;
mod vacation;

pub use error::SieveError;
pub use managed::managed_script;
pub use run::{Action, Context, Outcome, Script, run};
pub use vacation::VacationReply;

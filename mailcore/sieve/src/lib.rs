//! Sieve: the managed script made from directory attributes, and the interpreter (RFC 5228; `require` lists the
//! extensions).
//!
//! A script passes the `lexer`, the parser (`syntax`) and the checks (`compile`), and then runs over a message and a
//! [`ScriptContext`]. Everything is bounded: script length, strings, nesting, actions, and the work of one run. The
//! room uses no clock, store or socket; [`ScriptOutcome`] lists the actions, and delivery carries them out.

mod address;
mod arguments;
mod compile;
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
mod test_commands;
mod vacation;

pub use error::SieveError;
pub use managed::managed_script;
pub use run::{Action, Script, ScriptContext, ScriptOutcome, run};
pub use vacation::VacationReply;

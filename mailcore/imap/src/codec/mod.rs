//! Bytes to commands, replies to bytes. No I/O, and no state except the framing of the current command.

mod arguments;
pub(crate) mod command;
pub(crate) mod cursor;
pub(crate) mod date;
pub(crate) mod encode;
pub(crate) mod envelope;
pub(crate) mod frame;
mod parse;
mod parse_fetch;
mod parse_list;
mod parse_search;
pub(crate) mod reply;
pub(crate) mod sequence;
pub(crate) mod structure;
pub(crate) mod utf7;

pub(crate) use command::Command;
pub(crate) use parse::{ParsedCommand, parse};
pub(crate) use reply::StatusResponse;

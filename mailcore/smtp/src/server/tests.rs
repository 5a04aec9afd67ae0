//! Conversations with a session: `C:` is a line of the client, `S:` the start of a reply line that the server must
//! send.

mod accept;
mod auth;
mod broken;
mod commands;
mod limits;
mod site;
mod stages;
mod valid_since;

pub(super) use stages::ScriptedStage;

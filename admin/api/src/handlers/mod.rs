//! One file for each resource. A handler reads the request, calls a part of `HandlerState`, such as the desk, and
//! responds.

pub(crate) mod access;
pub(crate) mod activation;
pub(crate) mod addresses;
pub(crate) mod groups;
pub(crate) mod imports;
pub(crate) mod jobs;
pub(crate) mod messages;
pub(crate) mod password;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod queue;
pub(crate) mod settings;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod vacation;

//! One file for each resource. A handler reads the request, calls the operations layer, and answers.

pub(crate) mod addresses;
pub(crate) mod imports;
pub(crate) mod jobs;
pub(crate) mod messages;
pub(crate) mod password;
pub(crate) mod people;
pub(crate) mod queue;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod vacation;

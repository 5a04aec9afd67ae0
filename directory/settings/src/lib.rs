//! What nodes share: the settings that stand in the directory, as typed values, each with the place it comes from.
//!
//! A setting is one entry of class `provostSetting` in the container that its [`Definition`] names: `cn` is its name,
//! `provostValue` its value. Nothing here reads a directory: the View and provisioning do, and hand over what they
//! found. What must never happen here: a bad value that takes effect, or that puts a good one out of force.

mod definition;
mod resolve;
mod values;

pub use definition::{DEFINITIONS, Definition, MAIL_DOMAIN, MESSAGE_SIZE_MAX, VALUE_OCTETS_MAX, VALUES_MAX};
pub use resolve::{Fallback, Fault, Origin, SETTINGS_MAX, ServedDomains, SettingRow, SharedSettings, Stated};
pub use values::Values;

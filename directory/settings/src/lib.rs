//! The settings that nodes share: typed values, each with its origin.
//!
//! A setting is one entry of class `provostSetting` in the container that its [`SettingDefinition`] names: `cn` is its
//! name, `provostValue` holds its values. This room reads no directory: the View and provisioning do, and pass in the
//! entries that they found. An invalid value must never take effect, nor displace a valid one that is in force.

mod definition;
mod resolve;
mod values;
mod webhook;

pub use definition::{DEFINITIONS, MAIL_DOMAIN, MESSAGE_SIZE_MAX, SettingDefinition, VALUE_OCTETS_MAX, VALUES_MAX};
pub use resolve::{
    Fallback, SETTINGS_MAX, ServedDomains, SettingFault, SettingRow, SharedSettings, StatedEntry, ValueOrigin,
};
pub use values::{ClientServer, SettingValues};
pub use webhook::{WEBHOOK_EVENTS, WEBHOOK_PREFIX, WEBHOOKS_MAX, WebhookEndpoint};

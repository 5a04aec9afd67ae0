//! Webhooks: posts events of people and imports to other programs, signed, in order, and at least once.
//!
//! Events come from the audit, which has every change in one order: nothing else makes an event. Each endpoint has a
//! cursor in the shared state, which moves only after its receiver has accepted an event; a crash between the two sends
//! the event again. One node of the site sends (a lease); requests carry a signature in the form of Standard Webhooks.
//! No personal data leaves but ids, states and names of attributes, unless the endpoint asks for details.

mod cursor;
mod event;
mod post;
mod secret;
mod signature;
mod worker;

pub use cursor::{CursorError, WebhookCursor, WebhookCursors};
pub use event::{WebhookEvent, events_of, test_event};
pub use post::{PostError, Sender};
pub use secret::{SecretError, WebhookSecrets};
pub use signature::{SigningSecret, sign};
pub use worker::{WebhookParts, run};

//! Mails that operations send to people outside: a border, behind which the node's queue takes them.

use std::io;

use futures_util::future::BoxFuture;
use provost_entry::{Dn, Entry};
use uuid::Uuid;

/// A mail to be sent once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutgoingMail {
    /// Id of the mail: the same id is never queued twice.
    pub id: Uuid,
    /// The reverse-path, to which a bounce goes.
    pub from: String,
    /// Address of the recipient.
    pub to: String,
    /// The whole message, with CRLF line ends.
    pub message: String,
    /// What must hold before the mail is sent; `None` sends it at once.
    pub condition: Option<MailCondition>,
}

/// A value that an entry must have when a mail is sent.
///
/// The mail is kept before the change that it reports is written, so that no interruption can lose it. The condition
/// then shows whether the change was made, and whether a later one has made the mail outdated.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MailCondition {
    /// DN of the entry.
    pub dn: String,
    /// Name of the attribute.
    pub attribute: String,
    /// The value that one of the attribute's values must equal.
    pub value: String,
}

impl MailCondition {
    /// The DN of the entry; `None` when it is malformed.
    pub fn entry(&self) -> Option<Dn> {
        Dn::parse(&self.dn).ok()
    }

    /// Whether the condition holds for the entry.
    pub fn holds(&self, entry: &Entry) -> bool {
        entry.texts(&self.attribute).any(|value| value == self.value)
    }
}

/// Keeps mails until the node's queue has them, across restarts and on whichever node. A storage engine implements this.
pub trait MailOutbox: Send + Sync + 'static {
    /// Keeps a mail, which is durable once the future resolves to `Ok`.
    fn put(&self, mail: OutgoingMail) -> BoxFuture<'_, io::Result<()>>;

    /// Drops a mail that the queue has not taken yet; nothing happens when there is none.
    fn remove(&self, id: Uuid) -> BoxFuture<'_, io::Result<()>>;
}

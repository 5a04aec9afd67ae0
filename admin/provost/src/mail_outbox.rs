//! Mails of the operations layer, from the command or request that makes one to the node's queue.
//!
//! A mail is a record of the shared state, so that a command can make one while no node runs, and any node of the site
//! can send it. The node looks at the records every few seconds. It hands a mail to its queue under the mail's own id and
//! then removes the record: after an interruption between the two, the queue knows the id and takes nothing twice.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provost_client::{Directory, DirectoryError, LdapSearch, Scope};
use provost_entry::Filter;
use provost_message::{Envelope, Path};
use provost_net::Drain;
use provost_provision::{MailCondition, MailOutbox, OutgoingMail};
use provost_queue::Queue;
use provost_schema::attr;
use provost_store::{ChangeCondition, StateChange, StateError, StateRecord, StateSpace, StateStore, WhenFull};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

/// Interval at which a node looks for mails.
const LOOK: Duration = Duration::from_secs(2);
/// Mails that one look takes; the others follow at once.
const MAILS_AT_ONCE: usize = 100;
/// How long a mail whose condition does not hold is kept: longer than any write of the change that it reports takes.
const CONDITION_GRACE: SignedDuration = SignedDuration::from_secs(60);

static OUTBOX: StateSpace =
    StateSpace { name: "mail-outbox", records_max: 100_000, octets_max: 64 * 1024, when_full: WhenFull::Refuse };

/// A record of [`OUTBOX`].
#[derive(Serialize, Deserialize)]
struct KeptMail {
    made: Timestamp,
    mail: OutgoingMail,
}

/// The outbox in the shared state.
pub(crate) struct StateOutbox {
    state: Arc<dyn StateStore>,
}

type Done<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;

impl StateOutbox {
    pub(crate) fn new(state: Arc<dyn StateStore>) -> Self {
        Self { state }
    }
}

impl MailOutbox for StateOutbox {
    fn put(&self, mail: OutgoingMail) -> Done<'_> {
        Box::pin(async move {
            let (key, now) = (mail.id.to_string(), Timestamp::now());
            let value = serde_json::to_vec(&KeptMail { made: now, mail })?;
            let put = StateChange::put(&OUTBOX, key, ChangeCondition::Absent, value, None);
            self.state.change(vec![put], now).await.map(drop).map_err(io::Error::other)
        })
    }

    fn remove(&self, id: Uuid) -> Done<'_> {
        Box::pin(async move { remove(&*self.state, &id.to_string()).await.map_err(io::Error::other) })
    }
}

async fn remove(state: &dyn StateStore, key: &str) -> Result<(), StateError> {
    let remove = StateChange::remove(&OUTBOX, key, ChangeCondition::Any);
    state.change(vec![remove], Timestamp::now()).await.map(drop)
}

/// Hands the mails of the outbox to the queue of this node.
pub(crate) struct OutboxMails {
    pub(crate) state: Arc<dyn StateStore>,
    pub(crate) queue: Queue,
    pub(crate) directory: Directory,
}

/// What becomes of a mail at one look.
#[derive(Debug, PartialEq, Eq)]
enum MailFate {
    Send,
    /// The change that it reports is not there yet, or the directory does not answer.
    Wait,
    /// The change was not made, or a later one has replaced it.
    Drop,
}

impl OutboxMails {
    /// Works until the node stops.
    pub(crate) async fn run(self, drain: Drain) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.stopping() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "mails of the outbox wait: they cannot be read or queued now");
            }
        }
    }

    /// Takes every mail that there is.
    async fn look(&self) -> Result<(), StateError> {
        let mut after: Option<String> = None;
        loop {
            let records = self.state.records(&OUTBOX, after.as_deref(), MAILS_AT_ONCE, Timestamp::now()).await?;
            let Some(last) = records.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for record in &records {
                self.take(record).await?;
            }
        }
    }

    async fn take(&self, record: &StateRecord) -> Result<(), StateError> {
        let Ok(KeptMail { made, mail }) = serde_json::from_slice::<KeptMail>(&record.value) else {
            tracing::error!(key = record.key, "a mail of the outbox cannot be read and is dropped");
            return remove(&*self.state, &record.key).await;
        };
        let now = Timestamp::now();
        match self.fate(mail.condition.as_ref(), made, now).await {
            MailFate::Wait => Ok(()),
            MailFate::Drop => {
                tracing::info!(id = %mail.id, "a mail of the outbox is outdated and is not sent");
                remove(&*self.state, &record.key).await
            }
            MailFate::Send => {
                let (id, message) = (mail.id, mail.message.clone());
                match envelope(&mail) {
                    Some(envelope) => self.queue.accept_as(id, envelope, message.into(), now).await?,
                    None => tracing::error!(%id, "a mail of the outbox has no valid address and is dropped"),
                }
                remove(&*self.state, &record.key).await
            }
        }
    }

    async fn fate(&self, condition: Option<&MailCondition>, made: Timestamp, now: Timestamp) -> MailFate {
        let Some(condition) = condition else { return MailFate::Send };
        let Some(dn) = condition.entry() else { return MailFate::Drop };
        let search = LdapSearch {
            base: dn,
            scope: Scope::Base,
            filter: Filter::present(attr::OBJECT_CLASS),
            attributes: vec![condition.attribute.clone()],
            limit: None,
        };
        // Only the provider knows whether the change was made: a replica may lag behind.
        let holds = match self.directory.search_provider(search).await {
            Ok(entries) => entries.iter().any(|entry| condition.holds(entry)),
            Err(DirectoryError::NoSuchObject(_)) => false,
            Err(error) => {
                tracing::debug!(%error, "a mail of the outbox waits for the directory");
                return MailFate::Wait;
            }
        };
        judge(holds, made, now)
    }
}

fn judge(holds: bool, made: Timestamp, now: Timestamp) -> MailFate {
    match holds {
        true => MailFate::Send,
        false if now.duration_since(made) > CONDITION_GRACE => MailFate::Drop,
        false => MailFate::Wait,
    }
}

fn envelope(mail: &OutgoingMail) -> Option<Envelope> {
    Some(Envelope::new(Some(Path::parse(&mail.from).ok()?), [Path::parse(&mail.to).ok()?]))
}

#[cfg(test)]
mod tests {
    use provost_store::MemoryState;

    use super::*;

    fn mail() -> OutgoingMail {
        OutgoingMail {
            id: Uuid::new_v4(),
            from: "postmaster@example.edu".into(),
            to: "zoe@example.net".into(),
            message: "Subject: x\r\n\r\ny\r\n".into(),
            condition: None,
        }
    }

    #[tokio::test]
    async fn a_mail_is_kept_until_it_is_removed() {
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::default());
        let outbox = StateOutbox::new(state.clone());
        let mail = mail();
        outbox.put(mail.clone()).await.unwrap();
        let kept = state.records(&OUTBOX, None, 10, Timestamp::now()).await.unwrap();
        let read: KeptMail = serde_json::from_slice(&kept[0].value).unwrap();
        assert_eq!((kept.len(), &read.mail), (1, &mail));
        outbox.remove(mail.id).await.unwrap();
        outbox.remove(mail.id).await.unwrap();
        assert!(state.records(&OUTBOX, None, 10, Timestamp::now()).await.unwrap().is_empty());
    }

    #[test]
    fn a_mail_waits_for_its_change_and_is_dropped_when_it_is_outdated() {
        let made: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (holds, seconds, fate) in [
            (true, 0, MailFate::Send),
            (true, 3600, MailFate::Send),
            (false, 60, MailFate::Wait),
            (false, 61, MailFate::Drop),
        ] {
            assert_eq!(judge(holds, made, made + SignedDuration::from_secs(seconds)), fate, "{holds} {seconds}");
        }
    }

    #[test]
    fn an_address_that_no_envelope_takes_is_found() {
        assert!(envelope(&mail()).is_some());
        assert!(envelope(&OutgoingMail { to: "zoe\r\n@example.net".into(), ..mail() }).is_none());
    }
}

//! What a person's rules ask for one message, as operations of the store and messages for the queue.

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Address, Envelope, Path, Reply};
use provost_sieve::{Action, Context, Outcome, SieveError, VacationReply};
use provost_store::{BatchId, Flags, MailboxName, Op};
use provost_view::{Person, View};
use uuid::Uuid;

use crate::{Caused, Incoming};

/// Seconds of a day.
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What is to be done with one message for one person.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Where it goes; none is discarded.
    pub(crate) mailboxes: Vec<MailboxName>,
    /// Sent on to.
    pub(crate) redirects: Vec<Address>,
    /// Refused with this text.
    pub(crate) reject: Option<String>,
    /// A reply that may be due.
    pub(crate) vacation: Option<VacationReply>,
}

impl Wishes {
    /// Runs the person's managed script; nothing is parsed for the many who have none. A broken script keeps.
    pub(crate) fn of(person: &Person, incoming: Incoming<'_>, view: &View) -> Self {
        let Incoming { reverse_path, recipient, message, now, .. } = incoming;
        if !person.vacation.as_ref().is_some_and(|vacation| vacation.is_on(now)) {
            return Self::keep();
        }
        let script = provost_sieve::managed_script(person);
        if script.is_empty() {
            return Self::keep();
        }
        let addresses = view.snapshot().addresses_of(person.entry_uuid);
        let addresses: Vec<Address> = addresses.into_iter().map(|(address, _kind)| address).collect();
        let context = Context { reverse_path, recipient, addresses: &addresses, now };
        match provost_sieve::run(&script, message, &context) {
            Ok(outcome) => Self::from(outcome),
            Err(error) => Self::keep_after(&error, person),
        }
    }

    fn keep() -> Self {
        Self { mailboxes: vec![MailboxName::inbox()], ..Self::default() }
    }

    /// RFC 5228 §2.10.6: an error in a script keeps the message.
    fn keep_after(error: &SieveError, person: &Person) -> Self {
        metrics::counter!("sieve_errors_total").increment(1);
        tracing::warn!(account = %person.entry_uuid, %error, "Sieve script failed, message kept");
        Self::keep()
    }

    /// The appends, each sharing the one body.
    pub(crate) fn appends(&self, body: &Bytes, now: Timestamp) -> Vec<Op> {
        let append = |mailbox: &MailboxName| Op::Append {
            mailbox: mailbox.clone(),
            create: true,
            body: body.clone(),
            flags: Flags::none(),
            internal_date: now.as_second(),
        };
        self.mailboxes.iter().map(append).collect()
    }

    /// RFC 5228 §4.2: the message goes on with its reverse-path. It carries our Delivered-To, which ends a loop.
    pub(crate) fn redirects(&self, reverse_path: Option<&Path>, body: &Bytes) -> Vec<Caused> {
        let redirect = |to: &Address| {
            let envelope = Envelope::new(reverse_path.cloned(), [Path::from(to)]);
            Caused { envelope: Envelope { eight_bit: true, ..envelope }, body: body.clone() }
        };
        self.redirects.iter().map(redirect).collect()
    }
}

impl From<Outcome> for Wishes {
    fn from(outcome: Outcome) -> Self {
        let mut wishes = Self { vacation: outcome.vacation, ..Self::default() };
        for action in outcome.actions {
            match action {
                Action::Keep => wishes.file(MailboxName::inbox()),
                // RFC 5228 §4.1: a mailbox that cannot be is no reason to lose the message.
                Action::FileInto(name) => wishes.file(MailboxName::parse(&name).unwrap_or_else(MailboxName::inbox)),
                Action::Redirect(to) => wishes.redirects.push(to),
                Action::Reject(text) => wishes.reject = Some(text),
            }
        }
        wishes
    }
}

impl Wishes {
    /// RFC 5228 §2.10.3: the same mailbox twice is one copy.
    fn file(&mut self, mailbox: MailboxName) {
        if !self.mailboxes.contains(&mailbox) {
            self.mailboxes.push(mailbox);
        }
    }
}

/// Whether an op files into another mailbox than INBOX.
pub(crate) fn is_filed(op: &Op) -> bool {
    matches!(op, Op::Append { mailbox, .. } if !mailbox.is_inbox())
}

/// The append of an implicit keep.
pub(crate) fn keep(body: Bytes, internal_date: i64) -> Op {
    Op::Append { mailbox: MailboxName::inbox(), create: true, body, flags: Flags::none(), internal_date }
}

/// RFC 5230 §4.2: remembered in the batch of the message, so that a batch tried again answers once.
pub(crate) fn remember(reply: &VacationReply, now: Timestamp) -> Op {
    Op::RememberReply {
        handle: reply.handle.clone(),
        correspondent: reply.to.to_string().to_lowercase(),
        until: now.as_second().saturating_add(i64::from(reply.days) * DAY_SECONDS),
    }
}

/// The reply itself. RFC 5230 §5.1, RFC 3834 §3.3: with the null reverse-path.
pub(crate) fn reply(reply: &VacationReply, person: &Person, hostname: &str, id: BatchId, now: Timestamp) -> Caused {
    let message = Reply {
        from: &reply.from,
        display_name: &person.display_name,
        to: &reply.to,
        subject: &reply.subject,
        text: &reply.text,
        in_reply_to: reply.in_reply_to.as_deref(),
        references: reply.references.as_deref(),
        hostname,
        now,
        // From the delivery's id: the same delivery makes the same reply.
        chance: Uuid::new_v5(&id.0, b"vacation"),
    };
    Caused { envelope: Envelope::new(None, [reply.to.clone()]), body: Bytes::from(message.build()) }
}

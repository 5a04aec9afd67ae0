//! Turns a person's rules into operations of one store batch: messages filed and messages sent.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Address, AutoReply, Envelope, Notify, Path, Recipient};
use provost_sieve::{Action, ScriptContext, ScriptOutcome, SieveError, VacationReply};
use provost_store::{BatchId, Flags, MailboxName, NewMessage, Op, QueueId};
use provost_view::{MailIntake, Person, RecipientStatus, View};
use uuid::Uuid;

use crate::{IncomingMessage, recipient_status};

/// The unit of a vacation rule's interval.
const DAY: Duration = Duration::from_hours(24);

/// The actions for one message and one person: those of the script, an implicit keep (RFC 5228 §2.10.2), or quarantine.
#[derive(Debug, Default)]
pub(crate) struct Disposition {
    /// Mailboxes that the message is filed into. Without a mailbox, a redirect or a reject, the message is discarded.
    pub(crate) mailboxes: Vec<MailboxName>,
    /// Addresses that the message is redirected to (RFC 5228 §4.2).
    pub(crate) redirects: Vec<Path>,
    /// The text of a `reject`.
    pub(crate) reject: Option<String>,
    /// A vacation reply that may be due.
    pub(crate) vacation: Option<VacationReply>,
}

impl Disposition {
    /// Runs the person's managed script. Without a vacation rule that is on, there is no script and the message goes to
    /// INBOX. A script that fails keeps the message.
    pub(crate) fn of(person: &Person, incoming: IncomingMessage<'_>, view: &View) -> Self {
        let IncomingMessage { arrival, recipient, address, message, now, .. } = incoming;
        if !person.vacation.as_ref().is_some_and(|vacation| vacation.is_on(now)) {
            return Self::keep_in_inbox();
        }
        let script = provost_sieve::managed_script(person);
        if script.is_empty() {
            return Self::keep_in_inbox();
        }
        let addresses = view.snapshot().addresses_of(person.entry_uuid);
        let addresses: Vec<Address> = addresses.into_iter().map(|(address, _kind)| address).collect();
        let context =
            ScriptContext { arrival, forward_path: &recipient.path, recipient: address, addresses: &addresses, now };
        match provost_sieve::run(&script, message, &context) {
            Ok(outcome) => Self::from(outcome),
            Err(error) => Self::keep_after(&error, person),
        }
    }

    fn keep_in_inbox() -> Self {
        Self { mailboxes: vec![MailboxName::inbox()], ..Self::default() }
    }

    /// Files into the mailbox for quarantine. The person's rules do not run, so that no reply is sent and nothing is
    /// redirected.
    pub(crate) fn quarantine(junk: MailboxName) -> Self {
        Self { mailboxes: vec![junk], ..Self::default() }
    }

    /// Adds the forwarding that is on at `now` to what the rules have decided. `None` when the account only forwards and
    /// no forwarding is on: the message has no place to go.
    pub(crate) fn forwarded(mut self, person: &Person, now: Timestamp) -> Option<Self> {
        let forwarding = person.forwarding(now);
        let only_forwards = person.access.receiving == MailIntake::ForwardOnly;
        let Some(forwarding) = forwarding else { return (!only_forwards).then_some(self) };
        if self.reject.is_none() {
            let paths = forwarding.to.iter().map(Path::from);
            let new: Vec<Path> = paths.filter(|path| !self.redirects.contains(path)).collect();
            self.redirects.extend(new);
        }
        if only_forwards {
            self.mailboxes.clear();
        } else if !forwarding.keeps_copy {
            self.mailboxes.retain(|mailbox| !mailbox.is_inbox());
        }
        Some(self)
    }

    /// Drops redirects to lists of this site: a person's forwarding would pass whatever they receive to all members,
    /// past the check of who may send. A message that has no other place is kept in INBOX. The list is looked up as a
    /// delivery does it, because `list+detail@` reaches the list too.
    pub(crate) fn without_lists(mut self, view: &View) -> Self {
        let before = self.redirects.len();
        let is_list = |path: &Path| {
            path.address().is_some_and(|address| matches!(recipient_status(view, &address), RecipientStatus::List(_)))
        };
        self.redirects.retain(|path| !is_list(path));
        if self.redirects.len() < before && self.ends_here() && self.reject.is_none() && self.mailboxes.is_empty() {
            self.mailboxes.push(MailboxName::inbox());
        }
        self
    }

    /// The same without redirects, for a message that has come back: it stays in INBOX if it has no other place. `None` when
    /// the account only forwards.
    pub(crate) fn without_redirects(mut self, person: &Person) -> Option<Self> {
        if self.redirects.is_empty() {
            return Some(self);
        }
        self.redirects.clear();
        let is_lost = self.mailboxes.is_empty() && self.reject.is_none();
        if is_lost && person.access.receiving == MailIntake::ForwardOnly {
            return None;
        }
        if is_lost {
            self.mailboxes.push(MailboxName::inbox());
        }
        Some(self)
    }

    /// RFC 5228 §2.10.6: an error in a script keeps the message.
    fn keep_after(error: &SieveError, person: &Person) -> Self {
        metrics::counter!("provost_sieve_errors_total").increment(1);
        tracing::warn!(account = %person.entry_uuid, %error, "Sieve script failed, message kept");
        Self::keep_in_inbox()
    }

    /// The appends; all share one body.
    pub(crate) fn appends(&self, body: &Bytes, now: Timestamp) -> Vec<Op> {
        let append = |mailbox: &MailboxName| Op::Append {
            mailbox: mailbox.clone(),
            create: true,
            body: body.clone(),
            flags: Flags::none(),
            internal_date: now,
        };
        self.mailboxes.iter().map(append).collect()
    }

    /// A redirect keeps the reverse-path, which RFC 5228 §4.2 permits. Our Delivered-To in the message ends a loop: see
    /// [`crate::trace::local_hops`] and [`crate::trace::is_looping`].
    ///
    /// The parameters of RFC 3461 go along. When a copy stays here, this host reports the success itself and asks the
    /// next hop for no such report.
    pub(crate) fn redirects(&self, incoming: IncomingMessage<'_>, body: &Bytes) -> Vec<Op> {
        let stays = !self.mailboxes.is_empty();
        let notify = incoming.recipient.notify;
        let notify = notify.map(|notify| Notify { success: notify.success && !stays, ..notify });
        let redirect = |to: &Path| {
            let recipient = Recipient { path: to.clone(), notify, original: incoming.recipient.original.clone() };
            let envelope = incoming.arrival.envelope.with_recipients(vec![recipient]);
            let id = caused_id(incoming.id, &format!("redirect {to}"));
            Op::Enqueue(Box::new(NewMessage {
                id,
                envelope: Envelope { eight_bit: true, ..envelope },
                body: body.clone(),
                when: incoming.now,
            }))
        };
        self.redirects.iter().map(redirect).collect()
    }

    /// Whether this host makes the final delivery: a copy is filed, or the recipient's rule discards the message.
    pub(crate) fn ends_here(&self) -> bool {
        !self.mailboxes.is_empty() || self.redirects.is_empty()
    }
}

/// Where a delivered message was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filing {
    /// In the mailboxes of the disposition.
    AsRuled,
    /// In INBOX, because the store refused the batch that files elsewhere.
    InInbox,
}

impl Disposition {
    /// Describes the outcome for the help desk: `in INBOX; vacation reply to ann@example.org where one is due`.
    pub(crate) fn describe(&self, filing: Filing) -> String {
        let mut parts: Vec<String> = match filing {
            Filing::AsRuled => self.mailboxes.iter().map(|mailbox| format!("in {mailbox}")).collect(),
            Filing::InInbox => vec!["in INBOX, because another mailbox is not available".to_owned()],
        };
        parts.extend(self.redirects.iter().map(|to| format!("sent on to {to}")));
        if parts.is_empty() {
            parts.push("discarded by the recipient's rule".to_owned());
        }
        parts.extend(self.vacation.as_ref().map(|reply| format!("vacation reply to {} where one is due", reply.to)));
        parts.join("; ")
    }
}

impl From<ScriptOutcome> for Disposition {
    fn from(outcome: ScriptOutcome) -> Self {
        let mut disposition = Self { vacation: outcome.vacation, ..Self::default() };
        for action in outcome.actions {
            match action {
                Action::Keep => disposition.file(MailboxName::inbox()),
                // A mailbox with an invalid name cannot exist. RFC 5228 §4.1 permits delivery elsewhere.
                Action::FileInto(name) => {
                    disposition.file(MailboxName::parse(&name).unwrap_or_else(MailboxName::inbox))
                }
                Action::Redirect(to) => disposition.redirects.push(to),
                Action::Reject(text) => disposition.reject = Some(text),
            }
        }
        disposition
    }
}

impl Disposition {
    /// RFC 5228 §2.10.3: the same mailbox twice is one copy.
    fn file(&mut self, mailbox: MailboxName) {
        if !self.mailboxes.contains(&mailbox) {
            self.mailboxes.push(mailbox);
        }
    }
}

/// Whether an operation files into a mailbox other than INBOX.
pub(crate) fn files_outside_inbox(op: &Op) -> bool {
    matches!(op, Op::Append { mailbox, .. } if !mailbox.is_inbox())
}

/// The append of an implicit keep.
pub(crate) fn keep_op(body: Bytes, internal_date: Timestamp) -> Op {
    Op::Append { mailbox: MailboxName::inbox(), create: true, body, flags: Flags::none(), internal_date }
}

/// Sends the reply unless its correspondent was answered recently (RFC 5230 §4.2). One batch stores the message, queues
/// the reply and records the correspondent, so a crash loses no reply, and a repeated batch sends no second one.
pub(crate) fn vacation_op(reply: &VacationReply, incoming: IncomingMessage<'_>, person: &Person, hostname: &str) -> Op {
    let now = incoming.now;
    let id = caused_id(incoming.id, "vacation");
    let message = AutoReply {
        from: &reply.from,
        display_name: &person.display_name,
        to: &reply.to,
        subject: &reply.subject,
        text: &reply.text,
        in_reply_to: reply.in_reply_to.as_deref(),
        references: reply.references.as_deref(),
        hostname,
        now,
        // Derived from the delivery's id: the same delivery makes the same reply.
        chance: id.get(),
    };
    // A reply has the null reverse-path (RFC 5230 §5.1, RFC 3834 §3.3).
    let envelope = Envelope::new(None, [reply.to.clone()]);
    let outgoing = NewMessage { id, envelope, body: Bytes::from(message.build()), when: now };
    Op::RememberReply {
        handle: reply.handle.clone(),
        correspondent: reply.to.to_string().to_lowercase(),
        until: now.saturating_add(DAY * u32::from(reply.days)).unwrap_or(Timestamp::MAX),
        reply: Some(Box::new(outgoing)),
    }
}

/// The id of a message that a delivery causes. A repeated delivery makes the same ids, so nothing is queued twice.
pub(crate) fn caused_id(delivery: BatchId, what: &str) -> QueueId {
    QueueId::new(Uuid::new_v5(&delivery.get(), what.as_bytes()))
}

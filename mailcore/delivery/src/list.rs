//! Lists: who may send to one, and how a message goes on to the members.
//!
//! RCPT decides who may send. At the end of the data the members of that moment are written into the queue, with the
//! message, in one batch: when the sender has 250, the list is expanded durably, and a later change of the group or a
//! crash changes nothing. From there each member gets a delivery of their own, with rules, quota and report; a failed one
//! is reported to the owners. A list with too many recipients is refused as a whole.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use provost_message::{
    Address, Arrival, Envelope, HeaderSection, Path, Recipient, ReportAction, ReportedRecipient, fields, header_end,
};
use provost_store::{AccountId, Batch, NewMessage, Op};
use provost_trace::{TraceEvent, TraceOutcome};
use provost_view::{ExpansionFault, ListAddress, ListPart, Person, Poster, RecipientStatus, Snapshot};

use crate::{Delivered, Delivery, IncomingMessage, RecipientRefusal, actions, trace};

/// Fields of a list that the message came through before: a list puts its own in their place (RFC 2369 §4, RFC 2919 §4).
const REPLACED_FIELDS: [&str; 9] = [
    "List-Id",
    "List-Post",
    "List-Owner",
    "List-Help",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Archive",
    "Precedence",
];

/// Why a list does not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListRefusal {
    /// 550 5.2.1: the list has ended at this time.
    Ended(Timestamp),
    /// 550 5.7.2: the sender may not send to the list.
    MayNotPost,
    /// 550 5.7.1: a report or an automatic reply.
    Automatic,
    /// 550 5.7.1: the message is in quarantine.
    Quarantined,
    /// 552 5.3.4: the message has more than these octets.
    TooLarge(u64),
    /// 550 5.2.4: the list has more than this number of recipients.
    TooManyRecipients(usize),
    /// 550 5.2.4: the groups within the list are too many.
    TooManyGroups,
    /// 550 5.2.4: no member receives mail.
    Empty,
}

impl ListRefusal {
    /// Reply code, enhanced status (RFC 3463) and text.
    pub(crate) fn reply(&self) -> (u16, &'static str, String) {
        match self {
            Self::Ended(at) => (550, "5.2.1", format!("This list ended at {at} and takes no more mail")),
            Self::MayNotPost => (550, "5.7.2", "You may not send to this list; people of the site must log in".into()),
            Self::Automatic => (550, "5.7.1", "This list takes no automatic replies and reports".into()),
            Self::Quarantined => (550, "5.7.1", "Refused: quarantined mail is not sent to a list".into()),
            Self::TooLarge(most) => (552, "5.3.4", format!("This list takes at most {most} octets")),
            Self::TooManyRecipients(most) => {
                (550, "5.2.4", format!("This list has more recipients than the {most} that are allowed"))
            }
            Self::TooManyGroups => (550, "5.2.4", "This list contains too many groups".into()),
            Self::Empty => (550, "5.2.4", "No member of this list receives mail".into()),
        }
    }
}

impl From<ExpansionFault> for ListRefusal {
    fn from(fault: ExpansionFault) -> Self {
        match fault {
            ExpansionFault::TooManyRecipients(most) => Self::TooManyRecipients(most),
            ExpansionFault::TooManyGroups => Self::TooManyGroups,
        }
    }
}

impl Delivery {
    /// Whether a recipient that [`Delivery::check`] accepts takes a message from this sender, by what is known at RCPT:
    /// a list has an end, a size, and people who may send. Everybody else takes every message.
    pub fn check_sender(&self, recipient: &Address, arrival: &Arrival, now: Timestamp) -> Result<(), Delivered> {
        let RecipientStatus::List(list) = self.recipient(recipient) else { return Ok(()) };
        let Err(refusal) = may_post(&self.view.snapshot(), &list, arrival, now) else { return Ok(()) };
        // A View that is not current may lack a new member or poster.
        match self.view.is_certain() {
            true => Err(Delivered::Refused(RecipientRefusal::List(refusal))),
            false => Err(Delivered::Unavailable("the directory cannot answer now".into())),
        }
    }

    /// Writes the recipients of a list into the queue, or those of its owners.
    pub(crate) async fn distribute(&self, incoming: IncomingMessage<'_>, list: &ListAddress) -> Delivered {
        if trace::is_looping(incoming.message, &list.address, &self.hostname) {
            return Delivered::Refused(RecipientRefusal::Loop);
        }
        // A View that was never complete may know the list and not its members.
        if !self.view.status().complete {
            return Delivered::Unavailable("the directory was not read completely yet".into());
        }
        let copy = match list.part {
            ListPart::Members => self.copy_for_members(incoming, list),
            ListPart::Owners => self.copy_for_owners(incoming, list),
        };
        let copy = match copy {
            Ok(copy) => copy,
            Err(refusal) => return Delivered::Refused(refusal),
        };
        let IncomingMessage { id, arrival, recipient, message, now, .. } = incoming;
        let recipients = copy.envelope.recipients.len();
        let mut ops = vec![Op::Enqueue(Box::new(copy))];
        // RFC 3461 §5.2.7.3: for the sender, delivery ends at the list.
        if recipient.wants_success() {
            let success = ReportedRecipient { recipient: recipient.clone(), action: ReportAction::Delivered };
            let report_id = actions::caused_id(id, "delivered");
            let report = self.report(report_id, &arrival.envelope, &[success], message, (now, now));
            ops.extend(report.map(|report| Op::Enqueue(Box::new(report))));
        }
        let account = AccountId::new(list.group.entry_uuid);
        match self.settle(&Batch { id: Some(id), account, now, require: Vec::new(), ops }).await {
            Ok(_) => {
                let text = match list.part {
                    ListPart::Members => format!("list {}: to {recipients} recipients", list.group.name),
                    ListPart::Owners => format!("list {}: to {recipients} owners", list.group.name),
                };
                let event = TraceEvent::new(arrival, TraceOutcome::Queued, now).to(&recipient.path);
                event.message(message).text(text).record();
                Delivered::Stored
            }
            Err(error) => Delivered::from(error),
        }
    }

    fn copy_for_members(
        &self,
        incoming: IncomingMessage<'_>,
        list: &ListAddress,
    ) -> Result<NewMessage, RecipientRefusal> {
        let IncomingMessage { id, arrival, message, now, .. } = incoming;
        let refused = |refusal| Err(RecipientRefusal::List(refusal));
        if came_through(message, list) {
            return Err(RecipientRefusal::Loop);
        }
        if arrival.is_quarantined() {
            return refused(ListRefusal::Quarantined);
        }
        if is_automatic(message) {
            return refused(ListRefusal::Automatic);
        }
        if let Some(most) = list.group.message_octets_max.filter(|most| message.len() as u64 > *most) {
            return refused(ListRefusal::TooLarge(most));
        }
        let snapshot = self.view.snapshot();
        let most = snapshot.settings().list_recipients;
        let expansion =
            snapshot.expand(&list.group, now, most).map_err(|fault| RecipientRefusal::List(fault.into()))?;
        if expansion.is_empty() {
            return refused(ListRefusal::Empty);
        }
        let people = expansion.people.values().map(|person| Path::from(&person.primary));
        let paths = people.chain(expansion.elsewhere.iter().map(Path::from)).collect::<Vec<_>>();
        let envelope = Envelope::new(list.owners().as_ref().map(Path::from), paths);
        let envelope = Envelope { eight_bit: arrival.envelope.eight_bit, ..envelope };
        let body = with_list_fields(message, list);
        Ok(NewMessage { id: actions::caused_id(id, "list"), envelope, body, when: now })
    }

    /// A message to the owners keeps its sender, so that a report about it reaches them; a report has none.
    fn copy_for_owners(
        &self,
        incoming: IncomingMessage<'_>,
        list: &ListAddress,
    ) -> Result<NewMessage, RecipientRefusal> {
        let IncomingMessage { id, arrival, message, now, .. } = incoming;
        let owners = self.view.snapshot().owners(&list.group);
        let mut paths: Vec<Path> = owners.iter().map(|person| Path::from(&person.primary)).collect();
        if paths.is_empty() {
            paths.extend(self.postmaster().as_ref().map(Path::from));
        }
        if paths.is_empty() {
            return Err(RecipientRefusal::List(ListRefusal::Empty));
        }
        let recipients = paths.into_iter().map(|path| Recipient { path, notify: None, original: None }).collect();
        let envelope = arrival.envelope.with_recipients(recipients);
        Ok(NewMessage { id: actions::caused_id(id, "owners"), envelope, body: message.clone(), when: now })
    }
}

/// Whether the list takes a message with this envelope.
fn may_post(snapshot: &Snapshot, list: &ListAddress, arrival: &Arrival, now: Timestamp) -> Result<(), ListRefusal> {
    // Reports about copies of the list go to its owners, whoever sends them.
    if list.part == ListPart::Owners {
        return Ok(());
    }
    if let Some(until) = list.until.filter(|until| *until <= now) {
        return Err(ListRefusal::Ended(until));
    }
    let Some(sender) = &arrival.envelope.reverse_path else { return Err(ListRefusal::Automatic) };
    let person = arrival.connection.as_ref().and_then(|connection| connection.person.as_deref());
    let poster = ListSender { snapshot, list, person, address: sender.address() };
    if !poster.is_owner() && !list.group.posters.iter().any(|rule| poster.may_by(rule)) {
        return Err(ListRefusal::MayNotPost);
    }
    match (list.group.message_octets_max, arrival.announced_octets) {
        (Some(most), Some(octets)) if octets > most => Err(ListRefusal::TooLarge(most)),
        _ => Ok(()),
    }
}

/// Who sends a message to a list.
struct ListSender<'a> {
    snapshot: &'a Snapshot,
    list: &'a ListAddress,
    /// The person who has logged in.
    person: Option<&'a Person>,
    /// The reverse-path.
    address: Option<Address>,
}

impl ListSender<'_> {
    fn is_owner(&self) -> bool {
        self.person.is_some_and(|person| self.snapshot.is_owner(person, &self.list.group))
    }

    fn may_by(&self, rule: &Poster) -> bool {
        let group = &self.list.group;
        match rule {
            Poster::Anyone => true,
            Poster::Owners => self.is_owner(),
            Poster::Site => self.person.is_some(),
            Poster::Members => {
                self.person.is_some_and(|person| self.snapshot.reaches(group, person))
                    || self.elsewhere().is_some_and(|address| group.addresses.contains(address))
            }
            Poster::Group(name) => {
                let other = self.snapshot.group(name);
                self.person.zip(other).is_some_and(|(person, other)| self.snapshot.reaches(&other, person))
            }
            Poster::Address(allowed) => {
                let own = |person: &Person| {
                    let owner = self.snapshot.by_address(allowed);
                    owner.is_some_and(|(owner, _)| owner.entry_uuid == person.entry_uuid)
                };
                self.person.is_some_and(own) || self.elsewhere() == Some(allowed)
            }
        }
    }

    /// The reverse-path, when it is of another site. One of this site proves nothing without a login.
    fn elsewhere(&self) -> Option<&Address> {
        let is_here = |address: &&Address| self.snapshot.domains().iter().any(|domain| domain == address.domain());
        self.address.as_ref().filter(|address| !is_here(address))
    }
}

/// RFC 2919 §2: the local part and the domain of the list, joined by a dot.
fn list_id(address: &Address) -> String {
    format!("<{}.{}>", address.local(), address.domain())
}

/// Whether this list has sent the message on before.
fn came_through(message: &[u8], list: &ListAddress) -> bool {
    let id = list_id(&list.address);
    HeaderSection::of(message).all("List-Id").any(|field| field.value().to_ascii_lowercase().ends_with(&id))
}

/// Whether the message is an automatic reply or a notification (RFC 3834 §5). `auto-generated` is allowed: programs
/// may send news to a list.
fn is_automatic(message: &[u8]) -> bool {
    let field = HeaderSection::of(message).get("Auto-Submitted");
    let keyword = field.as_deref().and_then(|value| value.split([';', ' ', '\t', '(']).next());
    keyword.is_some_and(|word| !["", "no", "auto-generated"].contains(&word.to_ascii_lowercase().as_str()))
}

/// The message as the members get it (RFC 2369, RFC 2919). Delivered-To ends a loop through a list that removes List-Id.
fn with_list_fields(message: &Bytes, list: &ListAddress) -> Bytes {
    let address = &list.address;
    let owner = list.owners().map_or_else(String::new, |owner| format!("List-Owner: <mailto:{owner}>\r\n"));
    let added = format!(
        "Delivered-To: {address}\r\nList-Id: {}\r\nList-Post: <mailto:{address}>\r\n{owner}Precedence: list\r\n",
        list_id(address)
    );
    let end = header_end(message).unwrap_or(message.len());
    let head = message.get(..end).unwrap_or_default();
    let mut copy = BytesMut::with_capacity(message.len() + added.len());
    copy.extend_from_slice(added.as_bytes());
    let mut written = 0;
    for field in fields(head).filter(|field| REPLACED_FIELDS.iter().any(|name| field.is(name))) {
        // `whole` is a part of `head`, so the difference of the addresses is its offset.
        let at = field.whole().as_ptr().addr() - head.as_ptr().addr();
        copy.extend_from_slice(message.get(written..at).unwrap_or_default());
        written = at + field.whole().len();
    }
    copy.extend_from_slice(message.get(written..).unwrap_or_default());
    copy.freeze()
}

#[cfg(test)]
mod tests;

//! MAIL, RCPT, DATA: who it is from, whom it is for, and that it may come (RFC 5321 §4.1.1.2-4).

use provost_delivery::{Delivered, Refusal};
use provost_message::{Address, Path, Received, Recipient};
use provost_net::{Output, Step, Transport};
use provost_view::{AddressKind, Person, PersonState};

use super::patience::Tried;
use super::transaction::{Destination, RcptTo, Receiving, Transaction};
use super::{Role, SmtpSession, State, say};
use crate::command::Hello;
use crate::data::DataReader;
use crate::reply::{self, Reply};

impl SmtpSession {
    pub(super) fn mail(&mut self, transaction: Transaction, out: &mut Output<'_>) -> Step {
        if self.hello.is_none() {
            return self.refuse(reply::GREET_FIRST, out);
        }
        if !matches!(self.state, State::Ready) {
            return self.refuse(reply::NESTED_MAIL, out);
        }
        if let Err(reply) = self.may_send(transaction.reverse_path.as_ref()) {
            return self.refuse(reply, out);
        }
        // RFC 1870 §6.1: told before the message is sent.
        let size = transaction.size;
        if size.is_some_and(|size| size > self.message_octets_max()) {
            return say(reply::TOO_LARGE, out);
        }
        if !self.budget.has_room(size.unwrap_or_default()) {
            return say(reply::NO_ROOM, out);
        }
        self.state = State::Transaction(transaction);
        say(reply::SENDER_OK, out)
    }

    /// RFC 6409 §4.3, §6.1: on submission only people who have logged in, and only as themselves.
    fn may_send(&mut self, reverse_path: Option<&Path>) -> Result<(), Reply> {
        if self.role != Role::Submission {
            return Ok(());
        }
        // Looked up anew: a person suspended since the login sends nothing more.
        let login = self.login.as_ref().and_then(|person| self.config.view.snapshot().person(person.entry_uuid));
        self.login = login.filter(|person| person.state == PersonState::Active);
        let Some(person) = &self.login else {
            return Err(reply::LOGIN_FIRST);
        };
        match reverse_path {
            // Read receipts go out with it (RFC 8098 §3), and it is nobody else's address.
            None => Ok(()),
            Some(path) if path.address().is_some_and(|address| self.is_theirs(person, &address)) => Ok(()),
            Some(_) => Err(reply::NOT_YOUR_ADDRESS),
        }
    }

    fn is_theirs(&self, person: &Person, address: &Address) -> bool {
        match self.config.view.snapshot().by_address(address) {
            Some((_, AddressKind::Quarantined | AddressKind::List)) | None => false,
            Some((owner, _)) => owner.entry_uuid == person.entry_uuid,
        }
    }

    pub(super) fn rcpt(&mut self, recipient: Recipient, out: &mut Output<'_>) -> Step {
        let destination = self.destination(&recipient.path);
        let recipients_max = self.config.recipients_max;
        let State::Transaction(transaction) = &mut self.state else {
            return self.refuse(reply::MAIL_FIRST, out);
        };
        // RFC 5321 §4.5.3.1.10.
        if transaction.recipients.len() >= recipients_max {
            return say(reply::TOO_MANY_RECIPIENTS, out);
        }
        match destination {
            Ok(destination) => {
                transaction.recipients.push(RcptTo { recipient, destination });
                self.patience.forgive_command();
                say(reply::RECIPIENT_OK, out)
            }
            Err(reply) => {
                metrics::counter!("smtp_recipients_refused_total", "role" => self.role.as_label()).increment(1);
                let is_permanent = reply.code() >= 500;
                if is_permanent && self.role != Role::Lmtp && !self.patience.lasts(Tried::RefusedRecipient) {
                    say(reply::TOO_MANY_ERRORS, out);
                    return Step::Close;
                }
                say(reply, out)
            }
        }
    }

    /// Who would carry mail for `path`; refused or unavailable as the reply says. Only submission relays.
    fn destination(&self, path: &Path) -> Result<Destination, Reply> {
        let relays = self.role == Role::Submission;
        let Some(address) = self.local_address(path) else {
            let refusal = if self.config.view.serves(&path.domain().to_ascii_lowercase()) || path.domain().is_empty() {
                Refusal::NoSuchUser
            } else if relays {
                return Ok(Destination::Remote);
            } else {
                Refusal::NotLocal
            };
            return Err(refused(&refusal));
        };
        match self.config.delivery.check(&address) {
            Ok(()) | Err(Delivered::Stored) => Ok(Destination::Local(address)),
            Err(Delivered::Refused(Refusal::NotLocal)) if relays => Ok(Destination::Remote),
            Err(Delivered::Refused(Refusal::NoSuchUser)) if address.local() == "postmaster" => {
                self.config.delivery.postmaster().map(Destination::Local).ok_or_else(|| refused(&Refusal::NoSuchUser))
            }
            Err(Delivered::Refused(refusal)) => Err(refused(&refusal)),
            Err(Delivered::Unavailable(_)) => Err(reply::TRY_LATER),
        }
    }

    /// RFC 5321 §4.5.1: `postmaster` alone is that of this site, whoever the directory says that is.
    fn local_address(&self, path: &Path) -> Option<Address> {
        path.address().or_else(|| if path.domain().is_empty() { self.config.delivery.postmaster() } else { None })
    }

    pub(super) fn data(&mut self, out: &mut Output<'_>) -> Step {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Transaction(transaction) if transaction.recipients.is_empty() => {
                self.state = State::Transaction(transaction);
                // RFC 2033 §4.2 demands 503; RFC 5321 §3.3 allows it.
                self.refuse(reply::RCPT_FIRST, out)
            }
            State::Transaction(transaction) => {
                let trace = self.received(&transaction);
                let octets_max = self.message_octets_max();
                let reader = DataReader::new(trace.as_bytes(), octets_max, transaction.size, self.budget);
                let (trace_octets, began) = (trace.len(), self.now());
                self.state = State::Data(Box::new(Receiving { transaction, reader, trace_octets, began }));
                out.put("354 End data with <CR><LF>.<CR><LF>\r\n");
                Step::Continue
            }
            other => {
                self.state = other;
                self.refuse(reply::MAIL_FIRST, out)
            }
        }
    }

    /// The trace field of this hop.
    fn received(&self, transaction: &Transaction) -> String {
        let (hello, name) = self.hello.as_ref().map_or((Hello::Helo, ""), |(hello, name)| (*hello, name.as_str()));
        Received {
            helo: name,
            remote: self.peer.remote.ip(),
            hostname: &self.config.hostname,
            protocol: protocol(hello, self.transport, self.login.is_some()),
            id: &transaction.name(),
            at: self.now(),
        }
        .to_string()
    }
}

fn refused(refusal: &Refusal) -> Reply {
    let (code, status, text) = refusal.reply();
    Reply::new(code, status, text)
}

/// RFC 3848: the `with` of Received.
fn protocol(hello: Hello, transport: Transport, authenticated: bool) -> &'static str {
    match (hello, transport, authenticated) {
        (Hello::Helo, _, _) => "SMTP",
        (Hello::Ehlo, Transport::Plain, false) => "ESMTP",
        (Hello::Ehlo, Transport::Plain, true) => "ESMTPA",
        (Hello::Ehlo, Transport::Tls, false) => "ESMTPS",
        (Hello::Ehlo, Transport::Tls, true) => "ESMTPSA",
        (Hello::Lhlo, Transport::Plain, _) => "LMTP",
        (Hello::Lhlo, Transport::Tls, _) => "LMTPS",
    }
}

//! MAIL, RCPT and DATA: sender, recipients, and the start of the message (RFC 5321 §4.1.1.2 to §4.1.1.4).

use std::sync::Arc;

use jiff::Timestamp;
use provost_message::{Arrival, Envelope, ReceivedField, Recipient, Rejected};
use provost_net::{OutputBuffer, Step};
use uuid::Uuid;

use super::error_budget::CountedEvent;
use super::route::DeliveryRoute;
use super::stages::{JudgedItem, StageInput, judge};
use super::transaction::{MailTransaction, ReceivingData, recipient_octets};
use super::{Service, SmtpSession, State, send_reply};
use crate::data::DataReader;
use crate::reply;

impl SmtpSession {
    /// MAIL. `announced` is its SIZE parameter, octets.
    pub(super) async fn mail(
        &mut self,
        envelope: Envelope,
        announced: Option<u64>,
        out: &mut OutputBuffer<'_>,
    ) -> Step {
        if self.connection.hello.is_none() {
            return self.refuse(reply::GREET_FIRST, out);
        }
        if !matches!(self.state, State::Ready) {
            return self.refuse(reply::IN_TRANSACTION, out);
        }
        self.renew_login();
        let mut arrival = Arrival::through(self.connection.clone(), Uuid::new_v4().into(), envelope);
        arrival.announced_octets = announced;
        match judge(self.stages.mail, &mut arrival, self.stage_input(JudgedItem::Sender)).await {
            Ok(()) => {
                self.state = State::Transaction(Box::new(MailTransaction::new(arrival, &self.config.memory)));
                send_reply(reply::SENDER_OK, out)
            }
            Err(objection) => {
                self.trace_refusal(&arrival, None, None, objection.reply());
                self.object(objection, out)
            }
        }
    }

    /// Looks up the logged-in person again. A person who was suspended, or whose password changed since the login, is
    /// no longer logged in.
    fn renew_login(&mut self) {
        let Some(person) = &self.connection.person else { return };
        let found = self.config.view.snapshot().person(person.entry_uuid);
        let now = self.now();
        let is_revoked = self.login_watch.as_mut().is_some_and(|watch| watch.is_revoked(&self.config.view, now));
        let found = found.filter(|found| !is_revoked && found.may_log_in(now));
        // Messages in transfer share the facts of the connection, so `connection_mut` may have to copy them. Call it
        // only when the person's entry changed or the login ended.
        if found.as_ref().is_none_or(|found| !Arc::ptr_eq(found, person)) {
            self.connection_mut().person = found;
        }
    }

    /// Answers EHLO, HELO, LHLO or MAIL when a stage objects. A temporary objection does not count as an error of the
    /// peer.
    pub(super) fn object(&mut self, objection: Rejected, out: &mut OutputBuffer<'_>) -> Step {
        let reply = objection.into_reply();
        if reply.code() >= 500 { self.refuse(reply, out) } else { send_reply(reply, out) }
    }

    /// RCPT. `valid_since` is its RRVS parameter (RFC 7293).
    pub(super) async fn rcpt(
        &mut self,
        recipient: Recipient,
        valid_since: Option<Timestamp>,
        out: &mut OutputBuffer<'_>,
    ) -> Step {
        if valid_since.is_some() && !self.takes_valid_since() {
            return self.refuse(reply::UNKNOWN_PARAMETER, out);
        }
        let now = self.now();
        let State::Transaction(transaction) = &mut self.state else {
            return self.refuse(reply::MAIL_FIRST, out);
        };
        let octets = recipient_octets(&recipient);
        let route = if transaction.make_room(octets) {
            let route = DeliveryRoute::of(&recipient.path, &self.config);
            let route = route.if_may_send(&transaction.arrival, &self.config, now);
            route.if_valid_since(valid_since, &self.config, now)
        } else {
            DeliveryRoute::NoMemory
        };
        transaction.arrival.envelope.recipients.push(recipient);
        let subject = JudgedItem::Recipient(&route);
        let input = StageInput { config: &self.config, subject };
        match judge(self.stages.rcpt, &mut transaction.arrival, input).await {
            Ok(()) => {
                transaction.accept(route, valid_since.is_some(), octets);
                self.error_budget.give_back_command();
                send_reply(reply::RECIPIENT_OK, out)
            }
            Err(objection) => {
                let refused = transaction.refuse();
                let arrival = transaction.arrival.clone();
                self.trace_refusal(
                    &arrival,
                    refused.as_ref().map(|recipient| &recipient.path),
                    None,
                    objection.reply(),
                );
                self.object_to_recipient(objection, out)
            }
        }
    }

    fn object_to_recipient(&mut self, objection: Rejected, out: &mut OutputBuffer<'_>) -> Step {
        let service = self.connection.service;
        metrics::counter!("provost_smtp_recipients_refused_total", "service" => service.as_label()).increment(1);
        let reply = objection.into_reply();
        let is_permanent = reply.code() >= 500;
        if is_permanent && service != Service::Lmtp && !self.error_budget.spend(CountedEvent::RefusedRecipient) {
            send_reply(reply::TOO_MANY_ERRORS, out);
            return Step::Close;
        }
        send_reply(reply, out)
    }

    pub(super) fn data(&mut self, out: &mut OutputBuffer<'_>) -> Step {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Transaction(transaction) if transaction.routes.is_empty() => {
                self.state = State::Transaction(transaction);
                // RFC 2033 §4.2 demands 503; RFC 5321 §3.3 allows it.
                self.refuse(reply::RCPT_FIRST, out)
            }
            State::Transaction(transaction) => {
                let trace = self.received(&transaction);
                let octets_max = self.message_octets_max();
                let announced = transaction.arrival.announced_octets;
                let memory = self.config.message_memory(&self.connection);
                let reader = DataReader::new(trace.as_bytes(), octets_max, announced, memory);
                let (trace_octets, began) = (trace.len(), self.now());
                self.state =
                    State::Data(Box::new(ReceivingData { transaction: *transaction, reader, trace_octets, began }));
                out.put("354 End data with <CR><LF>.<CR><LF>\r\n");
                Step::Continue
            }
            other => {
                self.state = other;
                self.refuse(reply::MAIL_FIRST, out)
            }
        }
    }

    /// The Received field of this hop.
    fn received(&self, transaction: &MailTransaction) -> String {
        ReceivedField {
            helo: self.connection.hello.as_ref().map_or("", |hello| hello.name.as_str()),
            remote: self.connection.remote.ip(),
            hostname: &self.config.hostname,
            protocol: self.connection.protocol(),
            id: transaction.arrival.trace_id,
            at: self.now(),
        }
        .to_string()
    }
}

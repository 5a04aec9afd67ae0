//! A message that is arriving: all that is known of it, from the connection to the store.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use provost_view::Person;
use uuid::Uuid;

use crate::received::is_own_received;
use crate::{AuthenticationResult, Effect, Envelope, Headers, Mark};

/// The number of a message on its whole way through this site: in Received, in the reply to the sender, in every line of the
/// log, and the root of the ids of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(Uuid);

impl TraceId {
    /// The UUID that other ids are made from.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The number that this site gave to a message: that of the topmost Received, when `hostname` wrote it. `None` for what
    /// was made here (a bounce, a vacation reply) and has no Received.
    pub fn of_message(message: &[u8], hostname: &str) -> Option<Self> {
        let received = Headers::of(message).get("Received").filter(|value| is_own_received(value, hostname))?;
        let (_, after) = received.split_once(" id ")?;
        let (id, _) = after.split_once(';')?;
        Uuid::try_parse(id.trim()).ok().map(Self)
    }
}

impl From<Uuid> for TraceId {
    /// `Uuid::new_v4()` for a new message.
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TraceId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Port 25: mail for our domains from anyone. No AUTH, no relaying.
    Mx,
    /// RFC 6409: from our people after AUTH, to anywhere.
    Submission,
    /// RFC 2033: from a trusted MTA, one answer per recipient.
    Lmtp,
}

impl Service {
    /// For counters and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Mx => "smtp",
            Self::Submission => "submission",
            Self::Lmtp => "lmtp",
        }
    }
}

/// Which command a peer greets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloVerb {
    /// RFC 5321 §4.1.1.1, with extensions.
    Ehlo,
    /// RFC 5321 §4.1.1.1, without.
    Helo,
    /// RFC 2033 §4.1.
    Lhlo,
}

/// How a peer introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The command.
    pub verb: HelloVerb,
    /// What it calls itself: printable ASCII, at most 255 octets, not verified.
    pub name: String,
    /// What the stages of the greeting have found.
    pub findings: Findings,
}

/// The connection that a message comes through. Messages of one connection share it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What the listener is for.
    pub service: Service,
    /// The peer's address; behind a balancer, that of the balancer's client (PROXY protocol).
    pub remote: SocketAddr,
    /// The address that the peer connected to.
    pub local: SocketAddr,
    /// The bytes travel through TLS now.
    pub tls: bool,
    /// The last EHLO, HELO or LHLO.
    pub hello: Option<Hello>,
    /// Who has logged in (RFC 4954), as the directory had them at the last MAIL.
    pub login: Option<Arc<Person>>,
    /// What the stages of the connection have found.
    pub findings: Findings,
}

impl Connection {
    /// The `with` of Received (RFC 3848, RFC 2033).
    pub fn protocol(&self) -> &'static str {
        let verb = self.hello.as_ref().map_or(HelloVerb::Helo, |hello| hello.verb);
        match (verb, self.tls, self.login.is_some()) {
            (HelloVerb::Helo, _, _) => "SMTP",
            (HelloVerb::Ehlo, false, false) => "ESMTP",
            (HelloVerb::Ehlo, false, true) => "ESMTPA",
            (HelloVerb::Ehlo, true, false) => "ESMTPS",
            (HelloVerb::Ehlo, true, true) => "ESMTPSA",
            (HelloVerb::Lhlo, false, _) => "LMTP",
            (HelloVerb::Lhlo, true, _) => "LMTPS",
        }
    }
}

/// What stages have found on a connection, a greeting or a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Tags and quarantines.
    pub marks: Vec<Mark>,
    /// Who sent it, as far as that was checked.
    pub authentication: Vec<AuthenticationResult>,
}

/// One message on its way in. It travels from MAIL through all stages to delivery, Sieve and the trace.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The message's number in all traces.
    pub trace_id: TraceId,
    /// How it came; `None` for what comes out of the queue, which keeps the envelope and the message only.
    pub connection: Option<Arc<Connection>>,
    /// Who it is from and for, with the parameters of MAIL and RCPT. While RCPT is judged, its recipient is the last one.
    pub envelope: Envelope,
    /// SIZE as announced (RFC 1870), octets.
    pub announced_octets: Option<u64>,
    /// What the stages have found on this message.
    pub findings: Findings,
}

impl Arrival {
    /// Through a connection; the recipients of its envelope are still to come.
    pub fn through(connection: Arc<Connection>, trace_id: TraceId, envelope: Envelope) -> Self {
        Self { trace_id, connection: Some(connection), envelope, announced_octets: None, findings: Findings::default() }
    }

    /// Out of the queue, which was given the message by this site: the marks are read from its trace fields;
    /// authentication results stand in the message only.
    pub fn from_queue(trace_id: TraceId, envelope: Envelope, message: &[u8]) -> Self {
        Self {
            trace_id,
            connection: None,
            envelope,
            announced_octets: None,
            findings: Findings { marks: Mark::of_message(message), authentication: Vec::new() },
        }
    }

    /// All marks: those of the connection first, then those of the greeting.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.findings().flat_map(|findings| &findings.marks)
    }

    /// All results of checks of who sent it, in the same order.
    pub fn authentication(&self) -> impl Iterator<Item = &AuthenticationResult> {
        self.findings().flat_map(|findings| &findings.authentication)
    }

    fn findings(&self) -> impl Iterator<Item = &Findings> {
        let connection = self.connection.as_deref();
        let of_hello = connection.and_then(|connection| connection.hello.as_ref()).map(|hello| &hello.findings);
        connection.map(|connection| &connection.findings).into_iter().chain(of_hello).chain([&self.findings])
    }

    /// Whether it goes into Junk.
    pub fn is_quarantined(&self) -> bool {
        self.marks().any(|mark| mark.effect() == Effect::Quarantine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    fn connection(verb: HelloVerb, tls: bool) -> Connection {
        Connection {
            service: Service::Mx,
            remote: "192.0.2.1:1000".parse().unwrap(),
            local: "192.0.2.2:25".parse().unwrap(),
            tls,
            hello: Some(Hello { verb, name: "x".into(), findings: Findings::default() }),
            login: None,
            findings: Findings::default(),
        }
    }

    /// RFC 3848 §1, RFC 2033.
    #[test]
    fn names_its_protocol() {
        for (verb, tls, expect) in [
            (HelloVerb::Helo, false, "SMTP"),
            (HelloVerb::Helo, true, "SMTP"),
            (HelloVerb::Ehlo, false, "ESMTP"),
            (HelloVerb::Ehlo, true, "ESMTPS"),
            (HelloVerb::Lhlo, false, "LMTP"),
            (HelloVerb::Lhlo, true, "LMTPS"),
        ] {
            assert_eq!(connection(verb, tls).protocol(), expect);
        }
        assert_eq!(Connection { hello: None, ..connection(HelloVerb::Ehlo, true) }.protocol(), "SMTP");
    }

    /// What the queue keeps is enough to know that a message is in quarantine.
    #[test]
    fn marks_of_connection_and_message_count() {
        let id = TraceId::from(Uuid::nil());
        let mut arrival = Arrival::through(Arc::new(connection(HelloVerb::Ehlo, false)), id, Envelope::new(None, []));
        let Verdict::Tag(tag) = Verdict::tag("late", "2.0.0", "x") else { panic!() };
        arrival.findings.marks.push(tag);
        assert!(!arrival.is_quarantined());
        let Verdict::Quarantine(mark) = Verdict::quarantine("listed", "5.7.1", "x") else { panic!() };
        let marked = Connection {
            findings: Findings { marks: vec![mark], ..Findings::default() },
            ..connection(HelloVerb::Ehlo, false)
        };
        arrival.connection = Some(Arc::new(marked));
        assert!(arrival.is_quarantined());
        let fields: String = arrival.marks().map(ToString::to_string).collect();
        let message = format!("{fields}Received: x\r\n\r\nhi\r\n");
        assert!(Arrival::from_queue(id, arrival.envelope, message.as_bytes()).is_quarantined());
        assert_eq!(id.to_string(), "0".repeat(32));
    }
}

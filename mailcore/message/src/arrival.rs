//! An arriving message and everything known about it, from the connection to the store.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use provost_view::Person;
use uuid::Uuid;

use crate::received::is_own_received;
use crate::{AuthenticationResult, Envelope, HeaderSection, MarkEffect, StageMark};

/// The id of one message on its whole way through this host. It appears in Received, in the reply to the sender and in
/// log lines about the message. The ids of deliveries derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(Uuid);

impl TraceId {
    /// Returns the UUID from which other ids derive.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// Reads the id that this host gave to a message: the id in the topmost Received, when `hostname` wrote that field.
    /// `None` for messages made here (bounces, vacation replies), which have no Received.
    pub fn of_message(message: &[u8], hostname: &str) -> Option<Self> {
        let received = HeaderSection::of(message).get("Received").filter(|value| is_own_received(value, hostname))?;
        let (_, after) = received.split_once(" id ")?;
        let (id, _) = after.split_once(';')?;
        Uuid::try_parse(id.trim()).ok().map(Self)
    }
}

impl From<Uuid> for TraceId {
    /// Takes any UUID. A caller passes a random one (version 4) for a new message.
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TraceId {
    /// Writes 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// The kind of SMTP service that a listener offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Port 25: mail for our domains from any host. Offers no AUTH and no relaying.
    Mx,
    /// Message submission (RFC 6409): mail from our people, after AUTH, to any address.
    Submission,
    /// LMTP (RFC 2033): mail from a trusted MTA, with one reply per recipient.
    Lmtp,
}

impl Service {
    /// Returns the label for metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Mx => "smtp",
            Self::Submission => "submission",
            Self::Lmtp => "lmtp",
        }
    }
}

/// The command by which a peer identifies itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloVerb {
    /// EHLO: the peer understands extensions (RFC 5321 §4.1.1.1).
    Ehlo,
    /// HELO: the peer understands no extensions (RFC 5321 §4.1.1.1).
    Helo,
    /// LHLO, in LMTP (RFC 2033 §4.1).
    Lhlo,
}

/// An accepted EHLO, HELO or LHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The command.
    pub verb: HelloVerb,
    /// The name that the peer gave: printable ASCII, at most 255 octets, not verified.
    pub name: String,
    /// Results of the stages at this command.
    pub findings: Findings,
}

/// The connection that a message arrives through. All messages of one connection share it.
#[derive(Clone, Debug)]
pub struct PeerConnection {
    /// The service of the listener.
    pub service: Service,
    /// The peer's address. Behind a load balancer, the address of the balancer's client (PROXY protocol).
    pub remote: SocketAddr,
    /// The address that the peer connected to.
    pub local: SocketAddr,
    /// Whether the connection uses TLS now.
    pub tls: bool,
    /// The last EHLO, HELO or LHLO that was accepted, or the one that stages judge now.
    pub hello: Option<Hello>,
    /// The person who has logged in (RFC 4954), as the directory described them at the login or the last MAIL.
    pub person: Option<Arc<Person>>,
    /// Results of the stages before 220.
    pub findings: Findings,
}

impl PeerConnection {
    /// Returns the protocol name for the `with` clause of Received (RFC 3848, RFC 2033).
    pub fn protocol(&self) -> &'static str {
        let verb = self.hello.as_ref().map_or(HelloVerb::Helo, |hello| hello.verb);
        match (verb, self.tls, self.person.is_some()) {
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

/// Results of the stages for a connection, an EHLO or a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Tags and quarantine marks.
    pub marks: Vec<StageMark>,
    /// Results of sender authentication.
    pub authentication: Vec<AuthenticationResult>,
}

/// One message on its way in, from MAIL to delivery: what stages judge, Sieve tests and the trace records.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The id of the message in the logs.
    pub trace_id: TraceId,
    /// The connection; `None` for a message from the queue, which keeps only the envelope and the message.
    pub connection: Option<Arc<PeerConnection>>,
    /// The envelope with the parameters of MAIL and RCPT. While a stage judges RCPT, the last recipient is the one in
    /// question.
    pub envelope: Envelope,
    /// The size that SIZE announced (RFC 1870), octets.
    pub announced_octets: Option<u64>,
    /// Results of the stages for this message.
    pub findings: Findings,
}

impl Arrival {
    /// Starts an arrival through a connection. RCPT adds the recipients of its envelope later.
    pub fn through(connection: Arc<PeerConnection>, trace_id: TraceId, envelope: Envelope) -> Self {
        Self { trace_id, connection: Some(connection), envelope, announced_octets: None, findings: Findings::default() }
    }

    /// Makes the arrival of a message from the queue. Its marks are read from the Provost-Verdict fields above
    /// Received; its authentication results are not read back.
    pub fn from_queue(trace_id: TraceId, envelope: Envelope, message: &[u8]) -> Self {
        Self {
            trace_id,
            connection: None,
            envelope,
            announced_octets: None,
            findings: Findings { marks: StageMark::of_message(message), authentication: Vec::new() },
        }
    }

    /// Returns all marks: those of the connection, then of EHLO, then of the message.
    pub fn marks(&self) -> impl Iterator<Item = &StageMark> {
        self.all_findings().flat_map(|findings| &findings.marks)
    }

    /// Returns all authentication results, in the same order as the marks.
    pub fn authentication(&self) -> impl Iterator<Item = &AuthenticationResult> {
        self.all_findings().flat_map(|findings| &findings.authentication)
    }

    fn all_findings(&self) -> impl Iterator<Item = &Findings> {
        let connection = self.connection.as_deref();
        let of_hello = connection.and_then(|connection| connection.hello.as_ref()).map(|hello| &hello.findings);
        connection.map(|connection| &connection.findings).into_iter().chain(of_hello).chain([&self.findings])
    }

    /// Whether the message goes into Junk.
    pub fn is_quarantined(&self) -> bool {
        self.marks().any(|mark| mark.effect() == MarkEffect::Quarantine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    fn connection(verb: HelloVerb, tls: bool) -> PeerConnection {
        PeerConnection {
            service: Service::Mx,
            remote: "192.0.2.1:1000".parse().unwrap(),
            local: "192.0.2.2:25".parse().unwrap(),
            tls,
            hello: Some(Hello { verb, name: "x".into(), findings: Findings::default() }),
            person: None,
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
        assert_eq!(PeerConnection { hello: None, ..connection(HelloVerb::Ehlo, true) }.protocol(), "SMTP");
    }

    /// A mark of the connection counts, also when it is read back from a message in the queue.
    #[test]
    fn a_mark_of_the_connection_quarantines_the_message() {
        let id = TraceId::from(Uuid::nil());
        let mut arrival = Arrival::through(Arc::new(connection(HelloVerb::Ehlo, false)), id, Envelope::new(None, []));
        let Verdict::Tag(tag) = Verdict::tag("late", "2.0.0", "x") else { panic!() };
        arrival.findings.marks.push(tag);
        assert!(!arrival.is_quarantined());
        let Verdict::Quarantine(mark) = Verdict::quarantine("listed", "5.7.1", "x") else { panic!() };
        let marked = PeerConnection {
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

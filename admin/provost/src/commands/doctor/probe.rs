//! One complete probe of a listener: greeting, TLS if the node has a certificate, farewell.
//!
//! The node counts a connection as a failure when it ends during a handshake, or lacks the PROXY header that
//! connections from a load balancer's network must begin with. Monitors raise alarms on failures. A probe therefore
//! sends the header and speaks the protocol to its end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use provost_net::ProxyNetworks;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::commands::node_client::PROXY_LOCAL;

/// Longest time for a listener to accept the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Longest time of a whole probe: another program may listen at the address and answer slowly.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Maximum number of octets that a probe reads as lines, once before TLS and once in it: another program may send
/// without end.
const READ_OCTETS_MAX: u64 = 64 * 1024;
/// StartTLS (RFC 4511 §4.14) as message 1, and unbind (§4.3) as message 2.
const LDAP_START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
const LDAP_UNBIND: &[u8] = b"\x30\x05\x02\x01\x02\x42\0";

/// Protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Smtp,
    Lmtp,
    Imap,
    Pop3,
    /// HTTP, with the path to request.
    Http(&'static str),
    Ldap,
}

/// Whether and when TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsStart {
    Never,
    /// TLS after STARTTLS, STLS or StartTLS.
    Upgrade,
    FromStart,
}

/// Why a listener did not pass its probe.
#[derive(Clone, Debug)]
pub(super) enum ProbeFault {
    /// The listener accepts no connection.
    NotAccepting(String),
    /// The listener accepts the connection, but then violates its protocol or is too slow.
    Unexpected(String),
}

/// The listener to probe, and what to expect there.
#[derive(Clone, Debug)]
pub(super) struct ListenerProbe {
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) tls: TlsStart,
    pub(super) proxies: ProxyNetworks,
    /// The node's name, used in EHLO and in TLS.
    pub(super) hostname: String,
}

impl ListenerProbe {
    /// Runs the probe. Returns the certificate if TLS was reached.
    pub(super) fn run(&self) -> Result<Option<CertificateDer<'static>>, ProbeFault> {
        let socket = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT);
        let socket = socket.map_err(|error| ProbeFault::NotAccepting(explained(&error)))?;
        self.speak(socket).map_err(|error| ProbeFault::Unexpected(explained(&error)))
    }

    /// Speaks the protocol from greeting to farewell.
    fn speak(&self, socket: TcpStream) -> io::Result<Option<CertificateDer<'static>>> {
        let own = socket.local_addr()?.ip();
        let mut plain = ProbeConversation::new(TimedSocket { socket, end: Instant::now() + PROBE_LIMIT });
        if self.proxies.networks().iter().any(|network| network.contains(own)) {
            plain.send(PROXY_LOCAL)?;
        }
        match self.tls {
            TlsStart::FromStart => {
                let (mut secure, seen) = self.handshake(plain)?;
                self.greeting(&mut secure)?;
                self.farewell(&mut secure)?;
                Ok(seen.take())
            }
            TlsStart::Never => {
                self.greeting(&mut plain)?;
                self.farewell(&mut plain)?;
                Ok(None)
            }
            TlsStart::Upgrade => {
                self.greeting(&mut plain)?;
                self.upgrade(&mut plain)?;
                let (mut secure, seen) = self.handshake(plain)?;
                self.farewell(&mut secure)?;
                Ok(seen.take())
            }
        }
    }

    fn greeting<S: Read + Write>(&self, peer: &mut ProbeConversation<S>) -> io::Result<()> {
        match self.protocol {
            Protocol::Smtp | Protocol::Lmtp => peer.smtp("220").map(drop),
            Protocol::Imap => peer.expect("* OK"),
            Protocol::Pop3 => peer.expect("+OK"),
            Protocol::Http(_) | Protocol::Ldap => Ok(()),
        }
    }

    fn upgrade<S: Read + Write>(&self, peer: &mut ProbeConversation<S>) -> io::Result<()> {
        match self.protocol {
            Protocol::Smtp | Protocol::Lmtp => {
                let hello = if self.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
                peer.send_line(&format!("{hello} {}", self.hostname))?;
                let offers = peer.smtp("250")?;
                if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
                    return Err(io::Error::other("it does not offer STARTTLS"));
                }
                peer.send_line("STARTTLS")?;
                peer.smtp("220").map(drop)
            }
            Protocol::Imap => {
                peer.send_line("a STARTTLS")?;
                peer.expect("a OK")
            }
            Protocol::Pop3 => {
                peer.send_line("STLS")?;
                peer.expect("+OK")
            }
            Protocol::Ldap => {
                peer.send(LDAP_START_TLS)?;
                peer.ldap_success()
            }
            Protocol::Http(_) => Err(io::Error::other("HTTP has no STARTTLS")),
        }
    }

    fn farewell<S: Read + Write>(&self, peer: &mut ProbeConversation<S>) -> io::Result<()> {
        match self.protocol {
            Protocol::Smtp | Protocol::Lmtp => {
                peer.send_line("QUIT")?;
                peer.smtp("221").map(drop)
            }
            Protocol::Imap => {
                peer.send_line("b LOGOUT")?;
                peer.expect("* BYE")?;
                peer.expect("b OK")
            }
            Protocol::Pop3 => {
                peer.send_line("QUIT")?;
                peer.expect("+OK")
            }
            Protocol::Http(path) => {
                peer.send_line(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.hostname))?;
                peer.expect("HTTP/1.1 ")
            }
            // Unbind has no answer: without TLS, this shows only that something accepts connections.
            Protocol::Ldap => peer.send(LDAP_UNBIND),
        }
    }

    /// Performs the TLS handshake. Any certificate is accepted, since the caller compares it with the file, but the
    /// server must prove that it has the key.
    fn handshake(
        &self,
        plain: ProbeConversation<TimedSocket>,
    ) -> io::Result<(ProbeConversation<TlsSocket>, Arc<CertificateRecorder>)> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let seen = Arc::new(CertificateRecorder { certificate: Mutex::default(), provider: provider.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(seen.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(self.hostname.clone()).unwrap_or_else(|_| self.address.ip().into());
        let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut socket = plain.into_inner();
        while client.is_handshaking() {
            client.complete_io(&mut socket).map_err(|error| io::Error::other(format!("TLS: {error}")))?;
        }
        Ok((ProbeConversation::new(StreamOwned::new(client, socket)), seen))
    }
}

type TlsSocket = StreamOwned<ClientConnection, TimedSocket>;

/// A socket whose reads and writes fail once the probe's time is over.
struct TimedSocket {
    socket: TcpStream,
    end: Instant,
}

impl TimedSocket {
    fn rest(&self) -> io::Result<Duration> {
        let rest = self.end.saturating_duration_since(Instant::now());
        if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
    }
}

impl Read for TimedSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.rest()?))?;
        self.socket.read(into)
    }
}

impl Write for TimedSocket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.rest()?))?;
        self.socket.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Exchanges lines and LDAP messages with the listener.
struct ProbeConversation<S> {
    stream: BufReader<S>,
    /// How many octets may still be read as lines.
    left: u64,
}

impl<S: Read + Write> ProbeConversation<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream), left: READ_OCTETS_MAX }
    }

    /// Returns the stream and discards what was read ahead: octets from before TLS are not authenticated.
    fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(octets)?;
        self.stream.get_mut().flush()
    }

    fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    /// Reads a line, without its line end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(self.left).read_until(b'\n', &mut line)?;
        self.left = self.left.saturating_sub(read as u64);
        if line.last() != Some(&b'\n') {
            let endless = || io::Error::other(format!("it sends more than {READ_OCTETS_MAX} octets"));
            return Err(if self.left == 0 { endless() } else { io::ErrorKind::UnexpectedEof.into() });
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Reads a line that must begin with `start`.
    fn expect(&mut self, start: &str) -> io::Result<()> {
        let line = self.line()?;
        if line.starts_with(start) { Ok(()) } else { Err(answered(&line)) }
    }

    /// The text of a reply with this code, one string for each line (RFC 5321 §4.2.1).
    fn smtp(&mut self, code: &str) -> io::Result<Vec<String>> {
        let mut texts = Vec::new();
        loop {
            let line = self.line()?;
            let Some(rest) = line.strip_prefix(code) else { return Err(answered(&line)) };
            texts.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(texts);
            }
        }
    }

    /// Reads one LDAP message of fewer than 128 octets; succeeds if it is the answer to StartTLS with result code 0.
    fn ldap_success(&mut self) -> io::Result<()> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let [0x30, length @ 0..0x80] = head else { return Err(io::Error::other("no LDAP answer")) };
        let mut body = vec![0; usize::from(length)];
        self.stream.read_exact(&mut body)?;
        // Match INTEGER 1, extendedResponse with its length, ENUMERATED 0.
        match body.as_slice() {
            [2, 1, 1, 0x78, _, 0x0a, 1, 0, ..] => Ok(()),
            _ => Err(io::Error::other("it refuses StartTLS")),
        }
    }
}

fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

fn answered(line: &str) -> io::Error {
    io::Error::other(format!("it answers '{}'", crate::output::printable(line)))
}

/// Accepts the certificate of a server, whoever issued it, and keeps it.
#[derive(Debug)]
struct CertificateRecorder {
    certificate: Mutex<Option<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl CertificateRecorder {
    fn take(&self) -> Option<CertificateDer<'static>> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for CertificateRecorder {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_sends_without_end_has_not_closed_the_connection() {
        let fault = |octets: u64| {
            let sent = vec![b'x'; usize::try_from(octets).unwrap()];
            explained(&ProbeConversation::new(io::Cursor::new(sent)).line().unwrap_err())
        };
        assert_eq!(fault(READ_OCTETS_MAX + 1), "it sends more than 65536 octets");
        assert_eq!(fault(100), "it closed the connection");
    }
}

//! The client's end of a text protocol, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

/// Longest wait for the peer's next octets.
const READ_LIMIT: Duration = Duration::from_secs(20);

enum ClientStream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection that is read by lines.
pub struct TextClient {
    /// `None` only after a failed start of TLS.
    stream: Option<ClientStream>,
    /// Octets received and not yet returned.
    unread: Vec<u8>,
}

impl TextClient {
    /// Connects without TLS.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(READ_LIMIT))?;
        socket.set_nodelay(true)?;
        Ok(Self { stream: Some(ClientStream::Plain(socket)), unread: Vec::new() })
    }

    /// Starts TLS and accepts any certificate, because a node makes its own.
    pub fn start_tls(&mut self) -> anyhow::Result<()> {
        ensure!(self.unread.is_empty(), "the peer sent text before the handshake");
        let Some(ClientStream::Plain(socket)) = self.stream.take() else { bail!("TLS is already active") };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        let client = ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
        self.stream = Some(ClientStream::Tls(Box::new(StreamOwned::new(client, socket))));
        Ok(())
    }

    /// The certificate that the peer presented; `None` without TLS, and before the first read or write in TLS, which
    /// does the handshake.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        let Some(ClientStream::Tls(stream)) = &self.stream else { return None };
        Some(stream.conn.peer_certificates()?.first()?.clone().into_owned())
    }

    /// Sends octets unchanged.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Some(ClientStream::Plain(socket)) => socket.write_all(octets),
            Some(ClientStream::Tls(stream)) => stream.write_all(octets).and_then(|()| stream.flush()),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends a line.
    pub fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.stream {
            Some(ClientStream::Plain(socket)) => socket.read(&mut chunk)?,
            Some(ClientStream::Tls(stream)) => stream.read(&mut chunk)?,
            None => 0,
        };
        self.unread.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    /// The next line, without its CRLF; `None` when the peer has closed or reset the connection, even within a line.
    #[allow(clippy::should_implement_trait)] // Unlike an iterator's `next`, this one can fail.
    pub fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            match self.fill() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads exactly `count` octets.
    pub fn octets(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Closes this end and waits until the peer has closed too. By then the peer has released what the session held,
    /// such as a maildrop.
    pub fn hang_up(mut self) {
        if let Some(ClientStream::Plain(socket)) = &self.stream {
            let _ = socket.shutdown(Shutdown::Write);
        } else if let Some(ClientStream::Tls(stream)) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.sock.shutdown(Shutdown::Write);
        }
        while matches!(self.fill(), Ok(count) if count > 0) {
            self.unread.clear();
        }
    }

    /// Sends a line and reads lines until one begins with one of `prefixes`; returns all lines read.
    pub fn ask(&mut self, line: &str, prefixes: &[&str]) -> anyhow::Result<Vec<String>> {
        self.send_line(line)?;
        self.until(prefixes)
    }

    /// Reads lines until one begins with one of `prefixes`; returns all lines read.
    pub fn until(&mut self, prefixes: &[&str]) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().with_context(|| format!("no line with {prefixes:?}, after {lines:?}"))? {
            let last = prefixes.iter().any(|prefix| line.starts_with(prefix));
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
        bail!("the peer closed before a line with {prefixes:?}, after {lines:?}")
    }
}

/// Accepts any certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! A connection's bytes, in the clear or through TLS, as one type.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Sink;

/// First read buffer of a connection, octets; an idle connection keeps no more.
pub(crate) const READ_OCTETS_MIN: usize = 2 * 1024;
/// Read buffer of a connection that sends much, octets.
const READ_OCTETS_MAX: usize = 64 * 1024;
/// Growth factor of the read buffer while each read fills it: the second full read reaches the largest size.
const READ_GROWTH: usize = 8;

enum PlainOrTls {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// No transport: only during a handshake, and after a failed one.
    Closed,
}

/// The socket of one session.
pub(crate) struct Stream {
    bytes: PlainOrTls,
    write_limit: Duration,
    read_octets: usize,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, write_limit: Duration) -> Self {
        Self { bytes: PlainOrTls::Plain(socket), write_limit, read_octets: READ_OCTETS_MIN }
    }

    /// Takes the server's part of a TLS handshake.
    pub(crate) async fn start_tls(&mut self, config: Arc<rustls::ServerConfig>, limit: Duration) -> io::Result<()> {
        let PlainOrTls::Plain(socket) = std::mem::replace(&mut self.bytes, PlainOrTls::Closed) else {
            return Err(io::Error::other("TLS is already active"));
        };
        let accept = TlsAcceptor::from(config).accept(socket);
        let stream = tokio::time::timeout(limit, accept).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.bytes = PlainOrTls::Tls(Box::new(stream));
        Ok(())
    }

    /// Octets of room that the next read should have.
    pub(crate) fn read_octets(&self) -> usize {
        self.read_octets
    }

    /// Reads the available octets into `input`, at most `octets`; 0 is the end of the stream. Cancel-safe.
    pub(crate) async fn read(&mut self, input: &mut BytesMut, octets: usize) -> io::Result<usize> {
        input.reserve(octets);
        let room = input.capacity() - input.len();
        let read = match &mut self.bytes {
            PlainOrTls::Plain(socket) => socket.read_buf(input).await?,
            PlainOrTls::Tls(stream) => stream.read_buf(input).await?,
            PlainOrTls::Closed => 0,
        };
        self.read_octets = match read == room {
            true => (self.read_octets * READ_GROWTH).min(READ_OCTETS_MAX),
            false => READ_OCTETS_MIN,
        };
        Ok(read)
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.bytes {
            PlainOrTls::Plain(socket) => socket.write_all(bytes).await,
            PlainOrTls::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            PlainOrTls::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes the connection in order; errors are ignored because nothing follows.
    pub(crate) async fn close(&mut self) {
        let end = async {
            match &mut self.bytes {
                PlainOrTls::Plain(socket) => socket.shutdown().await,
                PlainOrTls::Tls(stream) => stream.shutdown().await,
                PlainOrTls::Closed => Ok(()),
            }
        };
        let _ = tokio::time::timeout(self.write_limit, end).await;
    }
}

impl Sink for Stream {
    fn drain<'a>(&'a mut self, bytes: &'a mut BytesMut) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            if bytes.is_empty() {
                return Ok(());
            }
            let limit = self.write_limit;
            tokio::time::timeout(limit, self.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            bytes.clear();
            Ok(())
        })
    }
}

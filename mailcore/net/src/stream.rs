//! The socket of a connection, without TLS or through it, as one type.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Sink;

/// Octets of the first read of a connection, and of each read after one that was not full.
pub(crate) const READ_OCTETS_MIN: usize = 2 * 1024;
/// Maximum octets of one read.
const READ_OCTETS_MAX: usize = 64 * 1024;
/// Growth factor of the read size after a full read. Two full reads in a row reach [`READ_OCTETS_MAX`].
const READ_GROWTH: usize = 8;

enum PlainOrTls {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// No transport: while [`Stream::start_tls`] runs, and after it failed.
    Closed,
}

/// The socket of one session.
pub(crate) struct Stream {
    socket: PlainOrTls,
    write_limit: Duration,
    read_octets: usize,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, write_limit: Duration) -> Self {
        Self { socket: PlainOrTls::Plain(socket), write_limit, read_octets: READ_OCTETS_MIN }
    }

    /// Performs the server's side of a TLS handshake within `limit`. A handshake that fails leaves the stream closed.
    pub(crate) async fn start_tls(&mut self, config: Arc<rustls::ServerConfig>, limit: Duration) -> io::Result<()> {
        let socket = match std::mem::replace(&mut self.socket, PlainOrTls::Closed) {
            PlainOrTls::Plain(socket) => socket,
            other => {
                self.socket = other;
                return Err(io::Error::other("TLS is already active"));
            }
        };
        let accept = TlsAcceptor::from(config).accept(socket);
        let stream = tokio::time::timeout(limit, accept).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.socket = PlainOrTls::Tls(Box::new(stream));
        Ok(())
    }

    /// Octets that the next read should have room for.
    pub(crate) fn read_octets(&self) -> usize {
        self.read_octets
    }

    /// Reads the available octets into `input`, at most `octets`; 0 is the end of the stream. Cancel-safe.
    pub(crate) async fn read(&mut self, input: &mut BytesMut, octets: usize) -> io::Result<usize> {
        input.reserve(octets);
        // The buffer may have more room, which the memory budget has not granted.
        let mut room = input.limit(octets);
        let read = match &mut self.socket {
            PlainOrTls::Plain(socket) => socket.read_buf(&mut room).await?,
            PlainOrTls::Tls(stream) => stream.read_buf(&mut room).await?,
            PlainOrTls::Closed => 0,
        };
        self.read_octets = match read == octets {
            true => (self.read_octets * READ_GROWTH).min(READ_OCTETS_MAX),
            false => READ_OCTETS_MIN,
        };
        Ok(read)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            PlainOrTls::Plain(socket) => socket.write_all(bytes).await,
            PlainOrTls::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            PlainOrTls::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes the connection, with `close_notify` under TLS. Errors are ignored because nothing more is sent.
    pub(crate) async fn close(&mut self) {
        let end = async {
            match &mut self.socket {
                PlainOrTls::Plain(socket) => socket.shutdown().await,
                PlainOrTls::Tls(stream) => stream.shutdown().await,
                PlainOrTls::Closed => Ok(()),
            }
        };
        let _ = tokio::time::timeout(self.write_limit, end).await;
    }
}

impl Sink for Stream {
    fn send<'a>(&'a mut self, bytes: &'a mut BytesMut) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            if bytes.is_empty() {
                return Ok(());
            }
            let limit = self.write_limit;
            tokio::time::timeout(limit, self.write(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            bytes.clear();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory budget grants the octets of one read, however much room the buffer has.
    #[tokio::test]
    async fn a_read_takes_no_more_octets_than_it_may() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        peer.write_all(&[b'x'; 10_000]).await.unwrap();
        let mut stream = Stream::new(listener.accept().await.unwrap().0, Duration::from_secs(60));
        let mut input = BytesMut::with_capacity(READ_OCTETS_MAX);
        while input.len() < 10_000 {
            assert!((1..=3_000).contains(&stream.read(&mut input, 3_000).await.unwrap()));
        }
    }
}

//! Determines and admits the client of a connection.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpStream;

/// A client that may speak.
pub struct AdmittedClient {
    /// The client's address; behind a balancer, not that of the socket.
    pub address: SocketAddr,
    /// Its place in the count of its source, dropped at the end of the connection.
    pub place: Option<Box<dyn Send + Sync>>,
}

/// Determines the client of an accepted connection from the octets that a balancer sends before the first octet of
/// LDAP, and limits the connections of one source.
pub trait ClientAdmission: Send + Sync {
    /// Returns the client; `None` closes the connection. The implementation bounds its own time, and consumes no octet
    /// of LDAP or TLS.
    fn admit<'a>(
        &'a self,
        socket: &'a mut TcpStream,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<AdmittedClient>> + Send + 'a>>;
}

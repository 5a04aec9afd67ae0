//! Determines and admits the client of a connection.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;

/// The client of a connection that was admitted.
pub struct AdmittedClient {
    /// The client's address; behind a balancer, not that of the socket.
    pub address: SocketAddr,
    /// Counts the connection and its memory towards the limits of the process. The server drops this value when the
    /// connection ends. `None`: no limits apply.
    pub place: Option<Arc<dyn ClientPlace>>,
}

/// Counts one connection and its memory towards the limits of the process.
pub trait ClientPlace: Send + Sync {
    /// Counts `octets`, all that has arrived of a large request, as memory in use; `false` when there is no memory for
    /// them. Called again with the new total as more arrives; [`ClientPlace::release`] ends the count.
    fn hold(&self, octets: usize) -> bool;

    /// Releases the octets, once the request has been decoded.
    fn release(&self);
}

/// Determines the client of an accepted connection from the octets that a balancer sends before the first octet of
/// LDAP, and limits the connections of one source and the memory of all connections.
pub trait ClientAdmission: Send + Sync {
    /// Returns the client; `None` closes the connection. The implementation bounds its own time, and consumes no octet
    /// of LDAP or TLS.
    fn admit<'a>(
        &'a self,
        socket: &'a mut TcpStream,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<AdmittedClient>> + Send + 'a>>;
}

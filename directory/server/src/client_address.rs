//! Determines the client's address behind a load balancer.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpStream;

/// Determines the client of an accepted connection from the octets that a balancer sends before the first octet of
/// LDAP.
pub trait ClientAddress: Send + Sync {
    /// Returns the client's address; `None` closes the connection. The implementation bounds its own time, and consumes
    /// no octet of LDAP or TLS.
    fn find<'a>(
        &'a self,
        socket: &'a mut TcpStream,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<SocketAddr>> + Send + 'a>>;
}

//! Who is on the other side, when a balancer stands between.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpStream;

/// Says whose connection was accepted, from what a balancer sends ahead of the first LDAP octet.
pub trait ClientAddress: Send + Sync {
    /// The client's address; `None` closes the connection. Bounds its own time, and takes no octet of LDAP or TLS.
    fn find<'a>(
        &'a self,
        socket: &'a mut TcpStream,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<SocketAddr>> + Send + 'a>>;
}

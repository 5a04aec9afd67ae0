//! The PROXY protocol, version 2: a load balancer reports the client whose connection it passes on.
//!
//! HAProxy's `doc/proxy-protocol.txt`, §2.2. [`header`] is the parser, without I/O; [`ProxyNetworks::peer`] reads one
//! header from a socket and no octet that follows it, because TLS may begin there.
//!
//! A header is required from trusted networks, and never read from others: §2 forbids guessing whether a header is
//! there, and a client that could send its own header could claim any address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::{Network, Peer};

/// The signature that begins each header of version 2 (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The text that begins a header of version 1 (§2.1).
const SIGNATURE_V1: &[u8] = b"PROXY ";
/// Octets of signature, version and command, family, and length together (§2.2).
const FIXED_OCTETS: usize = 16;
/// Largest header, octets, TLVs included. The length field allows 65,535; a client certificate in the TLVs fits here.
const HEADER_OCTETS_MAX: usize = 4 * 1024;
/// Time that a trusted balancer has to send its header. §2 recommends at least 3 s: TCP may have to send it again.
pub const PROXY_HEADER_LIMIT: Duration = Duration::from_secs(5);

/// Octets of two addresses and two ports of IPv4 (§2.2).
const IPV4_BLOCK_OCTETS: usize = 12;
/// Octets of two addresses and two ports of IPv6 (§2.2).
const IPV6_BLOCK_OCTETS: usize = 36;

/// The content of a complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// The balancer's own connection, such as a health check: the socket's addresses are the real ones.
    Local,
    /// A connection passed on for a client.
    Proxied {
        /// The client's address.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

/// State of the parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseProgress {
    /// At least this many more octets are needed; all of them belong to the header.
    Needs(usize),
    /// A complete header and its length, octets.
    Whole(ProxyHeader, usize),
}

/// Why no usable header was read; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// Version 1, the text form, which is not supported.
    #[error("a PROXY header of version 1; only version 2 is served (HAProxy: send-proxy-v2)")]
    Version1,
    /// The peer is in a trusted network but sent no header.
    #[error("no PROXY header, which this network must send")]
    Missing,
    /// A version, command or family that the standard does not define.
    #[error("a PROXY header with octets {0:#04x} {1:#04x}, which version 2 does not define")]
    Undefined(u8, u8),
    /// A PROXY command for a transport other than TCP, which gives no usable address.
    #[error("a PROXY header for a transport other than TCP over IPv4 or IPv6 (family {0:#04x})")]
    NotTcp(u8),
    /// The stated length is too small for the addresses.
    #[error("a PROXY header too short for its addresses")]
    Short,
    /// The header is longer than `HEADER_OCTETS_MAX`, 4 KiB.
    #[error("a PROXY header of {0} octets; at most {HEADER_OCTETS_MAX} are read")]
    TooLong(usize),
    /// The header did not arrive within [`PROXY_HEADER_LIMIT`].
    #[error("no whole PROXY header within {} s", PROXY_HEADER_LIMIT.as_secs())]
    Late,
    /// The peer closed the connection, as a balancer's plain TCP check does.
    #[error("the connection ended before a PROXY header: {0}")]
    Lost(#[from] io::Error),
}

/// Parses a header from the octets received so far.
pub(crate) fn header(octets: &[u8]) -> Result<ParseProgress, ProxyError> {
    let begun = octets.len().min(SIGNATURE.len());
    if octets.get(..begun) != SIGNATURE.get(..begun) {
        return Err(unsigned(octets));
    }
    let Some(&[version_command, family, high, low]) = octets.get(SIGNATURE.len()..FIXED_OCTETS) else {
        return Ok(ParseProgress::Needs(FIXED_OCTETS - octets.len()));
    };
    let whole = FIXED_OCTETS + usize::from(u16::from_be_bytes([high, low]));
    if whole > HEADER_OCTETS_MAX {
        return Err(ProxyError::TooLong(whole));
    }
    let is_local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Undefined(version_command, family)),
    };
    let Some(block) = octets.get(FIXED_OCTETS..whole) else {
        return Ok(ParseProgress::Needs(whole - octets.len()));
    };
    // §2.2: for LOCAL the addresses are ignored, whatever their family.
    let header = if is_local { ProxyHeader::Local } else { addresses(family, block)? };
    Ok(ParseProgress::Whole(header, whole))
}

/// The error for octets that have no signature of version 2.
fn unsigned(octets: &[u8]) -> ProxyError {
    let begun = octets.len().min(SIGNATURE_V1.len());
    if octets.get(..begun) == SIGNATURE_V1.get(..begun) { ProxyError::Version1 } else { ProxyError::Missing }
}

/// Parses the addresses at the start of the block; the TLVs after them are ignored.
fn addresses(family: u8, block: &[u8]) -> Result<ProxyHeader, ProxyError> {
    match family {
        0x11 => {
            let block: [u8; IPV4_BLOCK_OCTETS] = leading(block)?;
            let [a, b, c, d, e, f, g, h, source_high, source_low, high, low] = block;
            Ok(ProxyHeader::Proxied {
                source: socket_address(Ipv4Addr::new(a, b, c, d), [source_high, source_low]),
                destination: socket_address(Ipv4Addr::new(e, f, g, h), [high, low]),
            })
        }
        0x21 => {
            let block: [u8; IPV6_BLOCK_OCTETS] = leading(block)?;
            let source: [u8; 16] = leading(&block)?;
            let destination: [u8; 16] = leading(block.get(16..).unwrap_or_default())?;
            let [source_high, source_low, high, low] = leading(block.get(32..).unwrap_or_default())?;
            Ok(ProxyHeader::Proxied {
                source: socket_address(Ipv6Addr::from(source), [source_high, source_low]),
                destination: socket_address(Ipv6Addr::from(destination), [high, low]),
            })
        }
        // Unspecified, datagrams, UNIX sockets: §2.2 lets a receiver refuse them. Taking the balancer's address instead
        // could make a remote client a local one.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Err(ProxyError::NotTcp(family)),
        _ => Err(ProxyError::Undefined(0x21, family)),
    }
}

fn leading<const N: usize>(octets: &[u8]) -> Result<[u8; N], ProxyError> {
    octets.first_chunk().copied().ok_or(ProxyError::Short)
}

fn socket_address(address: impl Into<IpAddr>, port: [u8; 2]) -> SocketAddr {
    canonical(SocketAddr::new(address.into(), u16::from_be_bytes(port)))
}

/// Converts an IPv4 address in IPv6 form, as a dual-stack socket reports it, to IPv4, so that counts, comparisons and
/// logs see one form.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The networks whose connections begin with a header. Empty: no connection does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyNetworks(Vec<Network>);

impl ProxyNetworks {
    /// Trusts these networks.
    pub const fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Returns the networks.
    pub fn networks(&self) -> &[Network] {
        &self.0
    }

    /// Whether connections from `address` must begin with a header.
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Both addresses of an accepted connection: those of its header if it comes from a trusted network, else the
    /// socket's. `None` when the header is refused, late or lost, which is logged and counted for `listener`: close the
    /// connection without an answer.
    pub async fn peer(&self, socket: &mut TcpStream, remote: SocketAddr, listener: &'static str) -> Option<Peer> {
        let found = self.find_peer(socket, remote).await;
        if let Err(error) = &found {
            metrics::counter!("provost_net_proxy_refused_total", "listener" => listener).increment(1);
            match error {
                ProxyError::Lost(_) => tracing::debug!(listener, balancer = %remote, %error, "connection closed"),
                _ => tracing::warn!(listener, balancer = %remote, %error, "connection refused"),
            }
        }
        found.ok()
    }

    async fn find_peer(&self, socket: &mut TcpStream, remote: SocketAddr) -> Result<Peer, ProxyError> {
        let own = Peer { remote: canonical(remote), local: canonical(socket.local_addr()?) };
        if !self.trusts(remote.ip()) {
            return Ok(own);
        }
        let read = tokio::time::timeout(PROXY_HEADER_LIMIT, read_header(socket));
        Ok(peer_of(own, read.await.map_err(|_| ProxyError::Late)??))
    }
}

/// The peer of a connection with this header; `own` has the addresses of the socket.
fn peer_of(own: Peer, header: ProxyHeader) -> Peer {
    match header {
        ProxyHeader::Local => own,
        // The client runs on the balancer's machine. Unless the balancer runs on this machine, the connection crosses
        // the network, so the client must not count as local: a local client may log in without TLS.
        ProxyHeader::Proxied { source, .. } if source.ip().is_loopback() && !own.is_loopback() => own,
        ProxyHeader::Proxied { source, destination } => Peer { remote: source, local: destination },
    }
}

/// Reads one header and no octet after it.
async fn read_header(socket: &mut TcpStream) -> Result<ProxyHeader, ProxyError> {
    let mut octets = Vec::with_capacity(FIXED_OCTETS + IPV6_BLOCK_OCTETS);
    loop {
        match header(&octets)? {
            ParseProgress::Whole(header, _) => return Ok(header),
            ParseProgress::Needs(more) => {
                let more = u64::try_from(more).unwrap_or(u64::MAX);
                if (&mut *socket).take(more).read_buf(&mut octets).await? == 0 {
                    return Err(ProxyError::Lost(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Limits for the clients of the embedded LDAP server: connections per source, and memory for requests.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use provost_net::{ConnectionsBySource, MemoryBudget, ProxyNetworks, Reservation, SourceSlot};
use provost_server::{AdmittedClient, CONNECTIONS_MAX, ClientAdmission, ClientPlace};
use tokio::net::TcpStream;

/// Maximum number of open LDAP connections of one source: a quarter of all, so that no single source can shut out the
/// others.
const LDAP_CONNECTIONS_PER_SOURCE_MAX: usize = CONNECTIONS_MAX / 4;

/// Finds the client address of each LDAP connection, which may begin with a PROXY header, and limits connections and
/// memory per source.
pub(crate) struct LdapClients {
    proxies: ProxyNetworks,
    sources: ConnectionsBySource,
    memory: MemoryBudget,
}

impl LdapClients {
    pub(crate) fn new(proxies: ProxyNetworks, memory: MemoryBudget) -> Self {
        Self { proxies, sources: ConnectionsBySource::new(), memory }
    }

    /// Counts a connection of the source; `None` when the source has [`LDAP_CONNECTIONS_PER_SOURCE_MAX`] already.
    fn enter(&self, address: SocketAddr) -> Option<SourceSlot> {
        let slot = self.sources.enter(address.ip(), LDAP_CONNECTIONS_PER_SOURCE_MAX);
        if slot.is_none() {
            metrics::counter!("provost_net_refused_total", "listener" => "ldap").increment(1);
        }
        slot
    }
}

/// What one LDAP connection uses of the limits: one connection of its source, and memory for the current request.
struct LdapPlace {
    _source: Option<SourceSlot>,
    request: Mutex<Reservation>,
}

impl LdapPlace {
    fn request(&self) -> MutexGuard<'_, Reservation> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientPlace for LdapPlace {
    fn hold(&self, octets: usize) -> bool {
        let has_room = self.request().resize(octets as u64);
        if !has_room {
            metrics::counter!("provost_memory_budget_refused_total", "what" => "ldap").increment(1);
        }
        has_room
    }

    fn release(&self) {
        self.request().release();
    }
}

impl ClientAdmission for LdapClients {
    fn admit<'a>(
        &'a self,
        socket: &'a mut TcpStream,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<AdmittedClient>> + Send + 'a>> {
        Box::pin(async move {
            let address = self.proxies.peer(socket, remote, "ldap").await?.remote;
            // A loopback address stands for all programs of this machine, so the limits of one source do not apply.
            let (source, request) = match address.ip().to_canonical().is_loopback() {
                true => (None, self.memory.body()),
                false => (Some(self.enter(address)?), self.memory.body_of(address.ip())),
            };
            let place = LdapPlace { _source: source, request: Mutex::new(request) };
            Some(AdmittedClient { address, place: Some(Arc::new(place)) })
        })
    }
}

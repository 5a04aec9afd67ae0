//! `[listeners]`: the addresses of each protocol, and the balancers whose PROXY headers are accepted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use provost_net::{Network, ProxyNetworks};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// `[listeners]`: each listener is absent (off), `"address:port"`, or a table with `address` and options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listeners {
    /// Networks of balancers whose connections begin with a PROXY header: on all listeners but `health`, unless a
    /// listener has a list of its own.
    #[serde(default, deserialize_with = "networks")]
    pub(crate) proxy_networks: Vec<Network>,
    pub(crate) http: Option<ListenerConfig>,
    pub(crate) mx: Option<ListenerConfig>,
    pub(crate) submission: Option<ListenerConfig>,
    pub(crate) submissions: Option<ListenerConfig>,
    pub(crate) lmtp: Option<ListenerConfig>,
    pub(crate) imap: Option<ListenerConfig>,
    pub(crate) imaps: Option<ListenerConfig>,
    pub(crate) pop3: Option<ListenerConfig>,
    pub(crate) pop3s: Option<ListenerConfig>,
    pub(crate) health: Option<ListenerConfig>,
}

impl Listeners {
    /// The mail listeners: name, configuration, and how a connection starts.
    pub(crate) fn mail(&self) -> [(&'static str, &Option<ListenerConfig>, ConnectionStart); 8] {
        [
            ("mx", &self.mx, ConnectionStart::Plain),
            ("submission", &self.submission, ConnectionStart::Plain),
            ("submissions", &self.submissions, ConnectionStart::Tls),
            ("lmtp", &self.lmtp, ConnectionStart::Plain),
            ("imap", &self.imap, ConnectionStart::Plain),
            ("imaps", &self.imaps, ConnectionStart::Tls),
            ("pop3", &self.pop3, ConnectionStart::Plain),
            ("pop3s", &self.pop3s, ConnectionStart::Tls),
        ]
    }

    /// Names of the mail listeners that are on.
    pub(crate) fn mail_names(&self) -> Vec<&'static str> {
        self.mail().into_iter().filter(|(_, listener, _)| listener.is_some()).map(|(name, ..)| name).collect()
    }

    /// Names of the listeners that present the node's certificate, if it has one: every mail listener, from the start
    /// or after STARTTLS or STLS, and `http` and `health` with TLS.
    pub(crate) fn tls_names(&self) -> Vec<&'static str> {
        let is_tls = |listener: &Option<ListenerConfig>| listener.as_ref().is_some_and(|listener| listener.tls);
        let web = [("http", &self.http), ("health", &self.health)];
        let web = web.into_iter().filter(|(_, listener)| is_tls(listener)).map(|(name, _)| name);
        self.mail_names().into_iter().chain(web).collect()
    }

    /// Names of all listeners that are on.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let web = [("http", &self.http), ("health", &self.health)];
        let web = web.into_iter().filter(|(_, listener)| listener.is_some()).map(|(name, _)| name);
        self.mail_names().into_iter().chain(web).collect()
    }

    /// The networks whose connections to `listener` begin with a PROXY header.
    pub(crate) fn proxies(&self, listener: &ListenerConfig) -> ProxyNetworks {
        ProxyNetworks::new(listener.proxy_networks.as_ref().unwrap_or(&self.proxy_networks).clone())
    }

    /// Whether a connection from this machine to `listener` must begin with a PROXY header.
    pub(crate) fn is_own_address_proxied(&self, listener: &ListenerConfig) -> bool {
        // The system connects to one of its addresses from the same address, and to the unspecified one from loopback.
        let own = match listener.address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            address => address,
        };
        self.proxies(listener).networks().iter().any(|network| network.contains(own))
    }

    /// The networks whose connections to the health listener begin with a PROXY header. Balancers and monitors send
    /// requests of their own there, without a header, so the list for all listeners does not apply.
    pub(crate) fn health_proxies(&self, listener: &ListenerConfig) -> ProxyNetworks {
        ProxyNetworks::new(listener.proxy_networks.clone().unwrap_or_default())
    }
}

impl Listeners {
    /// The errors about TLS: `tls = true` on a mail listener, or a listener that needs a certificate on a node without
    /// one.
    pub(super) fn tls_complaints(&self, has_certificate: bool) -> Vec<String> {
        let is_tls = |listener: &Option<ListenerConfig>| listener.as_ref().is_some_and(|listener| listener.tls);
        let misplaced = self.mail().into_iter().filter(|(_, listener, _)| is_tls(listener)).map(|(name, ..)| {
            format!(
                "listeners.{name}: tls is a key of http and health only; submissions, imaps and pop3s always use TLS"
            )
        });
        let mut complaints: Vec<String> = misplaced.collect();
        let has_implicit =
            self.mail().into_iter().any(|(_, listener, begin)| listener.is_some() && begin == ConnectionStart::Tls);
        if !has_certificate && has_implicit {
            complaints.push("tls: submissions, imaps and pop3s need [tls] certificate and key".to_owned());
        }
        if !has_certificate && [&self.http, &self.health].into_iter().any(is_tls) {
            complaints.push("tls: http and health with tls = true need [tls] certificate and key".to_owned());
        }
        complaints
    }
}

/// Start of a connection to a mail listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionStart {
    /// Plain text; STARTTLS or STLS is offered when the node has a certificate.
    Plain,
    /// A TLS handshake.
    Tls,
}

/// The configuration of one listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerConfig {
    pub(crate) address: SocketAddr,
    /// Replaces `listeners.proxy_networks` for this listener.
    pub(crate) proxy_networks: Option<Vec<Network>>,
    /// Maximum number of open connections from one address, or from one IPv6 network of 64 bits; `None` for the default
    /// of `provost_net::Limits`.
    pub(crate) connections_per_address: Option<usize>,
    /// Whether `http` or `health` uses TLS. A mail listener must not set it: the name decides there, as in `imaps`.
    pub(crate) tls: bool,
}

/// The table form of a listener.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    address: SocketAddr,
    #[serde(default, deserialize_with = "some_networks")]
    proxy_networks: Option<Vec<Network>>,
    connections_per_address: Option<usize>,
    #[serde(default)]
    tls: bool,
}

impl<'de> Deserialize<'de> for ListenerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortOrTable)
    }
}

/// Accepts the short form and the table form. An untagged enum would not name the wrong key in its error.
struct ShortOrTable;

impl<'de> Visitor<'de> for ShortOrTable {
    type Value = ListenerConfig;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("\"address:port\", or a table as in { address = \"0.0.0.0:143\", proxy_networks = [] }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ListenerConfig, E> {
        let address = text.parse().map_err(|_| E::custom(format!("'{text}' is not address:port")))?;
        Ok(ListenerConfig { address, proxy_networks: None, connections_per_address: None, tls: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenerConfig, A::Error> {
        let ListenerTable { address, proxy_networks, connections_per_address, tls } =
            ListenerTable::deserialize(MapAccessDeserializer::new(map))?;
        if connections_per_address == Some(0) {
            return Err(A::Error::custom("connections_per_address must be at least 1"));
        }
        Ok(ListenerConfig { address, proxy_networks, connections_per_address, tls })
    }
}

/// Reads networks from text: `["192.0.2.0/24", "2001:db8::7"]`.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

fn some_networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Network>>, D::Error> {
    networks(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Listeners, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_networks_of_a_listener_replace_those_of_all_listeners() {
        let text = r#"
proxy_networks = ["192.0.2.0/24"]
mx = "0.0.0.0:25"
imap = { address = "0.0.0.0:143", proxy_networks = ["2001:db8::7"], connections_per_address = 20 }
pop3 = { address = "0.0.0.0:110", proxy_networks = [] }
"#;
        let found = read(text).unwrap();
        let of = |listener: &Option<ListenerConfig>| found.proxies(listener.as_ref().unwrap()).networks().to_vec();
        assert_eq!(of(&found.mx), ["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(of(&found.imap), ["2001:db8::7".parse().unwrap()]);
        assert_eq!(of(&found.pop3), []);
        assert_eq!(found.imap.unwrap().connections_per_address, Some(20));
    }

    #[test]
    fn a_connection_from_this_machine_needs_a_header_if_its_address_is_in_proxy_networks() {
        for (address, proxied) in [
            ("127.0.0.1:80", true),
            ("0.0.0.0:80", true),
            ("192.0.2.7:80", true),
            ("198.51.100.1:80", false),
            ("[::]:80", false),
        ] {
            let text = format!("proxy_networks = [\"127.0.0.0/8\", \"192.0.2.0/24\"]\nhttp = \"{address}\"");
            let listeners = read(&text).unwrap();
            assert_eq!(listeners.is_own_address_proxied(listeners.http.as_ref().unwrap()), proxied, "{address}");
        }
    }

    #[test]
    fn tls_needs_a_certificate_and_is_no_key_of_mail_listeners() {
        for (text, has_certificate, expect) in [
            ("http = { address = \"0.0.0.0:443\", tls = true }", true, None),
            ("http = { address = \"0.0.0.0:443\", tls = true }", false, Some("http and health with tls = true")),
            ("health = { address = \"0.0.0.0:443\", tls = true }", false, Some("http and health with tls = true")),
            ("http = \"127.0.0.1:80\"", false, None),
            ("imaps = \"0.0.0.0:993\"", false, Some("imaps and pop3s need")),
            ("imap = { address = \"0.0.0.0:143\", tls = true }", true, Some("listeners.imap: tls is a key of http")),
        ] {
            let found = read(text).unwrap().tls_complaints(has_certificate).join("\n");
            assert!(expect.map_or(found.is_empty(), |expect| found.contains(expect)), "{text}: {found}");
        }
    }

    #[test]
    fn wrong_listeners_are_refused_with_their_line() {
        for (text, expect) in [
            ("mx = \"25\"", "'25' is not address:port"),
            ("mx = 25", "or a table"),
            ("mx = { address = \"0.0.0.0:25\", colour = \"red\" }", "colour"),
            ("mx = { proxy_networks = [] }", "address"),
            ("mx = { address = \"0.0.0.0:25\", connections_per_address = 0 }", "at least 1"),
            ("mx = { address = \"0.0.0.0:25\", proxy_networks = [\"10.0.0.1/8\"] }", "bits set after the prefix"),
            ("proxy_networks = [\"balancer\"]", "'balancer' is not a network"),
        ] {
            let error = read(&format!("\n{text}")).unwrap_err();
            assert!(error.contains(expect) && error.contains("line 2"), "{text}: {error}");
        }
    }
}

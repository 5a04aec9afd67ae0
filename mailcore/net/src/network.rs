//! IP networks in an operator's notation: `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`.

use std::net::IpAddr;
use std::str::FromStr;

/// Length of an IPv4 address, bits.
const IPV4_BITS: u8 = 32;
/// Length of an IPv6 address, bits.
const IPV6_BITS: u8 = 128;

/// The addresses that share the first `prefix` bits (RFC 4632 §3.1, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An IPv4 address in IPv6 form (`::ffff:192.0.2.0`) is stored as IPv4.
    address: IpAddr,
    /// Prefix length in bits: at most 32 if `address` is IPv4, at most 128 if it is IPv6.
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworkError {
    /// Neither an address nor `address/prefix`.
    #[error("'{0}' is not a network: write an address, or address/prefix as in 192.0.2.0/24")]
    Form(String),
    /// The prefix is longer than the address.
    #[error("'{0}': the prefix is at most 32 for IPv4 and 128 for IPv6")]
    Prefix(String),
    /// Bits after the prefix are set: probably a typing error in the address or the prefix.
    #[error("'{0}': the address has bits set after the prefix")]
    HostBits(String),
}

impl Network {
    /// Whether `address` is in this network. An IPv4 address in IPv6 form (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                (bits(self.address) ^ bits(address.to_canonical())) & self.mask() == 0
            }
            _ => false,
        }
    }

    /// A mask of the network's bits, for an address as [`bits`] returns it.
    fn mask(&self) -> u128 {
        let ignored = u32::from(width(self.address) - self.prefix);
        u128::MAX.checked_shl(ignored).unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { IPV4_BITS } else { IPV6_BITS }
}

/// An address as a number whose lowest bit is the last bit of the address.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form(text.to_owned()))?;
        // `u8::from_str` accepts "+8".
        let is_number = |prefix: &str| prefix.bytes().all(|octet| octet.is_ascii_digit());
        let prefix = match prefix {
            Some(prefix) if !is_number(prefix) || prefix.is_empty() => return Err(NetworkError::Form(text.to_owned())),
            Some(prefix) => prefix.parse().map_err(|_| NetworkError::Prefix(text.to_owned()))?,
            None => width(address),
        };
        if prefix > width(address) {
            return Err(NetworkError::Prefix(text.to_owned()));
        }
        let network = Self { address, prefix };
        if bits(address) & !network.mask() & width_mask(address) != 0 {
            return Err(NetworkError::HostBits(text.to_owned()));
        }
        // `contains` compares an IPv4 address in IPv6 form as IPv4.
        let canonical = address.to_canonical();
        Ok(Self { address: canonical, prefix: prefix.saturating_sub(width(address) - width(canonical)) })
    }
}

/// A mask of all bits that an address of this family has.
fn width_mask(address: IpAddr) -> u128 {
    if address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses() {
        for (network, address, expect) in [
            ("127.0.0.0/8", "127.0.0.1", true),
            ("127.0.0.0/8", "127.255.255.255", true),
            ("127.0.0.0/8", "128.0.0.0", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("127.0.0.0/8", "::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("::1", "::1", true),
            ("::ffff:192.0.2.0/120", "192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.3.7", false),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7", true),
            ("::ffff:0:0/96", "203.0.113.9", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), expect, "{address} in {network}");
        }
    }

    #[test]
    fn refused_texts() {
        let form = |text: &str| NetworkError::Form(text.to_owned());
        for text in ["", "/8", "127.0.0.1/", "localhost", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/x", "10.0/8"] {
            assert_eq!(text.parse::<Network>(), Err(form(text)), "{text}");
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/999999"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Prefix(text.to_owned())), "{text}");
        }
        for text in ["10.0.0.1/8", "2001:db8::1/32", "0.0.0.1/0", "::ffff:0:0/95"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits(text.to_owned())), "{text}");
        }
    }
}

use proptest::prelude::*;

use super::*;

const V4: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 0, 143];

fn built(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[version_command, family], &length, block].concat()
}

fn v6(source: &str, destination: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    [&octets(source)[..], &octets(destination), &[0x9c, 0x40, 3, 225]].concat()
}

fn proxied(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

#[test]
fn valid_headers() {
    let with_tlvs = [&V4[..], &[0x04, 0, 2, 0, 0, 0x20, 0, 5, 1, 0, 0, 0, 0]].concat();
    let largest = [&V4[..], &vec![0; HEADER_OCTETS_MAX - FIXED_OCTETS - V4.len()]].concat();
    let v4 = proxied("203.0.113.7:40000", "192.0.2.1:143");
    for (what, octets, expect) in [
        ("IPv4", built(0x21, 0x11, &V4), v4),
        ("TLVs after the addresses", built(0x21, 0x11, &with_tlvs), v4),
        ("the largest header", built(0x21, 0x11, &largest), v4),
        (
            "IPv6",
            built(0x21, 0x21, &v6("2001:db8::7", "2001:db8::1")),
            proxied("[2001:db8::7]:40000", "[2001:db8::1]:993"),
        ),
        (
            "IPv4 in IPv6 form",
            built(0x21, 0x21, &v6("::ffff:203.0.113.7", "::ffff:192.0.2.1")),
            proxied("203.0.113.7:40000", "192.0.2.1:993"),
        ),
        ("LOCAL", built(0x20, 0x00, &[]), ProxyHeader::Local),
        ("LOCAL with addresses, which are ignored", built(0x20, 0x11, &V4), ProxyHeader::Local),
        ("LOCAL of a family unknown here", built(0x20, 0x7f, &[1, 2, 3]), ProxyHeader::Local),
    ] {
        assert_eq!(header(&octets).unwrap(), ParseProgress::Whole(expect, octets.len()), "{what}");
    }
}

#[test]
fn refused_headers() {
    let too_long = vec![0; HEADER_OCTETS_MAX - FIXED_OCTETS + 1];
    for (octets, expect) in [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 143\r\n".to_vec(), "version 1"),
        (b"PRO".to_vec(), "version 1"),
        (b"a LOGIN zoe secret\r\n".to_vec(), "no PROXY header"),
        (b"\r\n\r\nEHLO x\r\n".to_vec(), "no PROXY header"),
        (b"\x16\x03\x01".to_vec(), "no PROXY header"),
        (built(0x11, 0x11, &V4), "which version 2 does not define"),
        (built(0x31, 0x11, &V4), "which version 2 does not define"),
        (built(0x22, 0x11, &V4), "which version 2 does not define"),
        (built(0x21, 0x41, &V4), "which version 2 does not define"),
        (built(0x21, 0x13, &V4), "which version 2 does not define"),
        (built(0x21, 0x00, &[]), "other than TCP"),
        (built(0x21, 0x12, &V4), "other than TCP"),
        (built(0x21, 0x22, &v6("::1", "::1")), "other than TCP"),
        (built(0x21, 0x31, &[0; 216]), "other than TCP"),
        (built(0x21, 0x32, &[0; 216]), "other than TCP"),
        (built(0x21, 0x11, &V4[..11]), "too short"),
        (built(0x21, 0x21, &V4), "too short"),
        (built(0x21, 0x11, &too_long), "at most 4096"),
    ] {
        let error = header(&octets).unwrap_err().to_string();
        assert!(error.contains(expect), "{octets:?}: {error}");
    }
}

// A loopback address in the header of a remote balancer means the balancer's machine.
#[test]
fn the_loopback_of_another_machine_is_not_ours() {
    let remote = "192.0.2.10:50000";
    for (balancer, header, expect) in [
        (remote, proxied("203.0.113.7:40000", "192.0.2.1:143"), "203.0.113.7:40000"),
        (remote, proxied("127.0.0.1:40000", "127.0.0.1:143"), remote),
        (remote, proxied("[::1]:40000", "[::1]:143"), remote),
        (remote, ProxyHeader::Local, remote),
        ("127.0.0.1:50000", proxied("127.0.0.1:40000", "127.0.0.1:143"), "127.0.0.1:40000"),
        ("[::1]:50000", proxied("203.0.113.7:40000", "192.0.2.1:143"), "203.0.113.7:40000"),
    ] {
        let own = Peer { remote: balancer.parse().unwrap(), local: "192.0.2.21:143".parse().unwrap() };
        let found = peer_of(own, header);
        assert_eq!(found.remote, expect.parse().unwrap(), "{header:?} from {balancer}");
        assert_eq!(found.is_loopback(), found.remote.ip().is_loopback());
    }
    assert_eq!(canonical("[::ffff:203.0.113.7]:40000".parse().unwrap()), "203.0.113.7:40000".parse().unwrap());
}

proptest! {
    #[test]
    fn random_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = header(&octets);
        let _ = header(&[&SIGNATURE[..], &octets].concat());
    }

    // The parser never asks for octets after the end of a header, and such octets do not change its result.
    #[test]
    fn an_unfinished_header_needs_only_its_own_octets(
        command in 0x20_u8..=0x21, block in proptest::collection::vec(any::<u8>(), 12..300), cut in any::<proptest::sample::Index>(),
    ) {
        let octets = built(command, 0x11, &block);
        let whole = header(&octets).unwrap();
        let cut = cut.index(octets.len());
        let ParseProgress::Needs(more) = header(&octets[..cut]).unwrap() else { panic!("whole at {cut}") };
        prop_assert!(more > 0 && cut + more <= octets.len());
        let longer = [&octets[..], b"EHLO"].concat();
        prop_assert_eq!(header(&longer).unwrap(), whole);
    }

    #[test]
    fn written_addresses_are_read(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)) {
        let block = [
            &source.0.octets()[..], &destination.0.octets(), &source.1.to_be_bytes(), &destination.1.to_be_bytes(),
        ].concat();
        let expect = ProxyHeader::Proxied { source: source.into(), destination: destination.into() };
        let octets = built(0x21, 0x11, &block);
        prop_assert_eq!(header(&octets).unwrap(), ParseProgress::Whole(expect, octets.len()));
    }
}

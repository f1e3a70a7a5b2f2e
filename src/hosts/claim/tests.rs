//! Frames as hosts and servers send them, and as liars do.

use proptest::prelude::*;

use super::*;
use etherws_actors::packet::{
    ETHERTYPE_ARP as ARP, ETHERTYPE_IPV4 as IPV4, ETHERTYPE_IPV6 as IPV6, MAX_TAGS, TPID_CVLAN,
    TPID_SVLAN,
};

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

/// A frame from `src`; `tags` are TPID and TCI.
fn frame(src: [u8; 6], tags: &[[u16; 2]], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let tags = tags.iter().flatten().flat_map(|word| word.to_be_bytes());
    let mut frame = [[0xff; 6], src].concat();
    frame.extend(tags.chain(ethertype.to_be_bytes()));
    frame.extend(payload);
    frame
}

fn arp_packet(operation: u8, sender: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4, 0, operation][..], &sender, &address, &[0; 10]].concat()
}

/// An ND message: type, target where there is one, and options.
fn nd(source: Ipv6Addr, hops: u8, kind: u8, target: Option<Ipv6Addr>, options: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    match target {
        Some(target) => message.extend(target.octets()),
        None if kind == 134 => message.extend([0; 8]),
        None => {}
    }
    message.extend(options);
    ip6(source, hops, 58, &message)
}

fn ip6(source: Ipv6Addr, hops: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [&[0x60, 0, 0, 0][..], &length, &[next, hops]].concat();
    frame(HOST, &[], IPV6, &[&head[..], &source.octets(), &[0xff; 16], payload].concat())
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("short");
    let words = [ports[0], ports[1], length, 0].map(u16::to_be_bytes).concat();
    [&words, payload].concat()
}

fn option(kind: u8, mac: [u8; 6]) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// A DHCP message for `client`, from it (1) or a server (2).
fn dhcp_frame(src: [u8; 6], op: u8, client: [u8; 6], ip: [[u8; 4]; 2], options: &[u8]) -> Vec<u8> {
    let [ciaddr, yiaddr] = ip;
    let mut message = vec![op, 1, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([ciaddr, yiaddr, [0; 4], [0; 4]].concat());
    message.extend(client);
    message.resize(236, 0);
    message.extend([&packet::dhcp::COOKIE, options].concat());
    let datagram = udp(if op == 1 { [68, 67] } else { [67, 68] }, &message);
    let length = u16::try_from(datagram.len() + 20).expect("short").to_be_bytes();
    let head = [&[0x45, 0][..], &length, &[0, 0, 0, 0, 64, 17], &[0; 10]].concat();
    frame(src, &[], IPV4, &[head, datagram].concat())
}

/// What is claimed: whose address and name, and by whom.
fn claimed(frame: &[u8]) -> Option<(MacAddr, Option<String>, Option<String>, bool)> {
    let claim = Claim::read(frame)?;
    let (address, name) = (claim.address.map(|ip| ip.to_string()), claim.name.map(String::from));
    Some((claim.mac, address, name, claim.own))
}

/// A host's own address.
fn own(address: impl Into<IpAddr>) -> Option<(MacAddr, Option<String>, Option<String>, bool)> {
    Some((MacAddr(HOST), Some(address.into().to_string()), None, true))
}

#[test]
fn arp_is_for_its_sender_alone() {
    let ip = [192, 0, 2, 7];
    for operation in [1, 2] {
        assert_eq!(claimed(&frame(HOST, &[], ARP, &arp_packet(operation, HOST, ip))), own(ip));
    }
    for (why, packet) in [
        ("a probe", arp_packet(1, HOST, [0; 4])),
        ("somebody else's", arp_packet(2, OTHER, ip)),
        ("RARP", arp_packet(3, HOST, ip)),
        ("broadcast", arp_packet(1, HOST, [255; 4])),
        ("multicast", arp_packet(1, HOST, [224, 0, 0, 1])),
        ("loopback", arp_packet(1, HOST, [127, 0, 0, 1])),
        ("cut", arp_packet(1, HOST, ip)[..27].to_vec()),
    ] {
        assert_eq!(claimed(&frame(HOST, &[], ARP, &packet)), None, "{why}");
    }
    let group = frame(GROUP, &[], ARP, &arp_packet(1, GROUP, ip));
    assert_eq!(claimed(&group), None, "no station sends so");
}

#[test]
fn tags_are_looked_behind_and_the_vlan_is_that_of_the_fdb() {
    let packet = arp_packet(1, HOST, [192, 0, 2, 7]);
    let vid = |tags: &[[u16; 2]]| {
        let frame = frame(HOST, tags, ARP, &packet);
        Claim::read(&frame).map(|claim| claim.vid.get())
    };
    assert_eq!(vid(&[[TPID_CVLAN, 0xe00a]]), Some(10));
    assert_eq!(vid(&[[TPID_SVLAN, 20], [TPID_CVLAN, 10]]), Some(0), "as the FDB has it");
    assert_eq!(vid(&[[TPID_CVLAN, 20], [TPID_CVLAN, 10]]), Some(20));
    assert_eq!(vid(&[[TPID_CVLAN, 1]; MAX_TAGS + 1]), None, "a tag too many");
}

#[test]
fn neighbor_discovery_tells_the_sender_or_the_target() {
    let (theirs, link_local) = (option(1, OTHER), "fe80::1".parse().expect("an address"));
    assert_eq!(claimed(&nd(V6, 255, 135, Some(NOBODY), &option(1, HOST))), own(V6));
    assert_eq!(claimed(&nd(NOBODY, 255, 136, Some(V6), &option(2, HOST))), own(V6));
    assert_eq!(claimed(&nd(V6, 255, 136, Some(V6), &[])), own(V6), "without option");
    assert_eq!(claimed(&nd(link_local, 255, 133, None, &option(1, HOST))), own(link_local));
    let router = [option(3, OTHER), option(1, HOST)].concat();
    assert_eq!(claimed(&nd(link_local, 255, 134, None, &router)), own(link_local));
    for (why, frame) in [
        ("DAD is a question", nd(NOBODY, 255, 135, Some(V6), &[])),
        ("somebody else's", nd(V6, 255, 135, Some(NOBODY), &theirs)),
        ("a proxy's", nd(V6, 255, 136, Some(V6), &option(2, OTHER))),
        ("passed on by a router", nd(V6, 254, 135, Some(NOBODY), &[])),
        ("an option without length", nd(V6, 255, 135, Some(NOBODY), &[1, 0, 0, 0])),
        ("an option that is cut", nd(V6, 255, 135, Some(NOBODY), &[1, 32, 0, 0])),
        ("redirect", nd(V6, 255, 137, Some(V6), &[])),
        ("cut", nd(V6, 255, 136, None, &[])),
        ("multicast", nd(V6, 255, 136, Some("ff02::1".parse().expect("an address")), &[])),
    ] {
        assert_eq!(claimed(&frame), None, "{why}");
    }
}

#[test]
fn a_client_of_dhcp_tells_its_name_and_the_address_that_it_has() {
    let own = |address: Option<&str>, name: &str| {
        Some((MacAddr(HOST), address.map(str::to_owned), Some(name.to_owned()), true))
    };
    let named = [53, 1, 3, 0, 12, 2, b'p', b'c', 255];
    let nothing = [[0; 4]; 2];
    assert_eq!(claimed(&dhcp_frame(HOST, 1, HOST, nothing, &named)), own(None, "pc"));
    let renewal = dhcp_frame(HOST, 1, HOST, [[192, 0, 2, 7], [0; 4]], &named);
    assert_eq!(claimed(&renewal), own(Some("192.0.2.7"), "pc"));
    // A discovery; the whole name has precedence, in both of its forms.
    let whole = [&[53, 1, 1, 81, 7, 0, 0, 0][..], b"pc.x", &[12, 2, b'p', b'c', 255]].concat();
    assert_eq!(claimed(&dhcp_frame(HOST, 1, HOST, nothing, &whole)), own(None, "pc.x"));
    let labels = [53, 1, 1, 81, 9, 4, 0, 0, 2, b'p', b'c', 1, b'x', 0, 255];
    assert_eq!(claimed(&dhcp_frame(HOST, 1, HOST, nothing, &labels)), own(None, "pc.x"));
    for (why, frame) in [
        ("for somebody else", dhcp_frame(HOST, 1, OTHER, nothing, &named)),
        ("wish", dhcp_frame(HOST, 1, HOST, nothing, &[53, 1, 3, 50, 4, 192, 0, 2, 7, 255])),
        ("an option that is cut", dhcp_frame(HOST, 1, HOST, nothing, &[53, 1, 3, 12, 9, b'p'])),
        ("no options", dhcp_frame(HOST, 1, HOST, nothing, &[])),
    ] {
        assert_eq!(claimed(&frame), None, "{why}");
    }
    // A fragment: its ports may be anything.
    let mut fragment = renewal;
    fragment[20] = 0x20;
    assert_eq!(claimed(&fragment), None);
}

#[test]
fn a_server_of_dhcp_tells_what_it_has_given() {
    let given = [[0; 4], [192, 0, 2, 7]];
    let ack = dhcp_frame(OTHER, 2, HOST, given, &[53, 1, 5, 12, 2, b'p', b'c', 255]);
    let expected = (MacAddr(HOST), Some("192.0.2.7".to_owned()), Some("pc".to_owned()), false);
    assert_eq!(claimed(&ack), Some(expected));
    for kind in [2, 6] {
        let other = dhcp_frame(OTHER, 2, HOST, given, &[53, 1, kind, 12, 1, b'p', 255]);
        assert_eq!(claimed(&other), None, "offer or refusal");
    }
}

#[test]
fn a_client_of_dhcpv6_tells_its_name() {
    let fqdn = [0, 39, 0, 5, 0, 2, b'p', b'c', 0];
    let message = |kind: u8| {
        let elapsed = [0, 8, 0, 2, 0, 0];
        udp([546, 547], &[&[kind, 1, 2, 3][..], &elapsed, &fqdn].concat())
    };
    let named = Some((MacAddr(HOST), None, Some("pc".to_owned()), true));
    assert_eq!(claimed(&ip6(V6, 1, 17, &message(1))), named);
    assert_eq!(claimed(&ip6(V6, 1, 17, &message(12))), None, "a relay's");
}

/// Frames that are nearly right.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let frames = vec![
        frame(HOST, &[[TPID_CVLAN, 5]], ARP, &arp_packet(1, HOST, [192, 0, 2, 7])),
        nd(V6, 255, 136, Some(V6), &option(2, HOST)),
        dhcp_frame(HOST, 1, HOST, [[192, 0, 2, 7]; 2], &[53, 1, 3, 12, 2, b'p', b'c', 255]),
        ip6(V6, 1, 17, &udp([546, 547], &[1, 0, 0, 0, 0, 39, 0, 5, 0, 2, b'p', b'c', 0])),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(frames), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut frame, changes, end, cut)| {
            for (at, octet) in changes {
                let at = at.index(frame.len());
                frame[at] = octet;
            }
            if cut {
                frame.truncate(end.index(frame.len()));
            }
            frame
        },
    )
}

proptest! {
    #[test]
    fn whatever_comes_a_claim_is_one_that_can_be_shown(frame in nearly()) {
        check(&frame);
    }
}

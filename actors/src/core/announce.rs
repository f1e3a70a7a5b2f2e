//! Announcements: the addresses behind a switch, told to the switches behind a port
//! that has come back.
//!
//! Beside the frame's path: the Switch sends them out of that port before anything
//! else, so that frames for these addresses find their new way at once. Pure: it makes
//! frames and sends none.

use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use bytes::Bytes;
use pnet_packet::{ip::IpNextHeaderProtocols, util::ipv6_checksum};

use crate::core::{
    fdb::{Fdb, FdbEntry, PortNumber, Status},
    frame::{Frame, MIN_FRAME_LEN, MacAddr, Vid},
    interface::InterfaceStatus,
    packet::{TAG_LEN, Tag},
};

/// Most addresses announced, latest seen first: 16 KiB, and no storm. Who has been
/// silent for longer is found by a flood, as in any bridge.
const MAX_ADDRESSES: usize = 256;

/// Most addresses of an interface that are announced: more than any host has.
const MAX_OWN: usize = 32;

/// Reverse ARP (RFC 903), as hypervisors announce a guest that has moved: no host
/// answers it, and every bridge learns from it.
pub(crate) const RARP: u16 = 0x8035;

/// Ethernet and IPv4, lengths of their addresses, "request reverse" (RFC 826, 903).
const REQUEST_REVERSE: [u8; 8] = [0, 1, 0x08, 0, 6, 4, 0, 3];

/// Octets by which announcements differ in length, one after the other: with the same octets
/// the later one would look like the former's reflection, and not be believed.
const LENGTHS: usize = 16;

/// One frame for each address that is behind one of the ports that are `wanted`, from that
/// address, in its VLAN; `number` counts announcements.
pub(crate) fn frames(
    fdb: &Fdb,
    wanted: impl Fn(PortNumber) -> bool,
    number: usize,
    now: Instant,
) -> Vec<Frame> {
    let mut entries: Vec<_> = fdb.entries(now).filter(|(.., entry)| wanted(entry.port)).collect();
    // What belongs to a port is there, however long it was silent.
    let latest = |(.., entry): &(Vid, MacAddr, FdbEntry)| {
        Reverse((entry.status == Status::Permanent, entry.last_seen))
    };
    // A full table is not sorted while frames wait: only the latest are.
    if entries.len() > MAX_ADDRESSES {
        entries.select_nth_unstable_by_key(MAX_ADDRESSES, latest);
        entries.truncate(MAX_ADDRESSES);
    }
    entries.sort_unstable_by_key(latest);
    entries.into_iter().map(|(vid, mac, _)| frame(vid, mac, number % LENGTHS)).collect()
}

/// Tells where the addresses of an interface are: gratuitous ARP (RFC 5227, 3) and unsolicited
/// neighbor advertisements (RFC 4861, 7.2.6).
pub(crate) fn neighbours(status: &InterfaceStatus) -> Vec<Frame> {
    let of = |&(address, _): &(IpAddr, u8)| match address {
        IpAddr::V4(address) => gratuitous_arp(status.mac, address),
        IpAddr::V6(address) => advertisement(status.mac, address, status.is_router),
    };
    status.addresses.iter().take(MAX_OWN).map(of).collect()
}

/// Asks who has an address, from `mac`, which has none: by a probe of ARP (RFC 5227, 2.1.1), or
/// by a neighbor solicitation from its link-local address. One from no address would be taken
/// for a duplicate by a host that is just about to use the address.
pub(crate) fn question(mac: MacAddr, address: IpAddr) -> Frame {
    match address {
        IpAddr::V4(address) => {
            let mut data = [MacAddr::BROADCAST.0, mac.0].concat();
            // ARP; Ethernet and IPv4, lengths of their addresses, request (RFC 826).
            data.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
            data.extend(mac.0);
            data.extend([0; 10]);
            data.extend(address.octets());
            data.resize(MIN_FRAME_LEN, 0);
            Frame::new(Bytes::from(data))
        }
        IpAddr::V6(address) => solicitation(mac, address),
    }
}

/// Asks one station, from `mac`, whether it has an address still.
pub(crate) fn confirmation(to: MacAddr, mac: MacAddr, address: IpAddr) -> Frame {
    let mut data = question(mac, address).into_data().to_vec();
    data[..6].copy_from_slice(&to.0);
    Frame::new(Bytes::from(data))
}

fn solicitation(mac: MacAddr, address: Ipv6Addr) -> Frame {
    /// Type 135 (RFC 4861, 4.3).
    const TYPE: u8 = 135;
    /// Source link-layer address, in units of eight octets (RFC 4861, 4.6.1).
    const OPTION: [u8; 2] = [1, 1];
    let MacAddr([a, b, c, d, e, f]) = mac;
    // RFC 4291, appendix A.
    let source = Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    // The group of all who may have the address (RFC 4291, 2.7.1).
    let [.., x, y, z] = address.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
    let mut body = vec![TYPE, 0, 0, 0, 0, 0, 0, 0];
    body.extend(address.octets());
    body.extend(OPTION);
    body.extend(mac.0);
    let checksum = ipv6_checksum(&body, 1, &[], &source, &group, IpNextHeaderProtocols::Icmpv6);
    body[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut data = vec![0x33, 0x33, 0xff, x, y, z];
    data.extend(mac.0);
    data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    data.extend(source.octets());
    data.extend(group.octets());
    data.extend(body);
    Frame::new(Bytes::from(data))
}

fn gratuitous_arp(mac: MacAddr, address: Ipv4Addr) -> Frame {
    let mut data = [MacAddr::BROADCAST.0, mac.0].concat();
    // ARP; Ethernet and IPv4, lengths of their addresses, request (RFC 826).
    data.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    data.extend(mac.0);
    data.extend(address.octets());
    data.extend([0; 6]);
    data.extend(address.octets());
    data.resize(MIN_FRAME_LEN, 0);
    Frame::new(Bytes::from(data))
}

fn advertisement(mac: MacAddr, address: Ipv6Addr, is_router: bool) -> Frame {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let flags = OVERRIDE | if is_router { ROUTER } else { 0 };
    advertise((MacAddr([0x33, 0x33, 0, 0, 0, 1]), all_nodes), mac, address, flags)
}

/// Flags of a neighbor advertisement (RFC 4861, 4.4): its sender is a router, it was asked, and
/// what is cached is to be replaced.
pub(crate) const ROUTER: u8 = 0x80;
pub(crate) const SOLICITED: u8 = 0x40;
pub(crate) const OVERRIDE: u8 = 0x20;

/// A neighbor advertisement `to` a host or a group: that `mac` has `address`.
pub(crate) fn advertise(
    to: (MacAddr, Ipv6Addr),
    mac: MacAddr,
    address: Ipv6Addr,
    flags: u8,
) -> Frame {
    const TYPE: u8 = 136;
    /// Target link-layer address, in units of eight octets (RFC 4861, 4.6.1).
    const OPTION: [u8; 2] = [2, 1];
    let mut body = vec![TYPE, 0, 0, 0, flags, 0, 0, 0];
    body.extend(address.octets());
    body.extend(OPTION);
    body.extend(mac.0);
    let checksum = ipv6_checksum(&body, 1, &[], &address, &to.1, IpNextHeaderProtocols::Icmpv6);
    body[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut data = [to.0.0, mac.0].concat();
    // IPv6, and a hop limit of 255: from this link (RFC 4861, 7.1.2).
    data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    data.extend(address.octets());
    data.extend(to.1.octets());
    data.extend(body);
    Frame::new(Bytes::from(data))
}

fn frame(vid: Vid, mac: MacAddr, more: usize) -> Frame {
    let mut data = [MacAddr::BROADCAST.0, mac.0].concat();
    let mut len = MIN_FRAME_LEN + more;
    if vid != Vid::UNTAGGED {
        data.extend(Tag::customer(vid.get()).octets());
        len += TAG_LEN;
    }
    data.extend(RARP.to_be_bytes());
    data.extend(REQUEST_REVERSE);
    // Nobody's IP address is known: sender and target are the address itself and 0.
    for _ in 0..2 {
        data.extend(mac.0);
        data.extend([0; 4]);
    }
    data.resize(len, 0);
    Frame::new(Bytes::from(data))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn port(number: u32) -> PortNumber {
        PortNumber::new(number).expect("ports count from 1")
    }

    fn mac(number: u16) -> MacAddr {
        let [high, low] = number.to_be_bytes();
        MacAddr([2, 0, 0, 0, high, low])
    }

    #[test]
    fn an_announcement_is_a_reverse_arp_request_in_its_vlan() {
        let untagged = frame(Vid::UNTAGGED, mac(1), 0);
        let mut expected = vec![0xff; 6];
        expected.extend([2, 0, 0, 0, 0, 1, 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
        expected.extend([2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        expected.resize(60, 0);
        assert_eq!(untagged.data()[..], expected);

        let tagged = frame(Vid::from_tci(10), mac(1), 0);
        let header = tagged.header().expect("a header");
        assert_eq!((header.vid().get(), header.src(), header.ethertype()), (10, mac(1), 0x8035));
        assert_eq!(tagged.len(), 64);
        assert_eq!(tagged.data()[18..], untagged.data()[14..]);
    }

    #[test]
    fn a_host_announces_its_addresses_as_rfc_5227_and_rfc_4861_say() {
        let mut status = InterfaceStatus {
            name: "ewp0".to_owned(),
            carrier: crate::core::interface::Carrier::Up,
            mac: mac(1),
            addresses: vec![("192.0.2.1".parse().expect("an address"), 24)],
            mtu: 1500,
            is_router: false,
        };
        let frames = neighbours(&status);
        let mut arp = vec![0xff; 6];
        arp.extend([2, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend([2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]);
        arp.resize(60, 0);
        assert_eq!((frames.len(), frames[0].data()), (1, &arp[..]));

        status.addresses = vec![("fe80::1".parse().expect("an address"), 64); 40];
        let frames = neighbours(&status);
        assert_eq!(frames.len(), MAX_OWN);
        let packet = &frames[0].data()[14..];
        assert_eq!((frames[0].len(), packet[6], packet[7], packet[40]), (86, 58, 255, 136));
        let icmp = pnet_packet::icmpv6::Icmpv6Packet::new(&packet[40..]).expect("ICMPv6");
        let (from, to) = ("fe80::1".parse().expect("one"), "ff02::1".parse().expect("one"));
        assert_eq!(icmp.get_checksum(), pnet_packet::icmpv6::checksum(&icmp, &from, &to));
        assert_eq!((packet[44], &packet[64..]), (0x20, &[2, 1, 2, 0, 0, 0, 0, 1][..]));
        status.is_router = true;
        assert_eq!(neighbours(&status)[0].data()[58], 0xa0);
    }

    #[test]
    fn the_latest_addresses_of_other_ports_are_announced_and_no_more_than_a_bound() {
        let (start, aging) = (Instant::now(), Duration::from_secs(1000));
        let mut fdb = Fdb::new(aging, 10_000);
        for number in 0..1000 {
            let seen = start + Duration::from_secs(number.into());
            fdb.learn(Vid::UNTAGGED, mac(number), port(1 + u32::from(number % 2)), seen);
        }
        let sources = |fdb: &Fdb, number, after| {
            let wanted = |other| other != port(number);
            let frames = frames(fdb, wanted, 1, start + Duration::from_secs(after));
            let source = |frame: &Frame| frame.header().expect("a header").src();
            frames.iter().map(source).collect::<Vec<_>>()
        };
        let expected: Vec<_> = (0..256).map(|back| mac(999 - 2 * back)).collect();
        assert_eq!(sources(&fdb, 1, 999), expected);
        assert_eq!(sources(&fdb, 1, 1998), [mac(999)], "what has aged is not there any more");
        fdb.flush_port(port(2));
        assert!(sources(&fdb, 1, 999).is_empty());
    }
}

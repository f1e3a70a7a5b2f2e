//! The slow reference: groups by whole headers in which what may differ is set to
//! zero, parsed and verified by pnet_packet.

use pnet_packet::{
    ethernet::EthernetPacket,
    ipv4::{self, Ipv4Packet, MutableIpv4Packet},
    ipv6::{Ipv6Packet, MutableIpv6Packet},
    tcp::{self, MutableTcpPacket, TcpPacket},
    udp::{self, MutableUdpPacket, UdpPacket},
};

use super::{ACK, CWR, FIN, PSH};

/// What a frame is to the reference.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The headers without what may differ.
    headers: Vec<u8>,
    pub(super) is_intact: bool,
    is_tcp: bool,
    pub(super) id: Option<u16>,
    dont_fragment: bool,
    sequence: u32,
    flags: u8,
    len: usize,
    octets: usize,
}

/// `None`: to be left alone.
pub(super) fn see(frame: &[u8]) -> Option<Seen> {
    let ethertype = EthernetPacket::new(frame)?.get_ethertype().0;
    let (ethertype, at) = match ethertype {
        0x8100 => (u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]), 18),
        other => (other, 14),
    };
    let mut packet = frame[at..].to_vec();
    let octets = frame.len();
    let mut seen = match ethertype {
        0x0800 => {
            let ip = Ipv4Packet::new(&packet)?;
            let is_plain = (ip.get_version(), ip.get_header_length()) == (4, 5)
                && usize::from(ip.get_total_length()) == packet.len()
                && ip.get_fragment_offset() == 0
                && [0, 2].contains(&ip.get_flags());
            if !is_plain {
                return None;
            }
            let checksum = ip.get_checksum();
            let (from, to) = (ip.get_source(), ip.get_destination());
            let protocol = ip.get_next_level_protocol();
            let (id, flags) = (ip.get_identification(), ip.get_flags());
            let ip_is_intact = ipv4::checksum(&ip) == checksum;
            let seen = see_transport(
                &mut packet[20..],
                protocol.0,
                |tcp| tcp::ipv4_checksum(tcp, &from, &to),
                |udp| udp::ipv4_checksum(udp, &from, &to),
            )?;
            let mut ip = MutableIpv4Packet::new(&mut packet)?;
            ip.set_total_length(0);
            ip.set_identification(0);
            ip.set_checksum(0);
            let is_intact = seen.is_intact && ip_is_intact;
            Seen { id: Some(id), dont_fragment: flags == 2, is_intact, ..seen }
        }
        0x86dd => {
            let ip = Ipv6Packet::new(&packet)?;
            if ip.get_version() != 6 || usize::from(ip.get_payload_length()) + 40 != packet.len() {
                return None;
            }
            let (from, to, protocol) =
                (ip.get_source(), ip.get_destination(), ip.get_next_header());
            let seen = see_transport(
                &mut packet[40..],
                protocol.0,
                |tcp| tcp::ipv6_checksum(tcp, &from, &to),
                |udp| udp::ipv6_checksum(udp, &from, &to),
            )?;
            MutableIpv6Packet::new(&mut packet)?.set_payload_length(0);
            seen
        }
        _ => return None,
    };
    seen.headers = [&frame[..at], &packet[..packet.len() - seen.len]].concat();
    Some(Seen { octets, ..seen })
}

fn see_transport(
    data: &mut [u8],
    protocol: u8,
    tcp_checksum: impl FnOnce(&TcpPacket<'_>) -> u16,
    udp_checksum: impl FnOnce(&UdpPacket<'_>) -> u16,
) -> Option<Seen> {
    let octets = data.len();
    let mut seen = Seen { is_tcp: protocol == 6, ..Seen::default() };
    if protocol == 6 {
        let mut tcp = MutableTcpPacket::new(data)?;
        let header = usize::from(tcp.get_data_offset()) * 4;
        seen.flags = tcp.get_flags();
        if header < 20 || header >= octets || seen.flags & !(CWR | 0x40 | ACK | PSH | FIN) != 0 {
            return None;
        }
        seen.len = octets - header;
        seen.sequence = tcp.get_sequence();
        seen.is_intact = tcp_checksum(&tcp.to_immutable()) == tcp.get_checksum();
        tcp.set_sequence(0);
        tcp.set_checksum(0);
        tcp.set_flags(seen.flags & !(CWR | PSH | FIN));
    } else if protocol == 17 {
        let mut udp = MutableUdpPacket::new(data)?;
        if usize::from(udp.get_length()) != octets || octets == 8 {
            return None;
        }
        seen.len = octets - 8;
        let checksum = udp_checksum(&udp.to_immutable());
        let checksum = if checksum == 0 { 0xffff } else { checksum };
        seen.is_intact = checksum == udp.get_checksum();
        udp.set_length(0);
        udp.set_checksum(0);
    } else {
        return None;
    }
    Some(seen)
}

/// How many frames each group is to have.
pub(super) fn reference(frames: &[Vec<u8>]) -> Vec<usize> {
    let seen: Vec<_> = frames.iter().map(|frame| see(frame)).collect();
    let mut groups = Vec::new();
    let mut at = 0;
    while at < seen.len() {
        let mut end = at + 1;
        while end < seen.len() && may_be_one(&seen[at..=end]) {
            end += 1;
        }
        groups.push(end - at);
        at = end;
    }
    groups
}

fn may_be_one(frames: &[Option<Seen>]) -> bool {
    let Some(frames) = frames.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let (first, rest) = frames.split_first().expect("two frames");
    let (last, others) = frames.split_last().expect("two frames");
    let payload: usize = rest.iter().map(|frame| frame.len).sum();
    let pairs = || frames.iter().zip(rest);
    let ids = |step| {
        pairs().all(|(a, b)| match (a.id, b.id) {
            (Some(a), Some(b)) => b == a.wrapping_add(step),
            _ => true,
        })
    };
    frames.len() <= 64
        && first.octets + payload <= 65_535
        && frames.iter().all(|frame| frame.is_intact && frame.headers == first.headers)
        && others.iter().all(|frame| frame.len == first.len && frame.flags & (PSH | FIN) == 0)
        && last.len <= first.len
        && rest.iter().all(|frame| frame.flags & CWR == 0)
        && (ids(1) || first.dont_fragment && ids(0))
        && pairs().all(|(a, b)| {
            !a.is_tcp || b.sequence == a.sequence.wrapping_add(u32::try_from(a.len).unwrap())
        })
}

//! Packets that a test describes and pnet_packet builds.

use std::net::{Ipv4Addr, Ipv6Addr};

use pnet_packet::{
    Packet as _,
    ip::IpNextHeaderProtocols,
    ipv4::{self, MutableIpv4Packet},
    ipv6::MutableIpv6Packet,
    tcp::{self, MutableTcpPacket},
    udp::{self, MutableUdpPacket},
};

use super::ACK;

/// What to build a frame of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packet {
    pub(super) mac: u8,
    pub(super) tag: Option<u16>,
    pub(super) is_ipv4: bool,
    pub(super) traffic_class: u8,
    pub(super) ttl: u8,
    pub(super) id: u16,
    /// IPv4 flags and fragment offset.
    pub(super) fragment: u16,
    pub(super) host: u8,
    pub(super) is_tcp: bool,
    pub(super) port: u16,
    pub(super) sequence: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) urgent: u16,
    /// TCP options, in words.
    pub(super) options: Vec<u32>,
    pub(super) payload: Vec<u8>,
}

/// TCP over IPv4 without a tag, at the edge of each counter that wraps.
pub(super) fn packet(len: usize) -> Packet {
    Packet {
        mac: 1,
        tag: None,
        is_ipv4: true,
        traffic_class: 0,
        ttl: 64,
        id: 0xfffe,
        fragment: 0x4000,
        host: 1,
        is_tcp: true,
        port: 5201,
        sequence: 0xffff_ff00,
        ack: 7,
        flags: ACK,
        window: 500,
        urgent: 0,
        options: vec![0x0101_080a, 17, 18],
        payload: (0..len).map(|at| at.to_le_bytes()[0]).collect(),
    }
}

impl Packet {
    pub(super) fn ip(&self) -> usize {
        if self.tag.is_some() { 18 } else { 14 }
    }

    fn addresses_v4(&self) -> (Ipv4Addr, Ipv4Addr) {
        (Ipv4Addr::new(192, 0, 2, self.host), Ipv4Addr::new(198, 51, 100, 2))
    }

    fn addresses_v6(&self) -> (Ipv6Addr, Ipv6Addr) {
        let source = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, self.host.into());
        (source, "2001:db8::2".parse().expect("an address"))
    }

    /// With right checksums.
    pub(super) fn octets(&self) -> Vec<u8> {
        let mut data = vec![0x02; 11];
        data.push(self.mac);
        if let Some(tci) = self.tag {
            data.extend([0x81, 0x00]);
            data.extend(tci.to_be_bytes());
        }
        data.extend(if self.is_ipv4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        let transport = if self.is_tcp { self.tcp() } else { self.udp() };
        let len = u16::try_from(transport.len()).expect("a packet");
        let protocol =
            if self.is_tcp { IpNextHeaderProtocols::Tcp } else { IpNextHeaderProtocols::Udp };
        if self.is_ipv4 {
            let mut ip = MutableIpv4Packet::owned(vec![0; 20]).expect("a header");
            ip.set_version(4);
            ip.set_header_length(5);
            ip.set_dscp(self.traffic_class >> 2);
            ip.set_ecn(self.traffic_class & 3);
            ip.set_total_length(20 + len);
            ip.set_identification(self.id);
            ip.set_flags(u8::try_from(self.fragment >> 13).expect("3 bits"));
            ip.set_fragment_offset(self.fragment & 0x1fff);
            ip.set_ttl(self.ttl);
            ip.set_next_level_protocol(protocol);
            ip.set_source(self.addresses_v4().0);
            ip.set_destination(self.addresses_v4().1);
            ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
            data.extend(ip.packet());
        } else {
            let mut ip = MutableIpv6Packet::owned(vec![0; 40]).expect("a header");
            ip.set_version(6);
            ip.set_traffic_class(self.traffic_class);
            ip.set_flow_label(0xabcde);
            ip.set_payload_length(len);
            ip.set_hop_limit(self.ttl);
            ip.set_next_header(protocol);
            ip.set_source(self.addresses_v6().0);
            ip.set_destination(self.addresses_v6().1);
            data.extend(ip.packet());
        }
        data.extend(transport);
        data
    }

    fn tcp(&self) -> Vec<u8> {
        let mut data = vec![0; 20];
        data.extend(self.options.iter().flat_map(|word| word.to_be_bytes()));
        let words = u8::try_from(data.len() / 4).expect("a header");
        data.extend(&self.payload);
        let mut tcp = MutableTcpPacket::new(&mut data).expect("a header");
        tcp.set_source(self.port);
        tcp.set_destination(40_000);
        tcp.set_sequence(self.sequence);
        tcp.set_acknowledgement(self.ack);
        tcp.set_data_offset(words);
        tcp.set_flags(self.flags);
        tcp.set_window(self.window);
        tcp.set_urgent_ptr(self.urgent);
        let checksum = if self.is_ipv4 {
            let (from, to) = self.addresses_v4();
            tcp::ipv4_checksum(&tcp.to_immutable(), &from, &to)
        } else {
            let (from, to) = self.addresses_v6();
            tcp::ipv6_checksum(&tcp.to_immutable(), &from, &to)
        };
        tcp.set_checksum(checksum);
        data
    }

    fn udp(&self) -> Vec<u8> {
        let mut data = vec![0; 8];
        data.extend(&self.payload);
        let len = u16::try_from(data.len()).expect("a datagram");
        let mut udp = MutableUdpPacket::new(&mut data).expect("a header");
        udp.set_source(self.port);
        udp.set_destination(40_000);
        udp.set_length(len);
        let checksum = if self.is_ipv4 {
            let (from, to) = self.addresses_v4();
            udp::ipv4_checksum(&udp.to_immutable(), &from, &to)
        } else {
            let (from, to) = self.addresses_v6();
            udp::ipv6_checksum(&udp.to_immutable(), &from, &to)
        };
        udp.set_checksum(if checksum == 0 { 0xffff } else { checksum });
        data
    }

    /// The next segment of the same flow.
    pub(super) fn next(&self) -> Self {
        let len = u32::try_from(self.payload.len()).expect("a payload");
        Self {
            id: self.id.wrapping_add(1),
            sequence: self.sequence.wrapping_add(len),
            ..self.clone()
        }
    }
}

//! Views behind the Ethernet header: IPv4 with options, IPv6 with extension headers, and
//! TCP, ARP and neighbor discovery where `pnet_packet` does not look at lengths. Each frame
//! that is queued is looked at here: IP is read by place, in half the instructions.

use std::net::IpAddr;

use pnet_packet::{
    arp::{ArpHardwareTypes, ArpPacket},
    ethernet::EtherTypes,
    icmpv6::ndp::NdpOptionType,
    ip::{IpNextHeaderProtocol, IpNextHeaderProtocols},
    ipv4::Ipv4Packet,
    ipv6::Ipv6Packet,
    tcp::TcpPacket,
};

use super::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, get};

/// Octets of an IPv4 header without options (RFC 791, 3.1).
pub(crate) const IPV4_LEN: usize = 20;

/// Octets of an IPv6 header without extension headers (RFC 8200, 3).
pub(crate) const IPV6_LEN: usize = 40;

/// Octets of the header of an IPv6 fragment (RFC 8200, 4.5).
const FRAGMENT_LEN: usize = 8;

/// Octets of a TCP header without options (RFC 9293, 3.1).
const TCP_LEN: usize = 20;

/// Octets of a UDP header (RFC 768).
pub(crate) const UDP_LEN: usize = 8;

/// Most extension headers looked behind: of those that are, a packet has three at most
/// (RFC 8200, 4.1).
const MAX_EXTENSIONS: usize = 4;

/// Checked view of an IP header with its options or extension headers.
#[derive(Debug, Clone, Copy)]
pub struct Ip<'a> {
    octets: &'a [u8],
    is_ipv4: bool,
    protocol: Option<IpNextHeaderProtocol>,
    header_len: usize,
    len: usize,
}

impl<'a> Ip<'a> {
    /// The packet that `octets` begin with, announced by this EtherType, if its headers are
    /// there.
    #[inline(always)]
    pub(crate) fn new_checked(ethertype: u16, octets: &'a [u8]) -> Option<Self> {
        match ethertype {
            ETHERTYPE_IPV4 => Self::v4(octets),
            ETHERTYPE_IPV6 => Self::v6(octets),
            _ => None,
        }
    }

    #[inline(always)]
    fn v4(octets: &'a [u8]) -> Option<Self> {
        let head: &[u8; IPV4_LEN] = octets.first_chunk()?;
        let header_len = usize::from(head[0] & 0x0f) * 4;
        // More fragments, or an offset.
        let is_fragment = get(head, 6) & 0x3fff != 0;
        let fits = head[0] >> 4 == 4 && (IPV4_LEN..=octets.len()).contains(&header_len);
        fits.then(|| Self {
            octets,
            is_ipv4: true,
            protocol: (!is_fragment).then_some(IpNextHeaderProtocol(head[9])),
            header_len,
            len: get(head, 2).into(),
        })
    }

    /// Looks behind options for each hop and for the destination. A routing header hides
    /// the address that checksums are made with, and a fragment may begin anywhere.
    #[inline(always)]
    fn v6(octets: &'a [u8]) -> Option<Self> {
        let head: &[u8; IPV6_LEN] = octets.first_chunk()?;
        let (mut protocol, mut header_len) = (IpNextHeaderProtocol(head[6]), IPV6_LEN);
        let mut extensions = 0;
        while matches!(protocol, IpNextHeaderProtocols::Hopopt | IpNextHeaderProtocols::Ipv6Opts)
            && extensions < MAX_EXTENSIONS
        {
            let [next, units] = *octets.get(header_len..)?.first_chunk()?;
            protocol = IpNextHeaderProtocol(next);
            header_len += (usize::from(units) + 1) * 8;
            extensions += 1;
        }
        let is_fragment = protocol == IpNextHeaderProtocols::Ipv6Frag;
        (head[0] >> 4 == 6 && header_len <= octets.len()).then(|| Self {
            octets,
            is_ipv4: false,
            protocol: (!is_fragment).then_some(protocol),
            header_len,
            len: IPV6_LEN + usize::from(get(head, 4)),
        })
    }

    /// Whether it is version 4, and not 6.
    #[inline]
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.is_ipv4
    }

    /// What it carries behind options and extension headers; `None` in a fragment.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> Option<IpNextHeaderProtocol> {
        self.protocol
    }

    /// Octets before the payload: the header, with options or extension headers.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    /// Length of the packet as its header tells it, which may be more octets than are
    /// there.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> usize {
        self.len
    }

    /// Both addresses, source first: 8 or 32 octets.
    #[inline]
    #[must_use]
    pub fn addresses(&self) -> &'a [u8] {
        if self.is_ipv4 { &self.octets[12..IPV4_LEN] } else { &self.octets[8..IPV6_LEN] }
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        if self.is_ipv4 {
            Ipv4Packet::new(self.octets).map(|ip| ip.get_source().into())
        } else {
            Ipv6Packet::new(self.octets).map(|ip| ip.get_source().into())
        }
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> Option<IpAddr> {
        if self.is_ipv4 {
            Ipv4Packet::new(self.octets).map(|ip| ip.get_destination().into())
        } else {
            Ipv6Packet::new(self.octets).map(|ip| ip.get_destination().into())
        }
    }

    /// The ports that it is from and to, if it carries what [has](has_ports) them, and they are
    /// here.
    #[must_use]
    pub fn ports(&self) -> Option<[u16; 2]> {
        let (protocol, payload) = self.carried();
        let ports: &[u8; 4] = payload.first_chunk().filter(|_| has_ports(protocol))?;
        Some([get(ports, 0), get(ports, 2)])
    }

    /// Time to live, or hop limit.
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.octets[if self.is_ipv4 { 8 } else { 7 }]
    }

    /// The protocol of what it carries, of which it may be a fragment, and what of that is here:
    /// nothing in a fragment that is not the first.
    #[must_use]
    pub fn carried(&self) -> (IpNextHeaderProtocol, &'a [u8]) {
        let payload = self.payload();
        match (self.protocol, payload.split_first_chunk::<FRAGMENT_LEN>()) {
            (Some(protocol), _) => (protocol, payload),
            (None, _) if self.is_ipv4 => {
                let is_first = get(self.octets, 6) & 0x1fff == 0;
                (IpNextHeaderProtocol(self.octets[9]), if is_first { payload } else { &[] })
            }
            (None, Some((fragment, rest))) => {
                let is_first = get(fragment, 2) & 0xfff8 == 0;
                (IpNextHeaderProtocol(fragment[0]), if is_first { rest } else { &[] })
            }
            (None, None) => (IpNextHeaderProtocols::Ipv6Frag, &[]),
        }
    }

    /// What of the payload is there. Octets behind the packet are padding, and no part of
    /// it.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.octets.get(self.header_len..self.len.min(self.octets.len())).unwrap_or_default()
    }
}

/// Whether ports stand first in what this protocol sends.
#[must_use]
pub const fn has_ports(protocol: IpNextHeaderProtocol) -> bool {
    matches!(
        protocol,
        IpNextHeaderProtocols::Tcp | IpNextHeaderProtocols::Udp | IpNextHeaderProtocols::Sctp
    )
}

/// The TCP segment that `octets` begin with, if its header with options is there.
#[must_use]
pub fn tcp(octets: &[u8]) -> Option<TcpPacket<'_>> {
    tcp_header_len(octets)?;
    TcpPacket::new(octets)
}

/// Octets of the TCP header with options that `octets` begin with, if it is there.
#[inline]
pub(crate) fn tcp_header_len(octets: &[u8]) -> Option<usize> {
    let head: &[u8; TCP_LEN] = octets.first_chunk()?;
    let len = usize::from(head[12] >> 4) * 4;
    (TCP_LEN..=octets.len()).contains(&len).then_some(len)
}

/// The ARP packet that `octets` begin with, if it is of Ethernet and IPv4, which give it
/// its form (RFC 826).
#[must_use]
pub fn arp(octets: &[u8]) -> Option<ArpPacket<'_>> {
    ArpPacket::new(octets).filter(|arp| {
        arp.get_hardware_type() == ArpHardwareTypes::Ethernet
            && arp.get_protocol_type() == EtherTypes::Ipv4
            && (arp.get_hw_addr_len(), arp.get_proto_addr_len()) == (6, 4)
    })
}

/// Kind and octets of each option of a neighbor discovery message, type and length
/// included; `None` for what is not one, and then no more: the whole message is to be
/// discarded (RFC 4861, 4.6). `pnet_packet`'s own overflows at options of 256 octets.
pub fn nd_options(mut options: &[u8]) -> impl Iterator<Item = Option<(NdpOptionType, &[u8])>> {
    std::iter::from_fn(move || {
        let [kind, units, ..] = *options else { return None };
        let split = options.split_at_checked(usize::from(units) * 8).filter(|_| units > 0);
        options = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(option, _)| (NdpOptionType(kind), option)))
    })
}

//! What a frame says about a host: ARP, neighbor discovery and DHCP, from copies of frames
//! and off their path. Pure. All octets are untrusted, lengths too; a frame that says
//! nothing, or speaks for another host, is `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherws_actors::{
    frame::{MacAddr, Vid},
    packet::{self, ETHERTYPE_ARP, Ethernet, Ip, IpNextHeaderProtocols, UdpPacket, nd_options},
};
use pnet_packet::{
    Packet,
    arp::ArpOperations,
    dhcp::{DhcpOperations, DhcpPacket},
    icmpv6::{
        Icmpv6Packet, Icmpv6Types,
        ndp::{NdpOptionType, NdpOptionTypes, NeighborAdvertPacket, NeighborSolicitPacket},
    },
};

use super::name;

/// What neighbor discovery must come with: no router has passed it on (RFC 4861, 6.1).
const ND_HOP_LIMIT: u8 = 255;

/// Octets before the options of router solicitation and advertisement, and of neighbor
/// solicitation and advertisement (RFC 4861, 4.1 to 4.4).
const RS_LEN: usize = 8;
const RA_LEN: usize = 16;
const NEIGHBOR_LEN: usize = 24;

/// Options of DHCP (RFC 2132; 81: RFC 4702).
const OPTION_HOST_NAME: u8 = 12;
const OPTION_MESSAGE_TYPE: u8 = 53;
const OPTION_FQDN: u8 = 81;

/// DHCP messages (RFC 2132, 9.6).
const DHCP_REQUEST: u8 = 3;
const DHCP_ACK: u8 = 5;

/// Option of DHCPv6 with the client's name (RFC 4704, 4).
const OPTION_CLIENT_FQDN: u16 = 39;

/// Messages of DHCPv6 that a client sends itself, 1 to 11 without those of servers
/// (RFC 8415, 7.3): solicit, request, confirm, renew, rebind, release, decline,
/// information-request.
const DHCPV6_OF_CLIENTS: [u8; 8] = [1, 3, 4, 5, 6, 8, 9, 11];

/// What a frame says about one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// VLAN of the host, as the forwarding database has it.
    pub(crate) vid: Vid,
    /// The host.
    pub(crate) mac: MacAddr,
    /// An address that it has.
    pub(crate) address: Option<IpAddr>,
    /// Its name.
    pub(crate) name: Option<Box<str>>,
    /// Whether the host says so itself, and so is behind the frame's port. What a server
    /// says only adds to a known host.
    pub(crate) own: bool,
}

impl Claim {
    /// What `frame` says about a host, if anything.
    ///
    /// A station may only speak for itself: an ARP or ND message for another MAC address
    /// than the frame's source is ignored, and so is a client of DHCP. The one that may
    /// speak for others is a DHCP server.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let header = Ethernet::new_checked(frame)?;
        if header.src().is_multicast() {
            return None;
        }
        let claim = if header.ethertype() == ETHERTYPE_ARP {
            arp(header.src(), header.payload())?
        } else {
            ip(header.src(), header.ip()?)?
        };
        let said = claim.address.is_some() || claim.name.is_some();
        said.then_some(Self { vid: header.vid(), ..claim })
    }

    /// That `mac` says of itself that it has `address`; nothing if no station can.
    fn own_address(mac: MacAddr, address: impl Into<IpAddr>) -> Self {
        let address = Some(address.into()).filter(|address| is_of_one_station(*address));
        Self { vid: Vid::UNTAGGED, mac, address, name: None, own: true }
    }
}

fn is_of_one_station(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}

/// The sender of a request, reply or announcement. A probe has no sender's address
/// (RFC 5227, 2.1.1) and claims nothing.
fn arp(src: MacAddr, payload: &[u8]) -> Option<Claim> {
    let arp = packet::arp(payload)?;
    let spoken = [ArpOperations::Request, ArpOperations::Reply].contains(&arp.get_operation());
    let own = arp.get_sender_hw_addr().octets() == src.0;
    (spoken && own).then(|| Claim::own_address(src, arp.get_sender_proto_addr()))
}

/// No message of DHCP is so long that it comes in fragments.
fn ip(src: MacAddr, ip: Ip<'_>) -> Option<Claim> {
    match (ip.protocol()?, ip.source()?) {
        (IpNextHeaderProtocols::Icmpv6, IpAddr::V6(source)) if ip.hop_limit() == ND_HOP_LIMIT => {
            neighbor_discovery(src, source, ip.payload())
        }
        (IpNextHeaderProtocols::Udp, source) => {
            let udp = UdpPacket::new(ip.payload())?;
            match (source.is_ipv4(), udp.get_source(), udp.get_destination()) {
                (true, packet::dhcp::CLIENT, packet::dhcp::SERVER) => {
                    dhcp(src, udp.payload(), DhcpOperations::Request.0)
                }
                (true, packet::dhcp::SERVER, packet::dhcp::CLIENT) => {
                    dhcp(src, udp.payload(), DhcpOperations::Reply.0)
                }
                (false, packet::dhcp::CLIENT6, packet::dhcp::SERVER6) => dhcpv6(src, udp.payload()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Solicitations and router advertisements come from their sender's address, or from
/// none while that is being looked for (DAD, RFC 4862, 5.4): no claim. A neighbor
/// advertisement is for its target, also where it defends it against another's DAD.
fn neighbor_discovery(src: MacAddr, source: Ipv6Addr, message: &[u8]) -> Option<Claim> {
    let (address, options, link_layer) = match Icmpv6Packet::new(message)?.get_icmpv6_type() {
        Icmpv6Types::RouterSolicit => (source, RS_LEN, NdpOptionTypes::SourceLLAddr),
        Icmpv6Types::RouterAdvert => (source, RA_LEN, NdpOptionTypes::SourceLLAddr),
        Icmpv6Types::NeighborSolicit => {
            NeighborSolicitPacket::new(message)?;
            (source, NEIGHBOR_LEN, NdpOptionTypes::SourceLLAddr)
        }
        Icmpv6Types::NeighborAdvert => {
            let target = NeighborAdvertPacket::new(message)?.get_target_addr();
            (target, NEIGHBOR_LEN, NdpOptionTypes::TargetLLAddr)
        }
        _ => return None,
    };
    let own = is_own(src, link_layer, message.get(options..)?);
    own.then(|| Claim::own_address(src, address))
}

/// Whether no option names another link-layer address than `src`; it may be left out.
fn is_own(src: MacAddr, link_layer: NdpOptionType, options: &[u8]) -> bool {
    nd_options(options).all(|option| {
        option.is_some_and(|(kind, option)| kind != link_layer || option[2..8] == src.0)
    })
}

/// A client's message tells its name, and its address once it has one; what it asks for
/// is no claim. A server's acknowledgement tells the address that it gives.
fn dhcp(src: MacAddr, message: &[u8], operation: u8) -> Option<Claim> {
    let dhcp = DhcpPacket::new(message)?;
    if dhcp.get_op().0 != operation || dhcp.get_htype().0 != 1 || dhcp.get_hlen() != 6 {
        return None;
    }
    let (mut kind, mut host, mut fqdn) = (0, None, None);
    for (option, value) in packet::dhcp::options(dhcp.payload()) {
        match option {
            OPTION_MESSAGE_TYPE => kind = *value.first()?,
            OPTION_HOST_NAME => host = name::from_text(value),
            OPTION_FQDN => fqdn = dhcp_fqdn(value),
            _ => {}
        }
    }
    let mac = MacAddr(dhcp.get_chaddr().octets());
    let own = operation == DhcpOperations::Request.0;
    if own && mac != src || mac.is_multicast() {
        return None;
    }
    let address = match kind {
        DHCP_REQUEST if own => dhcp.get_ciaddr(),
        DHCP_ACK if !own => dhcp.get_yiaddr(),
        // A server's word on a name only counts with a lease.
        _ if !own => return None,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    // The fully qualified name wins (RFC 4702, 3.1).
    Some(Claim { name: fqdn.or(host), own, ..Claim::own_address(mac, address) })
}

/// The name behind flags and two result codes, in DNS's form if the flag E says so
/// (RFC 4702, 2.1).
fn dhcp_fqdn(value: &[u8]) -> Option<Box<str>> {
    const FLAG_E: u8 = 4;
    let [flags, _, _, name @ ..] = value else { return None };
    if flags & FLAG_E != 0 { name::from_labels(name) } else { name::from_text(name) }
}

fn dhcpv6(src: MacAddr, message: &[u8]) -> Option<Claim> {
    let (head, options) = message.split_first_chunk::<4>()?;
    if !DHCPV6_OF_CLIENTS.contains(&head[0]) {
        return None;
    }
    let mut options = packet::dhcp::options6(options);
    let (_, value) = options.find(|(code, _)| *code == OPTION_CLIENT_FQDN)?;
    let name = name::from_labels(value.get(1..)?);
    Some(Claim { name, ..Claim::own_address(src, Ipv6Addr::UNSPECIFIED) })
}

/// Panics unless what `frame` claims, if anything, can be shown and kept.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(frame: &[u8]) -> Option<Claim> {
    let claim = Claim::read(frame)?;
    assert!(claim.address.is_some() || claim.name.is_some());
    assert!(!claim.mac.is_multicast());
    assert!(claim.address.is_none_or(is_of_one_station));
    let fits = |octet: u8| octet.is_ascii_graphic();
    assert!(claim.name.as_ref().is_none_or(|name| name.len() <= 64 && name.bytes().all(fits)));
    Some(claim)
}

#[cfg(test)]
mod tests;

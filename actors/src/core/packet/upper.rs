//! What a host finds behind all headers of an IP packet, for who must not be deceived by them:
//! every chain that a host walks is walked here, and what cannot be walked is said to be so.
//!
//! [`Ip`](super::Ip) reads what well-meaning hosts send; guards read this (RFC 7113, 3).

use super::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, IPV4_LEN, IPV6_LEN,
    IpNextHeaderProtocol, get, is_tpid,
};

/// Most headers looked behind, the smallest of 8 octets: no host sends a tenth, and it bounds what
/// a packet of 64 KiB costs.
const MAX_HEADERS: usize = 64;

/// From here on numbers are not assigned, or for experiments (IANA, protocol numbers): another
/// header could be behind (RFC 7113, 3).
const UNASSIGNED: u8 = 147;

const NO_NEXT_HEADER: u8 = 59;

/// What an Ethernet frame carries, as far as a guard cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried<'a> {
    /// No IP, or a fragment that does not begin its packet: what that is the first one says, and
    /// without that no host assembles it.
    Other,
    /// The upper layer of an IP packet.
    Upper(Upper<'a>),
    /// IP that is not to be read to its end, or is where no host has it.
    Unreadable,
}

/// An upper layer that begins in this packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upper<'a> {
    /// Whether it is carried by IPv4, and not by IPv6.
    pub(crate) is_ipv4: bool,
    pub(crate) protocol: IpNextHeaderProtocol,
    /// What of it is there; not empty, but where a packet says that it has none.
    pub(crate) octets: &'a [u8],
    /// Whether there is a fragment header, or, of IPv4, more fragments.
    pub(crate) is_fragment: bool,
}

impl Upper<'_> {
    /// The UDP ports that it begins with, source and destination.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        let ports: &[u8; 4] = self.octets.first_chunk()?;
        Some((get(ports, 0), get(ports, 2)))
    }
}

impl<'a> Ethernet<'a> {
    /// What it carries.
    pub(crate) fn carried(self) -> Carried<'a> {
        let read = match self.ethertype() {
            ETHERTYPE_IPV4 => v4(self.payload()),
            ETHERTYPE_IPV6 => v6(self.payload()),
            // Tags behind those that are looked at: a host takes any number of VLAN 0.
            ethertype if is_tpid(ethertype) => None,
            length if length < 0x600 && is_ip_in_snap(self.payload()) => None,
            _ => Some(Carried::Other),
        };
        read.unwrap_or(Carried::Unreadable)
    }
}

/// Whether an LLC frame has an EtherType that is read here (RFC 1042): an access point makes an
/// Ethernet frame of it, and no station on Ethernet sends it (RFC 894).
fn is_ip_in_snap(payload: &[u8]) -> bool {
    matches!(*payload, [0xaa, 0xaa, 3, _, _, _, high, low, ..] if {
        let ethertype = u16::from_be_bytes([high, low]);
        matches!(ethertype, ETHERTYPE_ARP | ETHERTYPE_IPV4 | ETHERTYPE_IPV6) || is_tpid(ethertype)
    })
}

/// `None`: unreadable.
fn v4(octets: &[u8]) -> Option<Carried<'_>> {
    let head: &[u8; IPV4_LEN] = octets.first_chunk().filter(|head| head[0] >> 4 == 4)?;
    let header_len = usize::from(head[0] & 0x0f) * 4;
    let packet = octets.get(header_len.max(IPV4_LEN)..end(get(head, 2).into(), octets))?;
    let place = get(head, 6);
    if place & 0x1fff != 0 {
        return Some(Carried::Other);
    }
    let protocol = IpNextHeaderProtocol(head[9]);
    let is_fragment = place & 0x2000 != 0;
    Some(Carried::Upper(Upper { is_ipv4: true, protocol, octets: packet, is_fragment }))
}

/// Where a packet of this length ends in `octets`; one without a length is a super-frame.
fn end(len: usize, octets: &[u8]) -> usize {
    if len == 0 { octets.len() } else { len.min(octets.len()) }
}

/// `None`: unreadable.
fn v6(octets: &[u8]) -> Option<Carried<'_>> {
    let head: &[u8; IPV6_LEN] = octets.first_chunk().filter(|head| head[0] >> 4 == 6)?;
    let len = usize::from(get(head, 4));
    let packet = if len == 0 { octets } else { &octets[..end(IPV6_LEN + len, octets)] };
    let (mut next, mut at) = (head[6], IPV6_LEN);
    // Whether there is a fragment header, and whether a part of the packet is elsewhere.
    let (mut is_fragment, mut is_split) = (false, false);
    for _ in 0..MAX_HEADERS {
        let octets = packet.get(at..)?;
        let size = match next {
            // Options, routing, mobility, HIP and Shim6 count units of 8 octets (RFC 6564).
            0 | 43 | 60 | 135 | 139 | 140 => (usize::from(*octets.get(1)?) + 1) * 8,
            // Authentication counts words (RFC 4302, 2.2).
            51 => (usize::from(*octets.get(1)?) + 2) * 4,
            // A second fragment header is nobody's.
            44 if !is_fragment => {
                let place = get(octets.first_chunk::<8>()?, 2);
                if place & 0xfff8 != 0 {
                    return Some(Carried::Other);
                }
                is_fragment = true;
                is_split = place & 1 != 0;
                next = octets[0];
                at += 8;
                continue;
            }
            44 | UNASSIGNED.. => return None,
            _ if octets.is_empty() && next != NO_NEXT_HEADER => return None,
            protocol => {
                let protocol = IpNextHeaderProtocol(protocol);
                return Some(Carried::Upper(Upper {
                    is_ipv4: false,
                    protocol,
                    octets,
                    is_fragment,
                }));
            }
        };
        // Another fragment could be laid over the upper layer behind it (RFC 5722).
        if is_split {
            return None;
        }
        next = octets[0];
        at += size;
    }
    None
}

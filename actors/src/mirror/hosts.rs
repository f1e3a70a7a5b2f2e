//! Which frames may tell who is on the LAN: ARP, neighbor discovery, and DHCP for both
//! versions of IP. Asked of each frame that comes in: for nearly all of them the answer
//! is no after two comparisons. Looks at no more than tags, addresses' headers and ports;
//! whether there is anything to be learned is for whoever reads the copies.

use super::{Direction, Filter};
use crate::core::{
    frame::{Frame, Gso},
    packet::{ETHERTYPE_ARP, IpNextHeaderProtocols, UdpPacket},
};

/// Of solicitations and advertisements of routers and neighbors (RFC 4861, 4).
const ND_TYPES: std::ops::RangeInclusive<u8> = 133..=136;

/// Source and destination of DHCP, from a client and from a server (RFC 2131, 4.1), and
/// of DHCPv6 from a client (RFC 8415, 7.2).
const DHCP: [(u16, u16); 2] = [(68, 67), (67, 68)];
const DHCPV6: (u16, u16) = (546, 547);

impl Filter {
    /// What comes in and may tell of a host: ARP, neighbor discovery and DHCP.
    #[must_use]
    pub fn hosts() -> Self {
        Self { direction: Some(Direction::Rx), matches: Some(may_tell), ..Self::default() }
    }
}

fn may_tell(frame: &Frame) -> bool {
    // Nothing of this comes in several segments.
    frame.offload().gso == Gso::None && header_may_tell(frame).unwrap_or(false)
}

fn header_may_tell(frame: &Frame) -> Option<bool> {
    let header = frame.header()?;
    if header.ethertype() == ETHERTYPE_ARP {
        return Some(true);
    }
    let ip = header.ip()?;
    Some(match ip.protocol()? {
        IpNextHeaderProtocols::Icmpv6 => ND_TYPES.contains(ip.payload().first()?),
        IpNextHeaderProtocols::Udp => {
            let udp = UdpPacket::new(ip.payload())?;
            let ports = (udp.get_source(), udp.get_destination());
            if ip.is_ipv4() { DHCP.contains(&ports) } else { ports == DHCPV6 }
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::packet::{
        ETHERTYPE_ARP as ARP, ETHERTYPE_IPV4 as IPV4, ETHERTYPE_IPV6 as IPV6, MAX_TAGS, TPID_CVLAN,
        TPID_SVLAN,
    };

    const UDP: u8 = 17;
    const ICMPV6: u8 = 58;

    /// A frame: `tags` and EtherType, then a packet with octets at places.
    fn tells(tags: &[u16], ethertype: u16, octets: &[(usize, u8)]) -> bool {
        let mut data = vec![2; 12];
        for tpid in tags {
            data.extend([tpid.to_be_bytes(), [0, 7]].concat());
        }
        data.extend(ethertype.to_be_bytes());
        let at = data.len();
        data.resize(at + 64, 0);
        // Versions, and lengths of what is there.
        match ethertype {
            IPV4 => data[at..at + 4].copy_from_slice(&[0x45, 0, 0, 64]),
            IPV6 => data[at..at + 6].copy_from_slice(&[0x60, 0, 0, 0, 0, 24]),
            _ => {}
        }
        for (place, octet) in octets {
            data[at + place] = *octet;
        }
        may_tell(&Frame::new(data.into()))
    }

    #[test]
    fn what_tells_of_hosts_is_taken_and_nothing_else() {
        assert!(tells(&[], ARP, &[]));
        assert!(tells(&[TPID_CVLAN], ARP, &[]));
        assert!(tells(&[TPID_SVLAN, TPID_CVLAN], ARP, &[]));
        assert!(!tells(&[TPID_CVLAN; MAX_TAGS + 1], ARP, &[]));
        assert!(!tells(&[], 0x88cc, &[]));
        let v4 = |ihl: u8, at: usize, source, destination| {
            let ports = [(at + 1, source), (at + 3, destination)];
            tells(&[], IPV4, &[[(0, 0x40 | ihl), (9, UDP)], ports].concat())
        };
        assert!(v4(5, 20, 68, 67) && v4(5, 20, 67, 68) && v4(6, 24, 68, 67));
        assert!(!v4(5, 20, 68, 53) && !v4(5, 20, 67, 67) && !v4(0, 0, 68, 67));
        assert!(!tells(&[], IPV4, &[(0, 0x45), (9, 6), (21, 68), (23, 67)]), "TCP");
        for (kind, yes) in [(132, false), (133, true), (136, true), (137, false)] {
            assert_eq!(tells(&[], IPV6, &[(6, ICMPV6), (40, kind)]), yes, "type {kind}");
        }
        let v6 = [(6, UDP), (40, 2), (41, 34), (42, 2), (43, 35)];
        assert!(tells(&[TPID_CVLAN], IPV6, &v6), "546 to 547");
        assert!(!tells(&[], IPV6, &[(6, UDP)]));
        for len in 0..40 {
            let mut data = vec![0; len];
            data.splice(12.min(len)..14.min(len), [0x86, 0xdd]);
            assert!(!may_tell(&Frame::new(data.into())), "{len} octets");
        }
    }
}

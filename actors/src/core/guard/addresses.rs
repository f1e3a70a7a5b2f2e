//! What a frame says of the IP addresses that its sender has, for guards of them: the settings
//! `allowed-ips` and `source-guard`.
//!
//! What a host must send before it has an address says nothing: ARP probes, requests of DHCP, and
//! reports of MLD from no address.

use std::net::{IpAddr, Ipv6Addr};

use crate::core::{
    counters::Discard,
    packet::{
        self, Carried, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet,
        IpNextHeaderProtocols, MacAddr, Upper,
    },
    settings::IpList,
};

/// Messages of neighbor discovery (RFC 4861, 4.1, 4.3 and 4.4), with where their options begin.
const ROUTER_SOLICITATION: (u8, usize) = (133, 8);
const SOLICITATION: (u8, usize) = (135, 24);
const ADVERTISEMENT: (u8, usize) = (136, 24);

/// Options with a link-layer address: of the source, of the target (RFC 4861, 4.6.1).
const LINK_ADDRESS: [u8; 2] = [1, 2];

/// What neighbor discovery comes with: no router has passed it on (RFC 4861, 7.1).
const ND_HOP_LIMIT: u8 = 255;

/// By what an address is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Arp,
    /// An advertisement: others believe it though nothing comes from there.
    Advertisement,
    /// Another message of neighbor discovery.
    Discovery,
    Packet,
}

impl Way {
    /// The reason for which what is claimed falsely is discarded.
    pub(crate) const fn discard(self) -> Discard {
        match self {
            Self::Arp => Discard::ArpSpoof,
            Self::Advertisement | Self::Discovery => Discard::NdSpoof,
            Self::Packet => Discard::IpSpoof,
        }
    }
}

/// What a frame claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) way: Way,
    /// The addresses that its sender says he has.
    pub(crate) addresses: [Option<IpAddr>; 2],
    /// The station that he says has them, if he says so.
    pub(crate) station: Option<MacAddr>,
}

impl Claims {
    const NONE: Self = Self { way: Way::Packet, addresses: [None; 2], station: None };

    /// What a frame claims.
    ///
    /// # Errors
    /// What nobody may claim, or what cannot be read: by what.
    pub(crate) fn read(header: Ethernet<'_>) -> Result<Self, Way> {
        match header.ethertype() {
            ETHERTYPE_ARP => {
                let arp = packet::arp(header.payload()).ok_or(Way::Arp)?;
                let sender = arp.get_sender_proto_addr();
                // A probe has none (RFC 5227, 2.1.1).
                let sender = (!sender.is_unspecified()).then_some(sender.into());
                let station = Some(MacAddr(arp.get_sender_hw_addr().octets()));
                Ok(Self { way: Way::Arp, addresses: [sender, None], station })
            }
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => {
                let ip = header.ip().ok_or(Way::Packet)?;
                let source = ip.source().ok_or(Way::Packet)?;
                let upper = match header.carried() {
                    Carried::Unreadable => return Err(Way::Packet),
                    Carried::Other => None,
                    Carried::Upper(upper) => Some(upper),
                };
                let own = (!source.is_unspecified()).then_some(source);
                if own.is_none() && !upper.is_some_and(may_come_from_none) {
                    return Err(Way::Packet);
                }
                let nd = upper.filter(|upper| {
                    let is_icmp = upper.protocol == IpNextHeaderProtocols::Icmpv6;
                    is_icmp && !upper.is_ipv4 && ip.hop_limit() == ND_HOP_LIMIT
                });
                nd.map_or(Ok(Self { addresses: [own, None], ..Self::NONE }), |nd| {
                    discovery(nd, own)
                })
            }
            _ if header.carried() == Carried::Unreadable => Err(Way::Packet),
            _ => Ok(Self::NONE),
        }
    }
}

/// Requests of DHCP, and MLD and neighbor discovery before there is an address.
fn may_come_from_none(upper: Upper<'_>) -> bool {
    match upper.protocol {
        IpNextHeaderProtocols::Udp => {
            upper.is_ipv4 && upper.ports().is_some_and(|(_, to)| to == packet::dhcp::SERVER)
        }
        IpNextHeaderProtocols::Icmpv6 => !upper.is_ipv4,
        _ => false,
    }
}

/// What a message of neighbor discovery claims, from an address or none.
fn discovery(message: Upper<'_>, own: Option<IpAddr>) -> Result<Claims, Way> {
    let octets = message.octets;
    let kind = octets.first().copied().unwrap_or_default();
    let (way, options_at) = match [ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT]
        .into_iter()
        .find(|(known, _)| *known == kind)
    {
        Some((_, at)) if kind == ADVERTISEMENT.0 => (Way::Advertisement, at),
        Some((_, at)) => (Way::Discovery, at),
        None => return Ok(Claims { addresses: [own, None], ..Claims::NONE }),
    };
    // In fragments no host believes it (RFC 6980, 5).
    let options = octets.get(options_at..).filter(|_| !message.is_fragment).ok_or(way)?;
    // An advertisement says that its target is here, and so does, before it is, a solicitation
    // from no address (RFC 4862, 5.4.2).
    let speaks = way == Way::Advertisement || (kind == SOLICITATION.0 && own.is_none());
    let target = speaks.then(|| octets[8..].first_chunk::<16>()).flatten();
    let mut station = None;
    for option in packet::nd_options(options) {
        let (kind, value) = option.ok_or(way)?;
        if LINK_ADDRESS.contains(&kind.0) {
            let said = value.get(2..8).and_then(|six| six.first_chunk()).map(|six| MacAddr(*six));
            // Of two that differ, a host may believe either.
            if station.is_some() && station != said {
                return Err(way);
            }
            station = said;
        }
    }
    let target = target.map(|target| Ipv6Addr::from(*target).into());
    Ok(Claims { way, addresses: [own, target], station })
}

/// Whether a frame has an IP address as its source that is not `allowed`, or says that its
/// sender has one. What is not IP passes, and so do link-local addresses of IPv6; what should be
/// IP and cannot be read does not.
pub(crate) fn is_foreign(allowed: &IpList, header: Ethernet<'_>) -> bool {
    let may_have = |address: &IpAddr| match address {
        IpAddr::V6(address) if address.is_unicast_link_local() => true,
        address => allowed.contains(*address),
    };
    Claims::read(header).map_or(true, |claims| !claims.addresses.iter().flatten().all(may_have))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "192.0.2.7";
    const OWN_V6: &str = "2001:db8::7";

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn octets(text: &str) -> Vec<u8> {
        match ip(text) {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }
    }

    fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn arp(sender: &str) -> Vec<u8> {
        let mut data = vec![0, 1, 0x08, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1];
        data.extend(octets(sender));
        data.extend([0; 10]);
        ethernet(ETHERTYPE_ARP, &data)
    }

    fn v4(source: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + payload.len()).expect("short").to_be_bytes();
        let mut data = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
        data.extend(octets(source));
        data.extend([192, 0, 2, 1]);
        data.extend(payload);
        ethernet(ETHERTYPE_IPV4, &data)
    }

    fn udp(to: u16) -> Vec<u8> {
        [&[0, 68][..], &to.to_be_bytes(), &[0, 8, 0, 0]].concat()
    }

    fn v6(source: &str, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
        let mut data = vec![0x60, 0, 0, 0, length[0], length[1], next, hop_limit];
        data.extend(octets(source));
        data.extend(octets("ff02::1"));
        data.extend(payload);
        ethernet(ETHERTYPE_IPV6, &data)
    }

    fn nd(kind: u8, target: &str) -> Vec<u8> {
        [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &octets(target)].concat()
    }

    /// An IPv6 packet that says it has no octets.
    fn without_length(frame: &[u8]) -> Vec<u8> {
        [&frame[..18], &[0, 0], &frame[20..]].concat()
    }

    fn tagged(frame: &[u8]) -> Vec<u8> {
        [&frame[..12], &[0x81, 0, 0, 9], &frame[12..]].concat()
    }

    #[test]
    fn only_allowed_sources_and_what_leads_to_an_address_may_pass() {
        let allowed: IpList = "192.0.2.7,2001:db8::/64".parse().expect("a list");
        let options =
            |next: u8| [&[next, 0, 1, 4, 0, 0, 0, 0][..], &nd(136, "2001:db9::1")].concat();
        let five = [&[60, 0, 1, 4, 0, 0, 0, 0].repeat(4)[..], &options(58)].concat();
        for (what, frame, passes) in [
            ("its address", v4(OWN, 17, &udp(53)), true),
            ("another one", v4("192.0.2.8", 17, &udp(53)), false),
            ("DHCP", v4("0.0.0.0", 17, &udp(67)), true),
            ("no DHCP", v4("0.0.0.0", 17, &udp(53)), false),
            ("no UDP", v4("0.0.0.0", 6, &udp(67)), false),
            ("no IPv4", ethernet(ETHERTYPE_IPV4, &[0x45; 10]), false),
            ("ARP", arp(OWN), true),
            ("ARP of another", arp("192.0.2.1"), false),
            ("ARP probe", arp("0.0.0.0"), true),
            ("no ARP", ethernet(ETHERTYPE_ARP, &[0; 28]), false),
            ("IPv6", v6(OWN_V6, 17, 64, &udp(53)), true),
            ("another IPv6", v6("2001:db8:0:1::7", 17, 64, &udp(53)), false),
            ("link-local", v6("fe80::1", 17, 64, &udp(547)), true),
            ("from none", v6("::", 17, 64, &udp(53)), false),
            ("MLD from none", v6("::", 58, 1, &[143, 0, 0, 0, 0, 0, 0, 0]), true),
            ("DAD", v6("::", 58, 255, &nd(135, OWN_V6)), true),
            ("DAD of link-local", v6("::", 58, 255, &nd(135, "fe80::1")), true),
            ("DAD of another", v6("::", 58, 255, &nd(135, "2001:db9::1")), false),
            ("a question", v6("fe80::1", 58, 255, &nd(135, "2001:db9::1")), true),
            ("an answer", v6("fe80::1", 58, 255, &nd(136, OWN_V6)), true),
            ("an answer for another", v6("fe80::1", 58, 255, &nd(136, "2001:db9::1")), false),
            ("a short answer", v6("fe80::1", 58, 255, &[136, 0, 0, 0]), false),
            ("hidden once", v6("fe80::1", 60, 255, &options(58)), false),
            ("hidden deeply", v6("fe80::1", 60, 255, &five), false),
            ("hidden by a route", v6("fe80::1", 43, 255, &options(58)), false),
            (
                "hidden by a length of none",
                without_length(&v6("fe80::1", 0, 255, &options(58))),
                false,
            ),
            ("hidden by tags", (0..6).fold(arp("192.0.2.1"), |frame, _| tagged(&frame)), false),
            ("no IP", ethernet(0x88b5, &[0; 46]), true),
        ] {
            for frame in [tagged(&frame), frame] {
                let header = Ethernet::new_checked(&frame).expect("a header");
                assert_eq!(!is_foreign(&allowed, header), passes, "{what}");
            }
        }
    }

    #[test]
    fn what_a_frame_claims_is_told_with_its_station() {
        let station = |frame: &[u8]| {
            Claims::read(Ethernet::new_checked(frame).expect("a header"))
                .map(|claims| claims.station)
        };
        let option = |kind: u8, last: u8| vec![kind, 1, 2, 0, 0, 0, 0, last];
        let mac = |last| Some(MacAddr([2, 0, 0, 0, 0, last]));
        let with = |kind: u8, options: &[Vec<u8>]| {
            v6("fe80::1", 58, 255, &[nd(kind, "fe80::1"), options.concat()].concat())
        };
        assert_eq!(station(&arp(OWN)), Ok(mac(1)));
        assert_eq!(station(&with(136, &[])), Ok(None));
        assert_eq!(station(&with(136, &[option(14, 5), option(2, 7)])), Ok(mac(7)));
        assert_eq!(station(&with(135, &[option(1, 7), option(1, 7)])), Ok(mac(7)));
        assert_eq!(station(&with(135, &[option(1, 7), option(2, 8)])), Err(Way::Discovery));
        assert_eq!(station(&with(136, &[vec![2, 0, 0, 0]])), Err(Way::Advertisement));
        let short = [vec![133, 0, 0, 0, 0, 0, 0, 0], option(1, 9)].concat();
        assert_eq!(station(&v6("fe80::1", 58, 255, &short)), Ok(mac(9)));
        let atomic = [vec![58, 0, 0, 0, 0, 0, 0, 1], nd(136, "fe80::1")].concat();
        assert_eq!(station(&v6("fe80::1", 44, 255, &atomic)), Err(Way::Advertisement));
    }

    #[test]
    fn whoever_may_have_any_address_may_say_so_of_any() {
        let any = IpList::default();
        for frame in [v4("203.0.113.9", 17, &udp(53)), v6("fe80::1", 58, 255, &nd(136, "::5"))] {
            assert!(!is_foreign(&any, Ethernet::new_checked(&frame).expect("a header")));
        }
    }
}

//! The guard of IP addresses, the setting `allowed-ips`: which of a port's frames come from an
//! address that it may not have.
//!
//! Besides the addresses of the list, what a host must send before it has one may pass: ARP
//! probes, requests of DHCP, and neighbor discovery from no address or a link-local one.

use std::net::{IpAddr, Ipv6Addr};

use crate::core::{
    packet::{
        self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Ip, IpNextHeaderProtocols,
    },
    settings::IpList,
};

/// The port of DHCP servers (RFC 2131, 4.1).
const DHCP_SERVER: u16 = 67;

/// Types of neighbor solicitations and advertisements (RFC 4861, 4.3 and 4.4).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// What neighbor discovery comes with: no router has passed it on (RFC 4861, 7.1).
const ND_HOP_LIMIT: u8 = 255;

/// Whether a frame has an IP address as its source that is not `allowed`, or says that its
/// sender has one. What is not IP passes; what should be and cannot be read does not.
pub(crate) fn is_foreign(allowed: &IpList, header: Ethernet<'_>) -> bool {
    match header.ethertype() {
        ETHERTYPE_ARP => packet::arp(header.payload()).is_none_or(|arp| {
            let sender = arp.get_sender_proto_addr();
            // A probe has none (RFC 5227, 2.1.1).
            !sender.is_unspecified() && !allowed.contains(sender.into())
        }),
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => {
            let read = header.ip().and_then(|ip| Some((ip, ip.source()?)));
            read.is_none_or(|(ip, source)| match source {
                IpAddr::V4(source) if source.is_unspecified() => !asks_for_address(ip),
                IpAddr::V4(_) => !allowed.contains(source),
                IpAddr::V6(source) => is_foreign_v6(allowed, ip, source),
            })
        }
        _ => false,
    }
}

/// Whether it is for a DHCP server.
fn asks_for_address(ip: Ip<'_>) -> bool {
    ip.protocol() == Some(IpNextHeaderProtocols::Udp)
        && ip.payload().get(2..4) == Some(&DHCP_SERVER.to_be_bytes())
}

fn is_foreign_v6(allowed: &IpList, ip: Ip<'_>, source: Ipv6Addr) -> bool {
    let may_have =
        |address: Ipv6Addr| address.is_unicast_link_local() || allowed.contains(address.into());
    let protocol = ip.protocol();
    let is_icmp = protocol == Some(IpNextHeaderProtocols::Icmpv6);
    let has_none = source.is_unspecified() && is_icmp;
    if !may_have(source) && !has_none {
        return true;
    }
    if ip.hop_limit() != ND_HOP_LIMIT {
        return false;
    }
    if !is_icmp {
        // It could be behind these. In a fragment no host believes it (RFC 6980, 5).
        return matches!(
            protocol,
            Some(
                IpNextHeaderProtocols::Hopopt
                    | IpNextHeaderProtocols::Ipv6Opts
                    | IpNextHeaderProtocols::Ipv6Route
                    | IpNextHeaderProtocols::MobilityHeader
                    | IpNextHeaderProtocols::Hip
                    | IpNextHeaderProtocols::Shim6
            )
        );
    }
    // An advertisement says that its target is here, and so does, before it is, a solicitation
    // from no address (RFC 4862, 5.4.2).
    let message = ip.payload();
    let speaks = match message.first() {
        Some(&ADVERTISEMENT) => true,
        Some(&SOLICITATION) => source.is_unspecified(),
        _ => false,
    };
    let target = message.get(8..24).and_then(|octets| octets.first_chunk::<16>());
    speaks && target.is_none_or(|target| !may_have(Ipv6Addr::from(*target)))
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
            ("no IP", ethernet(0x88b5, &[0; 46]), true),
        ] {
            for frame in [tagged(&frame), frame] {
                let header = Ethernet::new_checked(&frame).expect("a header");
                assert_eq!(!is_foreign(&allowed, header), passes, "{what}");
            }
        }
    }

    #[test]
    fn whoever_may_have_any_address_may_say_so_of_any() {
        let any = IpList::default();
        for frame in [v4("203.0.113.9", 17, &udp(53)), v6("fe80::1", 58, 255, &nd(136, "::5"))] {
            assert!(!is_foreign(&any, Ethernet::new_checked(&frame).expect("a header")));
        }
    }
}

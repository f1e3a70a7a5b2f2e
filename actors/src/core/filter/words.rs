//! The words of the language: protocols, and services by name.

use super::ETHERTYPE_RARP;
use crate::core::packet::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IpNextHeaderProtocol, IpNextHeaderProtocols,
};

/// What a word such as `ip` or `tcp` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Ether,
    /// What is announced by an EtherType.
    Packet(u16),
    /// What is in an IP packet, of this EtherType only.
    Carried(Option<u16>, IpNextHeaderProtocol),
}

const V4: Option<u16> = Some(ETHERTYPE_IPV4);
const V6: Option<u16> = Some(ETHERTYPE_IPV6);

const LAYERS: [(&str, Layer); 15] = [
    ("ether", Layer::Ether),
    ("ip", Layer::Packet(ETHERTYPE_IPV4)),
    ("ip6", Layer::Packet(ETHERTYPE_IPV6)),
    ("arp", Layer::Packet(ETHERTYPE_ARP)),
    ("rarp", Layer::Packet(ETHERTYPE_RARP)),
    ("tcp", Layer::Carried(None, IpNextHeaderProtocols::Tcp)),
    ("udp", Layer::Carried(None, IpNextHeaderProtocols::Udp)),
    ("sctp", Layer::Carried(None, IpNextHeaderProtocols::Sctp)),
    ("icmp", Layer::Carried(V4, IpNextHeaderProtocols::Icmp)),
    ("icmp6", Layer::Carried(V6, IpNextHeaderProtocols::Icmpv6)),
    ("igmp", Layer::Carried(V4, IpNextHeaderProtocols::Igmp)),
    ("esp", Layer::Carried(None, IpNextHeaderProtocols::Esp)),
    ("ah", Layer::Carried(None, IpNextHeaderProtocols::Ah)),
    ("pim", Layer::Carried(None, IpNextHeaderProtocols::Pim)),
    ("vrrp", Layer::Carried(V4, IpNextHeaderProtocols::Vrrp)),
];

/// The layer of this name.
pub(super) fn layer(word: &str) -> Option<Layer> {
    LAYERS.iter().find(|(name, _)| *name == word).map(|(_, layer)| *layer)
}

/// The word for a protocol of IP, if it has one.
pub(super) fn name(protocol: IpNextHeaderProtocol) -> Option<&'static str> {
    let is_it = |layer| matches!(layer, Layer::Carried(_, named) if named == protocol);
    LAYERS.iter().find(|(_, layer)| is_it(*layer)).map(|(name, _)| *name)
}

/// Services that are asked for by name (IANA's registry).
const SERVICES: [(&str, u16); 18] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("ntp", 123),
    ("snmp", 161),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("syslog", 514),
    ("mdns", 5353),
    ("radius", 1812),
    ("mysql", 3306),
];

/// A port, by its number or the name of its service.
pub(super) fn port(word: &str) -> Option<u16> {
    let named = SERVICES.iter().find(|(name, _)| *name == word);
    named.map_or_else(|| word.parse().ok(), |(_, port)| Some(*port))
}

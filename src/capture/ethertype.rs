//! Names of EtherTypes, for filters and for what is printed.

/// Those common on a LAN, by the names that tcpdump and Wireshark use.
const ETHERTYPES: [(&str, u16); 9] = [
    ("arp", 0x0806),
    ("ip", 0x0800),
    ("ipv6", 0x86dd),
    ("rarp", 0x8035),
    ("vlan", 0x8100),
    ("lldp", 0x88cc),
    ("eapol", 0x888e),
    ("pppoe", 0x8864),
    ("mpls", 0x8847),
];

/// An EtherType by its name, or as a number: `0x0806`, or decimal.
pub(crate) fn parse(text: &str) -> Option<u16> {
    let named = ETHERTYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    named.map(|(_, number)| *number).or_else(|| match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    })
}

/// Its name, if it has one here.
pub(crate) fn name(ethertype: u16) -> Option<&'static str> {
    ETHERTYPES.iter().find(|(_, number)| *number == ethertype).map(|(name, _)| *name)
}

/// All names, for an error.
pub(crate) fn names() -> String {
    ETHERTYPES.map(|(name, _)| name).join(", ")
}

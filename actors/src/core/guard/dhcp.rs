//! Messages of DHCP and DHCPv6, as far as guards read them.

use std::net::Ipv4Addr;

use crate::core::{
    frame::MacAddr,
    packet::{UDP_LEN, Upper},
};

/// Ports of DHCP (RFC 2131, 4.1) and of DHCPv6 (RFC 8415, 7.2).
pub(crate) const DHCP_SERVER: u16 = 67;
pub(crate) const DHCP_CLIENT: u16 = 68;
pub(crate) const DHCP6_CLIENT: u16 = 546;
pub(crate) const DHCP6_SERVER: u16 = 547;

/// A message of DHCP (RFC 2131, 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bootp {
    /// Whether it is a server's.
    pub(crate) is_reply: bool,
    /// Whether a relay has passed it on.
    pub(crate) is_relayed: bool,
    /// The hardware address that it is about.
    pub(crate) client: MacAddr,
}

impl Bootp {
    /// The message in a UDP datagram. A fragment has none: another could be laid over it.
    pub(crate) fn read(upper: Upper<'_>) -> Option<Self> {
        let head: &[u8; 44] = upper.octets.get(UDP_LEN..)?.first_chunk()?;
        let client = head[28..].first_chunk().map(|octets| MacAddr(*octets))?;
        (!upper.is_fragment).then(|| Self {
            is_reply: head[0] != 1,
            is_relayed: head[24..28] != Ipv4Addr::UNSPECIFIED.octets(),
            client,
        })
    }
}

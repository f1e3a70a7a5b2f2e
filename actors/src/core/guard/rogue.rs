//! The guards of roles, settings `dhcp-guard`, `ra-guard` and `querier-guard`: which of a port's
//! frames only a DHCP server, a router or a multicast querier sends.
//!
//! No frame that a host would take for one of these may pass, however it is wrapped; what cannot
//! be read does not (RFC 6105, 7113 and 7610; RFC 6980).

use crate::core::{
    counters::Discard,
    frame::MacAddr,
    guard::dhcp::Bootp,
    packet::{Carried, Ethernet, IpNextHeaderProtocols, UDP_LEN, Upper, dhcp},
    settings::PortSettings,
};

/// What relays send to servers, and servers to relays (RFC 8415, 7.3).
const RELAY_FORWARD: u8 = 12;
const RELAY_REPLY: u8 = 13;

/// ICMPv6: queries of MLD (RFC 3810, 5.1), neighbor discovery (RFC 4861, 4), advertisements of
/// multicast routers (RFC 4286, 3).
const MLD_QUERY: u8 = 130;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;
const MULTICAST_ROUTER: u8 = 151;

/// IGMP: queries of all versions (RFC 3376, 4.1), advertisements of multicast routers.
const IGMP_QUERY: u8 = 0x11;
const IGMP_MULTICAST_ROUTER: u8 = 0x30;

/// Which roles nobody behind a port may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) dhcp: bool,
    pub(crate) ra: bool,
    pub(crate) querier: bool,
}

impl Roles {
    pub(crate) fn new(settings: &PortSettings) -> Self {
        Self {
            dhcp: settings.dhcp_guard(),
            ra: settings.ra_guard(),
            querier: settings.querier_guard(),
        }
    }

    /// Whether there is any.
    pub(crate) fn is_any(self) -> bool {
        self != Self::default()
    }

    /// Why a frame may not come in by the port, if it may not.
    pub(crate) fn refuse(self, header: Ethernet<'_>) -> Option<Discard> {
        match header.carried() {
            Carried::Other => None,
            Carried::Unreadable => Some(Discard::Unreadable),
            Carried::Upper(upper) => self.refuse_upper(upper, header.src()),
        }
    }

    fn refuse_upper(self, upper: Upper<'_>, src: MacAddr) -> Option<Discard> {
        // There is an octet, or a packet that says it has none.
        let kind = upper.octets.first().copied().unwrap_or_default();
        let (is_v4, unsplit) = (upper.is_ipv4, !upper.is_fragment);
        match upper.protocol {
            IpNextHeaderProtocols::Udp if self.dhcp => {
                let Some(ports) = upper.ports() else { return Some(Discard::Unreadable) };
                if is_v4 { refuse_dhcp(ports, upper, src) } else { refuse_dhcp6(ports, upper) }
            }
            IpNextHeaderProtocols::Icmpv6 if !is_v4 => match kind {
                // No host believes it (RFC 6980, 5), but some did.
                ROUTER_SOLICITATION..=REDIRECT if self.ra && !unsplit => Some(Discard::Unreadable),
                ROUTER_ADVERTISEMENT | REDIRECT if self.ra => Some(Discard::RogueRouter),
                MLD_QUERY | MULTICAST_ROUTER if self.querier => Some(Discard::RogueQuerier),
                _ => None,
            },
            IpNextHeaderProtocols::Igmp if self.querier => {
                matches!(kind, IGMP_QUERY | IGMP_MULTICAST_ROUTER).then_some(Discard::RogueQuerier)
            }
            IpNextHeaderProtocols::Pim if self.querier => Some(Discard::RogueQuerier),
            _ => None,
        }
    }
}

fn refuse_dhcp((from, to): (u16, u16), upper: Upper<'_>, src: MacAddr) -> Option<Discard> {
    // Clients look at their own port only: a server may send from any.
    if from == dhcp::SERVER || to == dhcp::CLIENT {
        return Some(Discard::RogueDhcpServer);
    }
    if to != dhcp::SERVER {
        return None;
    }
    match Bootp::read(upper) {
        None => Some(Discard::Unreadable),
        Some(message) if message.is_reply => Some(Discard::RogueDhcpServer),
        Some(message) if message.is_relayed || message.client != src => Some(Discard::DhcpSpoof),
        Some(_) => None,
    }
}

fn refuse_dhcp6((from, to): (u16, u16), upper: Upper<'_>) -> Option<Discard> {
    if from == dhcp::SERVER6 || to == dhcp::CLIENT6 {
        return Some(Discard::RogueDhcpServer);
    }
    if to != dhcp::SERVER6 {
        return None;
    }
    match upper.octets.get(UDP_LEN) {
        None => Some(Discard::Unreadable),
        Some(&(RELAY_FORWARD | RELAY_REPLY)) => Some(Discard::RogueDhcpServer),
        // Another fragment could be laid over it.
        Some(_) => upper.is_fragment.then_some(Discard::Unreadable),
    }
}

#[cfg(test)]
mod tests;

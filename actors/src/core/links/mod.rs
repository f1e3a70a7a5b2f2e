//! A port of several links: link aggregation as IEEE 802.1AX has it, with tunnels as links.
//!
//! Beside the Switch, which has one port for all of them. The `Distributor` says which link
//! a flow goes by, the `Collector` in which order what has come by them counts. Both ends
//! have both. A flow that moves to another link is never reordered; that rule is here, and in
//! the tunnel's protocol. Must never hold a frame for longer than its bound.

mod collector;
mod distributor;
#[cfg(test)]
mod model;

use std::{fmt, hash::BuildHasher, str::FromStr, time::Duration};

use foldhash::fast::RandomState;

pub(crate) use self::{
    collector::{Collected, Collector},
    distributor::{Distributor, Saying},
};
use super::{frame::Frame, packet::has_ports};

/// Links that a port has at most: more than the cores that a tunnel's TLS can use on most
/// machines, and each is a session of the server.
pub const MAX_LINKS: u8 = 8;

/// A connection of a port of several links. The client counts its connections up from 1, and
/// says the number in the handshake, so that both ends mean the same one and never a later
/// one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

impl LinkId {
    /// The only link of a port: nothing is said of it.
    pub const ONLY: Self = Self(0);
}

/// The place of a link in its port, as the client asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which link it is, from 0.
    pub number: u8,
    /// How many links the port has, 1 to [`MAX_LINKS`].
    pub of: u8,
    /// Whether only the lowest link that is up carries frames, and the others stand by.
    pub failover: bool,
}

impl Place {
    /// The only link of a port.
    pub const ONLY: Self = Self { number: 0, of: 1, failover: false };

    /// Whether a port of several links has room for it.
    #[must_use]
    pub const fn is_one_of_several(self) -> bool {
        self.of > 1 && self.of <= MAX_LINKS && self.number < self.of
    }
}

/// The header in which a client asks for a link, and a server grants it.
pub const LINK_HEADER: &str = "etherws-link";

/// What [`LINK_HEADER`] says in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRequest {
    /// The place.
    pub place: Place,
    /// The connection.
    pub id: LinkId,
}

impl fmt::Display for LinkRequest {
    /// As it goes into the header: an item with parameters (RFC 9651, 3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { number, of, failover }, id } = self;
        let failover = if *failover { ";failover" } else { "" };
        write!(f, "{number};of={of};id={}{failover}", id.0)
    }
}

impl FromStr for LinkRequest {
    type Err = ();

    /// Parameters that are not known are skipped.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(';').map(str::trim);
        let number = parts.next().and_then(|number| number.parse().ok()).ok_or(())?;
        let (mut of, mut id, mut failover) = (1, 0, false);
        for part in parts {
            match part.split_once('=') {
                Some(("of", value)) => of = value.parse().map_err(|_| ())?,
                Some(("id", value)) => id = value.parse().map_err(|_| ())?,
                None if part == "failover" => failover = true,
                _ => {}
            }
        }
        let place = Place { number, of, failover };
        let is_link = place.is_one_of_several() && id > 0;
        is_link.then_some(Self { place, id: LinkId(id) }).ok_or(())
    }
}

/// What [`LINK_HEADER`] says in the answer of a server that knows links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkGrant {
    /// How many links the port may have: the first so many of those that were asked for.
    pub of: u8,
    /// The switch, by a random number that is another one at each start: all links of a port
    /// lead to the same.
    pub switch: u128,
}

impl LinkGrant {
    /// A number for a switch that no other has; 0 where the system has no random numbers.
    #[must_use]
    pub fn random_switch() -> u128 {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets).map_or(0, |()| u128::from_be_bytes(octets))
    }
}

impl fmt::Display for LinkGrant {
    /// As it goes into the header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};switch={:032x}", self.of, self.switch)
    }
}

impl FromStr for LinkGrant {
    type Err = ();

    /// Parameters that are not known are skipped.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(';').map(str::trim);
        let of = parts.next().and_then(|of| of.parse().ok()).ok_or(())?;
        let switch = parts.find_map(|part| part.strip_prefix("switch=")).ok_or(())?;
        let switch = u128::from_str_radix(switch, 16).map_err(|_| ())?;
        (1..=MAX_LINKS).contains(&of).then_some(Self { of, switch }).ok_or(())
    }
}

/// What one end tells the other between frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMessage {
    /// All frames that were given to this link before this marker was have left before it.
    Marker(u32),
    /// Nothing more that comes by this link counts.
    Gone(LinkId),
    /// What follows on this link counts only after that marker has come by that link.
    After(LinkId, u32),
}

impl LinkMessage {
    /// Octets of a message.
    pub const LEN: usize = 9;

    /// Its octets: kind, connection, marker.
    #[must_use]
    pub fn to_octets(self) -> [u8; Self::LEN] {
        let (kind, LinkId(link), marker) = match self {
            Self::Marker(marker) => (0, LinkId(0), marker),
            Self::Gone(link) => (1, link, 0),
            Self::After(link, marker) => (2, link, marker),
        };
        let mut octets = [kind; Self::LEN];
        octets[1..5].copy_from_slice(&link.to_be_bytes());
        octets[5..].copy_from_slice(&marker.to_be_bytes());
        octets
    }

    /// The message of these octets; `None` for what is not one.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; Self::LEN] = octets.try_into().ok()?;
        let [kind, a, b, c, d, e, f, g, h] = *octets;
        let (link, marker) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        match (kind, link, marker) {
            (0, 0, marker) => Some(Self::Marker(marker)),
            (1, 1.., 0) => Some(Self::Gone(LinkId(link))),
            (2, 1.., marker) => Some(Self::After(LinkId(link), marker)),
            _ => None,
        }
    }
}

/// How long a link waits for the markers of others at most: its flows stand still for as long.
/// A queue that is full leaves a link of 4 Mbit/s in this time; the last frames of a slower one
/// may be overtaken.
const MARKER_LIMIT: Duration = Duration::from_secs(3);

/// Connections that have ended and are remembered as such: more than there are in the ten
/// seconds in which the last octets of one may still be under way.
const ENDED: usize = 32;

/// A hash of the frame's flow: VLAN, addresses, protocol and ports of IP. Fragments have no
/// ports, and all other frames only the addresses of Ethernet.
fn flow(frame: &Frame, hasher: &RandomState) -> u64 {
    let Some(header) = frame.header() else { return 0 };
    let vid = header.vid().get();
    let Some(ip) = header.ip() else { return hasher.hash_one((vid, header.addresses())) };
    let Some(protocol) = ip.protocol() else { return hasher.hash_one((vid, ip.addresses())) };
    // A super-frame need not say how long it is, and is of the same flow as its segments.
    let carried = header.payload().get(ip.header_len()..).filter(|_| has_ports(protocol));
    let ports = carried.and_then(<[u8]>::first_chunk::<4>);
    hasher.hash_one((vid, ip.addresses(), protocol.0, ports))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::core::offload::segment::tests::Shape;

    #[test]
    fn a_header_says_which_link_of_how_many() {
        for text in ["0;of=2;id=1", "7;of=8;id=4294967295;failover"] {
            let request: LinkRequest = text.parse().expect(text);
            assert_eq!(request.to_string(), text);
        }
        let spaced: LinkRequest = "1; of=2; later=x; id=3; new".parse().expect("what is unknown");
        assert_eq!(spaced.to_string(), "1;of=2;id=3");
        for text in ["", "2;of=2;id=1", "0;of=1;id=1", "0;of=9;id=1", "0;of=2", "x;of=2;id=1"] {
            assert_eq!(text.parse::<LinkRequest>(), Err(()), "{text:?}");
        }
    }

    #[test]
    fn a_grant_says_how_many_links_lead_to_which_switch() {
        let grant = LinkGrant { of: 4, switch: u128::MAX - 7 };
        assert_eq!(grant.to_string().parse(), Ok(grant));
        for text in ["", "4", "0;switch=1", "9;switch=1", "4;switch=x"] {
            assert_eq!(text.parse::<LinkGrant>(), Err(()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(octets in any::<[u8; LinkMessage::LEN]>()) {
            let mut octets = octets;
            octets[0] %= 4;
            if let Some(message) = LinkMessage::parse(&octets) {
                prop_assert_eq!(message.to_octets(), octets);
            }
        }
    }

    #[test]
    fn each_message_can_be_read_and_nothing_else() {
        let all = [
            LinkMessage::Marker(7),
            LinkMessage::Gone(LinkId(8)),
            LinkMessage::After(LinkId(9), 10),
        ];
        for message in all {
            let octets = message.to_octets();
            assert_eq!(LinkMessage::parse(&octets), Some(message));
            assert_eq!(LinkMessage::parse(&octets[1..]), None);
        }
        assert_eq!(LinkMessage::parse(&[3; LinkMessage::LEN]), None);
        assert_eq!(LinkMessage::parse(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), None, "no connection is 0");
    }

    #[test]
    fn all_frames_of_a_flow_have_one_hash_and_other_flows_have_others() {
        let hasher = RandomState::default();
        let hash = |octets: &[u8]| flow(&Frame::new(Bytes::copy_from_slice(octets)), &hasher);
        let tcp = Shape::tcp4(100, 1000).frame().into_data();
        let with = |at: usize, octet: u8| {
            let mut octets = tcp.to_vec();
            octets[at] = octet;
            hash(&octets)
        };
        let own = hash(&tcp);
        assert_eq!(with(0, tcp[0] ^ 2), own, "the address of Ethernet is not its own");
        assert_eq!(with(tcp.len() - 1, 0xaa), own, "nor is what it carries");
        // VLAN, addresses and ports: behind Ethernet with a tag of 4 octets.
        const IP: usize = 18;
        for at in [15, IP + 12, IP + 19, IP + 20, IP + 23] {
            assert_ne!(with(at, tcp[at] ^ 1), own, "octet {at}");
        }
        let fragment = |port: u8| {
            let mut octets = tcp.to_vec();
            octets[IP + 6] = 0x20;
            octets[IP + 20] = port;
            hash(&octets)
        };
        assert_eq!(fragment(1), fragment(2), "a fragment has no ports");
        let other =
            |src: u8| hash(&[&[0xff; 6][..], &[2, 0, 0, 0, 0, src], &[0x88, 0xb5]].concat());
        assert_ne!(other(1), other(2));
        assert_eq!(hash(&[1, 2, 3]), 0, "what is no frame");
    }
}

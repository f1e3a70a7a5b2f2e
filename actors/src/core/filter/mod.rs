//! Filters for captures and mirrors: which frames an [`Expression`] in the common part of
//! tcpdump's language matches.
//!
//! Asked of each frame that a mirror may take. Headers are read by the views of
//! [`packet`](super::packet), behind VLAN tags, options and extension headers. What a frame does
//! not have is not true of it. Matching neither allocates nor fails.

#[cfg(test)]
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod words;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    str::FromStr,
};

pub use self::parse::FilterError;
use super::{
    frame::{Frame, MacAddr, Vid},
    packet::{
        ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Ip, IpNextHeaderProtocol, arp,
    },
};

/// EtherType of reverse ARP (RFC 903).
const ETHERTYPE_RARP: u16 = 0x8035;

/// The word by which filters name a protocol that IP carries, if it has one: `tcp`.
#[must_use]
pub fn name_of_protocol(protocol: IpNextHeaderProtocol) -> Option<&'static str> {
    words::name(protocol)
}

/// A filter: text that has been understood, such as `tcp port 443 and not host 192.0.2.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: Box<str>,
    terms: Box<[Term]>,
}

/// A part of an expression, behind `and` or `or`. As in tcpdump, neither binds closer: each
/// joins what stands before it with the next part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    is_or: bool,
    is_not: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// What stands in parentheses.
    Group(Box<[Term]>),
    Is(Test),
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// It has a VLAN tag, of this VLAN.
    Vlan(Option<Vid>),
    /// It is of this EtherType, or has such a tag outermost.
    EtherType(u16),
    Mac(End, MacAddr),
    Broadcast,
    Multicast,
    /// It is an IP packet to a group, of this EtherType.
    IpMulticast(u16),
    /// It is IP, ARP or RARP, of this EtherType, with an address of this network.
    Net(Option<u16>, End, Net),
    /// It is an IP packet of this EtherType, and carries this protocol.
    Protocol(Option<u16>, IpNextHeaderProtocol),
    /// It is of this protocol that has ports, with one of these.
    Port(Option<IpNextHeaderProtocol>, End, RangeInclusive<u16>),
    /// It has so many octets.
    Len(RangeInclusive<usize>),
}

/// Which of a frame's two addresses or ports is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
    Either,
    Both,
}

impl End {
    fn holds<T>(self, source: T, destination: T, is: impl Fn(T) -> bool) -> bool {
        match self {
            Self::Source => is(source),
            Self::Destination => is(destination),
            Self::Either => is(source) || is(destination),
            Self::Both => is(source) && is(destination),
        }
    }
}

/// A network, or one address: octets, and how many bits of them count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    len: u8,
}

impl Net {
    fn holds(self, address: &[u8]) -> bool {
        match self.address {
            IpAddr::V4(net) => <[u8; 4]>::try_from(address).is_ok_and(|octets| {
                let differs = u32::from(net) ^ u32::from_be_bytes(octets);
                differs.checked_shr(u32::from(32 - self.len)).unwrap_or(0) == 0
            }),
            IpAddr::V6(net) => <[u8; 16]>::try_from(address).is_ok_and(|octets| {
                let differs = u128::from(net) ^ u128::from_be_bytes(octets);
                differs.checked_shr(u32::from(128 - self.len)).unwrap_or(0) == 0
            }),
        }
    }
}

impl Expression {
    /// Whether `text` begins as a filter does, and not with the number or name of a port.
    #[must_use]
    pub fn may_begin(text: &str) -> bool {
        parse::may_begin(text)
    }

    /// Whether it is true of a frame. A super-frame is as long as the longest frame that it is
    /// cut into.
    #[must_use]
    pub fn matches(&self, frame: &Frame) -> bool {
        all(&self.terms, &View::new(frame))
    }
}

impl FromStr for Expression {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Ok(Self { terms: parse::parse(text)?, text: text.into() })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn all(terms: &[Term], view: &View<'_>) -> bool {
    // As deep as there are parentheses, which the parser bounds.
    terms.iter().fold(true, |so_far, term| {
        if so_far == term.is_or {
            return so_far;
        }
        term.is_not
            != match &term.what {
                What::Group(terms) => all(terms, view),
                What::Is(test) => view.is(test),
            }
    })
}

/// What there is to see of a frame.
struct View<'a> {
    frame: &'a Frame,
    header: Option<Ethernet<'a>>,
    ip: Option<Ip<'a>>,
}

impl<'a> View<'a> {
    fn new(frame: &'a Frame) -> Self {
        let header = frame.header();
        Self { frame, header, ip: header.and_then(Ethernet::ip) }
    }

    fn is(&self, test: &Test) -> bool {
        match test {
            Test::Len(len) => len.contains(&self.len()),
            Test::Vlan(vid) => self.frame.tags().any(|tag| vid.is_none_or(|vid| tag.vid() == vid)),
            Test::Net(ethertype, end, net) => self.has_address(*ethertype, *end, *net),
            Test::Protocol(ethertype, protocol) => self.ip.is_some_and(|ip| {
                ethertype.is_none_or(|ethertype| ethertype_of(ip) == ethertype)
                    && ip.carried().0 == *protocol
            }),
            Test::Port(protocol, end, ports) => self.has_port(*protocol, *end, ports),
            test => self.header.is_some_and(|header| match test {
                Test::EtherType(ethertype) => header.is_of(*ethertype),
                Test::Mac(end, mac) => end.holds(header.src(), header.dst(), |one| one == *mac),
                Test::Broadcast => header.dst() == MacAddr::BROADCAST,
                Test::Multicast => header.dst().is_multicast(),
                Test::IpMulticast(ethertype) => self.ip.is_some_and(|ip| {
                    let [_, destination] = addresses(ip);
                    // RFC 1112, 4 and RFC 4291, 2.7.
                    let is_group = match ip.is_ipv4() {
                        true => destination[0] >> 4 == 0xe,
                        false => destination[0] == 0xff,
                    };
                    ethertype_of(ip) == *ethertype && is_group
                }),
                _ => false,
            }),
        }
    }

    fn len(&self) -> usize {
        let (len, size) = (self.frame.len(), self.frame.offload().gso_size);
        let headers = self.frame.headers_len().filter(|_| size > 0);
        headers.map_or(len, |headers| len.min(headers + usize::from(size)))
    }

    fn has_address(&self, ethertype: Option<u16>, end: End, net: Net) -> bool {
        let Some(header) = self.header else { return false };
        if ethertype.is_some_and(|ethertype| header.ethertype() != ethertype) {
            return false;
        }
        if let Some(ip) = self.ip {
            let [source, destination] = addresses(ip);
            return end.holds(source, destination, |address| net.holds(address));
        }
        if !matches!(header.ethertype(), ETHERTYPE_ARP | ETHERTYPE_RARP) {
            return false;
        }
        arp(header.payload()).is_some_and(|arp| {
            let (sender, target) = (arp.get_sender_proto_addr(), arp.get_target_proto_addr());
            end.holds(sender, target, |address: Ipv4Addr| net.holds(&address.octets()))
        })
    }

    fn has_port(
        &self,
        protocol: Option<IpNextHeaderProtocol>,
        end: End,
        ports: &RangeInclusive<u16>,
    ) -> bool {
        let Some(ip) = self.ip else { return false };
        let Some([source, destination]) = ip.ports() else { return false };
        protocol.is_none_or(|protocol| protocol == ip.carried().0)
            && end.holds(source, destination, |port| ports.contains(&port))
    }
}

const fn ethertype_of(ip: Ip<'_>) -> u16 {
    if ip.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 }
}

/// Source and destination.
fn addresses(ip: Ip<'_>) -> [&[u8]; 2] {
    let addresses = ip.addresses();
    let (source, destination) = addresses.split_at(addresses.len() / 2);
    [source, destination]
}

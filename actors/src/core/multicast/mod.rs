//! Multicast snooping (RFC 4541): who wants which IPv4 and IPv6 group, as IGMP and MLD tell it,
//! so that its packets go only there.
//!
//! Pure: time is an argument. What the frame's path asks is a set of ports; timers stand beside
//! it, and are looked at at ticks. Wherever something is not known, or finds no room, more ports
//! get a packet, and never fewer.

mod groups;
mod igmp;
mod list;
mod look;
mod mld;
#[cfg(test)]
mod model;
mod network;
mod snooping;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::core::{
    frame::{Frame, Vid},
    packet::{
        Carried, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, IpNextHeaderProtocols, TPID_CVLAN, Tag,
        get,
    },
};

pub use list::{MdbEntry, MdbPort, MdbQuerier, MdbState};
pub(crate) use snooping::{Action, Audience, PortOptions, Snooping, To};

/// Groups in all VLANs, unless told otherwise: as many as a Linux bridge has.
pub const DEFAULT_GROUPS: usize = 4096;

/// Whether a switch does it, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnoopingOptions {
    /// Whether it does.
    pub is_on: bool,
    /// Whether it asks itself who wants which group, in frames without a VLAN and in the VLANs that
    /// settings of ports name.
    pub is_querier: bool,
    /// Most groups, in all VLANs.
    pub groups: usize,
}

impl Default for SnoopingOptions {
    /// It does not.
    fn default() -> Self {
        Self { is_on: false, is_querier: false, groups: DEFAULT_GROUPS }
    }
}

/// A VLAN and a group in it.
pub type Key = (Vid, IpAddr);

/// Tenths of a second: the unit of IGMP, and of all times here.
type Tenths = u32;

/// How long a member is one without another report, with a querier's usual values: robustness 2,
/// a query each 125 s, and 10 s to answer (RFC 3376, 8.4; RFC 3810, 9.4).
const MEMBERSHIP: Tenths = 2600;

/// The longest time that a querier's values may make of that: an hour.
const LONGEST: Tenths = 36_000;

/// The longest that a query may let hosts take: what MLDv1 has room for. Of one that gives them an
/// hour nobody would know who is a member.
const LONGEST_RESPONSE: Tenths = 656;

/// How long hosts may take to answer a general query (RFC 3376, 8.3; RFC 3810, 9.3).
const RESPONSE: Tenths = 100;

/// How long they may take to answer one about a group that somebody has left, and how often that
/// is asked (RFC 3376, 8.8 and 8.9; RFC 3810, 9.8 and 9.9).
const LAST_RESPONSE: Tenths = 10;
const LAST_COUNT: u8 = 2;

/// Seconds between general queries, and how often something lost is made up for (RFC 3376, 8.1
/// and 8.2; RFC 3810, 9.1 and 9.2).
const INTERVAL: u8 = 125;
const ROBUSTNESS: u8 = 2;

/// What a frame to a group address is to snooping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// It is for all ports, whoever has joined what.
    Everybody,
    /// A packet to a group that may be pruned.
    Group(IpAddr),
    /// A multicast router has spoken.
    Router(Family),
    Query(Query),
    Reports(Reports<'a>),
    /// A message that breaks its protocol's rules: a packet to this group like any other.
    Malformed(IpAddr),
}

/// The two kinds of groups, each with queriers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A question which groups are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query {
    /// Who asks: nobody that has an address, if it is all zeros.
    pub(crate) source: IpAddr,
    /// The group that is asked about; `None`: all of them.
    pub(crate) group: Option<IpAddr>,
    /// How long hosts may take to answer.
    response: Tenths,
    /// How long, with this querier's values, a member is one.
    lasts: Tenths,
}

impl Query {
    fn new(source: IpAddr, group: IpAddr, response: Tenths) -> Result<Self, Malformed> {
        let group = Some(group).filter(|group| !group.is_unspecified());
        if group.is_some_and(|group| !group.is_multicast()) {
            return Err(Malformed);
        }
        Ok(Self { source, group, response, lasts: MEMBERSHIP })
    }

    /// Whether all who are to answer hear it, which goes to this address, and do so soon: a general
    /// one goes to all hosts, another to its group (RFC 3376, 4.1.12; RFC 3810, 5.1.15).
    fn is_heard(&self, destination: IpAddr) -> bool {
        let all: IpAddr = match Family::of(destination) {
            Family::V4 => Ipv4Addr::new(224, 0, 0, 1).into(),
            Family::V6 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
        };
        self.response <= LONGEST_RESPONSE && destination == self.group.unwrap_or(all)
    }

    /// With what a querier of IGMPv3 or MLDv2 says of itself: robustness and the code of its
    /// interval.
    fn of_interval(self, robustness: u8, interval: u8) -> Self {
        let robustness = Tenths::from(if robustness == 0 { ROBUSTNESS } else { robustness });
        let interval = code(interval) * 10;
        let lasts = (robustness * interval + self.response).clamp(MEMBERSHIP, LONGEST);
        Self { lasts, ..self }
    }
}

/// The oldest version that a message is of. Hosts of the first do not say that they leave, and
/// those of the second keep silent where another has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// IGMPv1.
    First,
    /// IGMPv2 and MLDv1.
    Second,
    /// IGMPv3 and MLDv2.
    Third,
}

/// What a host says of a group. Sources do not matter: whoever wants some of them gets all
/// (RFC 4541, 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Join,
    Leave,
    /// It wants fewer sources, perhaps none.
    Block,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) group: IpAddr,
    pub(crate) what: What,
}

/// Which groups a host wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reports<'a> {
    pub(crate) family: Family,
    pub(crate) version: Version,
    records: Records<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Records<'a> {
    One(Record),
    /// So many records of IGMPv3 or MLDv2, all of which are there.
    Many(&'a [u8], u16),
}

impl<'a> Reports<'a> {
    fn one(version: Version, group: IpAddr, what: What) -> Result<Self, Malformed> {
        let records = Records::One(Record { group, what });
        let one = Self { family: Family::of(group), version, records };
        group.is_multicast().then_some(one).ok_or(Malformed)
    }

    /// A report of IGMPv3 or MLDv2, which have one form (RFC 3376, 4.2; RFC 3810, 5.2).
    fn many(family: Family, octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, rest) = octets.split_first_chunk::<8>().ok_or(Malformed)?;
        let (version, records) = (Version::Third, Records::Many(rest, get(head, 6)));
        let all = Self { family, version, records };
        all.read().all(|record| record.is_some()).then_some(all).ok_or(Malformed)
    }

    pub(crate) fn records(self) -> impl Iterator<Item = Record> + 'a {
        self.read().flatten()
    }

    /// Each record; `None` for one that is not there or about no group.
    fn read(self) -> impl Iterator<Item = Option<Record>> + 'a {
        let (one, (mut octets, mut left)) = match self.records {
            Records::One(record) => (Some(record), (&[][..], 0)),
            Records::Many(octets, count) => (None, (octets, count)),
        };
        let many = std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let record = record(self.family, octets);
            octets = record.map_or(&[], |(_, rest)| rest);
            Some(record.map(|(record, _)| record))
        });
        one.map(Some).into_iter().chain(many)
    }
}

/// The record that `octets` begin with, and what follows it.
fn record(family: Family, octets: &[u8]) -> Option<(Record, &[u8])> {
    let (head, rest) = octets.split_first_chunk::<4>()?;
    let (group, rest, size): (IpAddr, _, _) = match family {
        Family::V4 => rest.split_first_chunk::<4>().map(|(it, rest)| ((*it).into(), rest, 4))?,
        Family::V6 => rest.split_first_chunk::<16>().map(|(it, rest)| ((*it).into(), rest, 16))?,
    };
    let sources = usize::from(get(head, 2));
    let rest = rest.get(sources * size + usize::from(head[1]) * 4..)?;
    // Types 1 to 6: is or changes to including these sources, or excluding them; allows, or blocks.
    let what = match (head[0], sources) {
        (2 | 4, _) | (1 | 3 | 5, 1..) => What::Join,
        (3, 0) => What::Leave,
        (6, 1..) => What::Block,
        _ => What::Nothing,
    };
    group.is_multicast().then_some((Record { group, what }, rest))
}

/// A message is not as its protocol has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// What one of IGMP or MLD says.
#[derive(Debug, PartialEq, Eq)]
enum Message<'a> {
    Query(Query),
    Reports(Reports<'a>),
    /// A multicast router advertises itself (RFC 4286).
    Router,
    /// Nothing that concerns a switch.
    Other,
}

/// What a frame to a group address is. One with several tags is for everybody: who is in which
/// VLAN of another network is not known here.
pub(crate) fn read(frame: &Frame) -> Heard<'_> {
    let heard = frame.header().and_then(|header| {
        let is_plain = header.tag().is_none_or(|tag| tag.tpid() == TPID_CVLAN)
            && (header.tag().is_none() || frame.tags().count() == 1);
        is_plain.then(|| read_packet(header)).flatten()
    });
    heard.unwrap_or(Heard::Everybody)
}

/// `None`: no IP multicast.
fn read_packet(header: Ethernet<'_>) -> Option<Heard<'_>> {
    let addresses @ (_, group) = addresses(header)?;
    let family = Family::of(group);
    let prefix = &header.addresses()[..2];
    if !group.is_multicast() || prefix != if family == Family::V4 { [1, 0] } else { [0x33; 2] } {
        return None;
    }
    let message = match header.carried() {
        Carried::Upper(upper) if !upper.is_fragment => match upper.protocol {
            IpNextHeaderProtocols::Igmp if upper.is_ipv4 => igmp::read(upper.octets, addresses.0),
            IpNextHeaderProtocols::Icmpv6 if !upper.is_ipv4 => {
                mld::read(header.payload(), upper.octets, addresses)
            }
            // Hello (RFC 7761, 4.9.2).
            IpNextHeaderProtocols::Pim if upper.octets.first() == Some(&0x20) => {
                Ok(Some(Message::Router))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    };
    Some(match message {
        Ok(Some(Message::Query(query))) if !query.is_heard(group) => Heard::Malformed(group),
        Ok(Some(Message::Query(query))) => Heard::Query(query),
        Ok(Some(Message::Reports(reports))) => Heard::Reports(reports),
        Ok(Some(Message::Router)) => Heard::Router(family),
        Ok(Some(Message::Other)) => Heard::Everybody,
        Ok(None) if is_snooped(group) => Heard::Group(group),
        Ok(None) => Heard::Everybody,
        Err(Malformed) => Heard::Malformed(group),
    })
}

/// Source and destination of an IP packet.
fn addresses(header: Ethernet<'_>) -> Option<(IpAddr, IpAddr)> {
    let payload = header.payload();
    match header.ethertype() {
        ETHERTYPE_IPV4 if payload.first()? >> 4 == 4 => {
            let both: &[u8; 8] = payload.get(12..)?.first_chunk()?;
            let [a, b, c, d, e, f, g, h] = *both;
            Some((Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into()))
        }
        ETHERTYPE_IPV6 if payload.first()? >> 4 == 6 => {
            let (source, rest) = payload.get(8..)?.split_first_chunk::<16>()?;
            Some((Ipv6Addr::from(*source).into(), Ipv6Addr::from(*rest.first_chunk()?).into()))
        }
        _ => None,
    }
}

/// Whether packets to a group may be pruned. Not what hosts use on a link without asking anybody:
/// 224.0.0.0/24 (RFC 4541, 2.1.2), IPv6 scopes up to that of a link, with all solicited-node
/// groups, and of wider scopes DHCPv6 (RFC 8415, 7.1) and mDNS (RFC 6762, 3).
pub(crate) fn is_snooped(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.is_multicast() && group.octets()[..3] != [224, 0, 0],
        IpAddr::V6(group) => match group.segments() {
            [head, 0, 0, 0, 0, 0, 1, 3] if head & 0xfff0 == 0xff00 => false,
            [head, 0, 0, 0, 0, 0, 0, 0xfb] if head & 0xfff0 == 0xff00 => false,
            [head, ..] => group.is_multicast() && head & 0xf > 2,
        },
    }
}

/// What a code of eight bits stands for (RFC 3376, 4.1.1 and 4.1.7).
fn code(code: u8) -> Tenths {
    if code < 0x80 { code.into() } else { Tenths::from(code & 0xf | 0x10) << ((code >> 4 & 7) + 3) }
}

/// A frame of `octets` in a VLAN.
fn in_vlan(octets: Vec<u8>, vid: Vid) -> Frame {
    let frame = Frame::new(octets.into());
    if vid == Vid::UNTAGGED { frame } else { frame.push_tag(Tag::customer(vid.get())) }
}

//! MLD of both versions (RFC 2710 and 3810): what its messages say, and queries.

use std::net::{IpAddr, Ipv6Addr};

use pnet_packet::{ip::IpNextHeaderProtocols, util::ipv6_checksum};

use super::{
    Family, INTERVAL, Malformed, Message, Query, ROBUSTNESS, Reports, Tenths, Version, What,
    in_vlan,
};
use crate::core::{
    frame::{Frame, MacAddr, Vid},
    packet::{get, put},
};

/// Types of ICMPv6 (RFC 3810, 5; RFC 4286, 3).
const QUERY: u8 = 130;
const REPORT_V1: u8 = 131;
const DONE: u8 = 132;
const REPORT_V2: u8 = 143;
const ROUTER: u8 = 151;

/// Options for each hop: every router is to look at it (RFC 2711), and padding.
const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// Reads a message from one address to another that `packet` carries; `None` if it is not of MLD.
///
/// Its source is an address of the link, or none in a report (RFC 3590), it lives for one hop, and
/// options for each hop precede it (RFC 3810, 5).
pub(super) fn read<'a>(
    packet: &[u8],
    octets: &'a [u8],
    (source, destination): (IpAddr, IpAddr),
) -> Result<Option<Message<'a>>, Malformed> {
    let Some(kind @ (QUERY | REPORT_V1 | DONE | REPORT_V2 | ROUTER)) = octets.first().copied()
    else {
        return Ok(None);
    };
    let (IpAddr::V6(from), IpAddr::V6(to)) = (source, destination) else { return Err(Malformed) };
    let is_sender = from.is_unicast_link_local()
        || from.is_unspecified() && matches!(kind, REPORT_V1 | DONE | REPORT_V2);
    // Next header, hop limit.
    let is_hop = packet.get(6..8) == Some(&[0, 1]);
    if !is_sender || !is_hop || octets.len() < 4 || checksum(octets, from, to) != get(octets, 2) {
        return Err(Malformed);
    }
    if kind == ROUTER {
        return Ok(Some(Message::Router));
    }
    if kind == REPORT_V2 {
        return Ok(Some(Message::Reports(Reports::many(Family::V6, octets)?)));
    }
    let (head, rest) = octets.split_first_chunk::<8>().ok_or(Malformed)?;
    let (group, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
    let group = IpAddr::from(*group);
    let one = |what| Reports::one(Version::Second, group, what).map(Message::Reports);
    let message = match kind {
        QUERY => Message::Query(query_of(rest, source, group, get(head, 4))?),
        DONE => one(What::Leave)?,
        _ => one(What::Join)?,
    };
    Ok(Some(message))
}

fn checksum(octets: &[u8], from: Ipv6Addr, to: Ipv6Addr) -> u16 {
    ipv6_checksum(octets, 1, &[], &from, &to, IpNextHeaderProtocols::Icmpv6)
}

/// Its length tells the version (RFC 3810, 8.1).
fn query_of(rest: &[u8], source: IpAddr, group: IpAddr, code: u16) -> Result<Query, Malformed> {
    match *rest {
        [] => Query::new(source, group, Tenths::from(code) / 100),
        [robustness, interval, high, low, ref sources @ ..]
            if sources.len() >= usize::from(u16::from_be_bytes([high, low])) * 16 =>
        {
            let query = Query::new(source, group, response(code) / 100)?;
            Ok(query.of_interval(robustness & 7, interval))
        }
        _ => Err(Malformed),
    }
}

/// Milliseconds that a code of sixteen bits stands for (RFC 3810, 5.1.3).
fn response(code: u16) -> u32 {
    if code < 0x8000 {
        code.into()
    } else {
        u32::from(code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3)
    }
}

/// The address of the link that a MAC address makes (RFC 4291, appendix A).
pub(super) const fn link_local(MacAddr([a, b, c, d, e, f]): MacAddr) -> Ipv6Addr {
    let words = [[a ^ 2, b], [c, 0xff], [0xfe, d], [e, f]];
    let [w, x, y, z] = [
        u16::from_be_bytes(words[0]),
        u16::from_be_bytes(words[1]),
        u16::from_be_bytes(words[2]),
        u16::from_be_bytes(words[3]),
    ];
    Ipv6Addr::new(0xfe80, 0, 0, 0, w, x, y, z)
}

/// A query of MLDv2, which hosts of MLDv1 take for one of theirs, about a group or all.
pub(super) fn query(mac: MacAddr, vid: Vid, group: Option<Ipv6Addr>, response: Tenths) -> Frame {
    let (from, to) = (link_local(mac), group.unwrap_or(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)));
    let code = u16::try_from(response * 100).unwrap_or(0x7fff).to_be_bytes();
    let mut body = vec![QUERY, 0, 0, 0, code[0], code[1], 0, 0];
    body.extend(group.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
    body.extend([ROBUSTNESS, INTERVAL, 0, 0]);
    let sum = checksum(&body, from, to);
    put(&mut body, 2, sum);
    let [.., a, b, c, d] = to.octets();
    let mut data = vec![0x33, 0x33, a, b, c, d];
    data.extend(mac.0);
    data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 0, 1]);
    data.extend(from.octets());
    data.extend(to.octets());
    data.extend(ROUTER_ALERT);
    data.extend(body);
    in_vlan(data, vid)
}

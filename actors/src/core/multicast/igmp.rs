//! IGMP of all three versions (RFC 1112, 2236 and 3376): what its messages say, and queries.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Family, INTERVAL, Malformed, Message, Query, ROBUSTNESS, Reports, Tenths, Version, What, code,
    in_vlan,
};
use crate::core::{
    frame::{Frame, MIN_FRAME_LEN, MacAddr, Vid},
    offload::checksum::{fold, sum},
    packet::put,
};

/// Types (RFC 3376, 4; RFC 4286, 3).
const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;
const ROUTER: u8 = 0x30;

/// IPv4 header with 24 octets, internetwork control, 36 octets, not to be fragmented, to live for
/// one hop, of protocol 2; its checksum is to be added.
const HEADER: [u8; 12] = [0x46, 0xc0, 0, 36, 0, 0, 0x40, 0, 1, 2, 0, 0];

/// Every router on the way is to look at it (RFC 2113).
const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];

/// Reads a message from `source`.
pub(super) fn read(octets: &[u8], source: IpAddr) -> Result<Option<Message<'_>>, Malformed> {
    let Some(&[kind, response, _, _, a, b, c, d]) = octets.first_chunk() else {
        return Err(Malformed);
    };
    if fold(sum(octets)) != 0xffff {
        return Err(Malformed);
    }
    let group = IpAddr::from([a, b, c, d]);
    let one = |version, what| Reports::one(version, group, what).map(Message::Reports);
    let message = match kind {
        QUERY => Message::Query(query_of(octets, source, group, response)?),
        REPORT_V1 => one(Version::First, What::Join)?,
        REPORT_V2 => one(Version::Second, What::Join)?,
        LEAVE => one(Version::Second, What::Leave)?,
        REPORT_V3 => Message::Reports(Reports::many(Family::V4, octets)?),
        ROUTER => Message::Router,
        _ => Message::Other,
    };
    Ok(Some(message))
}

/// Its length tells the version (RFC 3376, 7.1).
fn query_of(
    octets: &[u8],
    source: IpAddr,
    group: IpAddr,
    response: u8,
) -> Result<Query, Malformed> {
    match *octets {
        // IGMPv1, whose hosts take ten seconds.
        [_, 0, _, _, _, _, _, _] => Query::new(source, group, super::RESPONSE),
        [_, _, _, _, _, _, _, _] => Query::new(source, group, response.into()),
        [_, _, _, _, _, _, _, _, robustness, interval, high, low, ref sources @ ..]
            if sources.len() >= usize::from(u16::from_be_bytes([high, low])) * 4 =>
        {
            let query = Query::new(source, group, code(response))?;
            Ok(query.of_interval(robustness & 7, interval))
        }
        _ => Err(Malformed),
    }
}

/// A query of IGMPv3, which hosts of older versions take for one of theirs, about a group or all.
/// It comes from nobody's address, so that any router's is lower than ours and asks instead.
pub(super) fn query(mac: MacAddr, vid: Vid, group: Option<Ipv4Addr>, response: Tenths) -> Frame {
    let to = group.unwrap_or(Ipv4Addr::new(224, 0, 0, 1)).octets();
    let mut data = vec![0x01, 0x00, 0x5e, to[1] & 0x7f, to[2], to[3]];
    data.extend(mac.0);
    data.extend([0x08, 0x00]);
    let ip = data.len();
    data.extend(HEADER);
    data.extend([0; 4]);
    data.extend(to);
    data.extend(ROUTER_ALERT);
    let igmp = data.len();
    data.extend([QUERY, u8::try_from(response).unwrap_or(0x7f), 0, 0]);
    data.extend(group.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    data.extend([ROBUSTNESS, INTERVAL, 0, 0]);
    let checksums = [&data[ip..igmp], &data[igmp..]].map(|part| !fold(sum(part)));
    put(&mut data, ip + 10, checksums[0]);
    put(&mut data, igmp + 2, checksums[1]);
    data.resize(MIN_FRAME_LEN, 0);
    in_vlan(data, vid)
}

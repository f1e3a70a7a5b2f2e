//! Announcements: the addresses behind a switch, told to the switches behind a port
//! that has come back.
//!
//! Beside the frame's path: the Switch sends them out of that port before anything
//! else, so that frames for these addresses find their new way at once. Pure: it makes
//! frames and sends none.

use std::{cmp::Reverse, time::Instant};

use bytes::Bytes;

use crate::core::{
    fdb::{Fdb, FdbEntry, PortNumber},
    frame::{Frame, MacAddr, Vid},
    packet::{TAG_LEN, Tag},
};

/// Most addresses announced, latest seen first: 16 KiB, and no storm. Who has been
/// silent for longer is found by a flood, as in any bridge.
const MAX_ADDRESSES: usize = 256;

/// Reverse ARP (RFC 903), as hypervisors announce a guest that has moved: no host
/// answers it, and every bridge learns from it.
const ETHERTYPE_RARP: [u8; 2] = [0x80, 0x35];

/// Ethernet and IPv4, lengths of their addresses, "request reverse" (RFC 826, 903).
const REQUEST_REVERSE: [u8; 8] = [0, 1, 0x08, 0, 6, 4, 0, 3];

/// Shortest frame on a cable, without FCS; a tag comes on top (IEEE 802.3, 4.4.2).
const MIN_FRAME_LEN: usize = 60;

/// One frame for each address that is not behind `port`, from that address, in its
/// VLAN.
pub(crate) fn frames(fdb: &Fdb, port: PortNumber, now: Instant) -> Vec<Frame> {
    let others = fdb.entries(now);
    let mut entries: Vec<_> = others.filter(|(.., entry)| entry.port != port).collect();
    let latest = |(.., entry): &(Vid, MacAddr, FdbEntry)| Reverse(entry.last_seen);
    // A full table is not sorted while frames wait: only the latest are.
    if entries.len() > MAX_ADDRESSES {
        entries.select_nth_unstable_by_key(MAX_ADDRESSES, latest);
        entries.truncate(MAX_ADDRESSES);
    }
    entries.sort_unstable_by_key(latest);
    entries.into_iter().map(|(vid, mac, _)| frame(vid, mac)).collect()
}

fn frame(vid: Vid, mac: MacAddr) -> Frame {
    let mut data = [MacAddr::BROADCAST.0, mac.0].concat();
    let mut len = MIN_FRAME_LEN;
    if vid != Vid::UNTAGGED {
        data.extend(Tag::customer(vid.get()).octets());
        len += TAG_LEN;
    }
    data.extend(ETHERTYPE_RARP);
    data.extend(REQUEST_REVERSE);
    // Nobody's IP address is known: sender and target are the address itself and 0.
    for _ in 0..2 {
        data.extend(mac.0);
        data.extend([0; 4]);
    }
    data.resize(len, 0);
    Frame::new(Bytes::from(data))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn port(number: u32) -> PortNumber {
        PortNumber::new(number).expect("ports count from 1")
    }

    fn mac(number: u16) -> MacAddr {
        let [high, low] = number.to_be_bytes();
        MacAddr([2, 0, 0, 0, high, low])
    }

    #[test]
    fn an_announcement_is_a_reverse_arp_request_in_its_vlan() {
        let untagged = frame(Vid::UNTAGGED, mac(1));
        let mut expected = vec![0xff; 6];
        expected.extend([2, 0, 0, 0, 0, 1, 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
        expected.extend([2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        expected.resize(60, 0);
        assert_eq!(untagged.data()[..], expected);

        let tagged = frame(Vid::from_tci(10), mac(1));
        let header = tagged.header().expect("a header");
        assert_eq!((header.vid().get(), header.src(), header.ethertype()), (10, mac(1), 0x8035));
        assert_eq!(tagged.len(), 64);
        assert_eq!(tagged.data()[18..], untagged.data()[14..]);
    }

    #[test]
    fn the_latest_addresses_of_other_ports_are_announced_and_no_more_than_a_bound() {
        let (start, aging) = (Instant::now(), Duration::from_secs(1000));
        let mut fdb = Fdb::new(aging, 10_000);
        for number in 0..1000 {
            let seen = start + Duration::from_secs(number.into());
            fdb.learn(Vid::UNTAGGED, mac(number), port(1 + u32::from(number % 2)), seen);
        }
        let sources = |fdb: &Fdb, number, after| {
            let frames = frames(fdb, port(number), start + Duration::from_secs(after));
            let source = |frame: &Frame| frame.header().expect("a header").src();
            frames.iter().map(source).collect::<Vec<_>>()
        };
        let expected: Vec<_> = (0..256).map(|back| mac(999 - 2 * back)).collect();
        assert_eq!(sources(&fdb, 1, 999), expected);
        assert_eq!(sources(&fdb, 1, 1998), [mac(999)], "what has aged is not there any more");
        fdb.flush_port(port(2));
        assert!(sources(&fdb, 1, 999).is_empty());
    }
}

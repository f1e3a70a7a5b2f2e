//! A line of text for each packet of a capture, for people.

use std::fmt::Write as _;

use etherws_actors::packet::{Ethernet, TPID_CVLAN};
use jiff::{Timestamp, tz::TimeZone};

use super::{ethertype, name_of, reader::Packet};

/// `12:34:56.123456 1 tap ewp0 rx 02:…:01 > ff:…:ff, vlan 10, arp, length 42`, and why it
/// was discarded. The time is that of `zone`.
pub(crate) fn line(packet: &Packet<'_>, zone: &TimeZone) -> String {
    let nanos = i128::try_from(packet.time.as_nanos()).unwrap_or(i128::MAX);
    let time = Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(zone.clone()).strftime("%H:%M:%S.%6f").to_string();
    let direction = packet.direction.map_or("?", name_of);
    let mut line = format!("{time} {} {direction} ", packet.interface);
    // Writing to a String does not fail.
    let _ = match Ethernet::new_checked(packet.data) {
        Some(header) => {
            let mut written = write!(line, "{} > {}, ", header.src(), header.dst());
            if let Some(tag) = header.tag() {
                let kind = if tag.tpid() == TPID_CVLAN { "vlan" } else { "s-vlan" };
                written = written.and_then(|()| write!(line, "{kind} {}, ", tag.vid().get()));
            }
            let ethertype = header.ethertype();
            written.and_then(|()| match ethertype::name(ethertype) {
                Some(name) => write!(line, "{name}, "),
                None => write!(line, "0x{ethertype:04x}, "),
            })
        }
        None => write!(line, "too short, "),
    };
    let _ = write!(line, "length {}", packet.len);
    if let Some(comment) = packet.comment {
        let _ = write!(line, ", {comment}");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etherws_actors::mirror::Direction;

    use super::*;

    #[test]
    fn a_packet_is_a_line() {
        let mut data = [[0xff; 6], [2, 0, 0, 0, 0, 1]].concat();
        data.extend([0x81, 0, 0, 10, 8, 6]);
        let mut packet = Packet {
            time: Duration::new(3_661, 5_000_999),
            interface: "1 tap ewp0",
            direction: Some(Direction::Rx),
            data: &data,
            len: 46,
            comment: Some("discarded: storm-broadcast"),
        };
        assert_eq!(
            line(&packet, &TimeZone::UTC),
            "01:01:01.005000 1 tap ewp0 rx 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, vlan 10, arp, \
             length 46, discarded: storm-broadcast\n"
        );
        packet.data = &data[..3];
        packet.comment = None;
        assert!(line(&packet, &TimeZone::UTC).ends_with(" rx too short, length 46\n"));
    }
}

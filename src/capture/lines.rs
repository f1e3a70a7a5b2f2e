//! A line of text for each packet of a capture, for people.

use std::{
    fmt::{self, Write as _},
    net::Ipv6Addr,
};

use etherws_actors::{
    filter::name_of_protocol,
    packet::{Ethernet, Ip, IpNextHeaderProtocols, MacAddr, TPID_CVLAN, UdpPacket, arp, tcp},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{ethertype, name_of, reader::Packet};

/// `12:34:56.123456 1 tap ewp0 rx 02:…:01 > ff:…:ff, vlan 10, arp, who-has 192.0.2.2 tell
/// 192.0.2.1, length 42`, and why it was discarded. The time is that of `zone`.
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
            written = written.and_then(|()| match ethertype::name(ethertype) {
                Some(name) => write!(line, "{name}, "),
                None => write!(line, "0x{ethertype:04x}, "),
            });
            written.and_then(|()| match header.ip() {
                Some(ip) => write_ip(&mut line, &ip),
                None => write_arp(&mut line, header),
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

/// `who-has 192.0.2.2 tell 192.0.2.1, ` or `192.0.2.1 is-at 02:00:00:00:00:01, `, in ARP and
/// in nothing else.
fn write_arp(line: &mut String, header: Ethernet<'_>) -> fmt::Result {
    let is_arp = matches!(ethertype::name(header.ethertype()), Some("arp"));
    let Some(arp) = arp(header.payload()).filter(|_| is_arp) else { return Ok(()) };
    let (sender, target) = (arp.get_sender_proto_addr(), arp.get_target_proto_addr());
    match arp.get_operation().0 {
        1 => write!(line, "who-has {target} tell {sender}, "),
        2 => write!(line, "{sender} is-at {}, ", MacAddr(arp.get_sender_hw_addr().octets())),
        other => write!(line, "operation {other}, "),
    }
}

/// `192.0.2.1.5000 > 192.0.2.2.80: tcp 1448, `: addresses with ports, and the octets that it
/// carries; what ICMP asks or says.
fn write_ip(line: &mut String, ip: &Ip<'_>) -> fmt::Result {
    let (protocol, payload) = ip.carried();
    let ports = ip.ports();
    for (end, address) in [ip.source(), ip.destination()].into_iter().enumerate() {
        if let Some(address) = address {
            write!(line, "{address}")?;
        }
        if let Some(ports) = ports {
            write!(line, ".{}", ports[end])?;
        }
        line.push_str(if end == 0 { " > " } else { ": " });
    }
    match name_of_protocol(protocol) {
        Some(name) => line.push_str(name),
        None => write!(line, "protocol {}", protocol.0)?,
    }
    // As long as it was, of which the capture may have less.
    let len = ip.total_len().saturating_sub(ip.header_len());
    match protocol {
        _ if ip.protocol().is_none() => line.push_str(" fragment"),
        IpNextHeaderProtocols::Tcp => {
            if let Some(tcp) = tcp(payload) {
                let header_len = usize::from(tcp.get_data_offset()) * 4;
                write!(line, " {}", len.saturating_sub(header_len))?;
            }
        }
        IpNextHeaderProtocols::Udp => {
            if let Some(udp) = UdpPacket::new(payload) {
                write!(line, " {}", udp.get_length().saturating_sub(8))?;
            }
        }
        IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => {
            write_icmp(line, payload, ip.is_ipv4())?;
        }
        _ => {}
    }
    line.push_str(", ");
    Ok(())
}

/// ` echo request id 7 seq 1`, of RFC 792, RFC 4443 and RFC 4861.
fn write_icmp(line: &mut String, message: &[u8], is_ipv4: bool) -> fmt::Result {
    let Some(kind) = message.first() else { return Ok(()) };
    let name = match (is_ipv4, kind) {
        (true, 8) | (false, 128) => "echo request",
        (true, 0) | (false, 129) => "echo reply",
        (true, 3) | (false, 1) => "unreachable",
        (true, 5) | (false, 137) => "redirect",
        (true, 11) | (false, 3) => "time exceeded",
        (false, 2) => "packet too big",
        (false, 133) => "router solicitation",
        (false, 134) => "router advertisement",
        (false, 135) => "neighbor solicitation",
        (false, 136) => "neighbor advertisement",
        _ => return write!(line, " type {kind}"),
    };
    write!(line, " {name}")?;
    match (name, message) {
        ("echo request" | "echo reply", [_, _, _, _, a, b, c, d, ..]) => {
            let [id, seq] = [[*a, *b], [*c, *d]].map(u16::from_be_bytes);
            write!(line, " id {id} seq {seq}")
        }
        ("neighbor solicitation" | "neighbor advertisement", _) => {
            let target = message.get(8..).and_then(|octets| octets.first_chunk::<16>());
            target.map_or(Ok(()), |target| write!(line, " {}", Ipv6Addr::from(*target)))
        }
        _ => Ok(()),
    }
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

    /// What the line of a frame says behind its addresses.
    fn shown(ethertype: u16, rest: &[u8]) -> String {
        let data = [&[2; 12], &ethertype.to_be_bytes()[..], rest].concat();
        let packet = Packet {
            time: Duration::ZERO,
            interface: "1",
            direction: None,
            data: &data,
            len: 1,
            comment: None,
        };
        let line = line(&packet, &TimeZone::UTC);
        line.split_once(":02, ").expect("an address").1.trim_end_matches(", length 1\n").to_owned()
    }

    /// IPv4 with 8 octets of options; IPv6 without.
    fn packets(protocol: u8, carried: &[u8]) -> [String; 2] {
        let len = u8::try_from(carried.len()).expect("it is short");
        let v4 = [0x47, 0, 0, 28 + len, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let mut v6 = vec![0x60, 0, 0, 0, 0, len, protocol, 64];
        v6.extend([[0x20, 1, 0x0d, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].concat());
        v6.extend([[0xff, 2, 0, 0], [0; 4], [0; 4], [0, 0, 0, 1]].concat());
        [
            shown(0x0800, &[&v4[..], &[0; 8], carried].concat()),
            shown(0x86dd, &[&v6[..], carried].concat()),
        ]
    }

    #[test]
    fn a_line_says_who_speaks_to_whom() {
        let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1];
        arp.extend([0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
        assert_eq!(shown(0x0806, &arp), "arp, who-has 192.0.2.2 tell 192.0.2.1");
        arp[7] = 2;
        assert_eq!(shown(0x0806, &arp), "arp, 192.0.2.1 is-at 02:00:00:00:00:01");
        assert_eq!(shown(0x0806, &arp[..27]), "arp");
        let mut tcp = [0; 24];
        (tcp[0], tcp[1], tcp[3], tcp[12]) = (0x13, 0x88, 80, 0x50);
        let udp = [0, 53, 0, 53, 0, 9, 0, 0, 1];
        let pairs = ["ip, 192.0.2.1", "ipv6, 2001:db8::1"].into_iter();
        let pairs: Vec<_> = pairs.zip(["192.0.2.2", "ff02::1"]).collect();
        for (protocol, carried, ports, said) in [
            (6, &tcp[..], [".5000", ".80"], "tcp 4"),
            (17, &udp, [".53", ".53"], "udp 1"),
            (132, &udp, [".53", ".53"], "sctp"),
            (89, &udp, ["", ""], "protocol 89"),
            (17, &udp[..3], ["", ""], "udp"),
        ] {
            let expected = [0, 1].map(|at| {
                let ((source, destination), [a, b]) = (pairs[at], ports);
                format!("{source}{a} > {destination}{b}: {said}")
            });
            assert_eq!(packets(protocol, carried), expected);
        }
        let echo = [8, 0, 0, 0, 0, 7, 0, 1];
        assert!(packets(1, &echo)[0].ends_with("2.2: icmp echo request id 7 seq 1"));
        assert!(packets(1, &[13])[0].ends_with(": icmp type 13"));
        let mut solicitation = vec![135, 0, 0, 0, 0, 0, 0, 0];
        solicitation.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        let [_, of_v6] = packets(58, &solicitation);
        assert_eq!(of_v6, "ipv6, 2001:db8::1 > ff02::1: icmp6 neighbor solicitation fe80::9");
        let later = [17, 0, 0, 0x10, 0, 0, 0, 0, 1, 1, 1, 1];
        assert_eq!(packets(44, &later)[1], "ipv6, 2001:db8::1 > ff02::1: udp fragment");
    }
}

//! What a message of ARP or neighbor discovery claims and asks for, and its answer.
//!
//! Read as well-meaning hosts send them: right behind the Ethernet header, which has no tag or one
//! of a VLAN, and an IPv6 header. Whatever else there may be is nobody's claim, and no question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use pnet_packet::arp::ArpOperations;

use crate::core::{
    announce::{self, OVERRIDE, ROUTER, SOLICITED},
    bindings::BindingType,
    frame::{Frame, MIN_FRAME_LEN, MacAddr, Vid},
    packet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV6, Ethernet, IPV6_LEN, TPID_CVLAN, Tag},
};

/// Octets of a message up to its options (RFC 4861, 4.3).
const ND_LEN: usize = 24;

/// Of ICMPv6 (RFC 4861, 4.3 and 4.4), and the options of each with its link-layer address.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;

/// What it says, of and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) vid: Vid,
    /// The station that it is from, and the one that it is for.
    pub(crate) mac: MacAddr,
    pub(crate) dst: MacAddr,
    /// The address that its sender says that it has, as what; `None` with others (anycast).
    pub(crate) claim: Option<(IpAddr, Option<BindingType>)>,
    /// The address that all stations are asked for, and the one that its sender has. Not of
    /// probes, which whoever has the address is to hear (RFC 5227, RFC 4862), nor of a question
    /// to one station, which asks whether that is there still.
    pub(crate) question: Option<(IpAddr, IpAddr)>,
}

impl Message {
    /// `None`: it is of another protocol, or says nothing that counts here.
    #[inline]
    pub(crate) fn read(frame: &Frame) -> Option<Self> {
        let header = frame.header()?;
        let message = match header.ethertype() {
            ETHERTYPE_ARP => read_arp(header),
            ETHERTYPE_IPV6 => read_nd(header),
            _ => None,
        }?;
        let mut tags = frame.tags();
        match (tags.next(), tags.next()) {
            (None, _) => Some(message),
            (Some(tag), None) => (tag.tpid() == TPID_CVLAN).then_some(message),
            _ => None,
        }
    }

    /// What the station `owner` would answer to its question, as a router or not (RFC 9161, 3.2).
    pub(crate) fn answer(&self, owner: MacAddr, is_router: bool) -> Option<Frame> {
        let frame = match self.question? {
            (IpAddr::V4(target), IpAddr::V4(asker)) => arp_reply(self.mac, asker, owner, target),
            (IpAddr::V6(target), IpAddr::V6(asker)) => {
                let flags = SOLICITED | OVERRIDE | if is_router { ROUTER } else { 0 };
                announce::advertise((self.mac, asker), owner, target, flags)
            }
            _ => return None,
        };
        Some(tagged(frame, self.vid))
    }
}

/// A frame of the switch's own in a VLAN.
pub(crate) fn tagged(frame: Frame, vid: Vid) -> Frame {
    if vid == Vid::UNTAGGED { frame } else { frame.push_tag(Tag::customer(vid.get())) }
}

fn is_hosts(ip: IpAddr) -> bool {
    let is_broadcast = ip == Ipv4Addr::BROADCAST;
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || is_broadcast)
}

fn read_arp(header: Ethernet<'_>) -> Option<Message> {
    let arp = packet::arp(header.payload())?;
    let (vid, mac, dst) = (header.vid(), header.src(), header.dst());
    let is_request = arp.get_operation() == ArpOperations::Request;
    let is_known = is_request || arp.get_operation() == ArpOperations::Reply;
    let [sender, target] = [arp.get_sender_proto_addr(), arp.get_target_proto_addr()];
    // Whoever speaks for another is no source; who has no address says nothing of one.
    let is_own = arp.get_sender_hw_addr().octets() == mac.0;
    if !is_known || !is_own || !is_hosts(sender.into()) {
        return None;
    }
    let asks =
        is_request && dst == MacAddr::BROADCAST && sender != target && is_hosts(target.into());
    let question = asks.then_some((target.into(), sender.into()));
    Some(Message {
        vid,
        mac,
        dst,
        claim: Some((sender.into(), Some(BindingType::Heard))),
        question,
    })
}

fn read_nd(header: Ethernet<'_>) -> Option<Message> {
    let octets = header.payload();
    let (head, body): (&[u8; IPV6_LEN], _) = octets.split_first_chunk()?;
    // ICMPv6, from this link (RFC 4861, 7.1).
    if (head[6], head[7]) != (58, 255) {
        return None;
    }
    let body = body.get(..usize::from(packet::get(head, 4)))?;
    let (fixed, options): (&[u8; ND_LEN], _) = body.split_first_chunk()?;
    let (vid, mac, dst) = (header.vid(), header.src(), header.dst());
    // Both stand behind eight octets.
    let (from, target) = (address(&head[8..])?, address(&fixed[8..])?);
    if !is_hosts(from) || !is_hosts(target) || fixed[1] != 0 {
        return None;
    }
    match fixed[0] {
        SOLICITATION => {
            let asks = dst.is_multicast() && has_option(options, SOURCE_LINK_ADDRESS, mac)?;
            let question = asks.then_some((target, from))?;
            // Whether it is a router it does not say: its address is not noted (RFC 9161, 3.1).
            Some(Message { vid, mac, dst, claim: None, question: Some(question) })
        }
        ADVERTISEMENT if has_option(options, TARGET_LINK_ADDRESS, mac)? => {
            let is_router = fixed[4] & ROUTER != 0;
            let kind = if is_router { BindingType::Router } else { BindingType::Heard };
            // Without the flag it is one of several who have the address, or speaks for another
            // (RFC 4861, 7.2.7 and 7.2.8).
            let kind = (fixed[4] & OVERRIDE != 0).then_some(kind);
            Some(Message { vid, mac, dst, claim: Some((target, kind)), question: None })
        }
        _ => None,
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    octets.first_chunk::<16>().map(|it| Ipv6Addr::from(*it).into())
}

/// Whether the options name `mac`, and no other, in such a one; `None` where they are none.
fn has_option(options: &[u8], kind: u8, mac: MacAddr) -> Option<bool> {
    let mut found = false;
    for option in packet::nd_options(options) {
        let (of, value) = option?;
        if of.0 == kind {
            if value.get(2..8) != Some(&mac.0[..]) {
                return None;
            }
            found = true;
        }
    }
    Some(found)
}

fn arp_reply(to: MacAddr, asker: Ipv4Addr, mac: MacAddr, address: Ipv4Addr) -> Frame {
    let mut data = [to.0, mac.0].concat();
    // ARP; Ethernet and IPv4, lengths of their addresses, reply (RFC 826).
    data.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2]);
    data.extend(mac.0);
    data.extend(address.octets());
    data.extend(to.0);
    data.extend(asker.octets());
    data.resize(MIN_FRAME_LEN, 0);
    Frame::new(Bytes::from(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    /// ARP in a frame from A: operation, sender and what it asks for.
    fn arp(dst: MacAddr, operation: u8, station: MacAddr, sender: &str, target: &str) -> Vec<u8> {
        let octets = |text: &str| text.parse::<Ipv4Addr>().expect(text).octets();
        let mut data = [dst.0, A.0].concat();
        data.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
        data.extend(station.0);
        data.extend(octets(sender));
        data.extend([0; 6]);
        data.extend(octets(target));
        data
    }

    /// Neighbor discovery in a frame from A.
    fn nd(dst: MacAddr, from: &str, head: [u8; 5], target: &str, options: &[u8]) -> Vec<u8> {
        let octets = |text: &str| text.parse::<Ipv6Addr>().expect(text).octets();
        let mut data = [dst.0, A.0].concat();
        let len = u8::try_from(24 + options.len()).expect("short");
        data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, len, 58, 255]);
        data.extend(octets(from));
        data.extend(octets("ff02::1:ff00:2"));
        data.extend(head);
        data.extend([0; 3]);
        data.extend(octets(target));
        data.extend(options);
        data
    }

    fn read(octets: &[u8]) -> Option<Message> {
        Message::read(&Frame::new(Bytes::copy_from_slice(octets)))
    }

    fn tagged_with(octets: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
        [&octets[..12], &tags.concat(), &octets[12..]].concat()
    }

    #[test]
    fn only_questions_to_all_for_another_are_questions_and_no_probe_claims_anything() {
        let all = MacAddr::BROADCAST;
        let group = MacAddr([0x33, 0x33, 0xff, 0, 0, 2]);
        let (v4, v6, asked) = ("192.0.2.1", "fe80::1", "fe80::2");
        let [source, target] = [1, 2].map(|kind| vec![kind, 1, 2, 0, 0, 0, 0, 1]);
        let others = vec![2, 1, 2, 0, 0, 0, 0, 2];
        let twice = [source.clone(), vec![1, 1, 2, 0, 0, 0, 0, 2]].concat();
        let (asks, says) = ([135, 0, 0, 0, 0], |flags| [136, 0, 0, 0, flags]);
        let mut router = nd(group, v6, asks, asked, &source);
        router[21] = 64;
        let heard = |text: &str| Some((ip(text), Some(BindingType::Heard)));
        for (what, frame, claim, question) in [
            ("ARP", arp(all, 1, A, v4, "192.0.2.2"), heard(v4), Some("192.0.2.2")),
            ("its reply", arp(B, 2, A, v4, "192.0.2.2"), heard(v4), None),
            ("ARP for one", arp(B, 1, A, v4, "192.0.2.2"), heard(v4), None),
            ("gratuitous", arp(all, 1, A, v4, v4), heard(v4), None),
            ("an announcement", arp(all, 2, A, v4, v4), heard(v4), None),
            ("a probe", arp(all, 1, A, "0.0.0.0", "192.0.2.2"), None, None),
            ("of another station", arp(all, 1, B, v4, "192.0.2.2"), None, None),
            ("of a group", arp(all, 1, A, "224.0.0.1", "192.0.2.2"), None, None),
            ("of all", arp(all, 2, A, "255.255.255.255", v4), None, None),
            ("for a group", arp(all, 1, A, v4, "224.0.0.1"), heard(v4), None),
            ("inverse ARP", arp(all, 8, A, v4, "192.0.2.2"), None, None),
            ("short ARP", arp(all, 1, A, v4, v4)[..40].to_vec(), None, None),
            ("a solicitation", nd(group, v6, asks, asked, &source), None, Some(asked)),
            ("without its station", nd(group, v6, asks, asked, &[]), None, None),
            ("of another one", nd(group, v6, asks, asked, &[1, 1, 2, 0, 0, 0, 0, 2]), None, None),
            ("of two", nd(group, v6, asks, asked, &twice), None, None),
            ("of one that is cut", nd(group, v6, asks, asked, &source[..6]), None, None),
            ("to one", nd(B, v6, asks, asked, &source), None, None),
            ("DAD", nd(group, "::", asks, asked, &[]), None, None),
            ("by a router", router, None, None),
            ("for a group of v6", nd(group, v6, asks, "ff02::1", &source), None, None),
            ("an advertisement", nd(B, v6, says(0x60), v6, &target), heard(v6), None),
            (
                "a router's",
                nd(B, v6, says(0xe0), v6, &target),
                Some((ip(v6), Some(BindingType::Router))),
                None,
            ),
            ("anycast", nd(B, v6, says(0x40), v6, &target), Some((ip(v6), None)), None),
            ("without a station", nd(B, v6, says(0x60), v6, &[]), None, None),
            ("another's", nd(B, v6, says(0x60), v6, &others), None, None),
            ("a redirect", nd(B, v6, [137, 0, 0, 0, 0], v6, &target), None, None),
        ] {
            let expected = (claim, question.map(ip));
            let said = |octets: &[u8]| {
                read(octets).map_or((None, None), |it| (it.claim, it.question.map(|it| it.0)))
            };
            assert_eq!(said(&frame), expected, "{what}");
            let in_vlan = tagged_with(&frame, &[[0x81, 0, 0x20, 9]]);
            assert_eq!(said(&in_vlan), expected, "{what}");
            assert!(read(&in_vlan).is_none_or(|message| message.vid.get() == 9));
            for tags in [&[[0x88, 0xa8, 0, 9]][..], &[[0x81, 0, 0, 9]; 2]] {
                assert_eq!(read(&tagged_with(&frame, tags)), None, "{what}");
            }
            (0..frame.len()).for_each(|len| _ = read(&frame[..len]));
        }
    }

    #[test]
    fn an_answer_is_what_the_owner_would_say() {
        let question = arp(MacAddr::BROADCAST, 1, A, "192.0.2.1", "192.0.2.2");
        let message = read(&tagged_with(&question, &[[0x81, 0, 0xe0, 9]])).expect("a question");
        let answer = message.answer(B, false).expect("an answer");
        let mut expected = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        expected.extend([2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1]);
        expected.resize(60, 0);
        assert_eq!(answer, Frame::new(expected.into()).push_tag(Tag::customer(9)));

        let options = [1, 1, 2, 0, 0, 0, 0, 1];
        let group = MacAddr([0x33, 0x33, 0xff, 0, 0, 2]);
        let question = nd(group, "fe80::1", [135, 0, 0, 0, 0], "fe80::2", &options);
        for (is_router, flags) in [(false, 0x60), (true, 0xe0)] {
            let message = read(&question).expect("a question");
            let answer = message.answer(B, is_router).expect("an answer");
            let packet = &answer.data()[14..];
            assert_eq!(packet[24..40], "fe80::1".parse::<Ipv6Addr>().expect("one").octets());
            assert_eq!(
                (packet[40], packet[44], &packet[64..]),
                (136, flags, &[2, 1, 2, 0, 0, 0, 0, 2][..])
            );
            let icmp = pnet_packet::icmpv6::Icmpv6Packet::new(&packet[40..]).expect("ICMPv6");
            let [from, to] = ["fe80::2", "fe80::1"].map(|text| text.parse().expect(text));
            assert_eq!(icmp.get_checksum(), pnet_packet::icmpv6::checksum(&icmp, &from, &to));
            // And it is read as the owner's own.
            let heard = Message::read(&answer).expect("an advertisement");
            assert_eq!((heard.mac, heard.dst, heard.claim.expect("one").0), (B, A, ip("fe80::2")));
        }
    }
}

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ALL: Roles = Roles { dhcp: true, ra: true, querier: true };
const SRC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Next headers.
const HOP: u8 = 0;
const ROUTE: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTH: u8 = 51;
const ICMP: u8 = 58;
const OPTIONS: u8 = 60;
const UDP: u8 = 17;

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[0x33, 0x33, 0, 0, 0, 1][..], &SRC, &ethertype.to_be_bytes(), payload].concat()
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let mut data = vec![0x60, 0, 0, 0, len[0], len[1], next, 255, 0xfe, 0x80];
    data.extend([0; 13]);
    data.extend([1, 0xff, 2]);
    data.extend([0; 13]);
    data.extend([1]);
    data.extend(payload);
    ethernet(0x86dd, &data)
}

fn v4(protocol: u8, place: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(24 + payload.len()).expect("short").to_be_bytes();
    let [high, low] = place.to_be_bytes();
    // With router alert.
    let head = [0x46, 0, len[0], len[1], 0, 0, high, low, 1, protocol, 0, 0];
    let addresses = [192, 0, 2, 7, 224, 0, 0, 1, 0x94, 4, 0, 0];
    ethernet(0x0800, &[&head[..], &addresses, payload].concat())
}

/// An extension header of so many units of 8 octets more than one.
fn extension(next: u8, more: u8) -> Vec<u8> {
    let mut octets = vec![next, more];
    octets.resize(8 * (usize::from(more) + 1), 0);
    octets
}

fn fragment(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    vec![next, 0, high, low, 0x6b, 0x0b, 0xb6, 0x6e]
}

fn icmp(kind: u8) -> Vec<u8> {
    let mut octets = vec![kind, 0, 0xc7, 0xb7, 0xff, 8, 8, 0];
    octets.resize(64, 0);
    octets
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("short").to_be_bytes();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &len, &[0, 0], payload].concat()
}

fn bootp(op: u8, relay: u8, client: u8) -> Vec<u8> {
    let mut octets = vec![op, 1, 6, 0];
    octets.resize(236, 0);
    octets[27] = relay;
    octets[28..34].copy_from_slice(&[2, 0, 0, 0, 0, client]);
    octets
}

fn refused(frame: &[u8]) -> Option<Discard> {
    ALL.refuse(Ethernet::new_checked(frame).expect("a header"))
}

fn tagged(times: usize, frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 0].repeat(times), &frame[12..]].concat()
}

fn snap(frame: &[u8]) -> Vec<u8> {
    let len = u16::try_from(frame.len() - 14 + 8).expect("short").to_be_bytes();
    [&frame[..12], &len, &[0xaa, 0xaa, 3, 0, 0, 0], &frame[12..]].concat()
}

#[test]
fn every_evasion_of_thc_ipv6_is_discarded_where_it_must_be() {
    let ra = icmp(134);
    let beyond = |parts: &[&[u8]]| parts.concat();
    let (rogue, unreadable) = (Some(Discard::RogueRouter), Some(Discard::Unreadable));
    // What fake_router26 -E sends for each of its letters, and flood_router26, fake_router6,
    // kill_router6 and flood_redir6 by -H, -F and -D; `None`: of no use without the others.
    for (what, frame, reason) in [
        ("none", v6(ICMP, &ra), rogue),
        ("H", v6(HOP, &beyond(&[&extension(ICMP, 0), &ra])), rogue),
        ("1", v6(FRAGMENT, &beyond(&[&fragment(ICMP, 0, false), &ra])), unreadable),
        (
            "111",
            v6(FRAGMENT, &beyond(&[&fragment(FRAGMENT, 0, false), &fragment(ICMP, 0, false), &ra])),
            unreadable,
        ),
        (
            "H1",
            v6(HOP, &beyond(&[&extension(FRAGMENT, 0), &fragment(ICMP, 0, false), &ra])),
            unreadable,
        ),
        (
            "D",
            v6(FRAGMENT, &beyond(&[&fragment(OPTIONS, 0, true), &extension(ICMP, 154)[..1232]])),
            unreadable,
        ),
        (
            "D, the rest",
            v6(FRAGMENT, &beyond(&[&fragment(OPTIONS, 1232, false), &[0; 8], &ra])),
            None,
        ),
        // An echo request, over which the rest is laid.
        (
            "O",
            v6(
                FRAGMENT,
                &beyond(&[
                    &fragment(OPTIONS, 0, true),
                    &extension(OPTIONS, 151),
                    &extension(ICMP, 0),
                    &icmp(128)[..8],
                ]),
            ),
            unreadable,
        ),
        (
            "O, the rest",
            v6(FRAGMENT, &beyond(&[&fragment(OPTIONS, 1216, false), &extension(ICMP, 0), &ra])),
            None,
        ),
        (
            "F",
            v6(
                FRAGMENT,
                &beyond(&[
                    &fragment(OPTIONS, 0, true),
                    &extension(ROUTE, 0),
                    &extension(OPTIONS, 0),
                    &extension(ROUTE, 0),
                    &extension(ICMP, 0),
                ]),
            ),
            unreadable,
        ),
        ("F, the rest", v6(FRAGMENT, &beyond(&[&fragment(OPTIONS, 32, true), &ra[..32]])), None),
        ("options", v6(OPTIONS, &beyond(&[&extension(ICMP, 100), &ra])), rogue),
        ("a route", v6(ROUTE, &beyond(&[&extension(ICMP, 0), &ra])), rogue),
        ("authentication", v6(AUTH, &beyond(&[&[ICMP, 4], &[0; 22], &ra])), rogue),
        ("a redirect", v6(ICMP, &icmp(137)), rogue),
        ("a redirect behind options", v6(HOP, &beyond(&[&extension(ICMP, 0), &icmp(137)])), rogue),
        (
            "an advertisement of a neighbor in fragments",
            v6(FRAGMENT, &beyond(&[&fragment(ICMP, 0, true), &icmp(136)])),
            unreadable,
        ),
        (
            "too many headers",
            v6(OPTIONS, &beyond(&[&extension(OPTIONS, 0).repeat(64), &extension(ICMP, 0), &ra])),
            unreadable,
        ),
        ("unknown headers", v6(253, &beyond(&[&extension(ICMP, 0), &ra])), unreadable),
        ("five tags", tagged(5, &v6(ICMP, &ra)), unreadable),
        ("four tags", tagged(4, &v6(ICMP, &ra)), rogue),
        ("LLC", snap(&v6(ICMP, &ra)), unreadable),
        ("a tag in LLC", snap(&tagged(1, &v6(ICMP, &ra))), unreadable),
        ("nothing", v6(ICMP, &[]), unreadable),
        ("no IPv6", ethernet(0x86dd, &[0x45; 60]), unreadable),
    ] {
        assert_eq!(refused(&frame), reason, "{what}");
    }
}

#[test]
fn what_servers_routers_and_queriers_send_is_told_apart_from_what_hosts_send() {
    use Discard::{DhcpSpoof, RogueDhcpServer, RogueQuerier, Unreadable};
    let alert = |message: &[u8]| [&extension(ICMP, 0)[..], message].concat();
    let own = bootp(1, 0, 1);
    for (what, frame, reason) in [
        ("an offer", v4(UDP, 0, &udp(67, 68, &bootp(2, 0, 9))), Some(RogueDhcpServer)),
        ("an offer from another port", v4(UDP, 0, &udp(1067, 68, &[])), Some(RogueDhcpServer)),
        ("a relay's request", v4(UDP, 0, &udp(67, 67, &own)), Some(RogueDhcpServer)),
        ("an answer to a relay", v4(UDP, 0, &udp(68, 67, &bootp(2, 1, 1))), Some(RogueDhcpServer)),
        ("an offer whose rest follows", v4(UDP, 0x2000, &udp(67, 68, &[])), Some(RogueDhcpServer)),
        ("a request", v4(UDP, 0, &udp(68, 67, &own)), None),
        ("a request for another", v4(UDP, 0, &udp(68, 67, &bootp(1, 0, 9))), Some(DhcpSpoof)),
        ("a request as if relayed", v4(UDP, 0, &udp(68, 67, &bootp(1, 1, 1))), Some(DhcpSpoof)),
        ("a request in fragments", v4(UDP, 0x2000, &udp(68, 67, &own)), Some(Unreadable)),
        ("a short request", v4(UDP, 0, &udp(68, 67, &own[..43])), Some(Unreadable)),
        ("DHCPv6 of a server", v6(UDP, &udp(547, 546, &[7, 0, 0, 1])), Some(RogueDhcpServer)),
        ("the same from another port", v6(UDP, &udp(5470, 546, &[2])), Some(RogueDhcpServer)),
        (
            "the same behind options",
            v6(OPTIONS, &[extension(UDP, 9), udp(547, 546, &[7])].concat()),
            Some(RogueDhcpServer),
        ),
        (
            "the same, hidden",
            v6(FRAGMENT, &[fragment(OPTIONS, 0, true), extension(UDP, 9)].concat()),
            Some(Unreadable),
        ),
        ("a relay's DHCPv6", v6(UDP, &udp(546, 547, &[12])), Some(RogueDhcpServer)),
        ("a server's to a relay", v6(UDP, &udp(546, 547, &[13])), Some(RogueDhcpServer)),
        ("a solicit", v6(UDP, &udp(546, 547, &[1, 0, 0, 1])), None),
        (
            "a solicit in fragments",
            v6(FRAGMENT, &[fragment(UDP, 0, true), udp(546, 547, &[1])].concat()),
            Some(Unreadable),
        ),
        ("no message", v6(UDP, &udp(546, 547, &[])), Some(Unreadable)),
        ("no ports", v6(UDP, &[2, 35]), Some(Unreadable)),
        ("a query of IGMP", v4(2, 0, &[0x11, 0, 0, 0, 0, 0, 0, 0]), Some(RogueQuerier)),
        ("a report of IGMP", v4(2, 0, &[0x22, 0, 0, 0, 0, 0, 0, 0]), None),
        ("PIM", v4(103, 0, &[0x20, 0, 0, 0]), Some(RogueQuerier)),
        ("PIM of IPv6", v6(103, &[0x20, 0, 0, 0]), Some(RogueQuerier)),
        ("a multicast router", v4(2, 0, &[0x30, 0, 0, 0, 0, 0, 0, 0]), Some(RogueQuerier)),
        ("a query of MLD", v6(HOP, &alert(&icmp(130))), Some(RogueQuerier)),
        ("a multicast router of IPv6", v6(HOP, &alert(&icmp(151))), Some(RogueQuerier)),
        ("a report of MLD", v6(HOP, &alert(&icmp(143))), None),
        ("a router solicitation", v6(ICMP, &icmp(133)), None),
        ("a neighbor solicitation", v6(ICMP, &icmp(135)), None),
        ("a long ping", v6(FRAGMENT, &[fragment(ICMP, 0, true), icmp(128)].concat()), None),
        ("its rest", v6(FRAGMENT, &[fragment(ICMP, 1448, false), icmp(134)].concat()), None),
        (
            "a long datagram",
            v6(FRAGMENT, &[fragment(UDP, 0, true), udp(53, 5353, &[0; 64])].concat()),
            None,
        ),
        ("TCP", v6(6, &[0; 20]), None),
        ("ESP", v6(50, &[0; 20]), None),
        ("no next header", v6(59, &[]), None),
        ("the rest of IPv4", v4(UDP, 0x00b9, &udp(67, 68, &[])), None),
        ("ARP", ethernet(0x0806, &[0; 28]), None),
        ("a BPDU", ethernet(38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]), None),
        ("PVST", ethernet(50, &[0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b]), None),
    ] {
        assert_eq!(refused(&frame), reason, "{what}");
        assert_eq!(refused(&tagged(2, &frame)), reason, "{what}, tagged");
        let header = Ethernet::new_checked(&frame).expect("a header");
        let off = match reason {
            Some(RogueDhcpServer | DhcpSpoof) => Roles { dhcp: false, ..ALL },
            Some(RogueQuerier) => Roles { querier: false, ..ALL },
            _ => continue,
        };
        assert_eq!(off.refuse(header), None, "{what}, by a guard that is off");
    }
}

/// What a receiver makes of octets that come twice.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Overlap {
    First,
    Last,
    /// Nothing: as Linux does since 3.x, and Windows.
    Drop,
}

/// A naive receiver, more trusting than any: any tag, LLC, routing header, authentication and
/// fragment of neighbor discovery will do.
struct Receiver {
    overlap: Overlap,
    /// Of all frames, in the order in which they came: next header, offset, more, octets.
    parts: Vec<(u8, usize, bool, Vec<u8>)>,
}

impl Receiver {
    /// Whether a router advertisement has arrived.
    fn receive(&mut self, frame: &[u8]) -> bool {
        let mut at = 12;
        loop {
            match frame.get(at..at + 2) {
                Some([0x81, 0] | [0x88, 0xa8]) => at += 4,
                Some([high, _]) if *high < 6 => at += 8,
                Some([0x86, 0xdd]) => break,
                _ => return false,
            }
        }
        let packet = &frame[at + 2..];
        let Some(head) = packet.get(..40).filter(|head| head[0] >> 4 == 6) else { return false };
        let len = usize::from(head[4]) * 256 + usize::from(head[5]);
        let Some(payload) = packet.get(40..40 + len) else { return false };
        self.walk(head[6], payload, 0)
    }

    fn walk(&mut self, next: u8, octets: &[u8], depth: usize) -> bool {
        let Some(&first) = octets.first() else { return false };
        let size = match next {
            58 => return first == 134,
            0 | 43 | 60 => octets.get(1).map_or(8, |units| (usize::from(*units) + 1) * 8),
            51 => octets.get(1).map_or(8, |words| (usize::from(*words) + 2) * 4),
            44 => {
                let Some(head) = octets.get(..8) else { return false };
                let place = usize::from(head[2]) * 256 + usize::from(head[3]);
                let part = (first, place & !7, place & 1 == 1, octets[8..].to_vec());
                if part.1 == 0 && !part.2 {
                    return self.walk(first, &octets[8..], depth);
                }
                self.parts.push(part);
                let whole = self.whole();
                return depth < 4
                    && whole.is_some_and(|(next, octets)| self.walk(next, &octets, depth + 1));
            }
            _ => return false,
        };
        octets.get(size..).is_some_and(|rest| self.walk(first, rest, depth))
    }

    /// The packet that the parts make, if they do.
    fn whole(&self) -> Option<(u8, Vec<u8>)> {
        let mut octets = BTreeMap::new();
        let (mut next, mut len) = (None, None);
        for (of, offset, more, data) in &self.parts {
            if *offset == 0 && (next.is_none() || self.overlap == Overlap::Last) {
                next = Some(*of);
            }
            if !more {
                len = Some(offset + data.len());
            }
            for (place, octet) in (*offset..).zip(data) {
                if octets.contains_key(&place) && self.overlap != Overlap::Last {
                    if self.overlap == Overlap::Drop {
                        return None;
                    }
                    continue;
                }
                octets.insert(place, *octet);
            }
        }
        let data: Option<Vec<_>> = (0..len?).map(|place| octets.get(&place).copied()).collect();
        Some((next?, data?))
    }
}

/// A header around what is inside: its number, and octets that end where that begins.
fn wrap(inside: (u8, Vec<u8>), kind: u8, more: u8) -> (u8, Vec<u8>) {
    let (next, octets) = inside;
    let head = match kind {
        44 => fragment(next, 0, false),
        51 => {
            let mut head = vec![next, more];
            head.resize((usize::from(more) + 2) * 4, 0);
            head
        }
        _ => extension(next, more),
    };
    (kind, [head, octets].concat())
}

#[derive(Debug, Clone)]
struct Wrapped {
    kind: u8,
    /// Behind a fragment header that is split, from the inside.
    inner: Vec<(u8, u8)>,
    outer: Vec<(u8, u8)>,
    /// Where it is cut, in units of 8 octets, and what is laid over it: at, length, octet.
    cuts: Option<Vec<usize>>,
    over: Vec<(usize, usize, u8, u8)>,
    order: u64,
    tags: usize,
    is_llc: bool,
}

fn headers() -> impl Strategy<Value = Vec<(u8, u8)>> {
    let kind = prop::sample::select(vec![HOP, ROUTE, FRAGMENT, AUTH, OPTIONS]);
    prop::collection::vec((kind, 0u8..4), 0..4)
}

fn wrapped() -> impl Strategy<Value = Wrapped> {
    let kind = prop_oneof![4 => Just(134u8), 1 => Just(128u8)];
    let cuts = prop::option::of(prop::collection::vec(1usize..12, 0..4));
    let next = prop::sample::select(vec![UDP, ICMP, OPTIONS]);
    let octet = prop::sample::select(vec![0u8, 58, 60, 128, 134]);
    let over = prop::collection::vec((0usize..8, 1usize..6, next, octet), 0..4);
    let around = (prop_oneof![3 => Just(0usize), 1 => 1usize..7], prop::bool::weighted(0.1));
    (kind, headers(), headers(), cuts, over, any::<u64>(), around).prop_map(
        |(kind, inner, outer, cuts, over, order, (tags, is_llc))| Wrapped {
            kind,
            inner,
            outer,
            cuts,
            over,
            order,
            tags,
            is_llc,
        },
    )
}

impl Wrapped {
    /// The frames that it goes in.
    fn frames(&self) -> Vec<Vec<u8>> {
        let around = |inside, headers: &[(u8, u8)]| {
            headers.iter().fold(inside, |inside, (kind, more)| wrap(inside, *kind, *more))
        };
        let (next, octets) = around((ICMP, icmp(self.kind)), &self.inner);
        let frame = |inside| {
            let (next, octets) = around(inside, &self.outer);
            let frame = tagged(self.tags, &v6(next, &octets));
            if self.is_llc { snap(&frame) } else { frame }
        };
        let Some(cuts) = &self.cuts else { return vec![frame((next, octets))] };
        let mut cuts: Vec<_> =
            cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < octets.len()).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let of = |next: u8, at: usize, more: bool, data: &[u8]| {
            let offset = u16::try_from(at).expect("short");
            frame((FRAGMENT, [&fragment(next, offset, more), data].concat()))
        };
        let pairs = cuts.windows(2);
        let mut frames: Vec<_> = pairs
            .map(|pair| of(next, pair[0], pair[1] < octets.len(), &octets[pair[0]..pair[1]]))
            .collect();
        let over = self.over.iter();
        frames.extend(
            over.map(|(at, len, next, octet)| of(*next, at * 8, true, &vec![*octet; len * 8])),
        );
        // Some order, by the digits of a number.
        let mut order = self.order;
        for left in (1..frames.len()).rev() {
            let [place, rest] = [order % (left as u64 + 1), order / (left as u64 + 1)];
            frames.swap(left, usize::try_from(place).expect("small"));
            order = rest;
        }
        frames
    }
}

fn arrives(frames: &[Vec<u8>], overlap: Overlap, passes: impl Fn(&[u8]) -> bool) -> bool {
    let mut receiver = Receiver { overlap, parts: Vec::new() };
    frames.iter().filter(|frame| passes(frame)).any(|frame| receiver.receive(frame))
}

const OVERLAPS: [Overlap; 3] = [Overlap::First, Overlap::Last, Overlap::Drop];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_router_advertisement_passes_however_it_is_wrapped(wrapped in wrapped()) {
        let frames = wrapped.frames();
        for overlap in OVERLAPS {
            prop_assert!(!arrives(&frames, overlap, |frame| refused(frame).is_none()));
        }
    }

    #[test]
    fn no_octets_make_the_guard_panic(octets: Vec<u8>, next: u8) {
        let _ = refused(&ethernet(0x86dd, &octets));
        let _ = refused(&ethernet(0x0800, &octets));
        let _ = refused(&v6(next, &octets));
        let _ = refused(&v4(next, 0, &octets));
    }
}

#[test]
fn the_receiver_takes_what_the_guard_is_to_keep_from_it() {
    let plain = Wrapped {
        kind: 134,
        inner: vec![],
        outer: vec![],
        cuts: None,
        over: vec![],
        order: 0,
        tags: 0,
        is_llc: false,
    };
    let arrives = |wrapped: &Wrapped, overlap| arrives(&wrapped.frames(), overlap, |_| true);
    for wrapped in [
        plain.clone(),
        Wrapped { tags: 6, is_llc: true, ..plain.clone() },
        Wrapped { inner: vec![(OPTIONS, 3), (AUTH, 1), (FRAGMENT, 0), (HOP, 0)], ..plain.clone() },
        Wrapped { inner: vec![(OPTIONS, 3)], cuts: Some(vec![1, 3]), order: 1, ..plain.clone() },
    ] {
        assert!(OVERLAPS.iter().all(|overlap| arrives(&wrapped, *overlap)), "{wrapped:?}");
    }
    let echo = Wrapped { kind: 128, ..plain };
    assert!(!arrives(&echo, Overlap::First));
    // Laid over an echo request behind options; who takes it is a matter of the order.
    let over = vec![(2, 6, ICMP, 134)];
    let laid = Wrapped { inner: vec![(OPTIONS, 1)], cuts: Some(vec![1]), over, ..echo };
    let orders = || (0..6).map(|order| Wrapped { order, ..laid.clone() });
    let taken = OVERLAPS.map(|overlap| orders().any(|laid| arrives(&laid, overlap)));
    assert_eq!(taken, [true, true, false]);
}

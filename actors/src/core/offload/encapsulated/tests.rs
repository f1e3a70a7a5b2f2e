//! Against a naive model, which builds each segment from its outermost header to its last
//! octet, and knows nothing of super-frames.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::core::{
    frame::Frame,
    offload::segment::{
        BadOffload, finish_checksum, outer_datagrams, segment, settle, tests::shapes,
    },
    packet::reference,
};

/// A header, or what of a packet goes before the next one.
#[derive(Debug, Clone)]
enum Part {
    /// With these tags.
    Ethernet(Vec<u16>),
    /// Version 4 or 6; with options or an extension header of 8 octets each, and perhaps a
    /// routing header, which only version 6 has.
    Ip(bool, usize, bool),
    /// With a checksum or without.
    Udp(bool),
    Vxlan,
    /// With words of options.
    Geneve(u8),
    /// With an extension header or without.
    Gtp(bool),
    /// With a checksum, with a key.
    Gre(bool, bool),
    Mpls(usize),
    Pppoe,
    Tcp(usize),
}

/// What the headers of one segment say.
#[derive(Clone, Copy)]
struct Segment<'a> {
    at: usize,
    offset: usize,
    is_last: bool,
    payload: &'a [u8],
    /// Whether checksums are finished, and not the sums of pseudo-headers.
    is_finished: bool,
}

fn word(value: usize) -> [u8; 2] {
    u16::try_from(value % 65_536).expect("16 bits").to_be_bytes()
}

fn slow_sum(octets: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in octets.chunks(2) {
        sum += u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0));
        sum = sum % 65_536 + sum / 65_536;
    }
    u16::try_from(sum).expect("16 bits")
}

const ADDRESSES: [u8; 32] = *b"\x20\x01\x0d\xb8 who sends  \xfd\x02\x0d\xb8 who hears  ";

fn addresses(is_ipv4: bool) -> &'static [u8] {
    if is_ipv4 { &ADDRESSES[..8] } else { &ADDRESSES }
}

/// The EtherType, IP protocol or other word for what `parts` begin with.
fn ethertype(parts: &[Part]) -> [u8; 2] {
    match parts[0] {
        Part::Ethernet(_) => [0x65, 0x58],
        Part::Ip(true, ..) => [0x08, 0x00],
        Part::Ip(false, ..) => [0x86, 0xdd],
        Part::Mpls(_) => [0x88, 0x47],
        Part::Pppoe => [0x88, 0x64],
        _ => panic!("no EtherType: {parts:?}"),
    }
}

fn protocol(parts: &[Part]) -> u8 {
    match parts[0] {
        Part::Udp(_) => 17,
        Part::Tcp(_) => 6,
        Part::Gre(..) => 47,
        Part::Ip(true, ..) => 4,
        Part::Ip(false, ..) => 41,
        Part::Mpls(_) => 137,
        _ => panic!("no protocol: {parts:?}"),
    }
}

fn build(parts: &[Part], segment: Segment<'_>) -> Vec<u8> {
    let Some((part, rest)) = parts.split_first() else { return segment.payload.to_vec() };
    let mut octets = Vec::new();
    let inner = build(rest, segment);
    match part {
        Part::Ethernet(tags) => {
            octets.extend([2; 12]);
            tags.iter().for_each(|tpid| octets.extend([tpid.to_be_bytes(), [0x60, 7]].concat()));
            octets.extend(ethertype(rest));
        }
        Part::Ip(is_ipv4, options, routed) => {
            let mut inner = inner;
            checksum(rest, *is_ipv4, &mut inner, segment.is_finished);
            if *is_ipv4 {
                let len = 20 + 8 * options;
                octets.extend([0x45 + u8::try_from(2 * options).expect("few"), 1]);
                octets.extend(word(len + inner.len()));
                octets.extend(word(0xfffe + segment.at));
                octets.extend([0x40, 0, 64, protocol(rest), 0, 0]);
                octets.extend(addresses(true));
                octets.resize(len, 1);
                let sum = slow_sum(&octets);
                octets[10..12].copy_from_slice(&(!sum).to_be_bytes());
            } else {
                let mut next = protocol(rest);
                if *routed {
                    inner.splice(0..0, [next, 0, 4, 1, 0, 0, 0, 0]);
                    next = 43;
                }
                if *options > 0 {
                    let units = u8::try_from(*options).expect("few") - 1;
                    let header = [vec![next, units], vec![0; 8 * options - 2]].concat();
                    inner.splice(0..0, header);
                    next = 60;
                }
                octets.extend([0x60, 0, 0, 1]);
                octets.extend(word(inner.len()));
                octets.extend([next, 64]);
                octets.extend(addresses(false));
            }
            return [octets, inner].concat();
        }
        Part::Udp(_) => {
            octets.extend([0x12, 0x34, 0x56, 0x78]);
            octets.extend(word(8 + inner.len()));
            octets.extend([0, 0]);
        }
        Part::Vxlan => octets.extend([8, 0, 0, 0, 1, 2, 3, 0]),
        Part::Geneve(words) => {
            octets.extend([*words, 0x40]);
            octets.extend(ethertype(rest));
            octets.resize(8 + 4 * usize::from(*words), 9);
        }
        Part::Gtp(extended) => {
            octets.extend([if *extended { 0x34 } else { 0x30 }, 0xff]);
            octets.extend(word(inner.len() + if *extended { 8 } else { 0 }));
            octets.extend([1, 2, 3, 4]);
            if *extended {
                octets.extend([0, 0, 0, 0x85, 1, 9, 9, 0]);
            }
        }
        Part::Gre(sums, key) => {
            octets.push(if *sums { 0x80 } else { 0 } + if *key { 0x20 } else { 0 });
            octets.push(0);
            octets.extend(ethertype(rest));
            octets.extend([0; 4].iter().take(if *sums { 4 } else { 0 }));
            octets.extend([1, 2, 3, 4].iter().take(if *key { 4 } else { 0 }));
            if *sums && segment.is_finished {
                let sum = slow_sum(&[octets.clone(), inner.clone()].concat());
                octets[4..6].copy_from_slice(&(!sum).to_be_bytes());
            }
        }
        Part::Mpls(labels) => {
            let labels = (0..*labels).rev();
            labels.for_each(|more| octets.extend([0, 1, u8::from(more == 0), 64]));
        }
        Part::Pppoe => {
            octets.extend([0x11, 0, 0, 7]);
            octets.extend(word(2 + inner.len()));
            octets.extend(if ethertype(rest)[0] == 8 { [0, 0x21] } else { [0, 0x57] });
        }
        Part::Tcp(words) => {
            octets.extend([0x12, 0x34, 0x56, 0x78]);
            let sequence = 0xffff_f000_usize + segment.offset;
            octets.extend(&sequence.to_be_bytes()[4..]);
            octets.extend([0, 0, 0, 1, u8::try_from(16 * (5 + words)).expect("few")]);
            let (first, last) = (segment.at == 0, segment.is_last);
            octets.push(0x10 + if first { 0x80 } else { 0 } + if last { 9 } else { 0 });
            octets.extend([1, 0, 0, 0, 0, 0]);
            octets.resize(20 + 4 * words, 1);
        }
    }
    [octets, inner].concat()
}

/// Writes the checksum of the UDP or TCP packet in `octets`, or its pseudo-header's sum.
fn checksum(parts: &[Part], is_ipv4: bool, octets: &mut [u8], is_finished: bool) {
    let at = match parts[0] {
        Part::Tcp(_) => 16,
        Part::Udp(true) => 6,
        _ => return,
    };
    let tail = [0, protocol(parts)];
    let pseudo = [addresses(is_ipv4), &tail, &word(octets.len())].concat();
    let mut sum = slow_sum(&pseudo);
    if is_finished {
        sum = !slow_sum(&[pseudo, octets.to_vec()].concat());
        sum = if sum == 0 && at == 6 { 0xffff } else { sum };
    }
    octets[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A super-frame, and what it is cut into.
#[derive(Debug, Clone)]
struct Case {
    parts: Vec<Part>,
    size: usize,
    payload: Vec<u8>,
}

impl Case {
    fn whole(&self) -> Frame {
        let segment =
            Segment { at: 0, offset: 0, is_last: true, payload: &self.payload, is_finished: false };
        let octets = build(&self.parts, segment);
        let headers = octets.len() - self.payload.len();
        let ip = self.parts.iter().rev().find_map(|part| match part {
            Part::Ip(is_ipv4, ..) => Some(*is_ipv4),
            _ => None,
        });
        let (len, field, gso) = match (self.parts.last(), ip) {
            (Some(Part::Tcp(words)), Some(true)) => (20 + 4 * words, 16, Gso::Tcp4),
            (Some(Part::Tcp(words)), _) => (20 + 4 * words, 16, Gso::Tcp6),
            _ => (8, 6, Gso::Udp),
        };
        let csum = Some((u16::try_from(headers - len).expect("short"), field));
        let gso_size = u16::try_from(self.size).expect("16 bits");
        Frame::with_offload(octets.into(), Offload { gso, ecn: false, gso_size, csum })
    }

    fn segments(&self) -> Vec<Vec<u8>> {
        let count = self.payload.len().div_ceil(self.size).max(1);
        let segment = |at: usize| {
            let (from, to) = (at * self.size, ((at + 1) * self.size).min(self.payload.len()));
            let (is_last, payload) = (at + 1 == count, &self.payload[from..to]);
            let segment = Segment { at, offset: from, is_last, payload, is_finished: true };
            build(&self.parts, segment)
        };
        (0..count).map(segment).collect()
    }
}

fn ethernet() -> impl Strategy<Value = Part> {
    vec(prop_oneof![Just(0x8100), Just(0x88a8)], 0..3).prop_map(Part::Ethernet)
}

fn ip() -> impl Strategy<Value = Part> {
    (any::<bool>(), 0..4_usize, any::<bool>())
        .prop_map(|(is_ipv4, options, routed)| Part::Ip(is_ipv4, options, routed && !is_ipv4))
}

/// What leads from an IP packet to another one.
fn tunnel() -> impl Strategy<Value = Vec<Part>> {
    let inner_ethernet = prop_oneof![
        any::<bool>().prop_map(|sums| vec![Part::Udp(sums), Part::Vxlan]),
        (any::<bool>(), 0..64_u8)
            .prop_map(|(sums, words)| vec![Part::Udp(sums), Part::Geneve(words)]),
        (any::<bool>(), any::<bool>()).prop_map(|(sums, key)| vec![Part::Gre(sums, key)]),
    ];
    let inner_ethernet =
        (inner_ethernet, ethernet()).prop_map(|(outer, ethernet)| [outer, vec![ethernet]].concat());
    prop_oneof![
        inner_ethernet,
        (any::<bool>(), any::<bool>()).prop_map(|(sums, key)| vec![Part::Gre(sums, key)]),
        (any::<bool>(), any::<bool>())
            .prop_map(|(sums, more)| vec![Part::Udp(sums), Part::Gtp(more)]),
        any::<bool>().prop_map(|sums| vec![Part::Udp(sums)]),
        any::<bool>().prop_map(|sums| vec![Part::Udp(sums), Part::Geneve(1)]),
        Just(vec![]),
        (1..4_usize).prop_map(|labels| vec![Part::Mpls(labels)]),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let before = prop_oneof![
        2 => Just(vec![]),
        1 => Just(vec![Part::Pppoe]),
        1 => (1..4_usize).prop_map(|labels| vec![Part::Mpls(labels)]),
    ];
    let last = prop_oneof![(0..=10_usize).prop_map(Part::Tcp), Just(Part::Udp(true))];
    let sizes = prop_oneof![8..40_usize, 1000..1500_usize, Just(65_000)];
    let tunnels = vec((ip(), tunnel()), 0..3);
    (ethernet(), before, tunnels, ip(), last, sizes, vec(any::<u8>(), 0..4000)).prop_map(
        |(ethernet, before, tunnels, inner, last, size, payload)| {
            let mut parts = [vec![ethernet], before].concat();
            for (ip, tunnel) in tunnels {
                parts.push(ip);
                parts.extend(tunnel);
            }
            parts.extend([inner, last]);
            Case { parts, size, payload }
        },
    )
}

fn cut(frame: Frame) -> Result<Vec<Frame>, BadOffload> {
    let mut segments = Vec::new();
    segment(frame, |segment| segments.push(segment)).map(|()| segments)
}

proptest! {
    #[test]
    fn segments_are_those_of_the_model(case in cases()) {
        let whole = case.whole();
        let (start, _) = whole.offload().csum.expect("work left");
        let headers = whole.headers_len().expect("a super-frame");
        let segments = cut(whole.clone());
        // Long ones are refused, never cut wrong.
        let layers = case.parts.iter().filter(|part| !matches!(part, Part::Ethernet(_))).count();
        if headers > MAX_HEAD || layers > MAX_LAYERS {
            prop_assume!(segments.is_ok());
        }
        let segments: Vec<_> = segments.expect("known headers").iter()
            .map(|frame| frame.data().to_vec()).collect();
        prop_assert_eq!(&segments, &case.segments(), "from {}", start);
        // The datagrams of a tunnel, for a kernel to cut.
        let mut packed = Vec::new();
        outer_datagrams(whole, |frame| packed.push(frame)).expect("known headers");
        prop_assert!(packed.len() <= segments.len());
        let cut: Vec<_> = packed.into_iter().flat_map(|frame| cut(frame).expect("plain"))
            .map(|frame| frame.data().to_vec()).collect();
        prop_assert_eq!(cut, segments);
    }

    #[test]
    fn a_change_of_the_tag_is_done_as_by_hand(case in cases()) {
        for frame in reference::changes(&case.whole()) {
            let by_hand = reference::by_hand(&frame);
            prop_assert_eq!(frame.on_wire(), by_hand.on_wire());
            if let (Ok(one), Ok(other)) = (cut(frame), cut(by_hand)) {
                prop_assert_eq!(one, other);
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_not_cut(
        case in cases(),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
        shift in -8..8_i16,
    ) {
        let whole = case.whole();
        let mut data = whole.data().to_vec();
        let at = at.index(data.len().min(200));
        data[at] = octet;
        let mut offload = *whole.offload();
        offload.csum = offload.csum.map(|(start, at)| (start.saturating_add_signed(shift), at));
        let octets = data.len();
        // Whatever comes out, it is no more than there was.
        let settled = settle(&mut data, offload);
        let segments = cut(Frame::with_offload(Bytes::from(data), offload));
        prop_assert!(settled.is_ok() || segments.is_err());
        prop_assert!(segments.unwrap_or_default().iter().all(|segment| segment.len() <= octets));
    }

    #[test]
    fn plain_super_frames_are_cut_both_ways_alike(shape in shapes()) {
        let (whole, mut both) = (shape.frame(), Vec::new());
        let (mut data, offload) = (whole.data().to_vec(), whole.offload());
        // The lengths that the other tests do without.
        let header = Ethernet::new_checked(&data).expect("a header");
        let (is_ipv4, at) = (header.ip().expect("a packet").is_ipv4(), header.payload_at());
        let (field, len) = if is_ipv4 { (2, data.len() - at) } else { (4, data.len() - at - 40) };
        data[at + field..at + field + 2].copy_from_slice(&word(len));
        if offload.gso == Gso::Udp {
            let start = usize::from(offload.csum.expect("work left").0);
            let len = word(data.len() - start);
            data[start + 4..start + 6].copy_from_slice(&len);
        }
        let mut encapsulated = Encapsulated::new(&data, offload).expect("the simplest of all");
        let segments = cut(Frame::with_offload(data.clone().into(), *offload)).expect("good");
        let head = encapsulated.payload();
        for (at, segment) in segments.iter().enumerate() {
            let (offset, is_last) = (at * usize::from(offload.gso_size), at + 1 == segments.len());
            let payload = &data[head + offset..][..segment.len() - head];
            let position = Position { at, offset, is_last };
            let headers = &encapsulated.finish(&data[..head], payload, position)[TAG_LEN..];
            both.push([headers, payload].concat() == segment.data());
        }
        prop_assert!(both.iter().all(|same| *same));
    }
}

/// SCTP in a packet that a tunnel carries or not, its checksum left to be done; and done.
fn sctp(parts: &[Part], padding: usize) -> (Vec<u8>, Offload, Vec<u8>) {
    let chunk = b"\x12\x34\x56\x78\x01\x02\x03\x04\0\0\0\0 a chunk of data";
    let plain = Segment { at: 0, offset: 0, is_last: true, payload: chunk, is_finished: true };
    let mut octets = build(parts, plain);
    let start = octets.len() - chunk.len();
    // The model knows TCP in its place.
    let ip = start - 20;
    octets[ip + 9] = 132;
    put(&mut octets, ip + 10, 0);
    let checksum = !slow_sum(&octets[ip..start]);
    put(&mut octets, ip + 10, checksum);
    let mut done = octets.clone();
    let crc = crate::core::offload::checksum::crc32c([chunk]);
    done[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    octets.resize(octets.len() + padding, 0);
    done.resize(done.len() + padding, 0);
    let csum = Some((u16::try_from(start).expect("short"), 8));
    (octets, Offload { csum, ..Offload::NONE }, done)
}

#[test]
fn sctp_gets_its_crc_wherever_it_is() {
    let ip = || Part::Ip(true, 0, false);
    let ethernet = || Part::Ethernet(vec![]);
    // An empty TCP part in front of the chunk would be its header: IP in IP ends the list.
    for parts in [
        vec![ethernet(), ip()],
        vec![Part::Ethernet(vec![0x8100]), ip()],
        vec![ethernet(), ip(), Part::Udp(false), Part::Vxlan, ethernet(), ip()],
        vec![ethernet(), Part::Ip(false, 1, true), Part::Gre(false, true), ip()],
    ] {
        for padding in [0, 3] {
            let (mut octets, offload, done) = sctp(&with_any_protocol(&parts), padding);
            let frame = Frame::with_offload(octets.clone().into(), offload);
            assert_eq!(cut(frame).expect("SCTP")[0].data(), done, "{parts:?}");
            assert_eq!(settle(&mut octets, offload), Ok(Offload::NONE));
            assert_eq!(octets, done);
        }
    }
    // The same place in what is no IP packet at all: nobody knows what it asks for.
    let mut octets = vec![7; 100];
    let offload = Offload { csum: Some((34, 8)), ..Offload::NONE };
    assert_eq!(settle(&mut octets, offload), Err(BadOffload));
}

/// The last IP header needs something behind it to name: a header without octets.
fn with_any_protocol(parts: &[Part]) -> Vec<Part> {
    [parts, &[Part::Mpls(0)]].concat()
}

#[test]
fn checksums_that_no_kernel_takes_are_finished_where_they_are_read() {
    let mut octets = vec![3; 4000];
    let far = Offload { csum: Some((3000, 500)), ..Offload::NONE };
    let mut done = octets.clone();
    finish_checksum(&mut done, (3000, 500)).expect("it fits");
    assert_eq!(settle(&mut octets, far), Ok(Offload::NONE));
    assert_eq!(octets, done);
    let beyond = Offload { csum: Some((3000, 999)), ..Offload::NONE };
    assert_eq!(settle(&mut octets, beyond), Err(BadOffload));
    // TCP and UDP of the first IP header stay as they are, with tags and options too.
    for case in [shape_of(0), shape_of(1), shape_of(2)] {
        let mut octets = case.data().to_vec();
        let offload = Offload { gso: Gso::None, gso_size: 0, ..*case.offload() };
        assert_eq!(settle(&mut octets, offload), Ok(offload));
    }
}

fn shape_of(kind: usize) -> Frame {
    let parts = [
        vec![Part::Ethernet(vec![]), Part::Ip(true, 0, false), Part::Tcp(3)],
        vec![Part::Ethernet(vec![0x8100]), Part::Ip(false, 1, false), Part::Udp(true)],
        vec![Part::Ethernet(vec![0x88a8, 0x8100]), Part::Ip(true, 2, false), Part::Tcp(0)],
    ];
    Case { parts: parts[kind].clone(), size: 500, payload: vec![5; 1000] }.whole()
}

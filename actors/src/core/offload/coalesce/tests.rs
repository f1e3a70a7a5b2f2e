//! Coalescing against a slow reference, and against its inverse.

mod packet;
mod reference;

use std::mem;

use bytes::Bytes;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use proptest::{collection::vec, prelude::*, sample::Index};

use self::{
    packet::{Packet, packet},
    reference::{reference, see},
};
use crate::core::{
    frame::{Frame, Offload},
    offload::{
        coalesce::*,
        segment::{finish_checksum, segment},
    },
};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const CWR: u8 = 0x80;

/// Frames as messages of a block, joined: how many each frame or super-frame is made
/// of, and itself.
fn coalesce(frames: &[Vec<u8>]) -> Vec<(usize, Frame)> {
    let (mut block, mut places) = (Vec::new(), Vec::new());
    for frame in frames {
        // A WebSocket's header of a length that changes.
        block.resize(block.len() + [2, 4, 6, 8][places.len() % 4], 0x55);
        places.push(block.len()..block.len() + frame.len());
        block.extend_from_slice(frame);
    }
    let (mut coalescer, mut joined, mut count) = (Coalescer::default(), Vec::new(), 0);
    for place in places {
        joined.extend(
            coalescer
                .push(&mut block, place, Offload::NONE)
                .map(|frame| (mem::take(&mut count), frame)),
        );
        count += 1;
    }
    joined.extend(coalescer.finish(&mut block).map(|frame| (count, frame)));
    assert_eq!(coalescer.finish(&mut block), None);
    let octets = |place| Bytes::copy_from_slice(&block[place]);
    let frame = |Joined { place, offload }| Frame::with_offload(octets(place), offload);
    joined.into_iter().map(|(count, joined)| (count, frame(joined))).collect()
}

/// What a tunnel makes of the frames when it reads them at once.
pub(crate) fn joined(frames: &[Vec<u8>]) -> Vec<Frame> {
    coalesce(frames).into_iter().map(|(_, frame)| frame).collect()
}

/// How many frames each group has.
fn counts(frames: &[Vec<u8>]) -> Vec<usize> {
    coalesce(frames).iter().map(|(count, _)| *count).collect()
}

/// Coalesces as the reference does; the super-frames are packets with right lengths
/// and checksums, and segmentation gives back each frame.
fn check(frames: &[Vec<u8>]) {
    let groups = coalesce(frames);
    let found: Vec<_> = groups.iter().map(|(count, _)| *count).collect();
    assert_eq!(found, reference(frames));
    let mut rest = frames;
    for (count, whole) in groups {
        let (taken, others) = rest.split_at(count);
        rest = others;
        if let [frame] = taken {
            assert_eq!(whole, Frame::new(Bytes::copy_from_slice(frame)));
            continue;
        }
        let mut finished = whole.data().to_vec();
        let csum = whole.offload().csum.expect("a checksum to finish");
        finish_checksum(&mut finished, csum).expect("it fits");
        assert!(see(&finished).is_some_and(|seen| seen.is_intact));
        assert!(finished.len() <= MAX_OCTETS);
        let octets: usize = taken.iter().map(Vec::len).sum();
        assert_eq!(whole.on_wire(), (count as u64, octets as u64));
        let mut segments = Vec::new();
        segment(whole, |frame| segments.push(frame.data().to_vec())).expect("it fits");
        assert_eq!(segments, count_ids_up(taken));
    }
}

/// Frames with the same identification get those that segmentation counts up: the
/// one field, beside the checksum over it, that does not survive.
fn count_ids_up(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let id = |frame: &[u8]| see(frame).and_then(|seen| seen.id);
    let mut frames = frames.to_vec();
    if let Some(fixed) = id(&frames[0]).filter(|first| id(&frames[1]) == Some(*first)) {
        for (at, frame) in (0..).zip(&mut frames) {
            let ip = if frame[12..14] == [0x81, 0x00] { 18 } else { 14 };
            let mut packet = MutableIpv4Packet::new(&mut frame[ip..]).expect("a packet");
            packet.set_identification(fixed.wrapping_add(at));
            packet.set_checksum(ipv4::checksum(&packet.to_immutable()));
        }
    }
    frames
}

/// What happens to one packet of a flow, or from it on.
#[derive(Debug, Clone)]
struct Event {
    at: Index,
    kind: u8,
    value: u16,
    stays: bool,
}

const KINDS: u8 = 24;

fn events() -> impl Strategy<Value = Event> {
    let values = prop_oneof![Just(0), Just(1), Just(u16::MAX), any::<u16>()];
    (any::<Index>(), 0..KINDS, values, any::<bool>()).prop_map(|(at, kind, value, stays)| Event {
        at,
        kind,
        value,
        stays,
    })
}

impl Event {
    fn change(&self, packet: &mut Packet) {
        let bit = 1 << (self.value % 8);
        match self.kind {
            0 => packet.mac ^= bit,
            1 => packet.tag = (self.value > 0).then_some(self.value),
            2 => packet.traffic_class ^= bit,
            3 => packet.ttl ^= bit,
            4 => packet.id = packet.id.wrapping_add(self.value),
            5 => packet.fragment ^= [0x4000, 0x2000, 0x8000, 1][usize::from(self.value % 4)],
            6 => packet.host ^= bit,
            7 => packet.port ^= u16::from(bit),
            8 => packet.sequence = packet.sequence.wrapping_add(self.value.into()),
            9 => packet.ack ^= u32::from(bit).rotate_left(self.value.into()),
            10 | 11 => packet.flags ^= bit,
            12 => packet.window ^= u16::from(bit),
            13 => packet.urgent ^= u16::from(bit),
            14 => packet.options.resize(usize::from(self.value % 11), 0x0101_0101),
            15 => packet.payload.resize(usize::from(self.value % 1500), 0x55),
            16 => packet.is_tcp ^= true,
            17 => packet.is_ipv4 ^= true,
            _ => {}
        }
    }

    fn damage(&self, packet: &Packet, data: &mut Vec<u8>) {
        let transport = packet.ip() + if packet.is_ipv4 { 20 } else { 40 };
        let field = transport + if packet.is_tcp { 16 } else { 6 };
        if data.len() < field + 2 {
            return;
        }
        let at = usize::from(self.value) % data.len();
        match self.kind {
            18 => data[at % 120] ^= self.value.to_le_bytes()[1] | 1,
            19 => data.resize(data.len() + at % 20, 0),
            20 => data.truncate(at),
            // The other zero, or none.
            21 => put(data, field, self.value),
            _ => {}
        }
    }
}

/// Frames of a flow to which something happens now and then.
fn trains() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let flow = (
        (any::<bool>(), prop::bool::weighted(0.7), prop::option::of(any::<u16>())),
        (prop_oneof![1..40_usize, 900..1460_usize], 1..1460_usize),
        (0..=10_usize, prop::bool::weighted(0.2)),
    );
    (flow, 1..80_usize, vec(events(), 0..4)).prop_map(|(flow, count, events)| {
        let ((is_ipv4, is_tcp, tag), (len, tail), (options, is_id_fixed)) = flow;
        let options = vec![0x0101_0101; options];
        let mut next = Packet { is_ipv4, is_tcp, tag, options, ..packet(len) };
        let mut frames = Vec::new();
        for at in 0..count {
            let mut packet = next.clone();
            if at + 1 == count {
                packet.payload.truncate(tail);
                packet.flags |= PSH;
            }
            let events = || events.iter().filter(|event| event.at.index(count) == at);
            for event in events() {
                event.change(&mut packet);
                if event.stays {
                    next = packet.clone();
                }
            }
            let mut data = packet.octets();
            events().for_each(|event| event.damage(&packet, &mut data));
            frames.push(data);
            match events().next().map(|event| event.kind) {
                Some(22) => drop(frames.pop()),
                Some(23) if frames.len() > 1 => {
                    let late = frames.len() - 2;
                    frames[late..].reverse();
                }
                _ => {}
            }
            next = next.next();
            if is_id_fixed {
                next.id = packet.id;
            }
        }
        frames
    })
}

proptest! {
    #[test]
    fn segmentation_gives_back_each_frame(trains in vec(trains(), 1..4)) {
        check(&trains.concat());
    }

    #[test]
    fn flows_that_take_turns_stay_in_order(
        (one, other) in (trains(), trains()),
        turns in vec(1..5_usize, 1..100),
    ) {
        let (mut one, mut other) = (one.into_iter(), other.into_iter());
        let mut frames = Vec::new();
        for (at, turn) in turns.into_iter().enumerate() {
            let flow = if at % 2 == 0 { &mut one } else { &mut other };
            frames.extend(flow.take(turn));
        }
        check(&frames);
    }

    #[test]
    fn any_octets_pass(frames in vec(vec(any::<u8>(), 0..120), 0..10)) {
        check(&frames);
    }
}

fn train(first: Packet, count: usize) -> Vec<Packet> {
    std::iter::successors(Some(first), |packet| Some(packet.next())).take(count).collect()
}

fn octets(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(Packet::octets).collect()
}

/// Groups of a train of six whose third packet is changed.
fn third(first: Packet, change: impl FnOnce(&mut Packet)) -> Vec<usize> {
    let mut packets = train(first, 6);
    change(&mut packets[2]);
    counts(&octets(&packets))
}

#[test]
fn a_flow_becomes_super_frames_up_to_their_bounds() {
    for is_tcp in [true, false] {
        for is_ipv4 in [true, false] {
            for tag in [None, Some(0xe064)] {
                let packet = |len| Packet { is_tcp, is_ipv4, tag, ..packet(len) };
                assert_eq!(counts(&octets(&train(packet(100), 130))), [64, 64, 2]);
                // 65,535 octets less headers of 54 to 90, in segments of 1,448.
                assert_eq!(counts(&octets(&train(packet(1448), 64))), [45, 19]);
            }
        }
    }
}

#[test]
fn a_short_segment_ends_its_super_frame() {
    let mut packets = train(packet(100), 3);
    let mut last = packets[2].next();
    last.payload.truncate(1);
    packets.extend(train(last.clone(), 1));
    packets.extend(train(last.next(), 2));
    assert_eq!(counts(&octets(&packets)), [4, 2]);
    assert_eq!(third(packet(100), |packet| packet.payload.push(0)), [2, 1, 3]);
}

#[test]
fn psh_and_fin_end_a_super_frame_and_cwr_begins_one() {
    assert_eq!(third(packet(100), |packet| packet.flags |= PSH), [3, 3]);
    assert_eq!(third(packet(100), |packet| packet.flags |= FIN), [3, 3]);
    assert_eq!(third(packet(100), |packet| packet.flags |= CWR), [2, 4]);
    assert_eq!(third(packet(100), |packet| packet.flags |= SYN), [2, 1, 3]);
    let mut packets = train(packet(100), 4);
    packets[0].flags |= CWR;
    packets[3].flags |= PSH;
    let (_, whole) = coalesce(&octets(&packets)).remove(0);
    assert!(whole.offload().ecn);
    assert_eq!(whole.data()[47], CWR | ACK | PSH);
}

#[test]
fn segments_whose_headers_differ_are_not_joined() {
    let alone = [2, 1, 3];
    assert_eq!(third(packet(100), |packet| packet.mac += 1), alone);
    assert_eq!(third(packet(100), |packet| packet.tag = Some(100)), alone);
    assert_eq!(third(packet(100), |packet| packet.traffic_class = 3), alone);
    assert_eq!(third(packet(100), |packet| packet.ttl -= 1), alone);
    assert_eq!(third(packet(100), |packet| packet.fragment = 0), alone);
    assert_eq!(third(packet(100), |packet| packet.id += 2), alone);
    assert_eq!(third(packet(100), |packet| packet.host += 1), alone);
    assert_eq!(third(packet(100), |packet| packet.port += 1), alone);
    assert_eq!(third(packet(100), |packet| packet.sequence += 1), alone);
    assert_eq!(third(packet(100), |packet| packet.ack += 1), alone);
    assert_eq!(third(packet(100), |packet| packet.window += 1), alone);
    assert_eq!(third(packet(100), |packet| packet.options[1] += 1), alone);
    let tagged = Packet { tag: Some(100), ..packet(100) };
    assert_eq!(third(tagged, |packet| packet.tag = Some(101)), alone);
}

#[test]
fn a_frame_with_a_wrong_checksum_stays_alone() {
    for is_tcp in [true, false] {
        let first = Packet { is_tcp, ..packet(100) };
        for at in [0, 2, 5] {
            let mut frames = octets(&train(first.clone(), 6));
            frames[at][90] ^= 0x40;
            let want: &[usize] = if at == 2 {
                &[2, 1, 3]
            } else if at == 0 {
                &[1, 5]
            } else {
                &[5, 1]
            };
            assert_eq!(counts(&frames), want);
            frames[at][90] ^= 0x40;
            frames[at][24] ^= 0x40;
            assert_eq!(counts(&frames), want);
        }
    }
}

/// Sets a word of each frame of a train, and `checksum` as if it were right so
/// (RFC 1624): what only the check of that word can refuse.
fn forged(first: Packet, at: usize, word: u16, checksum: Option<usize>) -> Vec<usize> {
    let mut frames = octets(&train(first, 4));
    for frame in &mut frames {
        let was = get(frame, at);
        put(frame, at, word);
        if let Some(field) = checksum {
            let sum = [!get(frame, field), !was, word].map(u64::from).iter().sum();
            put(frame, field, !fold(sum));
        }
    }
    counts(&frames)
}

#[test]
fn headers_that_do_not_fit_the_frame_are_refused_whatever_their_checksums() {
    let (v4, ip) = (packet(100), Some(24));
    let v6 = Packet { is_ipv4: false, ..packet(100) };
    let udp = Packet { is_tcp: false, ..packet(100) };
    assert_eq!(forged(v4.clone(), 14, 0x4500, ip), [4], "nothing is changed");
    assert_eq!(forged(v4.clone(), 14, 0x4600, ip), [1; 4], "IPv4 options");
    assert_eq!(forged(v4.clone(), 16, 148, ip), [1; 4], "IPv4 length");
    assert_eq!(forged(v4, 46, 0x4010, Some(50)), [1; 4], "TCP data offset");
    assert_eq!(forged(udp, 38, 107, Some(40)), [1; 4], "UDP length");
    assert_eq!(forged(v6.clone(), 14, 0x5000, None), [1; 4], "IPv6 version");
    assert_eq!(forged(v6, 18, 128, None), [1; 4], "IPv6 length");
}

#[test]
fn reserved_bits_of_tcp_are_part_of_the_header() {
    let mut frames = octets(&train(packet(100), 6));
    put(&mut frames[2], 46, 0x8110);
    let checksum = get(&frames[2], 50);
    put(&mut frames[2], 50, checksum - 0x100);
    assert_eq!(counts(&frames), [2, 1, 3]);
}

#[test]
fn the_zero_that_segmentation_does_not_write_stays_alone() {
    // What the checksum is goes into the identification, or into the payload.
    let third = train(packet(100), 3).remove(2).octets();
    let id = fold(u64::from(get(&third, 18)) + u64::from(get(&third, 24)));
    let mut frames = octets(&train(Packet { id: id - 2, ..packet(100) }, 6));
    assert_eq!((counts(&frames), get(&frames[2], 24)), (vec![6], 0));
    put(&mut frames[2], 24, 0xffff);
    assert_eq!(counts(&frames), [2, 1, 3]);
    for (is_tcp, field, payload, written, other) in
        [(true, 50, 66, 0, 0xffff), (false, 40, 42, 0xffff, 0)]
    {
        let mut frames = octets(&train(Packet { is_tcp, ..packet(100) }, 6));
        let third = &mut frames[2];
        let word = fold(u64::from(get(third, payload)) + u64::from(get(third, field)));
        put(third, payload, word);
        put(third, field, written);
        assert_eq!(counts(&frames), [6]);
        put(&mut frames[2], field, other);
        assert_eq!(counts(&frames), [2, 1, 3]);
    }
}

#[test]
fn identifications_count_up_or_stay_where_df_is_set() {
    let fixed = |fragment| {
        let mut packets = train(Packet { fragment, ..packet(100) }, 6);
        packets.iter_mut().for_each(|packet| packet.id = 0);
        counts(&octets(&packets))
    };
    assert_eq!(fixed(0x4000), [6]);
    assert_eq!(fixed(0), [1; 6]);
    assert_eq!(third(Packet { fragment: 0, ..packet(100) }, |_| ()), [6]);
}

/// Messages of these frames, joined: how many there are then, and the segments of them all.
fn rejoined(frames: &[Frame]) -> (usize, Vec<Vec<u8>>) {
    let (mut block, mut coalescer, mut joined) = (Vec::new(), Coalescer::default(), Vec::new());
    let mut places = Vec::new();
    for frame in frames {
        block.resize(block.len() + 12, 0x55);
        places.push((block.len()..block.len() + frame.len(), *frame.offload()));
        block.extend_from_slice(frame.data());
    }
    for (place, offload) in places {
        joined.extend(coalescer.push(&mut block, place, offload));
    }
    joined.extend(coalescer.finish(&mut block));
    let mut segments = Vec::new();
    for Joined { place, offload } in &joined {
        let whole = Frame::with_offload(Bytes::copy_from_slice(&block[place.clone()]), *offload);
        segment(whole, |frame| segments.push(frame.data().to_vec())).expect("it fits");
    }
    (joined.len(), segments)
}

proptest! {
    #[test]
    fn super_frames_are_joined_as_their_segments_would_be(
        trains in vec(trains(), 1..4),
        runs in vec(1..20_usize, 1..20),
    ) {
        let frames = trains.concat();
        let (mut rest, mut messages, mut expected) = (&frames[..], Vec::new(), Vec::new());
        for run in runs.iter().cycle() {
            let (taken, others) = rest.split_at((*run).min(rest.len()));
            for message in joined(taken) {
                segment(message.clone(), |frame| expected.push(frame.data().to_vec()))
                    .expect("it fits");
                messages.push(message);
            }
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        let (count, segments) = rejoined(&messages);
        prop_assert!(count <= messages.len());
        let ids_up = |frames: &[Vec<u8>]| frames.iter().map(|frame| without_id(frame)).collect::<Vec<_>>();
        prop_assert_eq!(ids_up(&segments), ids_up(&expected));
    }
}

/// The frame without what does not survive: see [`count_ids_up`].
fn without_id(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if see(&frame).is_some_and(|seen| seen.id.is_some()) {
        let ip = if frame[12..14] == [0x81, 0x00] { 18 } else { 14 };
        frame[ip + 4..ip + 6].fill(0);
        frame[ip + 10..ip + 12].fill(0);
    }
    frame
}

#[test]
fn messages_with_work_left_on_them_are_joined_by_what_it_says() {
    let segments = octets(&train(packet(1000), 30));
    let halves = [joined(&segments[..10]), joined(&segments[10..])].concat();
    assert_eq!(halves.len(), 2);
    assert_eq!(rejoined(&halves), (1, segments.clone()));
    let single = Frame::new(Bytes::copy_from_slice(&segments[10]));
    assert_eq!(rejoined(&[halves[0].clone(), single]), (1, segments[..11].to_vec()));
    // What lacks its checksum need not be verified, and gets a right one.
    let (front, csum) = (halves[0].clone(), halves[0].offload().csum);
    let mut lacking = segments[10].clone();
    let sum = pseudo(&lacking).to_be_bytes();
    lacking[50..52].copy_from_slice(&sum);
    let lacking = Frame::with_offload(lacking.into(), Offload { csum, ..Offload::NONE });
    assert_eq!(rejoined(&[front.clone(), lacking.clone()]), (1, segments[..11].to_vec()));
    // The checksum of something else in it is no matter of the flow.
    let elsewhere = Offload { csum: Some((14, 16)), ..Offload::NONE };
    let odd = Frame::with_offload(lacking.into_data(), elsewhere);
    assert_eq!(rejoined(&[front, odd]).0, 2);
}

/// Sum of the pseudo-header of a TCP packet over IPv4 without options.
fn pseudo(frame: &[u8]) -> u16 {
    let words = frame[26..34].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = words.sum::<u32>() + 6 + u32::try_from(frame.len() - 34).expect("short");
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded")
}

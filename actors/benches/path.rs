//! The parts of a frame's path by themselves: the relay's decision, segmentation of
//! super-frames and its inverse, and WebSocket framing. No input or output, no actors; `make bench`
//! measures the whole.

use std::{hint::black_box, time::Instant};

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use etherws_actors::{
    batch::BATCH_FRAMES,
    bench::{Onlooker, coalesce, segment},
    fdb::{DEFAULT_AGING_TIME, DEFAULT_CAPACITY, Fdb, PortNumber},
    frame::{Frame, Gso, Offload},
    mirror::Filter,
    relay::Relay,
    tunnel::codec::{Decoder, Header, MAX_MESSAGE_LEN, Opcode, Role, mask_copy},
};

/// Full frames at an MTU of 1500.
const FRAME: usize = 1514;

/// Payload of a TCP segment at that MTU, with timestamps.
const MSS: u16 = 1448;

/// Ethernet, IPv4 and TCP with timestamps.
const HEADERS: usize = 14 + 20 + 32;

/// Segments of the longest super-frame of TCP.
const SEGMENTS: usize = 45;

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn mac(station: u32) -> [u8; 6] {
    let [a, b, c, d] = station.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn frame(src: u32, dst: u32) -> Frame {
    let mut data = [mac(dst), mac(src)].concat();
    data.resize(FRAME, 0);
    Frame::new(data.into())
}

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay");
    group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
    for stations in [2, 10_000] {
        let mut relay = Relay::new(Fdb::new(DEFAULT_AGING_TIME, DEFAULT_CAPACITY));
        let now = Instant::now();
        let ports = [PortNumber::FIRST, PortNumber::FIRST.next()];
        for station in 0..stations {
            relay.relay(ports[station as usize % 2], &frame(station, u32::MAX), now);
        }
        // A stride that no cache line or hash bucket repeats.
        let frames: Vec<_> = (0u32..)
            .take(BATCH_FRAMES)
            .map(|at| frame(at * 2 * 79 % stations, (at * 2 * 83 + 1) % stations))
            .collect();
        group.bench_function(format!("{stations} addresses"), |b| {
            b.iter(|| {
                for frame in &frames {
                    black_box(relay.relay(ports[0], frame, now));
                }
            });
        });
    }
    group.finish();
}

/// What it costs that somebody looks for hosts in all that comes in.
fn looking_on(c: &mut Criterion) {
    let mut group = c.benchmark_group("looking for hosts");
    group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
    let of = |ethertype: [u8; 2], protocol_at: usize, protocol| {
        let mut data = [mac(1), mac(2)].concat();
        data.extend(ethertype);
        data.resize(FRAME, 0);
        data[14] = 0x45;
        data[protocol_at] = protocol;
        vec![Frame::new(data.into()); BATCH_FRAMES]
    };
    for (name, frames) in [
        ("TCP over IPv4", of([0x08, 0x00], 23, 6)),
        ("UDP over IPv4", of([0x08, 0x00], 23, 17)),
        ("TCP over IPv6", of([0x86, 0xdd], 20, 6)),
    ] {
        let now = Instant::now();
        let Some((mut onlooker, _reader)) = Onlooker::new(Filter::hosts()) else { return };
        group.bench_function(name, |b| b.iter(|| onlooker.received(black_box(&frames), now)));
    }
    group.finish();
}

/// A super-frame of TCP over IPv4, as a TAP with offload gives it.
fn super_frame() -> Frame {
    let len = HEADERS + SEGMENTS * usize::from(MSS);
    let mut data = vec![0; len];
    data[12..14].copy_from_slice(&[0x08, 0x00]);
    data[14] = 0x45;
    let ip_len = u16::try_from(len - 14).unwrap_or(u16::MAX);
    data[16..18].copy_from_slice(&ip_len.to_be_bytes());
    data[23] = 6;
    // Header of 8 words; ACK and PSH.
    data[46..48].copy_from_slice(&[0x80, 0x18]);
    let offload = Offload { gso: Gso::Tcp4, gso_size: MSS, csum: Some((34, 16)), ecn: false };
    Frame::with_offload(data.into(), offload)
}

fn segmentation(c: &mut Criterion) {
    let frame = super_frame();
    let mut segments = 0;
    assert!(segment(frame.clone(), |_| segments += 1) && segments == SEGMENTS);
    let mut group = c.benchmark_group("segmentation");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("TCP over IPv4, 64 KiB", |b| {
        b.iter(|| segment(frame.clone(), |segment| drop(black_box(segment))));
    });
    group.finish();
}

fn coalescing(c: &mut Criterion) {
    let (mut block, mut places) = (Vec::new(), Vec::new());
    assert!(segment(super_frame(), |frame| {
        block.resize(block.len() + 8, 0);
        places.push(block.len()..block.len() + frame.len());
        block.extend_from_slice(frame.data());
    }));
    assert_eq!(coalesce(&mut block.clone(), places.iter().cloned()), 1);
    let mut group = c.benchmark_group("coalescing");
    group.throughput(Throughput::Bytes(super_frame().len() as u64));
    group.bench_function("TCP over IPv4, 64 KiB", |b| {
        b.iter_batched_ref(
            || block.clone(),
            |block| coalesce(block, places.iter().cloned()),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// A batch of messages as a peer in `role` sends them.
fn messages(role: Role) -> BytesMut {
    let mask = matches!(role, Role::Client).then_some(KEY);
    let mut stream = BytesMut::new();
    for _ in 0..BATCH_FRAMES {
        stream.extend_from_slice(Header::new(Opcode::Binary, FRAME, mask).as_slice());
        stream.extend_from_slice(&[0; FRAME]);
    }
    stream
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Bytes((BATCH_FRAMES * FRAME) as u64));
    for (name, peer, role) in [
        ("decode, masked", Role::Client, Role::Server),
        ("decode, not masked", Role::Server, Role::Client),
    ] {
        let stream = messages(peer);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (Decoder::new(role, MAX_MESSAGE_LEN), stream.clone()),
                |(decoder, stream)| {
                    let (mut count, mut at) = (0, 0);
                    while let Ok(Some(event)) = decoder.decode(stream, &mut at) {
                        black_box(event);
                        count += 1;
                    }
                    assert_eq!(count, BATCH_FRAMES);
                },
                BatchSize::LargeInput,
            );
        });
    }
    let (from, mut to) = (Bytes::from(vec![0; FRAME]), vec![0; FRAME]);
    group.bench_function("encode, masked", |b| {
        b.iter(|| {
            for _ in 0..BATCH_FRAMES {
                black_box(Header::new(Opcode::Binary, FRAME, Some(KEY)));
                mask_copy(black_box(&mut to), &from, KEY);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, relay, looking_on, segmentation, coalescing, codec);
criterion_main!(benches);

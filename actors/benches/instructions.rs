//! Frames through the relay, to be counted and not timed: `bench/compare` runs it under
//! valgrind with two numbers of frames, and what the greater one costs more is the price
//! of a frame.
//!
//! It is compiled with older commits as well: only `relay`, `fdb` and `frame` are used.
//!
//! ```sh
//! cargo bench --bench instructions -- 10000-addresses 64000
//! ```

use std::{env, hint::black_box, time::Instant};

use etherws_actors::{
    fdb::{DEFAULT_AGING_TIME, DEFAULT_CAPACITY, Fdb, PortNumber},
    frame::Frame,
    relay::Relay,
};

/// Full frames at an MTU of 1500.
const LEN: usize = 1514;

/// Frames that are relayed in turns.
const FRAMES: u32 = 64;

fn mac(station: u32) -> [u8; 6] {
    let [a, b, c, d] = station.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn frame(dst: [u8; 6], src: u32) -> Frame {
    let mut data = [dst, mac(src)].concat();
    data.resize(LEN, 0);
    Frame::new(data.into())
}

/// Relays `count` frames between `stations`, to everybody if `broadcast`.
fn relay(stations: u32, broadcast: bool, count: usize) {
    let mut relay = Relay::new(Fdb::new(DEFAULT_AGING_TIME, DEFAULT_CAPACITY));
    let now = Instant::now();
    let ports = [PortNumber::FIRST, PortNumber::FIRST.next()];
    for station in 0..stations {
        // To a station that is none of them.
        relay.relay(ports[station as usize % 2], &frame(mac(u32::MAX), station), now);
    }
    // A stride that no cache line or hash bucket repeats.
    let frames: Vec<_> = (0..FRAMES)
        .map(|at| {
            let dst = mac((at * 2 * 83 + 1) % stations);
            frame(if broadcast { [0xff; 6] } else { dst }, at * 2 * 79 % stations)
        })
        .collect();
    for frame in frames.iter().cycle().take(count) {
        black_box(relay.relay(ports[0], black_box(frame), now));
    }
}

fn main() {
    // Cargo adds options of its own.
    let words: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let count = words.get(1).and_then(|count| count.parse().ok()).unwrap_or(FRAMES as usize);
    match words.first().map_or("2-addresses", String::as_str) {
        "2-addresses" => relay(2, false, count),
        "10000-addresses" => relay(10_000, false, count),
        "broadcast" => relay(2, true, count),
        other => panic!("no case {other:?}; there are 2-addresses, 10000-addresses, broadcast"),
    }
}

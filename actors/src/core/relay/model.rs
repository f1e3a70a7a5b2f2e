//! The relay's slow truth: what property tests and the fuzzer compare it with. Never
//! part of the program.

use std::time::Duration;

use bytes::Bytes;

use crate::core::relay::*;

pub(crate) const AGING: Duration = Duration::from_secs(10);
const AGING_MS: u64 = 10_000;
/// Less than there are stations, so that the table is full at times.
pub(crate) const CAPACITY: usize = 6;

/// What happens to a relay.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Frame { ingress: u32, vid: u16, src: u8, dst: u8 },
    Wait(u64),
    Flush(u32),
    Collect,
}

/// Stations 0 and 1 are groups, 6 is nobody, the others are stations.
pub(crate) fn mac(station: u8) -> MacAddr {
    match station {
        0 => MacAddr::BROADCAST,
        6 => MacAddr::ZERO,
        1 => MacAddr([1, 0, 0x5e, 0, 0, 1]),
        station => MacAddr([2, 0, 0, 0, 0, station]),
    }
}

pub(crate) fn frame(vid: u16, src: MacAddr, dst: MacAddr) -> Frame {
    numbered(vid, src, dst, 0)
}

/// No two of them are copies of each other.
pub(crate) fn numbered(vid: u16, src: MacAddr, dst: MacAddr, number: usize) -> Frame {
    let mut data = [dst.0, src.0].concat();
    if vid > 0 {
        data.extend([0x81, 0x00]);
        data.extend(vid.to_be_bytes());
    }
    data.extend([0x88, 0xb5]);
    data.extend(number.to_be_bytes());
    Frame::new(Bytes::from(data))
}

pub(crate) fn port(number: u32) -> PortNumber {
    PortNumber::new(number).expect("ports count from 1")
}

/// The slow truth: a list of what was seen, newest last, and when it was searched
/// for what has aged.
#[derive(Default)]
struct Model(Vec<(u16, MacAddr, u32, u64)>, Option<u64>);

impl Model {
    fn learn(&mut self, vid: u16, mac: MacAddr, ingress: u32, now: u64) {
        let known = self.0.iter().position(|&(v, m, ..)| (v, m) == (vid, mac));
        if let Some(at) = known {
            self.0[at] = (vid, mac, ingress, now);
            return;
        }
        if self.0.len() >= CAPACITY && self.1.is_none_or(|searched| now - searched >= 1000) {
            self.collect(now);
            if self.0.len() >= CAPACITY {
                self.make_room();
            }
        }
        if self.0.len() < CAPACITY {
            self.0.push((vid, mac, ingress, now));
        }
    }

    /// Each port that has most loses the one that it has not seen for longest, if that is
    /// two more than its part.
    fn make_room(&mut self) {
        let count = |port| self.0.iter().filter(|&&(_, _, p, _)| p == port).count();
        let most = (1..5).map(count).max().unwrap_or_default();
        let part = CAPACITY.div_ceil(1 + (1..5).filter(|port| count(*port) > 0).count());
        if most < part + 2 {
            return;
        }
        let givers: Vec<_> = (1..5).filter(|port| count(*port) == most).collect();
        for giver in givers {
            let of_giver = self.0.iter().enumerate().filter(|(_, entry)| entry.2 == giver);
            let oldest = of_giver.min_by_key(|(_, entry)| entry.3).map(|(at, _)| at);
            self.0.remove(oldest.expect("it has most"));
        }
    }

    fn collect(&mut self, now: u64) {
        self.0.retain(|&(.., seen)| now - seen <= AGING_MS);
        self.1 = Some(now);
    }

    fn lookup(&self, vid: u16, mac: MacAddr, now: u64) -> Option<u32> {
        let fresh = |seen: u64| now - seen <= AGING_MS;
        self.0
            .iter()
            .find(|&&(v, m, _, seen)| (v, m) == (vid, mac) && fresh(seen))
            .map(|&(.., port, _)| port)
    }
}

/// Takes relay and model through `steps` and compares each verdict and the table.
pub(crate) fn check(steps: impl IntoIterator<Item = Step>) {
    let start = Instant::now();
    let mut now = 0;
    let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
    let mut model = Model::default();
    for (number, step) in steps.into_iter().enumerate() {
        // Too slow for any address to flap.
        now += 250;
        let instant = start + Duration::from_millis(now);
        match step {
            Step::Wait(seconds) => now += 1000 * seconds,
            Step::Flush(number) => {
                relay.flush_port(port(number));
                model.0.retain(|&(.., p, _)| p != number);
            }
            Step::Collect => {
                relay.fdb_mut().collect(instant);
                model.collect(now);
            }
            Step::Frame { ingress, vid, src, dst } => {
                let (src, dst) = (mac(src), mac(dst));
                let valid = !src.is_multicast() && src != MacAddr::ZERO;
                if valid {
                    model.learn(vid, src, ingress, now);
                }
                let expected = match model.lookup(vid, dst, now) {
                    _ if !valid => Verdict::Discard(Discard::InvalidSource),
                    _ if dst == MacAddr::BROADCAST => Verdict::Flood(Class::Broadcast),
                    _ if dst.is_multicast() => Verdict::Flood(Class::Multicast),
                    None => Verdict::Flood(Class::UnknownUnicast),
                    Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
                    Some(egress) => Verdict::Forward(port(egress)),
                };
                let frame = numbered(vid, src, dst, number);
                let (verdict, _) = relay.relay(port(ingress), &frame, instant);
                assert_eq!(verdict, expected);
            }
        }
        let instant = start + Duration::from_millis(now);
        let listed = relay.fdb().entries(instant);
        let mut listed: Vec<_> = listed.map(|(v, m, e)| (v.get(), m, e.port.get())).collect();
        listed.sort_unstable();
        let mut expected: Vec<_> = model
            .0
            .iter()
            .filter(|&&(.., seen)| now - seen <= AGING_MS)
            .map(|&(v, m, p, _)| (v, m, p))
            .collect();
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }
}

/// A frame is discarded exactly where it has no header, or nobody could have sent it.
pub(crate) fn any_octets(frame: &Frame) {
    let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
    let (verdict, _) = relay.relay(port(1), frame, Instant::now());
    let source = frame.header().map(Ethernet::src);
    let expected = match source {
        None => Some(Discard::OnError),
        Some(src) if src.is_multicast() || src == MacAddr::ZERO => Some(Discard::InvalidSource),
        Some(_) => None,
    };
    assert_eq!(verdict.discard(), expected);
}

//! The relay function of the bridge (IEEE 802.1Q, 8.6): where one frame goes.
//!
//! Pure: it knows neither ports' states nor queues nor the clock. A frame is never
//! an error here: it is forwarded, flooded, or discarded for a reason.

use std::time::Instant;

use crate::{
    counters::Discard,
    fdb::{Fdb, Learned, PortNumber},
    frame::Frame,
};

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this port.
    Forward(PortNumber),
    /// Out of every port but the one that it came in by.
    Flood,
    /// Nowhere.
    Discard(Discard),
}

/// The forwarding database and the rules by which frames pass it.
#[derive(Debug)]
pub struct Relay {
    fdb: Fdb,
    learned_entry_discards: u64,
}

impl Relay {
    /// A relay that learns into `fdb`.
    #[must_use]
    pub const fn new(fdb: Fdb) -> Self {
        Self { fdb, learned_entry_discards: 0 }
    }

    /// Decides where `frame`, received by `ingress` at `now`, goes.
    ///
    /// Learns first, so that a frame and its reply never pass each other unlearned.
    /// Frames from a multicast source are forwarded, as the original does, but teach
    /// nothing: no answer could ever go to such an address.
    pub fn relay(&mut self, ingress: PortNumber, frame: &Frame, now: Instant) -> Verdict {
        let Some(header) = frame.header() else {
            return Verdict::Discard(Discard::OnError);
        };
        let (src, dst, vid) = (header.src(), header.dst(), header.vid());
        if !src.is_multicast() && self.fdb.learn(vid, src, ingress, now) == Learned::Refused {
            self.learned_entry_discards += 1;
        }
        if dst.is_multicast() {
            return Verdict::Flood;
        }
        match self.fdb.lookup(vid, dst, now) {
            Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
            Some(egress) => Verdict::Forward(egress),
            None => Verdict::Flood,
        }
    }

    /// The database, to be listed.
    #[must_use]
    pub const fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// The database, to be flushed and collected.
    pub const fn fdb_mut(&mut self) -> &mut Fdb {
        &mut self.fdb
    }

    /// Frames whose source was not learned because the table is full or a static
    /// entry says otherwise (RFC 4188, dot1dTpLearnedEntryDiscards).
    #[must_use]
    pub const fn learned_entry_discards(&self) -> u64 {
        self.learned_entry_discards
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::MacAddr;

    const AGING: Duration = Duration::from_secs(10);
    const CAPACITY: usize = 6;

    #[derive(Debug, Clone)]
    enum Step {
        Frame { ingress: u32, vid: u16, src: u8, dst: u8 },
        Wait(u64),
        Flush(u32),
        Collect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let frame = (1u32..5, 0u16..3, 0u8..6, 0u8..6)
            .prop_map(|(ingress, vid, src, dst)| Step::Frame { ingress, vid, src, dst });
        let step = prop_oneof![
            8 => frame,
            1 => (0u64..12).prop_map(Step::Wait),
            1 => (1u32..5).prop_map(Step::Flush),
            1 => Just(Step::Collect),
        ];
        proptest::collection::vec(step, 0..200)
    }

    /// Stations 0 and 1 are groups, the others are not.
    fn mac(station: u8) -> MacAddr {
        match station {
            0 => MacAddr::BROADCAST,
            1 => MacAddr([1, 0, 0x5e, 0, 0, 1]),
            station => MacAddr([2, 0, 0, 0, 0, station]),
        }
    }

    fn frame(vid: u16, src: MacAddr, dst: MacAddr) -> Frame {
        let mut data = [dst.0, src.0].concat();
        if vid > 0 {
            data.extend([0x81, 0x00]);
            data.extend(vid.to_be_bytes());
        }
        data.extend([0x88, 0xb5]);
        Frame::new(Bytes::from(data))
    }

    fn port(number: u32) -> PortNumber {
        PortNumber::new(number).expect("ports count from 1")
    }

    /// The slow truth: a list of what was seen, newest last.
    #[derive(Default)]
    struct Model(Vec<(u16, MacAddr, u32, u64)>);

    impl Model {
        fn learn(&mut self, vid: u16, mac: MacAddr, ingress: u32, now: u64) {
            let known = self.0.iter().position(|&(v, m, ..)| (v, m) == (vid, mac));
            match known {
                Some(at) => self.0[at] = (vid, mac, ingress, now),
                None if self.0.len() >= CAPACITY => {}
                None => self.0.push((vid, mac, ingress, now)),
            }
        }

        fn lookup(&self, vid: u16, mac: MacAddr, now: u64) -> Option<u32> {
            let fresh = |seen: u64| now - seen <= AGING.as_secs();
            self.0
                .iter()
                .find(|&&(v, m, _, seen)| (v, m) == (vid, mac) && fresh(seen))
                .map(|&(.., port, _)| port)
        }
    }

    proptest! {
        #[test]
        fn relay_agrees_with_a_naive_model(steps in steps()) {
            let start = Instant::now();
            let mut now = 0;
            let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
            let mut model = Model::default();
            for step in steps {
                let instant = start + Duration::from_secs(now);
                match step {
                    Step::Wait(seconds) => now += seconds,
                    Step::Flush(number) => {
                        relay.fdb_mut().flush_port(port(number));
                        model.0.retain(|&(.., p, _)| p != number);
                    }
                    Step::Collect => {
                        relay.fdb_mut().collect(instant);
                        model.0.retain(|&(.., seen)| now - seen <= AGING.as_secs());
                    }
                    Step::Frame { ingress, vid, src, dst } => {
                        let (src, dst) = (mac(src), mac(dst));
                        if !src.is_multicast() {
                            model.learn(vid, src, ingress, now);
                        }
                        let expected = match model.lookup(vid, dst, now) {
                            _ if dst.is_multicast() => Verdict::Flood,
                            None => Verdict::Flood,
                            Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
                            Some(egress) => Verdict::Forward(port(egress)),
                        };
                        let verdict = relay.relay(port(ingress), &frame(vid, src, dst), instant);
                        prop_assert_eq!(verdict, expected);
                    }
                }
                let instant = start + Duration::from_secs(now);
                let listed: Vec<_> = relay.fdb().list(instant).iter()
                    .map(|&(v, m, e)| (v.get(), m, e.port.get())).collect();
                let mut expected: Vec<_> = model.0.iter()
                    .filter(|&&(.., seen)| now - seen <= AGING.as_secs())
                    .map(|&(v, m, p, _)| (v, m, p)).collect();
                expected.sort_unstable();
                prop_assert_eq!(listed, expected);
            }
        }

        #[test]
        fn no_octets_make_the_relay_panic(data: Vec<u8>, ingress in 1u32..9) {
            let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
            let short = Frame::new(Bytes::from(data));
            let verdict = relay.relay(port(ingress), &short, Instant::now());
            prop_assert_eq!(short.header().is_none(), verdict == Verdict::Discard(Discard::OnError));
        }
    }

    #[test]
    fn a_full_table_floods_and_counts_what_it_does_not_learn() {
        let mut relay = Relay::new(Fdb::new(AGING, 1));
        let now = Instant::now();
        relay.relay(port(1), &frame(0, mac(2), mac(0)), now);
        relay.relay(port(2), &frame(0, mac(3), mac(0)), now);
        assert_eq!(relay.learned_entry_discards(), 1);
        assert_eq!(relay.relay(port(3), &frame(0, mac(4), mac(3)), now), Verdict::Flood);
        assert_eq!(relay.relay(port(3), &frame(0, mac(4), mac(2)), now), Verdict::Forward(port(1)));
    }
}

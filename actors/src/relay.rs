//! The relay function of the bridge (IEEE 802.1Q, 8.6): where one frame goes.
//!
//! Pure: it knows neither ports' states nor queues nor the clock. A frame is never
//! an error here: it is forwarded, flooded, or discarded for a reason.

use std::time::Instant;

use crate::{
    counters::Discard,
    fdb::{Fdb, Learned, PortNumber},
    frame::{Frame, Header, MacAddr},
    guard::{flap::Reflections, loops, storm::Class},
};

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this port.
    Forward(PortNumber),
    /// Out of every port but the one that it came in by, if storm control lets it.
    Flood(Class),
    /// It is a loop-detect frame: the loop guard says.
    Probe,
    /// Nowhere.
    Discard(Discard),
}

/// What a frame has said of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// Nothing: it has no source that could be answered.
    Nothing,
    /// The frame came in by another port a moment ago: not believed.
    Reflected,
    /// What the database made of it.
    Learned(Learned),
}

/// The forwarding database and the rules by which frames pass it.
#[derive(Debug)]
pub struct Relay {
    fdb: Fdb,
    reflections: Reflections,
}

impl Relay {
    /// A relay that learns into `fdb`.
    #[must_use]
    pub fn new(fdb: Fdb) -> Self {
        Self { fdb, reflections: Reflections::default() }
    }

    /// Decides where `frame`, received by `ingress` at `now`, goes.
    ///
    /// Learns first, so that a frame and its reply never pass each other unlearned.
    /// Frames from a multicast source are forwarded, as the original does, but teach
    /// nothing: no answer could ever go to such an address. Nor do loop-detect frames.
    pub fn relay(&mut self, ingress: PortNumber, frame: &Frame, now: Instant) -> (Verdict, Lesson) {
        let Some(header) = frame.header() else {
            return (Verdict::Discard(Discard::OnError), Lesson::Nothing);
        };
        let dst = header.dst();
        if dst.is_multicast() {
            return self.relay_group(ingress, header, frame, now);
        }
        let lesson = self.learn(ingress, header, now);
        let verdict = match self.fdb.lookup(header.vid(), dst, now) {
            Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
            Some(egress) => Verdict::Forward(egress),
            None => Verdict::Flood(Class::UnknownUnicast),
        };
        (verdict, lesson)
    }

    fn relay_group(
        &mut self,
        ingress: PortNumber,
        header: Header<'_>,
        frame: &Frame,
        now: Instant,
    ) -> (Verdict, Lesson) {
        if loops::is_probe(header, frame) {
            return (Verdict::Probe, Lesson::Nothing);
        }
        let lesson = if self.reflections.note(ingress, frame, now) {
            Lesson::Reflected
        } else {
            self.learn(ingress, header, now)
        };
        let broadcast = header.dst() == MacAddr::BROADCAST;
        let class = if broadcast { Class::Broadcast } else { Class::Multicast };
        (Verdict::Flood(class), lesson)
    }

    fn learn(&mut self, ingress: PortNumber, header: Header<'_>, now: Instant) -> Lesson {
        let src = header.src();
        if src.is_multicast() {
            return Lesson::Nothing;
        }
        Lesson::Learned(self.fdb.learn(header.vid(), src, ingress, now))
    }

    /// Forgets what was learned behind a port that carries no frames any more.
    pub fn flush_port(&mut self, port: PortNumber) {
        self.fdb.flush_port(port);
        self.reflections.forget(port);
    }

    /// Forgets all of a port that is no more.
    pub fn remove_port(&mut self, port: PortNumber) {
        self.fdb.remove_port(port);
        self.reflections.forget(port);
    }

    /// The database, to be listed.
    #[must_use]
    pub const fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// The database, to be collected and changed by the operator.
    pub const fn fdb_mut(&mut self) -> &mut Fdb {
        &mut self.fdb
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
    const AGING_MS: u64 = 10_000;
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
        numbered(vid, src, dst, 0)
    }

    /// No two of them are copies of each other.
    fn numbered(vid: u16, src: MacAddr, dst: MacAddr, number: usize) -> Frame {
        let mut data = [dst.0, src.0].concat();
        if vid > 0 {
            data.extend([0x81, 0x00]);
            data.extend(vid.to_be_bytes());
        }
        data.extend([0x88, 0xb5]);
        data.extend(number.to_be_bytes());
        Frame::new(Bytes::from(data))
    }

    fn port(number: u32) -> PortNumber {
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
            }
            if self.0.len() < CAPACITY {
                self.0.push((vid, mac, ingress, now));
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

    proptest! {
        #[test]
        fn relay_agrees_with_a_naive_model(steps in steps()) {
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
                        if !src.is_multicast() {
                            model.learn(vid, src, ingress, now);
                        }
                        let expected = match model.lookup(vid, dst, now) {
                            _ if dst == MacAddr::BROADCAST => Verdict::Flood(Class::Broadcast),
                            _ if dst.is_multicast() => Verdict::Flood(Class::Multicast),
                            None => Verdict::Flood(Class::UnknownUnicast),
                            Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
                            Some(egress) => Verdict::Forward(port(egress)),
                        };
                        let frame = numbered(vid, src, dst, number);
                        let (verdict, _) = relay.relay(port(ingress), &frame, instant);
                        prop_assert_eq!(verdict, expected);
                    }
                }
                let instant = start + Duration::from_millis(now);
                let listed: Vec<_> = relay.fdb().list(instant).iter()
                    .map(|&(v, m, e)| (v.get(), m, e.port.get())).collect();
                let mut expected: Vec<_> = model.0.iter()
                    .filter(|&&(.., seen)| now - seen <= AGING_MS)
                    .map(|&(v, m, p, _)| (v, m, p)).collect();
                expected.sort_unstable();
                prop_assert_eq!(listed, expected);
            }
        }

        #[test]
        fn no_octets_make_the_relay_panic(data: Vec<u8>, ingress in 1u32..9) {
            let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
            let short = Frame::new(Bytes::from(data));
            let (verdict, _) = relay.relay(port(ingress), &short, Instant::now());
            prop_assert_eq!(short.header().is_none(), verdict == Verdict::Discard(Discard::OnError));
        }
    }

    #[test]
    fn a_full_table_floods_what_it_does_not_learn_and_keeps_what_is_alive() {
        let mut relay = Relay::new(Fdb::new(AGING, 1));
        let now = Instant::now();
        let mut ask =
            |ingress, src, dst| relay.relay(port(ingress), &frame(0, mac(src), mac(dst)), now);
        ask(1, 2, 0);
        assert_eq!(ask(2, 3, 0).1, Lesson::Learned(Learned::Full));
        assert_eq!(ask(3, 4, 3).0, Verdict::Flood(Class::UnknownUnicast));
        assert_eq!(ask(3, 4, 2).0, Verdict::Forward(port(1)));
    }

    #[test]
    fn a_broadcast_that_is_sent_back_does_not_move_its_sender() {
        let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
        let now = Instant::now();
        let request = frame(0, mac(2), mac(0));
        let flood = Verdict::Flood(Class::Broadcast);
        assert_eq!(relay.relay(port(1), &request, now).0, flood);
        assert_eq!(relay.relay(port(2), &request, now), (flood, Lesson::Reflected));
        let answer = frame(0, mac(3), mac(2));
        assert_eq!(relay.relay(port(2), &answer, now).0, Verdict::Forward(port(1)));
        // A machine that has moved says so in a frame of its own, and is believed.
        let announcement = numbered(0, mac(2), mac(0), 1);
        let moved = Lesson::Learned(Learned::Moved(port(1)));
        assert_eq!(relay.relay(port(2), &announcement, now).1, moved);
    }

    #[test]
    fn loop_detect_frames_teach_nothing() {
        let mut relay = Relay::new(Fdb::new(AGING, CAPACITY));
        let (probe, now) = (loops::LoopGuard::new().probe(port(1)), Instant::now());
        assert_eq!(relay.relay(port(2), &probe, now), (Verdict::Probe, Lesson::Nothing));
        assert_eq!(relay.fdb().list(now), []);
    }
}

//! The relay function of the bridge (IEEE 802.1Q, 8.6): where one frame goes.
//!
//! Pure: it knows neither ports' states nor queues nor the clock. A frame is never
//! an error here: it is forwarded, flooded, or discarded for a reason.

use std::{fmt, time::Instant};

use crate::core::{
    counters::Discard,
    fdb::{Fdb, Key, Learned, PortNumber},
    frame::{Frame, MacAddr, Vid},
    guard::{loops, reflections::Reflections, storm::Class},
    packet::Ethernet,
};

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this port.
    Forward(PortNumber),
    /// Out of every port but the one that it came in by, if storm control lets it.
    Flood(Class),
    /// It is of a protocol that the switch itself takes part in, and decides about.
    Local(Protocol),
    /// Nowhere.
    Discard(Discard),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(port) => write!(f, "forward to {port}"),
            Self::Flood(class) => write!(f, "flood {}", class.name()),
            Self::Local(_) => f.write_str("local"),
            Self::Discard(reason) => write!(f, "discard {}", reason.name()),
        }
    }
}

/// What the switch reads itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// The loop guard's own frames.
    LoopDetect,
    /// A group address that bridges keep to a link, with its last digit: which ports it
    /// passes is a matter of settings.
    LinkLocal(u8),
}

impl Verdict {
    /// Why the frame goes nowhere, if so.
    #[must_use]
    pub const fn discard(self) -> Option<Discard> {
        match self {
            Self::Discard(reason) => Some(reason),
            Self::Forward(_) | Self::Flood(_) | Self::Local(_) => None,
        }
    }
}

/// What a frame has said of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// Nothing.
    Nothing,
    /// The frame came in by this other port a moment ago: not believed.
    Reflected(PortNumber),
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
    /// Learns first, so that a frame and its reply never pass each other unlearned. A frame
    /// whose source no station has goes nowhere. Loop-detect frames teach nothing.
    pub fn relay(&mut self, ingress: PortNumber, frame: &Frame, now: Instant) -> (Verdict, Lesson) {
        let Some((vid, head)) = frame.vlan() else {
            return (Verdict::Discard(Discard::OnError), Lesson::Nothing);
        };
        let [dst, src] = Key::pair(vid, head);
        if dst.is_multicast()
            && let Some(header) = frame.header()
        {
            return self.relay_group(ingress, src, header, frame, now);
        }
        let Some(lesson) = self.learn(ingress, src, now) else {
            return (Verdict::Discard(Discard::InvalidSource), Lesson::Nothing);
        };
        let verdict = match self.fdb.lookup_key(dst, now) {
            Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
            Some(egress) => Verdict::Forward(egress),
            None => Verdict::Flood(Class::UnknownUnicast),
        };
        (verdict, lesson)
    }

    fn relay_group(
        &mut self,
        ingress: PortNumber,
        src: Key,
        header: Ethernet<'_>,
        frame: &Frame,
        now: Instant,
    ) -> (Verdict, Lesson) {
        if loops::is_probe(header, frame) {
            return (Verdict::Local(Protocol::LoopDetect), Lesson::Nothing);
        }
        let lesson = if let Some(other) = self.reflections.note(ingress, frame, now) {
            Lesson::Reflected(other)
        } else if let Some(lesson) = self.learn(ingress, src, now) {
            lesson
        } else {
            return (Verdict::Discard(Discard::InvalidSource), Lesson::Nothing);
        };
        if let Some(number) = header.dst().link_local() {
            return (Verdict::Local(Protocol::LinkLocal(number)), lesson);
        }
        let broadcast = header.dst() == MacAddr::BROADCAST;
        let class = if broadcast { Class::Broadcast } else { Class::Multicast };
        (Verdict::Flood(class), lesson)
    }

    /// `None` where the source is no station's address.
    #[inline]
    fn learn(&mut self, ingress: PortNumber, src: Key, now: Instant) -> Option<Lesson> {
        if src.is_multicast() {
            return None;
        }
        match self.fdb.learn_key(src, ingress, now) {
            Learned::Invalid => None,
            learned => Some(Lesson::Learned(learned)),
        }
    }

    /// Remembers a frame that we send in the name of a station: if it comes back, the station
    /// has not moved.
    pub fn note_announced(&mut self, frame: &Frame, now: Instant) {
        if let Some(header) = frame.header()
            && let Some(port) = self.fdb.lookup(header.vid(), header.src(), now)
        {
            self.reflections.note(port, frame, now);
        }
    }

    /// Forgets all that was learned: the networks behind the ports have changed.
    pub fn flush_learned(&mut self) {
        self.fdb.flush_learned();
        self.reflections = Reflections::default();
    }

    /// Forgets what was learned behind a port that carries no frames any more.
    pub fn flush_port(&mut self, port: PortNumber) {
        self.fdb.flush_port(port);
        self.reflections.forget(port);
    }

    /// Forgets what was learned behind ports, ascending, behind which something has changed.
    pub fn flush_ports(&mut self, ports: &[PortNumber]) {
        self.fdb.flush_ports(ports);
        ports.iter().for_each(|port| self.reflections.forget(*port));
    }

    /// Forgets what was learned behind a port whose VLANs have changed: what is sticky only in
    /// those that it is not in any more.
    pub fn leave_vlans(&mut self, port: PortNumber, is_member: impl Fn(Vid) -> bool) {
        self.fdb.leave_vlans(port, is_member);
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

#[cfg(any(test, fuzzing))]
pub(crate) mod model;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{
        model::{AGING, CAPACITY, Step, frame, mac, numbered, port},
        *,
    };

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let frame = (1u32..5, 0u16..3, 0u8..7, 0u8..7)
            .prop_map(|(ingress, vid, src, dst)| Step::Frame { ingress, vid, src, dst });
        let step = prop_oneof![
            8 => frame,
            1 => (0u64..12).prop_map(Step::Wait),
            1 => (1u32..5).prop_map(Step::Flush),
            1 => Just(Step::Collect),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn relay_agrees_with_a_naive_model(steps in steps()) {
            model::check(steps);
        }

        #[test]
        fn no_octets_make_the_relay_panic(data: Vec<u8>) {
            model::any_octets(&Frame::new(Bytes::from(data)));
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
        assert_eq!(relay.relay(port(2), &request, now), (flood, Lesson::Reflected(port(1))));
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
        let now = Instant::now();
        let mut guard = loops::LoopGuard::new(now);
        guard.open(port(1), true, loops::OFTEN, now);
        let greeting = guard.take_actions().pop();
        let Some(loops::Action::Send(_, probe)) = greeting else { panic!("{greeting:?}") };
        assert_eq!(
            relay.relay(port(2), &probe, now),
            (Verdict::Local(Protocol::LoopDetect), Lesson::Nothing)
        );
        assert_eq!(relay.fdb().entries(now).count(), 0);
    }
}

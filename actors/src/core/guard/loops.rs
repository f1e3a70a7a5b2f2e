//! The loop guard: small frames that a switch sends out of each port and must never
//! see again (docs/protocol.md, "Loop-detect frames").
//!
//! It writes and reads them and says which of two ports is to be blocked; the Switch
//! sends them, blocks, and lets go. A peer can return only what was really sent to
//! somebody, and only while it is fresh.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

use bytes::{BufMut, BytesMut};

use crate::core::{
    fdb::PortNumber,
    frame::{Frame, MacAddr},
    packet::{Ethernet, HEADER_LEN},
};

/// Time between two loop-detect frames of a port: so a loop is found within two
/// seconds even when one is lost.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Rounds for which a loop-detect frame counts as fresh, and without one of which a
/// blocked port is tried again: several may be lost where a storm rages.
const FRESH_ROUNDS: u64 = 5;

/// Up to so many rounds more pass before a port is tried again, by chance. Of two
/// switches that have both blocked a port, one tries first, and finds the other's still
/// blocked: one way is left, and stays.
const SPREAD_ROUNDS: u64 = 4;

/// Destination: a locally administered group address, `ethws` behind its first octet.
/// Bridges flood it as any group; those of 01:80:c2:00:00:00 to 0f they would keep.
pub const PROBE_GROUP: MacAddr = MacAddr([0x03, b'e', b't', b'h', b'w', b's']);

/// IEEE 802, Local Experimental EtherType 1.
const ETHERTYPE: u16 = 0x88b5;

/// What tells these frames from other experiments, with the version at its end.
const MAGIC: [u8; 8] = *b"ethwsLD\x01";

/// Magic, id, port, round and tag: 46 octets with the padding that 802.3 asks for.
const PAYLOAD_LEN: usize = 46;

/// A loop-detect frame that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Of another switch: to be forwarded, since the loop may lead through us.
    Foreign,
    /// Ours, sent out of this port a moment ago.
    Own(PortNumber),
    /// With our id, but not as we have sent any of late.
    Forged,
}

/// Whether a frame is a loop-detect frame, ours or another switch's. It may have got a
/// VLAN tag on its way.
#[must_use]
pub fn is_probe(header: Ethernet<'_>, frame: &Frame) -> bool {
    header.dst() == PROBE_GROUP && header.ethertype() == ETHERTYPE && payload(frame).is_some()
}

fn payload(frame: &Frame) -> Option<&[u8]> {
    frame.header()?.payload().get(..PAYLOAD_LEN).filter(|payload| payload.starts_with(&MAGIC))
}

/// Writes and reads the loop-detect frames of one switch.
#[derive(Debug)]
pub struct LoopGuard {
    id: [u8; 16],
    /// `SipHash` with keys of this process alone: a keyed tag that no peer can make.
    keys: RandomState,
    round: u64,
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl LoopGuard {
    /// A guard with an id of its own.
    #[must_use]
    pub fn new() -> Self {
        let keys = RandomState::new();
        let [high, low] = ["id, high", "id, low"].map(|half| keys.hash_one(half));
        let id = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        Self { id, keys, round: 0 }
    }

    /// Begins the next round. One is a [`PROBE_INTERVAL`] long.
    pub const fn next_round(&mut self) {
        self.round += 1;
    }

    /// The round at hand.
    #[must_use]
    pub const fn round(&self) -> u64 {
        self.round
    }

    /// Whether a port is to be tried again through which a loop was last heard in
    /// `round`.
    #[must_use]
    pub fn is_over(&self, port: PortNumber, round: u64) -> bool {
        let spread = self.keys.hash_one(("spread", port.get(), round)) % SPREAD_ROUNDS;
        self.round > round + FRESH_ROUNDS + spread
    }

    fn tag(&self, port: u32, round: u64) -> u64 {
        self.keys.hash_one((port, round))
    }

    /// The loop-detect frame of a port in this round.
    #[must_use]
    pub fn probe(&self, port: PortNumber) -> Frame {
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|at: usize| self.id[at]);
        let source = [a & 0xfc | 0x02, b, c, d, e, f];
        let mut data = BytesMut::with_capacity(HEADER_LEN + PAYLOAD_LEN);
        data.put_slice(&PROBE_GROUP.0);
        data.put_slice(&source);
        data.put_u16(ETHERTYPE);
        data.put_slice(&MAGIC);
        data.put_slice(&self.id);
        data.put_u32(port.get());
        data.put_u64(self.round);
        data.put_u64(self.tag(port.get(), self.round));
        data.put_bytes(0, HEADER_LEN + PAYLOAD_LEN - data.len());
        Frame::new(data.freeze())
    }

    /// Reads a loop-detect frame.
    #[must_use]
    pub fn read(&self, frame: &Frame) -> Probe {
        let octets = payload(frame).unwrap_or_default();
        let field = |at: usize, len: usize| {
            let octets = octets.get(at..at + len).unwrap_or_default();
            octets.iter().fold(0, |value, &octet| value << 8 | u64::from(octet))
        };
        if octets.get(8..24) != Some(&self.id) {
            return Probe::Foreign;
        }
        let (Ok(port), round, tag) = (u32::try_from(field(24, 4)), field(28, 8), field(36, 8))
        else {
            return Probe::Forged;
        };
        // A guessed tag is right once in 2^64 times: comparing it tells nothing.
        let fresh = round <= self.round && self.round - round <= FRESH_ROUNDS;
        match PortNumber::new(port) {
            Some(number) if fresh && tag == self.tag(port, round) => Probe::Own(number),
            _ => Probe::Forged,
        }
    }
}

/// Of two ports that are joined, or of one that is joined to itself: the one to block.
/// It is the one with the higher number, unless that is not `guarded`.
#[must_use]
pub fn to_block(
    one: PortNumber,
    other: PortNumber,
    guarded: impl Fn(PortNumber) -> bool,
) -> Option<PortNumber> {
    let (low, high) = (one.min(other), one.max(other));
    [high, low].into_iter().find(|&port| guarded(port))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn port(number: u32) -> PortNumber {
        PortNumber::new(number).expect("ports count from 1")
    }

    fn known(frame: &Frame) -> bool {
        frame.header().is_some_and(|header| is_probe(header, frame))
    }

    #[test]
    fn a_switch_knows_its_own_frames_and_no_others() {
        let (ours, theirs) = (LoopGuard::new(), LoopGuard::new());
        let frame = ours.probe(port(7));
        assert!(known(&frame) && frame.len() == 60);
        assert_eq!(ours.read(&frame), Probe::Own(port(7)));
        assert_eq!(theirs.read(&frame), Probe::Foreign);
        let header = frame.header().expect("a header");
        assert!(header.dst().is_multicast() && !header.src().is_multicast());
        assert_eq!(header.src().0[0] & 2, 2, "locally administered");
    }

    #[test]
    fn a_tag_that_a_bridge_adds_hides_nothing() {
        let guard = LoopGuard::new();
        let mut data = guard.probe(port(7)).into_data().to_vec();
        data.splice(12..12, [0x81, 0x00, 0x00, 0x0a]);
        let frame = Frame::new(data.into());
        assert!(known(&frame));
        assert_eq!(guard.read(&frame), Probe::Own(port(7)));
    }

    #[test]
    fn old_frames_and_those_of_the_future_count_for_nothing() {
        let mut guard = LoopGuard::new();
        let frame = guard.probe(port(1));
        for _ in 0..FRESH_ROUNDS {
            guard.next_round();
            assert_eq!(guard.read(&frame), Probe::Own(port(1)));
        }
        guard.next_round();
        assert_eq!(guard.read(&frame), Probe::Forged);
    }

    proptest! {
        #[test]
        fn no_changed_octet_of_port_round_or_tag_is_taken(at in 38usize..58, flip in 1u8..) {
            let guard = LoopGuard::new();
            let mut data = guard.probe(port(7)).into_data().to_vec();
            data[at] ^= flip;
            prop_assert_eq!(guard.read(&Frame::new(data.into())), Probe::Forged);
        }

        #[test]
        fn no_octets_make_it_panic(data: Vec<u8>) {
            let mut whole = LoopGuard::new().probe(port(1)).into_data().to_vec();
            whole.splice(22.., data.iter().copied());
            for data in [data, whole] {
                let frame = Frame::new(Bytes::from(data));
                known(&frame);
                prop_assert_eq!(LoopGuard::new().read(&frame), Probe::Foreign);
            }
        }
    }

    #[test]
    fn the_higher_number_is_blocked_unless_it_is_not_guarded() {
        assert_eq!(to_block(port(3), port(5), |_| true), Some(port(5)));
        assert_eq!(to_block(port(5), port(3), |_| true), Some(port(5)));
        assert_eq!(to_block(port(3), port(5), |p| p == port(3)), Some(port(3)));
        assert_eq!(to_block(port(3), port(3), |_| true), Some(port(3)));
        assert_eq!(to_block(port(3), port(5), |_| false), None);
    }
}

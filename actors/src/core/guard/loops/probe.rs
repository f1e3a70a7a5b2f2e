//! The loop-detect frame (docs/protocol.md, "Loop-detect frames"): how it is written, read and
//! passed on. What it proves is the guard's business.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use bytes::{BufMut, BytesMut};

use crate::core::{
    fdb::PortNumber,
    frame::{Frame, MacAddr, Vid},
    packet::{Ethernet, HEADER_LEN, Tag},
};

/// Destination: a locally administered group address, `ethws` behind its first octet.
/// Bridges flood it as any group; those of 01:80:c2:00:00:00 to 0f they would keep.
pub const PROBE_GROUP: MacAddr = MacAddr([0x03, b'e', b't', b'h', b'w', b's']);

/// IEEE 802, Local Experimental EtherType 1.
const ETHERTYPE: u16 = 0x88b5;

/// What tells these frames from other experiments, with the version at its end. Frames of
/// another version are ordinary ones.
const MAGIC: [u8; 8] = *b"ethwsLD\x02";

/// Magic, id, port, round, tag and hops: 46 octets with the padding that 802.3 asks for.
const PAYLOAD_LEN: usize = 46;

/// Where the hops stand in the payload: the only octet that may change on the way.
const HOPS_AT: usize = 44;

/// Bits of the field `round` that count rounds; those above are the VLAN.
const ROUND_BITS: u32 = 48;

/// Names a switch: random bits. Of those on a loop the one with the lowest decides.
pub(super) type Id = [u8; 16];

/// What a loop-detect frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// The switch that sent it.
    pub(super) id: Id,
    /// The port that it left by.
    pub(super) port: u32,
    /// When, in rounds of that switch.
    pub(super) round: u64,
    /// The VLAN that it was sent in. One that comes back in another VLAN proves no loop.
    pub(super) vid: Vid,
    /// Shows that it is that switch's own: a `SipHash` with keys of its process only.
    pub(super) tag: u64,
    /// By how many switches it may still be passed on.
    pub(super) hops: u8,
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

impl Probe {
    /// Reads a loop-detect frame; `None` if it is none.
    pub(super) fn read(frame: &Frame) -> Option<Self> {
        let octets = payload(frame)?;
        let number = |at: usize, len: usize| {
            octets[at..at + len].iter().fold(0, |value, &octet| value << 8 | u64::from(octet))
        };
        Some(Self {
            id: *octets[8..].first_chunk()?,
            port: u32::try_from(number(24, 4)).ok()?,
            round: number(28, 8) & ((1 << ROUND_BITS) - 1),
            vid: Vid::from_tci(u16::from_be_bytes(*octets[28..].first_chunk()?)),
            tag: number(36, 8),
            hops: octets[HOPS_AT],
        })
    }

    /// Its frame in a VLAN.
    pub(super) fn frame(self, vid: Vid) -> Frame {
        let [a, b, c, d, e, f, ..] = self.id;
        let source = [a & 0xfc | 0x02, b, c, d, e, f];
        let mut data = BytesMut::with_capacity(HEADER_LEN + PAYLOAD_LEN);
        data.put_slice(&PROBE_GROUP.0);
        data.put_slice(&source);
        data.put_u16(ETHERTYPE);
        data.put_slice(&MAGIC);
        data.put_slice(&self.id);
        data.put_u32(self.port);
        data.put_u64(u64::from(self.vid.get()) << ROUND_BITS | self.round);
        data.put_u64(self.tag);
        data.put_u8(self.hops);
        data.put_bytes(0, HEADER_LEN + PAYLOAD_LEN - data.len());
        let frame = Frame::new(data.freeze());
        if vid == Vid::UNTAGGED { frame } else { frame.push_tag(Tag::customer(vid.get())) }
    }
}

/// What makes probes that nobody else can make.
#[derive(Debug)]
pub(super) struct Keys(RandomState);

impl Keys {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// An id that nobody can foresee.
    pub(super) fn id(&self) -> Id {
        let [high, low] = ["id, high", "id, low"].map(|half| self.0.hash_one(half));
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    /// The tag of a port in a round and a VLAN.
    pub(super) fn tag(&self, port: PortNumber, round: u64, vid: Vid) -> u64 {
        self.0.hash_one((port.get(), round, vid))
    }

    /// By which a probe of another switch is known again, whatever hops are left to it.
    pub(super) fn signature(&self, probe: &Probe) -> u64 {
        self.0.hash_one((probe.id, probe.port, probe.round, probe.vid, probe.tag))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn probe() -> Probe {
        let (vid, tag) = (Vid::from_tci(4094), u64::MAX - 1);
        Probe { id: *b"0123456789abcdef", port: 7, round: 9, vid, tag, hops: 3 }
    }

    #[test]
    fn a_probe_is_read_as_it_was_written() {
        let frame = probe().frame(Vid::UNTAGGED);
        let header = frame.header().expect("a header");
        assert!(is_probe(header, &frame) && frame.len() == 60);
        assert!(header.dst().is_multicast() && !header.src().is_multicast());
        assert_eq!(header.src().0[0] & 2, 2, "locally administered");
        assert_eq!(Probe::read(&frame), Some(probe()));
    }

    #[test]
    fn a_tag_that_a_bridge_adds_hides_nothing() {
        let mut data = probe().frame(Vid::UNTAGGED).into_data().to_vec();
        data.splice(12..12, [0x81, 0x00, 0x00, 0x0a]);
        assert_eq!(Probe::read(&Frame::new(data.into())), Some(probe()));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(data: Vec<u8>) {
            let mut whole = probe().frame(Vid::UNTAGGED).into_data().to_vec();
            whole.splice(22.., data.iter().copied());
            for data in [data, whole] {
                Probe::read(&Frame::new(Bytes::from(data)));
            }
        }
    }
}

//! The frames of an egress queue, in two lanes: urgent ones leave first.
//!
//! Inside `queue`. Urgent is what is small and awaited: ARP, ICMP with neighbor
//! discovery, TCP without payload, and what the switch itself tells its neighbors. It never changes
//! the order within a flow, and an urgent lane of bounded length cannot starve the other.

use std::{collections::VecDeque, hash::BuildHasher};

use foldhash::fast::RandomState;

use crate::core::{
    batch::{BATCH_FRAMES, Source},
    fair::Fair,
    frame::Frame,
    gauge::cost,
    packet::{ETHERTYPE_ARP, IpNextHeaderProtocols, tcp_header_len},
};

/// Longest urgent frame: room for all headers of a TCP segment, and for what asks
/// and answers in ICMP.
pub(crate) const URGENT_OCTETS: usize = 256;

/// Most frames in the urgent lane; further ones queue with the others. A batch has
/// room for as many again.
const URGENT_FRAMES: usize = BATCH_FRAMES / 2;

/// Flows are told apart by a hash of 8 bits: two that share one cost an urgent frame
/// its lane, and nothing else.
const FLOWS: usize = 256;

/// Frames in the order in which they leave.
#[derive(Debug)]
pub(crate) struct Lanes {
    urgent: VecDeque<(Source, Frame)>,
    bulk: Fair<(Flow, Frame)>,
    /// How many frames of each flow the bulk lane holds.
    queued: [u32; FLOWS],
    hasher: RandomState,
}

/// Hash of a flow that has urgent frames at times; `None` for all other frames.
type Flow = Option<u8>;

impl Default for Lanes {
    fn default() -> Self {
        Self {
            urgent: VecDeque::new(),
            bulk: Fair::default(),
            queued: [0; FLOWS],
            hasher: RandomState::default(),
        }
    }
}

impl Lanes {
    /// Queues a frame: in the urgent lane if it is urgent, nothing of its flow is in the
    /// other, and its source is not far ahead of its part of the link.
    pub(crate) fn push(&mut self, source: Source, frame: Frame) {
        let (flow, is_urgent) = match self.classify(source, &frame) {
            Some((flow, is_urgent)) => (Some(flow), is_urgent),
            None => (None, false),
        };
        let queued = flow.map(|flow| &mut self.queued[usize::from(flow)]);
        match queued {
            Some(0)
                if is_urgent
                    && self.urgent.len() < URGENT_FRAMES
                    && self.bulk.pass(source, cost(&frame)) =>
            {
                self.urgent.push_back((source, frame));
                return;
            }
            Some(queued) => *queued += 1,
            None => {}
        }
        self.bulk.push(source, (flow, frame));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.bulk.is_empty()
    }

    /// Whether flooded frames wait that are not urgent.
    pub(crate) fn has_flooded(&self) -> bool {
        self.bulk.has_flooded()
    }

    /// The next frame; without `flooded` the next that is not, or is urgent.
    pub(crate) fn front(&self, flooded: bool) -> Option<&Frame> {
        let urgent = self.urgent.front().map(|(_, frame)| frame);
        urgent.or_else(|| self.bulk.front(flooded).map(|(_, frame)| frame))
    }

    /// Takes the next frame.
    pub(crate) fn pop(&mut self, flooded: bool) -> Option<(Source, Frame)> {
        self.urgent.pop_front().or_else(|| {
            let (source, (flow, frame)) = self.bulk.pop(flooded, |(_, frame)| cost(frame))?;
            if let Some(flow) = flow {
                self.queued[usize::from(flow)] -= 1;
            }
            Some((source, frame))
        })
    }

    /// Gives back, when there is no frame, the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.bulk.shrink();
        }
    }

    /// The frame's flow, and whether it is urgent. Fragments have no ports: they wait.
    fn classify(&self, source: Source, frame: &Frame) -> Option<(u8, bool)> {
        let header = frame.header()?;
        if header.ethertype() == ETHERTYPE_ARP {
            return Some((self.hash(header.addresses()), is_small(frame)));
        }
        let Some(ip) = header.ip() else {
            // What the switch itself tells its neighbors: who does not hear it takes it for dead.
            let is_own = source == Source::OWN && header.dst().link_local().is_some();
            return is_own.then(|| (self.hash(header.addresses()), is_small(frame)));
        };
        match ip.protocol()? {
            IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => {
                Some((self.hash(ip.addresses()), is_small(frame)))
            }
            IpNextHeaderProtocols::Tcp => {
                let payload = ip.payload();
                let header_len = tcp_header_len(payload)?;
                let (ports, is_bare) = (&payload[..4], payload.len() == header_len);
                let flow = self.hasher.hash_one((ip.addresses(), ports));
                Some((top_octet(flow), is_bare && is_small(frame)))
            }
            _ => None,
        }
    }

    fn hash(&self, octets: &[u8]) -> u8 {
        top_octet(self.hasher.hash_one(octets))
    }
}

fn is_small(frame: &Frame) -> bool {
    frame.len() <= URGENT_OCTETS
}

const fn top_octet(hash: u64) -> u8 {
    hash.to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::core::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Tag, reference};

    const PROTOCOL_ICMP: u8 = 1;
    const PROTOCOL_TCP: u8 = 6;
    const PROTOCOL_ICMPV6: u8 = 58;

    fn ethernet(ethertype: u16, rest: &[u8]) -> Frame {
        Frame::new(Bytes::from([&[2; 12], &ethertype.to_be_bytes()[..], rest].concat()))
    }

    /// A packet over IPv4 that ends in `mark`.
    fn ipv4(protocol: u8, transport: &[u8], payload: usize, mark: u8) -> Frame {
        let mut ip =
            vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ip.extend(transport);
        ip.resize(ip.len() + payload, mark);
        let len = u16::try_from(ip.len()).expect("a packet").to_be_bytes();
        ip[2..4].copy_from_slice(&len);
        // Padding of Ethernet is no payload.
        ip.resize(ip.len().max(46), 0);
        ethernet(ETHERTYPE_IPV4, &ip)
    }

    fn tcp(port: u8, payload: usize, mark: u8) -> Frame {
        let mut header = [0; 20];
        (header[1], header[8], header[12]) = (port, mark, 0x50);
        ipv4(PROTOCOL_TCP, &header, payload, mark)
    }

    fn ping(payload: usize) -> Frame {
        ipv4(PROTOCOL_ICMP, &[8, 0, 0, 0], payload, 1)
    }

    fn icmpv6() -> Frame {
        let mut ip = vec![0x60, 0, 0, 0, 0, 24, PROTOCOL_ICMPV6, 255];
        ip.resize(64, 1);
        ethernet(ETHERTYPE_IPV6, &ip)
    }

    fn drain(lanes: &mut Lanes) -> Vec<Frame> {
        std::iter::from_fn(|| {
            let next = lanes.front(true).cloned();
            assert_eq!(next, lanes.pop(true).map(|(_, frame)| frame));
            next
        })
        .collect()
    }

    /// How `frame` leaves behind bulk data of one TCP flow and of UDP.
    fn overtakes(frame: &Frame) -> bool {
        let mut lanes = Lanes::default();
        let bulk = [tcp(1, 1400, 0), ipv4(17, &[0; 8], 1400, 0)];
        for frame in bulk.iter().chain([frame]) {
            lanes.push(Source::OWN, frame.clone());
        }
        let out = drain(&mut lanes);
        assert!(out.iter().filter(|out| bulk.contains(out)).eq(&bulk), "bulk keeps its order");
        out[0] == *frame
    }

    #[test]
    fn what_is_small_and_awaited_overtakes_bulk_of_other_flows() {
        // One flow of 256 may share the bulk's hash, and waits then; not always the same.
        let often = |frame: &Frame| (0..8).filter(|_| overtakes(frame)).count() > 4;
        assert!(often(&ethernet(ETHERTYPE_ARP, &[0; 46])));
        assert!(often(&ping(56)));
        assert!(often(&icmpv6()));
        assert!(often(&tcp(2, 0, 0)));
        let tagged = tcp(2, 0, 0).push_tag(Tag::service(8)).push_tag(Tag::customer(7));
        assert!(often(&reference::by_hand(&tagged)), "behind two tags");
    }

    #[test]
    fn what_the_switch_tells_its_neighbors_overtakes_and_what_others_tell_does_not() {
        let mut octets = vec![0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 39, 0x42, 0x42, 3];
        octets.resize(60, 0);
        let bpdu = Frame::new(octets.into());
        let stranger = Source { holder: 1, port: 1, flooded: false };
        for (source, is_first) in [(Source::OWN, true), (stranger, false)] {
            let mut lanes = Lanes::default();
            lanes.push(stranger, ipv4(17, &[0; 8], 1400, 0));
            lanes.push(source, bpdu.clone());
            assert_eq!(drain(&mut lanes)[0] == bpdu, is_first, "{source:?}");
        }
    }

    #[test]
    fn all_else_waits() {
        assert!(!overtakes(&tcp(1, 0, 9)), "an acknowledgment of the bulk's own flow");
        assert!(!overtakes(&tcp(2, 1, 0)), "TCP with payload");
        assert!(!overtakes(&ping(1400)), "a large ICMP message");
        assert!(!overtakes(&ipv4(17, &[0; 8], 20, 0)), "a datagram");
        assert!(!overtakes(&ethernet(0x88b5, &[0; 46])), "neither ARP nor IP");
        let mut fragment = ping(56).into_data().to_vec();
        fragment[20] = 0x20;
        assert!(!overtakes(&Frame::new(Bytes::from(fragment))), "a fragment");
    }

    #[test]
    fn a_flood_of_urgent_frames_leaves_room_for_bulk_in_each_batch() {
        let mut lanes = Lanes::default();
        lanes.push(Source::OWN, tcp(1, 1400, 0));
        (0..1000).for_each(|_| lanes.push(Source::OWN, ping(56)));
        let out = drain(&mut lanes);
        assert_eq!(out.len(), 1001);
        assert!(out[..=URGENT_FRAMES].contains(&tcp(1, 1400, 0)));
    }

    proptest! {
        #[test]
        fn each_flow_keeps_its_order(
            steps in vec(prop::option::weighted(0.7, (0..6_u8, any::<bool>())), 0..200),
        ) {
            let mut lanes = Lanes::default();
            let (mut sent, mut out) = (0_u8, Vec::new());
            for step in steps {
                let Some((port, has_payload)) = step else {
                    out.extend(lanes.pop(true).map(|(_, frame)| frame));
                    continue;
                };
                lanes.push(Source::OWN, tcp(port, if has_payload { 300 } else { 0 }, sent));
                sent += 1;
            }
            out.extend(drain(&mut lanes));
            prop_assert_eq!(out.len(), usize::from(sent));
            prop_assert_eq!(lanes.queued, [0; FLOWS]);
            for port in 0..6 {
                let marks = out.iter().filter(|frame| frame.data()[35] == port);
                prop_assert!(marks.map(|frame| frame.data()[42]).is_sorted());
            }
        }

        #[test]
        fn any_octets_are_queued(data in vec(any::<u8>(), 0..80), kind in 0..4_usize) {
            let mut data = data;
            if data.len() >= 14 {
                let kinds = [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x81, 0x00]];
                data[12..14].copy_from_slice(&kinds[kind]);
            }
            let mut lanes = Lanes::default();
            let frame = Frame::new(Bytes::from(data));
            lanes.push(Source::OWN, frame.clone());
            prop_assert_eq!(drain(&mut lanes), [frame]);
        }

        #[test]
        fn a_frame_whose_tag_is_to_be_changed_is_classified_as_if_it_were_done(
            payload in 0..240_usize,
            kind in 0..4_usize,
            tags in 0..3_usize,
        ) {
            let lanes = Lanes::default();
            let frame = [tcp(2, payload, 0), tcp(2, 0, 0), ping(payload), icmpv6()][kind].clone();
            let frame = (0..tags).fold(frame, |frame, _| frame.push_tag(Tag::customer(5)));
            for frame in reference::changes(&reference::by_hand(&frame)) {
                let by_hand = reference::by_hand(&frame);
                prop_assert_eq!(
                    lanes.classify(Source::OWN, &frame),
                    lanes.classify(Source::OWN, &by_hand)
                );
            }
        }
    }
}

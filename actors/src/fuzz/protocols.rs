//! Protocols that the switch takes part in, or listens to: whatever strangers behind its ports say
//! in spanning tree, IGMP, MLD, ARP and neighbor discovery, and when, the rules of each hold.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pnet_packet::{ip::IpNextHeaderProtocols, util::ipv6_checksum};

use super::Input;
use crate::core::{
    fdb::PortNumber,
    frame::{Frame, MacAddr, Vid},
    multicast::{self, Action as Asks, Heard, PortOptions, Snooping},
    neighbors::{Message, Neighbors},
    offload::checksum::{fold, sum},
    packet::{get, put},
    stp::{Action, Bpdu, Bridge, BridgeSettings, Edge, PortConfig, Role, State},
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);

/// The last of them has root guard.
const PORTS: u8 = 4;

/// Few, so that they run out.
const GROUPS: usize = 8;
const ADDRESSES: usize = 64;

/// BPDUs that a port sends in a second (IEEE 802.1D, 17.13.12).
const TX_HOLD_COUNT: usize = 6;

struct Lab {
    now: Instant,
    bridge: Bridge,
    /// BPDUs that each port has sent in this second.
    sent: [usize; PORTS as usize],
    snooping: Snooping,
    neighbors: Neighbors,
    holders: [Arc<str>; PORTS as usize],
}

/// Steps: what an octet says, and for most of them a length and a frame of so many octets.
pub fn protocols(data: &[u8]) {
    let mut input = Input(data);
    let mut lab = Lab::new();
    while !input.is_empty() {
        let step = input.u8();
        let at = step >> 4 & 3;
        match step & 15 {
            0 => (0..=input.u8() % 32).for_each(|_| lab.second()),
            1 => lab.bridge.close(number(at)),
            2 => {
                lab.sent[usize::from(at)] = 0;
                lab.bridge.open(number(at));
                lab.snooping.reset_port(at.into(), lab.now);
            }
            3 => lab.snooping.topology_changed(lab.now),
            _ => {
                let len = input.u8();
                let mut octets = input.take(len.into()).to_vec();
                finish(&mut octets);
                lab.hear(at, &Frame::new(Bytes::from(octets)));
            }
        }
        lab.check();
    }
}

fn number(at: u8) -> PortNumber {
    PortNumber::new(u32::from(at) + 1).expect("not 0")
}

impl Lab {
    fn new() -> Self {
        let now = Instant::now();
        let mut bridge = Bridge::new(MAC, BridgeSettings::default());
        let mut snooping = Snooping::new(MAC, GROUPS, now);
        for at in 0..PORTS {
            let root_guard = at + 1 == PORTS;
            let config = PortConfig { cost: 20_000, priority: 128, edge: Edge::Auto, root_guard };
            bridge.configure(number(at), config);
            bridge.open(number(at));
            snooping.set_port(at.into(), PortOptions::default(), at.into(), true, now);
        }
        snooping.set_querier([Vid::UNTAGGED].into_iter(), now);
        let (neighbors, holders) =
            (Neighbors::new(ADDRESSES), ["a", "b", "c", "d"].map(Arc::<str>::from));
        Self { now, bridge, sent: [0; PORTS as usize], snooping, neighbors, holders }
    }

    fn second(&mut self) {
        self.now += Duration::from_secs(1);
        self.sent = [0; PORTS as usize];
        self.bridge.tick();
        self.snooping.look(self.now);
        self.neighbors.collect(self.now);
        self.check();
    }

    fn hear(&mut self, at: u8, frame: &Frame) {
        let Some(header) = frame.header() else { return };
        self.bridge.receive(number(at), header);
        self.snooping.audience(frame).word(0);
        self.snooping.hear(at.into(), frame, self.now).word(0);
        let Some(message) = Message::read(frame) else { return };
        if let Some((ip, kind)) = message.claim {
            let station = (message.mac, &self.holders[usize::from(at)]);
            let is_alive = |mac: MacAddr| mac.0[5].is_multiple_of(2);
            self.neighbors.hear((message.vid, ip), station, kind, is_alive, self.now);
        }
        if let Some((ip, asker)) = message.question {
            self.check_answer(&message, ip, asker);
        }
    }

    /// An answer is what whoever has the address would say, and is read as that.
    fn check_answer(&self, message: &Message, ip: IpAddr, asker: IpAddr) {
        assert_eq!(ip.is_ipv4(), asker.is_ipv4());
        let known = self.neighbors.get((message.vid, ip), self.now);
        let owner = known.map_or(MAC, |known| known.mac);
        let answer = message.answer(owner, false).expect("an answer");
        let read = Message::read(&answer).expect("a message");
        assert_eq!((read.vid, read.mac, read.dst), (message.vid, owner, message.mac));
        assert_eq!(read.claim.map(|claim| claim.0), Some(ip));
    }

    fn check(&mut self) {
        for action in self.bridge.take_actions() {
            let Action::Send(port, frame) = action else { continue };
            // One that has passed as many bridges as it may is sent, and nobody reads it (9.3.4).
            let is_at_end = frame.data().get(44..46) >= frame.data().get(46..48);
            let is_read = frame.header().and_then(Bpdu::read).is_some();
            assert!(is_read || is_at_end, "{frame:?}");
            let sent = &mut self.sent[port.get() as usize - 1];
            *sent += 1;
            assert!(*sent <= TX_HOLD_COUNT, "port {port}");
        }
        let tree = self.bridge.tree();
        assert!(
            tree.root <= tree.bridge && (tree.root_port.is_none() == (tree.root == tree.bridge))
        );
        for port in self.bridge.ports(None) {
            assert_eq!(port.role == Role::Root, Some(port.port) == tree.root_port, "{port:?}");
            let carries = matches!(port.role, Role::Root | Role::Designated);
            assert!(carries || port.state == State::Discarding, "{port:?}");
            assert!(port.role != Role::Root || port.port != number(PORTS - 1), "root guard");
        }
        for action in self.snooping.take_actions() {
            let Asks::Send(_, frame) = action else { continue };
            assert!(matches!(multicast::read(&frame), Heard::Query(_)), "{frame:?}");
        }
        let counts = [self.snooping.count(), self.neighbors.all().count()];
        assert!(counts.iter().all(|(count, most)| count <= most), "{counts:?}");
    }
}

/// Makes the checksums of IGMP and MLD right: no fuzzer guesses those.
fn finish(octets: &mut [u8]) -> Option<()> {
    let ip = if octets.get(12..14)? == [0x81, 0] { 18 } else { 14 };
    match octets.get(ip - 2..ip)? {
        [8, 0] if *octets.get(ip + 9)? == 2 => {
            let end = ip + usize::from(get(octets, ip + 2));
            let body = octets.get_mut(ip + usize::from(octets[ip] & 15) * 4..end)?;
            put(body.get_mut(..4)?, 2, 0);
            let checksum = !fold(sum(body));
            put(body, 2, checksum);
        }
        // Behind options for each hop.
        [0x86, 0xdd] if *octets.get(ip + 6)? == 0 => {
            let addresses: [u8; 32] = octets.get(ip + 8..ip + 40)?.try_into().ok()?;
            let (from, to) = addresses.split_first_chunk::<16>()?;
            let (from, to) = ((*from).into(), <[u8; 16]>::try_from(to).ok()?.into());
            let end = ip + 40 + usize::from(get(octets, ip + 4));
            let body = ip + 48 + usize::from(*octets.get(ip + 41)?) * 8;
            let body = octets.get_mut(body..end).filter(|body| body.len() >= 4)?;
            let checksum = ipv6_checksum(body, 1, &[], &from, &to, IpNextHeaderProtocols::Icmpv6);
            put(body, 2, checksum);
        }
        _ => {}
    }
    Some(())
}

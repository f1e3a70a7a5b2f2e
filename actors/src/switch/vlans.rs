//! VLANs in the Switch: which ports are in which, and what passes in each.
//!
//! Empty, and of no cost to a frame, until a port has settings for VLANs.

use std::{collections::BTreeMap, mem};

use actix::prelude::*;
use bytes::BytesMut;
use slog::warn;

use super::Switch;
use crate::{
    core::{
        batch::Source,
        counters::Discard,
        frame::{Frame, MIN_FRAME_LEN, Vid},
        packet::Ethernet,
        ports::PortSet,
        settings::PortSettings,
        vlan::PortVlans,
    },
    message::{ListVlans, Traffic, VlanInfo, VlanPage},
};

/// Octets of the buffers to which frames are copied that must be made longer.
const ARENA_OCTETS: usize = 64 * 1024;

/// VLANs that there can be, and 0 for frames without one.
const VIDS: usize = 4096;

/// VLANs and ports that are looked at at once: a tenth of a millisecond.
const PAGE: usize = 4096;

/// What the Switch keeps of VLANs.
#[derive(Debug, Default)]
pub(super) struct Vlans {
    /// Ports that have settings for VLANs: all others are in every VLAN.
    aware: PortSet,
    /// Of these, those that are in a VLAN, by VID. Empty without such ports.
    members: Vec<PortSet>,
    /// Those that settings of ports name, and do not just mean with all others.
    named: Vec<PortSet>,
    traffic: Vec<Traffic>,
    pub(super) names: BTreeMap<Vid, String>,
    /// Where short frames are made longer.
    arena: BytesMut,
}

impl Vlans {
    pub(super) fn new(names: BTreeMap<Vid, String>) -> Self {
        Self { names, ..Self::default() }
    }

    /// Notes what the port at `at` makes of VLANs.
    fn set(&mut self, at: usize, port: Option<&PortVlans>) {
        if port.is_none() && !self.aware.contains(at) {
            return;
        }
        if self.members.is_empty() {
            self.members = vec![PortSet::default(); VIDS];
            self.named = vec![PortSet::default(); VIDS];
            self.traffic = vec![Traffic::default(); VIDS];
        }
        self.aware.set(at, port.is_some());
        let sets = self.members.iter_mut().zip(&mut self.named);
        for ((members, named), vid) in sets.zip((0..).map(Vid::from_tci)) {
            members.set(at, port.is_some_and(|port| port.is_member(vid)));
            named.set(at, port.is_some_and(|port| port.names(vid)));
        }
        if self.aware.next(0).is_none() {
            // Nobody has such settings any more.
            *self = Self::new(mem::take(&mut self.names));
        }
    }

    /// Whether a VLAN has a name, or settings of ports name it.
    pub(super) fn is_named(&self, vid: Vid) -> bool {
        let named = self.named.get(usize::from(vid.get()));
        named.is_some_and(|ports| ports.next(0).is_some()) || self.names.contains_key(&vid)
    }

    /// What has passed, by VLAN.
    pub(super) fn survey(&self) -> Vec<(Vid, Option<String>, Traffic)> {
        let all = (0..).map_while(Vid::new).zip(&self.traffic);
        let passed = all.filter(|(_, traffic)| **traffic != Traffic::default());
        passed.map(|(vid, traffic)| (vid, self.names.get(&vid).cloned(), *traffic)).collect()
    }

    /// The ports of a VLAN, of those that are in a word of a set of ports.
    pub(super) fn word(&self, vid: Vid, word: usize) -> u64 {
        match self.members.get(usize::from(vid.get())) {
            Some(members) => members.word(word) | !self.aware.word(word),
            None => u64::MAX,
        }
    }

    fn traffic_of(&mut self, frame: &Frame) -> Option<&mut Traffic> {
        if self.traffic.is_empty() {
            return None;
        }
        self.traffic.get_mut(usize::from(frame.vlan()?.0.get()))
    }

    /// Counts a frame that has come in.
    fn count_received(&mut self, frame: &Frame) {
        if let Some(traffic) = self.traffic_of(frame) {
            let (frames, octets) = frame.on_wire();
            traffic.rx_frames += frames;
            traffic.rx_octets += octets;
        }
    }

    /// Counts a frame that was given to a port.
    pub(super) fn count_sent(&mut self, frame: &Frame) {
        if let Some(traffic) = self.traffic_of(frame) {
            let (frames, octets) = frame.on_wire();
            traffic.tx_frames += frames;
            traffic.tx_octets += octets;
        }
    }
}

impl Switch {
    /// What there is to tell of a VLAN, and whether it is in use.
    fn vlan(&self, vid: Vid) -> (VlanInfo, bool) {
        let at = usize::from(vid.get());
        let name = self.vlans.names.get(&vid).cloned();
        let traffic = self.vlans.traffic.get(at).copied().unwrap_or_default();
        let (mut tagged, mut untagged) = (Vec::new(), Vec::new());
        let (mut from, mut is_named) = (0, name.is_some() || traffic != Traffic::default());
        while let Some(at) = self.vlans.members.get(at).and_then(|members| members.next(from)) {
            from = at + 1;
            let port = &self.ports[at];
            let Some(vlans) = &port.vlans else { continue };
            let ports = if vlans.is_untagged(vid) { &mut untagged } else { &mut tagged };
            ports.push(port.number);
            is_named |= vlans.names(vid);
        }
        tagged.sort_unstable();
        untagged.sort_unstable();
        (VlanInfo { vid, name, tagged, untagged, traffic }, is_named)
    }

    /// Notes what settings of the port at `at` say of VLANs. What was learned behind it is
    /// forgotten where that is something else than before.
    pub(super) fn apply_vlans(&mut self, at: usize, settings: &PortSettings) {
        let number = self.ports[at].number;
        let vlans = PortVlans::new(settings).unwrap_or_else(|error| {
            // Refused where it is asked for, but not where defaults and reloads meet.
            warn!(self.log, "port is in no VLAN: its settings contradict each other";
                "port" => %number, "reason" => %error);
            Some(PortVlans::none())
        });
        if vlans.as_ref() == self.ports[at].vlans.as_deref() {
            return;
        }
        self.vlans.set(at, vlans.as_ref());
        self.ports[at].vlans = vlans.map(Box::new);
        self.relay.leave_vlans(number, |vid| {
            self.ports[at].vlans.as_ref().is_none_or(|vlans| vlans.is_member(vid))
        });
        self.turn_probe(at, Vid::UNTAGGED);
        self.note_snooped_vlans(at);
    }

    /// Whether the port at `at` is in the VLAN of a frame of the switch's own.
    pub(super) fn is_in_vlan(&self, at: usize, frame: &Frame) -> bool {
        let vlans = self.ports[at].vlans.as_ref();
        vlans.is_none_or(|vlans| frame.vlan().is_some_and(|(vid, _)| vlans.is_member(vid)))
    }

    /// Has the loop guard look at the next VLAN of the port at `at`, behind `vid`.
    pub(super) fn turn_probe(&mut self, at: usize, vid: Vid) {
        let port = &self.ports[at];
        let next = port.vlans.as_ref().and_then(|vlans| vlans.next(vid));
        self.loops.turn(port.number, next.unwrap_or(Vid::UNTAGGED));
    }

    pub(super) fn forget_vlans(&mut self, at: usize) {
        self.vlans.set(at, None);
        self.note_queried();
    }

    /// A frame that comes in by the port at `at`, of its VLAN.
    pub(super) fn enter(&mut self, at: usize, frame: Frame) -> Result<Frame, (Discard, Frame)> {
        let entered = match &self.ports[at].vlans {
            None => frame,
            Some(vlans) => match vlans.ingress(&frame) {
                Ok(change) => frame.retag(change),
                Err(reason) => return Err((reason, frame)),
            },
        };
        self.vlans.count_received(&entered);
        Ok(entered)
    }

    /// A frame as it leaves by the port at `at`, if that is not as it is.
    pub(super) fn leave(&mut self, at: usize, frame: &Frame) -> Result<Option<Frame>, Discard> {
        let Some(vlans) = &self.ports[at].vlans else { return Ok(None) };
        // What the switch itself tells the other end of a cable is of no VLAN.
        if self.source == Source::OWN && frame.header().is_some_and(is_for_neighbor) {
            return Ok(None);
        }
        let (change, before) = (vlans.egress(frame)?, frame.len());
        if change.is_none() {
            return Ok(None);
        }
        let left = frame.clone().retag(change);
        if left.len() < MIN_FRAME_LEN && before >= MIN_FRAME_LEN {
            if self.vlans.arena.capacity() < MIN_FRAME_LEN {
                self.vlans.arena = BytesMut::with_capacity(ARENA_OCTETS);
            }
            return Ok(Some(left.padded(&mut self.vlans.arena, MIN_FRAME_LEN)));
        }
        Ok(Some(left))
    }
}

fn is_for_neighbor(header: Ethernet<'_>) -> bool {
    header.dst().link_local().is_some()
}

impl Handler<ListVlans> for Switch {
    type Result = MessageResult<ListVlans>;

    fn handle(&mut self, list: ListVlans, _: &mut Context<Self>) -> Self::Result {
        let (mut vlans, mut looked) = (Vec::new(), 0);
        for vid in (list.from.get()..4095).filter_map(Vid::new) {
            if looked >= PAGE {
                return MessageResult(VlanPage { vlans, next: Some(vid) });
            }
            let (vlan, is_in_use) = self.vlan(vid);
            looked += 1 + vlan.tagged.len() + vlan.untagged.len();
            if is_in_use {
                vlans.push(vlan);
            }
        }
        MessageResult(VlanPage { vlans, next: None })
    }
}

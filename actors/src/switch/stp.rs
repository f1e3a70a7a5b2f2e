//! Spanning tree in the Switch: it tells the bridge of `core/stp` what has happened to ports, and does
//! what the bridge says.
//!
//! A BPDU is of its port and of no VLAN, and goes no further. While the switch takes part in no tree
//! nobody comes here, and BPDUs are what `bpdu` makes of them.

use std::{
    mem,
    time::{Duration, Instant},
};

use actix::prelude::*;
use bytes::BytesMut;
use slog::{info, warn};
use tokio::time::Instant as TokioInstant;

use super::Switch;
use crate::{
    core::{
        batch::Source,
        counters::{Discard, Incident},
        fdb::{Learned, PortNumber},
        frame::Frame,
        guard::{
            Reminder,
            bucket::{Bucket, Rate},
        },
        lldp::is_lldp,
        packet::Ethernet,
        relay::Lesson,
        settings::StpEdge,
        stp::{
            Action, Bridge, BridgeId, BridgeSettings, Edge, Heard, PortConfig, PortInfo, Role,
            State, TreeInfo, default_cost,
        },
    },
    message::{Credit, ShowStp},
    monitor::{Event, Kind},
    tick::{self, TICK},
};

/// BPDUs of a holder that are heard: those of a dozen ports that have much to say.
const BPDUS: Rate = Rate { per_second: 100, burst: 200 };

/// A bridge that was not there for so long is taken for dead by the others, or soon will be: two
/// hellos. It begins anew, or what it did before would close a loop.
const ASLEEP: Duration = Duration::from_secs(4);

/// How often a new way to the root is told what is behind other ports: a neighbor may change its mind
/// with each BPDU.
const ANNOUNCEMENTS: Rate = Rate { per_second: 1, burst: 4 };

/// Octets of a BPDU's frame that are read: what follows is a later version's.
const MAX_BPDU: usize = 60;

/// For so long a BPDU counts that came in before its port was open: older ones may be of another
/// neighbor.
const EARLY: Duration = Duration::from_secs(1);

/// What the Switch keeps of the tree.
#[derive(Debug)]
pub(super) struct Tree {
    bridge: Bridge,
    /// When the next second is over.
    pub(super) due: Instant,
    /// When a change of the topology was told last.
    told: Option<Instant>,
    /// That it has no room for a port.
    full: Reminder,
    announcements: Bucket,
}

impl Switch {
    /// The tree as the switch sees it, if it takes part in it.
    pub(super) fn tree(&self) -> Option<TreeInfo> {
        let tree = self.stp.as_ref()?;
        // To the moment, where the bridge has seconds.
        let since_change = tree.told.map(|at| TokioInstant::now().into_std() - at);
        Some(TreeInfo { since_change, ..tree.bridge.tree() })
    }

    /// What the port is to the tree, if it takes part in it.
    pub(super) fn tree_port(&self, number: PortNumber) -> Option<PortInfo> {
        self.stp.as_ref()?.bridge.port(number)
    }

    /// Takes part in the tree as such a bridge, or in none.
    pub(super) fn set_stp(&mut self, settings: Option<BridgeSettings>) {
        match (&mut self.stp, settings) {
            (None, None) => return,
            (Some(tree), Some(settings)) => tree.bridge.set(settings),
            (None, Some(settings)) => {
                let due = tick::next(TokioInstant::now(), TICK).into_std();
                let bridge = Bridge::new(self.mac, settings);
                let (full, announcements) = (Reminder::default(), Bucket::default());
                self.stp = Some(Box::new(Tree { bridge, due, told: None, full, announcements }));
            }
            (Some(_), None) => self.stp = None,
        }
        self.obey_tree();
        for at in self.ports.places() {
            self.note_tree(at);
            self.note_forwarding(at);
            self.note_loops(at);
        }
        self.deliver(&Credit::NONE);
    }

    /// Tells the bridge whether the port at `at` takes part and is open, after anything that may
    /// have changed it. What is to be sent waits to be delivered.
    pub(super) fn note_tree(&mut self, at: usize) {
        let port = &mut self.ports[at];
        let Some(tree) = &mut self.stp else {
            port.stp = None;
            return;
        };
        let (number, settings) = (port.number, &port.applied);
        if !settings.stp() || port.is_reserved {
            tree.bridge.remove(number);
            port.stp = None;
            return self.obey_tree();
        }
        let edge = match settings.stp_edge() {
            StpEdge::Auto if port.is_leaf => Edge::On,
            StpEdge::Auto => Edge::Auto,
            StpEdge::On => Edge::On,
            StpEdge::Off => Edge::Off,
        };
        let config = PortConfig {
            cost: settings.stp_cost.map_or_else(|| default_cost(port.kind), |cost| cost.get()),
            priority: settings.stp_priority().get(),
            edge,
            root_guard: settings.stp_root_guard(),
        };
        let now = TokioInstant::now().into_std();
        if !tree.bridge.configure(number, config) && tree.full.is_due(now) {
            warn!(port.log, "port forwards without spanning tree, which has room for 4,095 ports";
                "port" => %number);
        }
        if port.is_open() && !port.is_shut_out() {
            tree.bridge.open(number);
            let is_fresh = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) < EARLY;
            let early = port.early_bpdu.take().filter(is_fresh);
            if let Some(header) = early.as_ref().and_then(|(_, frame)| frame.header()) {
                tree.bridge.receive(number, header);
            }
        } else {
            tree.bridge.close(number);
        }
        port.stp = tree.bridge.state(number);
        self.obey_tree();
    }

    /// Keeps the last BPDU among frames that have come in by the port at `at` while it is not open.
    pub(super) fn keep_bpdu(&mut self, at: usize, frames: &[Frame], now: Instant) {
        let port = &mut self.ports[at];
        if port.stp.is_some() && !port.guards.bpdu_guard {
            let is_bpdu = |frame: &&Frame| frame.header().is_some_and(is_for_bridges);
            if let Some(last) = frames.iter().rev().find(is_bpdu) {
                // A copy, which holds no read block.
                port.early_bpdu = Some((now, last.copy_to(&mut BytesMut::new(), MAX_BPDU)));
            }
        }
    }

    /// The port is no more.
    pub(super) fn leave_tree(&mut self, number: PortNumber) {
        if let Some(tree) = &mut self.stp {
            tree.bridge.remove(number);
            self.obey_tree();
        }
    }

    /// Takes a frame for bridges that came in by the port at `at`, which takes part.
    pub(super) fn receive_bpdu(
        &mut self,
        at: usize,
        header: Ethernet<'_>,
        frame: &Frame,
        now: Instant,
    ) {
        let port = &self.ports[at];
        let Some(tree) = &mut self.stp else { return };
        let may = self.holders[port.held].bpdus.admit(BPDUS, 1, now);
        let heard = if may {
            tree.bridge.receive(port.number, header)
        } else {
            tree.bridge.refuse(port.number)
        };
        let discard = (heard != Heard::Heard).then_some(Discard::Stp);
        self.mirrors.received(port.number, frame, discard, now);
        if let Some(reason) = discard {
            port.counters.discarded(reason, 1);
        } else if port.guards.stp_trust {
            self.loops.hear_bpdu(port.number, now);
            self.obey();
        }
        self.obey_tree();
    }

    /// A frame came in by the port at `at`, which does not forward.
    pub(super) fn receive_held(&mut self, at: usize, frame: &Frame, now: Instant) {
        let (port, reason) = (&self.ports[at], Discard::Stp);
        self.mirrors.received(port.number, frame, Some(reason), now);
        port.counters.discarded(reason, frame.on_wire().0);
        if port.stp == Some(State::Learning) && port.refuses(frame).is_none() {
            let (_, lesson) = self.relay.relay(port.number, frame, now);
            if !matches!(lesson, Lesson::Nothing | Lesson::Learned(Learned::Refreshed)) {
                self.tell_lesson(at, frame, lesson, now);
            }
        }
    }

    /// One second is over.
    pub(super) fn look_at_tree(&mut self, now: Instant) {
        let Some(tree) = self.stp.as_mut().filter(|tree| tree.due <= now) else { return };
        if now.saturating_duration_since(tree.due) > ASLEEP {
            // The others have gone on without us.
            tree.bridge.restart();
        }
        tree.due = tick::next(now.into(), TICK).into_std();
        tree.bridge.tick();
        self.obey_tree();
        self.deliver(&Credit::NONE);
    }

    /// Does what the bridge says.
    fn obey_tree(&mut self) {
        let Some(tree) = &mut self.stp else { return };
        let actions = tree.bridge.take_actions();
        if actions.is_empty() {
            return;
        }
        // Whoever's frame it was that has had it say so.
        let source = mem::replace(&mut self.source, Source::OWN);
        let now = TokioInstant::now().into_std();
        let mut changed = Vec::new();
        for action in actions {
            match action {
                Action::State(number, _) => {
                    self.note_state_of(number);
                    changed.push(number);
                }
                Action::Flush(numbers) => self.relay.flush_ports(&numbers),
                Action::Send(number, frame) => {
                    if let Some(at) = self.find(number) {
                        self.mirrors.another();
                        self.append(at, frame, now);
                    }
                }
                Action::Root(root) => self.tell_root(root),
                Action::TopologyChange(number) => self.tell_topology(number, now),
                Action::RootGuard(number, root) => self.tell_root_guard(number, root),
                Action::Part(number, role, state) => self.tell_part(number, role, state),
            }
        }
        changed.into_iter().for_each(|number| self.announce_stations(number, now));
        self.source = source;
    }

    /// Tells the bridges behind the port, if it has become the way to the root, what is behind the
    /// others: one with legacy STP may go on for long to send where it was. What was behind bridges
    /// is forgotten by now.
    fn announce_stations(&mut self, number: PortNumber, now: Instant) {
        let (Some(at), Some(tree)) = (self.find(number), &mut self.stp) else { return };
        let is_way = tree
            .bridge
            .port(number)
            .is_some_and(|port| (port.role, port.state) == (Role::Root, State::Forwarding));
        if is_way && tree.announcements.admit(ANNOUNCEMENTS, 1, now) {
            self.announce(at);
        }
    }

    /// The port is in another state: in which, the bridge says, since it may take part no more.
    fn note_state_of(&mut self, number: PortNumber) {
        let (Some(at), Some(tree)) = (self.find(number), &self.stp) else { return };
        self.ports[at].stp = tree.bridge.state(number);
        self.note_forwarding(at);
        self.note_loops(at);
        if self.ports[at].stp == Some(State::Forwarding) {
            self.announce_hosts_to(at);
        }
    }

    /// Something that has come of what a port has heard, if one has.
    fn event_of(&self, kind: Kind, number: Option<PortNumber>) -> Event {
        let at = number.and_then(|number| self.find(number));
        at.map_or_else(|| Event::new(kind), |at| self.ports[at].event(kind))
    }

    fn tell_root(&self, root: BridgeId) {
        let Some(tree) = &self.stp else { return };
        let TreeInfo { root_cost, root_port, .. } = tree.bridge.tree();
        info!(self.log, "spanning tree has a new root"; "root" => %root,
            "port" => root_port.map(PortNumber::get), "cost" => root_cost);
        self.monitor.tell(|| {
            let event = self.event_of(Kind::StpRoot, root_port);
            event.text("root", root).number("cost", root_cost)
        });
    }

    fn tell_topology(&mut self, number: PortNumber, now: Instant) {
        if let Some(at) = self.find(number) {
            self.ports[at].counters.happened(Incident::TopologyChange);
        }
        let Some(tree) = &mut self.stp else { return };
        tree.told = Some(now);
        info!(self.log, "topology has changed: addresses learned behind other ports are forgotten";
            "port" => %number);
        self.monitor.tell(|| self.event_of(Kind::TopologyChange, Some(number)));
        self.note_topology_change(now);
    }

    fn tell_root_guard(&self, number: PortNumber, root: Option<BridgeId>) {
        let Some(at) = self.find(number) else { return };
        let port = &self.ports[at];
        if let Some(root) = root {
            port.counters.happened(Incident::RootGuard);
            warn!(port.log, "root guard: port is discarding, since a BPDU claims a better path to \
                the root"; "port" => %number, "root" => %root);
            self.monitor.tell(|| port.event(Kind::RootGuard).text("root", root));
        } else {
            info!(port.log, "root guard: no BPDU claims a better path to the root any more";
                "port" => %number);
            self.monitor.tell(|| port.event(Kind::RootGuardEnded));
        }
    }

    fn tell_part(&self, number: PortNumber, role: Role, state: State) {
        let Some(at) = self.find(number) else { return };
        let port = &self.ports[at];
        info!(port.log, "spanning tree: port has another role or state";
            "port" => %number, "role" => %role, "state" => %state);
        self.monitor.tell(|| port.event(Kind::StpPort).text("role", role).text("state", state));
    }
}

fn is_for_bridges(header: Ethernet<'_>) -> bool {
    header.dst().link_local() == Some(0) && header.tag().is_none() && !is_lldp(header)
}

impl Handler<ShowStp> for Switch {
    type Result = Option<TreeInfo>;

    fn handle(&mut self, _: ShowStp, _: &mut Context<Self>) -> Self::Result {
        self.tree()
    }
}

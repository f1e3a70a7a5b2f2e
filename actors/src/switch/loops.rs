//! The Switch's side of the loop guard: it tells the guard what has happened to ports, and
//! does what the guard says.

use std::time::Instant;

use slog::{info, warn};
use tokio::time::Instant as TokioInstant;

use super::{Switch, guards::Blocked};
use crate::{
    core::{
        counters::{Discard, Incident},
        fdb::PortNumber,
        frame::{Frame, Vid},
        guard::loops::{Action, Heard, OFTEN, SELDOM, is_probe},
        packet::Ethernet,
    },
    monitor::Kind,
};

impl Switch {
    /// Tells spanning tree and the loop guard whether the port at `at` takes part, after anything
    /// that may have changed it. What is to be sent waits to be delivered.
    pub(super) fn note_open(&mut self, at: usize) {
        self.note_tree(at);
        self.note_forwarding(at);
        self.note_loops(at);
        self.note_lldp(at);
    }

    /// Tells the loop guard: a port that spanning tree keeps from forwarding is on no loop.
    pub(super) fn note_loops(&mut self, at: usize) {
        let (port, now) = (&self.ports[at], TokioInstant::now().into_std());
        let is_out = port.is_shut_out() || port.is_held() || port.is_reserved;
        if port.is_open() && !port.is_leaf && !is_out {
            let interval = if port.interface.is_some() { OFTEN } else { SELDOM };
            self.loops.open(port.number, port.guards.loop_guard, interval, now);
        } else {
            self.loops.close(port.number, now);
            if matches!(port.guards.blocked, Some(Blocked::Loop { .. })) {
                self.unblock(at);
            }
        }
        self.obey();
    }

    /// A loop-detect frame came in by the port at `at`.
    pub(super) fn receive_probe(&mut self, at: usize, frame: &Frame, now: Instant) {
        let number = self.ports[at].number;
        let heard = self.loops.receive(number, frame, now);
        let discard = (heard == Heard::TooMany).then_some(Discard::StormMulticast);
        let port = &mut self.ports[at];
        self.mirrors.received(number, frame, discard, now);
        match heard {
            Heard::Loop | Heard::Foreign | Heard::OtherVlan => {}
            Heard::TooMany => port.counters.discarded(Discard::StormMulticast, 1),
            Heard::Forged => port.counters.happened(Incident::ForgedProbe),
            Heard::Returned => {
                port.counters.happened(Incident::ReturnedProbe);
                if port.guards.returns.begins(now) {
                    warn!(port.log, "loop-detect frames come back by the port that they left by: \
                        a loop, or something that sends frames back, is behind it";
                        "port" => %number);
                }
            }
        }
        self.obey_from(at);
    }

    /// A frame came in by the port at `at`, which is blocked.
    pub(super) fn receive_blocked(
        &mut self,
        at: usize,
        blocked: Blocked,
        frame: &Frame,
        now: Instant,
    ) {
        let is_loop = matches!(blocked, Blocked::Loop { .. });
        if is_loop && frame.header().is_some_and(|header| is_probe(header, frame)) {
            return self.receive_probe(at, frame, now);
        }
        let (port, reason) = (&self.ports[at], blocked.discard());
        self.mirrors.received(port.number, frame, Some(reason), now);
        port.counters.discarded(reason, frame.on_wire().0);
        self.hear_blocked(at, frame, now);
    }

    /// Traffic of the port at `at` had come in by `other` before.
    pub(super) fn suspect(&mut self, at: usize, other: PortNumber, frame: &Frame, now: Instant) {
        let vid = frame.header().map_or(Vid::UNTAGGED, Ethernet::vid);
        self.loops.suspect(self.ports[at].number, other, vid, now);
        self.obey();
    }

    /// Does what the loop guard says.
    pub(super) fn obey(&mut self) {
        self.obey_from(usize::MAX);
    }

    /// Does what the loop guard says of a frame that came in by the port at `from`: isolated ports
    /// do not hear each other's, and no loop leads through them.
    fn obey_from(&mut self, from: usize) {
        for action in self.loops.take_actions() {
            match action {
                Action::Send(number, frame) => {
                    let to = self.find(number);
                    if let Some(at) =
                        to.filter(|at| *at == from || !self.isolation.separates(from, *at))
                    {
                        let vid = frame.header().map_or(Vid::UNTAGGED, Ethernet::vid);
                        if self.is_in_vlan(at, &frame) {
                            self.mirrors.another();
                            self.append(at, frame, TokioInstant::now().into_std());
                        }
                        self.turn_probe(at, vid);
                    }
                }
                Action::Block { port, with } => self.block_loop(port, with),
                Action::Unblock { port, with } => self.unblock_loop(port, with),
            }
        }
    }

    /// Two ports lead to the same network: `with` goes on, the other one does not.
    fn block_loop(&mut self, number: PortNumber, with: PortNumber) {
        let Some(at) = self.find(number) else { return };
        let blocked = Blocked::Loop { with };
        let port = &mut self.ports[at];
        port.guards.blocked = Some(blocked);
        port.counters.happened(Incident::Loop);
        self.note_forwarding(at);
        let port = &self.ports[at];
        warn!(port.log, "loop: port is blocked while it lasts";
            "port" => %number, "with" => %with, "reason" => %blocked);
        self.monitor.tell(|| {
            let event = port.event(Kind::Loop).number("with", with.get());
            event.text("reason", blocked)
        });
        self.relay.flush_port(number);
        // What the switches there have learned by the other one leads nowhere now.
        self.announce_to_neighbor(with);
    }

    /// A port carries frames again: its loop is gone, or `with`, which has carried them, is
    /// dead.
    fn unblock_loop(&mut self, number: PortNumber, with: PortNumber) {
        let Some(at) = self.find(number) else { return };
        info!(self.ports[at].log, "loop has ended: port is unblocked"; "port" => %number);
        self.unblock(at);
        self.relay.flush_port(with);
        self.announce_to_neighbor(number);
    }

    fn announce_to_neighbor(&mut self, number: PortNumber) {
        if self.loops.is_neighbor(number)
            && let Some(at) = self.find(number)
        {
            self.announce(at);
        }
    }
}

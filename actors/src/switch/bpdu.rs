//! Frames that bridges keep to a link, BPDUs above all: which ports they pass, BPDU guard,
//! and what topology changes do to the forwarding database.

use std::time::Instant;

use slog::{info, warn};

use super::{Switch, guards::Blocked, is_over};
use crate::{
    core::{
        counters::{Discard, Incident},
        frame::{Frame, MacAddr},
        guard::{
            bpdu::{Bpdu, GUARD},
            storm::Class,
        },
        line::Direction,
        lldp::is_lldp,
        settings::LldpStatus,
    },
    message::Credit,
    monitor::Kind,
};

/// The BPDU that is in a frame, if there is one, and who has sent it.
fn read(frame: &Frame) -> Option<(Bpdu, MacAddr)> {
    let header = frame.header()?;
    // Of customer and of provider bridges.
    matches!(header.dst().link_local()?, 0 | 8)
        .then(|| Some((Bpdu::read(header)?, header.src())))?
}

impl Switch {
    /// A frame to a link-local group address, of this last digit, came in by the port at
    /// `at`.
    pub(super) fn receive_link_local(&mut self, at: usize, digit: u8, frame: Frame, now: Instant) {
        let heard = read(&frame);
        if let Some((bpdu, mac)) = heard {
            self.hear_bpdu(at, bpdu, mac, now);
        }
        let guards = &self.ports[at].guards;
        let discard = if digit == 0 && self.stp.is_some() && guards.blocked.is_none() {
            Some(Discard::Stp)
        } else if guards.blocked.is_some() {
            Some(Discard::BpduGuard)
        } else if !guards.link_local.contains(digit) {
            Some(Discard::LinkLocal)
        } else if is_over(&self.holders, &self.ports[at], Direction::In, &frame, now) {
            Some(Discard::RateIn)
        } else {
            self.storm_control(at, Class::Multicast, &frame, now).err()
        };
        let port = &self.ports[at];
        self.mirrors.received(port.number, &frame, discard, now);
        if let Some(reason) = discard {
            port.counters.discarded(reason, frame.on_wire().0);
            return;
        }
        // Who takes part in LLDP is not told of others' neighbors.
        let is_lldp = frame.header().is_some_and(is_lldp);
        self.flood_to(at, frame, now, |port| {
            let is_own = is_lldp && port.lldp != LldpStatus::Disabled;
            let passes = port.guards.link_local.contains(digit) && !is_own;
            if !passes {
                port.counters.discarded(Discard::LinkLocal, 1);
            }
            passes
        });
    }

    /// A frame came in by a port that is blocked: BPDUs are heard all the same.
    pub(super) fn hear_blocked(&mut self, at: usize, frame: &Frame, now: Instant) {
        if let Some((bpdu, mac)) = read(frame) {
            self.hear_bpdu(at, bpdu, mac, now);
        }
    }

    fn hear_bpdu(&mut self, at: usize, bpdu: Bpdu, mac: MacAddr, now: Instant) {
        let port = &self.ports[at];
        if port.guards.bpdu_guard {
            return self.block_for_bpdu(at, mac, now);
        }
        // A switch that takes part itself hears it elsewhere, or does not believe it.
        if !port.guards.stp_trust || self.stp.is_some() {
            return;
        }
        self.loops.hear_bpdu(port.number, now);
        self.obey();
        let port = &self.ports[at];
        if bpdu.topology_change {
            port.counters.happened(Incident::TopologyChange);
            let number = port.number;
            if self.flushes.note(now) {
                self.monitor.tell(|| port.event(Kind::TopologyChange));
                info!(self.log, "topology has changed: learned addresses are forgotten";
                    "port" => %number, "bridge" => %mac);
                self.relay.flush_learned();
                self.note_topology_change(now);
            }
        }
    }

    fn block_for_bpdu(&mut self, at: usize, from: MacAddr, now: Instant) {
        let blocked = Blocked::Bpdu { from, heard: now };
        if let Some(Blocked::Bpdu { .. }) = self.ports[at].guards.blocked.replace(blocked) {
            return;
        }
        self.await_ends();
        self.note_forwarding(at);
        let (port, number) = (&self.ports[at], self.ports[at].number);
        warn!(port.log, "BPDU guard: port is blocked"; "port" => %number, "reason" => %blocked);
        self.monitor.tell(|| {
            let event = port.event(Kind::BpduGuard);
            event.text("mac", from).text("reason", blocked)
        });
        self.relay.flush_port(number);
        self.note_open(at);
    }

    /// Flushes for a topology change that had to wait.
    pub(super) fn flush_if_due(&mut self, now: Instant) {
        if self.flushes.is_due(now) {
            self.relay.flush_learned();
            self.note_topology_change(now);
        }
    }

    /// Tries the ports again where no BPDU has come for a while.
    pub(super) fn end_bpdu_guard(&mut self, now: Instant) {
        for at in self.ports.places() {
            let port = &self.ports[at];
            if let Some(Blocked::Bpdu { heard, .. }) = port.guards.blocked
                && now.saturating_duration_since(heard) >= GUARD
            {
                info!(port.log, "BPDU guard: port is unblocked"; "port" => %port.number);
                self.unblock(at);
                self.note_open(at);
            }
        }
        self.deliver(&Credit::NONE);
    }
}

//! Neighbor suppression in the Switch (RFC 9161): requests of ARP and neighbor solicitations for
//! stations that are known do not leave by ports with `neigh-suppress`, and the switch answers for
//! those behind such ports.
//!
//! Comes after all guards: what they discard teaches nothing. While no port has the setting nobody
//! comes here. An answer is what the station itself would have said, and only while the FDB knows
//! that it is there.

use std::time::Instant;

use slog::warn;

use super::Switch;
use crate::{
    core::{
        announce,
        bindings::{BindingType, Key},
        counters::Incident,
        frame::{Frame, MacAddr},
        neighbors::{Message, News, tagged},
        relay::Verdict,
    },
    monitor::Kind,
};

impl Switch {
    /// Notes whether the port at `at` has `neigh-suppress`.
    pub(super) fn suppress(&mut self, at: usize, is_wanted: bool) {
        self.suppressing.set(at, is_wanted);
        if self.suppressing.next(0).is_none() {
            self.neighbors.clear();
        }
    }

    /// Notes which address the sender of a frame that has come in by the port at `at` says that it
    /// has. If another station has said the same: that one's port, and a question to it.
    #[inline]
    pub(super) fn hear_claim(
        &mut self,
        at: usize,
        frame: &Frame,
        verdict: Verdict,
        now: Instant,
    ) -> Option<(usize, Frame)> {
        let passes = matches!(verdict, Verdict::Forward(_) | Verdict::Flood(_));
        let message = Message::read(frame).filter(|_| passes)?;
        let (ip, kind) = message.claim?;
        let (key, fdb, port) = ((message.vid, ip), self.relay.fdb(), &self.ports[at]);
        // What the FDB does not believe of a station nobody does.
        if fdb.lookup(message.vid, message.mac, now) != Some(port.number) {
            return None;
        }
        // A server, or a guard, knows better.
        if self.bindings.get(key, now).is_some_and(|bound| bound.mac != message.mac) {
            return None;
        }
        let is_alive = |mac| fdb.lookup(message.vid, mac, now).is_some();
        let station = (message.mac, &port.identity);
        match self.neighbors.hear(key, station, kind, is_alive, now) {
            News::Nothing => None,
            News::Full => {
                port.counters.happened(Incident::NeighDiscard);
                None
            }
            News::Disputed(owner) => {
                let question = tagged(announce::confirmation(owner, self.mac, ip), message.vid);
                let at = self.find(fdb.lookup(message.vid, owner, now)?)?;
                self.is_in_vlan(at, &question).then_some((at, question))
            }
            News::Duplicate(other) => {
                let at = self.find(fdb.lookup(message.vid, other, now)?)?;
                self.tell_duplicate(at, key, other, message.mac);
                None
            }
        }
    }

    #[cold]
    fn tell_duplicate(&self, at: usize, (vid, ip): Key, mac: MacAddr, owner: MacAddr) {
        let port = &self.ports[at];
        port.counters.happened(Incident::DuplicateAddress);
        self.monitor.tell(|| {
            let event = port.event(Kind::DuplicateAddress).address(vid, mac);
            event.text("address", ip).text("with", owner)
        });
        warn!(port.log, "two stations have the same IP address: requests for it are flooded \
            for 180 s";
            "address" => %ip, "vlan" => vid.get(), "mac" => %mac, "with" => %owner,
            "port" => %port.number, "user" => port.user());
    }

    /// Gives `frame` to every port but the one at `at`; if it asks for a station that is known, to
    /// those without `neigh-suppress`, and an answer back where that station does not get it.
    pub(super) fn flood_or_answer(&mut self, at: usize, frame: Frame, now: Instant) {
        let Some(message) = Message::read(&frame) else { return self.flood(at, frame, now) };
        // The answer to a question of its own.
        if message.dst == self.mac {
            return;
        }
        let Some((to, answer)) = self.answer(at, &frame, &message, now) else {
            return self.flood(at, frame, now);
        };
        self.ports[at].counters.happened(Incident::SuppressedRequest);
        self.flood_to(at, frame, now, |port| !port.applied.neigh_suppress());
        if self.suppressing.contains(to) {
            self.send_own(at, answer, now);
        }
    }

    /// The port that the station that a message asks for is behind, and its answer; `None`: it is
    /// to be asked itself.
    fn answer(
        &self,
        at: usize,
        frame: &Frame,
        message: &Message,
        now: Instant,
    ) -> Option<(usize, Frame)> {
        let key = (message.vid, message.question?.0);
        let (owner, is_router) = self.neighbor(key, now)?;
        let to = self.find(self.relay.fdb().lookup(message.vid, owner, now)?)?;
        // Behind the same port it hears the question itself.
        let is_reached = to != at
            && owner != message.mac
            && self.ports[to].is_forwarding()
            && !self.isolation.separates(at, to)
            && [at, to].into_iter().all(|at| self.is_in_vlan(at, frame));
        is_reached.then_some((to, message.answer(owner, is_router)?))
    }

    /// The station that has an address, and whether it is a router.
    fn neighbor(&self, key: Key, now: Instant) -> Option<(MacAddr, bool)> {
        let heard = self.neighbors.get(key, now);
        let known = match self.bindings.get(key, now) {
            // Of IPv6 only the station itself says whether it is a router.
            Some(bound) if key.1.is_ipv6() => heard.filter(|heard| heard.mac == bound.mac),
            Some(bound) => Some(bound),
            None => heard,
        };
        known.map(|known| (known.mac, known.kind == BindingType::Router))
    }

    /// Sends a frame of the switch's own out of the port at `at`.
    pub(super) fn send_own(&mut self, at: usize, frame: Frame, now: Instant) {
        self.mirrors.another();
        self.enqueue(usize::MAX, at, frame, now);
    }
}

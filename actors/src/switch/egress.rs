//! Frames on their way out: gathered by port in scratch lists, and taken away by one message for each
//! link. Behind the relay, before the ports; nothing here waits.

use std::{mem, time::Instant};

use super::{
    Switch,
    entry::{Pending, PortEntry},
    is_over,
};
use crate::{
    core::{
        batch::Source,
        counters::Discard,
        frame::{Frame, Vid},
        gauge::cost,
        line::Direction,
    },
    message::{Credit, Egress},
};

impl Switch {
    /// Gives `frame`, which has come from the port at `from`, to the port at `at`, if that
    /// carries frames and may have it.
    pub(super) fn enqueue(&mut self, from: usize, at: usize, frame: Frame, now: Instant) {
        if self.isolation.separates(from, at) {
            let port = &self.ports[at];
            port.counters.discarded(Discard::Isolated, frame.on_wire().0);
            self.mirrors.sent(port.number, &frame, Some(Discard::Isolated), now);
        } else {
            self.enqueue_as(at, frame, false, now);
        }
    }

    pub(super) fn enqueue_as(&mut self, at: usize, frame: Frame, flooded: bool, now: Instant) {
        let port = &self.ports[at];
        if port.is_forwarding() {
            self.append_as(at, frame, flooded, now);
        } else {
            let reason = match port.guards.blocked {
                _ if !port.is_open() => Discard::PortDown,
                Some(blocked) => blocked.discard(),
                None if port.is_held() => Discard::Stp,
                None => Discard::MirrorOutput,
            };
            port.counters.discarded(reason, frame.on_wire().0);
            self.mirrors.sent(port.number, &frame, Some(reason), now);
        }
    }

    /// Appends `frame` to what is pending for the port at `at`, unless its queue is full.
    pub(super) fn append(&mut self, at: usize, frame: Frame, now: Instant) {
        self.append_as(at, frame, false, now);
    }

    fn append_as(&mut self, at: usize, frame: Frame, flooded: bool, now: Instant) {
        let left = if self.ports[at].vlans.is_some() { self.leave(at, &frame) } else { Ok(None) };
        let port = &mut self.ports[at];
        let left = match left {
            Ok(left) => left,
            Err(reason) => {
                port.counters.discarded(reason, frame.on_wire().0);
                return self.mirrors.sent(port.number, &frame, Some(reason), now);
            }
        };
        let place = port.link_for(&frame);
        let Some(link) = port.links.get(place) else { return };
        let Some(outlet) = &link.outlet else { return };
        let (source, pending) = (Source { flooded, ..self.source }, usize::from(flooded));
        let leaves = left.as_ref().unwrap_or(&frame);
        let octets = cost(leaves);
        let pends = link.pending[pending].octets;
        // Before the gauge is asked: whoever fills a queue waits for it, even with frames that
        // find no room.
        if link.pending.iter().all(|pending| pending.frames.is_empty())
            && self.touched.last() != Some(&(at, place))
        {
            self.touched.push((at, place));
        }
        let refused =
            outlet.gauge.refuses(leaves, source, pends, self.pending_octets).or_else(|| {
                let is_own = self.source == Source::OWN;
                let is_over = !is_own && is_over(&self.holders, port, Direction::Out, leaves, now);
                is_over.then_some(Discard::RateOut)
            });
        if let Some(reason) = refused {
            port.counters.discarded(reason, frame.on_wire().0);
            self.mirrors.sent(port.number, &frame, refused, now);
            if reason == Discard::QueueMemory {
                self.tell_memory(now);
            }
            return;
        }
        self.mirrors.sent(port.number, &frame, None, now);
        let is_one_of_several = port.several.is_some();
        let link = &mut port.links[place];
        if is_one_of_several {
            link.octets[1] += leaves.on_wire().1;
        }
        self.pending_octets += octets;
        let pending = &mut link.pending[pending];
        pending.octets += octets;
        self.vlans.count_sent(&frame);
        pending.frames.push(left.unwrap_or(frame));
    }

    /// Gives `frame` to every port but the one at `ingress`: to the last of them
    /// itself, to the others a reference.
    pub(super) fn flood(&mut self, ingress: usize, frame: Frame, now: Instant) {
        self.flood_to(ingress, frame, now, |_| true);
    }

    /// The same, to ports that `wanted` is true of.
    pub(super) fn flood_to(
        &mut self,
        ingress: usize,
        frame: Frame,
        now: Instant,
        wanted: impl Fn(&PortEntry) -> bool,
    ) {
        let vid = frame.vlan().map_or(Vid::UNTAGGED, |(vid, _)| vid);
        let mut last = None;
        let mut from = 0;
        while let Some(at) = self.forwarding.next_of(from, |word| self.vlans.word(vid, word)) {
            from = at + 1;
            let is_out = at == ingress || self.isolation.separates(ingress, at);
            if is_out || !wanted(&self.ports[at]) {
                continue;
            }
            if let Some(before) = last.replace(at) {
                self.enqueue_as(before, frame.clone(), true, now);
            }
        }
        if let Some(last) = last {
            self.enqueue_as(last, frame, true, now);
        }
    }

    /// Sends each port what is pending for it. The only place where frames leave
    /// the Switch.
    pub(super) fn deliver(&mut self, credit: &Credit) {
        let alone = self.touched.windows(2).all(|pair| pair[0].0 == pair[1].0);
        for (at, place) in self.touched.drain(..) {
            let link = &mut self.ports[at].links[place];
            let octets = link.pending.each_mut().map(|pending| mem::take(&mut pending.octets));
            let [frames, flooded] = link.pending.each_mut().map(Pending::taken);
            if let Some(outlet) = &link.outlet {
                outlet.gauge.take(self.source, octets[0]);
                outlet.gauge.take(Source { flooded: true, ..self.source }, octets[1]);
                // Bounded by the gauge, so it may pass by the mailbox's own limit.
                let (message, source, credit) = (None, self.source, credit.clone());
                outlet.port.do_send(Egress { message, frames, flooded, source, credit, alone });
            }
        }
        self.pending_octets = 0;
        if self.mirrors.has_copies() {
            self.deliver_copies();
        }
        self.mirrors.flush();
    }
}

//! Multicast snooping in the Switch: which ports a frame to a group goes to, and what is asked of
//! hosts. While it is off, a frame to a group costs one branch more, and any other none.

use std::time::Instant;

use actix::prelude::*;
use slog::warn;
use tokio::time::Instant as TokioInstant;

use super::Switch;
use crate::{
    core::{
        counters::Incident,
        frame::{Frame, Vid},
        multicast::{Action, Audience, MdbEntry, PortOptions, Snooping, SnoopingOptions, To},
    },
    message::{Credit, ListMdb, MdbFilter, MdbPage},
    monitor::Kind,
    tick::{self, TICK},
};

/// What the Switch keeps of multicast while there is snooping.
#[derive(Debug)]
pub(super) struct Multicast {
    snooping: Snooping,
    /// Whether the switch itself asks where nobody else does.
    is_querier: bool,
    /// When something of it ends, and the tick after that.
    ends: (Option<Instant>, Option<Instant>),
}

impl Multicast {
    /// How many groups there are, and may be.
    pub(super) fn count(&self) -> (usize, usize) {
        self.snooping.count()
    }
}

/// Where a frame to a group goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// To all ports.
    Everybody,
    /// To one port at most: as a frame to a known address.
    One(Option<usize>),
    /// To several ports.
    Several,
    /// It is a message of IGMP or MLD.
    Message,
}

impl Switch {
    /// Begins or ends snooping, or changes how it is done.
    pub(super) fn set_snooping(&mut self, options: SnoopingOptions) {
        let now = TokioInstant::now().into_std();
        match &mut self.multicast {
            None if options.is_on => {
                let snooping = Snooping::new(self.mac, options.groups, now);
                let (is_querier, ends) = (options.is_querier, (None, None));
                self.multicast = Some(Box::new(Multicast { snooping, is_querier, ends }));
                // Before the ports: each is asked what it wants.
                self.note_queried();
                self.ports.places().for_each(|at| self.note_snooped(at));
            }
            Some(_) if !options.is_on => self.multicast = None,
            Some(multicast) => {
                multicast.is_querier = options.is_querier;
                multicast.snooping.set_capacity(options.groups);
                self.note_queried();
            }
            None => {}
        }
    }

    /// Notes in which VLANs the switch is a querier: without a tag, and in those that have a name
    /// or that settings of ports name.
    pub(super) fn note_queried(&mut self) {
        let Some(Multicast { snooping, is_querier, .. }) = self.multicast.as_deref_mut() else {
            return;
        };
        let vlans = (0..).map_while(Vid::new).filter(|vid| self.vlans.is_named(*vid));
        let vlans = [Vid::UNTAGGED].into_iter().chain(vlans).filter(|_| *is_querier);
        snooping.set_querier(vlans, TokioInstant::now().into_std());
    }

    /// Notes what snooping is to know of the port at `at`.
    pub(super) fn note_snooped(&mut self, at: usize) {
        let Some(Multicast { snooping, .. }) = self.multicast.as_deref_mut() else { return };
        let port = &self.ports[at];
        let options = PortOptions {
            router: port.applied.mcast_router(),
            fast_leave: port.applied.mcast_fast_leave(),
            flood: port.applied.mcast_flood(),
        };
        let (is_up, now) = (self.forwarding.contains(at), TokioInstant::now().into_std());
        snooping.set_port(at, options, port.held, is_up, now);
    }

    /// The port at `at` is no more.
    pub(super) fn forget_snooped(&mut self, at: usize) {
        if let Some(Multicast { snooping, .. }) = self.multicast.as_deref_mut() {
            let (held, now) = (self.ports[at].held, TokioInstant::now().into_std());
            snooping.set_port(at, PortOptions::default(), held, false, now);
        }
    }

    /// The VLANs of the port at `at` have changed.
    pub(super) fn note_snooped_vlans(&mut self, at: usize) {
        if let Some(Multicast { snooping, .. }) = self.multicast.as_deref_mut() {
            snooping.reset_port(at, TokioInstant::now().into_std());
            self.note_queried();
        }
    }

    /// Stations may be behind other ports than before.
    pub(super) fn note_topology_change(&mut self, now: Instant) {
        if let Some(Multicast { snooping, .. }) = self.multicast.as_deref_mut() {
            snooping.topology_changed(now);
        }
    }

    /// Where a frame to a group goes that has come in by the port at `from`.
    pub(super) fn aim(&self, from: usize, frame: &Frame) -> Aim {
        let Some(Multicast { snooping, .. }) = self.multicast.as_deref() else {
            return Aim::Everybody;
        };
        let audience = match snooping.audience(frame) {
            Audience::Everybody => return Aim::Everybody,
            Audience::Message => return Aim::Message,
            audience => audience,
        };
        let vid = frame.vlan().map_or(Vid::UNTAGGED, |(vid, _)| vid);
        let first = self.next_receiver(from, vid, 0, &audience);
        match first.and_then(|first| self.next_receiver(from, vid, first + 1, &audience)) {
            None => Aim::One(first),
            Some(_) => Aim::Several,
        }
    }

    /// The first port from place `at` on that gets a frame of this VLAN from the port at `from`.
    fn next_receiver(
        &self,
        from: usize,
        vid: Vid,
        mut at: usize,
        audience: &Audience<'_>,
    ) -> Option<usize> {
        loop {
            let words = |word| self.vlans.word(vid, word) & audience.word(word);
            let found = self.forwarding.next_of(at, words)?;
            if found != from && !self.isolation.separates(from, found) {
                return Some(found);
            }
            at = found + 1;
        }
    }

    /// Sends a frame to a group where it goes.
    pub(super) fn multicast(&mut self, from: usize, frame: Frame, aim: Aim, now: Instant) {
        match aim {
            Aim::Everybody => self.flood(from, frame, now),
            Aim::One(Some(to)) => self.enqueue_as(to, frame, false, now),
            Aim::One(None) => {}
            Aim::Several | Aim::Message => {
                // Nothing on the way to the queues asks for it.
                let Some(mut multicast) = self.multicast.take() else { return };
                let audience = match aim {
                    Aim::Message => multicast.snooping.hear(from, &frame, now),
                    _ => multicast.snooping.audience(&frame),
                };
                self.flood_among(from, frame, &audience, now);
                self.multicast = Some(multicast);
            }
        }
    }

    fn flood_among(&mut self, from: usize, frame: Frame, audience: &Audience<'_>, now: Instant) {
        let vid = frame.vlan().map_or(Vid::UNTAGGED, |(vid, _)| vid);
        let mut next = self.next_receiver(from, vid, 0, audience);
        while let Some(at) = next {
            next = self.next_receiver(from, vid, at + 1, audience);
            if next.is_none() {
                return self.enqueue_as(at, frame, true, now);
            }
            self.enqueue_as(at, frame.clone(), true, now);
        }
    }

    /// When snooping is to be looked at.
    pub(super) fn snooping_due(&mut self) -> Option<Instant> {
        let Multicast { snooping, ends, .. } = self.multicast.as_deref_mut()?;
        let wakes = snooping.wakes();
        // This is asked for after each message: the tick is counted once.
        if ends.0 != wakes {
            let ticks = wakes.map(|at| tick::next(at.into(), TICK).into_std());
            *ends = (wakes, ticks);
        }
        snooping.due().into_iter().chain(ends.1).min()
    }

    /// Does what is due.
    pub(super) fn look_at_snooping(&mut self, now: Instant) {
        let Some(Multicast { snooping, .. }) = self.multicast.as_deref_mut() else { return };
        snooping.look(now);
        let actions = snooping.take_actions();
        if actions.is_empty() {
            return;
        }
        for action in actions {
            match action {
                // It may have gone meanwhile.
                Action::Send(To::Port(at), _) | Action::Count(at, _)
                    if !self.forwarding.contains(at) => {}
                Action::Send(To::Port(at), frame) => {
                    if self.is_in_vlan(at, &frame) {
                        self.mirrors.another();
                        self.append(at, frame, now);
                    }
                }
                Action::Send(To::AllBut(but), frame) => {
                    self.mirrors.another();
                    self.flood(but.unwrap_or(usize::MAX), frame, now);
                }
                Action::Count(at, incident) => self.tell_snooping(at, incident),
            }
        }
        self.deliver(&Credit::NONE);
    }

    fn tell_snooping(&self, at: usize, incident: Incident) {
        let port = &self.ports[at];
        port.counters.happened(incident);
        if incident == Incident::GroupOverflow {
            let by = self.holders.identity(port.held);
            let by = by.map_or_else(|| format!("port {}", port.number), str::to_owned);
            self.monitor
                .tell(|| port.event(Kind::TableFull).text("limit", "mcast-groups").text("by", &by));
            warn!(port.log, "no room for more multicast groups: the port gets all of them for \
                260 s"; "port" => %port.number, "holder" => by);
        }
    }
}

impl Handler<ListMdb> for Switch {
    type Result = MessageResult<ListMdb>;

    fn handle(&mut self, list: ListMdb, _: &mut Context<Self>) -> Self::Result {
        let Some(Multicast { snooping, .. }) = self.multicast.as_deref() else {
            return MessageResult(MdbPage::default());
        };
        let MdbFilter { port, vid, group } = list.filter;
        let (found, next) =
            snooping.page(list.after, TokioInstant::now().into_std(), |(of, one)| {
                vid.is_none_or(|vid| vid == of) && group.is_none_or(|group| group == one)
            });
        let number = |at: usize| self.forwarding.contains(at).then(|| self.ports[at].number);
        let entry = |entry: MdbEntry<usize>| entry.map(number);
        let mut entries: Vec<_> = found.into_iter().map(entry).collect();
        if let Some(port) = port {
            entries.iter_mut().for_each(|entry| entry.ports.retain(|one| one.port == port));
            entries.retain(|entry| !entry.ports.is_empty());
        }
        MessageResult(MdbPage { entries, next })
    }
}

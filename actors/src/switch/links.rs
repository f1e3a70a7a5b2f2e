//! Ports of several links: which link a frame leaves by, what has come by them, and links that
//! come and go while their port stays.
//!
//! The decisions are those of `core/links`. A port of one link is asked nothing of all this.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use actix::prelude::*;
use slog::{info, warn};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    Switch,
    entry::{Outlet, Pending, PortEntry},
};
use crate::{
    core::{
        batch::Source,
        counters::{Discard, Incident},
        fdb::PortNumber,
        frame::Frame,
        links::{Collected, Collector, Distributor, LinkId, LinkMessage, Place, Saying},
        state::{Details, PortState, Stop},
    },
    message::{
        AddPort, Credit, Egress, GiveUp, Ingress, LinkInfo, LinkRef, Opening, Pings, PortUp,
    },
    monitor::{Event, Kind},
};

/// A link of a port: the only one, or one of several.
pub(super) struct PortLink {
    pub(super) number: u8,
    /// The connection that it has, or had last.
    pub(super) id: LinkId,
    pub(super) target: String,
    pub(super) details: Details,
    pub(super) state: PortState,
    pub(super) stop: mpsc::Sender<Stop>,
    pub(super) reopen: watch::Sender<Opening>,
    pub(super) pings: Arc<Pings>,
    /// While it is up.
    pub(super) outlet: Option<Outlet>,
    /// Frames of the batch at hand that leave by it: for this port only, and flooded. Empty
    /// between batches.
    pub(super) pending: [Pending; 2],
    /// Octets that have come in by it and were given to it, where there are several.
    pub(super) octets: [u64; 2],
}

/// What a port has besides its links if it may have several.
pub(super) struct Several {
    of: u8,
    failover: bool,
    distributor: Distributor,
    collector: Collector<Ingress>,
    /// Whether a timer runs for those that wait.
    is_timed: bool,
}

impl Several {
    /// For a port whose first link has this place.
    pub(super) fn new(place: Place) -> Option<Box<Self>> {
        let Place { of, failover, .. } = place;
        place.is_one_of_several().then(|| {
            let (distributor, collector) = (Distributor::new(failover), Collector::default());
            Box::new(Self { of, failover, distributor, collector, is_timed: false })
        })
    }

    /// Whether a link of this place is one of them.
    fn has_room(&self, place: Place) -> bool {
        place.is_one_of_several() && (place.of, place.failover) == (self.of, self.failover)
    }
}

impl PortLink {
    pub(super) fn new(port: &AddPort) -> Self {
        Self {
            number: port.place.number,
            id: port.id,
            target: port.target.clone(),
            details: port.details.clone(),
            state: PortState::Connecting { reason: None },
            stop: port.stop.clone(),
            reopen: port.reopen.clone(),
            pings: Arc::clone(&port.pings),
            outlet: None,
            pending: Default::default(),
            octets: [0; 2],
        }
    }
}

impl PortEntry {
    /// Whether a link of it is up.
    pub(super) fn is_up(&self) -> bool {
        self.links.iter().any(|link| link.outlet.is_some())
    }

    /// The link that `frame` leaves by, as it stands in `links`.
    #[inline]
    pub(super) fn link_for(&self, frame: &Frame) -> usize {
        let Some(several) = &self.several else { return 0 };
        let number = several.distributor.pick(frame);
        self.links.iter().position(|link| link.number == number).unwrap_or_default()
    }

    /// Where one of its links takes frames: the lowest that is up.
    pub(super) fn outlet(&self) -> Option<&Outlet> {
        self.links.iter().find_map(|link| link.outlet.as_ref())
    }

    /// Where a link stands in `links`. Of its connections the latest counts.
    fn find(&self, link: LinkRef) -> Option<usize> {
        let is_it = |own: &PortLink| (own.number, own.id) == (link.number, link.id);
        self.links.iter().position(is_it)
    }

    /// How to have its peer pinged: by the first link that can.
    pub(super) fn pings(&self) -> Option<&Arc<Pings>> {
        let can = |link: &&PortLink| link.pings.possible.load(Relaxed);
        self.links.iter().find(can).or_else(|| self.links.first()).map(|link| &link.pings)
    }

    /// As control shows its links, if it may have several.
    pub(super) fn link_infos(&self) -> Vec<LinkInfo> {
        let Some(several) = &self.several else { return Vec::new() };
        let info = |link: &PortLink| LinkInfo {
            number: link.number,
            target: link.target.clone(),
            state: link.state.clone(),
            stands_by: link.outlet.is_some() && !several.distributor.is_used(link.number),
            octets_rx: link.octets[0],
            octets_tx: link.octets[1],
        };
        self.links.iter().map(info).collect()
    }

    fn link_event(&self, kind: Kind, link: usize) -> Event {
        self.event(kind).number("link", self.links[link].number)
    }

    /// Counts a batch that does not count.
    fn discard(&self, ingress: &Ingress) {
        let frames = ingress.frames.iter().map(|frame| frame.on_wire().0).sum();
        self.counters.discarded(Discard::PortDown, frames);
    }

    /// Has the lowest link that is up stand for the port where one is shown.
    fn show_lowest(&mut self) {
        if let Some(link) = self.links.iter().find(|link| link.outlet.is_some()) {
            self.target.clone_from(&link.target);
            self.details.clone_from(&link.details);
        }
    }
}

impl Switch {
    /// The port that a new link is to be one of, if there is one with room for it.
    pub(super) fn find_joined(&self, port: &AddPort) -> Option<PortNumber> {
        port.joins.or_else(|| {
            let is_joined = |entry: &&PortEntry| {
                let several = entry.several.as_ref();
                let both = port.holder.as_ref().zip(entry.holder.as_ref());
                both.is_some_and(|(holder, other)| holder.is_of_same_port(other))
                    && several.is_some_and(|several| several.has_room(port.place))
            };
            let may_be = self.instances.of(port.holder.as_ref()).iter();
            may_be.map(|&at| &self.ports[at]).find(is_joined).map(|entry| entry.number)
        })
    }

    /// Adds a link to the port at `at`. The one that it had with this number has reconnected.
    pub(super) fn join_link(&mut self, at: usize, port: &AddPort) {
        let number = port.place.number;
        if let Some(former) = self.ports[at].links.iter().position(|link| link.number == number) {
            let reason = "its client reconnected".to_owned();
            self.link_down(at, former, PortState::Connecting { reason: Some(reason) });
            let entry = &mut self.ports[at];
            entry.returning |= !entry.is_up();
            let former = entry.links.remove(former);
            // Refused when its supervisor has just ended.
            let _ = former.stop.try_send(Stop::Deleted);
        }
        let entry = &mut self.ports[at];
        let link = PortLink::new(port);
        // It is opened with what is in force.
        link.reopen.send_modify(|opening| opening.settings.clone_from(&entry.applied));
        let place = entry.links.partition_point(|link| link.number < number);
        entry.links.insert(place, link);
    }

    /// The link `up.link` of the port at `at` is up; `false`: the peer has given it up already,
    /// or there is a later one.
    pub(super) fn open_link(&mut self, at: usize, up: &PortUp) -> bool {
        let now = Instant::now().into_std();
        let LinkRef { number, id } = up.link;
        let port = &mut self.ports[at];
        let is_it =
            |link: &PortLink| link.number == number && (id == LinkId::ONLY || link.id <= id);
        let Some(place) = port.links.iter().position(is_it) else { return false };
        if let Some(several) = &mut port.several
            && !several.collector.open(id, now)
        {
            return false;
        }
        let link = &mut port.links[place];
        link.id = id;
        link.state = PortState::Up;
        link.target.clone_from(&up.target);
        link.details.clone_from(&up.details);
        let (port_actor, give_up, gauge) =
            (up.egress.clone(), up.give_up.clone(), up.gauge.clone());
        link.outlet = Some(Outlet { port: port_actor, give_up, gauge });
        if let Some(several) = &mut port.several {
            let sayings = several.distributor.join(number, id, now);
            port.show_lowest();
            self.say(at, sayings);
            let port = &self.ports[at];
            info!(port.log, "link is up"; "port" => %port.number, "link" => number,
                "target" => &up.target);
            self.monitor.tell(|| port.link_event(Kind::LinkUp, place).text("target", &up.target));
        }
        true
    }

    /// No frames go by the link from now on. Nothing is pending for it.
    pub(super) fn close_link(&mut self, at: usize, link: usize) -> bool {
        let port = &mut self.ports[at];
        let PortLink { number, id, outlet, .. } = &mut port.links[link];
        let was_up = outlet.take().is_some();
        if let Some(several) = &mut port.several
            && was_up
        {
            let kept = several.collector.close(*id);
            let sayings = several.distributor.leave(*number, Instant::now().into_std());
            kept.iter().for_each(|ingress| self.ports[at].discard(ingress));
            self.say(at, sayings);
        }
        was_up
    }

    /// A link of the port at `at` is in this state and not up: its flows go by others, if there
    /// are any. If not, the port is down.
    pub(super) fn link_down(&mut self, at: usize, link: usize, state: PortState) {
        let port = &mut self.ports[at];
        port.links[link].state.clone_from(&state);
        let mut others = port.links.iter().enumerate().filter(|(other, _)| *other != link);
        if !others.any(|(_, other)| other.outlet.is_some()) {
            // The lowest stands for all of them.
            let state = port.links.first().map_or(state, |link| link.state.clone());
            return self.go_down(at, state);
        }
        let was_up = self.close_link(at, link);
        let port = &mut self.ports[at];
        port.show_lowest();
        let (number, now) = (port.number, Instant::now().into_std());
        if was_up || matches!(state, PortState::Failed { .. }) {
            self.monitor.tell(|| port.link_event(Kind::LinkDown, link).state(&state));
        }
        if let Some(reason) = state.reason()
            && !matches!(state, PortState::Connecting { .. })
            && port.warns(reason, now)
        {
            warn!(port.log, "link is down"; "port" => %number, "link" => port.links[link].number,
                "target" => &port.links[link].target, "state" => state.name(), "reason" => reason);
        }
        self.receive_ready(number);
    }

    /// A message of a supervisor about a link of a port: where both stand, if they are there.
    pub(super) fn find_link(&self, port: PortNumber, link: LinkRef) -> Option<(usize, usize)> {
        let at = self.find(port)?;
        Some((at, self.ports[at].find(link)?))
    }

    fn say(&self, at: usize, sayings: Vec<Saying>) {
        for (number, message) in sayings {
            let mut links = self.ports[at].links.iter();
            let link = links.find(|link| link.number == number);
            if let Some(outlet) = link.and_then(|link| link.outlet.as_ref()) {
                outlet.port.do_send(Egress {
                    message: Some(message),
                    frames: Vec::new(),
                    flooded: Vec::new(),
                    source: Source::OWN,
                    credit: Credit::NONE,
                    alone: false,
                });
            }
        }
    }

    /// Takes what has come by a link of the port at `at`, which may have several.
    pub(super) fn collect(&mut self, at: usize, mut ingress: Ingress, ctx: &mut Context<Self>) {
        let (number, id) = (ingress.port, ingress.link);
        // What is said holds the credit that it came with.
        let said = ingress.message.take().map(|message| {
            let (frames, credit) = (Vec::new(), ingress.credit.clone());
            let held =
                Ingress { port: number, link: id, frames, message: None, credit, turn: None };
            (message, held)
        });
        let port = &mut self.ports[at];
        let Some(several) = &mut port.several else { return };
        if !ingress.frames.is_empty() {
            if let Some(link) = port.links.iter_mut().find(|link| link.id == id) {
                link.octets[0] += ingress.frames.iter().map(|frame| frame.on_wire().1).sum::<u64>();
            }
            // While it waits, others of its holder have their turn.
            let _turn = ingress.turn.take();
            match several.collector.batch(id, ingress) {
                Collected::Now(ingress) => self.receive(at, ingress),
                Collected::Waits => {}
                Collected::Gone(ingress) => port.discard(&ingress),
            }
        }
        if let Some((message, held)) = said {
            self.hear(message, held);
            self.time_waits(number, ctx);
        }
    }

    /// The peer says something by the link of a port that `held` names.
    fn hear(&mut self, message: LinkMessage, held: Ingress) {
        let (number, id, now) = (held.port, held.link, Instant::now().into_std());
        let Some(at) = self.find(number) else { return };
        let port = &mut self.ports[at];
        let Some(several) = &mut port.several else { return };
        if let Some((gone, kept)) = several.collector.message(id, message, held, now) {
            kept.iter().for_each(|ingress| port.discard(ingress));
            let link = port.links.iter().position(|link| link.id == gone);
            if let Some(link) = link
                && let Some(outlet) = &port.links[link].outlet
            {
                outlet.give_up.do_send(GiveUp);
                let reason = Some("the peer has given it up".to_owned());
                self.link_down(at, link, PortState::Connecting { reason });
            }
        }
        self.receive_ready(number);
    }

    /// Takes what waits no more.
    fn receive_ready(&mut self, number: PortNumber) {
        while let Some(at) = self.find(number)
            && let Some(several) = &mut self.ports[at].several
            && let Some(ingress) = several.collector.ready(Instant::now().into_std())
        {
            self.receive(at, ingress);
        }
    }

    /// Sees to it that no link of a port waits for too long.
    fn time_waits(&mut self, number: PortNumber, ctx: &mut Context<Self>) {
        let now = Instant::now().into_std();
        if let Some(at) = self.find(number)
            && let Some(several) = &mut self.ports[at].several
            && !several.is_timed
            && let Some(wait) = several.collector.wait(now)
        {
            several.is_timed = true;
            ctx.run_later(wait, move |switch, ctx| switch.end_waits(number, ctx));
        }
    }

    /// Lets links go on that have waited for long enough.
    fn end_waits(&mut self, number: PortNumber, ctx: &mut Context<Self>) {
        if let Some(at) = self.find(number)
            && let Some(several) = &mut self.ports[at].several
        {
            several.is_timed = false;
            let expired = several.collector.expire(Instant::now().into_std());
            for _ in 0..expired {
                self.ports[at].counters.happened(Incident::MarkerTimeout);
            }
            self.receive_ready(number);
            self.time_waits(number, ctx);
        }
    }
}

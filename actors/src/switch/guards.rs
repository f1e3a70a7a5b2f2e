//! The Switch's side of the guards: what each port has of them, and what the Switch
//! does when they speak. A frame for a known address never comes here.

use std::{fmt, time::Instant};

use slog::{info, warn};
use tokio::time::Instant as TokioInstant;

use super::Switch;
use crate::{
    core::{
        counters::{Discard, Incident},
        fdb::{Learned, PortNumber},
        frame::Frame,
        guard::{
            Episode,
            loops::{Probe, is_probe, to_block},
            storm::{Class, StormControl, StormLimit},
        },
        relay::Lesson,
        settings::PortSettings,
    },
    message::{Credit, Limit},
    monitor::{Event, Kind},
};

/// Why a port is blocked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    /// The port at the loop's other end; itself, if it hears itself.
    with: PortNumber,
    itself: bool,
    /// Round in which the loop was last heard.
    round: u64,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { itself: true, .. } => f.write_str("its own frames come back to it"),
            Self { with, .. } => write!(f, "it leads to the same network as port {with}"),
        }
    }
}

/// What is told of a storm.
#[derive(Debug, Default)]
struct Storm {
    episode: Episode,
    /// Frames that had been discarded before it.
    before: u64,
}

/// The storm limits among settings, in the order of [`Class::ALL`].
fn storm_limits(settings: &PortSettings) -> [StormLimit; Class::ALL.len()] {
    [settings.storm_broadcast(), settings.storm_multicast(), settings.storm_unicast()]
}

/// The guards of one port.
#[derive(Debug)]
pub(super) struct PortGuards {
    /// Whether the loop guard watches it.
    pub(super) loop_guard: bool,
    pub(super) blocked: Option<Blocked>,
    storm: StormControl,
    storms: [Storm; Class::ALL.len()],
    flaps: Episode,
    full: Episode,
}

impl PortGuards {
    pub(super) fn new(settings: &PortSettings) -> Self {
        Self {
            loop_guard: settings.loop_guard(),
            blocked: None,
            storm: StormControl::new(storm_limits(settings)),
            storms: Default::default(),
            flaps: Episode::default(),
            full: Episode::default(),
        }
    }

    /// Puts settings in force; those that are already are not touched.
    pub(super) fn apply(&mut self, settings: &PortSettings) {
        self.loop_guard = settings.loop_guard();
        for (class, limit) in Class::ALL.into_iter().zip(storm_limits(settings)) {
            self.storm.set(class, limit);
        }
    }

    /// The port's limits; `queue` and `macs` are what is used and what there may be.
    pub(super) fn limits(
        &self,
        queue: Option<(usize, usize)>,
        macs: (usize, usize),
        now: Instant,
    ) -> Vec<Limit> {
        let of = |name, (value, limit): (usize, usize)| Limit {
            name,
            value: value as u64,
            limit: limit.to_string(),
        };
        let storm = Class::ALL.map(|class| {
            let (value, limit) = self.storm.level(class, now);
            Limit { name: class.discard().name(), value, limit: limit.to_string() }
        });
        let queue = queue.map(|queue| of("queue-octets", queue));
        queue.into_iter().chain([of("macs", macs)]).chain(storm).collect()
    }
}

impl Switch {
    /// Whether storm control lets `frame` be flooded; who asks counts what it does not.
    pub(super) fn passes_storm_control(
        &mut self,
        at: usize,
        class: Class,
        frame: &Frame,
        now: Instant,
    ) -> bool {
        let port = &mut self.ports[at];
        if port.guards.storm.admit(class, frame, now) {
            return true;
        }
        self.end_storm(at, class, now);
        let port = &mut self.ports[at];
        let storm = &mut port.guards.storms[class as usize];
        if storm.episode.begins(now) {
            storm.before = port.counters.discards(class.discard());
            let (_, limit) = port.guards.storm.level(class, now);
            self.monitor.tell(|| {
                let storm = Event::new(Kind::Storm).on(port.number);
                storm.text("class", class.name()).text("limit", limit)
            });
            warn!(self.log, "storm: frames over the limit are discarded";
                "port" => %port.number, "reason" => class.discard().name(), "limit" => %limit);
        }
        false
    }

    /// Tells of the end of a storm that has been over for a while.
    fn end_storm(&mut self, at: usize, class: Class, now: Instant) {
        let port = &mut self.ports[at];
        let storm = &mut port.guards.storms[class as usize];
        if storm.episode.ended(now) {
            let discarded = port.counters.discards(class.discard()) - storm.before;
            self.monitor.tell(|| {
                let ended = Event::new(Kind::StormEnded).on(port.number);
                ended.text("class", class.name()).number("discarded", discarded)
            });
        }
    }

    /// Tells what is new of a frame's source. Counts where it was not learned, and says
    /// so once.
    pub(super) fn tell_lesson(&mut self, at: usize, frame: &Frame, lesson: Lesson, now: Instant) {
        self.tell_aged();
        let port = &mut self.ports[at];
        let (Lesson::Learned(learned), Some(header)) = (lesson, frame.header()) else {
            port.counters.happened(Incident::Reflection);
            return;
        };
        let event = |kind| Event::new(kind).on(port.number).address(header.vid(), header.src());
        match learned {
            Learned::New => return self.monitor.tell(|| event(Kind::MacLearned)),
            Learned::Moved(from) => {
                return self.monitor.tell(|| event(Kind::MacMoved).number("from", from.get()));
            }
            _ => port.counters.happened(Incident::LearnedEntryDiscard),
        }
        match learned {
            Learned::Flaps(pinned) => {
                port.counters.happened(Incident::Flap);
                if port.guards.flaps.begins(now) {
                    self.monitor.tell(|| event(Kind::Flap).number("pinned", pinned.get()));
                    warn!(self.log, "address is flapping between ports; pinned for 10 s";
                        "mac" => %header.src(), "port" => %port.number, "pinned" => %pinned);
                }
            }
            Learned::Full | Learned::PortFull if port.guards.full.begins(now) => {
                let (what, limit) = match learned {
                    Learned::Full => ("all ports", "switch"),
                    _ => ("this port", "port"),
                };
                let event = || Event::new(Kind::TableFull).on(port.number).text("limit", limit);
                self.monitor.tell(event);
                warn!(self.log, "forwarding database is full: new addresses are flooded";
                    "port" => %port.number, "limit of" => what);
            }
            _ => {}
        }
    }

    /// Sends each port its loop-detect frame, and tries blocked ports again that have
    /// heard of no loop for a while. Once in a round.
    pub(super) fn probe_ports(&mut self, now: Instant) {
        self.loops.next_round();
        for at in self.ports.places() {
            for class in Class::ALL {
                self.end_storm(at, class, now);
            }
            let port = &self.ports[at];
            if port
                .guards
                .blocked
                .is_some_and(|blocked| self.loops.is_over(port.number, blocked.round))
            {
                info!(self.log, "loop has ended: port is unblocked"; "port" => %port.number);
                self.unblock(at);
            }
            self.probe_port(at);
        }
        self.deliver(&Credit::NONE);
    }

    /// The port at `at` is blocked no more, if it was.
    pub(super) fn unblock(&mut self, at: usize) {
        let port = &mut self.ports[at];
        if port.guards.blocked.take().is_some() {
            self.monitor.tell(|| Event::new(Kind::LoopEnded).on(port.number));
            self.note_forwarding(at);
        }
    }

    /// Has the port at `at` send a loop-detect frame, even while it is blocked.
    pub(super) fn probe_port(&mut self, at: usize) {
        let port = &self.ports[at];
        if port.is_open() && port.guards.loop_guard && !port.is_leaf {
            let probe = self.loops.probe(port.number);
            self.append(at, probe, TokioInstant::now().into_std());
        }
    }

    /// A loop-detect frame came in by the port at `at`.
    pub(super) fn receive_probe(&mut self, at: usize, frame: Frame, now: Instant) {
        let probe = self.loops.read(&frame);
        let port = &mut self.ports[at];
        let passes = probe != Probe::Foreign || port.guards.storm.admit_probe(now);
        let discard = (!passes).then_some(Discard::StormMulticast);
        self.mirrors.received(port.number, &frame, discard, now);
        match probe {
            Probe::Foreign if passes => self.flood_to(at, frame, now, |port| !port.is_leaf),
            Probe::Foreign => port.counters.discarded(Discard::StormMulticast, 1),
            Probe::Own(sender) => {
                let receiver = port.number;
                self.block(sender, receiver);
            }
            Probe::Forged => port.counters.happened(Incident::ForgedProbe),
        }
    }

    /// A frame came in by the port at `at`, which is blocked: only whether the loop is
    /// still there is of interest.
    pub(super) fn receive_blocked(&mut self, at: usize, frame: &Frame, now: Instant) {
        let number = self.ports[at].number;
        let probe = frame.header().is_some_and(|header| is_probe(header, frame));
        if let Some(Probe::Own(sender)) = probe.then(|| self.loops.read(frame)) {
            self.mirrors.received(number, frame, None, now);
            self.block(sender, number);
        } else {
            self.mirrors.received(number, frame, Some(Discard::Loop), now);
            self.ports[at].counters.discarded(Discard::Loop, frame.on_wire().0);
        }
    }

    /// Two ports lead to the same network: blocks one of them, or goes on doing so.
    fn block(&mut self, sender: PortNumber, receiver: PortNumber) {
        let open = |number| self.find(number).is_some_and(|at| self.ports[at].is_open());
        if !open(sender) {
            return; // Gone while the frame was on its way.
        }
        let guarded = |number| self.find(number).is_some_and(|at| self.ports[at].guards.loop_guard);
        let Some(at) = to_block(sender, receiver, guarded).and_then(|port| self.find(port)) else {
            return;
        };
        let port = &mut self.ports[at];
        let with = if port.number == sender { receiver } else { sender };
        let blocked = Blocked { with, itself: sender == receiver, round: self.loops.round() };
        if port.guards.blocked.replace(blocked).is_some() {
            return;
        }
        self.note_forwarding(at);
        let port = &self.ports[at];
        port.counters.happened(Incident::Loop);
        warn!(self.log, "loop: port is blocked while it lasts";
            "port" => %port.number, "with" => %with, "reason" => %blocked);
        let number = port.number;
        self.monitor.tell(|| {
            let event = Event::new(Kind::Loop).on(number).number("with", with.get());
            event.text("reason", blocked)
        });
        self.relay.flush_port(number);
    }
}

//! The Switch's side of the guards: what each port has of them, and what the Switch
//! does when they speak. A frame for a known address never comes here.

use std::{fmt, time::Instant};

use slog::{info, warn};
use tokio::time::Instant as TokioInstant;

use super::Switch;
use crate::{
    core::{
        announce::RARP,
        counters::{Counters, Discard, Incident},
        fdb::{Learned, Owner, PortNumber},
        frame::Frame,
        guard::{
            Episode, Reminder,
            loops::{Probe, is_probe, to_block},
            storm::{Class, StormControl, StormLimits},
        },
        packet::Ethernet,
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

/// The storm limits among settings.
fn storm_limits(settings: &PortSettings) -> StormLimits {
    let frames = [settings.storm_broadcast(), settings.storm_multicast(), settings.storm_unicast()];
    StormLimits { frames, octets: settings.storm_octets() }
}

/// Frames of a class that storm control has discarded, and of all classes those over the
/// octets.
fn discarded(counters: &Counters, class: Class) -> u64 {
    counters.discards(class.discard()) + counters.discards(Discard::StormOctets)
}

/// The guards of one port.
#[derive(Debug)]
pub(super) struct PortGuards {
    /// Whether the loop guard watches it.
    pub(super) loop_guard: bool,
    pub(super) blocked: Option<Blocked>,
    storm: StormLimits,
    storms: [Storm; Class::ALL.len()],
    flaps: Episode,
    full: Episode,
    own_address: Reminder,
}

impl PortGuards {
    pub(super) fn new(settings: &PortSettings) -> Self {
        Self {
            loop_guard: settings.loop_guard(),
            blocked: None,
            storm: storm_limits(settings),
            storms: Default::default(),
            flaps: Episode::default(),
            full: Episode::default(),
            own_address: Reminder::default(),
        }
    }

    /// Puts settings in force.
    pub(super) fn apply(&mut self, settings: &PortSettings) {
        self.loop_guard = settings.loop_guard();
        self.storm = storm_limits(settings);
    }

    /// The port's limits; `queue` and `macs` are what is used and what there may be, `flooded`
    /// what was flooded for its holder.
    pub(super) fn limits(
        &self,
        queue: Option<(usize, usize)>,
        macs: (usize, usize),
        flooded: &StormControl,
        now: Instant,
    ) -> Vec<Limit> {
        let of = |name, (value, limit): (usize, usize)| Limit {
            name,
            value: value as u64,
            limit: limit.to_string(),
        };
        let storm = flooded.levels(&self.storm, now).map(|(reason, value, limit)| Limit {
            name: reason.name(),
            value,
            limit: limit.to_string(),
        });
        let queue = queue.map(|queue| of("queue-octets", queue));
        queue.into_iter().chain([of("macs", macs)]).chain(storm).collect()
    }
}

impl Switch {
    /// Whether storm control lets `frame` be flooded, or for which reason it does not; who
    /// asks counts that.
    pub(super) fn storm_control(
        &mut self,
        at: usize,
        class: Class,
        frame: &Frame,
        now: Instant,
    ) -> Result<(), Discard> {
        let port = &self.ports[at];
        let admitted = self.holders[port.held].admit(&port.guards.storm, class, frame, now);
        let Err(reason) = admitted else { return Ok(()) };
        self.end_storm(at, class, now);
        let port = &mut self.ports[at];
        let storm = &mut port.guards.storms[class as usize];
        if storm.episode.begins(now) {
            storm.before = discarded(&port.counters, class);
            let limit = port.guards.storm.of(reason);
            self.monitor.tell(|| {
                let storm = Event::new(Kind::Storm).on(port.number);
                storm.text("class", class.name()).text("limit", limit)
            });
            warn!(self.log, "storm: frames over the limit are discarded";
                "port" => %port.number, "class" => class.name(), "reason" => reason.name(),
                "limit" => %limit, "holder" => self.holders.identity(port.held));
        }
        Err(reason)
    }

    /// Tells of the end of a storm that has been over for a while.
    fn end_storm(&mut self, at: usize, class: Class, now: Instant) {
        let port = &mut self.ports[at];
        let storm = &mut port.guards.storms[class as usize];
        if storm.episode.ended(now) {
            let discarded = discarded(&port.counters, class) - storm.before;
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
            Learned::Own(own) => return self.tell_own_address(at, header, own, now),
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
                let limit = if learned == Learned::Full { "switch" } else { "port" };
                let (port, of_port) = (port.number, (Owner::Holder(port.held), 0));
                // Of a full table, who fills it: not who comes last.
                let fdb = self.relay.fdb();
                let most = fdb.most().filter(|_| learned == Learned::Full).unwrap_or(of_port).0;
                let by = self.owner(most);
                self.monitor.tell(|| {
                    let event = Event::new(Kind::TableFull).on(port).text("limit", limit);
                    event.text("by", &by)
                });
                warn!(self.log, "forwarding database is full: new addresses are flooded";
                    "port" => %port, "limit of" => limit, "filled by" => by);
            }
            _ => {}
        }
    }

    /// Who it is, for people: a holder by his name, another by his port.
    fn owner(&self, owner: Owner) -> String {
        let port = |number: PortNumber| format!("port {number}");
        match owner {
            Owner::Port(number) => port(number),
            Owner::Holder(held) => self.holders.identity(held).map_or_else(
                || {
                    let mut ports = self.ports.iter().map(|(_, port)| port);
                    let own = ports.find(|port| port.held == held);
                    own.map_or_else(String::new, |own| port(own.number))
                },
                str::to_owned,
            ),
        }
    }

    /// A frame came in by the port at `at` with the address of the device of the port `own`.
    fn tell_own_address(&mut self, at: usize, header: Ethernet<'_>, own: PortNumber, now: Instant) {
        // The switch at the other end tells what is behind its ports: a moment ago, that was
        // this.
        if header.ethertype() == RARP {
            return;
        }
        let port = &mut self.ports[at];
        port.counters.happened(Incident::OwnAddress);
        if !port.guards.own_address.is_due(now) {
            return;
        }
        let event = || {
            let event = Event::new(Kind::OwnAddress).on(port.number);
            event.address(header.vid(), header.src()).number("own", own.get())
        };
        self.monitor.tell(event);
        let user = port.details.iter().find(|(name, _)| *name == "user");
        warn!(self.log, "a device's own address comes in as a source: another machine has the \
            same, or there is a loop";
            "mac" => %header.src(), "port" => %port.number,
            "user" => user.map_or("-", |(_, user)| user), "own" => %own);
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
        let passes = probe != Probe::Foreign || self.holders[port.held].admit_probe(now);
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

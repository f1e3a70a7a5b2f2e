//! The Switch actor: the one owner of the relay and of the port table.
//!
//! Middle of the frame's path. It asks the relay about each frame of a batch,
//! gathers frames by egress port in scratch lists that it keeps, and sends each
//! port one batch. It must never wait, and allocates per batch, never per frame.

mod bpdu;
mod guards;
mod interface;
mod loops;
mod requests;
mod settings;

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use actix::prelude::*;
use pnet_packet::ethernet::EtherType;
use slog::{Logger, debug, info, warn};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use crate::{
    core::{
        announce,
        batch::{HOLDER_TURNS, Source},
        counters::{Counters, Discard},
        fdb::{Aged, DEFAULT_AGING_TIME, DEFAULT_CAPACITY, Fdb, Learned, Owner, PortNumber},
        frame::{Frame, MacAddr},
        gauge::{Gauge, cost},
        guard::{
            Reminder,
            bpdu::Flushes,
            loops::{LoopGuard, ROUND, is_probe},
            storm::StormControl,
        },
        holder::{Holder, Holders},
        interface::{Carrier, Interface, InterfaceStatus},
        memory::QueueMemory,
        ports::{PortSet, Ports},
        relay::{Lesson, Protocol, Relay, Verdict},
        settings::{LinkSettings, PortSettings},
        state::{Details, PortState, Stop},
    },
    message::{
        AddPort, AddPortError, Credit, Egress, Ingress, Opening, Pings, PortAdded, PortDown,
        PortGone, PortInfo, PortUp, Shutdown,
    },
    mirror::Mirrors,
    monitor::{Event, Kind, Monitor},
};

use guards::{Blocked, PortGuards};

/// Longest time between two collections of aged addresses.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60);

/// How long at most the end of a storm, or of BPDUs, is not noticed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long at most a mirror is fed whose reader has gone, and a reader with nothing else
/// to read is not told what it lost.
const MIRROR_INTERVAL: Duration = Duration::from_secs(1);

/// Octets in all queues, unless told otherwise: two hundred ports that are stuck.
const DEFAULT_QUEUE_MEMORY: usize = 256 * 1024 * 1024;

/// How often the same reason why a port is down is told again while it lasts.
const WARNING_INTERVAL: Duration = Duration::from_secs(3600);

/// Reasons that are remembered for it: a client port has some, one for each of its servers.
const MAX_WARNINGS: usize = 8;

/// How a switch behaves.
#[derive(Debug, Clone)]
pub struct SwitchOptions {
    /// Time after which a learned address is forgotten.
    pub aging_time: Duration,
    /// Most addresses that the forwarding database learns.
    pub fdb_capacity: usize,
    /// Octets that all queues may take together.
    pub queue_memory: usize,
    /// Settings of ports that have nothing else; what is `None` is as it was declared.
    pub ports: PortSettings,
    /// Whether to write a debug record for each frame.
    pub debug_frames: bool,
    /// Where records go.
    pub log: Logger,
    /// Who is told what happens.
    pub monitor: Monitor,
}

impl Default for SwitchOptions {
    /// The standard's aging time, all guards, and no records.
    fn default() -> Self {
        Self {
            aging_time: DEFAULT_AGING_TIME,
            fdb_capacity: DEFAULT_CAPACITY,
            queue_memory: DEFAULT_QUEUE_MEMORY,
            ports: PortSettings::default(),
            debug_frames: false,
            log: Logger::root(slog::Discard, slog::o!()),
            monitor: Monitor::new(),
        }
    }
}

/// Where a port that is up takes frames.
struct Outlet {
    port: Recipient<Egress>,
    gauge: Gauge,
}

struct PortEntry {
    number: PortNumber,
    kind: &'static str,
    target: String,
    interface: Option<String>,
    announces: bool,
    /// Whether nothing but a station is behind it.
    is_leaf: bool,
    /// Whether this host's own network stack is behind it.
    is_host: bool,
    /// Whether it takes the place of what was lost, and has not been up since.
    returning: bool,
    holder: Option<Holder>,
    /// Place of its holder, with whom it shares what is limited.
    held: usize,
    state: PortState,
    /// What it was last seen doing, as control tells it, and since when.
    seen: &'static str,
    since: StdInstant,
    /// Why it was down since it was up last, and when that was told.
    warned: Vec<(String, StdInstant)>,
    /// What was set on this port.
    own: PortSettings,
    /// What is in force of all settings.
    applied: PortSettings,
    shut: bool,
    /// The setting `offload`, shared with the port's task.
    link_settings: Arc<LinkSettings>,
    pings: Arc<Pings>,
    details: Details,
    guards: PortGuards,
    counters: Arc<Counters>,
    stop: mpsc::Sender<Stop>,
    reopen: watch::Sender<Opening>,
    /// What control has set on the interface.
    kept: Option<Interface>,
    /// What the kernel shows of the interface, while the port is up.
    status: Option<InterfaceStatus>,
    /// The only sources that it may have, if it has `static-macs`.
    only: Box<[MacAddr]>,
    /// While the port is up.
    outlet: Option<Outlet>,
    /// Frames of the batch at hand that go out of this port: for it only, and flooded. Empty
    /// between batches.
    pending: [Pending; 2],
}

/// Frames that a port gets with the batch at hand, and what they cost.
#[derive(Debug, Default)]
struct Pending {
    frames: Vec<Frame>,
    octets: usize,
}

impl Pending {
    /// All of them; the list keeps its room.
    fn taken(&mut self) -> Vec<Frame> {
        let mut taken = Vec::with_capacity(self.frames.len());
        taken.append(&mut self.frames);
        taken
    }
}

/// What the ports of a holder share in the Switch.
#[derive(Debug, Default)]
struct Shared {
    /// What was flooded for him.
    flooded: StormControl,
    /// What his queues take.
    memory: Option<QueueMemory>,
    /// His turns, if he may have several ports.
    turns: Option<Arc<Semaphore>>,
}

impl PortEntry {
    fn info(&self) -> PortInfo {
        let round_trip = self.counters.round_trip().filter(|_| self.outlet.is_some());
        let rtt = round_trip.map(|rtt| ("rtt", format!("{:.2} ms", rtt.as_secs_f64() * 1e3)));
        PortInfo {
            port: self.number,
            name: self.own.name.clone(),
            description: self.own.description.clone(),
            kind: self.kind,
            target: self.target.clone(),
            interface: self.interface.clone(),
            is_elsewhere: self.status.as_ref().is_some_and(|s| s.carrier == Carrier::Elsewhere),
            state: self.state(),
            shut: self.shut,
            since: self.since,
            mtu: self.status.as_ref().map(|status| status.mtu),
            details: self.details.iter().cloned().chain(rtt).collect(),
            counters: Arc::clone(&self.counters),
        }
    }

    /// What it is doing.
    fn state(&self) -> PortState {
        match (&self.guards.blocked, self.lacks_carrier()) {
            (_, Some(reason)) => PortState::Down { reason },
            (Some(blocked), None) => blocked.state(),
            (None, None) => self.state.clone(),
        }
    }

    /// Notes since when it does what it does, if that is something else than before.
    fn note_state(&mut self) {
        let doing = match self.state() {
            _ if self.shut => "shut",
            // One attempt after the other to open the medium.
            PortState::Backoff { .. } | PortState::Connecting { .. } => "opening",
            state => state.name(),
        };
        if doing != self.seen {
            (self.seen, self.since) = (doing, Instant::now().into_std());
        }
    }

    /// Whether it is to be told now that the port is down for this reason: once an hour.
    fn warns(&mut self, reason: &str, now: StdInstant) -> bool {
        self.warned.retain(|(_, at)| now.duration_since(*at) < WARNING_INTERVAL);
        if self.warned.iter().any(|(told, _)| told == reason) || self.warned.len() == MAX_WARNINGS {
            return false;
        }
        self.warned.push((reason.to_owned(), now));
        true
    }

    /// Whether its medium is open and the operator lets it carry frames.
    fn is_open(&self) -> bool {
        self.outlet.is_some() && !self.shut && !self.has_no_carrier()
    }

    /// Whether frames from `source` may come in.
    fn may_send(&self, frame: &Frame) -> bool {
        self.only.is_empty()
            || frame
                .header()
                .is_none_or(|header| self.only.contains(&header.src()) || is_probe(header, frame))
    }

    fn is_forwarding(&self) -> bool {
        self.is_open() && self.guards.blocked.is_none()
    }

    /// Octets in its queue, and how many there may be, while it is up.
    fn queue(&self) -> Option<(usize, usize)> {
        self.outlet.as_ref().map(|outlet| (outlet.gauge.used(), outlet.gauge.limit()))
    }

    /// `event` with what the port is.
    fn describe(&self, event: Event) -> Event {
        event.text("type", self.kind).text("target", &self.target)
    }

    fn stop(&self, reason: Stop) {
        // Refused when the supervisor has been told before, or has just ended.
        let _ = self.stop.try_send(reason);
    }
}

/// The switch. Ports join it through [`supervisor::add`](crate::supervisor::add);
/// commands come through [`Control`](crate::control::Control).
pub struct Switch {
    relay: Relay,
    ports: Ports<PortEntry>,
    /// The ports that carry frames: what a flood goes to.
    forwarding: PortSet,
    /// The ports whose carrier is that of another.
    followers: PortSet,
    /// Who holds ports.
    holders: Holders<Shared>,
    /// What all queues take, and, of the batch at hand, are to take.
    memory: QueueMemory,
    pending_octets: usize,
    memory_reminder: Reminder,
    next: PortNumber,
    /// Ports with pending frames. Empty between batches.
    touched: Vec<usize>,
    /// Who the batch at hand is from.
    source: Source,
    collect_interval: Duration,
    mirrors: Mirrors,
    loops: LoopGuard,
    flushes: Flushes,
    /// How often there were announcements.
    announcements: usize,
    /// Settings of ports that have nothing else: all of them.
    defaults: PortSettings,
    debug_frames: bool,
    log: Logger,
    monitor: Monitor,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("relay", &self.relay).finish_non_exhaustive()
    }
}

impl Switch {
    /// A switch without ports.
    #[must_use]
    pub fn new(options: SwitchOptions) -> Self {
        Self {
            relay: Relay::new(Fdb::new(options.aging_time, options.fdb_capacity)),
            ports: Ports::default(),
            forwarding: PortSet::default(),
            followers: PortSet::default(),
            holders: Holders::default(),
            memory: QueueMemory::new(options.queue_memory),
            pending_octets: 0,
            memory_reminder: Reminder::default(),
            next: PortNumber::FIRST,
            touched: Vec::new(),
            source: Source::OWN,
            collect_interval: options.aging_time.min(COLLECT_INTERVAL),
            mirrors: Mirrors::default(),
            loops: LoopGuard::new(),
            flushes: Flushes::default(),
            announcements: 0,
            defaults: options.ports.or(&PortSettings::declared()),
            debug_frames: options.debug_frames,
            log: options.log,
            monitor: options.monitor,
        }
    }

    fn find(&self, number: PortNumber) -> Option<usize> {
        self.ports.find(number)
    }

    /// Takes a port out, with all that was learned behind it.
    fn remove(&mut self, number: PortNumber) -> Option<PortEntry> {
        let at = self.ports.find(number)?;
        self.forwarding.set(at, false);
        self.followers.set(at, false);
        self.relay.remove_port(number);
        self.holders.leave(self.ports[at].held);
        let removed = self.ports.remove(number);
        self.loops.close(number);
        self.set_carriers();
        self.obey();
        self.deliver(&Credit::NONE);
        removed
    }

    /// Notes whether the port at `at` carries frames, after anything that may change it.
    fn note_forwarding(&mut self, at: usize) {
        self.ports[at].note_state();
        let is_forwarding = self.ports[at].is_forwarding();
        self.forwarding.set(at, is_forwarding);
        self.set_carriers();
    }

    /// Gives `frame` to the port at `at`, if it carries frames.
    fn enqueue(&mut self, at: usize, frame: Frame, now: StdInstant) {
        self.enqueue_as(at, frame, false, now);
    }

    fn enqueue_as(&mut self, at: usize, frame: Frame, flooded: bool, now: StdInstant) {
        let port = &self.ports[at];
        if port.is_forwarding() {
            self.append_as(at, frame, flooded, now);
        } else {
            let blocked = port.guards.blocked.filter(|_| port.is_open());
            let reason = blocked.map_or(Discard::PortDown, Blocked::discard);
            port.counters.discarded(reason, frame.on_wire().0);
            self.mirrors.sent(port.number, &frame, Some(reason), now);
        }
    }

    /// Appends `frame` to what is pending for the port at `at`, unless its queue is full.
    fn append(&mut self, at: usize, frame: Frame, now: StdInstant) {
        self.append_as(at, frame, false, now);
    }

    fn append_as(&mut self, at: usize, frame: Frame, flooded: bool, now: StdInstant) {
        let port = &mut self.ports[at];
        let Some(outlet) = &port.outlet else { return };
        let (source, pending) = (Source { flooded, ..self.source }, usize::from(flooded));
        let octets = cost(&frame);
        let refused = if !outlet.gauge.has_room(&frame, source, port.pending[pending].octets) {
            Some(Discard::LackOfBuffers)
        } else if self.memory.is_tight(self.pending_octets + octets)
            && !outlet.gauge.memory().has_room(octets, self.pending_octets)
        {
            Some(Discard::QueueMemory)
        } else {
            None
        };
        if let Some(reason) = refused {
            port.counters.discarded(reason, frame.on_wire().0);
            self.mirrors.sent(port.number, &frame, refused, now);
            if reason == Discard::QueueMemory {
                self.tell_memory(now);
            }
            return;
        }
        self.mirrors.sent(port.number, &frame, None, now);
        if port.pending.iter().all(|pending| pending.frames.is_empty()) {
            self.touched.push(at);
        }
        self.pending_octets += octets;
        let pending = &mut port.pending[pending];
        pending.octets += octets;
        pending.frames.push(frame);
    }

    /// Gives `frame` to every port but the one at `ingress`: to the last of them
    /// itself, to the others a reference.
    fn flood(&mut self, ingress: usize, frame: Frame, now: StdInstant) {
        self.flood_to(ingress, frame, now, |_| true);
    }

    /// The same, to ports that `wanted` is true of.
    fn flood_to(
        &mut self,
        ingress: usize,
        frame: Frame,
        now: StdInstant,
        wanted: impl Fn(&PortEntry) -> bool,
    ) {
        let mut last = None;
        let mut from = 0;
        while let Some(at) = self.forwarding.next(from) {
            from = at + 1;
            if at == ingress || !wanted(&self.ports[at]) {
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
    fn deliver(&mut self, credit: &Credit) {
        let alone = self.touched.len() == 1;
        for at in self.touched.drain(..) {
            let port = &mut self.ports[at];
            let octets = port.pending.each_mut().map(|pending| mem::take(&mut pending.octets));
            let [frames, flooded] = port.pending.each_mut().map(Pending::taken);
            if let Some(outlet) = &port.outlet {
                outlet.gauge.take(self.source, octets[0]);
                outlet.gauge.take(Source { flooded: true, ..self.source }, octets[1]);
                // Bounded by the gauge, so it may pass by the mailbox's own limit.
                let (source, credit) = (self.source, credit.clone());
                outlet.port.do_send(Egress { frames, flooded, source, credit, alone });
            }
        }
        self.pending_octets = 0;
        self.mirrors.flush();
    }

    /// Takes a frame of a protocol in which the switch takes part.
    fn receive_local(&mut self, at: usize, protocol: Protocol, frame: Frame, now: StdInstant) {
        match protocol {
            Protocol::LoopDetect => self.receive_probe(at, &frame, now),
            Protocol::LinkLocal(digit) => self.receive_link_local(at, digit, frame, now),
        }
    }

    /// Tells whoever is behind the port at `at`, which has come back, what is behind
    /// the others: its switches have those addresses elsewhere, or nowhere.
    fn announce(&mut self, at: usize) {
        let (number, now) = (self.ports[at].number, Instant::now().into_std());
        self.announcements += 1;
        let frames = announce::frames(self.relay.fdb(), number, self.announcements, now);
        debug!(self.log, "addresses are announced"; "port" => %number, "count" => frames.len());
        for frame in frames {
            self.relay.note_announced(&frame, now);
            self.enqueue(at, frame, now);
        }
    }

    /// Ends the port that `holder` had before; whether there was one. The one place
    /// that orders sessions: who comes here later is the one that lives.
    fn end_former(&mut self, holder: Option<&Holder>) -> bool {
        let is_former = |port: &PortEntry| {
            let both = holder.zip(port.holder.as_ref());
            both.is_some_and(|(holder, other)| holder.is_again(other))
        };
        let former = self.ports.iter().find(|(_, port)| is_former(port));
        let Some(port) = former.map(|(_, port)| port.number).and_then(|n| self.remove(n)) else {
            return false;
        };
        port.stop(Stop::Deleted);
        self.tell_deleted(&port, "its client reconnected");
        info!(self.log, "port replaced: its client reconnected";
            "port" => %port.number, "type" => port.kind, "target" => port.target);
        true
    }

    fn tell_deleted(&self, port: &PortEntry, reason: &str) {
        let event = Event::new(Kind::PortDeleted).on(port.number);
        self.monitor.tell(|| port.describe(event).text("reason", reason));
    }

    /// Tells of the addresses that have aged since it did so last.
    fn tell_aged(&mut self) {
        for Aged { vid, mac, port } in self.relay.fdb_mut().take_aged() {
            self.monitor.tell_watchers(|| Event::new(Kind::MacAged).on(port).address(vid, mac));
        }
    }

    fn log_frame(&self, ingress: PortNumber, frame: &Frame, verdict: Verdict) {
        let length = frame.len();
        let Some(header) = frame.header() else {
            debug!(self.log, "frame"; "port" => %ingress, "length" => length, "verdict" => %verdict);
            return;
        };
        debug!(self.log, "frame";
            "port" => %ingress,
            "src" => %header.src(),
            "dst" => %header.dst(),
            "vlan" => header.vid().get(),
            "type" => format_args!("0x{:04x} {}", header.ethertype(), EtherType(header.ethertype())),
            "length" => length,
            "verdict" => %verdict,
        );
    }
}

impl Actor for Switch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(self.collect_interval, |switch, _| {
            switch.relay.fdb_mut().collect(Instant::now().into_std());
            switch.tell_aged();
        });
        ctx.run_interval(ROUND, |switch, _| switch.next_round(Instant::now().into_std()));
        ctx.run_interval(LOOK_INTERVAL, |switch, _| {
            switch.look_for_ends(Instant::now().into_std());
        });
        ctx.run_interval(MIRROR_INTERVAL, |switch, _| switch.mirrors.collect());
    }
}

impl Handler<Ingress> for Switch {
    type Result = ();

    fn handle(&mut self, ingress: Ingress, _: &mut Context<Self>) {
        // His next turn comes when this one is over.
        let Ingress { port, frames, credit, turn: _turn } = ingress;
        let Some(at) = self.find(port) else {
            return; // Deleted while the batch was on its way.
        };
        let counters = Arc::clone(&self.ports[at].counters);
        let (count, octets) =
            frames.iter().map(Frame::on_wire).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        let now = Instant::now().into_std();
        if !self.ports[at].is_open() {
            counters.discarded(Discard::PortDown, count);
            for frame in &frames {
                self.mirrors.received(port, frame, Some(Discard::PortDown), now);
            }
            self.mirrors.flush();
            return;
        }
        counters.received(count, octets);
        self.source = source(self.ports[at].held, at);
        let mut last = (port, Some(at));
        for frame in frames {
            if let Some(blocked) = self.ports[at].guards.blocked {
                self.receive_blocked(at, blocked, &frame, now);
                continue;
            }
            if !self.ports[at].may_send(&frame) {
                counters.discarded(Discard::ForeignSource, frame.on_wire().0);
                self.mirrors.received(port, &frame, Some(Discard::ForeignSource), now);
                continue;
            }
            let (verdict, lesson) = self.relay.relay(port, &frame, now);
            if self.debug_frames {
                self.log_frame(port, &frame, verdict);
            }
            match lesson {
                Lesson::Nothing | Lesson::Learned(Learned::Refreshed) => {}
                news => self.tell_lesson(at, &frame, news, now),
            }
            let verdict = match verdict {
                Verdict::Flood(class) => match self.storm_control(at, class, &frame, now) {
                    Ok(()) => verdict,
                    Err(reason) => Verdict::Discard(reason),
                },
                verdict => verdict,
            };
            if !matches!(verdict, Verdict::Local(_)) {
                self.mirrors.received(port, &frame, verdict.discard(), now);
            }
            match verdict {
                Verdict::Forward(egress) => {
                    // The frames of a batch go to one port as a rule.
                    if last.0 != egress {
                        last = (egress, self.find(egress));
                    }
                    match last.1 {
                        Some(egress) => self.enqueue(egress, frame, now),
                        None => counters.discarded(Discard::PortDown, frame.on_wire().0),
                    }
                }
                Verdict::Flood(_) => self.flood(at, frame, now),
                Verdict::Local(protocol) => self.receive_local(at, protocol, frame, now),
                Verdict::Discard(reason) => counters.discarded(reason, frame.on_wire().0),
            }
        }
        self.deliver(&credit);
        self.source = Source::OWN;
    }
}

/// The source of what comes in by the port at `at`.
fn source(held: usize, at: usize) -> Source {
    // There are far fewer; where there were not, two would share.
    let [holder, port] = [held, at].map(|place| u32::try_from(place).unwrap_or(u32::MAX));
    Source { holder, port, flooded: false }
}

impl Handler<AddPort> for Switch {
    type Result = Result<PortAdded, AddPortError>;

    fn handle(&mut self, port: AddPort, _: &mut Context<Self>) -> Self::Result {
        if let Some(interface) = &port.interface
            && let Some((_, other)) =
                self.ports.iter().find(|(_, port)| port.interface.as_ref() == Some(interface))
        {
            return Err(AddPortError::InterfaceInUse {
                interface: interface.clone(),
                port: other.number,
            });
        }
        self.check_settings(None, port.kind, &port.settings)?;
        let returning = self.end_former(port.holder.as_ref());
        let number = self.next;
        self.next = number.next();
        let held = self.holders.join(port.holder.as_ref());
        self.relay.fdb_mut().set_owner(number, Owner::Holder(held));
        let at = self.ports.insert(
            number,
            PortEntry {
                number,
                kind: port.kind,
                target: port.target,
                interface: port.interface,
                announces: port.announces,
                is_leaf: port.is_leaf,
                is_host: port.is_host,
                returning,
                holder: port.holder,
                held,
                state: PortState::Connecting { reason: None },
                seen: "",
                warned: Vec::new(),
                since: Instant::now().into_std(),
                own: port.settings,
                applied: PortSettings::default(),
                shut: false,
                link_settings: port.link_settings,
                pings: port.pings,
                details: port.details,
                guards: PortGuards::new(&self.defaults),
                counters: port.counters,
                stop: port.stop,
                reopen: port.reopen,
                kept: None,
                status: None,
                only: Box::default(),
                outlet: None,
                pending: Default::default(),
            },
        );
        self.apply_settings(at);
        let port = &self.ports[at];
        self.monitor.tell(|| port.describe(Event::new(Kind::PortAdded).on(number)));
        let has_holder = port.holder.is_some();
        let Shared { memory, turns, .. } = &mut self.holders[held];
        let memory = memory.get_or_insert_with(|| self.memory.part()).clone();
        let of_holder = || Arc::new(Semaphore::new(HOLDER_TURNS));
        let turns = has_holder.then(|| Arc::clone(turns.get_or_insert_with(of_holder)));
        Ok(PortAdded { number, memory, turns })
    }
}

impl Handler<PortUp> for Switch {
    type Result = Option<Interface>;

    fn handle(&mut self, up: PortUp, _: &mut Context<Self>) -> Self::Result {
        let at = self.find(up.port)?;
        let port = &mut self.ports[at];
        port.state = PortState::Up;
        port.warned.clear();
        port.target = up.target;
        port.interface = up.interface;
        port.details = up.details;
        port.status = up.status;
        port.outlet = Some(Outlet { port: up.egress, gauge: up.gauge });
        let kept = port.kept.clone();
        self.change_carrier(at);
        self.change_interface(at, None);
        self.deliver(&Credit::NONE);
        kept
    }
}

impl Handler<PortDown> for Switch {
    type Result = ();

    fn handle(&mut self, down: PortDown, _: &mut Context<Self>) {
        let Some(at) = self.find(down.port) else { return };
        let port = &mut self.ports[at];
        let was_up = port.outlet.take().is_some();
        port.status = None;
        self.note_forwarding(at);
        let port = &mut self.ports[at];
        if was_up {
            port.returning = port.announces;
            self.relay.flush_port(down.port);
        }
        if was_up || matches!(down.state, PortState::Failed { .. }) {
            let event = || Event::new(Kind::PortDown).on(down.port).state(&down.state);
            self.monitor.tell(event);
        }
        self.unblock(at);
        self.note_open(at);
        self.deliver(&Credit::NONE);
        let port = &mut self.ports[at];
        let now = Instant::now().into_std();
        // Another attempt is no news: what it is made for was told.
        if let Some(reason) = down.state.reason()
            && !matches!(down.state, PortState::Connecting { .. })
            && port.warns(reason, now)
        {
            warn!(self.log, "port is down";
                "port" => %down.port, "type" => port.kind, "target" => &port.target,
                "state" => down.state.name(), "reason" => reason);
        }
        port.state = down.state;
        port.note_state();
    }
}

impl Handler<PortGone> for Switch {
    type Result = ();

    fn handle(&mut self, gone: PortGone, _: &mut Context<Self>) {
        if let Some(port) = self.remove(gone.port) {
            self.tell_deleted(&port, &gone.reason);
            info!(self.log, "port has ended";
                "port" => %gone.port, "type" => port.kind, "target" => port.target,
                "reason" => gone.reason);
        }
    }
}

impl Handler<Shutdown> for Switch {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) -> Self::Result {
        let stops: Vec<_> = self.ports.iter().map(|(_, port)| port.stop.clone()).collect();
        for (_, port) in self.ports.iter() {
            port.stop(Stop::Shutdown);
        }
        Box::pin(async move {
            for stop in stops {
                stop.closed().await;
            }
        })
    }
}

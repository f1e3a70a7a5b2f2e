//! The Switch actor: the one owner of the relay and of the port table.
//!
//! Middle of the frame's path. It asks the relay about each frame of a batch,
//! gathers frames by egress port in scratch lists that it keeps, and sends each
//! port one batch. It must never wait, and allocates per batch, never per frame.

mod bindings;
mod bpdu;
mod egress;
mod entry;
mod guards;
mod interface;
mod lifecycle;
mod links;
mod lldp;
mod look;
mod loops;
mod mirrors;
mod multicast;
mod neighbors;
mod options;
mod requests;
mod settings;
mod stp;
mod vlans;

use std::{
    future,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use actix::prelude::*;
use pnet_packet::ethernet::EtherType;
use slog::{Logger, debug};
use tokio::time::{self, Instant};

use crate::{
    core::{
        announce,
        batch::Source,
        bindings::Bindings,
        counters::Discard,
        fdb::{Aged, Fdb, Learned, PortNumber},
        frame::{Frame, MacAddr},
        guard::{Reminder, bpdu::Flushes, loops::LoopGuard, storm::Class},
        holder::{Holders, Instances},
        isolation::Isolation,
        line::Direction,
        lldp::is_lldp,
        memory::QueueMemory,
        neighbors::Neighbors,
        ports::{PortSet, Ports},
        relay::{Lesson, Protocol, Relay, Verdict},
        settings::{LldpStatus, PortSettings, Profiles},
        state::Stop,
    },
    message::{Credit, Ingress, Shutdown, UntilEnd},
    mirror::Mirrors,
    monitor::{Event, Kind, Monitor},
    tick,
};

pub use options::{SwitchOptions, random_mac};

use bindings::messages_apart;
use entry::{PortEntry, Shared};
use lldp::Discovery;
use look::Timer;
use multicast::{Aim, Multicast};
use stp::Tree;
use vlans::Vlans;

/// Longest time between two collections of aged addresses.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60);

/// Time in which what the switch says last leaves its ports, before they are closed.
const LEAVE: Duration = Duration::from_millis(50);

/// The switch. Ports join it through [`supervisor::add`](crate::supervisor::add);
/// commands come through [`Control`](crate::control::Control).
pub struct Switch {
    /// What protocols know it by, and send from.
    mac: MacAddr,
    relay: Relay,
    ports: Ports<PortEntry>,
    /// The ports that carry frames: what a flood goes to.
    forwarding: PortSet,
    /// The ports whose carrier is that of another.
    followers: PortSet,
    /// Ports that do not reach each other.
    isolation: Isolation,
    /// The ports whose stations nothing is believed.
    watched: PortSet,
    /// Those with `source-guard`.
    inspected: PortSet,
    bindings: Bindings,
    /// The ports with `neigh-suppress`, and what is known for them.
    suppressing: PortSet,
    neighbors: Neighbors,
    /// Which ports want which multicast groups, if that is asked for.
    multicast: Option<Box<Multicast>>,
    /// Who holds ports.
    holders: Holders<Shared>,
    /// Of sessions, which client ports they are of.
    instances: Instances,
    /// The ports that have this host's own network stack behind them.
    hosts: PortSet,
    /// What all queues take, and, of the batch at hand, are to take.
    memory: QueueMemory,
    pending_octets: usize,
    memory_reminder: Reminder,
    next: PortNumber,
    /// Links with pending frames: of which port, and which of its links. Empty between batches.
    touched: Vec<(usize, usize)>,
    /// Who the batch at hand is from.
    source: Source,
    collect_interval: Duration,
    /// When aged addresses are collected next.
    collects: StdInstant,
    /// When it looks whether what goes on has ended.
    ends: Option<StdInstant>,
    mirrors: Mirrors,
    loops: LoopGuard,
    flushes: Flushes,
    /// While it takes part in spanning tree.
    stp: Option<Box<Tree>>,
    lldp: Discovery,
    /// How often there were announcements.
    announcements: usize,
    vlans: Vlans,
    /// Settings of ports that have nothing else: all of them.
    defaults: PortSettings,
    /// Those of them that somebody has given.
    given: PortSettings,
    profiles: Arc<Profiles>,
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
        let mut switch = Self {
            mac: options.mac,
            relay: Relay::new(Fdb::new(options.aging_time, options.fdb_capacity)),
            ports: Ports::default(),
            forwarding: PortSet::default(),
            followers: PortSet::default(),
            isolation: Isolation::default(),
            watched: PortSet::default(),
            inspected: PortSet::default(),
            bindings: Bindings::new(options.max_bindings),
            suppressing: PortSet::default(),
            neighbors: Neighbors::new(options.fdb_capacity),
            multicast: None,
            holders: Holders::default(),
            instances: Instances::default(),
            hosts: PortSet::default(),
            memory: QueueMemory::new(options.queue_memory),
            pending_octets: 0,
            memory_reminder: Reminder::default(),
            next: PortNumber::FIRST,
            touched: Vec::new(),
            source: Source::OWN,
            collect_interval: options.aging_time.min(COLLECT_INTERVAL),
            collects: tick::start().into_std(),
            ends: None,
            mirrors: Mirrors::default(),
            loops: LoopGuard::new(tick::start().into_std()),
            flushes: Flushes::default(),
            stp: None,
            lldp: Discovery::new(options.lldp, options.system),
            announcements: 0,
            vlans: Vlans::new(options.vlan_names),
            defaults: options.ports.or(&PortSettings::declared()),
            given: options.ports,
            profiles: options.profiles,
            debug_frames: options.debug_frames,
            log: options.log,
            monitor: options.monitor,
        };
        switch.set_stp(options.stp);
        switch.set_snooping(options.snooping);
        switch
    }

    fn find(&self, number: PortNumber) -> Option<usize> {
        self.ports.find(number)
    }

    /// Takes a port out, with all that was learned behind it.
    fn remove(&mut self, number: PortNumber) -> Option<PortEntry> {
        let at = self.ports.find(number)?;
        self.forwarding.set(at, false);
        self.followers.set(at, false);
        self.hosts.set(at, false);
        self.instances.remove(self.ports[at].holder.as_ref(), at);
        self.forget_snooped(at);
        self.forget_vlans(at);
        self.isolation.set(at, &PortSettings::default());
        self.watch(at, false, false);
        self.suppress(at, false);
        self.relay.remove_port(number);
        self.holders.leave(self.ports[at].held);
        let removed = self.ports.remove(number);
        self.leave_tree(number);
        self.loops.close(number, Instant::now().into_std());
        self.lldp.agents.remove(number);
        self.set_carriers();
        self.find_mirrored();
        self.obey();
        self.deliver(&Credit::NONE);
        removed
    }

    /// Notes whether the port at `at` carries frames, after anything that may change it.
    fn note_forwarding(&mut self, at: usize) {
        self.ports[at].note_state();
        let is_forwarding = self.ports[at].is_forwarding();
        self.forwarding.set(at, is_forwarding);
        self.note_snooped(at);
        self.set_carriers();
    }

    /// Takes a frame of a protocol between the port at `at` and its neighbor, if it is one: of no
    /// VLAN, and whatever else the port may have.
    fn receive_from_neighbor(&mut self, at: usize, frame: &Frame, now: StdInstant) -> bool {
        let Some(header) = frame.header() else { return false };
        let Some(digit) = header.dst().link_local().filter(|_| header.tag().is_none()) else {
            return false;
        };
        let port = &self.ports[at];
        if is_lldp(header) {
            let hears = port.lldp != LldpStatus::Disabled;
            if hears {
                self.receive_lldp(at, header, frame, now);
            }
            hears
        } else {
            // BPDU guard has its say elsewhere.
            let hears = digit == 0 && port.stp.is_some() && !port.guards.bpdu_guard;
            if hears {
                self.receive_bpdu(at, header, frame, now);
            }
            hears
        }
    }

    /// Takes a frame of a protocol in which the switch takes part.
    fn receive_local(&mut self, at: usize, protocol: Protocol, frame: Frame, now: StdInstant) {
        match protocol {
            Protocol::LoopDetect => self.receive_probe(at, &frame, now),
            Protocol::LinkLocal(digit) => self.receive_link_local(at, digit, frame, now),
        }
    }

    /// Tells whoever is behind the port at `at`, which has come back or is the new way to the root,
    /// what is behind the others: its switches have those addresses elsewhere, or nowhere.
    fn announce(&mut self, at: usize) {
        let (number, now) = (self.ports[at].number, Instant::now().into_std());
        self.announcements += 1;
        // What is behind ports that do not forward, or that it may not hear of, has no place here.
        let reaches = |other| {
            let from = self.find(other).filter(|from| self.forwarding.contains(*from));
            from.is_some_and(|from| from != at && !self.isolation.separates(from, at))
        };
        let frames = announce::frames(self.relay.fdb(), reaches, self.announcements, now);
        debug!(self.log, "addresses are announced"; "port" => %number, "count" => frames.len());
        for frame in frames {
            if self.is_in_vlan(at, &frame) {
                self.relay.note_announced(&frame, now);
                self.mirrors.another();
                self.enqueue(usize::MAX, at, frame, now);
            }
        }
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
        ctx.spawn(Timer::new());
    }
}

impl Handler<Ingress> for Switch {
    type Result = ();

    fn handle(&mut self, ingress: Ingress, ctx: &mut Context<Self>) {
        let Some(at) = self.find(ingress.port) else {
            return; // Deleted while the batch was on its way.
        };
        if self.ports[at].several.is_some() {
            self.collect(at, ingress, ctx);
        } else {
            self.receive(at, ingress);
        }
    }
}

impl Switch {
    /// Takes a batch that has come in by the port at `at`.
    fn receive(&mut self, at: usize, ingress: Ingress) {
        // His next turn comes when this one is over.
        let Ingress { port, frames, credit, turn: _turn, .. } = ingress;
        let counters = Arc::clone(&self.ports[at].counters);
        let (count, octets) =
            frames.iter().map(Frame::on_wire).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        let now = Instant::now().into_std();
        let is_open = self.ports[at].is_open();
        if !is_open || self.ports[at].is_reserved {
            let reason = if is_open { Discard::MirrorOutput } else { Discard::PortDown };
            counters.discarded(reason, count);
            self.keep_bpdu(at, &frames, now);
            for frame in &frames {
                self.mirrors.received(port, frame, Some(reason), now);
            }
            self.mirrors.flush();
            return;
        }
        counters.received(count, octets);
        self.source = source(self.ports[at].held, at);
        let mut last = (port, Some(at));
        let snoops = self.watched.next(0).is_some();
        let suppresses = self.suppressing.next(0).is_some();
        let frames = if snoops || self.ports[at].is_checked {
            messages_apart(frames, &counters)
        } else {
            frames
        };
        for frame in frames {
            if self.ports[at].hears_neighbors() && self.receive_from_neighbor(at, &frame, now) {
                continue;
            }
            let frame = match self.enter(at, frame) {
                Ok(frame) => frame,
                Err((reason, frame)) => {
                    counters.discarded(reason, frame.on_wire().0);
                    self.mirrors.received(port, &frame, Some(reason), now);
                    // BPDUs are for the port itself, whatever VLANs there are.
                    if frame.header().is_some_and(|header| header.tag().is_none()) {
                        self.hear_blocked(at, &frame, now);
                    }
                    continue;
                }
            };
            if let Some(blocked) = self.ports[at].guards.blocked {
                self.receive_blocked(at, blocked, &frame, now);
                continue;
            }
            if self.ports[at].is_held() {
                self.receive_held(at, &frame, now);
                continue;
            }
            let refused = match self.ports[at].refuses(&frame) {
                None if snoops => self.snoop(at, &frame, now).err(),
                refused => refused,
            };
            if let Some(reason) = refused {
                self.tell_guard(at, reason, &frame, now);
                counters.discarded(reason, frame.on_wire().0);
                self.mirrors.received(port, &frame, Some(reason), now);
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
            let aim = match verdict {
                Verdict::Flood(Class::Multicast) => self.aim(at, &frame),
                _ => Aim::Everybody,
            };
            let verdict = match verdict {
                Verdict::Forward(_) | Verdict::Flood(_)
                    if is_over(&self.holders, &self.ports[at], Direction::In, &frame, now) =>
                {
                    Verdict::Discard(Discard::RateIn)
                }
                // What is not multiplied is no storm.
                Verdict::Flood(_) if matches!(aim, Aim::One(_)) => verdict,
                Verdict::Flood(class) => match self.storm_control(at, class, &frame, now) {
                    Ok(()) => verdict,
                    Err(reason) => Verdict::Discard(reason),
                },
                verdict => verdict,
            };
            if !matches!(verdict, Verdict::Local(_)) {
                self.mirrors.received(port, &frame, verdict.discard(), now);
            }
            let asked = if suppresses { self.hear_claim(at, &frame, verdict, now) } else { None };
            match verdict {
                Verdict::Forward(egress) => {
                    // The frames of a batch go to one port as a rule.
                    if last.0 != egress {
                        last = (egress, self.find(egress));
                    }
                    match last.1 {
                        Some(egress) => self.enqueue(at, egress, frame, now),
                        None => counters.discarded(Discard::PortDown, frame.on_wire().0),
                    }
                }
                Verdict::Flood(_) if suppresses && matches!(aim, Aim::Everybody) => {
                    self.flood_or_answer(at, frame, now);
                }
                Verdict::Flood(_) => self.multicast(at, frame, aim, now),
                Verdict::Local(protocol) => self.receive_local(at, protocol, frame, now),
                Verdict::Discard(reason) => counters.discarded(reason, frame.on_wire().0),
            }
            if let Some((owner, question)) = asked {
                self.send_own(owner, question, now);
            }
        }
        self.deliver(&credit);
        self.source = Source::OWN;
    }
}

/// Whether `frame` is more than the port's holder may have in this direction; if it is not, it
/// counts for him.
fn is_over(
    holders: &Holders<Shared>,
    port: &PortEntry,
    direction: Direction,
    frame: &Frame,
    now: StdInstant,
) -> bool {
    let Some(rate) = port.policed[direction as usize] else { return false };
    !holders[port.held].buckets.admit(direction, rate, frame.on_wire().1, now)
}

/// The source of what comes in by the port at `at`.
fn source(held: usize, at: usize) -> Source {
    // There are far fewer; where there were not, two would share.
    let [holder, port] = [held, at].map(|place| u32::try_from(place).unwrap_or(u32::MAX));
    Source { holder, port, flooded: false }
}

impl Handler<Shutdown> for Switch {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) -> Self::Result {
        let stops: Vec<_> = self
            .ports
            .iter()
            .flat_map(|(_, port)| port.links.iter().map(|link| link.stop.clone()))
            .collect();
        let takes_leave = self.end_lldp();
        Box::pin(async move {
            if takes_leave {
                time::sleep(LEAVE).await;
            }
            for stop in &stops {
                // Refused when the supervisor has been told before, or has just ended.
                let _ = stop.try_send(Stop::Shutdown);
            }
            for stop in stops {
                stop.closed().await;
            }
        })
    }
}

impl Handler<UntilEnd> for Switch {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: UntilEnd, _: &mut Context<Self>) -> Self::Result {
        // Gone with the Switch, whichever way that goes.
        Box::pin(fut::wrap_future(future::pending()))
    }
}

//! The Switch's side of the guards: what each port has of them, and what the Switch
//! does when they speak. A frame for a known address never comes here.

use std::{fmt, net::IpAddr, time::Instant};

use slog::warn;

use super::Switch;
use crate::{
    core::{
        announce::RARP,
        counters::{Counters, Discard, Incident},
        fdb::{Learned, Owner, PortNumber},
        frame::{Frame, MacAddr},
        guard::{
            Episode, Reminder,
            bucket::Rate,
            rogue::Roles,
            storm::{Class, StormControl, StormLimits},
        },
        memory::QueueMemory,
        packet::{ETHERTYPE_ARP, Ethernet, arp},
        relay::Lesson,
        settings::{LinkLocal, PortSettings},
        state::PortState,
    },
    message::Limit,
    monitor::{Event, Kind},
};

/// Why a port is blocked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Blocked {
    /// By the loop guard.
    Loop {
        /// The port at the loop's other end.
        with: PortNumber,
    },
    /// By BPDU guard.
    Bpdu {
        /// The bridge that sent the last BPDU, and when.
        from: MacAddr,
        heard: Instant,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop { with } => write!(f, "it leads to the same network as port {with}"),
            Self::Bpdu { from, .. } => write!(f, "bridge {from} sends BPDUs to it"),
        }
    }
}

impl Blocked {
    /// The reason that frames are discarded for meanwhile.
    pub(super) const fn discard(self) -> Discard {
        match self {
            Self::Loop { .. } => Discard::Loop,
            Self::Bpdu { .. } => Discard::BpduGuard,
        }
    }

    /// The state that the port is in meanwhile.
    pub(super) fn state(self) -> PortState {
        let reason = self.to_string();
        match self {
            Self::Loop { .. } => PortState::Loop { reason },
            Self::Bpdu { .. } => PortState::BpduGuard { reason },
        }
    }

    /// The event of its end.
    const fn end(self) -> Kind {
        match self {
            Self::Loop { .. } => Kind::LoopEnded,
            Self::Bpdu { .. } => Kind::BpduGuardEnded,
        }
    }

    /// Whether the guard that has blocked is on.
    pub(super) const fn is_wanted(self, guards: &PortGuards) -> bool {
        match self {
            Self::Loop { .. } => guards.loop_guard,
            Self::Bpdu { .. } => guards.bpdu_guard,
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

/// Who it is that sends what a guard discards for this reason; `None`: it is not a guard's.
const fn culprit(reason: Discard) -> Option<&'static str> {
    match reason {
        Discard::RogueDhcpServer => Some("rogue DHCP server"),
        Discard::DhcpSpoof => Some("DHCP client in another's name"),
        Discard::DhcpRate => Some("flood of DHCP messages"),
        Discard::ArpSpoof => Some("sender of ARP in another's name"),
        Discard::NdSpoof => Some("sender of neighbor discovery in another's name"),
        Discard::IpSpoof => Some("sender from an IP address that it does not have"),
        Discard::RogueRouter => Some("rogue IPv6 router"),
        Discard::RogueQuerier => Some("rogue multicast querier"),
        Discard::Unreadable => Some("sender of IP headers that nobody can read"),
        _ => None,
    }
}

/// The IP address that a frame says it is from.
fn source(header: Ethernet<'_>) -> Option<IpAddr> {
    let arp = || Some(arp(header.payload())?.get_sender_proto_addr().into());
    if header.ethertype() == ETHERTYPE_ARP { arp() } else { header.ip()?.source() }
}

/// The guards of one port.
#[derive(Debug)]
pub(super) struct PortGuards {
    /// Whether the loop guard watches it.
    pub(super) loop_guard: bool,
    pub(super) bpdu_guard: bool,
    /// Whether BPDUs from there are believed.
    pub(super) stp_trust: bool,
    pub(super) link_local: LinkLocal,
    /// What nobody behind it may be.
    pub(super) roles: Roles,
    /// Whether its stations may have only the addresses that are bound to them.
    pub(super) source_guard: bool,
    pub(super) dhcp_rate: Option<Rate>,
    pub(super) blocked: Option<Blocked>,
    storm: StormLimits,
    storms: [Storm; Class::ALL.len()],
    flaps: Episode,
    full: Episode,
    own_address: Reminder,
    /// What guards have told of it, by reason.
    told: Vec<(Discard, Reminder)>,
    /// Of loop-detect frames that come back.
    pub(super) returns: Episode,
}

impl PortGuards {
    pub(super) fn new(settings: &PortSettings) -> Self {
        Self {
            loop_guard: settings.loop_guard(),
            bpdu_guard: settings.bpdu_guard(),
            stp_trust: false,
            link_local: settings.link_local(),
            roles: Roles::new(settings),
            source_guard: settings.source_guard(),
            dhcp_rate: settings.dhcp_rate().rate(),
            blocked: None,
            storm: storm_limits(settings),
            storms: Default::default(),
            flaps: Episode::default(),
            full: Episode::default(),
            own_address: Reminder::default(),
            told: Vec::new(),
            returns: Episode::default(),
        }
    }

    /// Whether there is something to look for in what comes from there.
    pub(super) const fn is_watched(&self) -> bool {
        !self.is_trusted() || self.dhcp_rate.is_some()
    }

    /// Whether what servers and stations behind it say is believed.
    pub(super) const fn is_trusted(&self) -> bool {
        !self.roles.dhcp && !self.source_guard
    }

    /// Puts settings in force.
    pub(super) fn apply(&mut self, settings: &PortSettings) {
        self.loop_guard = settings.loop_guard();
        self.storm = storm_limits(settings);
        self.bpdu_guard = settings.bpdu_guard();
        self.link_local = settings.link_local();
        self.roles = Roles::new(settings);
        self.source_guard = settings.source_guard();
        self.dhcp_rate = settings.dhcp_rate().rate();
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
        let admitted = self.holders[port.held].flooded.admit(&port.guards.storm, class, frame, now);
        let Err(reason) = admitted else { return Ok(()) };
        self.end_storm(at, class, now);
        let port = &mut self.ports[at];
        let storm = &mut port.guards.storms[class as usize];
        if storm.episode.begins(now) {
            storm.before = discarded(&port.counters, class);
            let limit = port.guards.storm.of(reason);
            let from = frame.header().map(|header| (header.vid(), header.src()));
            self.monitor.tell(|| {
                let storm = port.event(Kind::Storm).text("class", class.name());
                let storm = storm.text("limit", limit);
                match from {
                    Some((vid, mac)) => storm.address(vid, mac),
                    None => storm,
                }
            });
            warn!(port.log, "storm: frames over the limit are discarded";
                "port" => %port.number, "class" => class.name(), "reason" => reason.name(),
                "limit" => %limit, "holder" => self.holders.identity(port.held),
                "mac" => from.map(|(_, mac)| mac.to_string()),
                "vlan" => from.map(|(vid, _)| vid.get()));
            self.await_ends();
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
                let ended = port.event(Kind::StormEnded);
                ended.text("class", class.name()).number("discarded", discarded)
            });
        }
    }

    /// Tells what is new of a frame's source. Counts where it was not learned, and says
    /// so once.
    pub(super) fn tell_lesson(&mut self, at: usize, frame: &Frame, lesson: Lesson, now: Instant) {
        self.tell_aged();
        if let Lesson::Reflected(other)
        | Lesson::Learned(Learned::Moved(other) | Learned::Flaps(other)) = lesson
        {
            self.suspect(at, other, frame, now);
        }
        let port = &mut self.ports[at];
        let (Lesson::Learned(learned), Some(header)) = (lesson, frame.header()) else {
            port.counters.happened(Incident::Reflection);
            return;
        };
        let (number, is_guest) = (port.number, port.holder.is_some());
        let event = |kind| {
            let event = Event::new(kind).on(number).of_guest(is_guest);
            event.address(header.vid(), header.src())
        };
        match learned {
            Learned::New => return self.monitor.tell_watchers(|| event(Kind::MacLearned)),
            Learned::Moved(from) => {
                return self
                    .monitor
                    .tell_watchers(|| event(Kind::MacMoved).number("from", from.get()));
            }
            Learned::Own(own) => return self.tell_own_address(at, header, own, now),
            Learned::Flaps(pinned) if pinned == port.number => {}
            _ => port.counters.happened(Incident::LearnedEntryDiscard),
        }
        match learned {
            Learned::Flaps(pinned) => {
                port.counters.happened(Incident::Flap);
                if port.guards.flaps.begins(now) {
                    self.monitor.tell(|| event(Kind::Flap).number("pinned", pinned.get()));
                    warn!(port.log, "address is flapping between ports; pinned for 10 s";
                        "mac" => %header.src(), "port" => %port.number, "pinned" => %pinned);
                }
            }
            Learned::Full | Learned::PortFull if port.guards.full.begins(now) => {
                let limit = if learned == Learned::Full { "switch" } else { "port" };
                let of_port = (Owner::Holder(port.held), 0);
                // Of a full table, who fills it: not who comes last.
                let fdb = self.relay.fdb();
                let most = fdb.most().filter(|_| learned == Learned::Full).unwrap_or(of_port).0;
                let by = self.owner(most);
                let port = &self.ports[at];
                self.monitor.tell(|| {
                    let event = port.event(Kind::TableFull).text("limit", limit);
                    event.text("by", &by)
                });
                warn!(port.log, "forwarding database is full: new addresses are flooded";
                    "port" => %number, "limit of" => limit, "filled by" => by);
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

    /// All queues together are full; once a minute, with who has most.
    #[cold]
    pub(super) fn tell_memory(&mut self, now: Instant) {
        if !self.memory_reminder.is_due(now) {
            return;
        }
        let used = |held: usize| self.holders[held].memory.as_ref().map_or(0, QueueMemory::used);
        let most = self.ports.iter().map(|(_, port)| port.held).max_by_key(|held| used(*held));
        let Some(most) = most else { return };
        warn!(self.log, "queues have reached queue-memory: frames for who has most are discarded";
            "limit" => self.memory.total().1, "most" => used(most),
            "of" => self.owner(Owner::Holder(most)));
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
            let event = port.event(Kind::OwnAddress);
            event.address(header.vid(), header.src()).number("own", own.get())
        };
        self.monitor.tell(event);
        warn!(port.log, "a device's own address comes in as a source: another machine has the \
            same, or there is a loop";
            "mac" => %header.src(), "port" => %port.number,
            "user" => port.user(), "own" => %own);
    }

    /// Tells who sends what a guard of the port at `at` discards: once a minute and reason.
    #[cold]
    pub(super) fn tell_guard(&mut self, at: usize, reason: Discard, frame: &Frame, now: Instant) {
        let Some(what) = culprit(reason) else { return };
        let port = &mut self.ports[at];
        let told = &mut port.guards.told;
        let known = told.iter().position(|(told, _)| *told == reason);
        let place = known.unwrap_or_else(|| {
            told.push((reason, Reminder::default()));
            told.len() - 1
        });
        let (true, Some(header)) = (told[place].1.is_due(now), frame.header()) else { return };
        let address = source(header).map_or_else(|| "-".to_owned(), |address| address.to_string());
        let port = &self.ports[at];
        self.monitor.tell(|| {
            let event = port.event(Kind::Guard).text("what", reason);
            let event = event.address(header.vid(), header.src()).text("address", &address);
            event.text("user", port.user())
        });
        warn!(port.log, "{what}: its frames are discarded"; "mac" => %header.src(),
            "vlan" => header.vid().get(), "address" => address, "port" => %port.number,
            "user" => port.user(), "reason" => reason.name());
    }

    /// Notes what has ended without another frame. Gives whether something goes on.
    pub(super) fn look_for_ends(&mut self, now: Instant) -> bool {
        for at in self.ports.places() {
            for class in Class::ALL {
                self.end_storm(at, class, now);
            }
        }
        self.end_bpdu_guard(now);
        self.ports.iter().any(|(_, port)| {
            matches!(port.guards.blocked, Some(Blocked::Bpdu { .. }))
                || port.guards.storms.iter().any(|storm| storm.episode.goes_on())
        })
    }

    /// The port at `at` is blocked no more, if it was.
    pub(super) fn unblock(&mut self, at: usize) {
        let port = &mut self.ports[at];
        if let Some(blocked) = port.guards.blocked.take() {
            self.monitor.tell(|| port.event(blocked.end()));
            self.note_forwarding(at);
        }
    }
}

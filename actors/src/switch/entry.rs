//! What the Switch keeps of each port, and of each holder of ports.

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use actix::prelude::*;
use slog::Logger;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    guards::{Blocked, PortGuards},
    links::{PortLink, Several},
};
use crate::{
    core::{
        counters::{Counters, Discard},
        fdb::PortNumber,
        frame::{Frame, MacAddr},
        gauge::Gauge,
        guard::{
            addresses::is_foreign,
            bucket::{Bucket, Rate},
            loops::is_probe,
            storm::StormControl,
        },
        holder::Holder,
        interface::{Carrier, Interface, InterfaceStatus},
        line::Buckets,
        memory::QueueMemory,
        settings::{Label, LinkSettings, LldpStatus, PortSettings},
        state::{Details, PortState, Stop},
        stp::State,
        vlan::PortVlans,
    },
    message::{Egress, GiveUp, PortInfo},
    monitor::{Event, Kind},
};

/// How often the same reason why a port is down is told again while it lasts.
const WARNING_INTERVAL: Duration = Duration::from_secs(3600);

/// Reasons that are remembered for it: a client port has some, one for each of its servers.
const MAX_WARNINGS: usize = 8;

/// Where a port that is up takes frames.
pub(super) struct Outlet {
    pub(super) port: Recipient<Egress>,
    pub(super) give_up: Recipient<GiveUp>,
    pub(super) gauge: Gauge,
}

pub(super) struct PortEntry {
    pub(super) number: PortNumber,
    pub(super) kind: &'static str,
    pub(super) target: String,
    pub(super) interface: Option<String>,
    pub(super) announces: bool,
    /// Whether nothing but a station is behind it.
    pub(super) is_leaf: bool,
    /// Whether this host's own network stack is behind it.
    pub(super) is_host: bool,
    /// Whether it takes the place of what was lost, and has not been up since.
    pub(super) returning: bool,
    pub(super) holder: Option<Holder>,
    /// Who its stations' bindings are of: its holder, or the port itself.
    pub(super) identity: Arc<str>,
    /// Place of its holder, with whom it shares what is limited.
    pub(super) held: usize,
    pub(super) state: PortState,
    /// What it was last seen doing, as control tells it, and since when.
    pub(super) seen: &'static str,
    pub(super) since: StdInstant,
    /// Why it was down since it was up last, and when that was told.
    pub(super) warned: Vec<(String, StdInstant)>,
    /// What was set on this port.
    pub(super) own: PortSettings,
    /// What is in force of all settings.
    pub(super) applied: PortSettings,
    /// The profile that some of it may be from.
    pub(super) profile: Option<Label>,
    pub(super) shut: bool,
    /// The setting `offload`, shared with the port's task.
    pub(super) link_settings: Arc<LinkSettings>,
    pub(super) details: Details,
    pub(super) guards: PortGuards,
    /// What it does of LLDP while it is open.
    pub(super) lldp: LldpStatus,
    pub(super) counters: Arc<Counters>,
    pub(super) log: Logger,
    /// What control has set on the interface.
    pub(super) kept: Option<Interface>,
    /// What the kernel shows of the interface, while the port is up.
    pub(super) status: Option<InterfaceStatus>,
    /// Whether there is anything for which it may not have a frame.
    pub(super) is_checked: bool,
    /// The only sources that it may have, if it has `static-macs`.
    pub(super) only: Box<[MacAddr]>,
    /// What it makes of VLANs; without it, every frame passes as it is.
    pub(super) vlans: Option<Box<PortVlans>>,
    /// Rates over which frames are discarded, in the order of [`Direction::ALL`].
    pub(super) policed: [Option<Rate>; 2],
    /// What spanning tree lets it do with frames, if it takes part.
    pub(super) stp: Option<State>,
    /// The last BPDU that came in while it was not open, and when: a neighbor is quicker than word of
    /// a carrier, and says nothing more for two seconds.
    pub(super) early_bpdu: Option<(StdInstant, Frame)>,
    /// Whether it is kept for the copies of a mirror.
    pub(super) is_reserved: bool,
    /// At least one, by number.
    pub(super) links: Vec<PortLink>,
    /// If it may have several.
    pub(super) several: Option<Box<Several>>,
}

/// Frames that a port gets with the batch at hand, and what they cost.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) frames: Vec<Frame>,
    pub(super) octets: usize,
}

impl Pending {
    /// All of them; the list keeps its room.
    pub(super) fn taken(&mut self) -> Vec<Frame> {
        let mut taken = Vec::with_capacity(self.frames.len());
        taken.append(&mut self.frames);
        taken
    }
}

/// What the ports of a holder share in the Switch.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// DHCP messages that he has sent.
    pub(super) asked: Bucket,
    /// BPDUs of his.
    pub(super) bpdus: Bucket,
    /// What was flooded for him.
    pub(super) flooded: StormControl,
    /// What his queues take.
    pub(super) memory: Option<QueueMemory>,
    /// His turns, if he may have several ports.
    pub(super) turns: Option<Arc<Semaphore>>,
    /// What has passed by his ports.
    pub(super) buckets: Arc<Buckets>,
}

impl PortEntry {
    pub(super) fn info(&self) -> PortInfo {
        let round_trip = self.counters.round_trip().filter(|_| self.is_up());
        let rtt = round_trip.map(|rtt| ("rtt", format!("{:.2} ms", rtt.as_secs_f64() * 1e3)));
        PortInfo {
            port: self.number,
            name: self.own.name.clone(),
            description: self.own.description.clone(),
            profile: self.profile.clone(),
            kind: self.kind,
            target: self.target.clone(),
            interface: self.interface.clone(),
            is_elsewhere: self.status.as_ref().is_some_and(|s| s.carrier == Carrier::Elsewhere),
            state: self.state(),
            shut: self.shut,
            since: self.since,
            mtu: self.status.as_ref().map(|status| status.mtu),
            details: self.details.iter().cloned().chain(rtt).collect(),
            stp: None,
            links: self.link_infos(),
            counters: Arc::clone(&self.counters),
        }
    }

    /// What it is doing.
    pub(super) fn state(&self) -> PortState {
        match (&self.guards.blocked, self.lacks_carrier()) {
            (_, Some(reason)) => PortState::Down { reason },
            (Some(blocked), None) => blocked.state(),
            (None, None) => self.state.clone(),
        }
    }

    /// Notes since when it does what it does, if that is something else than before.
    pub(super) fn note_state(&mut self) {
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
    pub(super) fn warns(&mut self, reason: &str, now: StdInstant) -> bool {
        self.warned.retain(|(_, at)| now.duration_since(*at) < WARNING_INTERVAL);
        if self.warned.iter().any(|(told, _)| told == reason) || self.warned.len() == MAX_WARNINGS {
            return false;
        }
        self.warned.push((reason.to_owned(), now));
        true
    }

    /// Whether its medium is open and the operator lets it carry frames.
    pub(super) fn is_open(&self) -> bool {
        self.is_up() && !self.shut && !self.has_no_carrier()
    }

    /// Why `frame` may not come in, with the addresses that it is from or as what it is.
    pub(super) fn refuses(&self, frame: &Frame) -> Option<Discard> {
        if !self.is_checked {
            return None;
        }
        let header = frame.header()?;
        let is_only = self.only.is_empty() || self.only.contains(&header.src());
        if !is_only && !is_probe(header, frame) {
            return Some(Discard::ForeignSource);
        }
        let roles = self.guards.roles;
        if roles.is_any()
            && let Some(reason) = roles.refuse(header)
        {
            return Some(reason);
        }
        // With `source-guard` these are some of the addresses that may be there.
        let allowed = self.applied.allowed_ips.as_ref().filter(|_| !self.guards.source_guard);
        allowed.filter(|allowed| is_foreign(allowed, header)).map(|_| Discard::ForeignIp)
    }

    /// The name of its user, or `-`.
    pub(super) fn user(&self) -> &str {
        self.details.iter().find(|(name, _)| *name == "user").map_or("-", |(_, user)| user)
    }

    pub(super) fn is_forwarding(&self) -> bool {
        self.is_open() && self.guards.blocked.is_none() && !self.is_reserved && !self.is_held()
    }

    /// Whether spanning tree keeps it from forwarding.
    #[inline]
    pub(super) const fn is_held(&self) -> bool {
        matches!(self.stp, Some(State::Discarding | State::Learning))
    }

    /// Whether it takes part in a protocol with whoever is at the other end of its cable.
    #[inline]
    pub(super) fn hears_neighbors(&self) -> bool {
        self.stp.is_some() || self.lldp != LldpStatus::Disabled
    }

    /// Whether BPDU guard has blocked it.
    pub(super) const fn is_shut_out(&self) -> bool {
        matches!(self.guards.blocked, Some(Blocked::Bpdu { .. }))
    }

    /// Octets in its queues, and how many there may be, while it is up.
    pub(super) fn queue(&self) -> Option<(usize, usize)> {
        let gauges = self.links.iter().filter_map(|link| link.outlet.as_ref());
        let queues = gauges.map(|Outlet { gauge, .. }| (gauge.used(), gauge.limit()));
        queues.reduce(|(used, limit), (more, further)| (used + more, limit + further))
    }

    /// Something that happens on it. Who opens a session may do so as often as he likes.
    pub(super) fn event(&self, kind: Kind) -> Event {
        Event::new(kind).on(self.number).of_guest(self.holder.is_some())
    }

    /// The same with what the port is.
    pub(super) fn describe(&self, kind: Kind) -> Event {
        self.event(kind).text("type", self.kind).text("target", &self.target)
    }

    pub(super) fn stop(&self, reason: Stop) {
        for link in &self.links {
            // Refused when the supervisor has been told before, or has just ended.
            let _ = link.stop.try_send(reason);
        }
    }
}

//! What is known of multicast: queriers, routers and members, and who gets a packet by that.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{
    Family, Heard, Key, LAST_COUNT, LAST_RESPONSE, MEMBERSHIP, Query, RESPONSE, Record, Reports,
    Tenths, What,
    groups::{Full, Groups},
    igmp, is_snooped, mld,
    network::{Network, Own, Querier, SETTLING},
    read,
};
use crate::core::{
    counters::Incident,
    frame::{Frame, MacAddr, Vid},
    ports::PortSet,
    settings::McastRouter,
};

/// VLANs, of each family, in which there may be a querier. In others nothing is pruned.
pub(super) const NETWORKS: usize = 512;

/// VLANs in which the switch is a querier itself.
const OWN_NETWORKS: usize = NETWORKS / 4;

/// Learned router ports in a VLAN. Further ones get all groups for a while.
const ROUTERS: usize = 64;

/// Octets of the longest general query that is kept.
const LONGEST_QUERY: usize = 128;

/// How a port takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PortOptions {
    pub(crate) router: McastRouter,
    pub(crate) fast_leave: bool,
    pub(crate) flood: bool,
}

/// Why a port gets all groups for a while, which ends then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Everything {
    /// It has come up, and its hosts have not answered yet.
    New(Tenths),
    /// Some of its groups have found no room.
    Full(Tenths),
}

impl Everything {
    pub(super) const fn until(self) -> Tenths {
        match self {
            Self::New(until) | Self::Full(until) => until,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Port {
    pub(super) options: PortOptions,
    /// The place of its holder.
    pub(super) held: usize,
    pub(super) is_up: bool,
    pub(super) everything: Option<Everything>,
}

/// A group that is asked about behind a port which somebody has left it from.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) key: Key,
    pub(super) at: usize,
    pub(super) next: Tenths,
    /// Queries that are still to be sent.
    pub(super) left: u8,
}

/// Where a query of ours goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// To this port.
    Port(usize),
    /// To all ports but this one, if there is one.
    AllBut(Option<usize>),
}

/// What the Switch is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send a frame to the ports that are in its VLAN.
    Send(To, Frame),
    /// Count what has happened on a port.
    Count(usize, Incident),
}

/// Who gets a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Audience<'a> {
    /// All ports, whoever has joined what.
    Everybody,
    /// It is a message, and to be [heard](Snooping::hear) first.
    Message,
    /// Members of its group, and those who get all.
    Group { members: Option<&'a PortSet>, routers: &'a PortSet, all: &'a PortSet },
}

impl Audience<'_> {
    /// The ports that get it, of those in a word of a set of ports.
    pub(crate) fn word(&self, word: usize) -> u64 {
        match self {
            Self::Everybody | Self::Message => u64::MAX,
            Self::Group { members, routers, all } => {
                members.map_or(0, |members| members.word(word))
                    | routers.word(word)
                    | all.word(word)
            }
        }
    }
}

/// Multicast snooping.
#[derive(Debug)]
pub(crate) struct Snooping {
    pub(super) mac: MacAddr,
    start: Instant,
    pub(super) groups: Groups,
    pub(super) networks: BTreeMap<(Vid, Family), Network>,
    pub(super) ports: Vec<Port>,
    /// Ports that get all groups, and those of them that routers are behind by their settings.
    pub(super) all: PortSet,
    pub(super) static_routers: PortSet,
    pub(super) leaves: VecDeque<Leave>,
    /// When something ends, at the earliest.
    pub(super) wakes: Option<Tenths>,
    pub(super) actions: Vec<Action>,
}

impl Snooping {
    /// Snooping in a switch that is called `mac`, with so many groups at most.
    pub(crate) fn new(mac: MacAddr, capacity: usize, now: Instant) -> Self {
        Self {
            mac,
            start: now,
            groups: Groups::new(capacity),
            networks: BTreeMap::new(),
            ports: Vec::new(),
            all: PortSet::default(),
            static_routers: PortSet::default(),
            leaves: VecDeque::new(),
            wakes: None,
            actions: Vec::new(),
        }
    }

    pub(super) fn tenths(&self, now: Instant) -> Tenths {
        let tenths = now.saturating_duration_since(self.start).as_millis() / 100;
        // In a dozen years. Sums with it do not overflow.
        u32::try_from(tenths).unwrap_or(u32::MAX).min(u32::MAX / 2)
    }

    pub(super) fn instant(&self, at: Tenths) -> Instant {
        self.start + Duration::from_millis(u64::from(at) * 100)
    }

    pub(super) fn wake(&mut self, at: Tenths) {
        self.wakes = Some(self.wakes.map_or(at, |wakes| wakes.min(at)));
    }

    /// What is to be done.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Groups that there are, and may be.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.groups.len(), self.groups.capacity)
    }

    /// Says how many groups there may be; those that are there stay.
    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.groups.capacity = capacity;
    }

    /// Makes the switch a querier in these VLANs, and in no others: in a quarter of those in which
    /// there may be one at most.
    pub(crate) fn set_querier(&mut self, vlans: impl Iterator<Item = Vid>, now: Instant) {
        let now = self.tenths(now);
        let vlans: Vec<_> = vlans.take(OWN_NETWORKS).collect();
        for (&(vid, _), network) in &mut self.networks {
            if !vlans.contains(&vid) {
                network.own = None;
                network.settle(now, RESPONSE);
            }
        }
        for key in vlans.into_iter().flat_map(|vid| [(vid, Family::V4), (vid, Family::V6)]) {
            let network = self.networks.entry(key).or_default();
            network.own.get_or_insert(Own { since: now, next: now, soon: 1 });
            network.settle(now, RESPONSE);
        }
        self.wake(now);
    }

    /// Notes a port's options, its holder, and whether it carries frames.
    pub(crate) fn set_port(
        &mut self,
        at: usize,
        options: PortOptions,
        held: usize,
        is_up: bool,
        now: Instant,
    ) {
        let now = self.tenths(now);
        if self.ports.len() <= at {
            self.ports.resize_with(at + 1, Port::default);
        }
        let was_up = self.ports[at].is_up;
        if was_up && !is_up {
            self.forget(at);
        }
        let port = &mut self.ports[at];
        if options.router == McastRouter::Off && port.options.router != McastRouter::Off {
            self.networks.values_mut().for_each(|network| network.forget(at));
        }
        (port.options, port.held, port.is_up) = (options, held, is_up);
        self.static_routers.set(at, options.router == McastRouter::On);
        if is_up && !was_up {
            self.begin(at, now);
        }
        self.note_all(at);
    }

    /// The port at `at` is in other VLANs than before.
    pub(crate) fn reset_port(&mut self, at: usize, now: Instant) {
        if self.ports.get(at).is_some_and(|port| port.is_up) {
            self.forget(at);
            self.begin(at, self.tenths(now));
            self.note_all(at);
        }
    }

    /// The networks behind the ports have changed: whoever asks does it again at once, and all
    /// ports get all groups until their hosts have answered (RFC 4541, 2.1.1).
    pub(crate) fn topology_changed(&mut self, now: Instant) {
        let until = self.tenths(now) + self.patience();
        for at in 0..self.ports.len() {
            if self.ports[at].is_up {
                self.ports[at].everything = Some(Everything::New(until));
                self.note_all(at);
            }
        }
        self.wake(until);
        for (&(vid, family), network) in &self.networks {
            let but = network.querier.as_ref().map(|querier| querier.at);
            if let Some(frame) = network.question(self.mac, vid, family) {
                let to = To::AllBut(but.filter(|_| !network.asks()));
                self.actions.push(Action::Send(to, frame));
            }
        }
    }

    /// Notes whether the port at `at` gets all groups.
    pub(super) fn note_all(&mut self, at: usize) {
        let port = &self.ports[at];
        let options = &port.options;
        let gets_all =
            options.flood || options.router == McastRouter::On || port.everything.is_some();
        self.all.set(at, gets_all);
    }

    /// All that was learned behind the port at `at` is forgotten.
    fn forget(&mut self, at: usize) {
        self.forget_member(at);
        self.ports[at].everything = None;
        self.networks.values_mut().for_each(|network| network.forget(at));
    }

    fn forget_member(&mut self, at: usize) {
        let ports = &self.ports;
        self.groups.retain_all(
            |group| group.ports.contains(at),
            |member| member.at() != at,
            |at| ports.get(at).map_or(usize::MAX, |port| port.held),
        );
    }

    fn patience(&self) -> Tenths {
        let all = self.networks.values().map(Network::patience).max();
        all.unwrap_or(0).max(SETTLING)
    }

    /// The hosts behind the port at `at` are asked; until they have answered it gets all groups.
    pub(super) fn begin(&mut self, at: usize, now: Tenths) {
        let until = now + self.patience();
        self.ports[at].everything = Some(Everything::New(until));
        self.wake(until);
        for (&(vid, family), network) in &self.networks {
            if let Some(frame) = network.question(self.mac, vid, family) {
                self.actions.push(Action::Send(To::Port(at), frame));
            }
        }
    }

    /// Who gets a frame to a group address.
    pub(crate) fn audience(&self, frame: &Frame) -> Audience<'_> {
        let group = match read(frame) {
            Heard::Everybody => return Audience::Everybody,
            Heard::Group(group) => group,
            Heard::Router(_) | Heard::Query(_) | Heard::Reports(_) | Heard::Malformed(_) => {
                return Audience::Message;
            }
        };
        self.group_audience(frame, group)
    }

    fn group_audience(&self, frame: &Frame, group: IpAddr) -> Audience<'_> {
        let vid = frame.vlan().map_or(Vid::UNTAGGED, |(vid, _)| vid);
        match self.networks.get(&(vid, Family::of(group))) {
            Some(network) if network.prunes && is_snooped(group) => {
                let members = self.groups.get((vid, group)).map(|group| &group.ports);
                Audience::Group { members, routers: &network.routers, all: &self.all }
            }
            _ => Audience::Everybody,
        }
    }

    /// Learns from a message that has come in by the port at `at`; who gets it.
    pub(crate) fn hear(&mut self, at: usize, frame: &Frame, now: Instant) -> Audience<'_> {
        let now = self.tenths(now);
        let Some((vid, mac)) = frame.header().map(|header| (header.vid(), header.src())) else {
            return Audience::Everybody;
        };
        match read(frame) {
            // Ours, which has come back.
            Heard::Query(_) if mac == self.mac => Audience::Everybody,
            Heard::Query(query) => {
                self.hear_query(at, vid, query, frame, now);
                Audience::Everybody
            }
            Heard::Router(family) => {
                self.hear_router(at, (vid, family), now, MEMBERSHIP);
                Audience::Everybody
            }
            Heard::Reports(reports) => {
                self.hear_reports(at, vid, (mac, reports), now);
                match self.networks.get(&(vid, reports.family)) {
                    Some(network) if network.is_asked() => Audience::Group {
                        members: None,
                        routers: &network.routers,
                        all: &self.static_routers,
                    },
                    _ => Audience::Everybody,
                }
            }
            Heard::Malformed(group) => {
                self.actions.push(Action::Count(at, Incident::GroupMessageError));
                self.group_audience(frame, group)
            }
            Heard::Everybody | Heard::Group(_) => self.audience(frame),
        }
    }

    /// The network in which somebody asks, if there is room for it.
    fn network(&mut self, vid: Vid, family: Family) -> Option<&mut Network> {
        let has_room = self.networks.len() < NETWORKS;
        if has_room || self.networks.contains_key(&(vid, family)) {
            Some(self.networks.entry((vid, family)).or_default())
        } else {
            None
        }
    }

    /// The lowest address asks (RFC 3376, 6.6.2; RFC 3810, 7.6.2).
    fn hear_query(&mut self, at: usize, vid: Vid, query: Query, frame: &Frame, now: Tenths) {
        let Query { source, group, response, lasts } = query;
        let family = Family::of(source);
        let own: IpAddr = match family {
            Family::V4 => Ipv4Addr::BROADCAST.into(),
            Family::V6 => mld::link_local(self.mac).into(),
        };
        let nobody = source.is_unspecified();
        let Some(network) = self.network(vid, family) else { return };
        let is_lower = match &network.querier {
            Some(querier) if querier.address.is_unspecified() => true,
            Some(querier) => !nobody && source <= querier.address,
            None => nobody || network.own.is_none() || source < own,
        };
        if is_lower && group.is_none() {
            let before = network.querier.take().filter(|before| before.address == source);
            let since = before.map_or(now, |before| before.since);
            // A copy: it stays for long, and must hold no block.
            let query = (frame.len() <= LONGEST_QUERY)
                .then(|| frame.copy_to(&mut BytesMut::with_capacity(LONGEST_QUERY), LONGEST_QUERY));
            // Whatever he says of himself: who asks once and then no more is not waited for. Whoever
            // has answered him is a member for longer.
            let until = now + lasts.min(MEMBERSHIP) - response / 2;
            network.querier =
                Some(Querier { address: source, at, since, until, lasts, response, query });
            let settles = network.settle(now, response);
            self.wake(settles.map_or(until, |settles| settles.min(until)));
        }
        // Without any that has an address, one that has none is what hears answers.
        if !nobody || is_lower {
            self.hear_router(at, (vid, family), now, lasts);
        }
        if let Some(group) = group {
            self.ask_leaving((vid, group), now + (response * 2).max(LAST_RESPONSE * 2));
        }
    }

    /// Another querier asks about a group: where somebody has left, who remains answers now.
    fn ask_leaving(&mut self, key: Key, until: Tenths) {
        let Some(group) = self.groups.get_mut(key) else { return };
        for member in group.members_mut().iter_mut().filter(|member| member.leaves) {
            member.until = member.until.min(until);
        }
        group.first = group.first.min(until);
        self.wake(until);
    }

    /// A router, or a querier, is behind the port at `at`, and is believed to be for so long.
    fn hear_router(&mut self, at: usize, network: (Vid, Family), now: Tenths, lasts: Tenths) {
        if self.ports.get(at).is_none_or(|port| port.options.router != McastRouter::Auto) {
            return;
        }
        let until = now + lasts;
        let Some(network) = self.network(network.0, network.1) else { return };
        let known = network.learned.iter().position(|(known, _)| *known == at);
        if let Some(place) = known {
            let known = &mut network.learned[place].1;
            *known = until.max(*known);
        } else if network.learned.len() < ROUTERS {
            network.learned.push((at, until));
            network.routers.set(at, true);
        } else {
            return self.fill(at, now);
        }
        self.wake(until);
    }

    fn hear_reports(
        &mut self,
        at: usize,
        vid: Vid,
        (mac, reports): (MacAddr, Reports<'_>),
        now: Tenths,
    ) {
        let Some(Port { options, held, everything, .. }) = self.ports.get(at) else { return };
        let port = (at, *held, options.fast_leave);
        if matches!(everything, Some(Everything::Full(_))) {
            return;
        }
        let network = self.networks.get(&(vid, reports.family));
        let querier = network.and_then(|network| network.querier.as_ref());
        let until = now + querier.map_or(MEMBERSHIP, |querier| querier.lasts);
        for Record { group, what } in reports.records().filter(|it| is_snooped(it.group)) {
            let (key, host) = ((vid, group), (mac, reports.version));
            match what {
                What::Join => {
                    let mut joined = self.groups.join(key, port, host, (now, until));
                    if let Err(Full(Some(most))) = joined {
                        self.fill_holder(most, now);
                        joined = self.groups.join(key, port, host, (now, until));
                    }
                    if joined.is_err() {
                        return self.fill(at, now);
                    }
                }
                What::Leave => self.leave(key, at, Some(mac), now),
                What::Block => self.leave(key, at, None, now),
                What::Nothing => {}
            }
        }
        self.wake(until);
    }

    /// A host has left a group, or, without one, perhaps has.
    fn leave(&mut self, key: Key, at: usize, host: Option<MacAddr>, now: Tenths) {
        let asks = self.networks.get(&(key.0, Family::of(key.1))).is_some_and(Network::asks);
        let fast = self.ports.get(at).is_some_and(|port| port.options.fast_leave);
        let Some(member) = self.groups.member_mut(key, at) else { return };
        let is_last = host.is_some_and(|host| member.is_last(host));
        if fast && is_last {
            self.remove_member(key, at);
        } else if !member.is_silent(now) && !member.leaves {
            member.leaves = true;
            if asks {
                self.ask(Leave { key, at, next: now, left: LAST_COUNT }, now);
            }
        }
    }

    /// Asks about a group behind a port, and again later; or it was asked often enough.
    pub(super) fn ask(&mut self, leave: Leave, now: Tenths) {
        let Leave { key: key @ (vid, group), at, .. } = leave;
        if !self.groups.member_mut(key, at).is_some_and(|member| member.leaves) {
            return;
        }
        let Some(left) = leave.left.checked_sub(1) else { return self.remove_member(key, at) };
        let frame = match group {
            IpAddr::V4(group) => igmp::query(self.mac, vid, Some(group), LAST_RESPONSE),
            IpAddr::V6(group) => mld::query(self.mac, vid, Some(group), LAST_RESPONSE),
        };
        self.actions.push(Action::Send(To::Port(at), frame));
        self.leaves.push_back(Leave { left, next: now + LAST_RESPONSE, ..leave });
    }

    fn remove_member(&mut self, key: Key, at: usize) {
        let ports = &self.ports;
        let holder = |at: usize| ports.get(at).map_or(usize::MAX, |port| port.held);
        self.groups.retain(key, |member| member.at() != at, holder);
    }

    /// There is no room for what is behind the port at `at`: it gets all groups for a while, and so
    /// loses nothing.
    fn fill(&mut self, at: usize, now: Tenths) {
        self.forget_member(at);
        self.ports[at].everything = Some(Everything::Full(now + MEMBERSHIP));
        self.note_all(at);
        self.actions.push(Action::Count(at, Incident::GroupOverflow));
        self.wake(now + MEMBERSHIP);
    }

    /// Whoever has most gives way.
    fn fill_holder(&mut self, held: usize, now: Tenths) {
        for at in 0..self.ports.len() {
            if self.ports[at].is_up && self.ports[at].held == held {
                self.fill(at, now);
            }
        }
    }
}

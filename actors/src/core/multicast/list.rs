//! The multicast database as operators see it: each group with its members, and for all groups of a
//! family who asks and who gets them all.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Bound::{Excluded, Unbounded},
    time::{Duration, Instant},
};

use super::{
    Family, Key, Tenths,
    groups::Group,
    mld,
    network::Network,
    snooping::{Everything, Port, Snooping},
};
use crate::{
    core::{frame::Vid, settings::McastRouter},
    names,
};

/// Entries and ports that are looked at for one page: more would hold up frames.
const PAGE: usize = 1024;

names! {
    /// Why a port gets a group.
    pub enum MdbState {
        /// Hosts behind it have joined; or, of all groups, a router or a querier is behind it.
        Temp = "temp",
        /// By its settings: mcast-router or mcast-flood.
        Permanent = "permanent",
        /// It has come up a moment ago, and its hosts were asked what they want.
        New = "new",
        /// What its hosts want has found no room.
        Full = "full",
    }
}

/// A port that gets a group, by its place, and how long still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MdbPort<P> {
    /// Which port.
    pub port: P,
    /// Why.
    pub state: MdbState,
    /// Until it gets it no more, unless something is heard.
    pub left: Option<Duration>,
}

/// Who asks what hosts want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MdbQuerier<P> {
    /// Its address; of one that has none, all zeros.
    pub address: IpAddr,
    /// The port that it is behind; `None`: the switch itself.
    pub port: Option<P>,
    /// For how long it has been the one.
    pub age: Duration,
}

/// A group, or all groups of a family: 224.0.0.0 or ff00::.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdbEntry<P> {
    /// VLAN of the group.
    pub vid: Vid,
    /// The group.
    pub group: IpAddr,
    /// Who gets it.
    pub ports: Vec<MdbPort<P>>,
    /// Of all groups: who asks.
    pub querier: Option<MdbQuerier<P>>,
}

impl<P> MdbEntry<P> {
    /// The same of ports as another says them; without those that it does not know.
    pub(crate) fn map<Q>(self, of: impl Fn(P) -> Option<Q>) -> MdbEntry<Q> {
        let Self { vid, group, ports, querier } = self;
        let port = |MdbPort { port, state, left }| Some(MdbPort { port: of(port)?, state, left });
        let querier = querier.map(|MdbQuerier { address, port, age }| MdbQuerier {
            address,
            port: port.and_then(&of),
            age,
        });
        MdbEntry { vid, group, ports: ports.into_iter().filter_map(port).collect(), querier }
    }
}

/// The address that stands for all groups of a family: the lowest.
const fn all(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)),
    }
}

fn span(tenths: Tenths) -> Duration {
    Duration::from_millis(u64::from(tenths) * 100)
}

impl Snooping {
    /// Some entries behind `after`, by VLAN and group, that are `wanted`, and the last that was
    /// looked at, if there are more.
    pub(crate) fn page(
        &self,
        after: Option<Key>,
        now: Instant,
        wanted: impl Fn(Key) -> bool,
    ) -> (Vec<MdbEntry<usize>>, Option<Key>) {
        let now = self.tenths(now);
        let networks = after.map_or(Unbounded, |(vid, group)| Excluded((vid, Family::of(group))));
        let mut networks = self.networks.range((networks, Unbounded)).peekable();
        let mut groups = self.groups.after(after).peekable();
        let (mut page, mut looked, mut last) = (Vec::new(), 0, None);
        loop {
            let network = networks.peek().map(|((vid, family), _)| (*vid, all(*family)));
            let group = groups.peek().map(|(key, _)| **key);
            let Some(key) = network.into_iter().chain(group).min() else { return (page, None) };
            if looked >= PAGE {
                return (page, last);
            }
            let entry = if network == Some(key) {
                networks
                    .next()
                    .map(|((_, family), network)| self.list_all(key, *family, network, now))
            } else {
                groups.next().map(|(_, group)| list_group(key, group, now))
            };
            let Some(entry) = entry else { return (page, None) };
            looked += 1 + entry.ports.len();
            last = Some(key);
            if wanted(key) {
                page.push(entry);
            }
        }
    }

    fn list_all(
        &self,
        (vid, group): Key,
        family: Family,
        network: &Network,
        now: Tenths,
    ) -> MdbEntry<usize> {
        let learned = |at| network.learned.iter().find(|(known, _)| *known == at);
        let of = |(port, own): (usize, &Port)| {
            let (state, until) = match own.everything {
                _ if own.options.flood || own.options.router == McastRouter::On => {
                    (MdbState::Permanent, None)
                }
                Some(Everything::Full(until)) => (MdbState::Full, Some(until)),
                everything => match (learned(port), everything) {
                    (Some((_, until)), _) => (MdbState::Temp, Some(*until)),
                    (None, everything) => (MdbState::New, Some(everything?.until())),
                },
            };
            let left = until.map(|until| span(until.saturating_sub(now)));
            Some(MdbPort { port, state, left })
        };
        let ports = self.ports.iter().enumerate().filter(|(_, port)| port.is_up).filter_map(of);
        let age = |since: Tenths| span(now.saturating_sub(since));
        let other = network.querier.as_ref().filter(|_| !network.asks());
        let other = other.map(|querier| MdbQuerier {
            address: querier.address,
            port: Some(querier.at),
            age: age(querier.since),
        });
        let own = network.own.as_ref().map(|own| MdbQuerier {
            address: match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => mld::link_local(self.mac).into(),
            },
            port: None,
            age: age(own.since),
        });
        MdbEntry { vid, group, ports: ports.collect(), querier: other.or(own) }
    }
}

fn list_group((vid, group): Key, of: &Group, now: Tenths) -> MdbEntry<usize> {
    let ports = of.members().iter().map(|member| MdbPort {
        port: member.at(),
        state: MdbState::Temp,
        left: Some(span(member.until.saturating_sub(now))),
    });
    MdbEntry { vid, group, ports: ports.collect(), querier: None }
}

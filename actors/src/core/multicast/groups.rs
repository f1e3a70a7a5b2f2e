//! The groups that somebody has joined: which ports, and until when.
//!
//! Bounded in all and for each holder of ports, to whom the groups count that he was the first to
//! join.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound::{Excluded, Unbounded},
};

use super::{Key, MEMBERSHIP, Tenths, Version};
use crate::core::{frame::MacAddr, ports::PortSet};

/// This part of all groups a holder may have.
const PART: usize = 4;

/// Hosts behind a port that are told apart for a group. Of more, none is the last to leave.
const HOSTS: usize = 32;

/// A port that has joined a group. There may be a million.
#[derive(Debug)]
pub(super) struct Member {
    at: u32,
    pub(super) until: Tenths,
    /// The oldest version that was heard of late, and until when older ones than the third count.
    version: Version,
    versed: Tenths,
    /// Whether somebody has left, and those that remain are asked.
    pub(super) leaves: bool,
    /// All hosts that are members, if they are known.
    hosts: Option<Box<Hosts>>,
}

/// Hosts behind a port.
#[derive(Debug, Default)]
struct Hosts(Vec<MacAddr>);

const _: () = assert!(size_of::<Member>() <= 24);

impl Member {
    pub(super) const fn at(&self) -> usize {
        self.at as usize
    }

    /// A host has reported.
    fn hear(&mut self, host: MacAddr, version: Version, now: Tenths, until: Tenths) {
        (self.until, self.leaves) = (self.until.max(until), false);
        self.version = if self.versed <= now { version } else { self.version.min(version) };
        if version < Version::Third {
            self.versed = now + MEMBERSHIP;
        }
        match self.hosts.as_deref_mut() {
            Some(Hosts(hosts)) if hosts.contains(&host) => {}
            Some(Hosts(hosts)) if hosts.len() < HOSTS => hosts.push(host),
            _ => self.hosts = None,
        }
    }

    /// A host has left; whether it was the last one. Hosts of older versions keep silent where
    /// others report: with one of them there may be more.
    pub(super) fn is_last(&mut self, host: MacAddr) -> bool {
        let Some(Hosts(hosts)) = self.hosts.as_deref_mut() else { return false };
        hosts.retain(|one| *one != host);
        hosts.is_empty() && self.version == Version::Third
    }

    /// Whether one of its hosts does not tell when it leaves.
    pub(super) const fn is_silent(&self, now: Tenths) -> bool {
        matches!(self.version, Version::First) && self.versed > now
    }
}

/// A group in a VLAN.
#[derive(Debug)]
pub(super) struct Group {
    /// Its members.
    pub(super) ports: PortSet,
    /// The same by place.
    members: Vec<Member>,
    /// No member ends before.
    pub(super) first: Tenths,
    /// The place of the holder that it counts for.
    held: usize,
}

impl Group {
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn members_mut(&mut self) -> &mut [Member] {
        &mut self.members
    }

    fn find(&self, at: usize) -> Result<usize, usize> {
        self.members.binary_search_by_key(&at, Member::at)
    }
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    all: BTreeMap<Key, Group>,
    pub(super) capacity: usize,
    /// How many count for each holder.
    counts: HashMap<usize, usize>,
}

/// There is no room for a group. Says which holder has most of them, if that is another one.
pub(super) struct Full(pub(super) Option<usize>);

impl Groups {
    pub(super) fn new(capacity: usize) -> Self {
        Self { all: BTreeMap::new(), capacity, counts: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Group> {
        self.all.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Group> {
        self.all.get_mut(&key)
    }

    pub(super) fn after(&self, key: Option<Key>) -> impl Iterator<Item = (&Key, &Group)> {
        self.all.range((key.map_or(Unbounded, Excluded), Unbounded))
    }

    pub(super) fn member_mut(&mut self, key: Key, at: usize) -> Option<&mut Member> {
        let group = self.all.get_mut(&key)?;
        let place = group.find(at).ok()?;
        group.members.get_mut(place)
    }

    /// A host behind the port at `at` has reported.
    pub(super) fn join(
        &mut self,
        key: Key,
        (at, held, tells_hosts): (usize, usize, bool),
        (host, version): (MacAddr, Version),
        (now, until): (Tenths, Tenths),
    ) -> Result<(), Full> {
        if !self.all.contains_key(&key) {
            self.make_room(held)?;
            let (ports, members) = Default::default();
            self.all.insert(key, Group { ports, members, first: until, held });
        }
        let Some(group) = self.all.get_mut(&key) else { return Ok(()) };
        group.first = group.first.min(until);
        group.ports.set(at, true);
        let place = group.find(at).unwrap_or_else(|place| {
            let hosts = tells_hosts.then(Box::default);
            let (versed, leaves, at) = (now, false, u32::try_from(at).unwrap_or(u32::MAX));
            let member = Member { at, until, version, versed, leaves, hosts };
            group.members.insert(place, member);
            place
        });
        group.members[place].hear(host, version, now, until);
        Ok(())
    }

    fn make_room(&mut self, held: usize) -> Result<(), Full> {
        let own = self.counts.get(&held).copied().unwrap_or_default();
        if own >= (self.capacity / PART).max(1) {
            return Err(Full(None));
        }
        if self.all.len() >= self.capacity {
            // By place where several have as many.
            let most = self.counts.iter().max_by_key(|(held, count)| (**count, **held));
            return Err(Full(most.filter(|(_, count)| **count > own + 1).map(|(held, _)| *held)));
        }
        *self.counts.entry(held).or_default() += 1;
        Ok(())
    }

    /// Takes out the members of a group that are not to be `kept`. `holder` says whose port is at
    /// a place.
    pub(super) fn retain(
        &mut self,
        key: Key,
        kept: impl FnMut(&mut Member) -> bool,
        holder: impl Fn(usize) -> usize,
    ) {
        let Some(group) = self.all.get_mut(&key) else { return };
        let mut kept = kept;
        group.members.retain_mut(|member| {
            let stays = kept(member);
            if !stays {
                group.ports.set(member.at(), false);
            }
            stays
        });
        group.first = group.members.iter().map(|member| member.until).min().unwrap_or(0);
        let former = group.held;
        if group.members.iter().any(|member| holder(member.at()) == former) {
            return;
        }
        if let Some(count) = self.counts.get_mut(&former) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&former);
            }
        }
        match group.members.first() {
            Some(other) => {
                group.held = holder(other.at());
                *self.counts.entry(group.held).or_default() += 1;
            }
            None => _ = self.all.remove(&key),
        }
    }

    /// The same in all groups that `wanted` is true of.
    pub(super) fn retain_all(
        &mut self,
        wanted: impl Fn(&Group) -> bool,
        mut kept: impl FnMut(&mut Member) -> bool,
        holder: impl Fn(usize) -> usize,
    ) {
        let keys: Vec<_> =
            self.all.iter().filter(|(_, group)| wanted(group)).map(|(key, _)| *key).collect();
        for key in keys {
            self.retain(key, &mut kept, &holder);
        }
    }

    /// When the first of all members ends, at the earliest.
    pub(super) fn first(&self) -> Option<Tenths> {
        self.all.values().map(|group| group.first).min()
    }
}

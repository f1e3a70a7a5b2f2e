//! Who has how many of the learned addresses: each port, and each holder with all of his
//! ports. A full table takes from whoever has most.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::PortNumber;

/// This part of the table is left to those who have less than their part of it.
const RESERVE: usize = 16;

/// A holder of ports: at a place among `Holders` (`core/holder`), or a port
/// by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The port alone.
    Port(PortNumber),
    /// All ports of the holder at this place.
    Holder(usize),
}

/// What is learned behind one port.
#[derive(Debug, Clone, Copy)]
struct Share {
    learned: usize,
    max: usize,
    owner: Owner,
}

/// All shares.
#[derive(Debug)]
pub(super) struct Shares {
    /// A port that never learned anything may be missing.
    ports: HashMap<PortNumber, Share, RandomState>,
    /// Addresses of each owner who has any.
    owners: HashMap<Owner, usize, RandomState>,
    learned: usize,
    capacity: usize,
    /// Of a port that has no bound of its own.
    pub(super) max_macs: usize,
}

/// What keeps another address from being learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// That of the port, which its owner's ports share.
    Owner,
    /// That of the table.
    Table,
}

impl Shares {
    pub(super) fn new(capacity: usize, max_macs: usize) -> Self {
        Self {
            ports: HashMap::default(),
            owners: HashMap::default(),
            learned: 0,
            capacity,
            max_macs,
        }
    }

    fn share(&mut self, port: PortNumber) -> &mut Share {
        let none = Share { learned: 0, max: self.max_macs, owner: Owner::Port(port) };
        self.ports.entry(port).or_insert(none)
    }

    pub(super) fn set_max(&mut self, port: PortNumber, max: usize) {
        self.share(port).max = max;
    }

    /// Says whose the port is, before anything is learned behind it.
    pub(super) fn set_owner(&mut self, port: PortNumber, owner: Owner) {
        self.share(port).owner = owner;
    }

    pub(super) fn owner(&self, port: PortNumber) -> Owner {
        self.ports.get(&port).map_or(Owner::Port(port), |share| share.owner)
    }

    /// Whose each port is.
    pub(super) fn owners(&self) -> impl Iterator<Item = (PortNumber, Owner)> {
        self.ports.iter().map(|(port, share)| (*port, share.owner))
    }

    /// How many addresses `owner` has.
    fn count(&self, owner: Owner) -> usize {
        self.owners.get(&owner).copied().unwrap_or_default()
    }

    /// Addresses behind `port`, and how many there may be.
    pub(super) fn of(&self, port: PortNumber) -> (usize, usize) {
        self.ports.get(&port).map_or((0, self.max_macs), |share| (share.learned, share.max))
    }

    pub(super) const fn learned(&self) -> usize {
        self.learned
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Notes one address more behind `port`.
    pub(super) fn add(&mut self, port: PortNumber) {
        let share = self.share(port);
        share.learned += 1;
        let owner = share.owner;
        *self.owners.entry(owner).or_default() += 1;
        self.learned += 1;
    }

    /// Notes one less.
    pub(super) fn remove(&mut self, port: PortNumber) {
        let Some(share) = self.ports.get_mut(&port) else { return };
        share.learned -= 1;
        let owner = share.owner;
        if let Some(count) = self.owners.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
        self.learned -= 1;
    }

    /// A port that is no more, and that has nothing.
    pub(super) fn forget(&mut self, port: PortNumber) {
        self.ports.remove(&port);
    }

    /// What keeps another address behind `port` from being learned; `moved`: it is behind
    /// another port already.
    pub(super) fn is_full(&self, port: PortNumber, moved: Option<PortNumber>) -> Option<Bound> {
        let owner = self.owner(port);
        if moved.is_some_and(|from| self.owner(from) == owner) {
            return None;
        }
        let count = self.count(owner);
        if count >= self.of(port).1 {
            return Some(Bound::Owner);
        }
        let reserve = if count >= self.part() { self.capacity / RESERVE } else { 0 };
        let is_full = moved.is_none() && self.learned + reserve >= self.capacity;
        is_full.then_some(Bound::Table)
    }

    /// What each would have of a full table, a newcomer among them.
    fn part(&self) -> usize {
        self.capacity.div_ceil(self.owners.len() + 1)
    }

    /// Who has most, and how much that is.
    pub(super) fn most(&self) -> Option<(Owner, usize)> {
        let most = self.owners.iter().max_by_key(|(owner, count)| (**count, **owner));
        most.map(|(owner, count)| (*owner, *count))
    }

    /// Chooses who gives how many of his addresses: those who have most, down to one level,
    /// and nobody who has no more than his part.
    pub(super) fn surplus(&self) -> HashMap<Owner, usize, RandomState> {
        let least = self.part() + 1;
        let want = (self.capacity / RESERVE).max(1);
        let mut counts: Vec<_> = self.owners.values().copied().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        // With each further one all before him are as he is.
        let (mut level, mut freed) = (least, 0);
        for (above, &count) in counts.iter().enumerate() {
            let next = counts.get(above + 1).copied().unwrap_or_default().max(least);
            if count <= least {
                break;
            }
            let givers = above + 1;
            if freed + givers * (count - next) >= want {
                level = count - (want - freed).div_ceil(givers);
                break;
            }
            freed += givers * (count - next);
        }
        let gives = |(owner, count): (&Owner, &usize)| {
            count.checked_sub(level).filter(|surplus| *surplus > 0).map(|surplus| (*owner, surplus))
        };
        self.owners.iter().filter_map(gives).collect()
    }
}

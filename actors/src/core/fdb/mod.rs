//! The forwarding database: behind which port an address was last seen
//! (IEEE 802.1Q, 8.8). Owned by the relay alone.
//!
//! Pure: time is an argument. Entries age lazily, when they are looked up, and are
//! collected by [`Fdb::collect`], so that a quiet table does not keep memory.

mod entry;
mod key;
mod moves;
mod pages;
mod permanent;
mod shares;

use std::{
    collections::{HashMap, HashSet},
    fmt, mem,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

pub(crate) use self::key::Key;
pub use self::{
    entry::{Aged, FdbEntry, FdbError, Learned, Status},
    pages::{FdbFilter, PAGE},
    shares::Owner,
};
use self::{
    key::{Place, Places},
    moves::{Move, Moves},
    permanent::Permanent,
    shares::{Bound, Shares},
};
use crate::core::frame::{MacAddr, Vid};

/// Time after which an address that was not seen again is forgotten
/// (IEEE 802.1Q, table 8-6).
pub const DEFAULT_AGING_TIME: Duration = Duration::from_secs(300);

/// Addresses that a database learns unless told otherwise: some 7 MB. Over it whoever has
/// most loses his oldest; where nobody has more than a newcomer, nothing is learned, and
/// frames to unknown addresses are flooded.
pub const DEFAULT_CAPACITY: usize = 65_536;

/// Addresses that are learned behind one port, and behind all ports of its holder together,
/// unless told otherwise: more stations than one segment bears, and seven of them full of
/// invented ones leave room for an eighth.
pub const DEFAULT_MAX_MACS: usize = 8192;

/// Static entries at most, beside the learned ones: more than anybody writes by hand.
/// They have room of their own, or a stranger could keep the operator's out.
pub const MAX_STATIC: usize = 4096;

/// Least time between two searches of a full table for what has aged: one takes a
/// millisecond, and strangers can ask for one with each frame.
const MIN_COLLECT_INTERVAL: Duration = Duration::from_secs(1);

/// Number of a port: counts up from 1 and is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNumber(NonZeroU32);

impl PortNumber {
    /// The first port of a switch.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0, which is no port.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, from 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for PortNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[derive(Debug)]
struct Record {
    entry: FdbEntry,
    moves: Moves,
    place: Place,
}

/// The forwarding database. Keyed by VLAN and address (independent VLAN learning);
/// its hash is seeded, so that a stranger cannot choose colliding addresses.
#[derive(Debug)]
pub struct Fdb {
    records: HashMap<Key, Record, RandomState>,
    places: Places,
    shares: Shares,
    /// Ports whose learned addresses stay.
    sticky: HashSet<PortNumber, RandomState>,
    /// Addresses that belong to a port, in every VLAN.
    permanent: HashMap<MacAddr, Permanent, RandomState>,
    /// How many of them have a record.
    permanent_records: usize,
    aging_time: Duration,
    collected: Option<Instant>,
    horizon: Horizon,
    /// What has aged and was not taken yet: as much as can be learned at most.
    aged: Vec<Aged>,
}

impl Fdb {
    /// An empty database that learns at most `capacity` addresses, and at most
    /// [`DEFAULT_MAX_MACS`] of them behind one port.
    #[must_use]
    pub fn new(aging_time: Duration, capacity: usize) -> Self {
        Self {
            records: HashMap::default(),
            places: Places::default(),
            shares: Shares::new(capacity, DEFAULT_MAX_MACS),
            sticky: HashSet::default(),
            permanent: HashMap::default(),
            permanent_records: 0,
            aging_time,
            collected: None,
            horizon: Horizon::new(aging_time, None),
            aged: Vec::new(),
        }
    }

    /// The same with another bound for ports that have none of their own.
    #[must_use]
    pub fn with_max_macs(mut self, max_macs: usize) -> Self {
        self.shares.max_macs = max_macs;
        self
    }

    /// Sets the time after which a learned address is forgotten.
    pub fn set_aging_time(&mut self, aging_time: Duration) {
        self.aging_time = aging_time;
        self.horizon = Horizon::new(aging_time, None);
    }

    /// Sets how many addresses are learned behind `port` and all other ports of its owner.
    /// What is known stays.
    pub fn set_max_macs(&mut self, port: PortNumber, max_macs: usize) {
        self.shares.set_max(port, max_macs);
    }

    /// Says whose a new port is. One of which nothing was said is a port by itself.
    pub fn set_owner(&mut self, port: PortNumber, owner: Owner) {
        self.shares.set_owner(port, owner);
    }

    /// Who has most of what was learned, and how many addresses that is.
    #[must_use]
    pub fn most(&self) -> Option<(Owner, usize)> {
        self.shares.most()
    }

    /// How many addresses were learned behind `port`, and how many may be.
    #[must_use]
    pub fn macs(&self, port: PortNumber) -> (usize, usize) {
        self.shares.of(port)
    }

    /// How many addresses were learned in all, aged ones that were not collected yet
    /// among them, and how many may be.
    #[must_use]
    pub const fn learned(&self) -> (usize, usize) {
        (self.shares.learned(), self.shares.capacity())
    }

    /// How many static entries there are, and may be.
    #[must_use]
    pub fn statics(&self) -> (usize, usize) {
        let learned = self.shares.learned();
        (self.records.len() - learned - self.permanent_records, MAX_STATIC)
    }

    /// Notes that `mac` was seen behind `port`; the newest port wins, within bounds.
    pub fn learn(&mut self, vid: Vid, mac: MacAddr, port: PortNumber, now: Instant) -> Learned {
        self.learn_key(Key::new(vid, mac), port, now)
    }

    #[inline]
    pub(crate) fn learn_key(&mut self, key: Key, port: PortNumber, now: Instant) -> Learned {
        if self.horizon.now != Some(now) {
            self.horizon = Horizon::new(self.aging_time, Some(now));
        }
        if let Some(Record { entry, .. }) = self.records.get_mut(&key)
            && entry.port == port
            && self.horizon.is_fresh(entry)
        {
            entry.last_seen = now;
            return Learned::Refreshed;
        }
        self.learn_news(key, port, now)
    }

    /// The same where the frame tells something new.
    #[inline(never)]
    fn learn_news(&mut self, key: Key, port: PortNumber, now: Instant) -> Learned {
        let (vid, mac, horizon) = (key.vid(), key.mac(), self.horizon);
        let Some(Record { entry, moves, .. }) = self.records.get_mut(&key) else {
            return self.learn_new(vid, mac, port, now);
        };
        let (was, fresh) = (entry.port, horizon.is_fresh(entry));
        if was == port {
            entry.last_seen = now;
            self.note_aged(vid, mac, port);
            return Learned::New;
        }
        if entry.status == Status::Static {
            return Learned::Static(was);
        }
        if let Some(place) = self.permanent.get(&mac).filter(|place| place.port != port) {
            return place.refuses();
        }
        if entry.status != Status::Learned {
            return Learned::Static(was);
        }
        let mut returns = false;
        if fresh {
            match moves.note(was, port, entry.last_seen, now) {
                Move::Believed => {}
                Move::Returns => returns = true,
                Move::Flaps => return Learned::Flaps(was),
                Move::Pinned => return Learned::Pinned(was),
            }
        }
        if self.shares.is_full(port, Some(was)).is_some() {
            return Learned::PortFull;
        }
        let status = if self.sticky.contains(&port) { Status::Sticky } else { Status::Learned };
        *entry = FdbEntry { port, status, last_seen: now };
        self.shares.remove(was);
        self.shares.add(port);
        if returns {
            return Learned::Flaps(port);
        }
        if fresh {
            return Learned::Moved(was);
        }
        self.note_aged(vid, mac, was);
        Learned::New
    }

    fn note_aged(&mut self, vid: Vid, mac: MacAddr, port: PortNumber) {
        if self.aged.len() < self.shares.capacity() {
            self.aged.push(Aged { vid, mac, port });
        }
    }

    /// What has aged since this was last asked for: each address once, when it was
    /// collected or seen again.
    pub fn take_aged(&mut self) -> Vec<Aged> {
        mem::take(&mut self.aged)
    }

    fn learn_new(&mut self, vid: Vid, mac: MacAddr, port: PortNumber, now: Instant) -> Learned {
        // Here, since what is never learned is always new: known addresses pay nothing.
        if mac == MacAddr::ZERO {
            return Learned::Invalid;
        }
        if let Some(place) = self.permanent.get(&mac).filter(|place| place.port != port) {
            return place.refuses();
        }
        if self.shares.is_full(port, None).is_some() {
            let searched = self.collected.map(|at| now.saturating_duration_since(at));
            if searched.is_none_or(|ago| ago >= MIN_COLLECT_INTERVAL) {
                self.collect(now);
                if self.shares.learned() >= self.shares.capacity() {
                    self.make_room();
                }
            }
        }
        match self.shares.is_full(port, None) {
            Some(Bound::Owner) => return Learned::PortFull,
            Some(Bound::Table) => return Learned::Full,
            None => self.shares.add(port),
        }
        let status = if self.sticky.contains(&port) { Status::Sticky } else { Status::Learned };
        let entry = FdbEntry { port, status, last_seen: now };
        self.insert(vid, mac, entry);
        Learned::New
    }

    /// Forgets the oldest addresses of those who have most.
    fn make_room(&mut self) {
        let mut surplus = self.shares.surplus();
        let mut seen: HashMap<Owner, Vec<Instant>, RandomState> = HashMap::default();
        for entry in self.records.values().map(|record| record.entry) {
            let owner = self.shares.owner(entry.port);
            if entry.status == Status::Learned && surplus.contains_key(&owner) {
                seen.entry(owner).or_default().push(entry.last_seen);
            }
        }
        // Of each, the time of the youngest that goes.
        let youngest: HashMap<Owner, Instant, RandomState> = seen
            .into_iter()
            .filter_map(|(owner, mut times)| {
                let at = surplus.get(&owner)?.checked_sub(1)?.min(times.len() - 1);
                Some((owner, *times.select_nth_unstable(at).1))
            })
            .collect();
        let owners: HashMap<PortNumber, Owner, RandomState> = self.shares.owners().collect();
        let (mut aged, capacity) = (self.take_aged(), self.shares.capacity());
        self.retain(|key, entry| {
            let owner = owners.get(&entry.port).copied().unwrap_or(Owner::Port(entry.port));
            let goes = entry.status == Status::Learned
                && youngest.get(&owner).is_some_and(|time| entry.last_seen <= *time)
                && surplus
                    .get_mut(&owner)
                    .is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some());
            if goes && aged.len() < capacity {
                aged.push(Aged { vid: key.vid(), mac: key.mac(), port: entry.port });
            }
            !goes
        });
        self.aged = aged;
    }

    /// A new entry, for an address that has none.
    fn insert(&mut self, vid: Vid, mac: MacAddr, entry: FdbEntry) {
        let key = Key::new(vid, mac);
        let place = self.places.insert(key);
        self.records.insert(key, Record { entry, moves: Moves::default(), place });
    }

    /// The port that `mac` is behind, unless it is unknown or has aged.
    #[must_use]
    pub fn lookup(&self, vid: Vid, mac: MacAddr, now: Instant) -> Option<PortNumber> {
        self.lookup_key(Key::new(vid, mac), now)
    }

    #[inline]
    pub(crate) fn lookup_key(&self, key: Key, now: Instant) -> Option<PortNumber> {
        let Some(Record { entry, .. }) = self.records.get(&key) else {
            return self.lookup_permanent(key);
        };
        if self.horizon(now).is_fresh(entry) {
            return Some(entry.port);
        }
        self.lookup_permanent(key)
    }

    /// What is known of an address in a VLAN, aged or not.
    #[must_use]
    pub fn get(&self, vid: Vid, mac: MacAddr) -> Option<FdbEntry> {
        self.records.get(&Key::new(vid, mac)).map(|record| record.entry)
    }

    /// What is seen no later than this has aged.
    #[inline]
    fn horizon(&self, now: Instant) -> Horizon {
        if self.horizon.now == Some(now) {
            return self.horizon;
        }
        Horizon::new(self.aging_time, Some(now))
    }

    /// Puts `mac` behind `port` until it is deleted, or the port is. A static entry
    /// neither ages nor moves, and is there while its port is down.
    ///
    /// # Errors
    /// It is a group address, or there are too many static entries.
    pub fn add_static(
        &mut self,
        vid: Vid,
        mac: MacAddr,
        port: PortNumber,
        now: Instant,
    ) -> Result<FdbEntry, FdbError> {
        if mac.is_multicast() {
            return Err(FdbError::GroupAddress(mac));
        }
        let known = self.records.get(&Key::new(vid, mac)).map(|record| record.entry.status);
        if known != Some(Status::Static) && self.statics().0 >= MAX_STATIC {
            return Err(FdbError::TooManyStatic);
        }
        self.remove(vid, mac);
        let entry = FdbEntry { port, status: Status::Static, last_seen: now };
        self.insert(vid, mac, entry);
        Ok(entry)
    }

    /// Deletes an entry, static or learned, and gives it.
    pub fn remove(&mut self, vid: Vid, mac: MacAddr) -> Option<FdbEntry> {
        let Record { entry, place, .. } = self.records.remove(&Key::new(vid, mac))?;
        self.places.remove(place);
        match entry.status {
            Status::Learned | Status::Sticky => self.shares.remove(entry.port),
            Status::Permanent => self.permanent_records -= 1,
            Status::Static => {}
        }
        Some(entry)
    }

    /// Forgets all that was learned, and does not stay.
    pub fn flush_learned(&mut self) {
        self.retain(|_, entry| entry.status != Status::Learned);
    }

    /// Forgets what was learned behind `port`, and does not stay.
    pub fn flush_port(&mut self, port: PortNumber) {
        if self.shares.of(port).0 == 0 {
            return;
        }
        self.retain(|_, entry| entry.port != port || entry.status != Status::Learned);
    }

    /// Forgets what was learned behind any of these ports, ascending: all in one look.
    pub fn flush_ports(&mut self, ports: &[PortNumber]) {
        if ports.iter().any(|port| self.shares.of(*port).0 > 0) {
            let is_out = |port| ports.binary_search(&port).is_ok();
            self.retain(|_, entry| entry.status != Status::Learned || !is_out(entry.port));
        }
    }

    /// Forgets what was learned behind `port`, and what stays in VLANs that it is not in.
    pub fn leave_vlans(&mut self, port: PortNumber, is_member: impl Fn(Vid) -> bool) {
        self.retain(|key, entry| {
            entry.port != port
                || match entry.status {
                    Status::Learned => false,
                    Status::Sticky => is_member(key.vid()),
                    Status::Static | Status::Permanent => true,
                }
        });
    }

    /// Forgets all of a port that is no more, its static entries as well.
    pub fn remove_port(&mut self, port: PortNumber) {
        // Thousands may go at once that have nothing in a table that is full.
        let has_learned = self.shares.of(port).0 > 0;
        let is_own = |place: &Permanent| place.port == port;
        if has_learned || self.statics().0 > 0 || self.permanent.values().any(is_own) {
            self.retain(|_, entry| entry.port != port);
        }
        self.permanent.retain(|_, place| place.port != port);
        self.sticky.remove(&port);
        self.shares.forget(port);
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets what has aged.
    pub fn collect(&mut self, now: Instant) {
        self.collected = Some(now);
        let horizon = self.horizon(now);
        let (mut aged, capacity) = (self.take_aged(), self.shares.capacity());
        self.retain(|key, entry| {
            let fresh = horizon.is_fresh(entry);
            if !fresh && aged.len() < capacity {
                aged.push(Aged { vid: key.vid(), mac: key.mac(), port: entry.port });
            }
            fresh
        });
        self.aged = aged;
    }

    fn retain(&mut self, mut keep: impl FnMut(Key, &FdbEntry) -> bool) {
        let Self { records, places, shares, permanent_records, .. } = self;
        records.retain(|key, Record { entry, place, .. }| {
            let keep = keep(*key, entry);
            if keep {
                return true;
            }
            places.remove(*place);
            match entry.status {
                Status::Learned | Status::Sticky => shares.remove(entry.port),
                Status::Permanent => *permanent_records -= 1,
                Status::Static => {}
            }
            false
        });
    }

    /// All entries that have not aged, in no order.
    pub fn entries(&self, now: Instant) -> impl Iterator<Item = (Vid, MacAddr, FdbEntry)> {
        let entries = self.records.iter().map(|(key, record)| (key.vid(), key.mac(), record.entry));
        let horizon = self.horizon(now);
        entries.filter(move |(.., entry)| horizon.is_fresh(entry))
    }
}

/// The time before which what was seen has aged: worked out once for a batch, since
/// subtracting times is a sixth of a frame's work.
#[derive(Debug, Clone, Copy)]
struct Horizon {
    /// For when it was worked out.
    now: Option<Instant>,
    /// `None`: the machine has not run for so long.
    at: Option<Instant>,
}

impl Horizon {
    fn new(aging_time: Duration, now: Option<Instant>) -> Self {
        Self { now, at: now.and_then(|now| now.checked_sub(aging_time)) }
    }

    #[inline]
    fn is_fresh(self, entry: &FdbEntry) -> bool {
        self.at.is_none_or(|at| entry.last_seen >= at) || entry.status != Status::Learned
    }
}

#[cfg(test)]
mod tests;

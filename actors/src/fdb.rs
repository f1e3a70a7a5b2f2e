//! The forwarding database: behind which port an address was last seen
//! (IEEE 802.1Q, 8.8). Owned by the relay alone.
//!
//! Pure: time is an argument. Entries age lazily, when they are looked up, and are
//! collected by [`Fdb::collect`], so that a quiet table does not keep memory.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::frame::{MacAddr, Vid};

/// Time after which an address that was not seen again is forgotten
/// (IEEE 802.1Q, table 8-6).
pub const DEFAULT_AGING_TIME: Duration = Duration::from_secs(300);

/// Addresses that a database holds unless told otherwise: some 3 MB. Beyond it
/// nothing is learned and frames to unknown addresses are flooded.
pub const DEFAULT_CAPACITY: usize = 65_536;

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

/// How an address came into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Seen as the source of a frame; ages.
    Learned,
    /// Set by the operator; neither ages nor moves.
    Static,
}

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbEntry {
    /// The port that it is behind.
    pub port: PortNumber,
    /// How that is known.
    pub status: Status,
    /// When it was last seen as a source.
    pub last_seen: Instant,
}

/// What [`Fdb::learn`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The address was not known.
    New,
    /// It was known behind this port.
    Refreshed,
    /// It was behind the port given here before.
    Moved(PortNumber),
    /// A static entry says otherwise, or the table is full: nothing was changed.
    Refused,
}

type Key = (Vid, MacAddr);

/// The forwarding database. Keyed by VLAN and address (independent VLAN learning);
/// its hash is seeded, so that a stranger cannot choose colliding addresses.
#[derive(Debug)]
pub struct Fdb {
    entries: HashMap<Key, FdbEntry, RandomState>,
    aging_time: Duration,
    capacity: usize,
}

impl Fdb {
    /// An empty database of at most `capacity` entries.
    #[must_use]
    pub fn new(aging_time: Duration, capacity: usize) -> Self {
        Self { entries: HashMap::default(), aging_time, capacity }
    }

    fn is_fresh(&self, entry: &FdbEntry, now: Instant) -> bool {
        entry.status == Status::Static
            || now.saturating_duration_since(entry.last_seen) <= self.aging_time
    }

    /// Notes that `mac` was seen behind `port`; the newest port wins.
    pub fn learn(&mut self, vid: Vid, mac: MacAddr, port: PortNumber, now: Instant) -> Learned {
        let full = self.entries.len() >= self.capacity;
        let (aging_time, entry) = (self.aging_time, self.entries.get_mut(&(vid, mac)));
        match entry {
            Some(entry) if entry.status == Status::Static => Learned::Refused,
            Some(entry) => {
                let was = *entry;
                entry.port = port;
                entry.last_seen = now;
                if now.saturating_duration_since(was.last_seen) > aging_time {
                    Learned::New
                } else if was.port == port {
                    Learned::Refreshed
                } else {
                    Learned::Moved(was.port)
                }
            }
            None if full => Learned::Refused,
            None => {
                let entry = FdbEntry { port, status: Status::Learned, last_seen: now };
                self.entries.insert((vid, mac), entry);
                Learned::New
            }
        }
    }

    /// The port that `mac` is behind, unless it is unknown or has aged.
    #[must_use]
    pub fn lookup(&self, vid: Vid, mac: MacAddr, now: Instant) -> Option<PortNumber> {
        let entry = self.entries.get(&(vid, mac))?;
        self.is_fresh(entry, now).then_some(entry.port)
    }

    /// Forgets all that is behind `port`.
    pub fn flush_port(&mut self, port: PortNumber) {
        self.entries.retain(|_, entry| entry.port != port);
    }

    /// Forgets what has aged.
    pub fn collect(&mut self, now: Instant) {
        let aging_time = self.aging_time;
        self.entries.retain(|_, entry| {
            entry.status == Status::Static
                || now.saturating_duration_since(entry.last_seen) <= aging_time
        });
    }

    /// All entries that have not aged, by VLAN and then address.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<(Vid, MacAddr, FdbEntry)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| self.is_fresh(entry, now))
            .map(|(&(vid, mac), &entry)| (vid, mac, entry))
            .collect();
        entries.sort_unstable_by_key(|&(vid, mac, _)| (vid, mac));
        entries
    }
}

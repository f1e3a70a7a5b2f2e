//! The key of the forwarding database, and where keys stand in its lists.

use crate::core::frame::{MacAddr, Vid};

/// VLAN and address in one word: hashed and compared at once. Sorted as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u64);

/// The octets of an address.
const MAC: u64 = 0xffff_ffff_ffff;

impl Key {
    /// The keys of destination and source of a frame of VLAN `vid` that begins with
    /// `octets`.
    #[inline]
    pub(crate) const fn pair(
        vid: Vid,
        [a, b, c, d, e, f, g, h, i, j, k, l, ..]: &[u8; 14],
    ) -> [Self; 2] {
        // Each in one load, with two octets of the other.
        let dst = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) >> 16;
        let src = u64::from_be_bytes([*e, *f, *g, *h, *i, *j, *k, *l]) & MAC;
        let vid = (vid.get() as u64) << 48;
        [Self(vid | dst), Self(vid | src)]
    }

    /// Whether it is of a group address.
    #[inline]
    pub(crate) const fn is_multicast(self) -> bool {
        self.0 >> 40 & 1 == 1
    }

    #[inline]
    pub(super) const fn new(vid: Vid, MacAddr([a, b, c, d, e, f]): MacAddr) -> Self {
        let [high, low] = vid.get().to_be_bytes();
        Self(u64::from_be_bytes([high, low, a, b, c, d, e, f]))
    }

    pub(super) const fn vid(self) -> Vid {
        let [high, low, ..] = self.0.to_be_bytes();
        Vid::from_tci(u16::from_be_bytes([high, low]))
    }

    pub(super) const fn mac(self) -> MacAddr {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        MacAddr([a, b, c, d, e, f])
    }
}

/// Where an entry stands in lists, for as long as it lives.
pub(super) type Place = u32;

/// All keys, each at a place of its own that the next one takes when it has gone: a hash
/// table cannot be walked in pieces while it changes, this can.
#[derive(Debug, Default)]
pub(super) struct Places {
    keys: Vec<Option<Key>>,
    free: Vec<Place>,
}

impl Places {
    /// Gives a key its place.
    pub(super) fn insert(&mut self, key: Key) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            self.keys.push(None);
            // The table is bounded far below.
            Place::try_from(self.keys.len() - 1).unwrap_or(Place::MAX)
        });
        self.keys[place as usize] = Some(key);
        place
    }

    /// Frees a place. When none is taken, their memory is given back.
    pub(super) fn remove(&mut self, place: Place) {
        self.keys[place as usize] = None;
        self.free.push(place);
        if self.free.len() == self.keys.len() {
            *self = Self::default();
        }
    }

    /// The keys at `count` places from `from` on, and whether there are places behind them.
    pub(super) fn piece(&self, from: usize, count: usize) -> (&[Option<Key>], bool) {
        let rest = self.keys.get(from..).unwrap_or_default();
        (&rest[..rest.len().min(count)], rest.len() > count)
    }
}

//! What stands in the database, page by page, so that no list holds up frames.

use std::time::Instant;

use super::{Fdb, FdbEntry, Key, PortNumber, Status};
use crate::core::frame::{MacAddr, Vid};

/// Entries of a page at most: some 50 µs of work, which frames wait for.
pub const PAGE: usize = 1024;

impl Fdb {
    /// The entries of one page that `filter` takes and that have not aged, in no order, and
    /// the page after it, if there is one. Page 0 is the first. Who asks for one page after
    /// another gets each entry that is there all the time once.
    #[must_use]
    pub fn page(
        &self,
        page: usize,
        filter: FdbFilter,
        now: Instant,
    ) -> (Vec<(Vid, MacAddr, FdbEntry)>, Option<usize>) {
        let (keys, more) = self.places.piece(page.saturating_mul(PAGE), PAGE);
        let of = |key: Key| Some((key.vid(), key.mac(), self.records.get(&key)?.entry));
        let entries = keys.iter().flatten().filter_map(|key| of(*key));
        let horizon = self.horizon(now);
        let taken = entries
            .filter(|(vid, mac, entry)| filter.takes(*vid, *mac, entry) && horizon.is_fresh(entry));
        (taken.collect(), more.then(|| page + 1))
    }
}

/// Which entries are asked for; what is `None` takes all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdbFilter {
    /// Those behind this port.
    pub port: Option<PortNumber>,
    /// Those of this VLAN.
    pub vid: Option<Vid>,
    /// Those of this address.
    pub mac: Option<MacAddr>,
    /// Only static entries, or only learned ones.
    pub status: Option<Status>,
}

impl FdbFilter {
    fn takes(&self, vid: Vid, mac: MacAddr, entry: &FdbEntry) -> bool {
        self.port.is_none_or(|port| port == entry.port)
            && self.vid.is_none_or(|one| one == vid)
            && self.mac.is_none_or(|one| one == mac)
            && self.status.is_none_or(|status| status == entry.status)
    }
}

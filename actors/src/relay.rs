//! The relay function of the bridge (IEEE 802.1Q, 8.6): where one frame goes.
//!
//! Pure: it knows neither ports' states nor queues nor the clock. A frame is never
//! an error here: it is forwarded, flooded, or discarded for a reason.

use std::time::Instant;

use crate::{
    counters::Discard,
    fdb::{Fdb, Learned, PortNumber},
    frame::Frame,
};

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this port.
    Forward(PortNumber),
    /// Out of every port but the one that it came in by.
    Flood,
    /// Nowhere.
    Discard(Discard),
}

/// The forwarding database and the rules by which frames pass it.
#[derive(Debug)]
pub struct Relay {
    fdb: Fdb,
    learned_entry_discards: u64,
}

impl Relay {
    /// A relay that learns into `fdb`.
    #[must_use]
    pub const fn new(fdb: Fdb) -> Self {
        Self { fdb, learned_entry_discards: 0 }
    }

    /// Decides where `frame`, received by `ingress` at `now`, goes.
    ///
    /// Learns first, so that a frame and its reply never pass each other unlearned.
    /// Frames from a multicast source are forwarded, as the original does, but teach
    /// nothing: no answer could ever go to such an address.
    pub fn relay(&mut self, ingress: PortNumber, frame: &Frame, now: Instant) -> Verdict {
        let Some(header) = frame.header() else {
            return Verdict::Discard(Discard::OnError);
        };
        let (src, dst, vid) = (header.src(), header.dst(), header.vid());
        if !src.is_multicast() && self.fdb.learn(vid, src, ingress, now) == Learned::Refused {
            self.learned_entry_discards += 1;
        }
        if dst.is_multicast() {
            return Verdict::Flood;
        }
        match self.fdb.lookup(vid, dst, now) {
            Some(egress) if egress == ingress => Verdict::Discard(Discard::SamePort),
            Some(egress) => Verdict::Forward(egress),
            None => Verdict::Flood,
        }
    }

    /// The database, to be listed.
    #[must_use]
    pub const fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// The database, to be flushed and collected.
    pub const fn fdb_mut(&mut self) -> &mut Fdb {
        &mut self.fdb
    }

    /// Frames whose source was not learned because the table is full or a static
    /// entry says otherwise (RFC 4188, dot1dTpLearnedEntryDiscards).
    #[must_use]
    pub const fn learned_entry_discards(&self) -> u64 {
        self.learned_entry_discards
    }
}

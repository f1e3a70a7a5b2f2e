//! Spanning tree that passes by us: what a BPDU says, and what to make of it. The switch
//! takes no part in the protocol, it relays.
//!
//! Asked for frames to 01:80:c2:00:00:00 and 08 only.

use std::time::{Duration, Instant};

use crate::core::{
    packet::Ethernet,
    stp::bpdu::{CONFIGURATION, HEAD, NOTIFICATION, RAPID, TC},
};

/// Time for which a port that has heard a BPDU stays blocked by BPDU guard: that after which
/// spanning tree forgets what it has heard (max age; IEEE 802.1D, table 17-1).
pub const GUARD: Duration = Duration::from_secs(20);

/// Least time between two flushes: who could have the database flushed all the time would
/// see all traffic flooded.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// A BPDU that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bpdu {
    /// Whether it tells of a topology change.
    pub topology_change: bool,
}

impl Bpdu {
    /// Reads a frame to a bridges' group address; `None` if it is no BPDU. Of what follows the flags
    /// it asks nothing, as [`stp::Bpdu`](crate::stp::Bpdu) does: BPDU guard blocks for any.
    #[must_use]
    pub fn read(header: Ethernet<'_>) -> Option<Self> {
        let [_version, kind, flags @ ..] = header.payload().strip_prefix(&HEAD)? else {
            return None;
        };
        let topology_change = match *kind {
            NOTIFICATION => true,
            CONFIGURATION | RAPID => flags.first()? & TC != 0,
            _ => false,
        };
        Some(Self { topology_change })
    }
}

/// When to flush because of topology changes.
#[derive(Debug, Default)]
pub struct Flushes {
    last: Option<Instant>,
    /// A change that came too soon after the last flush waits.
    waits: bool,
}

impl Flushes {
    /// Notes a topology change; whether to flush now.
    pub fn note(&mut self, now: Instant) -> bool {
        self.waits = true;
        self.is_due(now)
    }

    /// When to flush for a change that waits.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.last.filter(|_| self.waits).map(|last| last + FLUSH_INTERVAL)
    }

    /// Whether to flush now for a change that had to wait.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let rests = |last| now.saturating_duration_since(last) < FLUSH_INTERVAL;
        if !self.waits || self.last.is_some_and(rests) {
            return false;
        }
        *self = Self { last: Some(now), waits: false };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &[u8]) -> Option<Bpdu> {
        let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38];
        frame.extend(payload);
        Bpdu::read(Ethernet::new_checked(&frame).expect("a header"))
    }

    #[test]
    fn a_bpdu_of_every_type_is_read() {
        let change = |topology_change| Some(Bpdu { topology_change });
        assert_eq!(read(&[0x42, 0x42, 3, 0, 0, 0, 0x80]), change(true), "notification");
        for kind in [0, 2] {
            for (flags, expected) in [(0, false), (0x80, false), (0x01, true), (0x7d, true)] {
                let octets = [0x42, 0x42, 3, 0, 0, 2, kind, flags];
                assert_eq!(read(&octets), change(expected), "{kind} {flags:x}");
            }
        }
        assert_eq!(read(&[0x42, 0x42, 3, 0, 0, 2, 7, 1]), change(false), "of the future");
        for len in 0..8 {
            let cut = read(&[0x42, 0x42, 3, 0, 0, 2, 2, 1][..len]);
            assert_eq!(cut, None, "{len} octets");
        }
        assert_eq!(read(&[0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b]), None, "another protocol");
    }

    #[test]
    fn changes_flush_once_a_second_and_none_is_forgotten() {
        let (mut flushes, start) = (Flushes::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!flushes.is_due(at(0)));
        assert!(flushes.note(at(0)));
        assert_eq!(flushes.due(), None, "nothing waits");
        assert!(!flushes.note(at(1)) && !flushes.note(at(999)));
        assert_eq!(flushes.due(), Some(at(1000)));
        assert!(!flushes.is_due(at(999)));
        assert!(flushes.is_due(at(1000)));
        assert!(!flushes.is_due(at(5000)), "once for all that waited");
        assert_eq!(flushes.due(), None);
    }
}

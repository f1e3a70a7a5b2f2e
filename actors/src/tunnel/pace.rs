//! How much a tunnel writes at once, so that a slow one stays responsive.
//!
//! What has left the egress queue for the stream, urgent frames cannot pass by any
//! more. So a link takes no more at once than its stream took in a short time before:
//! all there is on a fast one, a few frames on a slow one. Pure: it is told the time.

use std::time::Duration;

use crate::core::batch::BATCH_OCTETS;

/// Time that writing a batch may take before batches get shorter: far below what a
/// bottleneck's own queue adds, and 256 KiB at 2 Gbit/s.
const TARGET: Duration = Duration::from_millis(1);

/// Shortest batch in octets: ten full frames, so that a slow link costs no more
/// system calls than it has to.
const LEAST: usize = 16 * 1024;

/// The length of the next batch.
#[derive(Debug)]
pub(super) struct Pace(usize);

impl Pace {
    pub(super) const fn new() -> Self {
        Self(BATCH_OCTETS)
    }

    /// Octets that the next batch is to have at most.
    pub(super) const fn octets(&self) -> usize {
        self.0
    }

    /// A batch of `octets` took this long; whether that was too long, since the stream is full.
    pub(super) fn wrote(&mut self, octets: usize, elapsed: Duration) -> bool {
        if elapsed > TARGET {
            let in_target = octets as u128 * TARGET.as_nanos() / elapsed.as_nanos();
            self.0 = usize::try_from(in_target).unwrap_or(BATCH_OCTETS).clamp(LEAST, self.0);
        } else if elapsed < TARGET / 2 {
            self.0 = (self.0 * 2).min(BATCH_OCTETS);
        }
        elapsed > TARGET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length that batches have in the end over a stream of so many octets a
    /// second.
    fn settled(rate: usize) -> usize {
        let mut pace = Pace::new();
        for _ in 0..20 {
            let octets = pace.octets();
            pace.wrote(octets, Duration::from_nanos((octets as u64 * 1_000_000_000) / rate as u64));
        }
        pace.octets()
    }

    #[test]
    fn batches_are_what_the_stream_takes_in_a_short_time() {
        assert_eq!(settled(1_000_000_000), BATCH_OCTETS);
        let octets = settled(200_000_000 / 8);
        assert!((25_000..=50_000).contains(&octets), "{octets}");
        assert_eq!(settled(100_000), LEAST);
    }

    #[test]
    fn one_stall_shortens_batches_for_a_moment() {
        let mut pace = Pace::new();
        pace.wrote(BATCH_OCTETS, Duration::from_millis(50));
        assert_eq!(pace.octets(), LEAST);
        for _ in 0..4 {
            pace.wrote(pace.octets(), Duration::from_micros(100));
        }
        assert_eq!(pace.octets(), BATCH_OCTETS);
        pace.wrote(100, Duration::MAX);
        assert_eq!(pace.octets(), LEAST);
    }
}

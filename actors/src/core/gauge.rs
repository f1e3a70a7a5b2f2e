//! How full a port's egress queue is, in octets, and whose they are: the Switch asks before
//! it sends a frame, the port's queue gives back what has left it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{batch::Source, frame::Frame, lanes::URGENT_OCTETS};

/// Charged for each frame beside its octets, so that a queue of tiny frames is
/// bounded in memory too.
const FRAME_OVERHEAD: usize = 64;

/// Holders are told apart by so many places: two that share one share its part.
const PARTS: usize = 32;

/// Flooded frames have room for this part of the limit, beside all others.
const FLOODED: usize = 4;

/// How full a queue is, shared between the Switch and the port.
#[derive(Debug, Clone)]
pub struct Gauge {
    /// Known frames, and flooded ones.
    used: Arc<[Used; 2]>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Used {
    all: AtomicUsize,
    parts: [AtomicUsize; PARTS],
}

impl Used {
    fn part(&self, source: Source) -> &AtomicUsize {
        &self.parts[source.holder as usize % PARTS]
    }

    /// What each has of `limit`, whoever asks among them.
    #[cold]
    fn share(&self, limit: usize, own: usize) -> usize {
        let used = self.parts.iter().filter(|part| part.load(Relaxed) > 0).count();
        limit / (used + usize::from(own == 0)).max(1)
    }
}

/// What a frame takes of its queue, in octets.
pub(crate) fn cost(frame: &Frame) -> usize {
    frame.len() + FRAME_OVERHEAD
}

impl Gauge {
    /// An empty queue of at most `limit` octets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Takes room for a frame of `source`; `false` when there is none. An empty queue takes a
    /// frame of any length, and frames so small that they may be urgent have an eighth more
    /// room, which bulk cannot take from them. Of a full queue each holder has his part: who
    /// has less than that gets it, so that it grows to twice its limit at worst. The Switch
    /// alone adds: the check needs no exchange.
    #[must_use]
    pub fn admit(&self, frame: &Frame, source: Source) -> bool {
        let used = &self.used[usize::from(source.flooded)];
        let limit = if source.flooded { self.limit / FLOODED } else { self.limit };
        let (all, cost) = (used.all.load(Relaxed), cost(frame));
        let spare = if frame.len() <= URGENT_OCTETS { limit / 8 } else { 0 };
        let part = used.part(source);
        if all > 0 && all + cost > limit.saturating_add(spare) {
            let own = part.load(Relaxed);
            if own + cost > used.share(limit, own) || all == own {
                return false;
            }
        }
        used.all.fetch_add(cost, Relaxed);
        part.fetch_add(cost, Relaxed);
        true
    }

    /// Gives back what frames of `source` have taken.
    pub(crate) fn release(&self, source: Source, octets: usize) {
        let used = &self.used[usize::from(source.flooded)];
        used.all.fetch_sub(octets, Relaxed);
        used.part(source).fetch_sub(octets, Relaxed);
    }

    /// Octets that the queue holds at most for one holder.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Octets in the queue now, with each frame's overhead.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.iter().map(|used| used.all.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OWN: Source = Source::OWN;

    fn frame(len: usize) -> Frame {
        Frame::new(Bytes::from(vec![7; len]))
    }

    #[test]
    fn the_gauge_bounds_octets_and_counts_tiny_frames() {
        let gauge = Gauge::new(1000);
        assert!(gauge.admit(&frame(800), OWN));
        assert!(!gauge.admit(&frame(300), OWN));
        assert!(gauge.admit(&frame(14), OWN));
        assert!(gauge.admit(&frame(100), OWN), "small frames have room of their own");
        assert!(!gauge.admit(&frame(100), OWN));
        let tiny = Gauge::new(1000);
        assert_eq!((0..1000).filter(|_| tiny.admit(&frame(1), OWN)).count(), 1125 / 65);
    }

    #[test]
    fn an_empty_queue_takes_a_frame_larger_than_the_limit() {
        let gauge = Gauge::new(10);
        assert!(gauge.admit(&frame(100), OWN));
        assert!(!gauge.admit(&frame(1), OWN));
    }

    #[test]
    fn a_full_queue_is_shared_by_holders_and_flooded_frames_have_room_of_their_own() {
        let gauge = Gauge::new(100_000);
        let source = |holder, flooded| Source { holder, port: 9 * holder, flooded };
        let fill = |source| (0..).take_while(|_| gauge.admit(&frame(936), source)).count();
        assert_eq!(fill(source(1, false)), 100);
        assert_eq!(fill(source(2, false)), 50);
        assert_eq!(fill(source(3, false)), 33);
        assert_eq!((fill(source(1, false)), fill(source(2, false))), (0, 0));
        assert_eq!((fill(source(1, true)), fill(source(2, true))), (25, 12));
        assert_eq!(gauge.used(), 220_000);
        gauge.release(source(2, false), 2000);
        assert_eq!(fill(source(2, false)), 0, "he has more than his third");
        gauge.release(source(1, false), 100_000);
        assert_eq!((fill(source(1, false)), fill(source(2, false))), (33, 0));
    }
}

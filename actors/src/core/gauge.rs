//! How full a port's egress queue is, in octets, and whose they are: the Switch asks before
//! it sends a frame, the port's queue gives back what has left it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{
    batch::Source,
    counters::Discard,
    frame::Frame,
    lanes::URGENT_OCTETS,
    memory::{QueueMemory, has_room},
};

/// Charged for each frame beside its octets, so that a queue of tiny frames is
/// bounded in memory too.
const FRAME_OVERHEAD: usize = 64;

/// Holders, and ports, are told apart by so many places: two that share one share its part.
const PARTS: usize = 32;

/// Flooded frames have room for this part of the limit, beside all others.
const FLOODED: usize = 4;

/// How full a queue is, shared between the Switch and the port.
#[derive(Debug, Clone)]
pub struct Gauge {
    /// Known frames, and flooded ones.
    used: Arc<[Used; 2]>,
    limit: usize,
    memory: QueueMemory,
}

#[derive(Debug, Default)]
struct Used {
    all: AtomicUsize,
    holders: [AtomicUsize; PARTS],
    ports: [AtomicUsize; PARTS],
}

impl Used {
    /// What counts the frames of `source`: all, those of its holder, those of its port.
    fn of(&self, source: Source) -> [&AtomicUsize; 3] {
        let Source { holder, port, .. } = source;
        [&self.all, &self.holders[holder as usize % PARTS], &self.ports[port as usize % PARTS]]
    }
}

/// What a frame takes of its queue, in octets.
pub(crate) fn cost(frame: &Frame) -> usize {
    frame.len() + FRAME_OVERHEAD
}

impl Gauge {
    /// An empty queue of at most `limit` octets, whose memory is counted as `memory`.
    #[must_use]
    pub fn new(limit: usize, memory: QueueMemory) -> Self {
        Self { used: Arc::default(), limit, memory }
    }

    /// Whether there is room for a frame of `source`, beside `pending` octets of the same that
    /// are not taken yet. An empty queue takes a frame of any length, and frames so small that
    /// they may be urgent have an eighth more room, which bulk cannot take from them. A source
    /// may fill a queue that it has for itself. Others find room in a full one, less and less
    /// of it, so that it grows to less than twice its limit; who has most is refused first, by
    /// holder and by port.
    #[must_use]
    pub fn has_room(&self, frame: &Frame, source: Source, pending: usize) -> bool {
        let limit = if source.flooded { self.limit / FLOODED } else { self.limit };
        let spare = if frame.len() <= URGENT_OCTETS { limit / 8 } else { 0 };
        let used = self.used[usize::from(source.flooded)].of(source);
        let [all, holder, port] = used.map(|used| used.load(Relaxed) + pending);
        let bound = limit.saturating_add(spare).saturating_mul(2);
        all == 0 || has_room(cost(frame), port, holder, all, bound)
    }

    /// Why there is no room for a frame of `source`, if there is none, here or in the memory of all
    /// queues: beside `pending` octets of the same, and `all` of all queues, that are not taken
    /// yet.
    #[inline]
    pub(crate) fn refuses(
        &self,
        frame: &Frame,
        source: Source,
        pending: usize,
        all: usize,
    ) -> Option<Discard> {
        let octets = cost(frame);
        if !self.has_room(frame, source, pending) {
            Some(Discard::LackOfBuffers)
        } else if self.memory.is_tight(all + octets) && !self.memory.has_room(octets, all) {
            Some(Discard::QueueMemory)
        } else {
            None
        }
    }

    /// Takes room for frames of `source`. The Switch alone does.
    pub fn take(&self, source: Source, octets: usize) {
        if octets > 0 {
            for used in self.used[usize::from(source.flooded)].of(source) {
                used.fetch_add(octets, Relaxed);
            }
            self.memory.take(octets);
        }
    }

    /// Gives room for frames of `source` back. Their memory is given back when they are sent.
    pub(crate) fn release(&self, source: Source, octets: usize) {
        if octets > 0 {
            for used in self.used[usize::from(source.flooded)].of(source) {
                used.fetch_sub(octets, Relaxed);
            }
        }
    }

    /// Octets that the queue holds at most for one source.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Octets in the queue now, with each frame's overhead.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.iter().map(|used| used.all.load(Relaxed)).sum()
    }

    /// Memory of this queue, and of the link behind it.
    #[must_use]
    pub const fn memory(&self) -> &QueueMemory {
        &self.memory
    }

    /// Takes room for a frame, if there is any.
    #[cfg(test)]
    pub(crate) fn admit(&self, frame: &Frame, source: Source) -> bool {
        let has_room = self.has_room(frame, source, 0);
        if has_room {
            self.take(source, cost(frame));
        }
        has_room
    }

    /// One that counts for nobody else.
    #[cfg(test)]
    pub(crate) fn alone(limit: usize) -> Self {
        Self::new(limit, QueueMemory::new(usize::MAX))
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
        let gauge = Gauge::alone(1000);
        assert!(gauge.admit(&frame(800), OWN));
        assert!(!gauge.admit(&frame(300), OWN));
        assert!(gauge.admit(&frame(14), OWN));
        assert!(gauge.admit(&frame(100), OWN), "small frames have room of their own");
        assert!(!gauge.admit(&frame(100), OWN));
        let tiny = Gauge::alone(1000);
        assert_eq!((0..1000).filter(|_| tiny.admit(&frame(1), OWN)).count(), 1125 / 65);
    }

    #[test]
    fn an_empty_queue_takes_a_frame_larger_than_the_limit() {
        let gauge = Gauge::alone(10);
        assert!(gauge.admit(&frame(100), OWN));
        assert!(!gauge.admit(&frame(1), OWN));
    }

    #[test]
    fn a_full_queue_is_shared_by_holders_and_ports_and_flooded_frames_have_their_own_room() {
        let gauge = Gauge::alone(100_000);
        let source = |holder, port, flooded| Source { holder, port, flooded };
        let fill = |source| (0..).take_while(|_| gauge.admit(&frame(936), source)).count();
        assert_eq!(fill(source(1, 1, false)), 100);
        assert_eq!(fill(source(2, 2, false)), 50);
        assert_eq!(fill(source(3, 3, false)), 25);
        assert_eq!((fill(source(1, 1, false)), fill(source(2, 2, false))), (0, 0));
        assert_eq!((fill(source(1, 1, true)), fill(source(2, 2, true))), (25, 12));
        assert_eq!(gauge.used(), 212_000);
        assert_eq!(gauge.memory().used(), 212_000);
        gauge.release(source(1, 1, false), 100_000);
        assert_eq!((fill(source(2, 2, false)), fill(source(3, 3, false))), (37, 31));
        let gauge = Gauge::alone(100_000);
        let fill = |source| (0..).take_while(|_| gauge.admit(&frame(936), source)).count();
        assert_eq!((fill(source(1, 1, false)), fill(source(1, 2, false))), (100, 25));
        assert_eq!(fill(source(2, 3, false)), 37, "another holder");
    }
}

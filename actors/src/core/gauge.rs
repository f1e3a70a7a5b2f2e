//! How full a port's egress queue is, in octets: the Switch asks before it sends a frame,
//! the port's queue gives back what has left it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{frame::Frame, lanes::URGENT_OCTETS};

/// Charged for each frame beside its octets, so that a queue of tiny frames is
/// bounded in memory too.
const FRAME_OVERHEAD: usize = 64;

/// How full a queue is, shared between the Switch and the port.
#[derive(Debug, Clone)]
pub struct Gauge {
    used: Arc<AtomicUsize>,
    limit: usize,
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

    /// Takes room for the frame; `false` when there is none. An empty queue takes
    /// a frame of any length, and frames so small that they may be urgent have an
    /// eighth more room, which bulk cannot take from them. The Switch alone adds: the
    /// check needs no exchange.
    #[must_use]
    pub fn admit(&self, frame: &Frame) -> bool {
        let used = self.used.load(Relaxed);
        let spare = if frame.len() <= URGENT_OCTETS { self.limit / 8 } else { 0 };
        if used > 0 && used + cost(frame) > self.limit.saturating_add(spare) {
            return false;
        }
        self.used.fetch_add(cost(frame), Relaxed);
        true
    }

    /// Gives back what frames have taken.
    pub(crate) fn release(&self, octets: usize) {
        self.used.fetch_sub(octets, Relaxed);
    }

    /// Octets that the queue holds at most.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Octets in the queue now, with each frame's overhead.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(len: usize) -> Frame {
        Frame::new(Bytes::from(vec![7; len]))
    }

    #[test]
    fn the_gauge_bounds_octets_and_counts_tiny_frames() {
        let gauge = Gauge::new(1000);
        assert!(gauge.admit(&frame(800)));
        assert!(!gauge.admit(&frame(300)));
        assert!(gauge.admit(&frame(14)));
        assert!(gauge.admit(&frame(100)), "small frames have room of their own");
        assert!(!gauge.admit(&frame(100)));
        let tiny = Gauge::new(1000);
        assert_eq!((0..1000).filter(|_| tiny.admit(&frame(1))).count(), 1125 / 65);
    }

    #[test]
    fn an_empty_queue_takes_a_frame_larger_than_the_limit() {
        let gauge = Gauge::new(10);
        assert!(gauge.admit(&frame(100)));
        assert!(!gauge.admit(&frame(1)));
    }
}

//! What a tunnel's receiver holds of the memory of all queues: what it has read and not handed
//! over. Beside the queues; nothing here reads or waits.

use std::mem;

use crate::core::memory::QueueMemory;

/// Octets in which an unfinished message is counted: the beginning of a usual frame is none.
const PIECE: usize = 4096;

/// What of the memory of all queues a receiver takes.
#[derive(Debug)]
pub(super) struct Held {
    memory: QueueMemory,
    /// Octets of a message whose end has not come, in whole pieces.
    kept: usize,
    /// Octets that were read and are being taken.
    entering: usize,
}

impl Held {
    /// Nothing yet, of this memory.
    pub(super) const fn new(memory: QueueMemory) -> Self {
        Self { memory, kept: 0, entering: 0 }
    }

    /// See [`QueueMemory::is_crowded`].
    pub(super) fn is_crowded(&self) -> bool {
        self.memory.is_crowded()
    }

    /// All that was read has been taken but a message's beginning; whether there is room for
    /// it.
    pub(super) fn keep(&mut self, octets: usize) -> bool {
        self.enter(0);
        let kept = octets / PIECE * PIECE;
        if kept > self.kept {
            let more = kept - self.kept;
            if self.memory.is_tight(more) && !self.memory.has_room(more, 0) {
                return false;
            }
            self.memory.take(more);
        } else if kept < self.kept {
            self.memory.give(self.kept - kept);
        }
        self.kept = kept;
        true
    }

    pub(super) fn enter(&mut self, octets: usize) {
        let before = mem::replace(&mut self.entering, octets);
        if octets != before {
            self.memory.enter(octets);
            self.memory.entered(before);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.enter(0);
        self.memory.give(self.kept);
    }
}

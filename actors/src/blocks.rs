//! The memory that frames are read into, used again when the frames are gone.
//!
//! First on a frame's path, for devices and tunnels alike. Fresh memory costs a page
//! fault every 4 KiB, which is more than reading into it.

use std::{collections::VecDeque, mem};

use bytes::BytesMut;

use crate::core::batch::{BATCH_OCTETS, INGRESS_CREDITS};

/// Full blocks that are kept to be used again: those of all batches that a port may
/// have on their way. What a long queue holds beyond is freed with its frames.
const MAX_BLOCKS: usize = INGRESS_CREDITS;

/// Blocks of 256 KiB. Frames that are slices of one keep it alive.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    current: BytesMut,
    /// Those that are full, oldest first.
    full: VecDeque<BytesMut>,
}

impl Blocks {
    /// An empty block that has room for so many octets. What is split off its front
    /// leaves the rest for the next call.
    pub(crate) fn with_room(&mut self, octets: usize) -> &mut BytesMut {
        let has_room =
            |block: &mut BytesMut| block.capacity() >= octets || block.try_reclaim(octets);
        if !has_room(&mut self.current) {
            let free = self.full.iter_mut().position(has_room);
            let next = free.and_then(|at| self.full.remove(at));
            let next = next.unwrap_or_else(|| BytesMut::with_capacity(octets.max(BATCH_OCTETS)));
            self.full.push_back(mem::replace(&mut self.current, next));
            if self.full.len() > MAX_BLOCKS {
                self.full.pop_front();
            }
        }
        &mut self.current
    }

    /// The block at hand. Only behind [`join`](Self::join), or it is empty.
    pub(crate) const fn current(&mut self) -> &mut BytesMut {
        &mut self.current
    }

    /// Puts `rest`, which was read last, at the front of the block at hand without a copy, if it
    /// stands right before it and there is room for so many octets behind it; whether it does.
    pub(crate) fn join(&mut self, rest: &mut BytesMut, octets: usize) -> bool {
        let is_next = rest.as_ptr().wrapping_add(rest.len()) == self.current.as_ptr();
        if rest.is_empty() || !is_next || self.current.capacity() < octets {
            return false;
        }
        let behind = mem::replace(&mut self.current, mem::take(rest));
        self.current.unsplit(behind);
        let is_joined = self.current.capacity() >= self.current.len() + octets;
        if !is_joined {
            // Neighbors by chance: the room is gone, and what was read is not.
            *rest = self.current.split();
        }
        is_joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_again_when_their_frames_are_gone() {
        let mut blocks = Blocks::default();
        let mut read = |octets: usize| {
            let block = blocks.with_room(octets);
            block.resize(octets, 7);
            (block.as_ptr(), block.split().freeze())
        };
        let (first, frame) = read(BATCH_OCTETS);
        let (second, other) = read(BATCH_OCTETS);
        assert_ne!(first, second);
        drop(frame);
        assert_eq!(read(BATCH_OCTETS).0, first);
        drop(other);
        let (start, small) = read(1000);
        assert_eq!(read(1000).0, start.wrapping_add(1000), "the rest of a block is used");
        drop(small);
    }

    #[test]
    fn no_more_blocks_are_kept_than_may_be_on_their_way() {
        let mut blocks = Blocks::default();
        let frames: Vec<_> = (0..20)
            .map(|_| {
                let block = blocks.with_room(BATCH_OCTETS);
                block.resize(BATCH_OCTETS, 7);
                block.split().freeze()
            })
            .collect();
        assert_eq!(blocks.full.len(), MAX_BLOCKS);
        assert!(frames.iter().all(|frame| frame.len() == BATCH_OCTETS));
    }
}

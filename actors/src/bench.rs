//! What `benches/` measures of the parts of a frame's path that are private. Nothing
//! here is for embedding programs, and nothing in the crate uses it.

use std::{ops::Range, time::Instant};

use crate::{
    core::{
        fdb::PortNumber,
        frame::{Frame, Offload},
        offload::{coalesce::Coalescer, segment},
    },
    mirror::{Filter, MIRROR_OCTETS, MirrorReader, Mirrors},
};

/// Cuts a super-frame into finished frames, as a port's queue does for a plain medium;
/// `false` where the frame's offload fields do not fit it.
pub fn segment(frame: Frame, emit: impl FnMut(Frame)) -> bool {
    segment::segment(frame, emit).is_ok()
}

/// Joins the messages of a block, as a tunnel does; gives how many frames there are
/// then.
#[must_use]
pub fn coalesce(block: &mut [u8], messages: impl Iterator<Item = Range<usize>>) -> usize {
    let mut coalescer = Coalescer::default();
    let done = messages.filter_map(|message| coalescer.push(block, message, Offload::NONE)).count();
    done + usize::from(coalescer.finish(block).is_some())
}

/// What the Switch shows frames to.
#[derive(Debug)]
pub struct Onlooker(Mirrors);

impl Onlooker {
    /// One mirror of what `filter` wants.
    #[must_use]
    pub fn new(filter: Filter) -> Option<(Self, MirrorReader)> {
        let mut mirrors = Mirrors::default();
        let reader = mirrors.add(filter, 1024, MIRROR_OCTETS).ok()?;
        Some((Self(mirrors), reader))
    }

    /// Shows it a batch that has come in.
    pub fn received(&mut self, frames: &[Frame], now: Instant) {
        for frame in frames {
            self.0.received(PortNumber::FIRST, frame, None, now);
        }
        self.0.flush();
    }
}

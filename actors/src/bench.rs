//! What `benches/` measures of the parts of a frame's path that are private. Nothing
//! here is for embedding programs, and nothing in the crate uses it.

use crate::{
    frame::Frame,
    tunnel::{coalesce::Coalescer, segment},
};

/// Cuts a super-frame into finished frames, as a port's queue does for a plain medium;
/// `false` where the frame's offload fields do not fit it.
pub fn segment(frame: Frame, emit: impl FnMut(Frame)) -> bool {
    segment::segment(frame, emit).is_ok()
}

/// Makes super-frames of a batch, as a TAP does; gives how many frames leave.
#[must_use]
pub fn coalesce(mut frames: &[Frame]) -> usize {
    let (mut coalescer, mut count) = (Coalescer::new(true), 0);
    while !frames.is_empty() {
        frames = &frames[coalescer.next(frames).frames.len()..];
        count += 1;
    }
    count
}

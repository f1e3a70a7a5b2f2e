//! What `benches/` measures of the parts of a frame's path that are private. Nothing
//! here is for embedding programs, and nothing in the crate uses it.

use crate::{frame::Frame, tunnel::segment};

/// Cuts a super-frame into finished frames, as a port's queue does for a plain medium;
/// `false` where the frame's offload fields do not fit it.
pub fn segment(frame: Frame, emit: impl FnMut(Frame)) -> bool {
    segment::segment(frame, emit).is_ok()
}

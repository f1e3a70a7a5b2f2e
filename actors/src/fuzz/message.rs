//! Messages with offload fields: whatever a peer says of a frame, it is refused, or what is sent
//! for it is at most twice as long; and coalescing it loses nothing.

use bytes::Bytes;

use super::coalesce;
use crate::{
    core::{frame::Frame, offload::segment},
    tunnel::typed,
};

/// One message.
pub fn message(data: &[u8]) {
    let mut octets = data.to_vec();
    let Ok((prefix, offload)) = typed::read(&mut octets) else { return };
    let frame = Frame::with_offload(Bytes::from(octets).slice(prefix..), offload);
    let (mut sent, len) = (0, frame.len());
    let done = segment::segment(frame.clone(), |segment| sent += segment.len());
    assert!(sent <= 2 * len, "{sent} octets for {len}");
    if done.is_ok() {
        coalesce::check(&[frame.clone(), frame]);
    }
}

//! Messages of the subprotocol [`SUBPROTOCOL`]: each begins with its type, and a frame with
//! work left on it with what that work is, so that nothing need be cut, summed or joined
//! between two ends that both know it.
//!
//! Below `messages`. Pure. What a peer says of a frame is trusted as little as what a device
//! says: it fits the frame's octets, or the frame is discarded. Beyond that, nobody can have
//! more sent for him than twice the octets that he has sent.

use std::ops::Deref;

use super::messages::Control;
use crate::core::{
    frame::{Frame, Gso, MAX_SUPER_FRAME_LEN, Offload},
    links::LinkMessage,
    offload::segment::{can_be_cut, settle},
};

/// The header in which a client offers subprotocols, and a server names the one that is spoken
/// (RFC 6455, 1.9).
pub const SUBPROTOCOL_HEADER: &str = "sec-websocket-protocol";

/// The subprotocol's name in it.
pub const SUBPROTOCOL: &str = "etherws2";

/// Octets that a message has before its frame at most.
pub(super) const MAX_PREFIX_LEN: usize = 8;

/// A finished frame follows.
const FINISHED: u8 = 0;
/// What is left to be done follows in 7 octets, and then the frame.
const UNFINISHED: u8 = 1;
/// What a link of several says follows; see [`LinkMessage`].
const LINK: u8 = 2;

/// The kind of a super-frame, in the three lowest bits of an octet.
const KIND: u8 = 0x07;
const TCP4: u8 = 1;
const TCP6: u8 = 2;
const UDP: u8 = 3;
/// Congestion Window Reduced is set in the first segment only.
const ECN: u8 = 0x40;
/// The checksum is to be computed.
const NEEDS_CSUM: u8 = 0x80;

/// What a message begins with.
#[derive(Debug)]
pub(super) struct Prefix {
    octets: [u8; MAX_PREFIX_LEN],
    len: usize,
}

impl Prefix {
    /// Of a finished frame.
    pub(super) const FINISHED: Self = Self { octets: [FINISHED; MAX_PREFIX_LEN], len: 1 };

    /// Of a frame with work left on it; `None` for one that the peer would not take so.
    pub(super) fn of(frame: &Frame) -> Option<Self> {
        let offload = frame.offload_on_wire();
        if offload.is_none() {
            return Some(Self::FINISHED);
        }
        if frame.len() > MAX_SUPER_FRAME_LEN || !is_bounded(&offload, frame.on_wire(), frame.len())
        {
            return None;
        }
        let kind = match offload.gso {
            Gso::None => 0,
            Gso::Tcp4 => TCP4,
            Gso::Tcp6 => TCP6,
            Gso::Udp => UDP,
        };
        let ecn = if offload.ecn { ECN } else { 0 };
        let needs_csum = if offload.csum.is_some() { NEEDS_CSUM } else { 0 };
        let (start, offset) = offload.csum.unwrap_or_default();
        let ([s0, s1], [c0, c1]) = (offload.gso_size.to_be_bytes(), start.to_be_bytes());
        let [o0, o1] = offset.to_be_bytes();
        let octets = [UNFINISHED, kind | ecn | needs_csum, s0, s1, c0, c1, o0, o1];
        Some(Self { octets, len: MAX_PREFIX_LEN })
    }
}

impl Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// How many octets of `message` stand before its frame, and the work that is left on that.
/// Checksums that no kernel would take from us are finished in place.
pub(crate) fn read(message: &mut [u8]) -> Result<(usize, Offload), Control> {
    match *message {
        [FINISHED, ..] => Ok((1, Offload::NONE)),
        [UNFINISHED, flags, s0, s1, c0, c1, o0, o1, ref mut frame @ ..] => {
            let be = u16::from_be_bytes;
            let gso = match flags & KIND {
                0 => Gso::None,
                TCP4 => Gso::Tcp4,
                TCP6 => Gso::Tcp6,
                UDP => Gso::Udp,
                _ => return Err(Control::BadOffload),
            };
            let csum = (flags & NEEDS_CSUM != 0).then(|| (be([c0, c1]), be([o0, o1])));
            let gso_size = if gso == Gso::None { 0 } else { be([s0, s1]) };
            let offload = Offload { gso, ecn: flags & ECN != 0, gso_size, csum };
            let is_good = gso == Gso::None
                || can_be_cut(frame, &offload)
                    && is_bounded(&offload, offload.on_wire(frame), frame.len());
            if !is_good {
                return Err(Control::BadOffload);
            }
            let offload = settle(frame, offload).map_err(|_| Control::BadOffload)?;
            Ok((MAX_PREFIX_LEN, offload))
        }
        [UNFINISHED, ..] => Err(Control::BadOffload),
        [LINK, ref rest @ ..] => Err(Control::Link(LinkMessage::parse(rest))),
        _ => Err(Control::Unknown(message.len())),
    }
}

/// The message that says this.
pub(super) fn link_message(message: LinkMessage) -> [u8; 1 + LinkMessage::LEN] {
    let mut octets = [LINK; 1 + LinkMessage::LEN];
    octets[1..].copy_from_slice(&message.to_octets());
    octets
}

/// Whether the segments of a super-frame are in all no more than twice as long as itself: a
/// peer could else have us send thousands of frames for one of his. Without a checksum to be
/// computed nothing tells how long its headers are.
fn is_bounded(offload: &Offload, (_, octets): (u64, u64), len: usize) -> bool {
    (offload.gso == Gso::None || offload.csum.is_some()) && octets <= 2 * len as u64
}

#[cfg(test)]
mod tests;

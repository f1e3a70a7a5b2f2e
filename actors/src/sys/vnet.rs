//! The header before each frame of a device with offload: `struct virtio_net_hdr`
//! (virtio 1.2, 5.1.6) in the host's own byte order, as TAP devices and packet
//! sockets have it.
//!
//! Below `sys/tap` and `sys/packet`. Translates to and from [`Offload`]; work that no
//! kernel would take from us is done here, or the frame is refused.

use std::{
    io::{self, IoSlice},
    ops::Deref,
    os::fd::AsFd,
};

use bytes::{Buf, BytesMut};
use nix::sys::uio::writev;

use super::UNKNOWN_OFFLOAD;
use crate::core::{
    frame::{Frame, Gso, Offload},
    offload::{encapsulated::UdpTunnel, segment::settle},
    packet::Front,
};

/// Octets of the header, without the count of merged buffers that devices with
/// receive queues of their own add.
pub(crate) const LEN: usize = 10;

/// Octets of the header that tells of a UDP tunnel as well (virtio 1.4, 5.1.6), which TAP
/// devices have since Linux 6.17: a count and a hash that we do not use, and the places of
/// the outer UDP header and the inner IP header.
pub(crate) const TUNNEL_LEN: usize = 24;

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const TUNNEL_CSUM: u8 = 8;
const GSO_TUNNEL_IPV4: u8 = 0x20;
const GSO_TUNNEL_IPV6: u8 = 0x40;
const GSO_ECN: u8 = 0x80;

/// What the header at the front of `octets` says; the frame behind it has grown by
/// `shift` octets since. `None`: a kind of super-frame that we cannot cut. The
/// field `hdr_len` is a hint that cannot be trusted: unread.
pub(super) fn decode(octets: &[u8], shift: u16) -> Option<Offload> {
    let &[flags, gso_type, _, _, s0, s1, c0, c1, o0, o1] = octets.first_chunk::<LEN>()?;
    // What a header says of a tunnel is read from the frame, as where it says nothing.
    let gso = match gso_type & !(GSO_ECN | GSO_TUNNEL_IPV4 | GSO_TUNNEL_IPV6) {
        GSO_NONE => Gso::None,
        GSO_TCPV4 => Gso::Tcp4,
        GSO_TCPV6 => Gso::Tcp6,
        GSO_UDP_L4 => Gso::Udp,
        _ => return None,
    };
    let csum = match flags & NEEDS_CSUM {
        0 => None,
        _ => Some((u16::from_ne_bytes([c0, c1]).checked_add(shift)?, u16::from_ne_bytes([o0, o1]))),
    };
    let gso_size = if gso == Gso::None { 0 } else { u16::from_ne_bytes([s0, s1]) };
    Some(Offload { gso, ecn: gso_type & GSO_ECN != 0, gso_size, csum })
}

/// What goes before a frame's octets: the header, and the octets that the frame begins
/// with where a change of its tag is left to be done.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    octets: [u8; TUNNEL_LEN + Front::MAX_LEN],
    len: usize,
}

impl Prefix {
    /// Of no frame.
    pub(super) const NONE: Self = Self { octets: [0; TUNNEL_LEN + Front::MAX_LEN], len: 0 };

    /// What goes before the frame, and the octets of the frame that follow.
    pub(super) fn of(frame: &Frame) -> (Self, &[u8]) {
        Self::behind(frame, LEN)
    }

    /// The same, with a header of `len` octets.
    fn behind(frame: &Frame, len: usize) -> (Self, &[u8]) {
        let (front, rest) = frame.front();
        let mut prefix = Self { len: len + front.len(), ..Self::NONE };
        prefix.octets[..LEN].copy_from_slice(&encode(frame));
        if len == TUNNEL_LEN
            && let Some(tunnel) = UdpTunnel::find(frame)
        {
            prefix.octets[0] |= if tunnel.has_checksum { TUNNEL_CSUM } else { 0 };
            prefix.octets[1] |= if tunnel.is_ipv6 { GSO_TUNNEL_IPV6 } else { GSO_TUNNEL_IPV4 };
            // These are little-endian everywhere.
            prefix.octets[20..22].copy_from_slice(&tunnel.udp.to_le_bytes());
            prefix.octets[22..24].copy_from_slice(&tunnel.inner.to_le_bytes());
        }
        prefix.octets[len..prefix.len].copy_from_slice(&front);
        (prefix, rest)
    }
}

impl Prefix {
    /// Says how many octets the kernel is to copy at least.
    pub(super) fn set_header_len(&mut self, len: usize) {
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        self.octets[2..4].copy_from_slice(&len.to_ne_bytes());
    }
}

impl Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// The header of a frame.
fn encode(frame: &Frame) -> [u8; LEN] {
    let offload = frame.offload_on_wire();
    if offload.is_none() {
        return [0; LEN];
    }
    let kind = match offload.gso {
        Gso::None => GSO_NONE,
        Gso::Tcp4 => GSO_TCPV4,
        Gso::Tcp6 => GSO_TCPV6,
        Gso::Udp => GSO_UDP_L4,
    };
    let gso_type = if offload.ecn { kind | GSO_ECN } else { kind };
    let flags = if offload.csum.is_some() { NEEDS_CSUM } else { 0 };
    let (start, offset) = offload.csum.unwrap_or_default();
    // Without it the kernel looks for one contiguous piece of memory for it all.
    let header = frame.headers_len().and_then(|len| u16::try_from(len).ok());
    let [h0, h1] = header.unwrap_or(0).to_ne_bytes();
    let [s0, s1] = offload.gso_size.to_ne_bytes();
    let ([c0, c1], [o0, o1]) = (start.to_ne_bytes(), offset.to_ne_bytes());
    [flags, gso_type, h0, h1, s0, s1, c0, c1, o0, o1]
}

/// Cuts the header of `len` octets off the front of what was read.
pub(super) fn take(data: &mut BytesMut, len: usize) -> io::Result<Offload> {
    let offload = decode(data, 0).filter(|_| data.len() >= len).ok_or(UNKNOWN_OFFLOAD)?;
    data.advance(len);
    settled(data, offload)
}

/// What is left to be done on a frame that was just read.
#[inline]
pub(super) fn settled(data: &mut [u8], offload: Offload) -> io::Result<Offload> {
    Ok(settle(data, offload).map_err(|_| UNKNOWN_OFFLOAD)?)
}

/// Writes one frame behind its header of `len` octets: one system call.
pub(super) fn write(fd: impl AsFd, frame: &Frame, len: usize) -> io::Result<()> {
    let (prefix, rest) = Prefix::behind(frame, len);
    writev(fd, &[IoSlice::new(&prefix), IoSlice::new(rest)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::{offload::segment::tests::shapes, packet::reference};

    fn header(flags: u8, gso_type: u8, csum_start: u16) -> Vec<u8> {
        let mut octets = vec![flags, gso_type, 0, 0];
        for field in [1448, csum_start, 16] {
            octets.extend(field.to_ne_bytes());
        }
        octets
    }

    #[test]
    fn unknown_super_frames_are_refused_and_offsets_follow_the_tag() {
        let octets = header(NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 34);
        let expected = Offload { gso: Gso::Tcp4, ecn: true, gso_size: 1448, csum: Some((38, 16)) };
        assert_eq!(decode(&octets, 4), Some(expected));
        assert_eq!(decode(&header(NEEDS_CSUM, GSO_TCPV4, u16::MAX), 4), None);
        assert_eq!(decode(&header(NEEDS_CSUM, 3, 34), 0), None);
        assert_eq!(decode(&octets[..9], 0), None);
    }

    #[test]
    fn what_was_read_is_written_again() {
        for gso_type in [GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_TCPV6 | GSO_ECN] {
            for flags in [0, NEEDS_CSUM] {
                let offload = decode(&header(flags, gso_type, 34), 0).expect("a known kind");
                let again = encode(&Frame::with_offload([0x80; 100][..].to_vec().into(), offload));
                assert_eq!(decode(&again, 0), Some(offload), "kind {gso_type}, flags {flags}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_change_of_the_tag_is_written_as_if_done_by_hand(shape in shapes()) {
            let octets = |frame: &Frame| {
                let (prefix, rest) = Prefix::of(frame);
                [&*prefix, rest].concat()
            };
            let whole = shape.frame();
            for frame in [whole.clone(), Frame::new(whole.into_data())] {
                for frame in reference::changes(&frame) {
                    prop_assert_eq!(octets(&frame), octets(&reference::by_hand(&frame)));
                }
            }
        }
    }

    #[test]
    fn the_length_of_all_headers_is_told_where_it_fits() {
        let head = [0x80; 100];
        let offload = |gso, start| Offload { gso, csum: Some((start, 16)), ..Offload::NONE };
        assert_eq!(offload(Gso::Tcp4, 34).headers_len(&head), Some(34 + 32));
        assert_eq!(offload(Gso::Tcp6, 68).headers_len(&head), Some(100));
        assert_eq!(offload(Gso::Tcp6, 69).headers_len(&head), None);
        assert_eq!(offload(Gso::Tcp4, u16::MAX).headers_len(&head), None);
        assert_eq!(offload(Gso::Udp, 34).headers_len(&head), Some(42));
        assert_eq!(offload(Gso::None, 34).headers_len(&head), None);
    }
}

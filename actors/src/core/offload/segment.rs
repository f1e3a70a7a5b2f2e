//! Segmentation and checksums in software: the work that a super-frame's sender
//! left to a medium that does not do it.
//!
//! Last thing before a plain medium: each [`Frame`] that leaves here is finished.
//! Every offload field is checked against the frame's octets; metadata that does
//! not fit is an error, never a panic, and nothing comes out then.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::checksum::{fold, sum};
use crate::core::{
    frame::{Frame, Gso, Offload},
    packet::{
        Ethernet, Front, HEADER_LEN, IpNextHeaderProtocols, TAG_LEN, UDP_LEN, get, put,
        tcp_header_len,
    },
};

/// Most segments of one super-frame: 64 KiB in segments of 8 octets, the least
/// that Linux makes (TCP_MIN_SND_MSS of 48 less 40 octets of options). It bounds
/// what a hostile `gso_size` of 1 makes us write.
const MAX_SEGMENTS: usize = 8192;

/// Most octets before the payload, in a super-frame, and up to the checksum, in a
/// frame that lacks one: 30 of Ethernet with four tags, 40 of IPv6, 60 of TCP and as
/// many again for extension headers. It bounds what is repeated in each segment.
pub(crate) const MAX_HEAD: usize = 256;

/// Where the checksum stands in a TCP header (RFC 9293, 3.1).
pub(super) const TCP_CSUM: usize = 16;

/// Where the checksum stands in a UDP header (RFC 768).
pub(super) const UDP_CSUM: usize = 6;

/// TCP flags of the last segment only: FIN and PSH.
pub(super) const TCP_LAST: u8 = 0x09;

/// The TCP flag of the first segment only: CWR (RFC 3168, 6.1.2).
pub(super) const TCP_FIRST: u8 = 0x80;

/// A frame's offload fields do not fit its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame's offload fields do not fit its octets")]
pub(crate) struct BadOffload;

/// Gives `emit` the finished frames that `frame` stands for, in order.
///
/// A finished frame passes as it is. All segments of a super-frame are slices of
/// one new buffer.
pub(crate) fn segment(frame: Frame, mut emit: impl FnMut(Frame)) -> Result<(), BadOffload> {
    match *frame.offload() {
        _ if frame.is_finished() => emit(frame),
        Offload { gso: Gso::None, csum: Some(csum), .. } if frame.tag_change().is_none() => {
            let mut data = match frame.into_data().try_into_mut() {
                Ok(data) => data,
                Err(shared) => BytesMut::from(&shared[..]),
            };
            finish_checksum(&mut data, csum)?;
            emit(Frame::new(data.freeze()));
        }
        _ => {
            let mut segments = Segments::new(&frame)?;
            let mut buffer = BytesMut::with_capacity(segments.octets());
            while let Some((head, payload)) = segments.next() {
                buffer.put_slice(head);
                buffer.put_slice(&frame.data()[payload]);
                emit(Frame::new(buffer.split().freeze()));
            }
        }
    }
    Ok(())
}

/// The finished frames that a frame stands for, none of them built: of each its
/// own header octets, and where in the frame's octets its payload stands.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    data: &'a [u8],
    /// Headers of the segment at hand, behind room for a tag; finished as far as no
    /// segment differs.
    head: [u8; TAG_LEN + MAX_HEAD],
    /// What of the frame is not payload, in octets.
    head_len: usize,
    /// What each segment begins with in place of its first octets.
    front: Front,
    /// `None`: one segment, and its head is finished.
    layout: Option<Layout>,
    /// Payload octets of each segment but the last.
    size: usize,
    count: usize,
    next: usize,
}

impl<'a> Segments<'a> {
    /// Checks the frame's metadata.
    pub(crate) fn new(frame: &'a Frame) -> Result<Self, BadOffload> {
        let (data, offload) = (frame.data(), frame.offload());
        let (front, _) = frame.front();
        let mut segments = Self {
            data,
            head: [0; TAG_LEN + MAX_HEAD],
            head_len: front.replaces,
            front,
            layout: None,
            size: usize::MAX,
            count: 1,
            next: 0,
        };
        match (offload.gso, offload.csum) {
            (Gso::None, None) => {}
            (Gso::None, Some(csum)) => {
                let (field, checksum) = checksum(data, csum)?;
                segments.head_len = field + 2;
                let head = &mut segments.head[TAG_LEN..];
                head[..field].copy_from_slice(&data[..field]);
                put(head, field, checksum);
            }
            (gso, _) => {
                let layout = Layout::parse(data, gso, offload).ok_or(BadOffload)?;
                segments.head_len = layout.payload;
                segments.size = usize::from(offload.gso_size);
                segments.count = (data.len() - layout.payload).div_ceil(segments.size).max(1);
                segments.layout = Some(layout);
            }
        }
        Ok(segments)
    }

    /// Goes on with segment number `next`.
    pub(crate) const fn from(mut self, next: usize) -> Self {
        self.next = next;
        self
    }

    /// Whether there is no next segment.
    pub(crate) const fn is_done(&self) -> bool {
        self.next >= self.count
    }

    /// Length of all segments together.
    fn octets(&self) -> usize {
        let head_len = self.head_len + self.front.len() - self.front.replaces;
        self.count * head_len + (self.data.len() - self.head_len)
    }

    /// The next segment's header octets and the place of its payload.
    pub(crate) fn next(&mut self) -> Option<(&[u8], Range<usize>)> {
        if self.is_done() {
            return None;
        }
        let at = self.next;
        self.next += 1;
        let from = self.head_len + at * self.size;
        let to = self.data.len().min(from.saturating_add(self.size));
        let head = &mut self.head[..TAG_LEN + self.head_len];
        if let Some(layout) = &self.layout {
            let head = &mut head[TAG_LEN..];
            head.copy_from_slice(&self.data[..self.head_len]);
            let position =
                Position { at, offset: at * self.size, is_last: self.next == self.count };
            layout.finish(head, &self.data[from..to], position);
        }
        let front_end = TAG_LEN + self.front.replaces;
        let start = front_end - self.front.len();
        if !self.front.is_empty() {
            head[start..front_end].copy_from_slice(&self.front);
        }
        Some((&head[start..], from..to))
    }
}

/// Which segment of its super-frame one is.
#[derive(Debug, Clone, Copy)]
struct Position {
    at: usize,
    /// Payload octets before it.
    offset: usize,
    is_last: bool,
}

/// Finishes a checksum in place. `csum`: as in [`Offload`]; the field holds the
/// sum of the pseudo-header.
pub(crate) fn finish_checksum(data: &mut [u8], csum: (u16, u16)) -> Result<(), BadOffload> {
    let (field, checksum) = checksum(data, csum)?;
    put(data, field, checksum);
    Ok(())
}

/// Where the checksum is to be stored, and the finished one.
fn checksum(data: &[u8], (start, offset): (u16, u16)) -> Result<(usize, u16), BadOffload> {
    let (start, offset) = (usize::from(start), usize::from(offset));
    let field = start + offset;
    if start < HEADER_LEN || field + 2 > data.len().min(MAX_HEAD) {
        return Err(BadOffload);
    }
    let checksum = !fold(sum(&data[start..]));
    // In UDP a zero says that there is no checksum (RFC 768).
    Ok((field, if checksum == 0 && offset == UDP_CSUM { 0xffff } else { checksum }))
}

/// Where the headers of a super-frame stand, checked against its octets.
#[derive(Debug)]
struct Layout {
    is_tcp: bool,
    is_ipv4: bool,
    /// Offsets of the IP header, the TCP or UDP header, and its payload.
    ip: usize,
    transport: usize,
    payload: usize,
}

impl Layout {
    fn parse(data: &[u8], gso: Gso, offload: &Offload) -> Option<Self> {
        let header = Ethernet::new_checked(data)?;
        let (packet, ip) = (header.ip()?, header.payload_at());
        let (is_ipv4, transport) = (packet.is_ipv4(), ip + packet.header_len());
        let is_tcp = match (gso, packet.protocol()?, is_ipv4) {
            (Gso::Tcp4, IpNextHeaderProtocols::Tcp, true)
            | (Gso::Tcp6, IpNextHeaderProtocols::Tcp, false) => true,
            (Gso::Udp, IpNextHeaderProtocols::Udp, _) => false,
            _ => return None,
        };
        let (payload, csum) = if is_tcp {
            (transport + tcp_header_len(&data[transport..])?, TCP_CSUM)
        } else {
            (transport + UDP_LEN, UDP_CSUM)
        };
        let size = usize::from(offload.gso_size);
        let fits = payload <= data.len().min(MAX_HEAD)
            && data.len() - ip <= usize::from(u16::MAX)
            && size > 0
            && (data.len() - payload).div_ceil(size) <= MAX_SEGMENTS
            // Elsewhere: a tunnel's inner header, and we have found the outer one.
            && offload.csum.is_none_or(|(start, offset)| {
                usize::from(start) == transport && usize::from(offset) == csum
            });
        fits.then_some(Self { is_tcp, is_ipv4, ip, transport, payload })
    }

    /// Sets in a copy of the super-frame's headers what is different in the segment
    /// that carries `payload`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no length is over the super-frame's, which fits 16 bits; identification and \
                  sequence number wrap"
    )]
    fn finish(&self, head: &mut [u8], payload: &[u8], position: Position) {
        let (_, ip) = head.split_at_mut(self.ip);
        let (ip, transport) = ip.split_at_mut(self.transport - self.ip);
        let transport_len = (transport.len() + payload.len()) as u16;
        let ip_len = ip.len() as u16 + transport_len;
        let pseudo = if self.is_ipv4 {
            put(ip, 2, ip_len);
            let id = get(ip, 4).wrapping_add(position.at as u16);
            put(ip, 4, id);
            put(ip, 10, 0);
            let checksum = !fold(sum(ip));
            put(ip, 10, checksum);
            sum(&ip[12..20])
        } else {
            put(ip, 4, ip_len - 40);
            sum(&ip[8..40])
        };
        let (protocol, field) = if self.is_tcp {
            let sequence = u32::from(get(transport, 4)) << 16 | u32::from(get(transport, 6));
            let sequence = sequence.wrapping_add(position.offset as u32);
            transport[4..8].copy_from_slice(&sequence.to_be_bytes());
            let first = if position.at == 0 { 0 } else { TCP_FIRST };
            let last = if position.is_last { 0 } else { TCP_LAST };
            transport[13] &= !(first | last);
            (IpNextHeaderProtocols::Tcp, TCP_CSUM)
        } else {
            put(transport, 4, transport_len);
            (IpNextHeaderProtocols::Udp, UDP_CSUM)
        };
        put(transport, field, 0);
        // Each part but the payload has an even length.
        let pseudo = pseudo + u64::from(protocol.0) + u64::from(transport_len);
        let checksum = !fold(pseudo + sum(transport) + sum(payload));
        // As in `checksum`; for TCP both zeros are the same.
        put(transport, field, if checksum == 0 && !self.is_tcp { 0xffff } else { checksum });
    }
}

#[cfg(test)]
pub(crate) mod tests;

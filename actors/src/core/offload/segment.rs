//! Segmentation and checksums in software: the work that a super-frame's sender
//! left to a medium that does not do it.
//!
//! Last thing before a plain medium: each [`Frame`] that leaves here is finished.
//! Every offload field is checked against the frame's octets; metadata that does
//! not fit is an error, never a panic, and nothing comes out then. A super-frame in a
//! tunnel of its own is told by where its checksum begins: not behind the first IP
//! header. See [`encapsulated`](super::encapsulated).

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::{
    checksum::{crc32c, fold, sum},
    encapsulated::{Encapsulated, Headers},
};
use crate::core::{
    frame::{Frame, Gso, Offload},
    packet::{
        Ethernet, Front, HEADER_LEN, IPV6_LEN, IpNextHeaderProtocols, TAG_LEN, UDP_LEN, get, put,
        tcp_header_len,
    },
};

/// Most segments of one super-frame: 64 KiB in segments of 8 octets, the least
/// that Linux makes (TCP_MIN_SND_MSS of 48 less 40 octets of options). It bounds
/// what a hostile `gso_size` of 1 makes us write.
pub(super) const MAX_SEGMENTS: usize = 8192;

/// Most octets before the payload, in a super-frame, and up to the checksum, in a
/// frame that lacks one: 30 of Ethernet with four tags, 40 of IPv6, 60 of TCP and as
/// many again for extension headers. It bounds what is repeated in each segment.
pub(crate) const MAX_HEAD: usize = 256;

/// Where the checksum stands in a TCP header (RFC 9293, 3.1).
pub(super) const TCP_CSUM: usize = 16;

/// Where the checksum stands in a UDP header (RFC 768).
pub(super) const UDP_CSUM: usize = 6;

/// Where the checksum stands in an SCTP header, a CRC32c (RFC 9260, 3.1).
pub(super) const SCTP_CSUM: u16 = 8;

/// Where TCP and UDP begin behind an Ethernet and an IPv4 header: most of all frames.
const MOST: u16 = 34;

/// TCP flags of the last segment only: FIN and PSH.
pub(super) const TCP_LAST: u8 = 0x09;

/// The TCP flag of the first segment only: CWR (RFC 3168, 6.1.2).
pub(super) const TCP_FIRST: u8 = 0x80;

/// A frame's offload fields do not fit its octets, or its headers are not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame's offload fields do not fit its octets, or its headers are not understood")]
pub(crate) struct BadOffload;

/// Does where a frame is read what no kernel could be asked for later: checksums that are
/// not those of TCP or UDP behind the first IP header. What is left comes back; a
/// super-frame that could not be cut is an error.
///
/// `start` and `offset` are all that an interface is told. Some take them for granted and
/// look for the outer headers of a packet themselves, and of SCTP's checksum no kernel
/// hears from us that it is none of the Internet's.
pub(crate) fn settle(data: &mut [u8], offload: Offload) -> Result<Offload, BadOffload> {
    match offload {
        Offload { gso: Gso::None, csum: None, .. } => Ok(offload),
        Offload { csum: Some((MOST, 6 | 16)), .. } => Ok(offload),
        Offload { gso: Gso::None, csum: Some(csum), .. } if !is_first(data, csum) => {
            finish_checksum(data, csum)?;
            Ok(Offload::NONE)
        }
        Offload { gso: Gso::None, .. } => Ok(offload),
        _ if can_be_cut(data, &offload) => Ok(offload),
        _ => Err(BadOffload),
    }
}

/// Whether the headers of a super-frame are understood, and its offload fields fit them.
pub(crate) fn can_be_cut(data: &[u8], offload: &Offload) -> bool {
    Layout::parse(data, offload).is_some() || Encapsulated::new(data, offload).is_some()
}

/// Whether a checksum is that of TCP or UDP behind the first IP header.
fn is_first(data: &[u8], (start, offset): (u16, u16)) -> bool {
    let Some(header) = Ethernet::new_checked(data) else { return false };
    let Some(ip) = header.ip() else { return false };
    let field = match ip.protocol() {
        Some(IpNextHeaderProtocols::Tcp) => TCP_CSUM,
        Some(IpNextHeaderProtocols::Udp) => UDP_CSUM,
        _ => return false,
    };
    header.payload_at() + ip.header_len() == usize::from(start) && field == usize::from(offset)
}

/// Whether a super-frame is TCP or UDP behind the first IP header: one that a kernel can
/// cut. Of what is inside of a tunnel it does not hear from us.
pub(crate) fn is_plain(frame: &Frame) -> bool {
    Layout::parse(frame.data(), frame.offload()).is_some()
}

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
            if checksum_end(csum) > MAX_HEAD {
                return Err(BadOffload);
            }
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

/// How the headers of segments are made.
#[derive(Debug)]
enum Cut {
    /// One segment, and its head is finished.
    Not,
    Plain(Layout),
    /// Of such a frame the headers are longer than most: the only one for which memory is
    /// taken, once for all of its segments.
    Encapsulated(Box<Encapsulated>),
}

/// Most datagrams of one super-frame: Linux takes no more (`UDP_MAX_SEGMENTS`).
const MAX_DATAGRAMS: usize = 64;

/// As [`segment`], but where a UDP tunnel with checksums is outermost its datagrams come out
/// as super-frames: a kernel cuts those. Without a checksum they would get one.
pub(crate) fn outer_datagrams(frame: Frame, mut emit: impl FnMut(Frame)) -> Result<(), BadOffload> {
    let encapsulated = Encapsulated::new(frame.data(), frame.offload());
    let Some((udp, pseudo)) = encapsulated.and_then(|one| one.outer_udp(frame.data())) else {
        return segment(frame, emit);
    };
    let udp = udp.saturating_add_signed(frame.tag_change().shift().into());
    let mut segments = Segments::new(&frame)?;
    let mut buffer = BytesMut::with_capacity(segments.octets());
    let (mut count, mut size) = (0, 0);
    let mut finish = |whole: BytesMut, count: usize, size: usize| {
        emit(if count > 1 {
            datagrams(whole, udp, pseudo, size)
        } else {
            Frame::new(whole.freeze())
        });
    };
    while let Some((head, payload)) = segments.next() {
        let payload = &frame.data()[payload];
        let len = head.len() + payload.len() - (udp + UDP_LEN);
        if count == MAX_DATAGRAMS || buffer.len() + len > usize::from(u16::MAX) {
            finish(buffer.split(), count, size);
            count = 0;
        }
        if count == 0 {
            size = len;
            buffer.put_slice(head);
        } else {
            buffer.put_slice(&head[udp + UDP_LEN..]);
        }
        buffer.put_slice(payload);
        count += 1;
    }
    finish(buffer, count, size);
    Ok(())
}

/// A super-frame of datagrams of `size` octets each: `whole` is the first of them, finished,
/// and the payloads of the others.
#[expect(clippy::cast_possible_truncation, reason = "the frame is no longer than 65,535 octets")]
fn datagrams(mut whole: BytesMut, udp: usize, pseudo: u64, size: usize) -> Frame {
    let header =
        Ethernet::new_checked(&whole).and_then(|header| Some((header.payload_at(), header.ip()?)));
    if let Some((ip, is_ipv4)) = header.map(|(at, ip)| (at, ip.is_ipv4())) {
        let len = whole.len() - ip;
        let ip = &mut whole[ip..udp];
        if is_ipv4 {
            put(ip, 2, len as u16);
            put(ip, 10, 0);
            let checksum = !fold(sum(ip));
            put(ip, 10, checksum);
        } else {
            put(ip, 4, (len - IPV6_LEN) as u16);
        }
    }
    let len = whole.len() - udp;
    put(&mut whole, udp + 4, len as u16);
    put(&mut whole, udp + UDP_CSUM, fold(pseudo + len as u64));
    let csum = Some((udp as u16, UDP_CSUM as u16));
    let offload = Offload { gso: Gso::Udp, ecn: false, gso_size: size as u16, csum };
    Frame::with_offload(whole.freeze(), offload)
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
    cut: Cut,
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
            cut: Cut::Not,
            size: usize::MAX,
            count: 1,
            next: 0,
        };
        match (offload.gso, offload.csum) {
            (Gso::None, None) => {}
            (Gso::None, Some(csum)) => {
                let end = checksum_end(csum);
                if end > MAX_HEAD {
                    return Err(BadOffload);
                }
                let checksum = checksum(data, csum)?;
                let head = &mut segments.head[TAG_LEN..TAG_LEN + end];
                head.copy_from_slice(&data[..end]);
                checksum.put(head, csum);
                segments.head_len = end;
            }
            _ => {
                if let Some(layout) = Layout::parse(data, offload) {
                    segments.head_len = layout.payload;
                    segments.cut = Cut::Plain(layout);
                } else {
                    let headers = Encapsulated::new(data, offload).ok_or(BadOffload)?;
                    segments.head_len = headers.payload();
                    segments.cut = Cut::Encapsulated(Box::new(headers));
                }
                segments.size = usize::from(offload.gso_size);
                segments.count = (data.len() - segments.head_len).div_ceil(segments.size).max(1);
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
        let (headers, payload) = (&self.data[..self.head_len], &self.data[from..to]);
        let position = Position { at, offset: at * self.size, is_last: self.next == self.count };
        let head = match &mut self.cut {
            Cut::Not => &mut self.head[..TAG_LEN + self.head_len],
            Cut::Plain(layout) => {
                let head = &mut self.head[..TAG_LEN + self.head_len];
                head[TAG_LEN..].copy_from_slice(headers);
                layout.finish(&mut head[TAG_LEN..], payload, position);
                head
            }
            Cut::Encapsulated(encapsulated) => encapsulated.finish(headers, payload, position),
        };
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
pub(super) struct Position {
    pub(super) at: usize,
    /// Payload octets before it.
    pub(super) offset: usize,
    pub(super) is_last: bool,
}

/// Finishes a checksum in place. `csum`: as in [`Offload`]; the field holds the
/// sum of the pseudo-header.
pub(crate) fn finish_checksum(data: &mut [u8], csum: (u16, u16)) -> Result<(), BadOffload> {
    checksum(data, csum)?.put(data, csum);
    Ok(())
}

/// Where the field of a checksum ends, by the longest there can be.
fn checksum_end((start, offset): (u16, u16)) -> usize {
    usize::from(start) + usize::from(offset) + if offset == SCTP_CSUM { 4 } else { 2 }
}

/// A finished checksum.
enum Checksum {
    Internet(u16),
    Crc([u8; 4]),
}

impl Checksum {
    /// Writes it to `data`, whose field is there.
    fn put(&self, data: &mut [u8], (start, offset): (u16, u16)) {
        let field = usize::from(start) + usize::from(offset);
        match self {
            Self::Internet(checksum) => put(data, field, *checksum),
            Self::Crc(crc) => data[field..field + 4].copy_from_slice(crc),
        }
    }
}

/// The finished checksum of a frame that lacks one.
fn checksum(data: &[u8], (start, offset): (u16, u16)) -> Result<Checksum, BadOffload> {
    if offset == SCTP_CSUM {
        return eighth(data, start);
    }
    let (start, offset) = (usize::from(start), usize::from(offset));
    if start < HEADER_LEN || start + offset + 2 > data.len() {
        return Err(BadOffload);
    }
    let checksum = !fold(sum(&data[start..]));
    // In UDP a zero says that there is no checksum (RFC 768).
    let checksum = if checksum == 0 && offset == UDP_CSUM { 0xffff } else { checksum };
    Ok(Checksum::Internet(checksum))
}

/// A checksum at SCTP's place: that it is SCTP only the headers before it tell.
fn eighth(data: &[u8], start: u16) -> Result<Checksum, BadOffload> {
    let headers = Headers::walk(data, start.into()).ok_or(BadOffload)?;
    let (field, octets) = (usize::from(SCTP_CSUM), &data[usize::from(start)..headers.end()]);
    if octets.len() < field + 4 {
        return Err(BadOffload);
    }
    Ok(if headers.protocol() == IpNextHeaderProtocols::Sctp {
        let (before, after) = (&octets[..field], &octets[field + 4..]);
        Checksum::Crc(crc32c([before, &[0; 4], after]).to_le_bytes())
    } else {
        Checksum::Internet(!fold(sum(octets)))
    })
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
    fn parse(data: &[u8], offload: &Offload) -> Option<Self> {
        let header = Ethernet::new_checked(data)?;
        let (packet, ip) = (header.ip()?, header.payload_at());
        let (is_ipv4, transport) = (packet.is_ipv4(), ip + packet.header_len());
        let is_tcp = match (offload.gso, packet.protocol()?, is_ipv4) {
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
            && size > 0
            && payload - ip + size.min(data.len() - payload) <= usize::from(u16::MAX)
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
        let protocol =
            if self.is_tcp { IpNextHeaderProtocols::Tcp } else { IpNextHeaderProtocols::Udp };
        finish_transport(transport, payload, pseudo + u64::from(protocol.0), self.is_tcp, position);
    }
}

/// Sets in the TCP or UDP header of a segment, a copy of the super-frame's, what is
/// different there. `pseudo`: the sum of the pseudo-header but for the length; with it, it
/// comes back.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a segment's length fits 16 bits; sequence numbers wrap"
)]
pub(super) fn finish_transport(
    transport: &mut [u8],
    payload: &[u8],
    pseudo: u64,
    is_tcp: bool,
    position: Position,
) -> u64 {
    let len = transport.len() + payload.len();
    let field = if is_tcp {
        let sequence = u32::from(get(transport, 4)) << 16 | u32::from(get(transport, 6));
        let sequence = sequence.wrapping_add(position.offset as u32);
        transport[4..8].copy_from_slice(&sequence.to_be_bytes());
        let first = if position.at == 0 { 0 } else { TCP_FIRST };
        let last = if position.is_last { 0 } else { TCP_LAST };
        transport[13] &= !(first | last);
        TCP_CSUM
    } else {
        put(transport, 4, len as u16);
        UDP_CSUM
    };
    put(transport, field, 0);
    // Each part but the payload has an even length.
    let pseudo = pseudo + len as u64;
    let checksum = !fold(pseudo + sum(transport) + sum(payload));
    // As in `checksum`; for TCP both zeros are the same.
    put(transport, field, if checksum == 0 && !is_tcp { 0xffff } else { checksum });
    pseudo
}

#[cfg(test)]
pub(crate) mod tests;

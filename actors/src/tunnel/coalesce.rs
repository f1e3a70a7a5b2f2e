//! Coalescing in software, as Linux GRO does it: adjacent segments of one flow become
//! one super-frame. The inverse of [`segment`](super::segment).
//!
//! Last thing before a medium that takes super-frames. It looks at frames that are
//! there already and holds none back, copies no payload, and passes on as it is each
//! frame whose checksum is wrong: a super-frame vouches for its segments.

use super::{
    checksum::{fold, sum},
    segment::{
        ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTOCOL_TCP, PROTOCOL_UDP, TCP_CSUM, TCP_FIRST, TCP_LAST,
        UDP_CSUM, get, put,
    },
};
use crate::{
    frame::{Frame, Gso, HEADER_LEN, Offload},
    message::BATCH_FRAMES,
};

/// Most segments of one super-frame: no batch holds more, and `writev` takes 1024.
const MAX_SEGMENTS: usize = BATCH_FRAMES;

/// Longest super-frame, headers and all: what an IP length can tell, and less than
/// [`MAX_FRAME_LEN`](crate::frame::MAX_FRAME_LEN) with a VLAN tag as well.
const MAX_OCTETS: usize = 65_535;

/// Ethernet, a VLAN tag, IPv6, TCP with all its options.
const MAX_HEADERS: usize = HEADER_LEN + 4 + 40 + 60;

/// IPv4 flags and fragment offset of a packet that is whole: DF at most (RFC 791).
const DONT_FRAGMENT: u16 = 0x4000;

/// TCP flags that a segment may have: CWR, ECE, ACK, PSH, FIN. Others are no matter
/// of bulk data.
const TCP_FLAGS: u8 = 0x80 | 0x40 | 0x10 | 0x08 | 0x01;

/// Finds super-frames in batches of frames.
#[derive(Debug)]
pub(crate) struct Coalescer {
    udp: bool,
    head: [u8; MAX_HEADERS],
}

/// Frames that leave as one.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// What it took from the front of the slice: one frame, or segments of one flow.
    pub(crate) frames: &'a [Frame],
    /// The super-frame's headers; empty for one frame.
    pub(crate) head: &'a [u8],
    /// What is left to be done on it.
    pub(crate) offload: Offload,
}

impl<'a> Group<'a> {
    /// What follows the head: the payload of each segment, or the one frame's octets.
    pub(crate) fn parts(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let headers = self.head.len();
        self.frames.iter().map(move |frame| &frame.data()[headers..])
    }

    /// All of it in order, the headers in the first slice: what one write takes.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Some(self.head).filter(|head| !head.is_empty()).into_iter().chain(self.parts())
    }

    fn alone(frames: &'a [Frame]) -> Self {
        let frames = &frames[..frames.len().min(1)];
        let offload = frames.first().map_or(Offload::NONE, |frame| *frame.offload());
        Self { frames, head: &[], offload }
    }
}

impl Coalescer {
    /// With `udp` if the medium takes datagrams too ([`Gso::Udp`]).
    pub(crate) const fn new(udp: bool) -> Self {
        Self { udp, head: [0; MAX_HEADERS] }
    }

    /// The group at the front of `frames`; it has a frame if there is one.
    pub(crate) fn next<'a>(&'a mut self, frames: &'a [Frame]) -> Group<'a> {
        let Some(run) = self.run(frames) else { return Group::alone(frames) };
        let head = &mut self.head[..run.first.payload];
        run.write_head(head);
        Group { frames: &frames[..run.count], head, offload: run.offload() }
    }

    /// Two segments or more. A frame's checksum costs more than all else: it is
    /// looked at only when its headers and those of a neighbor fit.
    fn run<'a>(&self, frames: &'a [Frame]) -> Option<Run<'a>> {
        let (first, frames) = frames.split_first()?;
        let mut run = Run::begin(Segment::parse(first, self.udp)?);
        for frame in frames.iter().take(MAX_SEGMENTS - 1) {
            let Some(next) = Segment::parse(frame, self.udp).filter(|next| run.accepts(next))
            else {
                break;
            };
            if (run.count == 1 && !run.first.is_intact()) || !next.is_intact() {
                break;
            }
            run.push(next);
        }
        (run.count > 1).then_some(run)
    }
}

/// Checked view of a frame that may be a segment: a whole TCP or UDP packet that has
/// payload and ends where the frame ends.
#[derive(Debug, Clone, Copy)]
struct Segment<'a> {
    data: &'a [u8],
    is_tcp: bool,
    is_ipv4: bool,
    /// Offsets of the IP header, the TCP or UDP header, and its payload.
    ip: usize,
    transport: usize,
    payload: usize,
}

impl<'a> Segment<'a> {
    fn parse(frame: &'a Frame, udp: bool) -> Option<Self> {
        if !frame.offload().is_none() {
            return None;
        }
        let (data, ethernet) = (frame.data(), frame.header()?);
        let ip = HEADER_LEN + if ethernet.is_tagged() { 4 } else { 0 };
        let (is_ipv4, transport, protocol, len) = match ethernet.ethertype() {
            ETHERTYPE_IPV4 => {
                let header = data.get(ip..ip + 20)?;
                if header[0] != 0x45 || get(header, 6) & !DONT_FRAGMENT != 0 {
                    return None;
                }
                (true, ip + 20, header[9], usize::from(get(header, 2)))
            }
            ETHERTYPE_IPV6 => {
                let header = data.get(ip..ip + 40)?;
                if header[0] >> 4 != 6 {
                    return None;
                }
                (false, ip + 40, header[6], 40 + usize::from(get(header, 4)))
            }
            _ => return None,
        };
        let (is_tcp, header_len) = match protocol {
            PROTOCOL_TCP => {
                let header = data.get(transport..transport + 20)?;
                if header[13] & !TCP_FLAGS != 0 {
                    return None;
                }
                (true, usize::from(header[12] >> 4) * 4)
            }
            PROTOCOL_UDP if udp => {
                let header = data.get(transport..transport + 8)?;
                if usize::from(get(header, 4)) != data.len() - transport {
                    return None;
                }
                (false, 8)
            }
            _ => return None,
        };
        let payload = transport + header_len;
        // Octets behind the packet are padding, which no super-frame could give back.
        let fits = len == data.len() - ip && (!is_tcp || header_len >= 20) && payload < data.len();
        fits.then_some(Self { data, is_tcp, is_ipv4, ip, transport, payload })
    }

    const fn len(&self) -> usize {
        self.data.len() - self.payload
    }

    const fn tcp_flags(&self) -> u8 {
        if self.is_tcp { self.data[self.transport + 13] } else { 0 }
    }

    fn sequence(&self) -> u32 {
        u32::from(get(self.data, self.transport + 4)) << 16
            | u32::from(get(self.data, self.transport + 6))
    }

    /// Whether the headers are the same but for what differs between the segments of
    /// one super-frame: lengths, checksums, identification, sequence number, CWR, PSH
    /// and FIN.
    fn is_like(&self, other: &Self) -> bool {
        let (ip, tcp) = (self.ip, self.transport);
        let same = |from: usize, to: usize| self.data[from..to] == other.data[from..to];
        let flags = (self.tcp_flags() ^ other.tcp_flags()) & !(TCP_FIRST | TCP_LAST);
        (self.payload, self.transport, self.is_tcp) == (other.payload, tcp, other.is_tcp)
            && same(0, ip)
            && if self.is_ipv4 {
                same(ip, ip + 2) && same(ip + 6, ip + 10) && same(ip + 12, tcp + 4)
            } else {
                same(ip, ip + 4) && same(ip + 6, tcp + 4)
            }
            && (!self.is_tcp
                || same(tcp + 8, tcp + 13)
                    && flags == 0
                    && same(tcp + 14, tcp + 16)
                    && same(tcp + 18, self.payload))
    }

    /// Whether its checksums are right, and written as `segment` writes them: of the
    /// two zeros of ones' complement a TCP or IPv4 checksum is +0, and a UDP checksum
    /// -0, as +0 says that there is none (RFC 768).
    fn is_intact(&self) -> bool {
        let (headers, transport) = self.data.split_at(self.transport);
        let ip = &headers[self.ip..];
        if self.is_ipv4 && (fold(sum(ip)) != 0xffff || get(ip, 10) == 0xffff) {
            return false;
        }
        let (field, other_zero) = if self.is_tcp { (TCP_CSUM, 0xffff) } else { (UDP_CSUM, 0) };
        get(transport, field) != other_zero
            && fold(pseudo_header(ip, self.is_tcp, transport.len()) + sum(transport)) == 0xffff
    }
}

/// Segments that become one super-frame.
#[derive(Debug)]
struct Run<'a> {
    first: Segment<'a>,
    last: Segment<'a>,
    count: usize,
    /// Of the super-frame so far.
    octets: usize,
    /// From one IPv4 identification to the next.
    id_step: u16,
}

impl<'a> Run<'a> {
    const fn begin(first: Segment<'a>) -> Self {
        Self { first, last: first, count: 1, octets: first.data.len(), id_step: 0 }
    }

    /// Whether `next`, if it is intact, is the next segment.
    fn accepts(&self, next: &Segment<'_>) -> bool {
        let is_open = self.last.tcp_flags() & TCP_LAST == 0 && self.last.len() == self.first.len();
        is_open
            && next.len() <= self.first.len()
            && self.octets + next.len() <= MAX_OCTETS
            && next.tcp_flags() & TCP_FIRST == 0
            && next.is_like(&self.first)
            && (!next.is_tcp || self.sequence_follows(next))
            && (!next.is_ipv4 || self.id_follows(next))
    }

    #[expect(clippy::cast_possible_truncation, reason = "no payload is longer than 16 bits tell")]
    fn sequence_follows(&self, next: &Segment<'_>) -> bool {
        next.sequence() == self.last.sequence().wrapping_add(self.last.len() as u32)
    }

    /// Identifications count up as `segment` lets them. Where DF is set they have no
    /// meaning (RFC 6864, 4.1) and may all be the same: some systems send zeros.
    fn id_follows(&self, next: &Segment<'_>) -> bool {
        let step = self.id_step(next);
        let may_be_fixed = get(next.data, next.ip + 6) & DONT_FRAGMENT != 0;
        let is_known = step == 1 || (step == 0 && may_be_fixed);
        is_known && (self.count == 1 || step == self.id_step)
    }

    fn id_step(&self, next: &Segment<'_>) -> u16 {
        get(next.data, next.ip + 4).wrapping_sub(get(self.last.data, self.last.ip + 4))
    }

    fn push(&mut self, next: Segment<'a>) {
        self.id_step = if next.is_ipv4 { self.id_step(&next) } else { 0 };
        self.octets += next.len();
        self.count += 1;
        self.last = next;
    }

    /// Headers of the first segment, lengths of the whole, PSH and FIN of the last;
    /// for a checksum the sum of the pseudo-header.
    #[expect(clippy::cast_possible_truncation, reason = "no length is over MAX_OCTETS")]
    fn write_head(&self, head: &mut [u8]) {
        let Segment { is_tcp, is_ipv4, .. } = self.first;
        head.copy_from_slice(&self.first.data[..head.len()]);
        let (headers, transport) = head.split_at_mut(self.first.transport);
        let ip = &mut headers[self.first.ip..];
        let len = self.octets - self.first.ip;
        if is_ipv4 {
            put(ip, 2, len as u16);
            put(ip, 10, 0);
            let checksum = !fold(sum(ip));
            put(ip, 10, checksum);
        } else {
            put(ip, 4, (len - ip.len()) as u16);
        }
        let len = len - ip.len();
        let pseudo_header = fold(pseudo_header(ip, is_tcp, len));
        if is_tcp {
            transport[13] |= self.last.tcp_flags() & TCP_LAST;
            put(transport, TCP_CSUM, pseudo_header);
        } else {
            put(transport, 4, len as u16);
            put(transport, UDP_CSUM, pseudo_header);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "no length is over MAX_OCTETS")]
    fn offload(&self) -> Offload {
        let (gso, field) = match (self.first.is_tcp, self.first.is_ipv4) {
            (true, true) => (Gso::Tcp4, TCP_CSUM),
            (true, false) => (Gso::Tcp6, TCP_CSUM),
            (false, _) => (Gso::Udp, UDP_CSUM),
        };
        Offload {
            gso,
            ecn: self.first.tcp_flags() & TCP_FIRST != 0,
            gso_size: self.first.len() as u16,
            csum: Some((self.first.transport as u16, field as u16)),
        }
    }
}

/// Sum of the pseudo-header of a packet with this IP header and `len` octets behind
/// it: the addresses, which end both kinds of header, protocol and length.
fn pseudo_header(ip: &[u8], is_tcp: bool, len: usize) -> u64 {
    let addresses = if ip.len() == 20 { &ip[12..] } else { &ip[8..] };
    let protocol = if is_tcp { PROTOCOL_TCP } else { PROTOCOL_UDP };
    sum(addresses) + u64::from(protocol) + len as u64
}

#[cfg(test)]
mod tests;

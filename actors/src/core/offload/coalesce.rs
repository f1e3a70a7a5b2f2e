//! Coalescing in software, as Linux GRO does it: adjacent segments of one flow become
//! one super-frame. The inverse of [`segment`](super::segment).
//!
//! First thing behind the codec: the switch sees, looks up and queues the super-frame
//! alone. Messages are joined where they were read, each payload moved to the end of
//! the one before it. Only what has been read already is looked at, so no frame waits
//! for another, and each frame whose checksum is wrong passes as it is: a super-frame
//! vouches for its segments. Of a message that says which work is left on it, as between two
//! ends that pass super-frames whole, a checksum that is still to be computed need not be
//! verified, and a super-frame is joined as its segments would be.

use std::ops::Range;

use super::{
    checksum::{fold, sum},
    segment::{TCP_CSUM, TCP_FIRST, TCP_LAST, UDP_CSUM},
};
use crate::core::{
    frame::{Gso, Offload},
    packet::{
        Ethernet, IPV4_LEN, IPV6_LEN, IpNextHeaderProtocols, UDP_LEN, get, put, tcp_header_len,
    },
};

/// Most segments of one super-frame: Linux takes no more datagrams in one
/// (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: usize = 64;

/// Longest super-frame, headers and all: what an IP length can tell, and less than
/// [`MAX_FRAME_LEN`](crate::core::frame::MAX_FRAME_LEN) with a VLAN tag more as well.
const MAX_OCTETS: usize = 65_535;

/// IPv4 flags and fragment offset of a packet that is whole: DF at most (RFC 791).
const DONT_FRAGMENT: u16 = 0x4000;

/// TCP flags that a segment may have: CWR, ECE, ACK, PSH, FIN. Others are no matter
/// of bulk data.
const TCP_FLAGS: u8 = 0x80 | 0x40 | 0x10 | 0x08 | 0x01;

/// Joins the messages of a block, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    last: Option<Open>,
}

/// A frame or super-frame that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Where in the block its octets stand.
    pub(crate) place: Range<usize>,
    /// What is left to be done on it.
    pub(crate) offload: Offload,
}

impl Coalescer {
    /// Takes the next message of `block`, which stands behind all that came before it, with the
    /// work that is left on it. Gives the frame before it, if that is complete now.
    pub(crate) fn push(
        &mut self,
        block: &mut [u8],
        message: Range<usize>,
        offload: Offload,
    ) -> Option<Joined> {
        if let Some(last) = &mut self.last
            && last.join(block, message.clone(), &offload)
        {
            return None;
        }
        let done = self.finish(block);
        let segment = Segment::parse(&block[message.clone()], &offload);
        let run = segment.map(|segment| Run::begin(&segment));
        self.last = Some(Open { place: message, offload, run });
        done
    }

    /// The last frame: no more messages come in this block.
    pub(crate) fn finish(&mut self, block: &mut [u8]) -> Option<Joined> {
        let Open { place, offload, run } = self.last.take()?;
        let offload = run.filter(|run| run.messages > 1).map_or(offload, |run| {
            let whole = &mut block[place.clone()];
            run.write_head(whole);
            run.offload(whole)
        });
        Some(Joined { place, offload })
    }
}

/// A frame that the next message may be part of.
#[derive(Debug)]
struct Open {
    place: Range<usize>,
    /// Of its first message.
    offload: Offload,
    /// `None`: it is no segment, and stays alone.
    run: Option<Run>,
}

impl Open {
    /// Appends the segment at `message`, if it is the next of the same flow. A frame's
    /// checksum costs more than all else: it is looked at only when its headers and
    /// those of a neighbor fit.
    fn join(&mut self, block: &mut [u8], message: Range<usize>, offload: &Offload) -> bool {
        let Some(run) = &mut self.run else { return false };
        let Some(next) = Segment::parse(&block[message.clone()], offload) else { return false };
        let whole = &block[self.place.clone()];
        if !run.accepts(whole, &next)
            || (run.messages == 1 && !run.first.of(whole).is_intact())
            || !next.is_intact()
        {
            return false;
        }
        run.push(&next);
        let payload = message.start + next.layout.payload..message.end;
        let end = self.place.end;
        self.place.end += payload.len();
        block.copy_within(payload, end);
        true
    }
}

/// What of a frame's layout matters to its flow. Offsets are from its first octet.
#[derive(Debug, Clone, Copy)]
struct Layout {
    is_tcp: bool,
    is_ipv4: bool,
    /// The IP header, the TCP or UDP header, and its payload.
    ip: usize,
    transport: usize,
    payload: usize,
    /// Where the frame ends.
    end: usize,
    /// Payload octets of each of its segments but the last.
    size: usize,
    /// Whether its checksum is still to be computed: there is none to verify.
    lacks_checksum: bool,
}

impl Layout {
    /// The view of this segment, which `whole` begins with.
    fn of(self, whole: &[u8]) -> Segment<'_> {
        Segment { data: &whole[..self.end], layout: self }
    }

    const fn len(&self) -> usize {
        self.end - self.payload
    }

    /// Segments that it is: one, if it is no super-frame.
    const fn count(&self) -> usize {
        self.len().div_ceil(self.size)
    }

    /// Payload octets of the last of them.
    const fn last_len(&self) -> usize {
        self.len() - (self.count() - 1) * self.size
    }

    /// What is the same in all segments of a flow.
    const fn shape(&self) -> (bool, bool, usize, usize, usize) {
        (self.is_tcp, self.is_ipv4, self.ip, self.transport, self.payload)
    }
}

/// Checked view of a frame that may be a segment, or several: a whole TCP or UDP packet that
/// has payload and ends where the frame ends.
#[derive(Debug, Clone, Copy)]
struct Segment<'a> {
    data: &'a [u8],
    layout: Layout,
}

/// The super-frame that TCP or UDP over IPv4 or IPv6 may be, and where from the beginning of its
/// header the checksum stands.
const fn kind(is_tcp: bool, is_ipv4: bool) -> (Gso, usize) {
    match (is_tcp, is_ipv4) {
        (true, true) => (Gso::Tcp4, TCP_CSUM),
        (true, false) => (Gso::Tcp6, TCP_CSUM),
        (false, _) => (Gso::Udp, UDP_CSUM),
    }
}

impl<'a> Segment<'a> {
    fn parse(data: &'a [u8], offload: &Offload) -> Option<Self> {
        let header = Ethernet::new_checked(data)?;
        let (packet, ip) = (header.ip()?, header.payload_at());
        let (is_ipv4, transport) = (packet.is_ipv4(), ip + packet.header_len());
        // Neither options nor extension headers, of flags DF at most.
        let is_plain = if is_ipv4 {
            packet.header_len() == IPV4_LEN && get(data, ip + 6) & !DONT_FRAGMENT == 0
        } else {
            packet.header_len() == IPV6_LEN
        };
        if !is_plain {
            return None;
        }
        let (is_tcp, header_len) = match packet.protocol()? {
            IpNextHeaderProtocols::Tcp => {
                let header_len = tcp_header_len(packet.payload())?;
                if packet.payload()[13] & !TCP_FLAGS != 0 {
                    return None;
                }
                (true, header_len)
            }
            IpNextHeaderProtocols::Udp => {
                let udp: &[u8; UDP_LEN] = packet.payload().first_chunk()?;
                if usize::from(get(udp, 4)) != data.len() - transport {
                    return None;
                }
                (false, UDP_LEN)
            }
            _ => return None,
        };
        let (payload, end) = (transport + header_len, data.len());
        // Octets behind the packet are padding, which no super-frame could give back.
        let fits = packet.total_len() == end - ip && payload < end;
        let (gso, field) = kind(is_tcp, is_ipv4);
        let lacks_checksum = offload.csum.is_some();
        let size = match offload.gso {
            Gso::None => end.checked_sub(payload)?,
            is if is == gso && lacks_checksum => usize::from(offload.gso_size),
            _ => return None,
        };
        let is_its_own = offload.csum.is_none_or(|(start, offset)| {
            usize::from(start) == transport && usize::from(offset) == field
        });
        (fits && is_its_own && size > 0).then_some(Self {
            data,
            layout: Layout { is_tcp, is_ipv4, ip, transport, payload, end, size, lacks_checksum },
        })
    }

    const fn tcp_flags(&self) -> u8 {
        if self.layout.is_tcp { self.data[self.layout.transport + 13] } else { 0 }
    }

    /// The sequence number; 0 in UDP.
    fn sequence(&self) -> u32 {
        let at = self.layout.transport + 4;
        let (high, low) = (get(self.data, at), get(self.data, at + 2));
        if self.layout.is_tcp { u32::from(high) << 16 | u32::from(low) } else { 0 }
    }

    /// The identification; 0 in IPv6.
    fn id(&self) -> u16 {
        if self.layout.is_ipv4 { get(self.data, self.layout.ip + 4) } else { 0 }
    }

    /// Whether the headers are the same but for what differs between the segments of
    /// one super-frame: lengths, checksums, identification, sequence number, CWR, PSH
    /// and FIN.
    fn is_like(&self, other: &Self) -> bool {
        let Layout { is_tcp, is_ipv4, ip, transport: tcp, payload, .. } = self.layout;
        let same = |from: usize, to: usize| self.data[from..to] == other.data[from..to];
        let flags = (self.tcp_flags() ^ other.tcp_flags()) & !(TCP_FIRST | TCP_LAST);
        self.layout.shape() == other.layout.shape()
            && same(0, ip)
            && if is_ipv4 {
                same(ip, ip + 2) && same(ip + 6, ip + 10) && same(ip + 12, tcp + 4)
            } else {
                same(ip, ip + 4) && same(ip + 6, tcp + 4)
            }
            && (!is_tcp
                || same(tcp + 8, tcp + 13)
                    && flags == 0
                    && same(tcp + 14, tcp + 16)
                    && same(tcp + 18, payload))
    }

    /// Whether its checksums are right, as far as they are there, and written as `segment`
    /// writes them: of the two zeros of ones' complement a TCP or IPv4 checksum is +0, and a UDP checksum
    /// -0, as +0 says that there is none (RFC 768).
    fn is_intact(&self) -> bool {
        let Layout { is_tcp, is_ipv4, ip, transport, lacks_checksum, .. } = self.layout;
        let (headers, transport) = self.data.split_at(transport);
        let ip = &headers[ip..];
        if is_ipv4 && (fold(sum(ip)) != 0xffff || get(ip, 10) == 0xffff) {
            return false;
        }
        if lacks_checksum {
            return true;
        }
        let (field, other_zero) = if is_tcp { (TCP_CSUM, 0xffff) } else { (UDP_CSUM, 0) };
        get(transport, field) != other_zero
            && fold(pseudo_header(ip, is_tcp, transport.len()) + sum(transport)) == 0xffff
    }
}

/// Segments that are one super-frame, and what the next of them has to be like.
#[derive(Debug)]
struct Run {
    first: Layout,
    messages: usize,
    /// Segments.
    count: usize,
    /// Of the super-frame so far.
    octets: usize,
    /// Payload octets, TCP flags and identification of the last segment.
    last_len: usize,
    last_flags: u8,
    last_id: u16,
    /// Sequence number behind the last segment.
    sequence: u32,
    /// From one IPv4 identification to the next.
    id_step: u16,
}

#[expect(clippy::cast_possible_truncation, reason = "no length is over MAX_OCTETS")]
impl Run {
    fn begin(first: &Segment<'_>) -> Self {
        let mut run = Self {
            first: first.layout,
            messages: 0,
            count: 0,
            octets: first.layout.payload,
            last_len: 0,
            last_flags: 0,
            last_id: 0,
            sequence: 0,
            id_step: 0,
        };
        run.push(first);
        run
    }

    /// Whether `next`, if it is intact, is the next segment behind those of `whole`.
    fn accepts(&self, whole: &[u8], next: &Segment<'_>) -> bool {
        let (size, count) = (self.first.size, next.layout.count());
        self.count + count <= MAX_SEGMENTS
            && self.last_flags & TCP_LAST == 0
            && self.last_len == size
            && if count > 1 { next.layout.size == size } else { next.layout.len() <= size }
            && self.octets + next.layout.len() <= MAX_OCTETS
            && next.tcp_flags() & TCP_FIRST == 0
            && (!next.layout.is_tcp || next.sequence() == self.sequence)
            && next.is_like(&self.first.of(whole))
            && (!next.layout.is_ipv4 || self.id_follows(next))
    }

    /// Identifications count up as `segment` lets them. Where DF is set they have no
    /// meaning (RFC 6864, 4.1) and may all be the same: some systems send zeros.
    fn id_follows(&self, next: &Segment<'_>) -> bool {
        let step = next.id().wrapping_sub(self.last_id);
        let may_be_fixed = get(next.data, next.layout.ip + 6) & DONT_FRAGMENT != 0;
        // Those of a super-frame count up.
        let is_known = step == 1 || (step == 0 && may_be_fixed && next.layout.count() == 1);
        is_known && (self.count == 1 || step == self.id_step)
    }

    fn push(&mut self, next: &Segment<'_>) {
        let (len, count) = (next.layout.len(), next.layout.count());
        self.id_step = if count > 1 { 1 } else { next.id().wrapping_sub(self.last_id) };
        self.last_id = next.id().wrapping_add((count - 1) as u16);
        self.last_len = next.layout.last_len();
        self.last_flags = next.tcp_flags();
        self.sequence = next.sequence().wrapping_add(len as u32);
        self.octets += len;
        self.count += count;
        self.messages += 1;
    }

    /// Makes the headers of `whole`, which are those of the first segment, the
    /// super-frame's: lengths of the whole, PSH and FIN of the last; for a checksum the
    /// sum of the pseudo-header.
    fn write_head(&self, whole: &mut [u8]) {
        let Layout { is_tcp, is_ipv4, ip, transport, .. } = self.first;
        let (headers, transport) = whole.split_at_mut(transport);
        let ip = &mut headers[ip..];
        let transport_len = transport.len();
        if is_ipv4 {
            put(ip, 2, (ip.len() + transport_len) as u16);
            put(ip, 10, 0);
            let checksum = !fold(sum(ip));
            put(ip, 10, checksum);
        } else {
            put(ip, 4, transport_len as u16);
        }
        let pseudo_header = fold(pseudo_header(ip, is_tcp, transport_len));
        if is_tcp {
            transport[13] |= self.last_flags & TCP_LAST;
            put(transport, TCP_CSUM, pseudo_header);
        } else {
            put(transport, 4, transport_len as u16);
            put(transport, UDP_CSUM, pseudo_header);
        }
    }

    /// What makes segments of the super-frame again. CWR stays where it is, in the
    /// first segment.
    fn offload(&self, whole: &[u8]) -> Offload {
        let first = self.first.of(whole);
        let (gso, field) = kind(self.first.is_tcp, self.first.is_ipv4);
        Offload {
            gso,
            ecn: first.tcp_flags() & TCP_FIRST != 0,
            gso_size: self.first.size as u16,
            csum: Some((self.first.transport as u16, field as u16)),
        }
    }
}

/// Sum of the pseudo-header of a packet with this IP header and `len` octets behind
/// it: the addresses, which end both kinds of header, protocol and length.
fn pseudo_header(ip: &[u8], is_tcp: bool, len: usize) -> u64 {
    let addresses = if ip.len() == IPV4_LEN { &ip[12..] } else { &ip[8..] };
    let protocol = if is_tcp { IpNextHeaderProtocols::Tcp } else { IpNextHeaderProtocols::Udp };
    sum(addresses) + u64::from(protocol.0) + len as u64
}

#[cfg(test)]
pub(crate) mod tests;

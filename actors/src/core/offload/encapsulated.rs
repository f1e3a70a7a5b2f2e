//! Super-frames inside of a tunnel: VXLAN, Geneve, GTP-U, GRE, IP in IP, MPLS, PPPoE, and
//! one in another. Their kernel tells of the innermost TCP or UDP header alone; lengths,
//! identifications and checksums of the headers before it change with each segment too.
//!
//! Beside [`segment`](super::segment), for frames whose checksum begins elsewhere than
//! behind the first IP header. All headers up to there are read one by one; where one of
//! them is unknown, or does not fit, the frame is not cut: who guesses damages.

use super::{
    checksum::{fold, sum},
    segment::{MAX_SEGMENTS, Position, TCP_CSUM, UDP_CSUM, finish_transport, is_plain},
};
use crate::core::{
    frame::{Frame, Gso, Offload},
    packet::{
        ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, IPV6_LEN, Ip, IpNextHeaderProtocol,
        IpNextHeaderProtocols, TAG_LEN, UDP_LEN, get, put, tcp_header_len,
    },
};

/// Most octets before the payload: Geneve with all of its options (260), over and under
/// IPv6 with tags and a full TCP header (216), and room for extension headers.
const MAX_HEAD: usize = 512;

/// Most headers with something to mend: two tunnels, one in the other, have eight.
const MAX_LAYERS: usize = 12;

/// Most labels of an MPLS stack: more than any network has.
const MAX_LABELS: usize = 8;

const ETHERTYPE_TEB: u16 = 0x6558;
const ETHERTYPE_MPLS: [u16; 2] = [0x8847, 0x8848];
const ETHERTYPE_PPPOE: u16 = 0x8864;

/// A header that changes with each segment.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Total length, identification, checksum.
    Ipv4,
    /// Payload length.
    Ipv6,
    /// Length, and the checksum if there is one: then the sum of its pseudo-header but for
    /// the length.
    Udp(Option<u64>),
    /// The checksum (RFC 2784).
    Gre,
    /// The length (RFC 2516).
    Pppoe,
    /// The length (3GPP TS 29.281, 5.1).
    Gtp,
}

/// The headers of a frame up to one place.
#[derive(Debug)]
pub(super) struct Headers {
    layers: [(usize, Kind); MAX_LAYERS],
    count: usize,
    /// What stands at that place, and the sum of its pseudo-header's addresses; `None`
    /// where a routing header hides one.
    protocol: IpNextHeaderProtocol,
    addresses: Option<u64>,
    /// Where the packet ends: behind it is padding.
    end: usize,
}

/// What comes next.
enum Next {
    Ethernet,
    /// Of this EtherType.
    Type(u16),
    /// Of this IP protocol, in a packet whose addresses have this sum.
    Protocol(IpNextHeaderProtocol, Option<u64>),
}

impl Headers {
    /// Reads all headers up to `to`, where an IP packet's payload must begin.
    pub(super) fn walk(data: &[u8], to: usize) -> Option<Self> {
        let mut headers = Self {
            layers: [(0, Kind::Pppoe); MAX_LAYERS],
            count: 0,
            protocol: IpNextHeaderProtocols::Reserved,
            addresses: None,
            end: data.len(),
        };
        let (mut at, mut next) = (0, Next::Ethernet);
        // Each step passes four octets at least.
        while at < to {
            (at, next) = headers.step(data, at, next)?;
        }
        let Next::Protocol(protocol, addresses) = next else { return None };
        (headers.protocol, headers.addresses) = (protocol, addresses);
        (at == to && at <= headers.end).then_some(headers)
    }

    /// Octets of the packet end there.
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    /// What begins where the walk ended.
    pub(super) const fn protocol(&self) -> IpNextHeaderProtocol {
        self.protocol
    }

    /// Whether the innermost IP header is of version 4.
    fn is_inner_ipv4(&self) -> bool {
        let mut ip = self.layers[..self.count].iter().rev();
        ip.find(|(_, kind)| matches!(kind, Kind::Ipv4 | Kind::Ipv6))
            .is_some_and(|(_, kind)| matches!(kind, Kind::Ipv4))
    }

    /// Passes the header at `at`: where the next begins, and what it is.
    fn step(&mut self, data: &[u8], at: usize, next: Next) -> Option<(usize, Next)> {
        let octets = data.get(at..self.end)?;
        match next {
            Next::Ethernet => {
                let header = Ethernet::new_checked(octets)?;
                Some((at + header.payload_at(), Next::Type(header.ethertype())))
            }
            Next::Type(ethertype @ (ETHERTYPE_IPV4 | ETHERTYPE_IPV6)) => {
                let ip = Ip::new_checked(ethertype, octets)?;
                self.push(at, if ip.is_ipv4() { Kind::Ipv4 } else { Kind::Ipv6 })?;
                self.ends(at, ip.total_len())?;
                let addresses = Some(sum(ip.addresses()));
                Some((at + ip.header_len(), Next::Protocol(ip.protocol()?, addresses)))
            }
            Next::Type(ETHERTYPE_PPPOE) => {
                let head: &[u8; 8] = octets.first_chunk()?;
                self.push(at, Kind::Pppoe)?;
                self.ends(at, 6 + usize::from(get(head, 4)))?;
                // Version, type and code of a session; then PPP's protocol, in full.
                let ethertype = match (get(head, 0), get(head, 6)) {
                    (0x1100, 0x0021) => ETHERTYPE_IPV4,
                    (0x1100, 0x0057) => ETHERTYPE_IPV6,
                    _ => return None,
                };
                Some((at + 8, Next::Type(ethertype)))
            }
            Next::Type(ethertype) if ETHERTYPE_MPLS.contains(&ethertype) => {
                let (labels, _) = octets.as_chunks::<4>();
                let is_last = |label: &[u8; 4]| label[2] & 1 == 1;
                let len = 4 * (labels.iter().take(MAX_LABELS).position(is_last)? + 1);
                Some((at + len, Next::Type(ip_type(octets.get(len..)?)?)))
            }
            Next::Protocol(IpNextHeaderProtocols::Udp, addresses) => {
                let head: &[u8; UDP_LEN] = octets.first_chunk()?;
                let checksum = get(head, UDP_CSUM);
                let pseudo = self.pseudo(IpNextHeaderProtocols::Udp, addresses, at, checksum);
                self.push(at, Kind::Udp((checksum > 0).then_some(pseudo)))?;
                self.ends(at, get(head, 4).into())?;
                self.behind_udp(&octets[UDP_LEN..], at + UDP_LEN)
            }
            Next::Protocol(IpNextHeaderProtocols::Gre, _) => {
                let head: &[u8; 4] = octets.first_chunk()?;
                let flags = get(head, 0);
                // Checksum and key; a sequence number would be another in each segment.
                if flags & !0xa000 != 0 {
                    return None;
                }
                if flags & 0x8000 != 0 {
                    self.push(at, Kind::Gre)?;
                }
                let len = 4 + 4 * usize::try_from(flags.count_ones()).ok()?;
                Some((at + len, ethernet_or(get(head, 2))))
            }
            Next::Protocol(IpNextHeaderProtocols::Ipv4, _) => {
                self.step(data, at, Next::Type(ETHERTYPE_IPV4))
            }
            Next::Protocol(IpNextHeaderProtocols::Ipv6, _) => {
                self.step(data, at, Next::Type(ETHERTYPE_IPV6))
            }
            Next::Protocol(IpNextHeaderProtocols::MplsInIp, _) => {
                self.step(data, at, Next::Type(ETHERTYPE_MPLS[0]))
            }
            Next::Protocol(IpNextHeaderProtocols::Ipv6Route, _) => {
                let [next, units] = *octets.first_chunk()?;
                let len = (usize::from(units) + 1) * 8;
                Some((at + len, Next::Protocol(IpNextHeaderProtocol(next), None)))
            }
            Next::Protocol(IpNextHeaderProtocols::Ipv6Opts, addresses) => {
                let [next, units] = *octets.first_chunk()?;
                let len = (usize::from(units) + 1) * 8;
                Some((at + len, Next::Protocol(IpNextHeaderProtocol(next), addresses)))
            }
            _ => None,
        }
    }

    /// What is in a datagram that begins with `octets`, by its form: ports are chosen
    /// freely. No two of these forms have a first octet and a second one in common.
    fn behind_udp(&mut self, octets: &[u8], at: usize) -> Option<(usize, Next)> {
        let head: &[u8; 8] = octets.first_chunk()?;
        match head {
            // VXLAN (RFC 7348, 5); with a group policy; the generic one with a protocol.
            [0x08, 0, 0, 0, ..] | [0x88, ..] if head[1] & 0x20 == 0 => {
                Some((at + 8, Next::Ethernet))
            }
            [0x0c, 0, 0, 1, ..] => Some((at + 8, Next::Type(ETHERTYPE_IPV4))),
            [0x0c, 0, 0, 2, ..] => Some((at + 8, Next::Type(ETHERTYPE_IPV6))),
            [0x0c, 0, 0, 3, ..] => Some((at + 8, Next::Ethernet)),
            // Geneve (RFC 8926, 3.4): version 0, length of its options, two flags.
            [0..0x40, 0 | 0x40 | 0x80 | 0xc0, ..] if get(head, 2) != 0 => {
                Some((at + 8 + 4 * usize::from(head[0]), ethernet_or(get(head, 2))))
            }
            // GTP-U version 1, a G-PDU without numbers; perhaps with extension headers.
            [0x30 | 0x34, 0xff, ..] => {
                self.push(at, Kind::Gtp)?;
                self.ends(at, 8 + usize::from(get(head, 2)))?;
                let mut len = 8;
                if head[0] == 0x34 {
                    len = 12;
                    // Each ends with the type of the next, and begins with its length.
                    while *octets.get(len - 1)? != 0 {
                        len += 4 * usize::from(*octets.get(len).filter(|units| **units > 0)?);
                    }
                }
                Some((at + len, Next::Type(ip_type(octets.get(len..)?)?)))
            }
            // An IP packet as it is (FOU).
            [0x45..=0x4f | 0x60..=0x6f, ..] => Some((at, Next::Type(ip_type(octets)?))),
            _ => None,
        }
    }

    fn push(&mut self, at: usize, kind: Kind) -> Option<()> {
        *self.layers.get_mut(self.count)? = (at, kind);
        self.count += 1;
        Some(())
    }

    /// A header at `at` says that it and what it carries are `len` octets. Of what is
    /// longer than its field can tell, it tells nothing.
    fn ends(&mut self, at: usize, len: usize) -> Option<()> {
        let is = self.end - at;
        if is <= usize::from(u16::MAX) {
            self.end = (len <= is).then_some(at + len)?;
        }
        Some(())
    }

    /// The sum of a pseudo-header but for the length. If an address is hidden, the
    /// checksum's field tells it: it holds the sum with the length.
    fn pseudo(
        &self,
        protocol: IpNextHeaderProtocol,
        addresses: Option<u64>,
        at: usize,
        field: u16,
    ) -> u64 {
        let by_field = || u64::from(field) + u64::from(!fold((self.end - at) as u64));
        addresses.map_or_else(by_field, |addresses| addresses + u64::from(protocol.0))
    }
}

/// The EtherType of the IP packet that `octets` begin with, by its version.
fn ip_type(octets: &[u8]) -> Option<u16> {
    match octets.first()? >> 4 {
        4 => Some(ETHERTYPE_IPV4),
        6 => Some(ETHERTYPE_IPV6),
        _ => None,
    }
}

const fn ethernet_or(ethertype: u16) -> Next {
    if ethertype == ETHERTYPE_TEB { Next::Ethernet } else { Next::Type(ethertype) }
}

/// A super-frame inside of a tunnel, checked against its octets.
#[derive(Debug)]
pub(super) struct Encapsulated {
    headers: Headers,
    is_tcp: bool,
    transport: usize,
    payload: usize,
    /// Sum of the innermost pseudo-header but for the length.
    pseudo: u64,
    /// Headers of the segment at hand, behind room for a tag.
    head: [u8; TAG_LEN + MAX_HEAD],
}

impl Encapsulated {
    pub(super) fn new(data: &[u8], offload: &Offload) -> Option<Self> {
        let (start, field) = offload.csum?;
        let (transport, size) = (usize::from(start), usize::from(offload.gso_size));
        let headers = Headers::walk(data, transport)?;
        let is_ipv4 = headers.is_inner_ipv4();
        let is_tcp = match (offload.gso, headers.protocol, is_ipv4) {
            (Gso::Tcp4, IpNextHeaderProtocols::Tcp, true)
            | (Gso::Tcp6, IpNextHeaderProtocols::Tcp, false) => true,
            (Gso::Udp, IpNextHeaderProtocols::Udp, _) => false,
            _ => return None,
        };
        let (len, csum) = if is_tcp {
            (tcp_header_len(&data[transport..])?, TCP_CSUM)
        } else {
            (UDP_LEN, UDP_CSUM)
        };
        let payload = transport + len;
        let fits = payload <= data.len().min(MAX_HEAD)
            && usize::from(field) == csum
            // No octets behind the packet: they would be cut as its payload.
            && headers.end == data.len()
            && size > 0
            && payload + size.min(data.len() - payload) <= usize::from(u16::MAX)
            && (data.len() - payload).div_ceil(size) <= MAX_SEGMENTS;
        if !fits {
            return None;
        }
        let field = get(data, transport + csum);
        let pseudo = headers.pseudo(headers.protocol, headers.addresses, transport, field);
        let head = [0; TAG_LEN + MAX_HEAD];
        Some(Self { headers, is_tcp, transport, payload, pseudo, head })
    }

    /// Where the payload begins.
    pub(super) const fn payload(&self) -> usize {
        self.payload
    }

    /// Where the outermost UDP header stands, behind the first IP header, and the sum of its
    /// pseudo-header but for the length; `None` without a checksum.
    pub(super) fn outer_udp(&self, data: &[u8]) -> Option<(usize, u64)> {
        let header = Ethernet::new_checked(data)?;
        let behind = header.payload_at() + header.ip()?.header_len();
        let mut layers = self.headers.layers[..self.headers.count].iter();
        layers.find_map(|layer| match *layer {
            (at, Kind::Udp(pseudo)) if at == behind => Some((at, pseudo?)),
            _ => None,
        })
    }

    /// The headers of the segment that carries `payload`, made of those of the super-frame,
    /// behind room for a tag.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a segment's lengths fit 16 bits; identifications wrap"
    )]
    pub(super) fn finish(
        &mut self,
        headers: &[u8],
        payload: &[u8],
        position: Position,
    ) -> &mut [u8] {
        let room = &mut self.head[..TAG_LEN + headers.len()];
        let head = &mut room[TAG_LEN..];
        head.copy_from_slice(headers);
        let pseudo = finish_transport(
            &mut head[self.transport..],
            payload,
            self.pseudo,
            self.is_tcp,
            position,
        );
        // `behind`: the sum of all octets from `end` on. What a checksum covers sums up to
        // the complement of its pseudo-header, so that no payload is summed twice. Each
        // header has an even length.
        let (mut end, mut behind) = (self.transport, u64::from(!fold(pseudo)));
        for (at, kind) in self.headers.layers[..self.headers.count].iter().rev().copied() {
            let len = headers.len() + payload.len() - at;
            let outer = &mut head[at..end];
            end = at;
            let covered = match kind {
                Kind::Ipv4 => {
                    put(outer, 2, len as u16);
                    let id = get(outer, 4).wrapping_add(position.at as u16);
                    put(outer, 4, id);
                    put(outer, 10, 0);
                    let header_len = usize::from(outer[0] & 0x0f) * 4;
                    let checksum = !fold(sum(&outer[..header_len]));
                    put(outer, 10, checksum);
                    None
                }
                Kind::Ipv6 => {
                    put(outer, 4, (len - IPV6_LEN) as u16);
                    None
                }
                Kind::Udp(pseudo) => {
                    put(outer, 4, len as u16);
                    pseudo.map(|pseudo| (UDP_CSUM, pseudo + len as u64))
                }
                Kind::Gre => Some((4, 0)),
                Kind::Pppoe => {
                    put(outer, 4, (len - 6) as u16);
                    None
                }
                Kind::Gtp => {
                    put(outer, 2, (len - 8) as u16);
                    None
                }
            };
            behind = if let Some((field, pseudo)) = covered {
                put(outer, field, 0);
                let checksum = !fold(pseudo + sum(outer) + behind);
                // As of an inner header.
                let is_zero = checksum == 0 && field == UDP_CSUM;
                put(outer, field, if is_zero { 0xffff } else { checksum });
                u64::from(!fold(pseudo))
            } else {
                sum(outer) + behind
            };
        }
        room
    }
}

/// A super-frame in one UDP tunnel and in nothing else: one whose headers a kernel can be
/// told of (virtio 1.4, 5.1.6), so that it cuts it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpTunnel {
    /// Whether the outer IP header is of version 6.
    pub(crate) is_ipv6: bool,
    /// Whether its datagrams have a checksum.
    pub(crate) has_checksum: bool,
    /// Where the UDP header and the inner IP header stand, as the frame will be written.
    pub(crate) udp: u16,
    pub(crate) inner: u16,
}

impl UdpTunnel {
    /// `None` for all others. Between these headers are only octets that are the same in each
    /// segment, and no extension headers.
    pub(crate) fn find(frame: &Frame) -> Option<Self> {
        if frame.offload().gso == Gso::None || is_plain(frame) {
            return None;
        }
        let data = frame.data();
        let Encapsulated { headers, transport, .. } = Encapsulated::new(data, frame.offload())?;
        let [(ip, outer), (udp, Kind::Udp(checksum)), (inner_ip, inner)] =
            headers.layers[..headers.count]
        else {
            return None;
        };
        let is_ip = |kind, len| match kind {
            Kind::Ipv4 => true,
            Kind::Ipv6 => len == IPV6_LEN,
            _ => false,
        };
        let is_it = Ethernet::new_checked(data)?.payload_at() == ip
            && is_ip(outer, udp - ip)
            && is_ip(inner, transport - inner_ip);
        let place =
            |at| Some(u16::try_from(at).ok()?.saturating_add_signed(frame.tag_change().shift()));
        is_it.then_some(Self {
            is_ipv6: matches!(outer, Kind::Ipv6),
            has_checksum: checksum.is_some(),
            udp: place(udp)?,
            inner: place(inner_ip)?,
        })
    }
}

#[cfg(test)]
mod tests;

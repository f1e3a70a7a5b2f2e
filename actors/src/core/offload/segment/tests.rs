//! Segmentation against another implementation of the headers, and against octets
//! that no sender meant.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use pnet_packet::{
    Packet,
    ipv4::{self, Ipv4Packet, MutableIpv4Packet},
    ipv6::{Ipv6Packet, MutableIpv6Packet},
    tcp::{self, MutableTcpPacket, TcpPacket},
    udp::{self, MutableUdpPacket, UdpPacket},
};
use proptest::{collection::vec, prelude::*};

use crate::core::{
    offload::{coalesce::tests::joined, segment::*},
    packet::reference,
};

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

const IDENTIFICATION: u16 = 0xfffe;
const SEQUENCE: u32 = 0xffff_f000;
/// All but URG, RST and SYN, which no segment of a bulk transfer has.
const FLAGS: u8 = 0x80 | 0x40 | 0x10 | 0x08 | 0x01;

/// What to build a super-frame of.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    gso: Gso,
    is_ipv4: bool,
    tags: usize,
    /// IPv4 options or an IPv6 destination options header, 8 octets each.
    options: usize,
    tcp_options: usize,
    size: u16,
    payload: Vec<u8>,
}

impl Shape {
    /// TCP over IPv4 with timestamps: what most of a bulk transfer is.
    pub(crate) fn tcp4(payload: usize, size: u16) -> Self {
        let payload = vec![5; payload];
        Self { gso: Gso::Tcp4, is_ipv4: true, tags: 1, options: 0, tcp_options: 3, size, payload }
    }

    fn is_tcp(&self) -> bool {
        self.gso != Gso::Udp
    }

    fn ip(&self) -> usize {
        14 + 4 * self.tags
    }

    fn transport(&self) -> usize {
        self.ip() + if self.is_ipv4 { 20 } else { 40 } + 8 * self.options
    }

    fn headers(&self) -> usize {
        self.transport() + if self.is_tcp() { 20 + 4 * self.tcp_options } else { 8 }
    }

    pub(crate) fn frame(&self) -> Frame {
        let mut data = vec![0x02; 12];
        for _ in 0..self.tags {
            data.extend([0x81, 0x00, 0x60, 0x07]);
        }
        data.extend(if self.is_ipv4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        let protocol = if self.is_tcp() { PROTOCOL_TCP } else { PROTOCOL_UDP };
        let mut ip = vec![0; self.transport() - self.ip()];
        if self.is_ipv4 {
            let words = u8::try_from(ip.len() / 4).unwrap();
            ip[0] = 0x40 | words;
            let mut packet = MutableIpv4Packet::new(&mut ip).unwrap();
            packet.set_identification(IDENTIFICATION);
            packet.set_ttl(64);
            packet.set_next_level_protocol(pnet_packet::ip::IpNextHeaderProtocol(protocol));
            packet.set_source(Ipv4Addr::new(192, 0, 2, 1));
            packet.set_destination(Ipv4Addr::new(198, 51, 100, 2));
            ip[20..].fill(1);
        } else {
            ip[0] = 0x60;
            let mut packet = MutableIpv6Packet::new(&mut ip).unwrap();
            let first = if self.options > 0 { 60 } else { protocol };
            packet.set_next_header(pnet_packet::ip::IpNextHeaderProtocol(first));
            packet.set_source("2001:db8::1".parse().unwrap());
            packet.set_destination("2001:db8::2".parse().unwrap());
            if self.options > 0 {
                ip[40] = protocol;
                ip[41] = u8::try_from(self.options - 1).unwrap();
            }
        }
        data.extend(ip);
        let mut transport = vec![0; self.headers() - self.transport()];
        if self.is_tcp() {
            let words = u8::try_from(transport.len() / 4).unwrap();
            let mut packet = MutableTcpPacket::new(&mut transport).unwrap();
            packet.set_sequence(SEQUENCE);
            packet.set_data_offset(words);
            packet.set_flags(FLAGS);
            transport[20..].fill(1);
        } else {
            MutableUdpPacket::new(&mut transport).unwrap().set_source(7);
        }
        // A part of the pseudo-header, as the kernel leaves it.
        let field = if self.is_tcp() { TCP_CSUM } else { UDP_CSUM };
        transport[field] = 0xab;
        data.extend(transport);
        data.extend(&self.payload);
        Frame::with_offload(Bytes::from(data), self.offload())
    }

    fn offload(&self) -> Offload {
        let field = if self.is_tcp() { TCP_CSUM } else { UDP_CSUM };
        Offload {
            gso: self.gso,
            ecn: false,
            gso_size: self.size,
            csum: Some((self.transport().try_into().unwrap(), field.try_into().unwrap())),
        }
    }
}

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let gso = prop_oneof![Just(Gso::Tcp4), Just(Gso::Tcp6), Just(Gso::Udp)];
    let sizes = prop_oneof![8..40_u16, 1000..1500_u16, Just(u16::MAX)];
    (gso, any::<bool>(), 0..=2_usize, 0..=4_usize, 0..=10_usize, sizes, vec(any::<u8>(), 0..6000))
        .prop_map(|(gso, v4, tags, options, tcp_options, size, payload)| {
            let is_ipv4 = gso == Gso::Tcp4 || (gso == Gso::Udp && v4);
            Shape { gso, is_ipv4, tags, options, tcp_options, size, payload }
        })
}

fn segments(frame: Frame) -> Result<Vec<Frame>, BadOffload> {
    let mut segments = Vec::new();
    segment(frame, |segment| segments.push(segment)).map(|()| segments)
}

/// Transport header and payload of a segment, its IP header checked by another
/// implementation.
fn checked_ip<'a>(shape: &Shape, at: usize, data: &'a [u8]) -> &'a [u8] {
    let ip = &data[shape.ip()..];
    if shape.is_ipv4 {
        let packet = Ipv4Packet::new(ip).expect("long enough");
        assert_eq!(usize::from(packet.get_total_length()), ip.len());
        assert_eq!(packet.get_checksum(), ipv4::checksum(&packet));
        let id = IDENTIFICATION.wrapping_add(u16::try_from(at).unwrap());
        assert_eq!(packet.get_identification(), id);
    } else {
        let packet = Ipv6Packet::new(ip).expect("long enough");
        assert_eq!(usize::from(packet.get_payload_length()), ip.len() - 40);
    }
    &data[shape.transport()..]
}

fn tcp_checksum(shape: &Shape, packet: &TcpPacket<'_>) -> u16 {
    let (v4, v6) = addresses();
    if shape.is_ipv4 {
        tcp::ipv4_checksum(packet, &v4.0, &v4.1)
    } else {
        tcp::ipv6_checksum(packet, &v6.0, &v6.1)
    }
}

fn udp_checksum(shape: &Shape, packet: &UdpPacket<'_>) -> u16 {
    let (v4, v6) = addresses();
    let checksum = if shape.is_ipv4 {
        udp::ipv4_checksum(packet, &v4.0, &v4.1)
    } else {
        udp::ipv6_checksum(packet, &v6.0, &v6.1)
    };
    if checksum == 0 { 0xffff } else { checksum }
}

fn addresses() -> ((Ipv4Addr, Ipv4Addr), (Ipv6Addr, Ipv6Addr)) {
    let v4 = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
    (v4, ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()))
}

proptest! {
    #[test]
    fn segments_are_right_and_hold_the_payload_in_order(shape in shapes()) {
        let whole = shape.frame();
        let segments = segments(whole.clone()).expect("a good super-frame");
        let count = shape.payload.len().div_ceil(shape.size.into()).max(1);
        prop_assert_eq!(segments.len(), count);
        let mut stream = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            prop_assert!(segment.offload().is_none());
            prop_assert_eq!(&segment.data()[..shape.ip()], &whole.data()[..shape.ip()]);
            let transport = checked_ip(&shape, at, segment.data());
            if shape.is_tcp() {
                let packet = TcpPacket::new(transport).expect("long enough");
                prop_assert_eq!(packet.get_checksum(), tcp_checksum(&shape, &packet));
                let sequence = SEQUENCE.wrapping_add(u32::try_from(stream.len()).unwrap());
                prop_assert_eq!(packet.get_sequence(), sequence);
                let cwr = if at == 0 { 0x80 } else { 0 };
                let last = if at + 1 == count { 0x09 } else { 0 };
                prop_assert_eq!(packet.get_flags(), 0x50 | cwr | last);
                stream.extend_from_slice(packet.payload());
            } else {
                let packet = UdpPacket::new(transport).expect("long enough");
                prop_assert_eq!(usize::from(packet.get_length()), transport.len());
                prop_assert_eq!(packet.get_checksum(), udp_checksum(&shape, &packet));
                stream.extend_from_slice(packet.payload());
            }
        }
        prop_assert_eq!(stream, shape.payload);
    }

    #[test]
    fn a_change_of_the_tag_is_done_as_by_hand(shape in shapes(), kind in 0..3_usize) {
        let whole = shape.frame();
        let offload = [shape.offload(), Offload { gso: Gso::None, gso_size: 0, ..shape.offload() },
            Offload::NONE][kind];
        for frame in reference::changes(&Frame::with_offload(whole.into_data(), offload)) {
            let by_hand = reference::by_hand(&frame);
            prop_assert_eq!(frame.on_wire(), by_hand.on_wire());
            let copy = frame.copy_to(&mut BytesMut::new(), 100);
            prop_assert_eq!(copy.data(), &by_hand.data()[..100.min(by_hand.len())]);
            let finished = segments(frame).expect("a good frame");
            prop_assert_eq!(&finished, &segments(by_hand.clone()).expect("a good frame"));
            // As the other end of a tunnel reads it.
            let octets: Vec<_> = finished.iter().map(|frame| frame.data().to_vec()).collect();
            let frames: Vec<_> = joined(&octets).into_iter().flat_map(|f| segments(f).unwrap()).collect();
            prop_assert_eq!(frames, finished);
        }
    }

    #[test]
    fn any_metadata_on_any_octets_is_cut_or_refused(
        shape in shapes(),
        len in any::<prop::sample::Index>(),
        (at, octet) in (any::<prop::sample::Index>(), any::<u8>()),
        (gso_size, csum) in (any::<u16>(), any::<Option<(u16, u16)>>()),
        keep in any::<bool>(),
    ) {
        let mut data = shape.frame().into_data().to_vec();
        let at = at.index(data.len().min(120));
        data[at] = octet;
        data.truncate(len.index(data.len() + 1));
        let mut offload = shape.offload();
        if !keep {
            offload = Offload { gso_size, csum, ..offload };
        }
        let octets = data.len();
        let result = segments(Frame::with_offload(Bytes::from(data), offload));
        if let Ok(segments) = result {
            prop_assert!(segments.len() <= MAX_SEGMENTS);
            prop_assert!(segments.iter().all(|segment| segment.len() <= octets));
        }
    }

    #[test]
    fn an_unfinished_checksum_is_finished(shape in shapes(), shared in any::<bool>()) {
        // What is right after segmentation into one segment is what must come out.
        let whole = Shape { size: u16::MAX, ..shape.clone() };
        let done = segments(whole.frame()).expect("a good frame").remove(0).into_data();
        let mut data = done.to_vec();
        let field = if shape.is_tcp() { TCP_CSUM } else { UDP_CSUM };
        let at = shape.transport() + field;
        // The pseudo-header's sum is the finished checksum less the rest.
        let rest = {
            let mut rest = data[shape.transport()..].to_vec();
            put(&mut rest, field, 0);
            sum(&rest)
        };
        let total = u64::from(!get(&data, at));
        let pseudo = fold(total + u64::from(!fold(rest)));
        put(&mut data, at, pseudo);
        let data = Bytes::from(data);
        let other = shared.then(|| data.clone());
        let offload = Offload { gso: Gso::None, gso_size: 0, ..shape.offload() };
        let frames = segments(Frame::with_offload(data, offload)).expect("a good frame");
        let [frame] = &frames[..] else { panic!("one frame, not {}", frames.len()) };
        prop_assert!(frame.offload().is_none());
        prop_assert_eq!(frame.data(), &done[..]);
        drop(other);
    }
}

fn shape() -> Shape {
    Shape::tcp4(3000, 1448)
}

fn refused(change: impl FnOnce(&mut Vec<u8>, &mut Offload)) {
    let (mut data, mut offload) = (shape().frame().into_data().to_vec(), shape().offload());
    change(&mut data, &mut offload);
    let result = segments(Frame::with_offload(Bytes::from(data), offload));
    assert_eq!(result, Err(BadOffload));
}

#[test]
fn metadata_that_does_not_fit_is_refused() {
    assert_eq!(segments(shape().frame()).expect("good").len(), 3);
    refused(|_, offload| offload.gso_size = 0);
    refused(|data, offload| {
        data.resize(60_000, 0);
        offload.gso_size = 1;
    });
    refused(|_, offload| offload.gso = Gso::Tcp6);
    refused(|_, offload| offload.gso = Gso::Udp);
    refused(|_, offload| offload.csum = Some((88, 16)));
    refused(|_, offload| {
        (offload.gso, offload.csum) = (Gso::None, Some((u16::MAX, u16::MAX)));
    });
    refused(|_, offload| (offload.gso, offload.csum) = (Gso::None, Some((0, 6))));
    refused(|data, _| data.truncate(40));
    refused(|data, _| data[18] = 0x4f);
    refused(|data, _| data[24] = 0x20);
    refused(|data, offload| {
        data.resize(18 + 65_600, 0);
        offload.gso_size = 65_500;
    });
    refused(|_, offload| (offload.gso, offload.csum) = (Gso::None, Some((400, 16))));
}

#[test]
fn a_udp_checksum_of_zero_is_written_as_ones() {
    let mut data = vec![0; 42];
    // Destination port and pseudo-header sum to 0xffff.
    data[36..38].copy_from_slice(&[0xff, 0xff]);
    finish_checksum(&mut data, (34, 6)).expect("it fits");
    assert_eq!(get(&data, 40), 0xffff);
}

#[test]
fn segments_share_one_buffer() {
    let segments = segments(shape().frame()).expect("good");
    for pair in segments.windows(2) {
        let end = pair[0].data().as_ptr_range().end;
        assert_eq!(end, pair[1].data().as_ptr_range().start);
    }
}

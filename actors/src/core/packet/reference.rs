//! A naive reader of the same headers, and tag changes by hand: what the views, and
//! whoever does a frame's tag change, are compared with. For tests and fuzzing only.

use bytes::Bytes;

use super::{Ethernet, Tag, TagChange, arp, nd_options, tcp_header_len};
use crate::core::frame::Frame;

/// Octets that are taken off the front one by one.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        (0..count).map(|_| self.octet()).collect()
    }

    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from(self.octet()?) * 256 + u16::from(self.octet()?))
    }
}

/// What a frame's header says.
#[derive(Debug, PartialEq)]
struct Seen {
    dst: Vec<u8>,
    src: Vec<u8>,
    /// TPID and TCI of the outermost tag.
    tag: Option<(u16, u16)>,
    vid: u16,
    ethertype: u16,
    payload: Vec<u8>,
    ip: Option<SeenIp>,
}

/// What an IP packet's headers say.
#[derive(Debug, PartialEq)]
struct SeenIp {
    addresses: Vec<u8>,
    hop_limit: u8,
    /// `None`: a fragment.
    protocol: Option<u8>,
    header_len: usize,
    total_len: usize,
    payload: Vec<u8>,
    /// Octets of TCP's header, if that is what is here.
    tcp: Option<usize>,
}

fn see(frame: &[u8]) -> Option<Seen> {
    let mut reader = Reader(frame);
    let (dst, src) = (reader.take(6)?, reader.take(6)?);
    let (mut tags, mut ethertype) = (Vec::new(), reader.word()?);
    while (ethertype == 0x8100 || ethertype == 0x88a8) && tags.len() < 4 {
        tags.push((ethertype, reader.word()?));
        ethertype = reader.word()?;
    }
    let tag = tags.first().copied();
    let vid = tag.filter(|tag| tag.0 == 0x8100).map_or(0, |tag| tag.1 % 4096);
    let ip = match ethertype {
        0x0800 => see_ipv4(reader.0),
        0x86dd => see_ipv6(reader.0),
        _ => None,
    };
    Some(Seen { dst, src, tag, vid, ethertype, payload: reader.0.to_vec(), ip })
}

fn see_ipv4(octets: &[u8]) -> Option<SeenIp> {
    let mut reader = Reader(octets);
    let head = reader.take(20)?;
    let words = usize::from(head[0] % 16);
    reader.take(4 * words.checked_sub(5)?)?;
    let is_fragment = head[6] & 0x20 > 0 || head[6] & 0x1f > 0 || head[7] > 0;
    let total_len = usize::from(head[2]) * 256 + usize::from(head[3]);
    let protocol = (!is_fragment).then_some(head[9]);
    (head[0] / 16 == 4)
        .then(|| behind(octets, &head[12..], head[8], protocol, 4 * words, total_len))
}

fn see_ipv6(octets: &[u8]) -> Option<SeenIp> {
    let mut reader = Reader(octets);
    let head = reader.take(40)?;
    let mut protocol = head[6];
    for _ in 0..4 {
        if protocol == 0 || protocol == 60 {
            protocol = reader.octet()?;
            let units = usize::from(reader.octet()?);
            reader.take(8 * units + 6)?;
        }
    }
    let header_len = octets.len() - reader.0.len();
    let total_len = 40 + usize::from(head[4]) * 256 + usize::from(head[5]);
    let protocol = Some(protocol).filter(|protocol| *protocol != 44);
    (head[0] / 16 == 6)
        .then(|| behind(octets, &head[8..], head[7], protocol, header_len, total_len))
}

fn behind(
    octets: &[u8],
    addresses: &[u8],
    hop_limit: u8,
    protocol: Option<u8>,
    header_len: usize,
    total_len: usize,
) -> SeenIp {
    let payload: Vec<u8> = octets.iter().copied().take(total_len).skip(header_len).collect();
    let words = payload.get(12).map_or(0, |octet| usize::from(octet / 16));
    let tcp =
        (payload.len() >= 20 && words >= 5 && 4 * words <= payload.len()).then_some(4 * words);
    SeenIp {
        addresses: addresses.to_vec(),
        hop_limit,
        protocol,
        header_len,
        total_len,
        payload,
        tcp,
    }
}

/// The same by the views.
fn view(header: Ethernet<'_>) -> Seen {
    Seen {
        dst: header.dst().0.to_vec(),
        src: header.src().0.to_vec(),
        tag: header.tag().map(|tag| (tag.tpid(), tag.tci())),
        vid: header.vid().get(),
        ethertype: header.ethertype(),
        payload: header.payload().to_vec(),
        ip: header.ip().map(|ip| SeenIp {
            addresses: ip.addresses().to_vec(),
            hop_limit: ip.hop_limit(),
            protocol: ip.protocol().map(|protocol| protocol.0),
            header_len: ip.header_len(),
            total_len: ip.total_len(),
            payload: ip.payload().to_vec(),
            tcp: tcp_header_len(ip.payload()),
        }),
    }
}

/// Compares the views of any octets with the naive reader, as they are and with each
/// change of their tag.
pub(crate) fn check(frame: &[u8]) {
    assert_eq!(Ethernet::new_checked(frame).map(view), see(frame), "{frame:02x?}");
    for changed in changes(&Frame::new(Bytes::copy_from_slice(frame))) {
        let by_hand = by_hand(&changed);
        assert_eq!(changed.len(), by_hand.len());
        assert_eq!(changed.header().map(view), see(by_hand.data()), "{:?}", changed.tag_change());
    }
    if let Some(header) = Ethernet::new_checked(frame) {
        let payload = header.payload();
        let options: usize = nd_options(payload).flatten().map(|(_, option)| option.len()).sum();
        assert!(options <= payload.len());
        assert_eq!(
            arp(payload).is_some(),
            payload.len() >= 28 && payload[..6] == [0, 1, 8, 0, 6, 4]
        );
    }
}

/// The frame with each change of its tag that it can have.
pub(crate) fn changes(frame: &Frame) -> [Frame; 4] {
    [
        frame.clone(),
        frame.clone().push_tag(Tag::customer(0xe123)),
        frame.clone().pop_tag(),
        frame.clone().replace_tag(Tag::service(0x0456)),
    ]
}

/// The frame with the change of its tag done, its other work left.
pub(crate) fn by_hand(frame: &Frame) -> Frame {
    let mut octets = frame.data().to_vec();
    let shift = match frame.tag_change() {
        TagChange::None => 0,
        TagChange::Push(tag) => {
            octets.splice(12..12, tag.octets());
            4
        }
        TagChange::Pop => {
            octets.drain(12..16);
            -4
        }
        TagChange::Replace(tag) => {
            octets.splice(12..16, tag.octets());
            0
        }
    };
    let mut offload = *frame.offload();
    offload.csum = offload.csum.map(|(start, at)| (start.saturating_add_signed(shift), at));
    Frame::with_offload(octets.into(), offload)
}

//! An Ethernet frame, and the checked view through which the relay reads it.
//!
//! First thing on the frame's path: a port cuts what it has read into [`Frame`]s.
//! Nothing here copies, parses into structures, or knows where a frame goes.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// Longest frame that the switch carries, in octets without FCS: the largest IP
/// packet (65,535) behind an Ethernet header, rounded up to an even number.
pub const MAX_FRAME_LEN: usize = 65_550;

/// Octets of an Ethernet header: destination, source, EtherType (IEEE 802.3, 3.1.1).
pub const HEADER_LEN: usize = 14;

/// EtherType of a customer VLAN tag (IEEE 802.1Q, 9.5).
pub const TPID_CVLAN: u16 = 0x8100;

/// A 48-bit MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether this is a group address (I/G bit set): multicast or broadcast.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no MAC address of the form `02:00:00:00:00:01`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no MAC address; write six octets as 02:00:00:00:00:01")]
pub struct ParseMacAddrError(String);

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMacAddrError(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self(octets))
    }
}

/// A VLAN identifier, 0 to 4095. 0 stands for frames without a tag and for
/// priority-tagged frames alike (IEEE 802.1Q, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vid(u16);

impl Vid {
    /// Untagged and priority-tagged frames.
    pub const UNTAGGED: Self = Self(0);

    /// The identifier in a tag's control information; PCP and DEI are left out.
    #[must_use]
    pub const fn from_tci(tci: u16) -> Self {
        Self(tci & 0x0fff)
    }

    /// `None` over 4094: 4095 is reserved (IEEE 802.1Q, table 9-2).
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < 4095 { Some(Self(number)) } else { None }
    }

    /// The number, 0 to 4095.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What a super-frame is to be cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gso {
    /// An ordinary frame: nothing to cut.
    #[default]
    None,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP datagrams of equal size over IPv4 or IPv6 (the kernel's `UDP_L4`).
    Udp,
}

/// Work on a frame that its sender left to the medium, as in a virtio-net header
/// (virtio 1.2, 5.1.6). All zero: a finished frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// Kind of the super-frame.
    pub gso: Gso,
    /// Congestion Window Reduced is set in the first segment only (RFC 3168).
    pub ecn: bool,
    /// Payload octets of each segment; 0 unless `gso` is set.
    pub gso_size: u16,
    /// Where the checksum begins, in octets from the start of the frame, and how
    /// far from there it is to be stored; `None` when it is complete.
    pub csum: Option<(u16, u16)>,
}

impl Offload {
    /// A finished frame.
    pub const NONE: Self = Self { gso: Gso::None, ecn: false, gso_size: 0, csum: None };

    /// Whether the frame can go to a plain medium as it is.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self.gso, Gso::None) && self.csum.is_none()
    }

    /// Octets of a super-frame before its payload, which every segment repeats; `None`
    /// where there is nothing to cut, or the fields do not fit the frame's first
    /// octets.
    pub(crate) fn headers_len(&self, frame: &[u8]) -> Option<usize> {
        let transport = usize::from(self.csum?.0);
        let len = match self.gso {
            Gso::None => return None,
            // The data offset, in words of 4 octets (RFC 9293, 3.1).
            Gso::Tcp4 | Gso::Tcp6 => transport + usize::from(frame.get(transport + 12)? >> 4) * 4,
            Gso::Udp => transport + 8,
        };
        (len <= frame.len()).then_some(len)
    }
}

/// An Ethernet frame without FCS: a slice of the buffer that its port has read,
/// with what is left to be done on it. Cloning takes a reference, not a copy.
///
/// Any octets make a `Frame`; whether they are one the relay decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    data: Bytes,
    offload: Offload,
}

impl Frame {
    /// A finished frame.
    #[must_use]
    pub const fn new(data: Bytes) -> Self {
        Self { data, offload: Offload::NONE }
    }

    /// A frame with work left on it. Nothing in `offload` is trusted: who does
    /// that work checks each field against the frame's length.
    #[must_use]
    pub const fn with_offload(data: Bytes, offload: Offload) -> Self {
        Self { data, offload }
    }

    /// All octets of the frame.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The frame's buffer.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// What is left to be done.
    #[must_use]
    pub const fn offload(&self) -> &Offload {
        &self.offload
    }

    /// Length in octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Frames that it is on a wire, and their octets: a super-frame counts as its
    /// segments.
    #[must_use]
    pub fn on_wire(&self) -> (u64, u64) {
        let (len, size) = (self.len() as u64, u64::from(self.offload.gso_size));
        match self.offload.headers_len(&self.data) {
            Some(headers) if size > 0 => {
                let headers = headers as u64;
                let segments = (len - headers).div_ceil(size).max(1);
                (segments, len + (segments - 1) * headers)
            }
            _ => (1, len),
        }
    }

    /// Whether there is no octet at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The checked view, or `None` where the octets are too few for the header,
    /// or for the VLAN tag that the header announces.
    #[must_use]
    pub fn header(&self) -> Option<Header<'_>> {
        Header::new_checked(&self.data)
    }
}

/// Checked view of an Ethernet header with its VLAN tag, if any. The accessors
/// read octets that [`Header::new_checked`] has found to be there.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a [u8]);

impl<'a> Header<'a> {
    /// Checks the length: 14 octets, or 18 behind TPID 0x8100.
    #[must_use]
    pub fn new_checked(data: &'a [u8]) -> Option<Self> {
        let header = Self(data);
        if data.len() < HEADER_LEN || (header.is_tagged() && data.len() < HEADER_LEN + 4) {
            return None;
        }
        Some(header)
    }

    fn mac(self, at: usize) -> MacAddr {
        let mut octets = [0; 6];
        octets.copy_from_slice(&self.0[at..at + 6]);
        MacAddr(octets)
    }

    /// Destination address.
    #[must_use]
    pub fn dst(self) -> MacAddr {
        self.mac(0)
    }

    /// Source address.
    #[must_use]
    pub fn src(self) -> MacAddr {
        self.mac(6)
    }

    /// Whether a customer VLAN tag follows the addresses.
    #[must_use]
    pub fn is_tagged(self) -> bool {
        self.0[12..14] == TPID_CVLAN.to_be_bytes()
    }

    /// VLAN of the frame; [`Vid::UNTAGGED`] without a tag.
    #[must_use]
    pub fn vid(self) -> Vid {
        if self.is_tagged() {
            Vid::from_tci(u16::from_be_bytes([self.0[14], self.0[15]]))
        } else {
            Vid::UNTAGGED
        }
    }

    /// EtherType, or length of an LLC frame; that behind the tag if there is one.
    #[must_use]
    pub fn ethertype(self) -> u16 {
        let at = if self.is_tagged() { 16 } else { 12 };
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(data: &[u8]) -> Option<Header<'_>> {
        Header::new_checked(data)
    }

    #[test]
    fn short_frames_have_no_header() {
        for len in 0..14 {
            assert!(header(&vec![0; len]).is_none(), "{len} octets");
        }
        assert!(header(&[0; 14]).is_some());
    }

    #[test]
    fn a_frame_cut_inside_its_tag_has_no_header() {
        let mut data = [0; 18];
        data[12..16].copy_from_slice(&[0x81, 0x00, 0xe0, 0x64]);
        for len in 14..18 {
            assert!(header(&data[..len]).is_none(), "{len} octets");
        }
        assert_eq!(header(&data).expect("18 octets").vid().get(), 100);
    }

    #[test]
    fn priority_bits_are_no_part_of_the_vid() {
        let mut data = [0; 18];
        data[12..16].copy_from_slice(&[0x81, 0x00, 0xff, 0xff]);
        assert_eq!(header(&data).expect("tagged").vid().get(), 4095);
        data[14..16].copy_from_slice(&[0xe0, 0x00]);
        assert_eq!(header(&data).expect("priority-tagged").vid(), Vid::UNTAGGED);
    }

    #[test]
    fn service_tags_are_not_looked_into() {
        let mut data = [0; 18];
        data[12..16].copy_from_slice(&[0x88, 0xa8, 0x00, 0x64]);
        assert_eq!(header(&data).expect("double tag").vid(), Vid::UNTAGGED);
    }

    #[test]
    fn mac_addresses_are_written_and_read() {
        let mac = MacAddr([2, 0, 0, 0, 0xab, 1]);
        assert_eq!(mac.to_string(), "02:00:00:00:ab:01");
        assert_eq!("02:00:00:00:ab:01".parse(), Ok(mac));
        for wrong in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "zz:00:00:00:00:01"]
        {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong:?}");
        }
        assert!(MacAddr::BROADCAST.is_multicast());
        assert!(!mac.is_multicast());
    }
}

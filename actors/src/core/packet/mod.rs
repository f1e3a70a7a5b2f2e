//! Checked views of a frame's headers: Ethernet with VLAN tags here, IP and what it
//! carries in `ip`, and in `upper` for guards.
//!
//! Lowest in the core: whoever reads a header reads it here, so that all agree on tags,
//! options and extension headers. A view exists only where its octets do; its accessors
//! cannot panic. Nothing here copies, allocates, or walks further than a bound.
//! `pnet_packet` reads headers of fixed form; tags, extension headers and lengths are
//! ours.

mod address;
pub mod dhcp;
mod ip;
#[cfg(any(test, fuzzing))]
pub(crate) mod reference;
mod tag;
mod upper;

pub use self::{
    address::{MacAddr, ParseMacAddrError, Vid},
    ip::{Ip, arp, has_ports, nd_options, tcp},
    tag::{Tag, TagChange},
};
pub(crate) use self::{
    ip::{IPV4_LEN, IPV6_LEN, UDP_LEN, tcp_header_len},
    tag::{Front, TAG_LEN},
    upper::{Carried, Upper},
};
pub use pnet_packet::{
    arp::ArpPacket,
    ip::{IpNextHeaderProtocol, IpNextHeaderProtocols},
    tcp::TcpPacket,
    udp::UdpPacket,
};

/// Octets of an Ethernet header: destination, source, EtherType (IEEE 802.3, 3.1.1).
pub const HEADER_LEN: usize = 14;

/// Where the EtherType or the outermost tag stands: behind the two addresses.
pub(super) const TYPE_AT: usize = 12;

/// EtherType of a customer VLAN tag (IEEE 802.1Q, 9.5).
pub const TPID_CVLAN: u16 = 0x8100;

/// EtherType of a service VLAN tag (IEEE 802.1Q, 9.5).
pub const TPID_SVLAN: u16 = 0x88a8;

/// Most tags looked behind: a service tag and a customer tag, and as many again where
/// one network is carried by another. A further one counts as an unknown EtherType.
pub const MAX_TAGS: usize = 4;

/// EtherType of ARP (RFC 826).
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv4 (RFC 894).
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6 (RFC 2464).
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Checked view of an Ethernet header with its VLAN tags, if any.
// Each frame is looked at several times: what was checked once is kept, and all is inlined.
#[derive(Debug, Clone, Copy)]
pub struct Ethernet<'a> {
    head: &'a [u8; HEADER_LEN],
    tag: Option<Tag>,
    ethertype: u16,
    payload: &'a [u8],
    payload_at: usize,
}

impl<'a> Ethernet<'a> {
    /// `None` where the octets are too few for the header, or for a tag that it
    /// announces.
    // Inlined, here and below: a tenth less for each frame that is relayed or queued.
    #[inline(always)]
    #[must_use]
    pub fn new_checked(frame: &'a [u8]) -> Option<Self> {
        let (head, payload) = frame.split_first_chunk()?;
        let ethertype = get(head, TYPE_AT);
        // Nearly all frames: no tag.
        if !is_tpid(ethertype) {
            return Some(Self { head, tag: None, ethertype, payload, payload_at: HEADER_LEN });
        }
        Self::changed(frame, TagChange::None)
    }

    /// The header as it will be once `change` is done on `frame`.
    #[inline(never)]
    #[must_use]
    pub(crate) fn changed(frame: &'a [u8], change: TagChange) -> Option<Self> {
        let head = frame.first_chunk()?;
        let mut tag = change.tag();
        let mut tags = usize::from(tag.is_some());
        let mut at = change.replaces().max(TYPE_AT);
        let mut ethertype = word(frame, at)?;
        while is_tpid(ethertype) && tags < MAX_TAGS {
            let tci = word(frame, at + 2)?;
            tag = tag.or_else(|| Tag::new(ethertype, tci));
            tags += 1;
            at += TAG_LEN;
            ethertype = word(frame, at)?;
        }
        let payload_at = at + 2;
        Some(Self { head, tag, ethertype, payload: frame.get(payload_at..)?, payload_at })
    }

    // As a whole: a pattern of six octets is read octet by octet.
    #[inline]
    fn mac(six: &[u8]) -> MacAddr {
        let mut octets = [0; 6];
        octets.copy_from_slice(six);
        MacAddr(octets)
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(self) -> MacAddr {
        Self::mac(&self.head[..6])
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(self) -> MacAddr {
        Self::mac(&self.head[6..TYPE_AT])
    }

    /// Both addresses, destination first: 12 octets.
    #[inline]
    #[must_use]
    pub fn addresses(self) -> &'a [u8] {
        &self.head[..TYPE_AT]
    }

    /// The outermost VLAN tag.
    #[inline]
    #[must_use]
    pub const fn tag(self) -> Option<Tag> {
        self.tag
    }

    /// VLAN of the frame, which an outermost customer tag tells; [`Vid::UNTAGGED`]
    /// without one.
    #[inline]
    #[must_use]
    pub fn vid(self) -> Vid {
        match self.tag {
            Some(tag) if tag.tpid() == TPID_CVLAN => tag.vid(),
            _ => Vid::UNTAGGED,
        }
    }

    /// EtherType, or length of an LLC frame, behind all tags.
    #[inline]
    #[must_use]
    pub const fn ethertype(self) -> u16 {
        self.ethertype
    }

    /// Whether [`ethertype`](Self::ethertype) or the outermost tag is of this type.
    #[must_use]
    pub fn is_of(self, ethertype: u16) -> bool {
        self.ethertype == ethertype || self.tag.is_some_and(|tag| tag.tpid() == ethertype)
    }

    /// What follows the header and its tags.
    #[inline]
    #[must_use]
    pub const fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// Where the payload begins, in octets from the start of the frame as it was read.
    #[inline]
    pub(crate) const fn payload_at(self) -> usize {
        self.payload_at
    }

    /// The IP packet in it, if it is one whose headers are there.
    #[inline(always)]
    #[must_use]
    pub fn ip(self) -> Option<Ip<'a>> {
        Ip::new_checked(self.ethertype, self.payload)
    }
}

/// Whether a tag follows the addresses.
#[inline]
pub(crate) fn is_tagged(head: &[u8; HEADER_LEN]) -> bool {
    is_tpid(get(head, TYPE_AT))
}

const fn is_tpid(ethertype: u16) -> bool {
    matches!(ethertype, TPID_CVLAN | TPID_SVLAN)
}

/// The word in network order at `at`, if it is there.
fn word(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

/// The word at `at`, which is known to be there.
#[inline]
pub(crate) fn get(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

/// Writes a word in network order at `at`, which is known to be there.
#[inline]
pub(crate) fn put(octets: &mut [u8], at: usize, value: u16) {
    octets[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;

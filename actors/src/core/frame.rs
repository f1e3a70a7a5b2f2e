//! An Ethernet frame: octets that are shared and never change, and the work that is left
//! on them.
//!
//! First thing on the frame's path: a port cuts what it has read into [`Frame`]s. Their
//! headers are read by [`packet`](super::packet). Nothing here knows where a frame goes.

use bytes::{Bytes, BytesMut};

use super::packet::{
    Ethernet, Front, HEADER_LEN, TAG_LEN, TYPE_AT, Tag, TagChange, get, is_tagged,
};
pub use super::packet::{MacAddr, ParseMacAddrError, Vid};

/// Longest frame on a wire that the switch carries, in octets without FCS: the largest IP
/// packet (65,535) behind an Ethernet header and four tags, rounded up to an even number.
pub const MAX_FRAME_LEN: usize = 65_566;

/// Longest super-frame that is read, in octets: an IP packet of 65,535 in a tunnel of up to 512.
/// More a kernel gives only where `gso_max_size` of an interface has been raised (BIG TCP).
pub(crate) const MAX_SUPER_FRAME_LEN: usize = MAX_FRAME_LEN + 512;

/// Shortest frame on a cable, in octets without FCS (IEEE 802.3, 4A.4.2). Frames that were never
/// on one may be shorter.
pub const MIN_FRAME_LEN: usize = 60;

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
    #[inline]
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

    /// Frames that `frame` is on a wire, and their octets; see [`Frame::on_wire`].
    pub(crate) fn on_wire(&self, frame: &[u8]) -> (u64, u64) {
        segments(frame.len(), self.headers_len(frame), self.gso_size)
    }
}

/// How many segments there are of a super-frame of `len` octets, `headers` of which each of
/// them repeats, and their octets.
fn segments(len: usize, headers: Option<usize>, size: u16) -> (u64, u64) {
    let (len, size) = (len as u64, u64::from(size));
    match headers {
        Some(headers) if size > 0 => {
            let headers = headers as u64;
            let segments = (len - headers).div_ceil(size).max(1);
            (segments, len + (segments - 1) * headers)
        }
        _ => (1, len),
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
    /// Only where there is a header, and a tag if one is to go.
    tag_change: TagChange,
}

// A tag change stands where there was padding: queues hold frames by the thousand.
const _: () = assert!(size_of::<Frame>() <= 48);

impl Frame {
    /// A finished frame.
    #[inline]
    #[must_use]
    pub const fn new(data: Bytes) -> Self {
        Self::with_offload(data, Offload::NONE)
    }

    /// A frame with work left on it. Nothing in `offload` is trusted: who does
    /// that work checks each field against the frame's length.
    #[inline]
    #[must_use]
    pub const fn with_offload(data: Bytes, offload: Offload) -> Self {
        Self { data, offload, tag_change: TagChange::None }
    }

    /// All octets of the frame, without the [change](Self::tag_change) of its tag that is
    /// left to be done.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The frame's buffer, as [`data`](Self::data).
    #[inline]
    #[must_use]
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// What is left to be done. Its offsets are those of [`data`](Self::data).
    #[inline]
    #[must_use]
    pub const fn offload(&self) -> &Offload {
        &self.offload
    }

    /// The same with offsets as they are once the tag's change is done.
    pub(crate) fn offload_on_wire(&self) -> Offload {
        let shift = self.tag_change.shift();
        let csum = self.offload.csum;
        let csum = csum.map(|(start, offset)| (start.saturating_add_signed(shift), offset));
        Offload { csum, ..self.offload }
    }

    /// What is left to be done on the outermost VLAN tag.
    #[inline]
    #[must_use]
    pub const fn tag_change(&self) -> TagChange {
        self.tag_change
    }

    /// Whether nothing is left to be done: the frame can go to a plain medium as it is.
    #[inline]
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.offload.is_none() && self.tag_change.is_none()
    }

    /// Puts a tag before all others. A frame without a header stays as it is.
    #[must_use]
    pub fn push_tag(self, tag: Tag) -> Self {
        match self.tag_change {
            TagChange::None if self.header().is_some() => self.with_change(TagChange::Push(tag)),
            TagChange::None => self,
            TagChange::Pop => self.with_change(TagChange::Replace(tag)),
            TagChange::Push(_) | TagChange::Replace(_) => self.rewritten().push_tag(tag),
        }
    }

    /// Removes the outermost tag, if there is one.
    #[must_use]
    pub fn pop_tag(self) -> Self {
        match self.tag_change {
            TagChange::Push(_) => self.with_change(TagChange::None),
            TagChange::Replace(_) => self.with_change(TagChange::Pop),
            _ if self.tag().is_none() => self,
            TagChange::None => self.with_change(TagChange::Pop),
            TagChange::Pop => self.rewritten().pop_tag(),
        }
    }

    /// Puts another tag in the place of the outermost one, if there is one.
    #[must_use]
    pub fn replace_tag(self, tag: Tag) -> Self {
        match self.tag_change {
            TagChange::Push(_) => self.with_change(TagChange::Push(tag)),
            _ if self.tag().is_none() => self,
            TagChange::None | TagChange::Replace(_) => self.with_change(TagChange::Replace(tag)),
            TagChange::Pop => self.rewritten().replace_tag(tag),
        }
    }

    /// Does `change` after what is left to be done already.
    #[must_use]
    pub(crate) fn retag(self, change: TagChange) -> Self {
        match change {
            TagChange::None => self,
            TagChange::Push(tag) => self.push_tag(tag),
            TagChange::Pop => self.pop_tag(),
            TagChange::Replace(tag) => self.replace_tag(tag),
        }
    }

    /// A copy in `arena`, with its tag's change done, and zeros up to `len` octets.
    pub(crate) fn padded(&self, arena: &mut BytesMut, len: usize) -> Self {
        let (front, rest) = self.front();
        arena.extend_from_slice(&front);
        arena.extend_from_slice(rest);
        arena.resize(len.max(arena.len()), 0);
        Self::with_offload(arena.split().freeze(), self.offload_on_wire())
    }

    fn tag(&self) -> Option<Tag> {
        self.header()?.tag()
    }

    fn with_change(self, tag_change: TagChange) -> Self {
        Self { tag_change, ..self }
    }

    /// A copy with the tag's change done: a frame can wait for one only.
    fn rewritten(&self) -> Self {
        self.copy_to(&mut BytesMut::with_capacity(self.len()), usize::MAX)
    }

    /// A copy behind what `buffer` holds, split off it, with the tag's change done:
    /// `limit` octets at most.
    pub(crate) fn copy_to(&self, buffer: &mut BytesMut, limit: usize) -> Self {
        let (front, rest) = self.front();
        let front = &front[..front.len().min(limit)];
        buffer.extend_from_slice(front);
        buffer.extend_from_slice(&rest[..rest.len().min(limit - front.len())]);
        Self::with_offload(buffer.split().freeze(), self.offload_on_wire())
    }

    /// The octets that the frame begins with, where a change of its tag is left to be
    /// done, and those that follow as they are.
    pub(crate) fn front(&self) -> (Front, &[u8]) {
        let front = Front::new(&self.data, self.tag_change);
        (front, &self.data[front.replaces..])
    }

    /// Length in octets, with the tag's change.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        if self.tag_change.is_none() {
            return self.data.len();
        }
        self.data.len().saturating_add_signed(self.tag_change.shift().into())
    }

    /// Octets of a super-frame before its payload; see [`Offload::headers_len`].
    pub(crate) fn headers_len(&self) -> Option<usize> {
        let len = self.offload.headers_len(&self.data)?;
        Some(len.saturating_add_signed(self.tag_change.shift().into()))
    }

    /// Frames that it is on a wire, and their octets: a super-frame counts as its
    /// segments.
    #[must_use]
    pub fn on_wire(&self) -> (u64, u64) {
        segments(self.len(), self.headers_len(), self.offload.gso_size)
    }

    /// Whether there is no octet at all.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All VLAN tags that are looked behind, outermost first, with the tag's change.
    pub(crate) fn tags(&self) -> impl Iterator<Item = Tag> {
        let from = self.tag_change.replaces().max(TYPE_AT);
        // Behind the last one stands the EtherType.
        let to = self.header().map_or(0, |header| header.payload_at().saturating_sub(2));
        let stand = self.data.get(from..to).unwrap_or_default().chunks_exact(TAG_LEN);
        let read = |tag: &[u8]| Tag::new(get(tag, 0), get(tag, 2));
        self.tag_change.tag().into_iter().chain(stand.filter_map(read))
    }

    /// The frame's VLAN, with the tag's change, and what it begins with: all that the relay
    /// asks of a frame to one station, in one branch where there is no tag. `None` where
    /// there is no [`header`](Self::header).
    #[inline]
    pub(crate) fn vlan(&self) -> Option<(Vid, &[u8; HEADER_LEN])> {
        let head = self.data.first_chunk()?;
        let vid = if self.tag_change.is_none() && !is_tagged(head) {
            Vid::UNTAGGED
        } else {
            self.changed_vlan()?
        };
        Some((vid, head))
    }

    #[inline(never)]
    fn changed_vlan(&self) -> Option<Vid> {
        Some(self.header()?.vid())
    }

    /// The checked view of the header, with the tag's change, or `None` where the octets
    /// are too few for the header, or for a VLAN tag that it announces.
    #[inline(always)]
    #[must_use]
    pub fn header(&self) -> Option<Ethernet<'_>> {
        match self.tag_change {
            TagChange::None => Ethernet::new_checked(&self.data),
            change => Ethernet::changed(&self.data, change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::packet::reference::by_hand;

    /// Untagged, or with tags of these VLANs, outermost first.
    fn frame(vids: &[u16]) -> Frame {
        let mut data = vec![2; 12];
        data.extend(vids.iter().flat_map(|vid| Tag::customer(*vid).octets()));
        data.extend([0x88, 0xb5, 1, 2, 3]);
        Frame::new(data.into())
    }

    #[test]
    fn changes_of_a_tag_add_up() {
        let tag = Tag::customer;
        for (changed, expected, change) in [
            (frame(&[]).push_tag(tag(1)), &[1][..], TagChange::Push(tag(1))),
            (frame(&[1]).pop_tag(), &[], TagChange::Pop),
            (frame(&[1]).replace_tag(tag(2)), &[2], TagChange::Replace(tag(2))),
            (frame(&[]).pop_tag(), &[], TagChange::None),
            (frame(&[]).replace_tag(tag(2)), &[], TagChange::None),
            (frame(&[]).push_tag(tag(1)).pop_tag(), &[], TagChange::None),
            (frame(&[]).push_tag(tag(1)).replace_tag(tag(2)), &[2], TagChange::Push(tag(2))),
            (frame(&[1]).pop_tag().push_tag(tag(2)), &[2], TagChange::Replace(tag(2))),
            (frame(&[1]).replace_tag(tag(2)).pop_tag(), &[], TagChange::Pop),
            // What is more than one change is a copy with the first of them done.
            (frame(&[]).push_tag(tag(1)).push_tag(tag(2)), &[2, 1], TagChange::Push(tag(2))),
            (frame(&[1, 2]).pop_tag().pop_tag(), &[], TagChange::Pop),
            (frame(&[1]).pop_tag().pop_tag(), &[], TagChange::Pop),
            (frame(&[1, 2]).pop_tag().replace_tag(tag(3)), &[3], TagChange::Replace(tag(3))),
        ] {
            assert_eq!(changed.tag_change(), change);
            assert_eq!(by_hand(&changed), frame(expected), "{change:?}");
            assert_eq!(changed.is_finished(), change == TagChange::None);
        }
    }

    #[test]
    fn what_has_no_header_keeps_its_octets() {
        let short = |len| Frame::new(frame(&[1]).into_data().slice(..len));
        for frame in (0..18).map(short) {
            let tag = Tag::service(1);
            let changed = [frame.clone().push_tag(tag), frame.clone().replace_tag(tag)];
            assert_eq!(changed, [frame.clone(), frame.clone()]);
            assert_eq!(frame.clone().pop_tag(), frame);
        }
    }
}

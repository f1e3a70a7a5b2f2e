//! A VLAN tag, and a change of a frame's outermost one as work that is left on it.
//!
//! A frame's octets are shared and never change. Who sends the frame on writes other
//! octets in the place of its first ones: a [`Front`].

use std::ops::Deref;

use super::{TPID_CVLAN, TPID_SVLAN, TYPE_AT, Vid};

/// Octets of a VLAN tag (IEEE 802.1Q, 9.3).
pub(crate) const TAG_LEN: usize = 4;

/// A VLAN tag: TPID, and control information of PCP, DEI and VID (IEEE 802.1Q, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    tpid: u16,
    tci: u16,
}

impl Tag {
    /// A customer tag (C-tag).
    #[must_use]
    pub const fn customer(tci: u16) -> Self {
        Self { tpid: TPID_CVLAN, tci }
    }

    /// A service tag (S-tag).
    #[must_use]
    pub const fn service(tci: u16) -> Self {
        Self { tpid: TPID_SVLAN, tci }
    }

    /// A tag of this type; `None` where it is no type of tag.
    pub(crate) const fn new(tpid: u16, tci: u16) -> Option<Self> {
        match tpid {
            TPID_CVLAN | TPID_SVLAN => Some(Self { tpid, tci }),
            _ => None,
        }
    }

    /// The EtherType that announces it.
    #[must_use]
    pub const fn tpid(self) -> u16 {
        self.tpid
    }

    /// PCP, DEI and VID.
    #[must_use]
    pub const fn tci(self) -> u16 {
        self.tci
    }

    /// The VLAN that it names.
    #[must_use]
    pub const fn vid(self) -> Vid {
        Vid::from_tci(self.tci)
    }

    /// The priority code point, 0 to 7.
    #[must_use]
    pub const fn pcp(self) -> u8 {
        (self.tci >> 13) as u8
    }

    /// The same priority and drop eligibility, of another VLAN and type.
    pub(crate) const fn moved(self, tpid: u16, vid: Vid) -> Self {
        Self { tpid, tci: self.tci & 0xf000 | vid.get() }
    }

    /// Its four octets.
    #[must_use]
    pub const fn octets(self) -> [u8; TAG_LEN] {
        let ([a, b], [c, d]) = (self.tpid.to_be_bytes(), self.tci.to_be_bytes());
        [a, b, c, d]
    }
}

/// What is left to be done on a frame's outermost VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagChange {
    /// Nothing.
    #[default]
    None,
    /// A tag is to be put before all others.
    Push(Tag),
    /// The outermost tag is to be removed.
    Pop,
    /// The outermost tag is to be replaced.
    Replace(Tag),
}

impl TagChange {
    /// Whether there is nothing to be done.
    #[must_use]
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    /// The tag that is to be written.
    pub(crate) const fn tag(self) -> Option<Tag> {
        match self {
            Self::Push(tag) | Self::Replace(tag) => Some(tag),
            Self::None | Self::Pop => None,
        }
    }

    /// How many of the frame's first octets a [`Front`] stands for.
    pub(crate) const fn replaces(self) -> usize {
        match self {
            Self::None => 0,
            Self::Push(_) => TYPE_AT,
            Self::Pop | Self::Replace(_) => TYPE_AT + TAG_LEN,
        }
    }

    /// By how many octets, those of a tag, the frame and all offsets behind its addresses
    /// grow.
    pub(crate) const fn shift(self) -> i16 {
        match self {
            Self::None | Self::Replace(_) => 0,
            Self::Push(_) => 4,
            Self::Pop => -4,
        }
    }
}

/// What a frame begins with once its tag is changed: addresses, and a tag if one is
/// written. Empty where nothing changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front {
    octets: [u8; Self::MAX_LEN],
    len: usize,
    /// How many of the frame's first octets it stands for.
    pub(crate) replaces: usize,
}

impl Front {
    /// Its octets at most.
    pub(crate) const MAX_LEN: usize = TYPE_AT + TAG_LEN;

    /// The front of `frame`, which has a header, and a tag where one is to go.
    #[inline]
    pub(crate) fn new(frame: &[u8], change: TagChange) -> Self {
        let mut front = Self { octets: [0; Self::MAX_LEN], len: 0, replaces: change.replaces() };
        if !change.is_none() {
            front.octets[..TYPE_AT].copy_from_slice(&frame[..TYPE_AT]);
            front.len = TYPE_AT;
        }
        if let Some(tag) = change.tag() {
            front.octets[TYPE_AT..].copy_from_slice(&tag.octets());
            front.len = Self::MAX_LEN;
        }
        front
    }
}

impl Deref for Front {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

//! Mirrors whose copies leave by a port of the switch: what they copy, and the copies of the
//! batch at hand. A copy is a reference to the frame, and goes to the port's queue by itself.

use bytes::BytesMut;

use super::{Direction, Filter, copy};
use crate::core::{
    batch::Source,
    fdb::PortNumber,
    frame::{Frame, Vid},
    packet::Tag,
    settings::PortRef,
};

/// A mirror port: what is copied, and where to.
#[derive(Debug, Clone)]
pub struct PortMirror {
    /// Frames that pass these ports; empty: any.
    pub from: Vec<PortRef>,
    /// Which frames. Its ports are those of `from`, which the Switch finds.
    pub filter: Filter,
    /// The port that copies leave by.
    pub to: PortRef,
    /// The VLAN that copies leave in, by a tag before all others. The port carries other frames as
    /// well; without it, copies only.
    pub to_vlan: Option<Vid>,
}

/// A mirror port as control shows it.
#[derive(Debug, Clone)]
pub struct PortMirrorInfo {
    /// Its number.
    pub number: u32,
    /// What it copies; the ports that it has found are in the filter.
    pub what: PortMirror,
    /// The port that copies leave by, while there is such a port.
    pub to: Option<PortNumber>,
    /// What it has counted.
    pub counts: MirrorCounts,
}

/// What a mirror port has counted, in frames as they are on a wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    /// Copies that the port was given.
    pub frames: u64,
    /// Their octets.
    pub octets: u64,
    /// Copies that were lost: the port was down, or its queue full.
    pub lost: u64,
}

/// Why there is no mirror port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortMirrorError {
    /// There are as many as there may be.
    #[error("{} mirrors copy to ports already; delete one first", super::MAX_MIRRORS)]
    TooMany,
    /// A port that it names is not there.
    #[error("{0}: no such port; listport shows the ports")]
    NoSuchPort(PortRef),
    /// It would copy its own copies.
    #[error("port {0} is both mirrored and the port that copies leave by; leave it out of one")]
    ToItself(PortRef),
    /// No mirror has this number.
    #[error("no mirror {0}; listmirror shows the mirrors")]
    NoSuchMirror(u32),
}

/// The Switch's end of it.
#[derive(Debug)]
pub(crate) struct Output {
    number: u32,
    what: PortMirror,
    to: Option<PortNumber>,
    /// Whether none of the ports is there that it is to copy from.
    is_idle: bool,
    /// Whether the frame at hand was copied: each is once, whatever ports it passes.
    pub(super) has_taken: bool,
    pub(crate) copies: Vec<Frame>,
    pub(crate) counts: MirrorCounts,
    arena: BytesMut,
}

impl Output {
    pub(super) fn new(number: u32, what: PortMirror) -> Self {
        Self {
            number,
            what,
            to: None,
            is_idle: true,
            has_taken: false,
            copies: Vec::new(),
            counts: MirrorCounts::default(),
            arena: BytesMut::new(),
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn info(&self) -> PortMirrorInfo {
        let Self { number, what, to, counts, .. } = self;
        PortMirrorInfo { number: *number, what: what.clone(), to: *to, counts: *counts }
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.what.filter
    }

    pub(crate) fn to(&self) -> Option<PortNumber> {
        self.to
    }

    /// The port that carries its copies and nothing else.
    pub(crate) fn reserved(&self) -> Option<PortNumber> {
        self.to.filter(|_| self.what.to_vlan.is_none())
    }

    /// Who its copies are from: those that share a port with other frames give way to them.
    pub(crate) fn source(&self) -> Source {
        Source { flooded: self.what.to_vlan.is_some(), ..Source::of_mirror(self.number) }
    }

    /// Finds its ports again, by `find`.
    pub(crate) fn find_ports(&mut self, find: impl Fn(&PortRef) -> Option<PortNumber>) {
        self.to = find(&self.what.to);
        self.what.filter.ports = self.what.from.iter().filter_map(find).collect();
        self.is_idle = self.what.filter.ports.is_empty() && !self.what.from.is_empty();
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.to, self.what.to_vlan) == (other.to, other.what.to_vlan)
    }

    /// Whether it copies a frame; never one that has been, or could be, a copy of its own.
    pub(super) fn wants(&self, frame: &Frame, port: PortNumber, direction: Direction) -> bool {
        let is_in = |vid| frame.vlan().is_some_and(|(of, _)| of == vid);
        !self.is_idle
            && self.to != Some(port)
            && !self.what.to_vlan.is_some_and(is_in)
            && self.what.filter.wants(frame, port, direction)
    }

    pub(super) fn take(&mut self, frame: &Frame) {
        self.has_taken = true;
        let frame = match self.what.to_vlan {
            None => frame.clone(),
            // A frame can wait for one change of its tag.
            Some(vid) => {
                let is_whole = frame.tag_change().is_none();
                let whole = if is_whole {
                    frame.clone()
                } else {
                    copy(&mut self.arena, frame, frame.len())
                };
                whole.push_tag(Tag::customer(vid.get()))
            }
        };
        self.copies.push(frame);
    }
}

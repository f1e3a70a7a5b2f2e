//! Finishing frames before they pass where their unfinished work may not: into a medium
//! that takes only finished frames, or through a port whose setting `offload` says so.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use super::segment::segment;
use crate::core::{
    counters::{Counters, Discard},
    frame::{Frame, Gso},
    settings::OffloadTypes,
};

/// The setting `offload` of a port: set by the Switch, read where frames pass.
#[derive(Debug)]
pub struct AllowedOffload(AtomicU8);

impl Default for AllowedOffload {
    /// Everything.
    fn default() -> Self {
        Self(AtomicU8::new(OffloadTypes::ALL.bits()))
    }
}

impl AllowedOffload {
    pub(crate) fn set(&self, types: OffloadTypes) {
        self.0.store(types.bits(), Relaxed);
    }

    fn get(&self) -> OffloadTypes {
        OffloadTypes::from_bits(self.0.load(Relaxed))
    }
}

/// Where frames pass in one direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finisher {
    allowed: Arc<AllowedOffload>,
    /// Whether the medium takes only finished frames.
    plain: bool,
    /// Frames that cannot be finished are counted here.
    counters: Arc<Counters>,
}

impl Finisher {
    pub(crate) const fn new(
        allowed: Arc<AllowedOffload>,
        plain: bool,
        counters: Arc<Counters>,
    ) -> Self {
        Self { allowed, plain, counters }
    }

    /// The port's counters.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What may pass now: to be asked once for a batch.
    pub(crate) fn allowed(&self) -> OffloadTypes {
        if self.plain { OffloadTypes::NONE } else { self.allowed.get() }
    }

    /// Gives `emit` the frame, or the finished frames that it stands for.
    pub(crate) fn pass(&self, frame: Frame, allowed: OffloadTypes, mut emit: impl FnMut(Frame)) {
        // Whatever is not plain changes tags as it writes.
        let may_pass = match frame.offload().gso {
            _ if self.plain => frame.is_finished(),
            Gso::None => allowed.checksum || frame.offload().csum.is_none(),
            Gso::Tcp4 | Gso::Tcp6 => allowed.tcp,
            Gso::Udp => allowed.udp,
        };
        if may_pass {
            emit(frame);
        } else if segment(frame, emit).is_err() {
            self.counters.discarded(Discard::UnknownOffload, 1);
        }
    }
}

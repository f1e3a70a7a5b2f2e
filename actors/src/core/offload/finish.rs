//! Finishing frames before they pass where their unfinished work may not: into a medium
//! that takes only finished frames, or through a port whose setting `offload` says so.

use std::sync::Arc;

use super::segment::segment;
use crate::core::{
    counters::{Counters, Discard},
    frame::{Frame, Gso},
    settings::{LinkSettings, OffloadTypes},
};

/// Where frames pass in one direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finisher {
    settings: Arc<LinkSettings>,
    /// Whether the medium takes only finished frames.
    plain: bool,
    /// Frames that cannot be finished are counted here.
    counters: Arc<Counters>,
}

impl Finisher {
    pub(crate) const fn new(
        settings: Arc<LinkSettings>,
        plain: bool,
        counters: Arc<Counters>,
    ) -> Self {
        Self { settings, plain, counters }
    }

    /// The port's counters.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The port's settings.
    pub(crate) const fn settings(&self) -> &Arc<LinkSettings> {
        &self.settings
    }

    /// What may pass now: to be asked once for a batch.
    pub(crate) fn allowed(&self) -> OffloadTypes {
        if self.plain { OffloadTypes::NONE } else { self.settings.offload() }
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

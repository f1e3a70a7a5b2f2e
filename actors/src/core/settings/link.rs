//! Settings that a link reads while it runs. The Switch sets them when what is in force
//! changes; nothing here is asked for more than once a batch.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use super::{OffloadTypes, PortSettings};

/// What a running link needs to know of its port's settings.
#[derive(Debug)]
pub struct LinkSettings {
    offload: AtomicU8,
    /// 0: none is set.
    txqueuelen: AtomicU32,
}

impl Default for LinkSettings {
    /// Everything may pass.
    fn default() -> Self {
        Self { offload: AtomicU8::new(OffloadTypes::ALL.bits()), txqueuelen: AtomicU32::new(0) }
    }
}

impl LinkSettings {
    pub(crate) fn apply(&self, settings: &PortSettings) {
        self.offload.store(settings.offload().bits(), Relaxed);
        let frames =
            settings.txqueuelen.map_or(0, |frames| u32::try_from(frames).unwrap_or(u32::MAX));
        self.txqueuelen.store(frames, Relaxed);
    }

    /// Unfinished work that may pass.
    pub(crate) fn offload(&self) -> OffloadTypes {
        OffloadTypes::from_bits(self.offload.load(Relaxed))
    }

    /// Frames that the kernel is to queue for the port's interface.
    pub(crate) fn txqueuelen(&self) -> Option<u32> {
        Some(self.txqueuelen.load(Relaxed)).filter(|frames| *frames > 0)
    }
}

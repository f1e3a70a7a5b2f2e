//! Settings that a link reads while it runs. The Switch sets them when what is in force
//! changes; nothing here is asked for more than once a batch.

use std::{
    future::poll_fn,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU32,
            Ordering::{self, Relaxed},
        },
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;

use super::{OffloadTypes, PortSettings};
use crate::core::line::{Direction, LineSettings};

/// What a running link needs to know of its port's settings.
#[derive(Debug)]
pub struct LinkSettings {
    offload: AtomicU8,
    /// 0: none is set.
    txqueuelen: AtomicU32,
    has_carrier: AtomicBool,
    /// Its lines, in the order of [`Direction::ALL`], which directions have one, and how often
    /// they were changed.
    lines: Mutex<[LineSettings; 2]>,
    has_line: [AtomicBool; 2],
    line_version: AtomicU32,
    /// Whether the link has not been told of the last change.
    is_news: AtomicBool,
    link: AtomicWaker,
}

impl Default for LinkSettings {
    /// Everything may pass.
    fn default() -> Self {
        Self {
            offload: AtomicU8::new(OffloadTypes::ALL.bits()),
            txqueuelen: AtomicU32::new(0),
            has_carrier: AtomicBool::new(true),
            lines: Mutex::default(),
            has_line: Default::default(),
            line_version: AtomicU32::new(0),
            is_news: AtomicBool::new(false),
            link: AtomicWaker::new(),
        }
    }
}

impl LinkSettings {
    pub(crate) fn apply(&self, settings: &PortSettings) {
        self.offload.store(settings.offload().bits(), Relaxed);
        let frames =
            settings.txqueuelen.map_or(0, |frames| u32::try_from(frames).unwrap_or(u32::MAX));
        self.txqueuelen.store(frames, Relaxed);
        if settings.carrier_from.is_none() {
            self.has_carrier.store(true, Relaxed);
        }
        self.set_lines(Direction::ALL.map(|direction| LineSettings::of(direction, settings)));
        self.tell();
    }

    fn set_lines(&self, new: [LineSettings; 2]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if *lines != new {
            for (has_line, line) in self.has_line.iter().zip(&new) {
                has_line.store(!line.is_plain(), Relaxed);
            }
            *lines = new;
            self.line_version.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether anything is set for the line of this direction.
    pub(crate) fn has_line(&self, direction: Direction) -> bool {
        self.has_line[direction as usize].load(Relaxed)
    }

    /// Another number whenever something was changed for a line.
    pub(crate) fn line_version(&self) -> u32 {
        self.line_version.load(Ordering::Acquire)
    }

    /// What is set for the line of this direction.
    pub(crate) fn line(&self, direction: Direction) -> LineSettings {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines[direction as usize].clone()
    }

    pub(crate) fn set_carrier(&self, has_carrier: bool) {
        if self.has_carrier.swap(has_carrier, Relaxed) != has_carrier {
            self.tell();
        }
    }

    fn tell(&self) {
        self.is_news.store(true, Ordering::Release);
        self.link.wake();
    }

    /// Waits until something has changed. For one link at a time.
    pub(crate) async fn changed(&self) {
        poll_fn(|context| {
            self.link.register(context.waker());
            if self.is_news.swap(false, Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Unfinished work that may pass.
    pub(crate) fn offload(&self) -> OffloadTypes {
        OffloadTypes::from_bits(self.offload.load(Relaxed))
    }

    /// Frames that the kernel is to queue for the port's interface.
    pub(crate) fn txqueuelen(&self) -> Option<u32> {
        Some(self.txqueuelen.load(Relaxed)).filter(|frames| *frames > 0)
    }

    /// Whether the device is to have a carrier.
    pub(crate) fn has_carrier(&self) -> bool {
        self.has_carrier.load(Relaxed)
    }
}

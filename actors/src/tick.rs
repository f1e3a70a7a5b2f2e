//! Ticks on the clock of this thread's runtime; `core/tick` says what they are for.

use std::{cell::Cell, io, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use crate::core::tick;
pub use crate::core::tick::TICK;

/// How often a runtime is made, each in a tenth of a millisecond, until one is made in time.
const TRIES: u32 = 20;

thread_local! {
    /// The tick that the others of this thread are counted from.
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A runtime for this thread whose timers count from a tick. In another a tick may wake the thread
/// twice.
///
/// # Errors
/// The system refuses it a descriptor.
pub fn runtime() -> io::Result<Runtime> {
    let mut tries = 0;
    loop {
        let start = Instant::now();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        tries += 1;
        // Its timers began in between, and count milliseconds: on a busy machine not at once.
        if start.elapsed() < Duration::from_millis(1) || tries == TRIES {
            START.set(Some(start));
            return Ok(runtime);
        }
    }
}

/// Has ticks counted from now, on a clock that stands still.
#[cfg(test)]
pub(crate) fn begin() {
    START.set(Some(Instant::now()));
}

/// The tick that the others of this thread are counted from.
pub(crate) fn start() -> Instant {
    START.get().unwrap_or_else(|| {
        let now = Instant::now();
        START.set(Some(now));
        now
    })
}

/// The first moment after `now` that is a whole number of `period`s after the start.
pub(crate) fn next(now: Instant, period: Duration) -> Instant {
    tick::next(start().into_std(), now.into_std(), period).into()
}

/// The tick that is nearest to `time`, half a tick away at most.
pub(crate) fn nearest(time: Instant) -> Instant {
    next(time - TICK / 2, TICK)
}

/// Ticks, one each `period`, which is rounded down to a whole number of ticks unless it is
/// shorter than one. The first comes after a period at most.
#[must_use]
pub fn every(period: Duration) -> Interval {
    let ticks = u32::try_from(period.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
    let period = if ticks == 0 { period } else { TICK * ticks };
    let mut interval = interval_at(next(Instant::now(), period), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

//! The tick: what must look at something now and then looks at ticks, so that an idle switch
//! wakes once for all of it. What has nothing to look at has no timer.

use std::time::{Duration, Instant};

/// Time between two ticks: a second, as far as anybody waits for it. The runtime's timers stand
/// in slots of 64 ms, and one that is due inside of a slot wakes the thread at the slot's
/// beginning as well. A multiple of that wakes it once.
pub const TICK: Duration = Duration::from_millis(1024);

/// The first moment after `now` that is a whole number of `period`s, which is not zero, after
/// `start`.
pub(crate) fn next(start: Instant, now: Instant, period: Duration) -> Instant {
    let passed = now.saturating_duration_since(start).as_nanos();
    let rest = period.as_nanos() - passed % period.as_nanos();
    // No longer than the period.
    now + Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_is_the_first_multiple_after_now() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let of = |ms, period| next(start, at(ms), Duration::from_millis(period));
        assert_eq!(of(0, 1024), at(1024));
        assert_eq!(of(1023, 1024), at(1024));
        assert_eq!(of(1024, 1024), at(2048), "it is over");
        assert_eq!(of(2500, 3000), at(3000));
        assert_eq!(next(at(50), at(0), Duration::from_millis(10)), at(10), "before the start");
    }
}

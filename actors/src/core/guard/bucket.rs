//! A bucket: how much of something may happen, at once and in a second.
//!
//! A bucket is a point in time (the generic cell rate algorithm, ITU-T I.371): no timer
//! fills it and no rounding empties it.

use std::time::{Duration, Instant};

const NANOS: u64 = 1_000_000_000;

/// What a bucket holds when it is full, and what flows into it in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// One bucket. Its rate is an argument: several that share it may have different ones.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When it is full again; in the past, it is full.
    full_at: Option<Instant>,
}

impl Bucket {
    fn lag(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// What is used up of the burst.
    pub(crate) fn used(&self, rate: Rate, now: Instant) -> u64 {
        let nanos = u64::try_from(self.lag(now).as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_mul(rate.per_second.into()).div_ceil(NANOS)
    }

    /// Whether there is room for `count`. A full bucket takes whatever comes at once: else
    /// what is longer than the burst never passed.
    pub(crate) fn has_room(&self, rate: Rate, count: u64, now: Instant) -> bool {
        let used = self.used(rate, now);
        let never = rate.per_second == 0 || rate.burst == 0;
        !never && (used == 0 || used + count <= rate.burst.into())
    }

    /// Takes `count` out.
    pub(crate) fn take(&mut self, rate: Rate, count: u64, now: Instant) {
        let nanos = count.saturating_mul(NANOS) / u64::from(rate.per_second.max(1));
        self.full_at = Some(now + self.lag(now) + Duration::from_nanos(nanos));
    }

    /// Time until no more than the burst is used up.
    pub(crate) fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let burst = u64::from(rate.burst) * NANOS / u64::from(rate.per_second.max(1));
        self.lag(now).saturating_sub(Duration::from_nanos(burst))
    }

    /// Takes `count` out if there is room for it.
    pub(crate) fn admit(&mut self, rate: Rate, count: u64, now: Instant) -> bool {
        let has_room = self.has_room(rate, count, now);
        if has_room {
            self.take(rate, count, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_pass_and_no_less(
            per_second in 1u32..10_000, burst in 1u32..10_000, gaps in prop::collection::vec(0u64..5_000_000, 1..2000),
        ) {
            let (start, mut bucket) = (Instant::now(), Bucket::default());
            let rate = Rate { per_second, burst };
            let (mut now, mut passed) = (start, 0u32);
            for gap in gaps {
                now += Duration::from_nanos(gap);
                let had_room = bucket.used(rate, now) < u64::from(burst);
                prop_assert_eq!(bucket.admit(rate, 1, now), had_room);
                passed += u32::from(had_room);
            }
            let earned = (now - start).as_secs_f64() * f64::from(per_second) * 1.001 + 1.0;
            prop_assert!(f64::from(passed) <= f64::from(burst) + earned);
        }
    }

    proptest! {
        #[test]
        fn who_pays_afterwards_and_waits_has_the_rate(
            per_second in 1000u32..100_000_000, burst in 0u32..1_000_000,
            lengths in prop::collection::vec(60u64..65_536, 100..300), late in 0u64..1_000_000,
        ) {
            let (start, mut bucket) = (Instant::now(), Bucket::default());
            let rate = Rate { per_second, burst };
            let (mut now, mut passed) = (start, 0);
            // Each length is a whole number of nanoseconds, and so is the burst.
            let rounded = f64::from(per_second) / NANOS as f64 * (lengths.len() + 1) as f64;
            for length in &lengths {
                bucket.take(rate, *length, now);
                passed += length;
                let wait = bucket.wait(rate, now);
                let (earned, sum) = ((now + wait - start).as_secs_f64() * f64::from(per_second), passed as f64);
                prop_assert!(sum <= f64::from(burst) + earned + rounded + 1.0, "no more");
                if wait > Duration::ZERO {
                    prop_assert!(sum >= earned, "and no less: {sum} of {earned}");
                    // A timer is late by less than the burst has room for, as a rule.
                    let slack = u64::from(burst) * NANOS / u64::from(per_second);
                    now += wait + Duration::from_nanos(late.min(slack));
                }
            }
        }
    }

    #[test]
    fn a_storm_passes_its_burst_and_then_its_rate() {
        let (mut bucket, rate) = (Bucket::default(), Rate { per_second: 1000, burst: 4000 });
        let mut now = Instant::now();
        assert_eq!((0..10_000).filter(|_| bucket.admit(rate, 1, now)).count(), 4000);
        assert_eq!(bucket.used(rate, now), 4000);
        now += Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| bucket.admit(rate, 1, now)).count(), 1000);
        now += Duration::from_secs(60);
        assert_eq!(bucket.used(rate, now), 0);
        assert_eq!(
            (0..10_000).filter(|_| bucket.admit(rate, 1, now)).count(),
            4000,
            "no more is saved"
        );
    }
}

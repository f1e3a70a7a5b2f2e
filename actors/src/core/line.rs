//! The line of a port, one for each direction: how fast frames pass, and what becomes of them on
//! their way, after they have left the port's queue.
//!
//! Held by `port/queue`, which keeps the time. A line that nothing is set for costs a comparison a
//! batch. A rate is the holder's: all lines of his in one direction pay into one bucket.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    counters::Discard,
    frame::Frame,
    guard::bucket::{Bucket, Rate},
    impair::{Impair, Impairment},
    settings::{Excess, LinkSettings, PortSettings},
};
use crate::names;

names! {
    /// A way through a port.
    pub(crate) enum Direction {
        /// From its medium into the switch.
        In = "in",
        /// Out of the switch to its medium.
        Out = "out",
    }
}

impl Direction {
    /// The bucket that is set for it, and what becomes of frames over it.
    pub(crate) fn limit(self, settings: &PortSettings) -> Option<(Rate, Excess)> {
        match self {
            Self::In => settings.rate_in().bucket(Excess::Police),
            Self::Out => settings.rate_out().bucket(Excess::Shape),
        }
    }
}

/// What is set for a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LineSettings {
    /// How fast frames pass; `None`: as they come.
    pub(crate) rate: Option<Rate>,
    /// What becomes of frames on it, if anything.
    pub(crate) impair: Option<Impairment>,
}

impl LineSettings {
    /// Of the line of this direction, among a port's settings.
    pub(crate) fn of(direction: Direction, settings: &PortSettings) -> Self {
        let limit = direction.limit(settings);
        let shaped = limit.filter(|(_, excess)| *excess == Excess::Shape);
        Self { rate: shaped.map(|(rate, _)| rate), impair: Impairment::of(direction, settings) }
    }

    /// Whether frames pass as if there were no line.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What has passed by the ports of a holder, in each [`Direction`].
#[derive(Debug, Default)]
pub(crate) struct Buckets([Mutex<Bucket>; 2]);

impl Buckets {
    fn of(&self, direction: Direction) -> MutexGuard<'_, Bucket> {
        // A bucket is one value: whoever panicked has left it whole.
        self.0[direction as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for `octets`, which are taken then.
    pub(crate) fn admit(&self, of: Direction, rate: Rate, octets: u64, now: Instant) -> bool {
        self.of(of).admit(rate, octets, now)
    }

    /// Takes `octets`, whether or not there is room; the time until there is again.
    fn pay(&self, of: Direction, rate: Rate, octets: u64, now: Instant) -> Duration {
        let mut bucket = self.of(of);
        bucket.take(rate, octets, now);
        bucket.wait(rate, now)
    }

    /// Forgets what has passed.
    pub(crate) fn reset(&self, of: Direction) {
        *self.of(of) = Bucket::default();
    }
}

/// The line of one direction.
#[derive(Debug)]
pub(crate) struct Line {
    direction: Direction,
    settings: Arc<LinkSettings>,
    /// Those that are in force here, and their version.
    own: LineSettings,
    version: u32,
    buckets: Arc<Buckets>,
    /// When the next frame may pass. A frame is paid when it has passed: so each of a holder's
    /// ports passes one, and then waits for as long as all of them need.
    next: Option<Instant>,
    impair: Option<Box<Impair>>,
}

/// The runtime's timers are of 1 ms, and late by up to as much: half of it early is right on the
/// average.
const SLACK: Duration = Duration::from_micros(500);

impl Line {
    /// One as `settings` say, which pays into the bucket of its direction.
    pub(crate) fn new(
        direction: Direction,
        settings: Arc<LinkSettings>,
        buckets: Arc<Buckets>,
    ) -> Self {
        let own = LineSettings::default();
        Self { direction, settings, own, version: 0, buckets, next: None, impair: None }
    }

    /// One that nothing is set for.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self::new(Direction::Out, Arc::default(), Arc::default())
    }

    pub(crate) const fn direction(&self) -> Direction {
        self.direction
    }

    /// Takes what is set now; whether that is something else than before.
    pub(crate) fn refresh(&mut self) -> bool {
        let version = self.settings.line_version();
        let is_news = version != self.version;
        if is_news {
            let own = self.settings.line(self.direction);
            if own.rate != self.own.rate {
                self.next = None;
            }
            if own.impair != self.own.impair {
                self.set_impairment(own.impair.clone());
            }
            (self.own, self.version) = (own, version);
        }
        is_news
    }

    fn set_impairment(&mut self, own: Option<Impairment>) {
        // Without random numbers it is the same each time: that harms nobody.
        let seed = getrandom::u64().unwrap_or_default();
        match (own, &mut self.impair) {
            (Some(own), Some(impair)) => impair.set(own, self.direction, seed),
            (Some(own), none) => *none = Some(Box::new(Impair::new(own, self.direction, seed))),
            (None, Some(impair)) => impair.end(),
            (None, None) => {}
        }
        self.impair.take_if(|impair| impair.has_ended());
    }

    /// Whether frames [pass](Self::pass) an impairment, and do not arrive at once.
    pub(crate) const fn is_impaired(&self) -> bool {
        self.impair.is_some()
    }

    /// Whether super-frames are to be cut before it.
    pub(crate) fn cuts(&self) -> bool {
        self.impair.as_ref().is_some_and(|impair| impair.cuts())
    }

    /// Sends a frame on its way to where it [arrives](Self::arrived), if it is not lost; octets
    /// that are more under way then.
    pub(crate) fn pass(&mut self, frame: Frame, now: Instant) -> Result<usize, Discard> {
        let Some(impair) = &mut self.impair else { return Ok(0) };
        let before = impair.octets();
        impair.push(frame, now).map(|()| impair.octets() - before)
    }

    /// Length of the next frame that has arrived.
    pub(crate) fn arrived(&self, now: Instant) -> Option<usize> {
        self.impair.as_ref()?.arrived(now + SLACK)
    }

    /// Takes the next frame.
    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let popped = self.impair.as_mut()?.pop();
        self.impair.take_if(|impair| impair.has_ended());
        popped
    }

    /// Time until the next frame arrives, if any is under way.
    pub(crate) fn arrival(&self, now: Instant) -> Option<Duration> {
        self.impair.as_ref()?.wait(now + SLACK)
    }

    /// Longest frame that may pass as one; a super-frame is to be cut, or it would be a burst.
    pub(crate) fn longest(&self) -> usize {
        self.own.rate.map_or(usize::MAX, |rate| rate.burst as usize)
    }

    /// Time until the next frame may leave the queue, if it may not now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.next?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// A frame of so many octets on the wire has left the queue.
    pub(crate) fn took(&mut self, octets: u64, now: Instant) {
        if let Some(rate) = self.own.rate {
            self.next = Some(now + self.buckets.pay(self.direction, rate, octets, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn settings(rate: &str) -> PortSettings {
        let mut settings = PortSettings::default();
        settings.set("rate-out", rate).expect("a rate");
        settings
    }

    /// Lines of one holder, with these rates.
    fn lines(rates: &[&str]) -> Vec<Line> {
        let buckets = Arc::<Buckets>::default();
        let of = |rate: &&str| {
            let link = Arc::new(LinkSettings::default());
            link.apply(&settings(rate));
            let mut line = Line::new(Direction::Out, link, Arc::clone(&buckets));
            line.refresh();
            line
        };
        rates.iter().map(of).collect()
    }

    /// Octets that leave by each line within `seconds`, of as many as there may, where timers
    /// are late by up to `late` microseconds.
    fn passed(lines: &mut [Line], len: u64, seconds: f64, late: u64) -> Vec<u64> {
        let (start, mut passed) = (Instant::now(), vec![0; lines.len()]);
        let (mut now, mut turn) = (start, 0_u64);
        while (now - start).as_secs_f64() < seconds {
            let mut waits = Vec::new();
            for (line, passed) in lines.iter_mut().zip(&mut passed) {
                let mut batch = 0;
                while line.wait(now).is_none() && batch < 64 {
                    line.took(len, now);
                    (*passed, batch) = (*passed + len, batch + 1);
                }
                waits.push(line.wait(now).unwrap_or_default());
            }
            turn += 1;
            let wait = waits.into_iter().min().unwrap_or_default();
            let late = if wait.is_zero() { 1 } else { late };
            now += wait + Duration::from_micros(1 + turn * 7919 % late);
        }
        passed
    }

    #[test]
    fn a_line_passes_its_rate_whatever_the_length_of_frames_and_the_lateness_of_timers() {
        for (rate, octets) in
            [("1mbit", 125_000.0), ("10mbit", 1.25e6), ("100mbit", 1.25e7), ("1gbit", 1.25e8)]
        {
            for (len, seconds) in [(60, 0.4), (1514, 2.0), (65_550, 4.0)] {
                let sum = passed(&mut lines(&[rate]), len, seconds, 2000)[0] as f64;
                assert!(sum > 0.95 * seconds * octets, "{rate}, {len}: {sum}");
                let limit = settings(rate).rate_out().bucket(Excess::Shape).expect("a rate").0;
                let most = 1.01 * seconds * octets + f64::from(limit.burst) + 2.0 * len as f64;
                assert!(sum <= most, "{rate}, {len}: {sum}");
            }
        }
    }

    #[test]
    fn ports_of_a_holder_share_the_rate_and_each_gets_its_part() {
        let passed = passed(&mut lines(&["10mbit"; 10]), 1514, 4.0, 1000);
        let sum: u64 = passed.iter().sum();
        assert!((4_900_000..5_200_000).contains(&sum), "{passed:?}");
        assert!(passed.iter().all(|one| one.abs_diff(sum / 10) < sum / 50), "{passed:?}");
    }

    proptest! {
        #[test]
        fn no_line_ever_passes_more_than_burst_and_rate_and_a_frame_of_each_port(
            lens in vec(60u64..65_550, 1..100), ports in 1usize..4, gaps in vec(0u64..50_000, 1..20),
        ) {
            let mut lines = lines(&vec!["10mbit/20kb"; ports]);
            let (start, mut sum) = (Instant::now(), 0);
            let mut now = start;
            for (len, gap) in lens.iter().zip(gaps.iter().cycle()) {
                now += Duration::from_micros(*gap);
                for line in &mut lines {
                    if line.wait(now).is_none() {
                        line.took(*len, now);
                        sum += len;
                    }
                }
                let earned = (now - start).as_secs_f64() * 1.25e6;
                prop_assert!(sum as f64 <= earned + 20_480.0 + 65_550.0 * ports as f64 + 1.0);
            }
        }
    }

    #[test]
    fn another_rate_counts_at_once_and_none_lets_everything_pass() {
        let mut line = lines(&["8kbit"]).remove(0);
        let now = Instant::now();
        line.took(60_000, now);
        assert!(line.wait(now).is_some_and(|wait| wait > Duration::from_secs(40)));
        line.settings.apply(&settings("8mbit"));
        line.buckets.reset(Direction::Out);
        line.refresh();
        assert_eq!(line.wait(now), None);
        line.settings.apply(&settings("10mbit police"));
        line.refresh();
        line.took(u64::from(u32::MAX), now);
        assert_eq!((line.wait(now), line.longest()), (None, usize::MAX));
    }
}

//! Impairment, for labs: it delays, loses, duplicates, reorders and corrupts frames, as a bad link.
//! The words are those of netem.
//!
//! Percent of a port's line (`line`), between its queue and what the frames go to. Time is an
//! argument, and all chance comes from a seed: the same frames at the same times have the same
//! fate. It holds a bounded number of octets.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{
    counters::Discard,
    frame::Frame,
    gauge::cost,
    line::Direction,
    packet::HEADER_LEN,
    settings::{Loss, Percent, PortSettings},
};

/// What is set for one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impairment {
    delay: Duration,
    /// The delay differs by up to so much, both ways.
    jitter: Duration,
    loss: Loss,
    /// Frames that are not delayed, and so overtake the others.
    reorder: Percent,
    duplicate: Percent,
    corrupt: Percent,
    /// Octets under way at most.
    limit: usize,
    seed: Option<u64>,
}

impl Impairment {
    /// Of a direction, if there is any.
    pub(crate) fn of(direction: Direction, settings: &PortSettings) -> Option<Self> {
        let own = Self {
            delay: settings.delay().of(direction).duration(),
            jitter: settings.jitter().of(direction).duration(),
            loss: settings.loss().of(direction),
            reorder: settings.reorder().of(direction),
            duplicate: settings.duplicate().of(direction),
            corrupt: settings.corrupt().of(direction),
            limit: settings.impair_limit().0 as usize,
            seed: settings.impair_seed.map(|seed| seed as u64),
        };
        (own.is_lossy() || own.delay + own.jitter > Duration::ZERO).then_some(own)
    }

    /// Whether frames have fates of their own, and not only the delay of all: super-frames are
    /// to be cut before.
    fn is_lossy(&self) -> bool {
        let parts = [self.loss.part(), self.reorder, self.duplicate, self.corrupt];
        parts.iter().any(|part| !part.is_none()) || !self.jitter.is_zero()
    }
}

/// Random numbers from a seed (SplitMix64, by Steele, Lea and Flood, 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to less than 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether what happens so often happens now.
    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }
}

/// A line that impairs frames.
#[derive(Debug)]
pub(crate) struct Impair {
    own: Impairment,
    random: Random,
    /// Whether a burst of losses goes on.
    is_losing: bool,
    /// Nothing is set any more: all that is under way arrives now.
    is_over: bool,
    /// Frames under way by the time at which they arrive, and by their number.
    waiting: BTreeMap<(Instant, u64), Frame>,
    octets: usize,
    number: u64,
}

impl Impair {
    /// One as `own` says; `seed` counts where that has none.
    pub(crate) fn new(own: Impairment, direction: Direction, seed: u64) -> Self {
        let mut random = Random(own.seed.unwrap_or(seed));
        // Both directions have the same seed, and not the same fate.
        random.0 = random.next().wrapping_add(direction as u64);
        Self {
            own,
            random,
            is_losing: false,
            is_over: false,
            waiting: BTreeMap::new(),
            octets: 0,
            number: 0,
        }
    }

    /// Puts something else in force. What is under way arrives when it would have.
    pub(crate) fn set(&mut self, own: Impairment, direction: Direction, seed: u64) {
        let Self { octets, number, .. } = *self;
        let waiting = mem::take(&mut self.waiting);
        *self = Self { waiting, octets, number, ..Self::new(own, direction, seed) };
    }

    /// Nothing is to be impaired any more; what is under way arrives now.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether all has arrived after its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_over && self.waiting.is_empty()
    }

    /// Octets under way, with each frame's overhead.
    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }

    /// Whether super-frames are to be cut before: each segment has a fate of its own.
    pub(crate) fn cuts(&self) -> bool {
        self.own.is_lossy()
    }

    /// Sends `frame` on its way.
    ///
    /// # Errors
    /// It is lost, for this reason.
    pub(crate) fn push(&mut self, frame: Frame, now: Instant) -> Result<(), Discard> {
        if self.is_over {
            self.insert(now, frame);
            return Ok(());
        }
        if self.loses() {
            return Err(Discard::Impaired);
        }
        let again = self.random.happens(self.own.duplicate.probability());
        let copy = again.then(|| frame.clone());
        self.send(frame, now)?;
        // A copy that there is no room for was not lost: nobody has sent it.
        let _ = copy.map(|copy| self.send(copy, now));
        Ok(())
    }

    fn loses(&mut self) -> bool {
        match self.own.loss.gilbert() {
            None => self.random.happens(self.own.loss.part().probability()),
            Some((begins, ends)) => {
                let changes = self.random.happens(if self.is_losing { ends } else { begins });
                self.is_losing ^= changes;
                self.is_losing
            }
        }
    }

    fn send(&mut self, frame: Frame, now: Instant) -> Result<(), Discard> {
        let is_damaged = self.random.happens(self.own.corrupt.probability());
        let overtakes = self.random.happens(self.own.reorder.probability());
        let delay = if overtakes { Duration::ZERO } else { self.delay() };
        if self.octets > 0 && self.octets + cost(&frame) > self.own.limit {
            return Err(Discard::ImpairLimit);
        }
        let frame = if is_damaged { self.damaged(&frame) } else { frame };
        self.insert(now + delay, frame);
        Ok(())
    }

    fn insert(&mut self, at: Instant, frame: Frame) {
        self.octets += cost(&frame);
        self.number += 1;
        self.waiting.insert((at, self.number), frame);
    }

    fn delay(&mut self) -> Duration {
        let Impairment { delay, jitter, .. } = self.own;
        if jitter.is_zero() {
            return delay;
        }
        (delay + jitter.mul_f64(2.0 * self.random.fraction())).saturating_sub(jitter)
    }

    /// A copy with one wrong bit behind its addresses and its type.
    fn damaged(&mut self, frame: &Frame) -> Frame {
        let mut data = BytesMut::from(frame.data());
        if data.len() > HEADER_LEN {
            let bit = self.random.below((data.len() - HEADER_LEN) * 8);
            data[HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
        }
        Frame::new(data.freeze()).retag(frame.tag_change())
    }

    /// Time until the next frame arrives, if any is under way.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let (&(at, _), _) = self.waiting.first_key_value()?;
        if self.is_over {
            return Some(Duration::ZERO);
        }
        Some(at.saturating_duration_since(now))
    }

    /// Length of the next frame, if it has arrived.
    pub(crate) fn arrived(&self, now: Instant) -> Option<usize> {
        let has_arrived = self.wait(now)?.is_zero();
        self.waiting.first_key_value().filter(|_| has_arrived).map(|(_, frame)| frame.len())
    }

    /// Takes the next frame.
    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let (_, frame) = self.waiting.pop_first()?;
        self.octets -= cost(&frame);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Frames of 60 octets, or a little more, that are told apart by their last two.
    fn frame(number: u16) -> Frame {
        let mut data = vec![0; 60 + usize::from(number % 100)];
        data.extend(number.to_be_bytes());
        Frame::new(Bytes::from(data))
    }

    fn number(frame: &Frame) -> u16 {
        frame.data().last_chunk().map_or(0, |octets| u16::from_be_bytes(*octets))
    }

    fn settings(all: &[(&str, &str)]) -> PortSettings {
        let mut settings = PortSettings::default();
        all.iter().for_each(|(name, value)| settings.set(name, value).expect("a good value"));
        settings
    }

    fn line(all: &[(&str, &str)]) -> Impair {
        let own = Impairment::of(Direction::Out, &settings(all)).expect("something is set");
        Impair::new(own, Direction::Out, 1)
    }

    #[derive(Debug, Default, PartialEq)]
    struct Outcome {
        /// Frames with the microsecond in which they arrived.
        arrived: Vec<(u64, Frame)>,
        lost: u64,
        over_limit: u64,
    }

    /// What becomes of `count` frames that are sent `gap` microseconds apart.
    fn outcome(line: &mut Impair, count: u16, gap: u64) -> Outcome {
        let (start, mut outcome) = (Instant::now(), Outcome::default());
        let take = |line: &mut Impair, now: Instant, arrived: &mut Vec<(u64, Frame)>| {
            while line.arrived(now).is_some() {
                let at = u64::try_from((now - start).as_micros()).expect("a short test");
                arrived.extend(line.pop().map(|frame| (at, frame)));
            }
        };
        let mut now = start;
        for number in 0..count {
            let until = start + Duration::from_micros(gap * u64::from(number));
            while line.wait(now).is_some_and(|wait| now + wait <= until) {
                now += line.wait(now).unwrap_or_default();
                take(line, now, &mut outcome.arrived);
            }
            now = until;
            match line.push(frame(number), now) {
                Err(Discard::Impaired) => outcome.lost += 1,
                Err(Discard::ImpairLimit) => outcome.over_limit += 1,
                other => assert_eq!(other, Ok(())),
            }
            take(line, now, &mut outcome.arrived);
        }
        while let Some(wait) = line.wait(now) {
            now += wait;
            take(line, now, &mut outcome.arrived);
        }
        assert_eq!((line.octets(), line.pop()), (0, None));
        outcome
    }

    fn numbers(outcome: &Outcome) -> Vec<u16> {
        outcome.arrived.iter().map(|(_, frame)| number(frame)).collect()
    }

    #[test]
    fn a_delay_keeps_the_order_and_loses_nothing() {
        let outcome = outcome(&mut line(&[("delay", "20ms")]), 1000, 100);
        assert_eq!(numbers(&outcome), (0..1000).collect::<Vec<_>>());
        let delays = outcome.arrived.iter().zip(0..).map(|((at, _), number)| at - number * 100);
        assert!(delays.into_iter().all(|delay| delay == 20_000));
        assert_eq!((outcome.lost, outcome.over_limit), (0, 0));
    }

    #[test]
    fn jitter_stays_in_its_bounds_on_both_sides() {
        let outcome = outcome(&mut line(&[("delay", "20ms"), ("jitter", "5ms")]), 10_000, 100);
        let delay = |(at, frame): &(u64, Frame)| at - u64::from(number(frame)) * 100;
        let delays: Vec<_> = outcome.arrived.iter().map(delay).collect();
        assert_eq!(delays.len(), 10_000);
        assert!(delays.iter().all(|delay| (15_000..=25_000).contains(delay)));
        let mean = delays.iter().sum::<u64>() / 10_000;
        assert!((19_800..20_200).contains(&mean), "{mean}");
        assert!(delays.iter().any(|d| *d < 15_100) && delays.iter().any(|d| *d > 24_900));
        assert!(!numbers(&outcome).is_sorted());
    }

    #[test]
    fn losses_are_as_many_as_asked_for_and_in_bursts_of_that_length() {
        for (loss, part, burst) in
            [("1%", 0.01, 1.0), ("10%", 0.1, 1.0), ("10%/5", 0.1, 5.0), ("50%/20", 0.5, 20.0)]
        {
            let outcome = outcome(&mut line(&[("loss", loss), ("impair-seed", "7")]), 60_000, 1);
            let lost = outcome.lost as f64;
            assert!((lost / 60_000.0 / part - 1.0).abs() < 0.1, "{loss}: {lost}");
            let arrived = numbers(&outcome);
            assert!(arrived.is_sorted() && arrived.len() as u64 + outcome.lost == 60_000);
            if loss.contains('/') {
                let gaps = arrived.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
                let mean = lost / gaps as f64;
                assert!((mean / burst - 1.0).abs() < 0.1, "{loss}: bursts of {mean}");
            }
        }
        assert_eq!(outcome(&mut line(&[("loss", "100%")]), 1000, 1).lost, 1000);
    }

    #[test]
    fn frames_are_doubled_damaged_and_moved_as_often_as_asked_for() {
        let doubled = outcome(&mut line(&[("duplicate", "20%")]), 20_000, 1);
        let more = doubled.arrived.len() - 20_000;
        assert!(more.abs_diff(4000) < 300, "{more}");
        assert!(numbers(&doubled).is_sorted());
        let damaged = outcome(&mut line(&[("corrupt", "20%")]), 20_000, 1);
        assert_eq!(damaged.arrived.len(), 20_000);
        let mut count = 0_usize;
        for ((_, got), sent) in damaged.arrived.iter().zip((0..).map(frame)) {
            let wrong = got.data().iter().zip(sent.data()).map(|(a, b)| (a ^ b).count_ones());
            let wrong: u32 = wrong.sum();
            assert!(wrong <= 1 && got.data()[..HEADER_LEN] == sent.data()[..HEADER_LEN]);
            count += wrong as usize;
        }
        assert!(count.abs_diff(4000) < 300, "{count}");
        let moved = outcome(&mut line(&[("delay", "5ms"), ("reorder", "20%")]), 20_000, 100);
        let at_once = |(at, frame): &&(u64, Frame)| *at == u64::from(number(frame)) * 100;
        let count = moved.arrived.iter().filter(at_once).count();
        assert!(count.abs_diff(4000) < 300 && moved.arrived.len() == 20_000, "{count}");
    }

    #[test]
    fn what_is_ended_or_changed_meanwhile_loses_nothing() {
        let (mut line, now) = (line(&[("delay", "10s")]), Instant::now());
        (0..10).for_each(|number| line.push(frame(number), now).expect("room"));
        let own = Impairment::of(Direction::Out, &settings(&[("delay", "20s")])).expect("a delay");
        line.set(own, Direction::Out, 1);
        line.push(frame(10), now).expect("room");
        assert_eq!(line.wait(now), Some(Duration::from_secs(10)));
        line.end();
        line.push(frame(11), now).expect("room");
        let mut out: Vec<_> =
            std::iter::from_fn(|| line.arrived(now).and_then(|_| line.pop())).collect();
        out.sort_by_key(number);
        assert!(out.iter().map(number).eq(0..12) && line.has_ended());
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_and_every_frame_arrives_or_is_counted(
            seed in any::<u32>(), gap in 0u64..2000, count in 1u16..400, limit in 300u32..100_000,
            parts in vec(0u32..=100, 4), burst in 0u32..9, times in vec(0u32..20_000, 2),
        ) {
            let percent = |at: usize| format!("{}%", parts[at]);
            let loss = match burst {
                0 => percent(0),
                _ => format!("{}%/{burst}", parts[0].min(100 * burst / (burst + 1))),
            };
            let [delay, jitter] = [0, 1].map(|at: usize| format!("{}us", times[at]));
            let (seed, limit) = (seed.to_string(), format!("{limit}b"));
            let all = [
                ("impair-seed", &*seed), ("impair-limit", &*limit), ("loss", &*loss),
                ("delay", &*delay), ("jitter", &*jitter), ("reorder", &*percent(1)),
                ("duplicate", &*percent(2)), ("corrupt", &*percent(3)),
            ];
            let Some(own) = Impairment::of(Direction::Out, &settings(&all)) else {
                prop_assume!(false);
                unreachable!()
            };
            let run = |direction| outcome(&mut Impair::new(own.clone(), direction, 9), count, gap);
            let first = run(Direction::Out);
            prop_assert_eq!(&first, &run(Direction::Out));
            let arrived = first.arrived.len() as u64;
            let counted = first.lost + first.over_limit;
            prop_assert!(arrived + counted >= count.into(), "none is lost that is not counted");
            prop_assert!(arrived <= 2 * (u64::from(count) - counted));
            if parts[2] == 0 {
                prop_assert_eq!(arrived + counted, u64::from(count));
            }
            if (parts[1], times[1]) == (0, 0) && parts[3] == 0 {
                prop_assert!(numbers(&first).is_sorted());
            }
        }

        #[test]
        fn no_more_is_under_way_than_the_limit(limit in 200usize..5000, count in 1u16..300) {
            let mut line = line(&[("delay", "1s"), ("impair-limit", &format!("{limit}b"))]);
            let now = Instant::now();
            for number in 0..count {
                let had = line.octets();
                let room = had == 0 || had + cost(&frame(number)) <= limit;
                prop_assert_eq!(line.push(frame(number), now).is_ok(), room);
                prop_assert!(line.octets() <= limit.max(300));
            }
        }
    }
}

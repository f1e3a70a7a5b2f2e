//! When the sender of a port's only traffic has to wait, and when nobody waits any more.
//!
//! Stands beside the egress queue, which says how long it is and what its link takes, and
//! keeps the time. A sender whose batch went to a single port gets its credit back when
//! that port's queue is short: so a bottleneck is felt at the other end before frames are
//! dropped. A link that is stuck must hold nothing back: its senders have other receivers.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::batch::BATCH_OCTETS;

/// A queue longer than this holds credits back: a tenth of a millisecond of work at
/// the speed of memory, so that a link that is read in time never idles.
pub(crate) const HOLD_OCTETS: usize = 128 * 1024;

/// Time in which a link whose medium is full must take a whole batch, or else nobody waits for
/// it any more: 400 Mbit/s. Waiting smooths the bursts of a fast link. Behind a slower one
/// it would only move the queue into the sender's device, where nothing is dropped
/// and TCP never learns of the bottleneck. A link whose medium has room is slow because its
/// thread is busy: those who keep it busy had better wait, however small their frames are.
const STUCK_AFTER: Duration = Duration::from_millis(5);

/// The credits that one queue holds back; one goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Backpressure<C> {
    /// Oldest first: at most those that there are.
    held: VecDeque<C>,
    /// Octets that the link has taken, and had taken when it was looked at last.
    taken: u64,
    before: u64,
    /// Whether the link's medium has no room, as far as the link has said, and whether it had
    /// none at any time since the link was looked at last.
    is_full: bool,
    was_full: bool,
    /// Whether [`check`](Self::check) is to come.
    is_watched: bool,
    /// Since the last look, if the link has stopped taking any: nothing is held until it takes
    /// some again.
    stuck: Option<Instant>,
}

impl<C> Default for Backpressure<C> {
    fn default() -> Self {
        Self {
            held: VecDeque::new(),
            taken: 0,
            before: 0,
            is_full: true,
            was_full: true,
            is_watched: false,
            stuck: None,
        }
    }
}

impl<C> Backpressure<C> {
    /// Takes the credit of a batch that made the queue `used` octets long, and drops it if
    /// that is short. Gives the time after which [`check`](Self::check) is to be called,
    /// unless it is to be already.
    pub(crate) fn hold(&mut self, credit: C, used: usize) -> Option<Duration> {
        if used <= HOLD_OCTETS || self.stuck.is_some() {
            return None;
        }
        self.held.push_back(credit);
        if self.is_watched { None } else { self.watch() }
    }

    /// The link took `octets`, and left a queue of `used`. One credit goes back for each
    /// batch, so that the queue stays short; all when it is empty, since then nobody comes
    /// for the others.
    pub(crate) fn took(&mut self, octets: usize, used: usize, now: Instant) {
        self.look_again(now);
        self.taken += octets as u64;
        if used > HOLD_OCTETS {
            self.stuck.take_if(|_| self.taken - self.before >= BATCH_OCTETS as u64);
            return;
        }
        self.stuck = None;
        if used == 0 {
            self.held.clear();
        } else {
            self.held.pop_front();
        }
    }

    /// The link says that its medium has no room, or has some. One that never says is taken for
    /// full.
    pub(crate) fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
        self.was_full |= is_full;
    }

    /// Gives all credits back if the medium was full in the time that is over, and took less
    /// than a batch. Gives the time after which to check again, while credits are held.
    pub(crate) fn check(&mut self, now: Instant) -> Option<Duration> {
        self.is_watched = false;
        if self.held.is_empty() {
            return None;
        }
        if self.is_slow() {
            self.held.clear();
            self.stuck = Some(now);
            self.look();
            return None;
        }
        self.watch()
    }

    /// A link that was stuck is so no more if its medium has had room since it was looked at last.
    fn look_again(&mut self, now: Instant) {
        if self.stuck.is_some_and(|since| now.duration_since(since) >= STUCK_AFTER) {
            self.stuck = self.was_full.then_some(now);
            self.look();
        }
    }

    /// Whether the link's medium kept it from taking a batch since it was looked at.
    fn is_slow(&self) -> bool {
        self.was_full && self.taken - self.before < BATCH_OCTETS as u64
    }

    fn look(&mut self) {
        (self.before, self.was_full) = (self.taken, self.is_full);
    }

    fn watch(&mut self) -> Option<Duration> {
        self.look();
        self.is_watched = true;
        Some(STUCK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const LONG: usize = HOLD_OCTETS + 1;

    #[derive(Debug, Clone)]
    enum Step {
        Hold(usize),
        Took(usize, usize),
        Full(bool),
        Pass,
        Check,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let used = || prop_oneof![Just(0), Just(1), Just(HOLD_OCTETS), Just(LONG)];
        let octets = prop_oneof![1..BATCH_OCTETS, Just(BATCH_OCTETS)];
        let step = prop_oneof![
            used().prop_map(Step::Hold),
            (octets, used()).prop_map(|(octets, used)| Step::Took(octets, used)),
            any::<bool>().prop_map(Step::Full),
            Just(Step::Pass),
            Just(Step::Check),
        ];
        vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn credits_are_held_in_order_only_while_a_long_queue_moves(steps in steps()) {
            let mut pressure = Backpressure::default();
            let mut now = Instant::now();
            // All that happened since the link was looked at, and since when nothing is held.
            let (mut due, mut taken, mut given_up) = (false, 0, None);
            let (mut is_full, mut was_full) = (true, true);
            for (number, step) in steps.into_iter().enumerate() {
                let before: Vec<_> = pressure.held.iter().copied().collect();
                let expected = match step {
                    Step::Hold(used) => {
                        let check = pressure.hold(number, used);
                        prop_assert!(!(due && check.is_some()), "one check at a time");
                        if check.is_some() {
                            (due, taken, was_full) = (true, 0, is_full);
                        }
                        let is_held = used > HOLD_OCTETS && given_up.is_none();
                        before.into_iter().chain(is_held.then_some(number)).collect()
                    }
                    Step::Took(octets, used) => {
                        pressure.took(octets, used, now);
                        if given_up.is_some_and(|at| now - at >= STUCK_AFTER) {
                            given_up = was_full.then_some(now);
                            (taken, was_full) = (0, is_full);
                        }
                        taken += octets;
                        if used <= HOLD_OCTETS || taken >= BATCH_OCTETS {
                            given_up = None;
                        }
                        match used {
                            0 => Vec::new(),
                            LONG => before,
                            _ => before.into_iter().skip(1).collect(),
                        }
                    }
                    Step::Full(full) => {
                        pressure.set_full(full);
                        is_full = full;
                        was_full |= full;
                        before
                    }
                    Step::Pass => {
                        now += STUCK_AFTER / 2;
                        before
                    }
                    Step::Check if due => {
                        let is_slow = was_full && taken < BATCH_OCTETS;
                        due = pressure.check(now).is_some();
                        if !before.is_empty() {
                            (taken, was_full) = (0, is_full);
                            given_up = given_up.or_else(|| is_slow.then_some(now));
                        }
                        if given_up.is_some() { Vec::new() } else { before }
                    }
                    Step::Check => before,
                };
                prop_assert!(pressure.held.iter().eq(&expected));
                prop_assert!(due || expected.is_empty(), "what is held is watched");
            }
        }
    }

    /// A link that was full and took nothing, at the moment that this gives.
    fn stuck() -> (Backpressure<u8>, Instant) {
        let (mut pressure, now) = (Backpressure::default(), Instant::now());
        assert_eq!(pressure.hold(1, LONG), Some(STUCK_AFTER));
        pressure.took(BATCH_OCTETS - 1, LONG, now);
        assert_eq!((pressure.check(now), pressure.held.len()), (None, 0));
        assert_eq!((pressure.hold(2, LONG), pressure.held.len()), (None, 0));
        (pressure, now)
    }

    #[test]
    fn a_stuck_link_holds_nothing_until_its_queue_is_short() {
        let (mut pressure, now) = stuck();
        pressure.took(1, HOLD_OCTETS, now);
        assert_eq!((pressure.hold(3, LONG), pressure.held.len()), (Some(STUCK_AFTER), 1));
    }

    #[test]
    fn a_stuck_link_that_takes_a_batch_in_time_is_stuck_no_more() {
        let (mut pressure, mut now) = stuck();
        for _ in 0..10 {
            // Half of it, in twice the time.
            pressure.took(BATCH_OCTETS / 2, LONG, now);
            assert_eq!(pressure.hold(3, LONG), None);
            now += 2 * STUCK_AFTER;
        }
        pressure.took(BATCH_OCTETS / 2, LONG, now);
        pressure.took(BATCH_OCTETS, LONG, now);
        assert_eq!((pressure.hold(4, LONG), pressure.held.len()), (Some(STUCK_AFTER), 1));
    }

    #[test]
    fn a_stuck_link_whose_medium_has_had_room_for_a_time_is_stuck_no_more() {
        let (mut pressure, now) = stuck();
        pressure.set_full(false);
        pressure.took(1, LONG, now + STUCK_AFTER);
        assert_eq!(pressure.hold(3, LONG), None, "it was full in that time");
        pressure.took(1, LONG, now + 2 * STUCK_AFTER);
        assert_eq!((pressure.hold(4, LONG), pressure.held.len()), (Some(STUCK_AFTER), 1));
    }

    #[test]
    fn a_link_that_takes_a_batch_in_time_or_has_room_below_it_is_never_given_up() {
        for (is_full, octets) in [(true, BATCH_OCTETS), (false, 1)] {
            let (mut pressure, now) = (Backpressure::default(), Instant::now());
            pressure.set_full(is_full);
            assert_eq!(pressure.hold(1, LONG), Some(STUCK_AFTER));
            for _ in 0..10 {
                pressure.took(octets, LONG, now);
                assert_eq!((pressure.check(now), pressure.held.len()), (Some(STUCK_AFTER), 1));
            }
        }
    }
}

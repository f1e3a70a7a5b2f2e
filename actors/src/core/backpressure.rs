//! When the sender of a port's only traffic has to wait, and when nobody waits any more.
//!
//! Stands beside the egress queue, which says how long it is and what its link takes, and
//! keeps the time. A sender whose batch went to a single port gets its credit back when
//! that port's queue is short: so a bottleneck is felt at the other end before frames are
//! dropped. A link that is stuck must hold nothing back: its senders have other receivers.

use std::{collections::VecDeque, time::Duration};

use super::batch::BATCH_OCTETS;

/// A queue longer than this holds credits back: a tenth of a millisecond of work at
/// the speed of memory, so that a link that is read in time never idles.
pub(crate) const HOLD_OCTETS: usize = 128 * 1024;

/// Time in which a link must take a whole batch, or else nobody waits for it any more:
/// 400 Mbit/s. Waiting smooths the bursts of a fast link. Behind a slower one
/// it would only move the queue into the sender's device, where nothing is dropped
/// and TCP never learns of the bottleneck.
const STUCK_AFTER: Duration = Duration::from_millis(5);

/// The credits that one queue holds back; one goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Backpressure<C> {
    /// Oldest first: at most those that there are.
    held: VecDeque<C>,
    /// Octets that the link has taken.
    taken: u64,
    /// What it had taken when the watch began that [`check`](Self::check) will end.
    watched: Option<u64>,
    /// Whether the link has stopped taking any: nothing is held until the queue is short.
    stuck: bool,
}

impl<C> Default for Backpressure<C> {
    fn default() -> Self {
        Self { held: VecDeque::new(), taken: 0, watched: None, stuck: false }
    }
}

impl<C> Backpressure<C> {
    /// Takes the credit of a batch that made the queue `used` octets long, and drops it if
    /// that is short. Gives the time after which [`check`](Self::check) is to be called,
    /// unless it is to be already.
    pub(crate) fn hold(&mut self, credit: C, used: usize) -> Option<Duration> {
        if used <= HOLD_OCTETS || self.stuck {
            return None;
        }
        self.held.push_back(credit);
        if self.watched.is_some() { None } else { self.watch() }
    }

    /// The link took `octets`, and left a queue of `used`. One credit goes back for each
    /// batch, so that the queue stays short; all when it is empty, since then nobody comes
    /// for the others.
    pub(crate) fn took(&mut self, octets: usize, used: usize) {
        self.taken += octets as u64;
        if used > HOLD_OCTETS {
            return;
        }
        self.stuck = false;
        if used == 0 {
            self.held.clear();
        } else {
            self.held.pop_front();
        }
    }

    /// Gives all credits back if the link took less than a batch in the time that is over.
    /// Gives the time after which to check again, while credits are held.
    pub(crate) fn check(&mut self) -> Option<Duration> {
        let before = self.watched.take().unwrap_or(self.taken);
        if self.held.is_empty() {
            return None;
        }
        if self.taken - before < BATCH_OCTETS as u64 {
            self.stuck = true;
            self.held.clear();
            return None;
        }
        self.watch()
    }

    fn watch(&mut self) -> Option<Duration> {
        self.watched = Some(self.taken);
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
        Check,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let used = || prop_oneof![Just(0), Just(1), Just(HOLD_OCTETS), Just(LONG)];
        let octets = prop_oneof![1..BATCH_OCTETS, Just(BATCH_OCTETS)];
        let step = prop_oneof![
            used().prop_map(Step::Hold),
            (octets, used()).prop_map(|(octets, used)| Step::Took(octets, used)),
            Just(Step::Check),
        ];
        vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn credits_are_held_in_order_only_while_a_long_queue_moves(steps in steps()) {
            let mut pressure = Backpressure::default();
            // All that happened since a check was asked for, and since the queue was short.
            let (mut due, mut in_watch, mut given_up) = (false, 0, false);
            for (number, step) in steps.into_iter().enumerate() {
                let before: Vec<_> = pressure.held.iter().copied().collect();
                let expected = match step {
                    Step::Hold(used) => {
                        let check = pressure.hold(number, used);
                        prop_assert!(!(due && check.is_some()), "one check at a time");
                        if check.is_some() {
                            (due, in_watch) = (true, 0);
                        }
                        let is_held = used > HOLD_OCTETS && !given_up;
                        before.into_iter().chain(is_held.then_some(number)).collect()
                    }
                    Step::Took(octets, used) => {
                        pressure.took(octets, used);
                        in_watch += octets;
                        given_up &= used > HOLD_OCTETS;
                        match used {
                            0 => Vec::new(),
                            LONG => before,
                            _ => before.into_iter().skip(1).collect(),
                        }
                    }
                    Step::Check if due => {
                        let is_stuck = !before.is_empty() && in_watch < BATCH_OCTETS;
                        due = pressure.check().is_some();
                        in_watch = 0;
                        given_up |= is_stuck;
                        if is_stuck { Vec::new() } else { before }
                    }
                    Step::Check => before,
                };
                prop_assert!(pressure.held.iter().eq(&expected));
                prop_assert!(due || expected.is_empty(), "what is held is watched");
            }
        }
    }

    #[test]
    fn a_stuck_link_holds_nothing_until_its_queue_is_short() {
        let mut pressure = Backpressure::default();
        assert_eq!(pressure.hold(1, LONG), Some(STUCK_AFTER));
        pressure.took(BATCH_OCTETS - 1, LONG);
        assert_eq!((pressure.check(), pressure.held.len()), (None, 0));
        assert_eq!((pressure.hold(2, LONG), pressure.held.len()), (None, 0));
        pressure.took(1, HOLD_OCTETS);
        assert_eq!((pressure.hold(3, LONG), pressure.held.len()), (Some(STUCK_AFTER), 1));
    }

    #[test]
    fn a_link_that_takes_a_batch_in_time_is_never_given_up() {
        let mut pressure = Backpressure::default();
        assert_eq!(pressure.hold(1, LONG), Some(STUCK_AFTER));
        for _ in 0..10 {
            pressure.took(BATCH_OCTETS, LONG);
            assert_eq!((pressure.check(), pressure.held.len()), (Some(STUCK_AFTER), 1));
        }
    }
}

//! When flooded frames leave a link to the known ones: they have their part of it, and while
//! a slow link is full no more.
//!
//! Beside the egress queue, which keeps the time. In turn with others, flooded frames would
//! take all that TCP leaves at the moment, and fill the buffers below the queue, where nothing
//! passes them by: TCP takes the delay for a full link and leaves them more. So when a write
//! had to wait, and both kinds were sent, flooded frames get their part only until that has
//! been over for a while.

use std::time::{Duration, Instant};

/// Octets of known frames for each octet of flooded ones while both wait: an eighth of a link
/// is enough for DHCP, router advertisements and VRRP, and what is left is enough for work.
pub(super) const KNOWN_PER_FLOODED: u64 = 7;

/// The same while they are restrained.
const KNOWN_PER_RESTRAINED: i64 = 31;

/// Known traffic is what was sent a moment ago.
const RECENT: Duration = Duration::from_secs(1);

/// How long flooded frames are restrained at first, and at most if it begins again at once.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(16);

/// What they have in any case: octets a second, and at once.
const FLOOR: i64 = 32 * 1024;

/// Frames over this are somebody's work, and not questions and answers.
const BULK: usize = 256;

/// When restrained frames are looked at again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Whether flooded frames may leave a queue.
#[derive(Debug, Default)]
pub(crate) struct Restraint {
    /// When known bulk was sent last, and flooded frames.
    known: Option<Instant>,
    flooded: Option<Instant>,
    state: Option<Restrained>,
}

#[derive(Debug)]
struct Restrained {
    until: Instant,
    length: Duration,
    /// What flooded frames may take, in octets, as it was at this time; they may owe one frame.
    earned: i64,
    at: Instant,
}

impl Restraint {
    /// The link is full: a write had to wait.
    pub(crate) fn filled(&mut self, now: Instant) {
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| now.duration_since(at) < RECENT);
        if !is_recent(self.known) || !is_recent(self.flooded) {
            return;
        }
        match &mut self.state {
            None => {
                let (until, length) = (now + SHORTEST, SHORTEST);
                self.state = Some(Restrained { until, length, earned: FLOOR, at: now });
            }
            Some(state) if state.until <= now => {
                state.length = (2 * state.length).min(LONGEST);
                state.until = now + state.length;
                (state.earned, state.at) = (FLOOR, now);
            }
            Some(_) => {}
        }
    }

    /// Whether flooded frames may leave.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let Some(state) = &mut self.state else { return true };
        let is_idle = self.known.is_none_or(|at| now.duration_since(at) >= RECENT);
        if is_idle || now >= state.until + RECENT {
            self.state = None;
        } else if now < state.until {
            let elapsed = now.duration_since(state.at).as_millis();
            let more = i64::try_from(elapsed).unwrap_or(FLOOR).min(1000) * FLOOR / 1000;
            if more > 0 {
                (state.earned, state.at) = ((state.earned + more).min(FLOOR), now);
            }
            return state.earned > 0;
        }
        true
    }

    /// So many octets were sent.
    pub(crate) fn sent(&mut self, octets: usize, flooded: bool, now: Instant) {
        if flooded {
            self.flooded = Some(now);
            if let Some(state) = &mut self.state {
                state.earned -= signed(octets);
            }
        } else if octets > BULK {
            self.known = Some(now);
            if let Some(state) = &mut self.state {
                state.earned = (state.earned + signed(octets) / KNOWN_PER_RESTRAINED).min(FLOOR);
            }
        }
    }
}

/// A frame's length.
fn signed(octets: usize) -> i64 {
    i64::try_from(octets).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets of flooded frames that leave in a second beside known ones, of as many as there
    /// may, over a link that a flood fills.
    fn flooded(restraint: &mut Restraint, now: &mut Instant, known: usize) -> usize {
        let mut flooded = 0;
        for _ in 0..1000 {
            *now += Duration::from_millis(1);
            if known > 0 {
                restraint.sent(known / 1000, false, *now);
            }
            let mut at_once = 0;
            while at_once < 20 && restraint.allows(*now) {
                restraint.sent(1464, true, *now);
                at_once += 1;
            }
            flooded += at_once * 1464;
            if at_once == 20 {
                restraint.filled(*now);
            }
        }
        flooded
    }

    #[test]
    fn a_flood_has_its_part_of_a_full_link_beside_known_traffic_and_all_without() {
        let (mut restraint, mut now) = (Restraint::default(), Instant::now());
        assert_eq!(flooded(&mut restraint, &mut now, 0), 20_000 * 1464, "nobody minds");
        flooded(&mut restraint, &mut now, 2_000_000);
        let sums: Vec<_> = (0..30).map(|_| flooded(&mut restraint, &mut now, 2_000_000)).collect();
        let part = |sum: usize| (64_000..190_000).contains(&sum);
        assert!(sums.iter().all(|sum| part(*sum)), "{sums:?}");
        flooded(&mut restraint, &mut now, 0);
        assert_eq!(flooded(&mut restraint, &mut now, 0), 20_000 * 1464, "the others are gone");
    }

    #[test]
    fn a_few_flooded_frames_are_never_held_up() {
        let (mut restraint, mut now) = (Restraint::default(), Instant::now());
        for millis in 0..10_000 {
            now += Duration::from_millis(1);
            restraint.sent(1500, false, now);
            restraint.filled(now);
            assert!(restraint.allows(now));
            if millis % 10 == 0 {
                restraint.sent(400, true, now);
            }
        }
    }

    #[test]
    fn what_few_and_small_frames_are_sent_beside_a_flood_restrains_nothing() {
        let (mut restraint, mut now) = (Restraint::default(), Instant::now());
        for _ in 0..1000 {
            now += Duration::from_millis(1);
            restraint.sent(98, false, now);
            assert!(restraint.allows(now));
            restraint.sent(60_000, true, now);
            restraint.filled(now);
        }
    }
}

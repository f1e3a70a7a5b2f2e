//! What keeps addresses from moving between ports that they are not behind: the
//! MAC-flap guard, and the memory of what was flooded just now.
//!
//! Asked when a frame would teach the forwarding database something. Neither holds a
//! frame back: they keep what it says of its source from being believed.

use std::{
    hash::BuildHasher,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::{fdb::PortNumber, frame::Frame};

/// Moves of one address within [`WINDOW`] that are believed. A machine that changes
/// its place moves once, a wireless one between two access points a few times.
const MAX_MOVES: u8 = 5;

/// Time in which moves are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Time for which an address that moved too often stays where it is: for what makes it
/// flap to be a small part of the time, and for a person to see it in `listfdb`.
const PIN: Duration = Duration::from_secs(10);

/// The moves of one address.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moves {
    /// Over [`MAX_MOVES`]: pinned.
    count: u8,
    /// Begin of the window, or of the pin.
    since: Option<Instant>,
}

/// What to make of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// The address is there now.
    Believed,
    /// It is one too many: the address is pinned to where it was.
    Flaps,
    /// The address is pinned.
    Pinned,
}

impl Moves {
    /// Notes that the address was seen behind another port than before.
    pub(crate) fn note(&mut self, now: Instant) -> Move {
        let age = self.since.map_or(PIN, |since| now.saturating_duration_since(since));
        let pinned = self.count > MAX_MOVES;
        if age >= if pinned { PIN } else { WINDOW } {
            *self = Self { count: 1, since: Some(now) };
            return Move::Believed;
        }
        if pinned {
            return Move::Pinned;
        }
        self.count += 1;
        if self.count > MAX_MOVES {
            self.since = Some(now);
            return Move::Flaps;
        }
        Move::Believed
    }
}

/// Time in which a copy of a frame counts as its reflection: longer than a round trip,
/// shorter than the pause after which ARP asks again.
const REFLECTION: Duration = Duration::from_millis(900);

/// Octets by which a frame is known again. They end before the first checksum that a
/// device may have left to be made, that of UDP over IPv4.
const SIGNATURE_LEN: usize = 40;

/// Frames that are remembered: those of a second at storm control's rate. One that is
/// overwritten costs a wrong move at worst.
const REMEMBERED: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Seen {
    signature: u64,
    port: PortNumber,
    at: Instant,
}

/// Group-addressed frames of the last moment. A server that sends each broadcast back
/// to its sender as well (websockproxy), or a loop, would otherwise move a station to
/// where its echo comes from, and no answer would reach it. A machine that has really
/// moved is not held up: only the very frame that it had sent from its old place a
/// moment ago is not believed.
#[derive(Debug)]
pub(crate) struct Reflections {
    seen: Box<[Option<Seen>]>,
    /// Seeded, so that nobody can choose frames that overwrite another's.
    hasher: RandomState,
}

impl Default for Reflections {
    fn default() -> Self {
        Self { seen: vec![None; REMEMBERED].into(), hasher: RandomState::default() }
    }
}

impl Reflections {
    /// Remembers a group-addressed frame; whether it came in by another port a moment
    /// ago.
    pub(crate) fn note(&mut self, ingress: PortNumber, frame: &Frame, now: Instant) -> bool {
        let data = frame.data();
        let signature = self.hasher.hash_one((&data[..data.len().min(SIGNATURE_LEN)], data.len()));
        #[expect(clippy::cast_possible_truncation, reason = "its low bits are wanted")]
        let slot = &mut self.seen[signature as usize % REMEMBERED];
        if let Some(seen) = slot
            && seen.signature == signature
            && seen.port != ingress
            && now.saturating_duration_since(seen.at) < REFLECTION
        {
            return true;
        }
        *slot = Some(Seen { signature, port: ingress, at: now });
        false
    }

    /// Forgets what came in by `port`: what is behind it may be elsewhere now.
    pub(crate) fn forget(&mut self, port: PortNumber) {
        for slot in &mut self.seen {
            if slot.is_some_and(|seen| seen.port == port) {
                *slot = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_few_moves_are_believed_and_more_pin_the_address_for_a_while() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!((0..5).all(|n| moves.note(at(n * 100)) == Move::Believed));
        assert_eq!(moves.note(at(600)), Move::Flaps);
        assert_eq!(moves.note(at(601)), Move::Pinned);
        assert_eq!(moves.note(at(10_599)), Move::Pinned, "however long it goes on");
        assert_eq!(moves.note(at(10_600)), Move::Believed);
    }

    #[test]
    fn slow_moves_never_pin() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        assert!(
            (0..100).all(|n| moves.note(start + n * Duration::from_millis(300)) == Move::Believed)
        );
    }

    #[test]
    fn a_copy_from_elsewhere_is_a_reflection_for_a_moment() {
        let (mut reflections, now) = (Reflections::default(), Instant::now());
        let [a, b] = [PortNumber::FIRST, PortNumber::FIRST.next()];
        let frame = |last| Frame::new(Bytes::from([vec![0xff; 39], vec![last]].concat()));
        let later = |ms| now + Duration::from_millis(ms);
        assert!(!reflections.note(a, &frame(1), now));
        assert!(!reflections.note(a, &frame(1), later(1)), "sent again");
        assert!(reflections.note(b, &frame(1), later(2)));
        assert!(reflections.note(b, &frame(1), later(900)), "and again");
        assert!(!reflections.note(b, &frame(2), later(3)), "another frame");
        assert!(!reflections.note(b, &frame(1), later(901)), "after a second it has moved");
        assert!(reflections.note(a, &frame(1), later(902)));
        reflections.forget(b);
        assert!(!reflections.note(a, &frame(1), later(903)));
    }
}

//! The MAC-flap guard of one address: how often it may move between ports.
//!
//! Asked when a frame would move the address. It holds no frame back: an address that moves
//! too often stays where it is.

use std::time::{Duration, Instant};

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

#[cfg(test)]
mod tests {
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
}

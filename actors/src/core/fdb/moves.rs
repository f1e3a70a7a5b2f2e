//! The MAC-flap guard of one address: how often it may move between ports, and where it stays
//! if it moves too often.
//!
//! Asked when a frame would move the address. It holds no frame back: an address that moves
//! too often is pinned where it was before all that began, for as long as it is alive there.

use std::time::{Duration, Instant};

use super::PortNumber;

/// Moves of one address within [`WINDOW`] that are believed. A machine that changes
/// its place moves once, a wireless one between two access points a few times.
const MAX_MOVES: u8 = 5;

/// Time in which moves are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Time for which an address that moved too often stays where it is: for what makes it
/// flap to be a small part of the time, and for a person to see it in `listfdb`.
const PIN: Duration = Duration::from_secs(10);

/// Time after which an address that says nothing where it is pinned, and speaks elsewhere,
/// is believed to be there. It doubles each time that it then speaks at home again: it had
/// nothing to say, and the other one was not the station.
const SILENT: Duration = Duration::from_secs(1);

/// How often it doubles.
const MAX_SILENCES: u8 = 3;

/// The moves of one address.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moves {
    /// Over [`MAX_MOVES`]: pinned.
    count: u8,
    /// Begin of the window, or of the pin.
    since: Option<Instant>,
    /// Where it was before the trouble began.
    home: Option<PortNumber>,
    /// How often it was silent there.
    silences: u8,
}

/// What to make of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// The address is there now.
    Believed,
    /// It is one too many: the address is pinned to where it was.
    Flaps,
    /// It is one too many, and leads home: the address is there now, and pinned.
    Returns,
    /// The address is pinned.
    Pinned,
}

impl Moves {
    /// Notes that the address, `last_seen` behind `from`, was seen behind `to`.
    pub(crate) fn note(
        &mut self,
        from: PortNumber,
        to: PortNumber,
        last_seen: Instant,
        now: Instant,
    ) -> Move {
        let age = self.since.map_or(PIN, |since| now.saturating_duration_since(since));
        let pinned = self.count > MAX_MOVES;
        let silent = now.saturating_duration_since(last_seen) >= SILENT * (1 << self.silences);
        if !pinned && age >= PIN {
            // A new trouble, if it becomes one.
            *self = Self { count: 1, since: Some(now), home: Some(from), silences: 0 };
            return Move::Believed;
        }
        if (pinned && silent) || age >= if pinned { PIN } else { WINDOW } {
            let silences = (self.silences + u8::from(pinned && silent)).min(MAX_SILENCES);
            *self = Self { count: 1, since: Some(now), silences, ..*self };
            return Move::Believed;
        }
        if pinned {
            return Move::Pinned;
        }
        self.count += 1;
        if self.count <= MAX_MOVES {
            return Move::Believed;
        }
        self.since = Some(now);
        if self.home == Some(to) { Move::Returns } else { Move::Flaps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: PortNumber = PortNumber::FIRST;

    /// Notes a move to and fro, at these milliseconds, of an address that was just seen.
    fn note(moves: &mut Moves, to_home: bool, start: Instant, ms: u64) -> Move {
        let now = start + Duration::from_millis(ms);
        let (from, to) = if to_home { (HOME.next(), HOME) } else { (HOME, HOME.next()) };
        moves.note(from, to, now, now)
    }

    #[test]
    fn a_few_moves_are_believed_and_more_pin_the_address_to_its_home() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        for n in 0..5 {
            assert_eq!(note(&mut moves, n % 2 == 1, start, n * 100), Move::Believed);
        }
        assert_eq!(note(&mut moves, true, start, 600), Move::Returns);
        assert_eq!(note(&mut moves, false, start, 601), Move::Pinned);
        assert_eq!(note(&mut moves, false, start, 10_599), Move::Pinned, "however long it goes on");
        assert_eq!(note(&mut moves, false, start, 10_600), Move::Believed);
    }

    #[test]
    fn a_pin_follows_life() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        for n in 0..6 {
            note(&mut moves, n % 2 == 1, start, n);
        }
        let at = |ms| start + Duration::from_millis(ms);
        let other = HOME.next();
        assert_eq!(moves.note(HOME, other, at(5), at(1004)), Move::Pinned);
        assert_eq!(moves.note(HOME, other, at(5), at(1005)), Move::Believed, "it is silent there");
        // It was there all the same, and speaks again.
        for n in 0..5 {
            note(&mut moves, n % 2 == 0, start, 1100 + n);
        }
        assert_eq!(moves.note(HOME, other, at(1104), at(3103)), Move::Pinned);
        assert_eq!(moves.note(HOME, other, at(1104), at(3104)), Move::Believed);
    }

    #[test]
    fn slow_moves_never_pin() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        for n in 0..100 {
            assert_eq!(note(&mut moves, n % 2 == 1, start, n * 300), Move::Believed);
        }
    }
}

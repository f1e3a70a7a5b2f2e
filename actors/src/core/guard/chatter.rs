//! What a tunnel's peer may send that is no frame: pings, pongs, texts, and fragments that
//! carry next to nothing. None of it goes any further, and each costs work.

use std::time::Instant;

use super::bucket::{Bucket, Rate};

/// Messages a second, and at once. A peer that pings has a few a minute; over this it is of
/// no use to anybody.
const RATE: Rate = Rate { per_second: 1000, burst: 5000 };

/// Octets that count as one more message: texts take time by their length.
const OCTETS: usize = 1024;

/// A fragment of at least so many octets is part of a frame like any other.
const FRAGMENT: usize = 256;

/// How much of it one peer has sent.
#[derive(Debug, Default)]
pub(crate) struct Chatter(Bucket);

impl Chatter {
    /// Whether a message of so many octets is not one too many.
    pub(crate) fn admits(&mut self, octets: usize, now: Instant) -> bool {
        self.0.admit(RATE, (1 + octets / OCTETS) as u64, now)
    }

    /// The same of a fragment that does not end its message.
    pub(crate) fn admits_fragment(&mut self, octets: usize, now: Instant) -> bool {
        octets >= FRAGMENT || self.admits(octets, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn talk_is_cheap_until_there_is_too_much_of_it() {
        let (mut chatter, mut now) = (Chatter::default(), Instant::now());
        for _ in 0..3600 {
            now += Duration::from_secs(1);
            assert!((0..500).all(|_| chatter.admits(125, now)), "what a second bears");
        }
        now += Duration::from_secs(60);
        assert_eq!((0..10_000).filter(|_| chatter.admits(0, now)).count(), 5000);
        now += Duration::from_secs(60);
        assert_eq!((0..10_000).filter(|_| chatter.admits(60_000, now)).count(), 5000 / 59);
        now += Duration::from_secs(60);
        assert_eq!((0..10_000).filter(|_| chatter.admits_fragment(1, now)).count(), 5000);
        assert!((0..10_000).all(|_| chatter.admits_fragment(1448, now)), "those carry frames");
    }
}

//! The memory of what was flooded just now: it keeps echoes from moving addresses to ports
//! that they are not behind.
//!
//! Asked when a frame would teach the forwarding database something. It holds no frame
//! back: it keeps what the frame says of its source from being believed.

use std::{
    hash::BuildHasher,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::core::{fdb::PortNumber, frame::Frame};

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
    /// Remembers a group-addressed frame; gives the other port that it came in by a moment
    /// ago.
    pub(crate) fn note(
        &mut self,
        ingress: PortNumber,
        frame: &Frame,
        now: Instant,
    ) -> Option<PortNumber> {
        let data = frame.data();
        let signature = self.hasher.hash_one((&data[..data.len().min(SIGNATURE_LEN)], data.len()));
        #[expect(clippy::cast_possible_truncation, reason = "its low bits are wanted")]
        let slot = &mut self.seen[signature as usize % REMEMBERED];
        if let Some(seen) = slot
            && seen.signature == signature
            && seen.port != ingress
            && now.saturating_duration_since(seen.at) < REFLECTION
        {
            return Some(seen.port);
        }
        *slot = Some(Seen { signature, port: ingress, at: now });
        None
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
    fn a_copy_from_elsewhere_is_a_reflection_for_a_moment() {
        let (mut reflections, now) = (Reflections::default(), Instant::now());
        let [a, b] = [PortNumber::FIRST, PortNumber::FIRST.next()];
        let frame = |last| Frame::new(Bytes::from([vec![0xff; 39], vec![last]].concat()));
        let later = |ms| now + Duration::from_millis(ms);
        assert_eq!(reflections.note(a, &frame(1), now), None);
        assert_eq!(reflections.note(a, &frame(1), later(1)), None, "sent again");
        assert_eq!(reflections.note(b, &frame(1), later(2)), Some(a));
        assert_eq!(reflections.note(b, &frame(1), later(900)), Some(a), "and again");
        assert_eq!(reflections.note(b, &frame(2), later(3)), None, "another frame");
        assert_eq!(reflections.note(b, &frame(1), later(901)), None, "then it has moved");
        assert_eq!(reflections.note(a, &frame(1), later(902)), Some(b));
        reflections.forget(b);
        assert_eq!(reflections.note(a, &frame(1), later(903)), None);
    }
}

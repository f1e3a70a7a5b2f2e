//! Storm control: how many frames a second a port may have flooded, for each class of
//! frames by itself.
//!
//! Asked by the Switch before it floods, and never about a frame that goes to one port.
//! A bucket is a point in time (the generic cell rate algorithm, ITU-T I.371): no
//! timer fills it and no rounding empties it.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    core::{counters::Discard, frame::Frame},
    names,
};

names! {
    /// Why a frame is flooded.
    pub enum Class {
        /// It is for everybody.
        Broadcast = "broadcast",
        /// It is for a group.
        Multicast = "multicast",
        /// Nobody knows where its destination is.
        UnknownUnicast = "unicast",
    }
}

impl Class {
    /// The reason that a frame of this class is discarded for.
    #[must_use]
    pub const fn discard(self) -> Discard {
        match self {
            Self::Broadcast => Discard::StormBroadcast,
            Self::Multicast => Discard::StormMulticast,
            Self::UnknownUnicast => Discard::StormUnicast,
        }
    }
}

/// What a port may have flooded of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "StormText"))]
#[serde(try_from = "StormText", into = "String")]
pub enum StormLimit {
    /// Whatever comes.
    Off,
    /// Frames a second, and frames at once after a quiet time.
    Rate {
        /// Frames a second; 0 floods none at all.
        rate: u32,
        /// Frames at once.
        burst: u32,
    },
}

impl StormLimit {
    /// A limit whose burst is what four seconds may hold: so much comes at once when a
    /// network of thousands wakes up, and a storm has sent it in a blink.
    #[must_use]
    pub const fn with_rate(rate: u32) -> Self {
        Self::Rate { rate, burst: rate.saturating_mul(4) }
    }
}

/// Frames a second, with a burst as "1000/4000", or "off".
#[derive(Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "a storm limit must be frames a second as 1000, with a burst as \"1000/4000\", or \"off\""
)]
enum StormText {
    /// Frames a second.
    Rate(u32),
    /// With a burst, or off.
    Text(
        #[cfg_attr(feature = "schemars", schemars(regex(pattern = r"^(off|[0-9]+(/[0-9]+)?)$")))]
        String,
    ),
}

impl TryFrom<StormText> for StormLimit {
    type Error = ParseStormLimitError;

    fn try_from(text: StormText) -> Result<Self, Self::Error> {
        match text {
            StormText::Rate(rate) => Ok(Self::with_rate(rate)),
            StormText::Text(text) => text.parse(),
        }
    }
}

impl From<StormLimit> for String {
    fn from(limit: StormLimit) -> Self {
        limit.to_string()
    }
}

/// A text that is not a storm limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a storm limit; write frames a second as 1000, with a burst as 1000/4000, or off"
)]
pub struct ParseStormLimitError(String);

impl FromStr for StormLimit {
    type Err = ParseStormLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| part.parse().map_err(|_| ParseStormLimitError(text.to_owned()));
        match text.split_once('/') {
            None if text == "off" => Ok(Self::Off),
            None => Ok(Self::with_rate(number(text)?)),
            Some((rate, burst)) => Ok(Self::Rate { rate: number(rate)?, burst: number(burst)? }),
        }
    }
}

impl fmt::Display for StormLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Rate { rate, burst } => write!(f, "{rate}/{burst}"),
        }
    }
}

/// Loop-detect frames of other switches pass by the multicast bucket, or a storm of
/// multicast would hide the loop that it comes from. A switch sends one a second and
/// port.
const PROBES: StormLimit = StormLimit::with_rate(64);

/// One class's bucket.
#[derive(Debug)]
struct Bucket {
    limit: StormLimit,
    /// When it is full again; in the past, it is full.
    full_at: Option<Instant>,
}

/// Time that one frame takes at `rate`.
fn interval(rate: u32) -> Duration {
    Duration::from_nanos(1_000_000_000 / u64::from(rate.max(1)))
}

impl Bucket {
    const fn new(limit: StormLimit) -> Self {
        Self { limit, full_at: None }
    }

    fn lag(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Takes room for `frames` frames; `false` when there is none. A full bucket takes
    /// whatever comes at once: else a super-frame longer than the burst never passed.
    fn admit(&mut self, frames: u32, now: Instant) -> bool {
        let StormLimit::Rate { rate, burst } = self.limit else { return true };
        let (interval, lag) = (interval(rate), self.lag(now));
        if rate == 0
            || burst == 0
            || (lag > Duration::ZERO && lag + interval * frames > interval * burst)
        {
            return false;
        }
        self.full_at = Some(now + lag + interval * frames);
        true
    }

    /// Frames of the burst that are used up.
    fn used(&self, now: Instant) -> u64 {
        let StormLimit::Rate { rate, .. } = self.limit else { return 0 };
        let used = self.lag(now).as_nanos().div_ceil(interval(rate).as_nanos().max(1));
        u64::try_from(used).unwrap_or(u64::MAX)
    }
}

/// Storm control of one ingress port.
#[derive(Debug)]
pub(crate) struct StormControl {
    buckets: [Bucket; Class::ALL.len()],
    probes: Bucket,
}

impl StormControl {
    /// With limits in the order of [`Class::ALL`].
    pub(crate) fn new(limits: [StormLimit; Class::ALL.len()]) -> Self {
        let buckets = limits.map(Bucket::new);
        Self { buckets, probes: Bucket::new(PROBES) }
    }

    /// Whether `frame` may be flooded; a super-frame counts as its segments.
    pub(crate) fn admit(&mut self, class: Class, frame: &Frame, now: Instant) -> bool {
        let (frames, _) = frame.on_wire();
        self.buckets[class as usize].admit(u32::try_from(frames).unwrap_or(u32::MAX), now)
    }

    /// Whether a loop-detect frame of another switch may be flooded.
    pub(crate) fn admit_probe(&mut self, now: Instant) -> bool {
        self.probes.admit(1, now)
    }

    /// Sets a limit; one that is set already goes on with its bucket as it is.
    pub(crate) fn set(&mut self, class: Class, limit: StormLimit) {
        let bucket = &mut self.buckets[class as usize];
        if bucket.limit != limit {
            *bucket = Bucket::new(limit);
        }
    }

    /// Frames of the burst that are used up, and the limit.
    pub(crate) fn level(&self, class: Class, now: Instant) -> (u64, StormLimit) {
        let bucket = &self.buckets[class as usize];
        (bucket.used(now), bucket.limit)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{Gso, Offload};

    fn rate(rate: u32, burst: u32) -> StormLimit {
        StormLimit::Rate { rate, burst }
    }

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_pass_and_no_less(
            per_second in 1u32..10_000, burst in 1u32..10_000, gaps in prop::collection::vec(0u64..5_000_000, 1..2000),
        ) {
            let (start, mut bucket) = (Instant::now(), Bucket::new(rate(per_second, burst)));
            let (mut now, mut passed) = (start, 0u32);
            for gap in gaps {
                now += Duration::from_nanos(gap);
                let had_room = bucket.used(now) < u64::from(burst);
                prop_assert_eq!(bucket.admit(1, now), had_room);
                passed += u32::from(had_room);
            }
            let earned = (now - start).as_secs_f64() * f64::from(per_second) * 1.001 + 1.0;
            prop_assert!(f64::from(passed) <= f64::from(burst) + earned);
        }
    }

    #[test]
    fn a_storm_passes_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(rate(1000, 4000));
        let mut now = Instant::now();
        assert_eq!((0..10_000).filter(|_| bucket.admit(1, now)).count(), 4000);
        assert_eq!(bucket.used(now), 4000);
        now += Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| bucket.admit(1, now)).count(), 1000);
        now += Duration::from_secs(60);
        assert_eq!(bucket.used(now), 0);
        assert_eq!((0..10_000).filter(|_| bucket.admit(1, now)).count(), 4000, "no more is saved");
    }

    #[test]
    fn classes_are_counted_apart_and_a_super_frame_as_its_segments() {
        let limits = [rate(1000, 4000), rate(5000, 20_000), rate(1, 10)];
        let (mut storm, now) = (StormControl::new(limits), Instant::now());
        let csum = Some((34, 6));
        let offload = Offload { gso: Gso::Udp, gso_size: 100, csum, ..Offload::NONE };
        // IPv4 and UDP, nine datagrams of 100 octets.
        let mut data = vec![0; 14 + 20 + 8 + 900];
        data[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        data[23] = 17;
        let frame = Frame::with_offload(Bytes::from(data), offload);
        assert!(storm.admit(Class::UnknownUnicast, &frame, now));
        assert!(!storm.admit(Class::UnknownUnicast, &frame, now));
        assert_eq!(storm.level(Class::UnknownUnicast, now), (9, rate(1, 10)));
        assert!(storm.admit(Class::Multicast, &frame, now) && storm.admit_probe(now));
    }

    #[test]
    fn limits_are_written_and_read() {
        for (text, limit) in
            [("off", StormLimit::Off), ("7", rate(7, 28)), ("0", rate(0, 0)), ("7/9", rate(7, 9))]
        {
            assert_eq!(text.parse(), Ok(limit));
            assert_eq!(limit.to_string().parse(), Ok(limit));
        }
        for wrong in ["", "/", "x", "-1", "1/", "1/2/3", "4294967296"] {
            assert!(wrong.parse::<StormLimit>().is_err(), "{wrong:?}");
        }
        assert!(!Bucket::new(rate(0, 0)).admit(1, Instant::now()));
        assert!(Bucket::new(StormLimit::Off).admit(u32::MAX, Instant::now()));
    }
}

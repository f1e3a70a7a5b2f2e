//! Storm control: how many frames a second a port may have flooded, for each class of
//! frames by itself, and how many octets.
//!
//! Asked by the Switch before it floods, and never about a frame that goes to one port.
//! Limits are those of a port; what was flooded is counted for all ports of a holder
//! together, or a second session would double it.

use std::{fmt, str::FromStr, time::Instant};

use crate::{
    core::{
        counters::Discard,
        frame::Frame,
        guard::bucket::{Bucket, Rate},
    },
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "StormText"))]
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

/// As a file or control gives it.
#[cfg(feature = "schemars")]
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is asked for")]
enum StormText {
    /// Frames a second.
    Rate(u32),
    /// With a burst, or off.
    Text(#[schemars(regex(pattern = r"^(off|[0-9]+(/[0-9]+)?)$"))] String),
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

impl StormLimit {
    pub(crate) const fn rate(self) -> Option<Rate> {
        match self {
            Self::Off => None,
            Self::Rate { rate, burst } => Some(Rate { per_second: rate, burst }),
        }
    }
}

/// What one port may have flooded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StormLimits {
    /// Frames, in the order of [`Class::ALL`].
    pub(crate) frames: [StormLimit; Class::ALL.len()],
    /// Octets, of all classes together.
    pub(crate) octets: StormLimit,
}

impl StormLimits {
    /// The limit over which frames are discarded for this reason.
    pub(crate) fn of(&self, reason: Discard) -> StormLimit {
        let class = Class::ALL.into_iter().find(|class| class.discard() == reason);
        class.map_or(self.octets, |class| self.frames[class as usize])
    }
}

/// What was flooded for one holder: all of its ports together.
#[derive(Debug, Default)]
pub(crate) struct StormControl {
    frames: [Bucket; Class::ALL.len()],
    octets: Bucket,
}

impl StormControl {
    /// Whether `frame` may be flooded, or for which reason it may not; a super-frame counts
    /// as its segments.
    pub(crate) fn admit(
        &mut self,
        limits: &StormLimits,
        class: Class,
        frame: &Frame,
        now: Instant,
    ) -> Result<(), Discard> {
        let (frames, octets) = frame.on_wire();
        let of_frames = limits.frames[class as usize].rate();
        let of_octets = limits.octets.rate();
        let bucket = &mut self.frames[class as usize];
        if of_frames.is_some_and(|rate| !bucket.has_room(rate, frames, now)) {
            return Err(class.discard());
        }
        if of_octets.is_some_and(|rate| !self.octets.admit(rate, octets, now)) {
            return Err(Discard::StormOctets);
        }
        if let Some(rate) = of_frames {
            bucket.take(rate, frames, now);
        }
        Ok(())
    }

    /// What is used up of each burst, with the limit, by the reason that frames over it are
    /// discarded for.
    pub(crate) fn levels(
        &self,
        limits: &StormLimits,
        now: Instant,
    ) -> impl Iterator<Item = (Discard, u64, StormLimit)> {
        let used = move |bucket: &Bucket, limit: StormLimit| {
            limit.rate().map_or(0, |rate| bucket.used(rate, now))
        };
        let of = move |class: Class| {
            let limit = limits.frames[class as usize];
            (class.discard(), used(&self.frames[class as usize], limit), limit)
        };
        let octets = (Discard::StormOctets, used(&self.octets, limits.octets), limits.octets);
        Class::ALL.into_iter().map(of).chain([octets])
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::frame::{Gso, Offload};

    fn rate(rate: u32, burst: u32) -> StormLimit {
        StormLimit::Rate { rate, burst }
    }

    #[test]
    fn classes_are_counted_apart_and_a_super_frame_as_its_segments() {
        let frames = [rate(1000, 4000), rate(5000, 20_000), rate(1, 10)];
        let limits = StormLimits { frames, octets: StormLimit::Off };
        let (mut storm, now) = (StormControl::default(), Instant::now());
        let csum = Some((34, 6));
        let offload = Offload { gso: Gso::Udp, gso_size: 100, csum, ..Offload::NONE };
        // IPv4 and UDP, nine datagrams of 100 octets.
        let mut data = vec![0; 14 + 20 + 8 + 900];
        data[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        data[23] = 17;
        let frame = Frame::with_offload(Bytes::from(data), offload);
        let mut admit = |class| storm.admit(&limits, class, &frame, now);
        assert_eq!(admit(Class::UnknownUnicast), Ok(()));
        assert_eq!(admit(Class::UnknownUnicast), Err(Discard::StormUnicast));
        assert_eq!(admit(Class::Multicast), Ok(()));
        let unicast = storm.levels(&limits, now).nth(Class::UnknownUnicast as usize);
        assert_eq!(unicast, Some((Discard::StormUnicast, 9, rate(1, 10))));
    }

    #[test]
    fn ports_of_a_holder_share_frames_and_octets_each_by_its_own_limit() {
        let octets = |octets| StormLimits { frames: [rate(10, 10); 3], octets };
        let (narrow, wide) = (octets(rate(1000, 3000)), octets(StormLimit::Off));
        let (mut storm, now) = (StormControl::default(), Instant::now());
        let frame = Frame::new(Bytes::from(vec![0; 1000]));
        let mut passed = |limits, class: Class| {
            (0..100).take_while(|_| storm.admit(limits, class, &frame, now).is_ok()).count()
        };
        assert_eq!(passed(&narrow, Class::Broadcast), 3);
        assert_eq!(passed(&narrow, Class::Multicast), 0, "octets are those of all classes");
        assert_eq!(passed(&wide, Class::Broadcast), 7, "what the other port has sent counts");
        assert_eq!(storm.admit(&narrow, Class::Multicast, &frame, now), Err(Discard::StormOctets));
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
        let none = StormLimits { frames: [rate(0, 0); 3], octets: StormLimit::Off };
        let frame = Frame::new(Bytes::from(vec![0; 60]));
        let admit = |limits| {
            StormControl::default().admit(limits, Class::Broadcast, &frame, Instant::now())
        };
        assert_eq!(admit(&none), Err(Discard::StormBroadcast));
        assert_eq!(admit(&StormLimits { frames: [StormLimit::Off; 3], ..none }), Ok(()));
    }
}

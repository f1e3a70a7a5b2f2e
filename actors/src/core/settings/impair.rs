//! Values of the settings that impair a line: spans of time, percentages of all frames, and losses,
//! as netem writes them, each for one direction or for both.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    ValueError,
    rate::{quantity, size, write, write_octets},
};
use crate::core::line::Direction;

/// Longest span, in microseconds: whoever waits for longer has given up.
const LONGEST: u32 = 60_000_000;

/// Microseconds by their units.
const SPANS: [(&str, u64); 3] = [("us", 1), ("ms", 1000), ("s", 1_000_000)];

/// The same, the longest first.
const SHOWN: [(&str, u64); 3] = [SPANS[2], SPANS[1], SPANS[0]];

/// All of it, in the unit of [`Percent`].
const WHOLE: u32 = 1_000_000;

/// Longest mean burst of losses, in frames.
const LONGEST_BURST: u32 = 10_000;

/// A value for each direction: `20ms` for both, `in 20ms`, `out 20ms`, or `in 20ms out 50ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(with = "String", rename = "{T}ByDirection")
)]
pub struct Each<T>([T; 2]);

impl<T: Copy> Each<T> {
    /// The value of one direction.
    pub(crate) const fn of(&self, direction: Direction) -> T {
        self.0[direction as usize]
    }
}

impl<T: FromStr<Err = ValueError> + Copy + Default> FromStr for Each<T> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let words: Vec<_> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        if let [both] = words[..] {
            return both.parse().map(|value| Self([value; 2]));
        }
        let (mut values, mut given) = ([T::default(); 2], [false; 2]);
        for pair in words.chunks(2) {
            let direction = Direction::from_name(pair[0]).map(|direction| direction as usize);
            match (direction, pair) {
                (Some(at), [_, value]) if !given[at] => {
                    (values[at], given[at]) = (value.parse()?, true);
                }
                _ => given = [false; 2],
            }
        }
        if given == [false; 2] {
            let text = format!(
                "{text:?} is neither a value nor one for each direction; write VALUE for both, \
                 in VALUE, out VALUE, or in VALUE out VALUE"
            );
            return Err(ValueError::new(text));
        }
        Ok(Self(values))
    }
}

impl<T: fmt::Display + Copy + Default + PartialEq> fmt::Display for Each<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [inward, outward] = self.0;
        match self.0.map(|value| value == T::default()) {
            _ if inward == outward => inward.fmt(f),
            [_, true] => write!(f, "in {inward}"),
            [true, _] => write!(f, "out {outward}"),
            _ => write!(f, "in {inward} out {outward}"),
        }
    }
}

/// A span of time of up to 60 s, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(with = "String", rename = "Time")
)]
pub struct Span(u32);

impl Span {
    pub(crate) const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(Self::default());
        }
        let micros = quantity(text, &SPANS).and_then(|micros| u32::try_from(micros).ok());
        micros.filter(|micros| *micros <= LONGEST).map(Self).ok_or_else(|| {
            ValueError::new(format!(
                "{text:?} is not a time; write 20ms, 500us or 1.5s, up to 60s, or off"
            ))
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("off") } else { write(f, self.0.into(), &SHOWN) }
    }
}

/// A percentage of all frames, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct Percent(u32);

impl Percent {
    /// As a probability.
    pub(crate) fn probability(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Percent {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(Self::default());
        }
        let part = quantity(text, &[("%", u64::from(WHOLE) / 100)]);
        let part = part.and_then(|part| u32::try_from(part).ok());
        part.filter(|part| *part <= WHOLE).map(Self).ok_or_else(|| {
            ValueError::new(format!(
                "{text:?} is not a percentage; write 1% or 0.05%, up to 100%, or off"
            ))
        })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("off");
        }
        write!(f, "{}%", f64::from(self.0) / f64::from(WHOLE / 100))
    }
}

/// Frames that are lost: each by itself, or in bursts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct Loss {
    part: Percent,
    /// Mean length of a burst, in frames; 0: each frame by itself.
    burst: u32,
}

impl Loss {
    /// The part of all frames that is lost.
    pub(crate) const fn part(self) -> Percent {
        self.part
    }

    /// Probabilities that a burst begins with a frame, and that it ends before one (Gilbert,
    /// 1960, with all frames lost in the bad state); `None` where each is lost by itself.
    pub(crate) fn gilbert(self) -> Option<(f64, f64)> {
        let ends = 1.0 / f64::from(self.burst);
        let part = self.part.probability();
        (self.burst > 0).then(|| (ends * part / (1.0 - part), ends))
    }
}

impl FromStr for Loss {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Some((part, burst)) = text.split_once('/') else {
            return text.parse().map(|part| Self { part, burst: 0 });
        };
        let part: Percent = part.parse()?;
        let burst = burst.parse().ok().filter(|burst| (1..=LONGEST_BURST).contains(burst));
        let Some(burst) = burst else {
            let text = format!(
                "{text:?} has no mean burst; write 1%/5 for bursts of 5 frames, up to {LONGEST_BURST}"
            );
            return Err(ValueError::new(text));
        };
        // One frame at least passes between two bursts.
        let most = u64::from(WHOLE) * u64::from(burst) / (u64::from(burst) + 1);
        if u64::from(part.0) > most {
            let text = format!(
                "bursts of {burst} cannot lose more than {}%; give a longer burst, or none",
                most * 100 / u64::from(WHOLE)
            );
            return Err(ValueError::new(text));
        }
        Ok(Self { part, burst })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)?;
        if self.burst > 0 { write!(f, "/{}", self.burst) } else { Ok(()) }
    }
}

/// A number of octets, as tc writes sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct Size(pub u32);

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        size(text).map(Self).ok_or_else(|| {
            ValueError::new(format!("{text:?} is not a size; write 64kb, 4mb or 1500b"))
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_octets(f, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_one_direction_or_both() {
        for (text, shown) in [
            ("20ms", "20ms"),
            ("in 20ms", "in 20ms"),
            ("out 1.5s", "out 1500ms"),
            ("in 20ms,out 250us", "in 20ms out 250us"),
            ("out 7us in 7us", "7us"),
            ("off", "off"),
            ("in off out 1s", "out 1s"),
            ("in 0ms", "off"),
        ] {
            let each: Each<Span> = text.parse().expect(text);
            assert_eq!(each.to_string(), shown);
            assert_eq!(shown.parse(), Ok(each));
        }
        for bad in [
            "",
            "in",
            "20ms in",
            "in 20ms in 20ms",
            "in 20ms out",
            "both 20ms",
            "20",
            "61s",
            "-1ms",
            "20ms 20ms",
            "in 20ms out 20ms out 20ms",
        ] {
            assert!(bad.parse::<Each<Span>>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parts_and_losses_are_written_in_percent() {
        for text in ["1%", "0.05%", "0.0001%", "100%", "33.3%", "off", "1%/5", "50%/1", "99%/99"] {
            let loss: Loss = text.parse().expect(text);
            assert_eq!(loss.to_string(), text);
        }
        for bad in ["1", "101%", "-1%", "1%/", "1%/0", "51%/1", "100%/9", "1%/2/3", "1%/10001"] {
            assert!(bad.parse::<Loss>().is_err(), "{bad:?}");
        }
        let loss: Loss = "10%/5".parse().expect("a loss");
        let (begins, ends) = loss.gilbert().expect("bursts");
        assert!((ends - 0.2).abs() < 1e-9 && (begins / (begins + ends) - 0.1).abs() < 1e-9);
    }
}

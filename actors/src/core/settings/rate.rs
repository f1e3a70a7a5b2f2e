//! The settings `rate-in` and `rate-out`, and the units of rates and sizes as tc writes them.

use std::{fmt, str::FromStr};

use super::ValueError;
use crate::{core::guard::bucket::Rate, names};

names! {
    /// What becomes of frames over a rate.
    pub enum Excess {
        /// They wait in a queue until the rate has room for them.
        Shape = "shape",
        /// They are discarded.
        Police = "police",
    }
}

/// Bits and octets a second by their names: SI units, as tc reads them.
const RATES: [(&str, u64); 8] = [
    ("gbit", 1_000_000_000),
    ("mbit", 1_000_000),
    ("kbit", 1000),
    ("gbps", 8_000_000_000),
    ("mbps", 8_000_000),
    ("kbps", 8000),
    ("bit", 1),
    ("bps", 8),
];

/// Octets by their names: powers of 1,024, as tc reads them.
const SIZES: [(&str, u64); 7] = [
    ("gb", 1 << 30),
    ("mb", 1 << 20),
    ("kb", 1 << 10),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("b", 1),
];

/// Lowest rate, in octets a second: a frame of 1,514 octets passes in 1.5 s.
const LOWEST: u32 = 1000;

/// Time of the rate that is shaped at once, and at least so many octets: more than the 1 ms of
/// a timer and what a busy machine adds, and no more than a switch's own queue.
const SHAPED: (u32, u32) = (10, 16 * 1024);

/// The same for what is policed. TCP that has lost all that it had under way begins again after
/// 200 ms, which it must find in the bucket; a super-frame must find room, too.
const POLICED: (u32, u32) = (250, 128 * 1024);

/// How much may pass in one direction of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub enum RateLimit {
    /// Whatever comes.
    Off,
    /// A token bucket.
    Rate {
        /// Octets a second, from a frame's destination address to its payload's end.
        octets: u32,
        /// Octets at once after a quiet time; `None`: what suits the rate.
        burst: Option<u32>,
        /// What becomes of the others; `None`: what suits the direction.
        excess: Option<Excess>,
    },
}

impl RateLimit {
    /// The bucket, and what becomes of frames over it: `excess`, if nothing else is said.
    pub(crate) fn bucket(self, excess: Excess) -> Option<(Rate, Excess)> {
        let Self::Rate { octets, burst, excess: own } = self else { return None };
        let excess = own.unwrap_or(excess);
        let (millis, least) = match excess {
            Excess::Shape => SHAPED,
            Excess::Police => POLICED,
        };
        let suiting = || u64::from(octets) * u64::from(millis) / 1000;
        let suiting = || u32::try_from(suiting()).map_or(u32::MAX, |burst| burst.max(least));
        let burst = burst.unwrap_or_else(suiting);
        Some((Rate { per_second: octets, burst }, excess))
    }
}

/// The number before one of these units, with up to six decimals, times what the unit stands for.
pub(super) fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let unit = |(name, unit): &(&str, u64)| Some((text.strip_suffix(name)?.to_owned(), *unit));
    let (number, unit) = units.iter().find_map(unit)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((&number, "0"));
    let digits = |digits: &str| {
        let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_number)
    };
    let scale =
        10_u64.checked_pow(u32::try_from(decimals.len()).ok()?).filter(|n| *n <= 1_000_000)?;
    digits(whole)?.checked_mul(unit)?.checked_add(digits(decimals)? * unit / scale)
}

/// Octets of a size as `64kb`.
pub(super) fn size(text: &str) -> Option<u32> {
    u32::try_from(quantity(text, &SIZES)?).ok().filter(|octets| *octets > 0)
}

/// Writes `count` in the longest unit of which it is a multiple.
pub(super) fn write(f: &mut fmt::Formatter<'_>, count: u64, units: &[(&str, u64)]) -> fmt::Result {
    let unit = units.iter().find(|(_, unit)| count.is_multiple_of(*unit));
    unit.map_or(Ok(()), |(name, unit)| write!(f, "{}{name}", count / unit))
}

/// Writes octets as a size.
pub(super) fn write_octets(f: &mut fmt::Formatter<'_>, octets: u32) -> fmt::Result {
    write(f, octets.into(), &SIZES)
}

impl FromStr for RateLimit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let mut words = text.split_whitespace();
        let (rate, excess) = (words.next().unwrap_or_default(), words.next());
        let (rate, burst) = rate.split_once('/').map_or((rate, None), |(a, b)| (a, Some(b)));
        let mut read = || {
            let octets = quantity(rate, &RATES)? / 8;
            let burst = burst.map_or(Some(None), |burst| size(burst).map(Some))?;
            let excess = excess.map_or(Some(None), |word| Excess::from_name(word).map(Some))?;
            words.next().is_none().then_some((octets, burst, excess))
        };
        let (octets, burst, excess) = read().ok_or_else(|| {
            ValueError::new(format!(
                "{text:?} is not a rate; write 10mbit, 500kbit or 100kbps (octets), with a burst \
                 as 10mbit/64kb, with shape or police behind it, or off"
            ))
        })?;
        let octets = u32::try_from(octets).ok().filter(|octets| *octets >= LOWEST);
        let octets = octets.ok_or_else(|| {
            ValueError::new(format!("{rate} is out of range; give a rate from 8kbit to 34gbit"))
        })?;
        Ok(Self::Rate { octets, burst, excess })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Rate { octets, burst, excess } = self else { return f.write_str("off") };
        write(f, u64::from(*octets) * 8, &RATES)?;
        if let Some(burst) = burst {
            f.write_str("/")?;
            write_octets(f, *burst)?;
        }
        excess.map_or(Ok(()), |excess| write!(f, " {}", excess.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_tc_writes_them() {
        for (text, octets, shown) in [
            ("10mbit", 1_250_000, "10mbit"),
            ("500Kbit", 62_500, "500kbit"),
            ("1gbit", 125_000_000, "1gbit"),
            ("100kbps", 100_000, "800kbit"),
            ("1.5mbit", 187_500, "1500kbit"),
            ("12345bps", 12_345, "98760bit"),
            ("8000bit", 1000, "8kbit"),
        ] {
            let rate: RateLimit = text.parse().expect(text);
            assert_eq!(rate, RateLimit::Rate { octets, burst: None, excess: None });
            assert_eq!(rate.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rate));
        }
        for text in ["off", "10mbit/64kb", "1gbit/2mb police", "9kbit/1500b shape", "8kbit shape"] {
            assert_eq!(text.parse::<RateLimit>().expect(text).to_string(), text);
        }
        for bad in [
            "",
            "10",
            "10m",
            "mbit",
            "-1mbit",
            "1e3mbit",
            "infbit",
            "10mbit/",
            "10mbit/0b",
            "10mbit/64",
            "10mbit drop",
            "10mbit shape shape",
            "off shape",
            "7999bit",
            "35gbit",
            "10mbit/5gb",
            ".5mbit",
            "1.0000001mbit",
            "99999999999999999999mbit",
            ".mbit",
        ] {
            assert!(bad.parse::<RateLimit>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_said_suits_the_rate_and_the_direction() {
        let bucket = |text: &str, excess| text.parse::<RateLimit>().expect(text).bucket(excess);
        let of = |per_second, burst, excess| Some((Rate { per_second, burst }, excess));
        assert_eq!(bucket("off", Excess::Shape), None);
        assert_eq!(bucket("10mbit", Excess::Shape), of(1_250_000, 16 * 1024, Excess::Shape));
        assert_eq!(bucket("100mbit", Excess::Shape), of(12_500_000, 125_000, Excess::Shape));
        assert_eq!(bucket("10mbit police", Excess::Shape), of(1_250_000, 312_500, Excess::Police));
        assert_eq!(bucket("1mbit/9b", Excess::Police), of(125_000, 9, Excess::Police));
        let most = bucket("34gbit", Excess::Police).expect("a rate").0;
        assert_eq!(most.burst, 1_062_500_000);
    }
}

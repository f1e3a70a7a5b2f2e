//! Values of settings that are about the spanning tree.

use std::{fmt, str::FromStr};

use super::{SettingValue, ValueError};
use crate::names;

names! {
    /// Whether a port has only stations behind it, and so forwards without delay.
    pub enum StpEdge {
        /// It has until a BPDU comes in by it; that none has come for 3 s is the sign
        /// (IEEE 802.1D, 17.19.1, AutoEdge).
        Auto = "auto",
        /// It has from the start, until a BPDU comes in by it.
        On = "on",
        /// It has not.
        Off = "off",
    }
}

impl SettingValue for StpEdge {
    const FORM: &'static str = "auto|on|off";

    fn parse(text: &str) -> Result<Self, ValueError> {
        let text = match text {
            "true" | "yes" | "1" => "on",
            "false" | "no" | "0" => "off",
            text => text,
        };
        Self::from_name(text)
            .ok_or_else(|| ValueError::new(format!("{text:?} is none of auto, on and off")))
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

/// A whole number from a range.
macro_rules! number {
    ($(#[$attribute:meta])* $type:ident: $number:ty, $what:literal, $is:expr) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "u32"))]
        pub struct $type($number);

        impl $type {
            /// It, if it may be.
            #[must_use]
            pub fn new(number: $number) -> Option<Self> {
                let is: fn($number) -> bool = $is;
                is(number).then_some(Self(number))
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> $number {
                self.0
            }
        }

        impl FromStr for $type {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                text.parse().ok().and_then(Self::new).ok_or_else(|| {
                    ValueError::new(format!("{text:?} is not {}", $what))
                })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Priority of a port among those that lead to one bridge at the same cost (IEEE 802.1D, table
    /// 17-2).
    PortPriority: u8, "a port priority; give a multiple of 16 from 0 to 240",
    |number| number % 16 == 0
}

number! {
    /// Path cost of a port (IEEE 802.1D, table 17-3).
    PathCost: u32, "a path cost; give 1 to 200000000",
    |number| (1..=200_000_000).contains(&number)
}

impl PortPriority {
    /// The standard's.
    pub const DEFAULT: Self = Self(128);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_priorities_are_those_that_fit_into_a_bpdu() {
        assert_eq!("240".parse::<PortPriority>().map(PortPriority::get), Ok(240));
        for text in ["8", "256", "-16", "x"] {
            let error = text.parse::<PortPriority>().expect_err(text).to_string();
            assert!(error.ends_with("give a multiple of 16 from 0 to 240"), "{error}");
        }
        assert_eq!("200000000".parse::<PathCost>().map(PathCost::get), Ok(200_000_000));
        for text in ["0", "200000001", "1.5"] {
            let error = text.parse::<PathCost>().expect_err(text).to_string();
            assert!(error.ends_with("give 1 to 200000000"), "{error}");
        }
    }
}

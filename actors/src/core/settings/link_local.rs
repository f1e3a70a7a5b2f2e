//! The setting `link-local`: which of the sixteen group addresses that bridges keep to a
//! link pass a port.

use std::{fmt, str::FromStr};

use super::ValueError;

/// A set of the group addresses 01:80:c2:00:00:00 to 0f.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct LinkLocal(u16);

/// Those that have a name (IEEE 802.1Q, table 8-1; 802.3, annexes 31B and 57A).
const NAMES: [(&str, u8); 5] = [("stp", 0), ("pause", 1), ("lacp", 2), ("dot1x", 3), ("lldp", 14)];

impl LinkLocal {
    /// All sixteen.
    pub const ALL: Self = Self(u16::MAX);

    /// All but PAUSE frames, which would stop whoever gets them, and mean nobody behind
    /// a link.
    pub const ALL_BUT_PAUSE: Self = Self(!0b10);

    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether the one with this last digit is in it.
    #[must_use]
    pub const fn contains(self, digit: u8) -> bool {
        digit < 16 && self.0 & 1 << digit != 0
    }
}

impl FromStr for LinkLocal {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "all" => return Ok(Self::ALL),
            "all-but-pause" => return Ok(Self::ALL_BUT_PAUSE),
            "none" | "" => return Ok(Self::NONE),
            _ => {}
        }
        let mut set = 0;
        for word in text.split(',').map(str::trim) {
            let named = NAMES.iter().find(|(name, _)| *name == word).map(|&(_, digit)| digit);
            match named.or_else(|| word.parse().ok().filter(|digit| *digit < 16)) {
                Some(digit) => set |= 1 << digit,
                None => {
                    return Err(ValueError::new(format!(
                        "{text:?} is not a link-local setting; give all, all-but-pause, none, or \
                         a list of stp, lacp, dot1x, lldp, pause and numbers from 0 to 15"
                    )));
                }
            }
        }
        Ok(Self(set))
    }
}

impl fmt::Display for LinkLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => return f.write_str("all"),
            Self::ALL_BUT_PAUSE => return f.write_str("all-but-pause"),
            Self::NONE => return f.write_str("none"),
            _ => {}
        }
        let mut comma = "";
        for digit in (0..16).filter(|digit| self.contains(*digit)) {
            f.write_str(comma)?;
            match NAMES.iter().find(|(_, named)| *named == digit) {
                Some((name, _)) => f.write_str(name)?,
                None => digit.fmt(f)?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::value::tests::from_json, *};

    #[test]
    fn addresses_are_named_or_numbered_in_every_form() {
        for (text, shown) in [
            ("\"all\"", "all"),
            ("\"all-but-pause\"", "all-but-pause"),
            ("\"none\"", "none"),
            ("[]", "none"),
            ("14", "lldp"),
            ("\"7\"", "7"),
            ("[\"lldp\", 7, \"stp\", \"0\"]", "stp,7,lldp"),
            ("\"pause, dot1x,lacp\"", "pause,lacp,dot1x"),
        ] {
            let set: LinkLocal = from_json(text).expect(text);
            assert_eq!(set.to_string(), shown);
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        for bad in ["\"16\"", "[16]", "\"cdp\"", "\"stp,\"", "true"] {
            assert!(from_json::<LinkLocal>(bad).is_err(), "{bad}");
        }
        assert!(!LinkLocal::ALL_BUT_PAUSE.contains(1) && LinkLocal::ALL.contains(1));
        assert!((0..=255).filter(|digit| LinkLocal::ALL.contains(*digit)).eq(0..16));
    }
}

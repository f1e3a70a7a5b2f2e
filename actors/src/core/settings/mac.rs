//! Values of settings that are MAC addresses.

use std::{fmt, str::FromStr};

use super::ValueError;
use crate::core::frame::MacAddr;

/// Most addresses of a list: a port with more stations than this has a switch behind it.
const MAX_LIST: usize = 64;

/// Address of a device that a port makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub enum DeviceMac {
    /// This one.
    Address(MacAddr),
    /// Another one each time.
    Random,
}

impl FromStr for DeviceMac {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "random" => Ok(Self::Random),
            _ => station(text).map(Self::Address),
        }
    }
}

impl fmt::Display for DeviceMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(mac) => mac.fmt(f),
            Self::Random => f.write_str("random"),
        }
    }
}

/// Addresses of stations, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct MacList(Vec<MacAddr>);

impl MacList {
    /// The addresses.
    #[must_use]
    pub fn as_slice(&self) -> &[MacAddr] {
        &self.0
    }
}

impl FromStr for MacList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let mut list = texts.map(station).collect::<Result<Vec<_>, _>>()?;
        list.sort_unstable();
        list.dedup();
        if list.len() > MAX_LIST {
            let text = format!("{} addresses are too many; give {MAX_LIST} at most", list.len());
            return Err(ValueError::new(text));
        }
        Ok(Self(list))
    }
}

impl fmt::Display for MacList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

/// The address of one station.
fn station(text: &str) -> Result<MacAddr, ValueError> {
    let mac: MacAddr = text.parse().map_err(|error| ValueError::new(format!("{error}")))?;
    if mac.is_multicast() || mac.0 == [0; 6] {
        return Err(ValueError::new(format!("{mac} is not the address of one station")));
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::{super::value::tests::from_json, *};

    #[test]
    fn a_device_has_the_address_of_one_station_or_a_random_one() {
        for good in ["random", "02:00:00:00:00:01"] {
            assert_eq!(good.parse::<DeviceMac>().map(|mac| mac.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "Random", "03:00:00:00:00:01", "00:00:00:00:00:00", "2:3"] {
            assert!(bad.parse::<DeviceMac>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_of_addresses_is_read_in_every_form_and_bounded() {
        let shown = "02:00:00:00:00:01,02:00:00:00:00:02";
        for json in [
            "\"02:00:00:00:00:02, 02:00:00:00:00:01\"",
            "[\"02:00:00:00:00:01\", \"02:00:00:00:00:02\", \"02:00:00:00:00:01\"]",
        ] {
            assert_eq!(from_json::<MacList>(json).expect(json).to_string(), shown);
        }
        let many = |count: u8| {
            (0..count).map(|n| format!("02:00:00:00:01:{n:02x}")).collect::<Vec<_>>().join(",")
        };
        assert!(many(64).parse::<MacList>().is_ok() && many(65).parse::<MacList>().is_err());
        assert!("ff:ff:ff:ff:ff:ff".parse::<MacList>().is_err());
    }
}

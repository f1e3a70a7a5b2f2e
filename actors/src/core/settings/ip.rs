//! Values of settings that are IP prefixes.

use std::{fmt, net::IpAddr, str::FromStr};

use super::ValueError;

/// Most prefixes of a list.
const MAX_LIST: usize = 64;

/// IP addresses by their prefixes; all of them, if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct IpList(Vec<Prefix>);

/// What addresses begin with. Those of IPv4 stand in front of 96 zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    first: IpAddr,
    length: u8,
}

/// The address in the first bits, and how many these are.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// Those behind a prefix of this length.
fn behind(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

impl Prefix {
    fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4()
            && (bits(self.first).0 ^ bits(address).0) & !behind(self.length) == 0
    }
}

impl IpList {
    /// Whether it has no prefix: any address will do.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address begins with one of the prefixes.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_any() || self.0.iter().any(|prefix| prefix.contains(address))
    }
}

impl FromStr for Prefix {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (first, length) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let read = || {
            let first: IpAddr = first.parse().ok()?;
            let most = bits(first).1;
            let length = length.map_or(Some(most), |length| length.parse().ok());
            Some((first, length.filter(|length| *length <= most)?))
        };
        let (first, length) = read().ok_or_else(|| {
            let text = format!(
                "{text:?} is not an IP prefix; give addresses and prefixes as 192.0.2.0/24, or any"
            );
            ValueError::new(text)
        })?;
        let kept = bits(first).0 & !behind(length);
        if kept != bits(first).0 {
            let kept = match first {
                IpAddr::V4(_) => IpAddr::from(((kept >> 96) as u32).to_be_bytes()),
                IpAddr::V6(_) => IpAddr::from(kept.to_be_bytes()),
            };
            let text =
                format!("{text} has bits behind its prefix; give {kept}/{length}, or {first}");
            return Err(ValueError::new(text));
        }
        Ok(Self { first, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.length < bits(self.first).1 {
            write!(f, "/{}", self.length)?;
        }
        Ok(())
    }
}

impl FromStr for IpList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "any" {
            return Ok(Self::default());
        }
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let mut list = texts.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        list.sort_unstable();
        list.dedup();
        if list.len() > MAX_LIST {
            let text = format!("{} prefixes are too many; give {MAX_LIST} at most", list.len());
            return Err(ValueError::new(text));
        }
        Ok(Self(list))
    }
}

impl fmt::Display for IpList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any");
        }
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::value::tests::from_json, *};

    fn list(text: &str) -> IpList {
        text.parse().expect(text)
    }

    #[test]
    fn prefixes_are_read_in_every_form_and_bounded() {
        for (json, shown) in [
            ("\"any\"", "any"),
            ("[]", "any"),
            ("\"192.0.2.7\"", "192.0.2.7"),
            (
                "[\"2001:db8::/32\", \"192.0.2.0/24\", \"192.0.2.0/24\"]",
                "192.0.2.0/24,2001:db8::/32",
            ),
            ("\"0.0.0.0/0, ::/0\"", "0.0.0.0/0,::/0"),
        ] {
            assert_eq!(from_json::<IpList>(json).expect(json).to_string(), shown);
            assert_eq!(list(shown).to_string(), shown);
        }
        for bad in ["192.0.2.0/33", "::/129", "192.0.2", "10.0.0.0/", "x", "-1"] {
            assert!(bad.parse::<IpList>().is_err(), "{bad}");
        }
        let error = "192.0.2.5/24".parse::<IpList>().expect_err("bits").to_string();
        assert!(error.ends_with("give 192.0.2.0/24, or 192.0.2.5"), "{error}");
        let error = "2001:db8::5/64".parse::<IpList>().expect_err("bits").to_string();
        assert!(error.ends_with("give 2001:db8::/64, or 2001:db8::5"), "{error}");
        let many =
            |count: u8| (0..count).map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>().join(",");
        assert!(many(64).parse::<IpList>().is_ok() && many(65).parse::<IpList>().is_err());
    }

    #[test]
    fn a_prefix_contains_what_begins_with_it_and_nothing_of_the_other_family() {
        let both = list("192.0.2.64/26,198.51.100.1,2001:db8:0:8000::/49");
        for (address, is_in) in [
            ("192.0.2.63", false),
            ("192.0.2.64", true),
            ("192.0.2.127", true),
            ("192.0.2.128", false),
            ("198.51.100.1", true),
            ("198.51.100.0", false),
            ("2001:db8:0:8000::1", true),
            ("2001:db8:0:7fff::1", false),
            ("::ffff:192.0.2.64", false),
        ] {
            assert_eq!(both.contains(address.parse().expect(address)), is_in, "{address}");
        }
        let v4 = list("0.0.0.0/0");
        assert!(v4.contains([203, 0, 113, 1].into()) && !v4.contains("::".parse().expect("one")));
        assert!(list("any").contains("::1".parse().expect("one")));
    }
}

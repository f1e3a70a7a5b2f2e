//! What stands in a header and is told of a frame everywhere: MAC addresses and VLAN
//! identifiers.

use std::{fmt, str::FromStr};

/// A 48-bit MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// What no station has: the address of nobody.
    pub const ZERO: Self = Self([0; 6]);

    /// A locally administered address of ours (IEEE 802, 8.4), with the highest first octet: a
    /// bridge has the lowest of its members' addresses, and is not to change it for our device.
    #[must_use]
    pub const fn local([a, b, c, d, e]: [u8; 5]) -> Self {
        Self([0xfe, a, b, c, d, e])
    }

    /// Whether this is a group address (I/G bit set): multicast or broadcast.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The last digit of one of the sixteen group addresses that bridges keep to a link,
    /// 01:80:c2:00:00:00 to 0f (IEEE 802.1Q, table 8-1).
    #[must_use]
    pub fn link_local(self) -> Option<u8> {
        let [prefix @ .., last] = self.0;
        (prefix == [0x01, 0x80, 0xc2, 0, 0] && last < 16).then_some(last)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a MAC address of the form `02:00:00:00:00:01`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address; write six octets as 02:00:00:00:00:01")]
pub struct ParseMacAddrError(String);

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMacAddrError(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self(octets))
    }
}

/// A VLAN identifier, 0 to 4095. 0 stands for frames without a tag and for
/// priority-tagged frames alike (IEEE 802.1Q, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vid(u16);

impl Vid {
    /// Untagged and priority-tagged frames.
    pub const UNTAGGED: Self = Self(0);

    /// The identifier in a tag's control information; PCP and DEI are left out.
    #[must_use]
    pub const fn from_tci(tci: u16) -> Self {
        Self(tci & 0x0fff)
    }

    /// `None` over 4094: 4095 is reserved (IEEE 802.1Q, table 9-2).
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < 4095 { Some(Self(number)) } else { None }
    }

    /// The number, 0 to 4095.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_written_and_read() {
        let mac = MacAddr([2, 0, 0, 0, 0xab, 1]);
        assert_eq!(mac.to_string(), "02:00:00:00:ab:01");
        assert_eq!("02:00:00:00:ab:01".parse(), Ok(mac));
        for wrong in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "zz:00:00:00:00:01"]
        {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong:?}");
        }
        assert!(MacAddr::BROADCAST.is_multicast());
        assert!(!mac.is_multicast());
    }
}

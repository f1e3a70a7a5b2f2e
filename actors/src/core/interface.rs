//! A port's network interface: its addresses and MTU as they are, and as they are to be set;
//! and what the kernel shows of it.

use std::{fmt, net::IpAddr};

use crate::core::frame::MacAddr;

/// Settings of a network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Each address with its prefix length: IPv4 first, the primary one first;
    /// link-local IPv6 addresses are left out.
    pub addresses: Vec<(IpAddr, u8)>,
    /// MTU in octets.
    pub mtu: u32,
}

/// What to set on an interface; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceSettings {
    /// The address.
    pub address: Option<AddressSetting>,
    /// Prefix length of the address: with `address`, of that one; alone, of the
    /// IPv4 address that the interface has.
    pub prefix_len: Option<u8>,
    /// MTU in octets.
    pub mtu: Option<u32>,
}

impl fmt::Display for InterfaceSettings {
    /// What is set: `address 192.0.2.1/24, mtu 1400`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.prefix_len.map(|length| format!("/{length}")).unwrap_or_default();
        let address = match self.address {
            Some(AddressSetting::Set(address)) => Some(format!("address {address}{length}")),
            Some(AddressSetting::Clear) => Some("no IPv4 address".to_owned()),
            None => self.prefix_len.map(|length| format!("prefix length {length}")),
        };
        let mtu = self.mtu.map(|mtu| format!("mtu {mtu}"));
        f.write_str(&address.into_iter().chain(mtu).collect::<Vec<_>>().join(", "))
    }
}

/// An address to set on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSetting {
    /// Replaces all IPv4 addresses of the interface, or all global IPv6 ones.
    Set(IpAddr),
    /// Removes all IPv4 addresses.
    Clear,
}

/// A network interface as the kernel shows it, whoever has set it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name now: it may be renamed.
    pub name: String,
    /// Whether frames pass it.
    pub carrier: Carrier,
    /// Its own MAC address.
    pub mac: MacAddr,
    /// Addresses that are in use, link-local ones among them, with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// MTU in octets.
    pub mtu: u32,
    /// Whether this host forwards IPv6 packets that come in by it.
    pub is_router: bool,
}

impl InterfaceStatus {
    /// What is to be set on an interface that takes its place.
    #[must_use]
    pub fn settings(&self) -> Interface {
        let is_set = |(address, _): &&(IpAddr, u8)| match address {
            IpAddr::V4(_) => true,
            // The kernel makes it.
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        };
        let addresses = self.addresses.iter().filter(is_set).copied().collect();
        Interface { addresses, mtu: self.mtu }
    }
}

/// Whether frames pass an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// They do.
    Up,
    /// It was taken down.
    Down,
    /// It has no carrier: there is no cable, or nobody at its other end.
    Lost,
    /// They do, in another network namespace, into which it was moved.
    Elsewhere,
}

//! Addresses and MTU of a port's network interface: as they are, and as they are to be set.

use std::net::IpAddr;

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

/// An address to set on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSetting {
    /// Replaces all IPv4 addresses of the interface, or all global IPv6 ones.
    Set(IpAddr),
    /// Removes all IPv4 addresses.
    Clear,
}

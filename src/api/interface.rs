//! Methods about the network interfaces of ports.

use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use etherws_actors::{
    control::InterfaceInfo,
    interface::{AddressSetting, InterfaceSettings},
    settings::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, Call, Entry, Group, Program},
    params::NumberOrText,
    port::PortRef,
};
use crate::{parse::interface_settings, refusal::Refusal};

/// Least MTU with IPv4: what every host must take (RFC 791, 3.1).
const MIN_MTU: i64 = 576;

/// Least MTU with IPv6 (RFC 8200, 5).
const MIN_MTU_IPV6: i64 = 1280;

/// List the network interfaces of tap and netdev ports, by number of the port.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ListInterface {}

impl Call for ListInterface {
    const NAME: &'static str = "listInterface";
    const GROUP: Group = Group::Interfaces;
    const ROLE: Role = Role::Read;
    type Entry = Interface;

    async fn run(self, program: Program<'_>) -> Result<Vec<Interface>, Refusal> {
        let interfaces = program.control.list_interfaces().await?;
        Ok(interfaces.into_iter().map(Interface::from).collect())
    }
}

/// Set up the network interface of a tap or netdev port.
///
/// If one setting fails, none is changed. What is missing or null stays as it is. Entries: that
/// interface.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct SetInterface {
    /// Number or name of the port.
    #[arg(allow_negative_numbers = true)]
    port: PortRef,
    /// IPv4 or IPv6 address, as 192.0.2.1, 192.0.2.1/24 or 2001:db8::1/64; empty: no IPv4
    /// address.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// IPv4 netmask or prefix length; without an address, it changes that of the current IPv4
    /// address. It must agree with a prefix length in the address.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NumberOrText>")]
    netmask: Option<String>,
    /// Largest packet in octets: 576 or more, 1280 or more for IPv6.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<i64>,
}

impl SetInterface {
    /// What a person is told who has given an address without a mask.
    pub(crate) fn assumed_mask(&self, answer: &Answer) -> Option<String> {
        let given: Ipv4Addr = self.address.as_deref()?.parse().ok()?;
        let entry = answer.json.get(0).filter(|_| self.netmask.is_none())?;
        let mask = entry["netmask"].as_str().filter(|_| entry["address"] == given.to_string())?;
        Some(format!("{given} has the mask {mask}, since none was given; {given}/24 gives another"))
    }

    fn settings(&self) -> Result<InterfaceSettings, Refusal> {
        interface_settings(self.address.as_deref(), self.netmask.as_deref(), self.mtu)
    }
}

impl Call for SetInterface {
    const NAME: &'static str = "setInterface";
    const GROUP: Group = Group::Interfaces;
    const ROLE: Role = Role::Operate;
    type Entry = Interface;

    async fn run(self, program: Program<'_>) -> Result<Vec<Interface>, Refusal> {
        let (port, settings) = (self.port.find(program).await?, self.settings()?);
        let sets = settings.address.is_some();
        let before = if sets { program.control.list_interfaces().await? } else { Vec::new() };
        let before = before.into_iter().find(|info| info.port == port).map(Interface::from);
        let now: Interface = program.control.set_interface(port, settings).await?.into();
        let mut replaced = before.map(|before| before.addresses).unwrap_or_default();
        replaced.retain(|address| !now.addresses.contains(address));
        Ok(vec![Interface { replaced, ..now }])
    }

    async fn subject(&self, program: Program<'_>) -> Option<String> {
        let port = self.port.find(program).await.ok()?;
        let interfaces = program.control.list_interfaces().await.ok()?;
        let info = interfaces.into_iter().find(|info| info.port == port)?;
        let Interface { addresses, mtu, .. } = info.into();
        Some(format!("addresses {}, mtu {mtu}", addresses.join(" ")))
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()?;
        let settings = self.settings()?;
        let v6 = matches!(settings.address, Some(AddressSetting::Set(IpAddr::V6(_))));
        let least = if v6 { MIN_MTU_IPV6 } else { MIN_MTU };
        match self.mtu.filter(|&mtu| mtu < least) {
            None => Ok(()),
            Some(mtu) => Err(Refusal::value(format!("Invalid MTU: {mtu}; give {least} or more"))),
        }
    }
}

/// The network interface of a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Interface {
    /// Number of the port.
    pub(crate) port: u32,
    /// `tap` or `netdev`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Name.
    pub(crate) target: String,
    /// The primary IPv4 address, `""` where there is none.
    pub(crate) address: String,
    /// Its netmask, `255.255.255.0`, or `""`.
    pub(crate) netmask: String,
    /// Octets.
    pub(crate) mtu: u32,
    /// All addresses as `ADDRESS/PREFIX`, IPv4 first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
    /// Whether it was moved into another network namespace, where it cannot be seen from here;
    /// missing where not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) elsewhere: bool,
    /// Addresses that it had before and has no more, as an answer to `setInterface`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaced: Vec<String>,
}

impl From<InterfaceInfo> for Interface {
    fn from(info: InterfaceInfo) -> Self {
        let (address, netmask) = info
            .settings
            .addresses
            .iter()
            .find_map(|&(address, prefix_len)| match address {
                IpAddr::V4(address) => Some((address.to_string(), netmask(prefix_len).to_string())),
                IpAddr::V6(_) => None,
            })
            .unwrap_or_default();
        Self {
            port: info.port.get(),
            kind: info.kind.to_owned(),
            target: info.target,
            address,
            netmask,
            mtu: info.settings.mtu,
            elsewhere: info.is_elsewhere,
            replaced: Vec::new(),
            addresses: info
                .settings
                .addresses
                .iter()
                .map(|(address, prefix_len)| format!("{address}/{prefix_len}"))
                .collect(),
        }
    }
}

impl Entry for Interface {
    // As etherws 1.3 prints them.
    const TITLES: &'static [&'static str] =
        &["Port", "Type", "Address", "Netmask", "MTU", "Target"];

    /// One for each address, all of them complete, so that each line can be read alone.
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |(address, netmask)| {
            let (port, mtu) = (self.port.to_string(), self.mtu.to_string());
            vec![port, self.kind.clone(), address, netmask, mtu, self.target.clone()]
        };
        self.addresses().into_iter().map(row).collect()
    }

    fn note(&self) -> Option<String> {
        let Self { port, target, .. } = self;
        let elsewhere = || format!("Port {port}: {target} is in another network namespace");
        let replaced = || {
            let gone = self.replaced.join(", ");
            format!(
                "Port {port}: {target} no longer has {gone}, since a new address replaces all those \
                 of its family"
            )
        };
        let note = self.elsewhere.then(elsewhere);
        note.or_else(|| (!self.replaced.is_empty()).then(replaced))
    }
}

impl Interface {
    /// Addresses with their netmasks: the primary one first, dotted for IPv4; IPv6 has the
    /// length of its prefix instead. At least one, which may be empty.
    fn addresses(&self) -> Vec<(String, String)> {
        let primary = (self.address.clone(), self.netmask.clone());
        let others = self.addresses.iter().filter_map(|cidr| {
            let (address, length) = cidr.split_once('/')?;
            let v4 = address.contains('.') && !address.contains(':');
            let netmask = match length.parse() {
                Ok(length) if v4 => netmask(length).to_string(),
                _ => length.to_owned(),
            };
            Some((address.to_owned(), netmask))
        });
        let mut rows: Vec<_> = others.filter(|(address, _)| *address != primary.0).collect();
        if !primary.0.is_empty() || rows.is_empty() {
            rows.insert(0, primary);
        }
        rows
    }
}

/// The dotted form of an IPv4 prefix length; lengths over 32 count as 32.
fn netmask(prefix_len: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32u32.saturating_sub(prefix_len.into())).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use etherws_actors::fdb::PortNumber;
    use serde_json::json;

    use super::*;
    use crate::api::call::typed;

    fn set(address: &str) -> Option<AddressSetting> {
        Some(AddressSetting::Set(address.parse().expect("address")))
    }

    #[test]
    fn addresses_and_netmasks_in_every_form() {
        let both = |address: &str, prefix_len, mtu| InterfaceSettings {
            address: set(address),
            prefix_len,
            mtu,
        };
        for (params, expected) in [
            (json!({"address": "192.0.2.1"}), both("192.0.2.1", None, None)),
            (
                json!({"address": "192.0.2.1/24", "mtu": "1400"}),
                both("192.0.2.1", Some(24), Some(1400)),
            ),
            (
                json!({"address": "192.0.2.1", "netmask": "255.255.0.0"}),
                both("192.0.2.1", Some(16), None),
            ),
            (json!({"address": "192.0.2.1", "netmask": 16}), both("192.0.2.1", Some(16), None)),
            (
                json!({"address": "192.0.2.1/16", "netmask": "16"}),
                both("192.0.2.1", Some(16), None),
            ),
            (
                json!({"address": "2001:db8::1", "netmask": "64"}),
                both("2001:db8::1", Some(64), None),
            ),
            (json!({"address": "2001:db8::1/128"}), both("2001:db8::1", Some(128), None)),
            (
                json!({"netmask": "0.0.0.0", "address": null, "mtu": null}),
                InterfaceSettings { prefix_len: Some(0), ..InterfaceSettings::default() },
            ),
            (
                json!({"address": ""}),
                InterfaceSettings { address: Some(AddressSetting::Clear), ..Default::default() },
            ),
        ] {
            let mut params = params;
            params["port"] = json!(1);
            let call = typed::<SetInterface>(Some(&params)).expect("good params");
            assert_eq!(call.settings(), Ok(expected), "{params}");
        }
    }

    #[test]
    fn interface_shows_the_first_ipv4_address_the_old_way_and_all_the_new_way() {
        let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        let info = |addresses| InterfaceInfo {
            port: PortNumber::FIRST,
            kind: "tap",
            target: "ewp0".to_owned(),
            settings: etherws_actors::interface::Interface { addresses, mtu: 1500 },
            is_elsewhere: false,
        };
        let both = Interface::from(info(vec![(v6, 64), (v4, 20)]));
        assert_eq!((both.address.as_str(), both.netmask.as_str()), ("192.0.2.1", "255.255.240.0"));
        assert_eq!(both.addresses, ["2001:db8::1/64", "192.0.2.1/20"]);
        let none = Interface::from(info(vec![]));
        assert_eq!((none.address.as_str(), none.netmask.as_str()), ("", ""));
    }

    #[test]
    fn netmask_of_every_length() {
        for (prefix_len, dotted) in
            [(0, "0.0.0.0"), (1, "128.0.0.0"), (24, "255.255.255.0"), (32, "255.255.255.255")]
        {
            assert_eq!(netmask(prefix_len).to_string(), dotted);
        }
    }
}

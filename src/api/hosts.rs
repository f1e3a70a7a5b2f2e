//! Who is on the LAN.

use std::net::IpAddr;

use clap::Args;
use etherws_actors::{fdb::PortNumber, frame::MacAddr, settings::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    after::After,
    call::{Call, Entry, Group, Program, apart},
    fdb::Mac,
    port::PortRef,
};
use crate::{hosts::HostInfo, refusal::Refusal};

/// List the hosts that are known: their addresses, names and ports.
///
/// Sorted by VLAN and MAC address. A host is listed once it has revealed an address or a name.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListHosts {
    /// Only those behind this port: its number or name.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
    /// Only the one with this address.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<Mac>,
    /// Only those behind sessions of this user.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Only entries after this one; give the last entry of one page to get the next.
    #[arg(long, value_name = "[VLAN/]ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<After<MacAddr>>,
    /// At most this many entries.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Call for ListHosts {
    const NAME: &'static str = "listHosts";
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Read;
    type Entry = Host;

    async fn run(self, program: Program<'_>) -> Result<Vec<Host>, Refusal> {
        let only = match &self.port {
            Some(port) => Some(port.find(program).await?),
            None => None,
        };
        let hosts = program.service.hosts().await?;
        let is_asked_for = move |host: &HostInfo| {
            only.is_none_or(|only| host.port == Some(only))
                && self.mac.is_none_or(|Mac(mac)| host.mac == mac)
                && self.user.as_ref().is_none_or(|user| host.user.as_ref() == Some(user))
                && self.after.is_none_or(|After(after)| (host.vid, host.mac) > after)
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        apart(move || hosts.into_iter().filter(is_asked_for).take(limit).map(Host::from).collect())
            .await
    }
}

/// A host on the LAN. Hosts report these values themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Host {
    /// Number of the port that it is behind, or was last; missing if that port is no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u32>,
    /// VLAN, 0 for none.
    pub(crate) vid: u16,
    /// MAC address, as `02:00:00:00:00:01`.
    pub(crate) mac: String,
    /// IPv4 addresses.
    pub(crate) ipv4: Vec<String>,
    /// IPv6 addresses.
    pub(crate) ipv6: Vec<String>,
    /// Its name, from its DHCP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Vendor of its MAC address; `(local)` for a locally administered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vendor: Option<String>,
    /// Whose session the port is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Seconds since a frame has last come from it.
    pub(crate) age: u64,
    /// Seconds since it was first heard of.
    pub(crate) known: u64,
}

impl From<HostInfo> for Host {
    fn from(info: HostInfo) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = info.addresses.iter().partition(|ip| ip.is_ipv4());
        let shown = |list: Vec<IpAddr>| list.iter().map(IpAddr::to_string).collect();
        Self {
            port: info.port.map(PortNumber::get),
            vid: info.vid.get(),
            mac: info.mac.to_string(),
            ipv4: shown(v4),
            ipv6: shown(v6),
            name: info.name.map(String::from),
            vendor: info.vendor.map(str::to_owned),
            user: info.user,
            age: info.age.as_secs(),
            known: info.known.as_secs(),
        }
    }
}

impl Entry for Host {
    const TITLES: &'static [&'static str] =
        &["Port", "VLAN", "MAC", "IPv4", "IPv6", "Name", "Vendor", "User", "Age"];

    /// One with all of its addresses, so that a search for one of them shows whose it is; a
    /// dash where nothing is known, so that each row has all its columns.
    fn rows(&self) -> Vec<Vec<String>> {
        let or_dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        let known = |cell: &Option<String>| or_dash(cell.clone().unwrap_or_default());
        vec![vec![
            known(&self.port.map(|port| port.to_string())),
            self.vid.to_string(),
            self.mac.clone(),
            or_dash(self.ipv4.join(",")),
            or_dash(self.ipv6.join(",")),
            known(&self.name),
            known(&self.vendor),
            known(&self.user),
            self.age.to_string(),
        ]]
    }
}

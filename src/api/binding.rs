//! Methods about bindings of IP addresses.

use std::net::IpAddr;

use clap::Args;
use etherws_actors::{
    bindings::BindingType,
    message::{BindingFilter, BindingInfo},
    settings::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    after::After,
    call::{Call, Entry, Group, Program, apart},
    fdb::{Mac, Vlan},
    port::PortRef,
};
use crate::refusal::Refusal;

/// List the IP addresses that stations behind guarded ports have, by VLAN and then address.
///
/// DHCP servers behind trusted ports have given them, or they were seen first there; `allowed-ips`
/// of ports are not listed. With `neigh-suppress`, addresses that stations claim are listed too.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListBinding {
    /// Only those of whoever holds this port: its number or name.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
    /// Only this VLAN; 0: no VLAN.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
    /// Only those of this station.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<Mac>,
    /// Only this IP address.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    ip: Option<IpAddr>,
    /// Only entries after this one; give the last entry of one page to get the next.
    #[arg(long, value_name = "[VLAN/]IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<After<IpAddr>>,
    /// At most this many entries.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Call for ListBinding {
    const NAME: &'static str = "listBinding";
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Read;
    type Entry = BindingLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<BindingLine>, Refusal> {
        let port = match &self.port {
            Some(port) => Some(port.find(program).await?),
            None => None,
        };
        let filter = BindingFilter {
            port,
            vid: self.vlan.map(|Vlan(vid)| vid),
            mac: self.mac.map(|Mac(mac)| mac),
            ip: self.ip,
        };
        let after = self.after.map(|After(after)| after);
        let limit = self.limit.unwrap_or(usize::MAX);
        let found = program.control.list_bindings(filter, after, limit).await?;
        apart(|| found.into_iter().map(BindingLine::from).collect()).await
    }
}

/// An IP address that a station has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BindingLine {
    /// VLAN, 0 for none.
    pub(crate) vid: u16,
    /// The IP address.
    pub(crate) ip: String,
    /// The station's MAC address.
    pub(crate) mac: String,
    /// Number of the port that it is behind, the first one if its holder has several; missing
    /// while he has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u32>,
    /// Who holds the port: its user or his network; of another port its name, or its kind and
    /// target.
    pub(crate) holder: String,
    /// Why the station has it.
    #[serde(rename = "type")]
    pub(crate) kind: BindingType,
    /// Seconds until it ends.
    pub(crate) left: u64,
}

impl From<BindingInfo> for BindingLine {
    fn from(info: BindingInfo) -> Self {
        Self {
            vid: info.vid.get(),
            ip: info.ip.to_string(),
            mac: info.mac.to_string(),
            port: info.port.map(|port| port.get()),
            holder: info.holder.to_string(),
            kind: info.kind,
            left: info.left.as_secs(),
        }
    }
}

impl Entry for BindingLine {
    const TITLES: &'static [&'static str] =
        &["VLAN", "IP", "MAC", "Port", "Holder", "Type", "Left"];
    const NOTHING: Option<&'static str> = Some(
        "No such addresses are known. They are noted while ports are guarded (etherws ctl setport PORT \
         --trust client), or have neigh-suppress",
    );

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.vid.to_string(),
            self.ip.clone(),
            self.mac.clone(),
            self.port.map_or_else(|| "-".to_owned(), |port| port.to_string()),
            self.holder.clone(),
            self.kind.to_string(),
            self.left.to_string(),
        ]]
    }
}

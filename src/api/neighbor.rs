//! LLDP neighbors.

use clap::Args;
use etherws_actors::{
    lldp::{Capabilities, Capability, IdType},
    message::NeighborInfo,
    settings::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, Program, apart, with_long},
    port::PortRef,
};
use crate::refusal::Refusal;

/// List the LLDP neighbors of ports: switches, telephones, machines.
///
/// What a neighbor sends is not verified. Entries: the neighbors, by port.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListNeighbor {
    /// Only those behind this port: its number or name.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
}

impl Call for ListNeighbor {
    const NAME: &'static str = "listNeighbor";
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Read;
    type Entry = Neighbor;

    async fn run(self, program: Program<'_>) -> Result<Vec<Neighbor>, Refusal> {
        let port = match &self.port {
            Some(port) => Some(port.find(program).await?),
            None => None,
        };
        let found = program.control.list_neighbors(port).await?;
        apart(|| found.into_iter().map(Neighbor::from).collect()).await
    }

    fn command(command: clap::Command) -> clap::Command {
        with_long(
            Self::augment_args(command),
            "Show all columns: descriptions of ports and systems",
        )
    }
}

/// A neighbor: a system, and its port at the other end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Neighbor {
    /// Number of the port that it is behind.
    pub(crate) port: u32,
    /// Chassis id: what identifies the system.
    pub(crate) chassis: NeighborId,
    /// Port id: what identifies its port.
    pub(crate) id: NeighborId,
    /// Name of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// System description: what the system is, or runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Description of its port.
    #[serde(rename = "port-description", default, skip_serializing_if = "Option::is_none")]
    pub(crate) port_description: Option<String>,
    /// Management addresses.
    pub(crate) addresses: Vec<String>,
    /// VLAN of untagged frames at its port; 0: none. Missing if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pvid: Option<u16>,
    /// VLANs of its port that have a name.
    pub(crate) vlans: Vec<NeighborVlan>,
    /// System capabilities.
    pub(crate) capabilities: Vec<Capability>,
    /// Those of its capabilities that are enabled.
    pub(crate) enabled: Vec<Capability>,
    /// Longest frame of its port, in octets with FCS.
    #[serde(rename = "max-frame", default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_frame: Option<u16>,
    /// Time to live of what it sent, in seconds.
    pub(crate) ttl: u16,
    /// Seconds that are left of that.
    pub(crate) left: u64,
}

/// What identifies a neighbor or its port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NeighborId {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: IdType,
    /// The name, address or number.
    pub(crate) value: String,
}

/// A VLAN of a neighbor's port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NeighborVlan {
    /// Its number.
    pub(crate) vid: u16,
    /// What the neighbor calls it.
    pub(crate) name: String,
}

impl From<NeighborInfo> for Neighbor {
    fn from(NeighborInfo { port, pdu, left }: NeighborInfo) -> Self {
        let id = |id: etherws_actors::lldp::Id| NeighborId { kind: id.kind, value: id.to_string() };
        let Capabilities { system, enabled } = pdu.capabilities.unwrap_or_default();
        Self {
            port: port.get(),
            chassis: id(pdu.chassis),
            id: id(pdu.port),
            name: pdu.system_name,
            description: pdu.system_description,
            port_description: pdu.port_description,
            addresses: pdu.addresses.iter().map(ToString::to_string).collect(),
            pvid: pdu.pvid,
            vlans: pdu.vlans.into_iter().map(|(vid, name)| NeighborVlan { vid, name }).collect(),
            capabilities: Capabilities::names(system).collect(),
            enabled: Capabilities::names(enabled).collect(),
            max_frame: pdu.max_frame,
            ttl: pdu.ttl,
            left: left.as_secs(),
        }
    }
}

impl Entry for Neighbor {
    const TITLES: &'static [&'static str] =
        &["Port", "Name", "Chassis", "Port ID", "Address", "VLAN", "Capabilities", "Left"];
    const OPTIONAL: &'static [&'static str] = &["Name", "Address", "VLAN", "Capabilities"];
    const LONG_TITLES: &'static [&'static str] = &[
        "Port",
        "Name",
        "Chassis",
        "Port ID",
        "Port description",
        "Address",
        "VLAN",
        "Capabilities",
        "Left",
        "Description",
    ];
    const NOTHING: Option<&'static str> = Some(
        "No neighbors are known. They send LLDP every 30 s or so, and are listed if [switch] has \
         lldp = true, or a port is set: etherws ctl setport PORT --lldp-status rx-and-tx",
    );

    fn rows(&self) -> Vec<Vec<String>> {
        let names: Vec<_> = self.enabled.iter().map(|one| one.name()).collect();
        vec![vec![
            self.port.to_string(),
            self.name.clone().unwrap_or_default(),
            self.chassis.value.clone(),
            self.id.value.clone(),
            self.addresses.join(" "),
            self.pvid.map_or_else(String::new, |pvid| pvid.to_string()),
            names.join(" "),
            self.left.to_string(),
        ]]
    }

    fn long_rows(&self) -> Vec<Vec<String>> {
        let mut rows = self.rows();
        for row in &mut rows {
            row.insert(4, self.port_description.clone().unwrap_or_default());
            row.push(self.description.clone().unwrap_or_default());
        }
        rows
    }
}

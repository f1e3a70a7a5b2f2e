//! The method about multicast groups.

use std::{fmt, net::IpAddr, time::Duration};

use clap::Args;
use etherws_actors::{
    fdb::PortNumber,
    message::MdbFilter,
    multicast::{MdbEntry, MdbPort, MdbState},
    settings::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    after::After,
    call::{Call, Entry, Group, Program, apart},
    fdb::Vlan,
    port::PortRef,
};
use crate::refusal::Refusal;

/// List which ports get which multicast groups, by VLAN and then group.
///
/// 224.0.0.0/4 and ff00::/8 are all groups of IPv4 and IPv6: their ports get every group, and their
/// querier asks hosts which groups they want.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListMdb {
    /// Only what this port gets: its number or name.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
    /// Only this VLAN; 0: no VLAN.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
    /// Only this group.
    #[arg(long, value_name = "GROUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupAddress>,
    /// Only entries after this one; give the last entry of one page to get the next.
    #[arg(long, value_name = "[VLAN/]GROUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<After<GroupAddress>>,
    /// At most this many entries.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

/// What all groups of IPv4 and of IPv6 are called, behind the lowest of them.
const ALL: [(&str, &str); 2] = [("224.0.0.0", "/4"), ("ff00::", "/8")];

/// A group, or all of IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[schemars(inline, with = "String")]
#[serde(try_from = "String", into = "String")]
pub(crate) struct GroupAddress(IpAddr);

impl TryFrom<String> for GroupAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for GroupAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = ALL.iter().find(|(address, length)| text == format!("{address}{length}"));
        let address = all.map_or(text, |(address, _)| address);
        let group = address.parse().ok().filter(IpAddr::is_multicast);
        group.map(Self).ok_or_else(|| {
            format!("Invalid multicast group: {text}; give one as 239.1.2.3 or ff05::123")
        })
    }
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let all = ALL.iter().find(|(address, _)| *address == text);
        write!(f, "{text}{}", all.map_or("", |(_, length)| length))
    }
}

impl From<GroupAddress> for String {
    fn from(group: GroupAddress) -> Self {
        group.to_string()
    }
}

impl Call for ListMdb {
    const NAME: &'static str = "listMdb";
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Read;
    type Entry = MdbLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<MdbLine>, Refusal> {
        let port = match &self.port {
            Some(port) => Some(port.find(program).await?),
            None => None,
        };
        let filter = MdbFilter {
            port,
            vid: self.vlan.map(|Vlan(vid)| vid),
            group: self.group.map(|GroupAddress(group)| group),
        };
        let after = self.after.map(|After((vid, GroupAddress(group)))| (vid, group));
        let limit = self.limit.unwrap_or(usize::MAX);
        let found = program.control.list_mdb(filter, after, limit).await?;
        apart(|| found.into_iter().map(MdbLine::from).collect()).await
    }
}

/// A multicast group, or all of IPv4 or IPv6, with the ports that get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MdbLine {
    /// VLAN, 0 for none.
    pub(crate) vid: u16,
    /// The group; `224.0.0.0/4` and `ff00::/8` are all of IPv4 and IPv6.
    pub(crate) group: String,
    /// The ports that get it.
    pub(crate) ports: Vec<MdbPortLine>,
    /// Who asks hosts which groups they want. Only all groups have it. Missing while nobody asks:
    /// then all groups are flooded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) querier: Option<QuerierLine>,
}

/// A port that gets a multicast group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MdbPortLine {
    /// Its number.
    pub(crate) port: u32,
    /// Why it gets the group.
    pub(crate) state: MdbState,
    /// Seconds until it no longer gets the group, unless hosts or routers are heard again; missing
    /// if it always gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timer: Option<u64>,
}

/// Who asks hosts which multicast groups they want.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct QuerierLine {
    /// Its address, `0.0.0.0` if it has none.
    pub(crate) address: String,
    /// Number of the port that it is behind; missing if it is this switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u32>,
    /// For how many seconds it has been the querier.
    pub(crate) age: u64,
}

impl From<MdbEntry<PortNumber>> for MdbLine {
    fn from(entry: MdbEntry<PortNumber>) -> Self {
        let port = |MdbPort { port, state, left }: MdbPort<PortNumber>| MdbPortLine {
            port: port.get(),
            state,
            timer: left.map(|left| left.as_secs()),
        };
        Self {
            vid: entry.vid.get(),
            group: GroupAddress(entry.group).into(),
            ports: entry.ports.into_iter().map(port).collect(),
            querier: entry.querier.map(|querier| QuerierLine {
                address: querier.address.to_string(),
                port: querier.port.map(PortNumber::get),
                age: Duration::as_secs(&querier.age),
            }),
        }
    }
}

impl Entry for MdbLine {
    const TITLES: &'static [&'static str] = &["VLAN", "Group", "Port", "State", "Timer", "Querier"];
    const OPTIONAL: &'static [&'static str] = &["Querier"];
    const NOTHING: Option<&'static str> = Some(
        "No such multicast groups are known. They are noted while mcast-snooping is on in [switch], \
         or as option of etherws sw, and somebody asks hosts: a router, or the switch itself with \
         mcast-querier",
    );

    fn rows(&self) -> Vec<Vec<String>> {
        let querier = self.querier.as_ref().map_or_else(String::new, |querier| {
            let place =
                querier.port.map_or_else(|| "self".to_owned(), |port| format!("port {port}"));
            format!("{} ({place}, {} s)", querier.address, querier.age)
        });
        let row = |port: Option<&MdbPortLine>| {
            let dash = || "-".to_owned();
            vec![
                self.vid.to_string(),
                self.group.clone(),
                port.map_or_else(dash, |port| port.port.to_string()),
                port.map_or_else(dash, |port| port.state.to_string()),
                port.and_then(|port| port.timer).map_or_else(dash, |timer| timer.to_string()),
                querier.clone(),
            ]
        };
        if self.ports.is_empty() {
            return vec![row(None)];
        }
        self.ports.iter().map(|port| row(Some(port))).collect()
    }
}

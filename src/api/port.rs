//! Methods about ports, but those with a file of their own; and what a port is on the wire. The
//! members that etherws 1.3 does not send may be missing.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use etherws_actors::{
    counters::Discard,
    fdb::{FdbFilter, PortNumber},
    kinds::kinds,
    message::{LinkInfo, PortInfo},
    settings::{PortName, Role},
    state::PortState,
};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, MANY, Program, apart, with_long},
    fdb::Mac,
};
use crate::{parse::check_word, refusal::Refusal};

/// A port as it is named in params: by its number, by its name, or by the name of its device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum PortRef {
    /// As it was given: there may be no such number.
    Number(i64),
    Name(String),
}

impl From<String> for PortRef {
    fn from(text: String) -> Self {
        text.trim().parse().map_or(Self::Name(text), Self::Number)
    }
}

impl FromStr for PortRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Serialize for PortRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl JsonSchema for PortRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PortRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})
    }
}

impl PortRef {
    /// Refuses what can be no port.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Number(number) => {
                let port = u32::try_from(*number).ok().and_then(PortNumber::new);
                port.map(drop).ok_or_else(|| {
                    let text = format!("Invalid port: {number}; listport shows the ports' numbers");
                    Refusal::value(text)
                })
            }
            Self::Name(name) => self.name(name).map(drop),
        }
    }

    fn name(&self, name: &str) -> Result<PortName, Refusal> {
        name.parse().map_err(|_| {
            Refusal::value(format!("port must be a whole number or a port's name, not {name:?}"))
        })
    }

    /// The number of the port.
    pub(super) async fn find(&self, program: Program<'_>) -> Result<PortNumber, Refusal> {
        let port = match self {
            Self::Number(number) => u32::try_from(*number).ok().and_then(PortNumber::new),
            Self::Name(name) => program.control.find_port(self.name(name)?).await?,
        };
        port.ok_or_else(|| Refusal::no_such_port(self))
    }
}

/// List the ports, by number.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListPort {
    /// Only this one: its number, name or device.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<PortRef>,
    /// Only those of this user's sessions.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Only those of this type: tap, netdev, client, server.
    #[arg(long = "type", value_name = "TYPE")]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// Only the one behind which this address is.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mac: Option<Mac>,
    /// Only those in this state: up, loop, bpdu-guard, down, connecting, backoff, failed, shut.
    #[arg(long, value_name = "STATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// Only ports with a higher number; give the last number of one page to get the next.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u32>,
    /// At most this many entries.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
}

impl Call for ListPort {
    const NAME: &'static str = "listPort";
    const ALIASES: &'static [&'static str] = &["ls"];
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Read;
    type Entry = Port;

    fn command(command: clap::Command) -> clap::Command {
        let help = "Show all columns: name, user, state since, octets, round trip, MTU";
        with_long(Self::augment_args(command), help)
    }

    async fn run(self, program: Program<'_>) -> Result<Vec<Port>, Refusal> {
        self.check()?;
        let only = match &self.port {
            Some(port) => {
                let port = port.find(program).await?;
                Some(program.control.show_port(port).await?.info.port.get())
            }
            None => None,
        };
        let behind: Option<Vec<_>> = match self.mac {
            Some(Mac(mac)) => {
                let filter = FdbFilter { mac: Some(mac), ..FdbFilter::default() };
                let entries = program.control.list_fdb(filter).await?;
                Some(entries.into_iter().map(|line| line.entry.port.get()).collect())
            }
            None => None,
        };
        let ports = program.control.list_ports().await?;
        let many = ports.len() > MANY;
        let is_asked_for = move |port: &Port| {
            only.is_none_or(|only| port.port == only)
                && behind.as_ref().is_none_or(|behind| behind.contains(&port.port))
                && self.user.as_ref().is_none_or(|user| port.user.as_ref() == Some(user))
                && self.kind.as_ref().is_none_or(|kind| port.kind == *kind)
                && self.state.as_ref().is_none_or(|state| port.state() == state)
                && self.after.is_none_or(|after| port.port > after)
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        let list = move || {
            let ports = ports.into_iter().map(Port::from);
            ports.filter(is_asked_for).take(limit).collect()
        };
        if many { apart(list).await } else { Ok(list()) }
    }

    fn check(&self) -> Result<(), Refusal> {
        let mut states = PortState::NAMES.to_vec();
        states.push(SHUT);
        check_word("state", self.state.as_ref(), &states)?;
        let mut types: Vec<_> = kinds().iter().map(|kind| kind.name).collect();
        // A session, which nobody can add.
        types.push("server");
        check_word("type", self.kind.as_ref(), &types)
    }
}

/// The state of a port that the operator has shut.
pub(super) const SHUT: &str = "shut";

/// Delete a port.
///
/// Entries: that port, as it was.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct DelPort {
    /// Number, name or device of the port.
    #[arg(allow_negative_numbers = true)]
    port: PortRef,
}

impl Call for DelPort {
    const NAME: &'static str = "delPort";
    const REMOVES: bool = true;
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Operate;
    type Entry = Port;

    async fn run(self, program: Program<'_>) -> Result<Vec<Port>, Refusal> {
        let port = self.port.find(program).await?;
        Ok(vec![program.control.del_port(port).await?.into()])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()
    }
}

/// A port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Port {
    /// Number, from 1. It is not used again after the port has gone.
    pub(crate) port: u32,
    /// `tap`, `netdev`, `client`, or `server`: a WebSocket that somebody opened.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The device's real name, the interface's name, the URL, or the peer's address and
    /// port.
    pub(crate) target: String,
    /// Frames that the medium has taken.
    pub(crate) tx: u64,
    /// Frames received from the medium.
    pub(crate) rx: u64,
    /// Octets of those sent.
    #[serde(rename = "octets-tx", skip_serializing_if = "Option::is_none")]
    pub(crate) octets_tx: Option<u64>,
    /// Octets of those received.
    #[serde(rename = "octets-rx", skip_serializing_if = "Option::is_none")]
    pub(crate) octets_rx: Option<u64>,
    /// What the operator should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Its profile: the one that it names, or its user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// User of the session, for a server port whose client has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Whether frames from and to it are dropped.
    pub(crate) shut: bool,
    /// `up`, `loop`: blocked by the loop guard, `bpdu-guard`, `down`: its interface is down or
    /// has no carrier, `connecting`, `backoff`: the next attempt to open it waits, or `failed`:
    /// given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// Since when it is in this state, or shut: as `2026-01-31T12:00:00Z`. All attempts to open
    /// it are one state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    /// Latest round trip to the peer of a tunnel, in milliseconds, where the peer is pinged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtt: Option<f64>,
    /// MTU of its interface, in octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u32>,
    /// Why the state is not `up`; missing where there is no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Its role in the spanning tree, while it takes part: `root`, `designated`, `alternate`,
    /// `backup` or `disabled`.
    #[serde(default, rename = "stp-role", skip_serializing_if = "Option::is_none")]
    pub(crate) stp_role: Option<String>,
    /// Its state in the spanning tree: `discarding`, `learning` or `forwarding`.
    #[serde(default, rename = "stp-state", skip_serializing_if = "Option::is_none")]
    pub(crate) stp_state: Option<String>,
    /// Frames discarded, by reason: `on-error`, `too-long`, `truncated`, `unknown-offload`,
    /// `device-queue`, `invalid-source`, `port-down`, `same-port`, `lack-of-buffers`,
    /// `foreign-source`, `foreign-ip`, `rogue-dhcp-server`, `dhcp-spoof`, `dhcp-rate`,
    /// `arp-spoof`, `nd-spoof`, `ip-spoof`, `rogue-router`,
    /// `rogue-querier`, `unreadable`, `isolated`, `mirror-output`, `vlan-ingress`,
    /// `vlan-accept`, `vlan-egress`, `loop`, `bpdu-guard`, `stp`, `link-local`, `storm-broadcast`,
    /// `storm-multicast`, `storm-unicast`, `storm-octets`, `rate-in`, `rate-out`,
    /// `impaired`, `impair-limit`, `queue-memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) discards: BTreeMap<String, u64>,
    /// WebSocket text messages ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<u64>,
    /// Its links, if it may have several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<Link>,
}

/// A link of a port that may have several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Link {
    /// Number, from 0.
    pub(crate) link: u8,
    /// The URL, or the peer's address and port.
    pub(crate) target: String,
    /// `up`, `standby`: up, and another one carries the frames, or a state of a port.
    pub(crate) state: String,
    /// Why it is not up; missing where there is no reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Octets of frames that were given to it.
    #[serde(rename = "octets-tx")]
    pub(crate) octets_tx: u64,
    /// Octets of frames received by it.
    #[serde(rename = "octets-rx")]
    pub(crate) octets_rx: u64,
}

impl From<LinkInfo> for Link {
    fn from(info: LinkInfo) -> Self {
        let state = if info.stands_by { "standby" } else { info.state.name() };
        Self {
            link: info.number,
            error: info.state.reason().map(str::to_owned),
            state: state.to_owned(),
            target: info.target,
            octets_tx: info.octets_tx,
            octets_rx: info.octets_rx,
        }
    }
}

impl From<PortInfo> for Port {
    fn from(info: PortInfo) -> Self {
        let counters = Arc::clone(&info.counters);
        let is_open = info.details.iter().any(|(name, _)| *name == "rtt");
        Self {
            port: info.port.get(),
            kind: info.kind.to_owned(),
            target: info.target,
            tx: counters.tx_frames(),
            rx: counters.rx_frames(),
            octets_tx: Some(counters.tx_octets()),
            octets_rx: Some(counters.rx_octets()),
            note: None,
            name: info.name.map(|name| name.to_string()),
            description: info.description.map(|text| text.to_string()),
            profile: info.profile.map(|name| name.to_string()),
            user: info
                .details
                .iter()
                .find(|(name, _)| *name == "user")
                .map(|(_, user)| user.clone()),
            shut: info.shut,
            state: Some(info.state.name().to_owned()),
            since: Some(wall_clock(info.since)),
            rtt: counters.round_trip().filter(|_| is_open).map(milliseconds),
            mtu: info.mtu,
            error: info.state.reason().map(str::to_owned),
            stp_role: info.stp.map(|port| port.role.name().to_owned()),
            stp_state: info.stp.map(|port| port.state.name().to_owned()),
            discards: Discard::ALL
                .iter()
                .map(|&reason| (reason.name().to_owned(), counters.discards(reason)))
                .collect(),
            text: Some(counters.text_messages()),
            links: info.links.into_iter().map(Link::from).collect(),
        }
    }
}

/// A moment as the clock on the wall had it, in seconds. If the clock was set since then, this
/// is what it would have said.
pub(super) fn wall_clock(at: Instant) -> String {
    let time = Timestamp::now().checked_sub(at.elapsed()).unwrap_or(Timestamp::MIN);
    let time = time.round(jiff::Unit::Second).unwrap_or(time);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// With two digits behind the point.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

impl Port {
    /// `shut`, or what the switch says; a 1.3 switch has none that are not up.
    pub(crate) fn state(&self) -> &str {
        if self.shut { SHUT } else { self.state.as_deref().unwrap_or("up") }
    }
}

impl Entry for Port {
    // As etherws 1.3 prints them: scripts cut the columns, so that ours come behind.
    const TITLES: &'static [&'static str] =
        &["Port", "Type", "State", "RX", "TX", "Target", "Name", "STP role", "STP state"];
    const OPTIONAL: &'static [&'static str] = &["Name", "STP role", "STP state"];

    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![vec![
            self.port.to_string(),
            self.kind.clone(),
            self.state().to_owned(),
            self.rx.to_string(),
            self.tx.to_string(),
            self.target.clone(),
            self.name.clone().unwrap_or_default(),
            self.stp_role.clone().unwrap_or_default(),
            self.stp_state.clone().unwrap_or_default(),
        ]];
        rows.extend(self.links.iter().map(|Link { link, state, target, .. }| {
            let (kind, state, target) = (format!("link {link}"), state.clone(), target.clone());
            let mut row = vec![String::new(); Self::TITLES.len()];
            (row[1], row[2], row[5]) = (kind, state, target);
            row
        }));
        rows
    }

    const LONG_TITLES: &'static [&'static str] = &[
        "Port",
        "Name",
        "Type",
        "State",
        "Since",
        "User",
        "Profile",
        "RX octets",
        "TX octets",
        "RTT",
        "MTU",
        "Target",
        "STP role",
        "STP state",
    ];

    fn long_rows(&self) -> Vec<Vec<String>> {
        let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        vec![vec![
            self.port.to_string(),
            or_dash(self.name.clone()),
            self.kind.clone(),
            self.state().to_owned(),
            or_dash(self.since.clone()),
            or_dash(self.user.clone()),
            or_dash(self.profile.clone()),
            or_dash(self.octets_rx.map(|octets| octets.to_string())),
            or_dash(self.octets_tx.map(|octets| octets.to_string())),
            or_dash(self.rtt.map(|rtt| format!("{rtt} ms"))),
            or_dash(self.mtu.map(|mtu| mtu.to_string())),
            self.target.clone(),
            self.stp_role.clone().unwrap_or_default(),
            self.stp_state.clone().unwrap_or_default(),
        ]]
    }

    fn below(&self) -> Option<String> {
        self.error.clone()
    }

    fn note(&self) -> Option<String> {
        self.note.as_ref().map(|note| format!("Port {}: {note}", self.port))
    }
}

#[cfg(test)]
mod tests {
    use etherws_actors::{counters::Counters, state::PortState};
    use serde_json::json;

    use super::*;

    #[test]
    fn port_has_the_members_of_1_3_and_ours() {
        let counters = Counters::default();
        counters.received(3, 300);
        counters.sent(2, 200);
        counters.discarded(Discard::LackOfBuffers, 5);
        counters.text_message();
        let info = PortInfo {
            port: PortNumber::FIRST,
            name: None,
            description: None,
            profile: Some("guests".parse().expect("a name")),
            kind: "client",
            target: "ws://h/".to_owned(),
            interface: None,
            is_elsewhere: false,
            state: PortState::Backoff { reason: "refused".to_owned() },
            shut: true,
            since: Instant::now(),
            mtu: Some(1500),
            details: vec![("user", "alice".to_owned())],
            stp: None,
            links: Vec::new(),
            counters: Arc::new(counters),
        };
        let mut port = serde_json::to_value(Port::from(info)).expect("serializes");
        let since = port.as_object_mut().and_then(|port| port.remove("since"));
        assert!(since.is_some_and(|since| since.as_str().is_some_and(|text| text.len() == 20)));
        let none = Discard::ALL.map(|reason| (reason.name().to_owned(), json!(0)));
        let mut discards: serde_json::Map<_, _> = none.into_iter().collect();
        discards["lack-of-buffers"] = 5.into();
        assert_eq!(
            port,
            json!({"port": 1, "type": "client", "target": "ws://h/", "tx": 2, "rx": 3,
                "octets-tx": 200, "octets-rx": 300, "profile": "guests", "user": "alice", "shut": true, "state": "backoff", "error": "refused", "text": 1, "mtu": 1500,
                "discards": discards})
        );
    }
}

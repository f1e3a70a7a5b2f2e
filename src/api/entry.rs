//! What the control API's results are made of, on the wire: ports, interfaces and
//! lines of the FDB. Written by the dispatcher, read by the client. The members that
//! etherws 1.3 does not send may be missing; no member may ever hold a password.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use etherws_actors::{
    control::{InterfaceInfo, Reply},
    counters::{Discard, Incident},
    fdb::{PortNumber, Status},
    message::{self, FdbInfo, PortInfo},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{config::Change, hosts::HostInfo};

/// `result.entries` of one method.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Entries {
    /// Of the port methods.
    Ports(Vec<Port>),
    /// Of `showPort`.
    Reports(Vec<PortReport>),
    /// Of the interface methods.
    Interfaces(Vec<Interface>),
    /// Of the FDB's methods.
    Fdb(Vec<FdbLine>),
    /// Of `listHosts`.
    Hosts(Vec<Host>),
    /// Of `showServer`.
    Servers(Vec<Server>),
    /// Of `createToken`.
    Tokens(Vec<Token>),
    /// Of the methods whose answer is a stream.
    Streams(Vec<Stream>),
    /// Of `reload` and `save`.
    Changes(Vec<Change>),
    /// Of `rpc.discover`: the API document in their place.
    Document(Value),
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
    /// Whose session it is, of a server port that knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Whether frames from and to it are dropped.
    pub(crate) shut: bool,
    /// `up`, `loop`: blocked by the loop guard, `connecting`, `backoff`: the next attempt to
    /// open it waits, or `failed`: given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// Why the state is not `up`; missing where there is no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Frames discarded, by reason: `on-error`, `port-down`, `same-port`,
    /// `lack-of-buffers`, `loop`, `storm-broadcast`, `storm-multicast`, `storm-unicast`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) discards: BTreeMap<String, u64>,
    /// WebSocket text messages ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<u64>,
}

/// A port, with all there is to know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PortReport {
    /// What `listPort` shows.
    #[serde(flatten)]
    pub(crate) port: Port,
    /// Whether the loop guard watches it.
    pub(crate) loopguard: bool,
    /// What its kind says of it, texts by name.
    pub(crate) details: BTreeMap<String, String>,
    /// Counters by name.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Limits by name: `queue-octets` (while it is open), `macs`, and for each class of storm
    /// control the frames of the burst that are used up.
    pub(crate) limits: BTreeMap<String, Limit>,
}

/// A limit of a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Limit {
    /// How much of it is used now.
    pub(crate) value: u64,
    /// As the option that sets it is written.
    pub(crate) limit: String,
}

/// A token that was made. The one entry that is a secret: nothing but `Serialize` may
/// show it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Token {
    /// For the query of a tunnel's URL, `?token=...`. It opens one tunnel, whatever
    /// passwords there are; 1,024 may wait to be used.
    pub(crate) token: String,
    /// Whom it lets in.
    pub(crate) user: String,
    /// Until when, as `2026-01-31T12:00:00Z`.
    pub(crate) expires: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A stream that the switch sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stream {
    /// Path and query to GET it by, on control's own listener.
    pub(crate) path: String,
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
}

/// A line of the forwarding database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FdbLine {
    /// VLAN, 0 for none.
    pub(crate) vid: u16,
    /// Address, as `02:00:00:00:00:01`.
    pub(crate) mac: String,
    /// Number of the port that it is behind.
    pub(crate) port: u32,
    /// Seconds since it was last seen; 1.3 follows the wall clock, which may step
    /// back.
    pub(crate) age: i64,
    /// Whether it neither ages nor moves; missing where not.
    #[serde(default, rename = "static", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_static: bool,
}

/// A host that has told of itself. All of it is what hosts say.
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
    /// Its name, as it told a DHCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Whose its MAC address is; `(local)`: it was made up.
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

/// A listener, and what it has counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Server {
    /// `tunnel`, `control`, `tunnel+control` where both share one, or `control-socket`.
    pub(crate) service: String,
    /// By name.
    pub(crate) counters: BTreeMap<String, u64>,
}

impl From<Vec<Stream>> for Entries {
    fn from(entries: Vec<Stream>) -> Self {
        Self::Streams(entries)
    }
}

impl From<Vec<Change>> for Entries {
    fn from(entries: Vec<Change>) -> Self {
        Self::Changes(entries)
    }
}

impl From<Vec<Port>> for Entries {
    fn from(entries: Vec<Port>) -> Self {
        Self::Ports(entries)
    }
}

impl From<Vec<PortReport>> for Entries {
    fn from(entries: Vec<PortReport>) -> Self {
        Self::Reports(entries)
    }
}

impl From<Vec<Interface>> for Entries {
    fn from(entries: Vec<Interface>) -> Self {
        Self::Interfaces(entries)
    }
}

impl From<Vec<FdbLine>> for Entries {
    fn from(entries: Vec<FdbLine>) -> Self {
        Self::Fdb(entries)
    }
}

impl From<Vec<Host>> for Entries {
    fn from(entries: Vec<Host>) -> Self {
        Self::Hosts(entries)
    }
}

impl From<Vec<Server>> for Entries {
    fn from(entries: Vec<Server>) -> Self {
        Self::Servers(entries)
    }
}

impl From<Vec<Token>> for Entries {
    fn from(entries: Vec<Token>) -> Self {
        Self::Tokens(entries)
    }
}

impl From<Reply> for Entries {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Ports(ports) => Self::Ports(ports.into_iter().map(Port::from).collect()),
            Reply::Report(report) => Self::Reports(vec![PortReport::from(*report)]),
            Reply::Interfaces(list) => {
                Self::Interfaces(list.into_iter().map(Interface::from).collect())
            }
            Reply::Fdb(lines) => Self::Fdb(lines.into_iter().map(FdbLine::from).collect()),
        }
    }
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

impl From<PortInfo> for Port {
    fn from(info: PortInfo) -> Self {
        let counters = Arc::clone(&info.counters);
        Self {
            port: info.port.get(),
            kind: info.kind.to_owned(),
            target: info.target,
            tx: counters.tx_frames(),
            rx: counters.rx_frames(),
            octets_tx: Some(counters.tx_octets()),
            octets_rx: Some(counters.rx_octets()),
            user: info
                .details
                .iter()
                .find(|(name, _)| *name == "user")
                .map(|(_, user)| user.clone()),
            shut: info.shut,
            state: Some(info.state.name().to_owned()),
            error: info.state.reason().map(str::to_owned),
            discards: Discard::ALL
                .iter()
                .map(|&reason| (reason.name().to_owned(), counters.discards(reason)))
                .collect(),
            text: Some(counters.text_messages()),
        }
    }
}

impl From<message::PortReport> for PortReport {
    fn from(report: message::PortReport) -> Self {
        let counters = Arc::clone(&report.info.counters);
        let discards = Discard::ALL
            .iter()
            .map(|&reason| (format!("discard-{}", reason.name()), counters.discards(reason)));
        let incidents =
            Incident::ALL.iter().map(|&one| (one.name().to_owned(), counters.incidents(one)));
        // The names of ieee802-dot1q-bridge (IEEE 802.1Q, 48.6).
        let frames = [
            ("frame-rx", counters.rx_frames()),
            ("octets-rx", counters.rx_octets()),
            ("frame-tx", counters.tx_frames()),
            ("octets-tx", counters.tx_octets()),
        ];
        let frames = frames.map(|(name, value)| (name.to_owned(), value)).into_iter();
        Self {
            loopguard: report
                .settings
                .iter()
                .any(|one| one.name == "loop-guard" && one.value == "on"),
            details: report
                .info
                .details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            counters: frames.chain(discards).chain(incidents).collect(),
            limits: report
                .limits
                .into_iter()
                .map(|one| (one.name.to_owned(), Limit { value: one.value, limit: one.limit }))
                .collect(),
            port: Port::from(report.info),
        }
    }
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
            addresses: info
                .settings
                .addresses
                .iter()
                .map(|(address, prefix_len)| format!("{address}/{prefix_len}"))
                .collect(),
        }
    }
}

impl From<FdbInfo> for FdbLine {
    fn from(info: FdbInfo) -> Self {
        Self {
            vid: info.vid.get(),
            mac: info.mac.to_string(),
            port: info.entry.port.get(),
            age: i64::try_from(info.age).unwrap_or(i64::MAX),
            is_static: info.entry.status == Status::Static,
        }
    }
}

/// The dotted form of an IPv4 prefix length; lengths over 32 count as 32.
pub(crate) fn netmask(prefix_len: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32u32.saturating_sub(prefix_len.into())).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

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
            kind: "client",
            target: "ws://h/".to_owned(),
            interface: None,
            state: PortState::Backoff { reason: "refused".to_owned() },
            shut: true,
            details: vec![("user", "alice".to_owned())],
            counters: Arc::new(counters),
        };
        assert_eq!(
            serde_json::to_value(Entries::from(Reply::Ports(vec![info.clone()])))
                .expect("serializes"),
            json!([{"port": 1, "type": "client", "target": "ws://h/", "tx": 2, "rx": 3,
                "octets-tx": 200, "octets-rx": 300, "user": "alice", "shut": true, "state": "backoff", "error": "refused", "text": 1,
                "discards": {"on-error": 0, "port-down": 0, "same-port": 0,
                    "lack-of-buffers": 5, "loop": 0, "storm-broadcast": 0,
                    "storm-multicast": 0, "storm-unicast": 0}}])
        );
        let limits = vec![message::Limit { name: "macs", value: 1, limit: "8192".to_owned() }];
        let report =
            message::PortReport { info, own: Default::default(), settings: Vec::new(), limits };
        let entries = Entries::from(Reply::Report(Box::new(report)));
        let report = serde_json::to_value(entries).expect("serializes");
        let report = &report[0];
        assert_eq!((&report["port"], &report["state"]), (&json!(1), &json!("backoff")));
        assert_eq!(report["details"], json!({"user": "alice"}));
        assert_eq!(report["limits"], json!({"macs": {"value": 1, "limit": "8192"}}));
        let counters = &report["counters"];
        assert_eq!((&counters["octets-rx"], &counters["frame-tx"]), (&json!(300), &json!(2)));
        assert_eq!(counters["discard-lack-of-buffers"], 5);
        assert_eq!(counters["text-messages"], 1);
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

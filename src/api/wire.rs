//! The params of the methods as a client sends them and as the API document describes
//! them: what stands here as a comment stands there. The dispatcher takes more than
//! this, as etherws 1.3 does: see `params`.

use std::{borrow::Cow, net::IpAddr, path::Path};

use etherws_actors::{
    control::NewPort,
    fdb::PortNumber,
    frame::Vid,
    guard::storm::StormLimit,
    interface::{AddressSetting, InterfaceSettings},
    kinds::ClientOptions,
    settings::PortSettings,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::entry::netmask;
use crate::capture;

/// Of `addPort`.
#[derive(Serialize, JsonSchema)]
pub(super) struct AddPort<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    /// Name of the device (in a TAP's, `%d` becomes the lowest free number), name of the
    /// interface, or the URL, `ws://...` or `wss://...`.
    target: &'a str,
    /// For a client port.
    #[schemars(with = "Option<Client>")]
    options: Value,
}

/// `"tap"`: a new TAP device. `"netdev"`: an existing network interface. `"client"`: a
/// WebSocket that the switch opens.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Kind {
    Tap,
    Netdev,
    Client,
}

/// Options of a client port; each may be missing or null.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClientOptions")]
struct Client<'a> {
    /// Name for HTTP Basic authentication at the server.
    user: Option<&'a str>,
    /// Password of `user`; refused without one.
    passwd: Option<&'a str>,
    /// File of CA certificates, PEM, that the switch opens; the system's count without it.
    cacerts: Option<Cow<'a, str>>,
    /// Whether to take any certificate.
    insecure: Option<bool>,
    /// Up to 7 further URLs of the same segment: when one server cannot be reached, the
    /// next is tried. `target` in the entries is the one in use. 1.3 ignores it.
    urls: Option<&'a [String]>,
    /// File of our own certificate chain, PEM, that the switch opens, for a server that
    /// wants one; with `key`. 1.3 ignores it.
    cert: Option<Cow<'a, str>>,
    /// File of the key of `cert`, PEM. 1.3 ignores it.
    key: Option<Cow<'a, str>>,
    /// HTTP proxy, `http://[user:password@]host:port`; without it `http_proxy`,
    /// `https_proxy` and `no_proxy` in the switch's environment count. 1.3 ignores it.
    proxy: Option<&'a str>,
}

impl<'a> From<&'a NewPort> for AddPort<'a> {
    fn from(new: &'a NewPort) -> Self {
        match new {
            NewPort::Tap { name } => Self { kind: Kind::Tap, target: name, options: json!({}) },
            NewPort::Netdev { name } => {
                Self { kind: Kind::Netdev, target: name, options: json!({}) }
            }
            NewPort::Client(options) => Self {
                kind: Kind::Client,
                target: &options.url,
                options: encode(Client::from(options)),
            },
        }
    }
}

impl<'a> From<&'a ClientOptions> for Client<'a> {
    fn from(options: &'a ClientOptions) -> Self {
        let file = |path: &'a Path| path.to_string_lossy();
        Self {
            user: options.credentials.as_ref().map(|cred| cred.user.as_str()),
            passwd: options.credentials.as_ref().map(|cred| cred.password.as_str()),
            cacerts: options.cacerts.as_deref().map(file),
            insecure: Some(options.insecure),
            urls: (!options.more_urls.is_empty()).then_some(&options.more_urls),
            cert: options.certificate.as_ref().map(|files| file(&files.cert)),
            key: options.certificate.as_ref().map(|files| file(&files.key)),
            proxy: options.proxy.as_deref(),
        }
    }
}

/// Of `setPort`. What is missing or null stays as it is.
#[derive(Serialize, JsonSchema)]
pub(super) struct SetPort {
    /// Number of the port.
    port: u32,
    /// Whether frames from and to the port are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    shut: Option<bool>,
    /// Whether the loop guard watches the port and may block it.
    #[serde(skip_serializing_if = "Option::is_none")]
    loopguard: Option<bool>,
    /// Most addresses that are learned behind it. Those there are stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    maxmacs: Option<usize>,
    /// Broadcast frames that the port may have flooded a second, `"1000"`; with a burst,
    /// `"1000/4000"`; or `"off"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stormbroadcast: Option<String>,
    /// The same for multicast frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    stormmulticast: Option<String>,
    /// The same for frames to unknown addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    stormunicast: Option<String>,
}

impl SetPort {
    pub(super) fn new(port: PortNumber, settings: &PortSettings) -> Self {
        let limit = |limit: Option<StormLimit>| limit.map(|limit| limit.to_string());
        Self {
            port: port.get(),
            shut: settings.shut,
            loopguard: settings.loop_guard,
            maxmacs: settings.max_macs,
            stormbroadcast: limit(settings.storm_broadcast),
            stormmulticast: limit(settings.storm_multicast),
            stormunicast: limit(settings.storm_unicast),
        }
    }
}

/// Of `showPort` and `delPort`.
#[derive(Serialize, JsonSchema)]
pub(super) struct OnePort {
    /// Number of the port.
    pub(super) port: u32,
}

/// Of `setInterface`. What is missing or null stays as it is.
#[derive(Serialize, JsonSchema)]
pub(super) struct SetInterface {
    /// Number of the port.
    port: u32,
    /// `"192.0.2.1"`, `"192.0.2.1/24"`, `"2001:db8::1/64"`; `""`: no IPv4 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// `"255.255.255.0"`, `"24"`; for an IPv6 address a length alone. Alone, it is that of
    /// the IPv4 address there is. It may not differ from a length in `address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    netmask: Option<String>,
    /// Octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
}

impl SetInterface {
    pub(super) fn new(port: PortNumber, settings: &InterfaceSettings) -> Self {
        // 1.3 knows dotted netmasks alone, and no IPv6.
        let dotted = settings.prefix_len.map(|length| netmask(length).to_string());
        let (address, netmask) = match (settings.address, settings.prefix_len) {
            (Some(AddressSetting::Set(IpAddr::V6(address))), Some(prefix_len)) => {
                (Some(format!("{address}/{prefix_len}")), None)
            }
            (Some(AddressSetting::Set(address)), _) => (Some(address.to_string()), dotted),
            (Some(AddressSetting::Clear), _) => (Some(String::new()), None),
            (None, _) => (None, dotted),
        };
        Self { port: port.get(), address, netmask, mtu: settings.mtu }
    }
}

/// Of `addFdb`.
#[derive(Serialize, JsonSchema)]
pub(super) struct AddFdb {
    /// `"02:00:00:00:00:01"`.
    pub(super) mac: String,
    /// VLAN, 1 to 4094; 0 or missing: none.
    #[serde(default)]
    pub(super) vid: u16,
    /// Number of the port.
    pub(super) port: u32,
}

/// Of `delFdb`.
#[derive(Serialize, JsonSchema)]
pub(super) struct DelFdb {
    /// `"02:00:00:00:00:01"`.
    pub(super) mac: String,
    /// VLAN, 1 to 4094; 0 or missing: none.
    #[serde(default)]
    pub(super) vid: u16,
}

/// Of `flushFdb`.
#[derive(Serialize, JsonSchema)]
pub(super) struct FlushFdb {
    /// Number of the port that the addresses are behind. Missing or null: all ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u32>,
    /// Whether static entries go as well.
    #[serde(default)]
    pub(super) all: bool,
}

/// Of `createToken`.
#[derive(Serialize, JsonSchema)]
pub(super) struct CreateToken<'a> {
    /// Whom the token lets in: a name of up to 256 octets.
    pub(super) user: &'a str,
    /// Seconds that it lives, 1 to 3600; 60 without it.
    pub(super) ttl: Option<u64>,
}

/// Of `capture`; each may be missing or null.
#[derive(Serialize, JsonSchema)]
pub(super) struct Capture {
    /// Numbers of the ports; missing or empty: all of them, and those that come.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    ports: Vec<u32>,
    /// `"rx"` or `"tx"`: frames that come in or go out alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    /// VLAN, 1 to 4094; 0: without tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    /// From or to this address, `"02:00:00:00:00:01"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    /// EtherType by name, `"arp"`, `"ip"`, `"ipv6"` and others, or as `"0x0806"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ethertype: Option<String>,
    /// Octets of each frame, 20 to 262144; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    snaplen: Option<u32>,
    /// Ends after so many frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Ends after so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
}

impl From<&capture::Capture> for Capture {
    fn from(capture: &capture::Capture) -> Self {
        Self {
            ports: capture.ports.iter().map(|port| port.get()).collect(),
            direction: capture.direction.map(capture::name_of),
            vlan: capture.vlan.map(Vid::get),
            mac: capture.mac.map(|mac| mac.to_string()),
            ethertype: capture.ethertype.map(|ethertype| format!("0x{ethertype:04x}")),
            snaplen: (capture.snaplen != capture::DEFAULT_SNAPLEN).then_some(capture.snaplen),
            count: capture.count,
            duration: capture.duration.map(|duration| duration.as_secs()),
        }
    }
}

/// Params as JSON: there is nothing in them that it cannot say.
pub(super) fn encode(params: impl Serialize) -> Value {
    serde_json::to_value(params).unwrap_or_default()
}

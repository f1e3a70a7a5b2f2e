//! The configuration: its keys as types. They give the parser of the file and its JSON
//! schema, the options of `etherws sw` and, through [`resolve`], what the program runs. The
//! command line is laid over the file. Opens no socket and runs nothing.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

mod acme;
mod change;
mod command_line;
mod edit;
mod multicast;
mod ports;
mod profiles;
mod read;
mod resolve;
mod stp;
mod users;
mod words;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{self, PathBuf},
};

use clap::{
    Args, ValueHint,
    builder::{PathBufValueParser, TypedValueParser},
    value_parser,
};
use etherws_actors::{
    kinds::{Via, all_options, kinds},
    settings::{PortDefaults, PortSettings, SETTINGS, Scope, Setting},
    stp::StpMode,
    tunnel::Wire,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use self::{
    acme::Acme,
    change::{Action, Change},
    command_line::CommandLine,
    edit::{Running, edit, edit_mirrors},
    ports::PortIndex,
    read::{Fault, Faults, File, Source},
    resolve::{Port, Sw, resolve, survey},
    users::{Pool, Users},
};

use crate::{
    capture::mirror::Mirror,
    options::{MAX_EVENTS, MAX_THREADS, MIN_BINDINGS, MIN_GROUPS, Octets},
};

// A key is one field, here or in a table below. The id of its option is the key.
/// The configuration of a switch. A missing key has its default.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(title = "Configuration of etherws sw")]
pub(crate) struct Config {
    /// The switch itself.
    #[command(flatten)]
    pub(crate) switch: Switch,
    /// The tunnel listener, for WebSocket clients.
    #[command(flatten)]
    pub(crate) tunnel: Tunnel,
    /// The control listener.
    #[command(flatten)]
    pub(crate) control: Control,
    /// What is logged, and where to.
    #[command(flatten)]
    pub(crate) log: Log,
    /// Default settings of ports.
    #[command(flatten)]
    pub(crate) port_defaults: PortDefaultsTable,
    /// Settings under a name, for ports that name it and for the sessions of users.
    #[arg(skip)]
    pub(crate) profile: BTreeMap<String, ProfileTable>,
    /// Who may come in by an invitation.
    #[command(flatten)]
    pub(crate) users: Users,
    /// The addresses that they are given.
    #[command(flatten)]
    pub(crate) pool: Pool,
    /// Names of VLANs, by number.
    #[arg(skip)]
    pub(crate) vlan_names: BTreeMap<String, String>,
    /// The ports, in the order of their numbers.
    #[arg(skip)]
    pub(crate) port: Vec<PortTable>,
    /// Mirrors: what passes some ports is copied to another.
    #[arg(skip)]
    pub(crate) mirror: Vec<Mirror>,
    /// Whether it is that of 0.3's commands: without control, and without what could only
    /// be seen there.
    #[arg(skip)]
    #[serde(skip)]
    pub(crate) legacy: bool,
}

/// `[switch]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Switch")]
pub(crate) struct Switch {
    /// Seconds after which an address that was not seen again is aged out [default: 300]
    #[arg(id = "switch.ageout", long = "ageout", value_name = "SECONDS")]
    #[arg(value_parser = value_parser!(u32).range(1..), allow_negative_numbers = true)]
    #[schemars(range(min = 1))]
    pub(crate) ageout: Option<u32>,
    /// Threads that ports are spread over [default: 1]
    #[arg(id = "switch.threads", long = "threads", value_name = "NUMBER")]
    #[arg(value_parser = value_parser!(u16).range(1..=MAX_THREADS))]
    #[schemars(range(min = 1, max = MAX_THREADS))]
    pub(crate) threads: Option<u16>,
    /// Octets that all queues may take together, with `K`, `M` or `G` for powers of 1,024
    /// [default: a quarter of the memory there is]
    #[arg(id = "switch.queue-memory", long = "queue-memory", value_name = "OCTETS")]
    pub(crate) queue_memory: Option<Octets>,
    /// Number of IP addresses that stations behind guarded ports may have together [default:
    /// 16384]
    #[arg(id = "switch.max-bindings", long = "max-bindings", value_name = "NUMBER")]
    #[arg(value_parser = value_parser!(u32).range(MIN_BINDINGS..))]
    #[schemars(range(min = MIN_BINDINGS))]
    pub(crate) max_bindings: Option<u32>,
    /// Spanning tree that the switch takes part in: rstp (and legacy STP where a neighbor speaks
    /// only that), stp (only legacy STP), or off [default: off]
    #[arg(id = "switch.stp", long = "stp", value_name = "MODE", hide_possible_values = true)]
    pub(crate) stp: Option<StpMode>,
    /// Priority of the switch in the spanning tree, a multiple of 4096 up to 61440: the switch with
    /// the lowest priority becomes the root [default: 32768]
    #[arg(id = "switch.stp-priority", long = "stp-priority", value_name = "NUMBER")]
    #[arg(allow_negative_numbers = true)]
    #[schemars(extend("multipleOf" = 4096), range(max = 61_440))]
    pub(crate) stp_priority: Option<u16>,
    /// Seconds after which spanning tree forgets what a BPDU of legacy STP or of a distant switch
    /// said, 6 to 40; that of the root holds for all switches [default: 20]
    #[arg(id = "switch.stp-max-age", long = "stp-max-age", value_name = "SECONDS")]
    #[arg(allow_negative_numbers = true)]
    #[schemars(range(min = 6, max = 40))]
    pub(crate) stp_max_age: Option<u16>,
    /// Seconds for which a port listens, and as many for which it learns, before it forwards where
    /// its neighbor does not speak RSTP, 4 to 30; that of the root holds for all switches
    /// [default: 15]
    #[arg(id = "switch.stp-forward-delay", long = "stp-forward-delay", value_name = "SECONDS")]
    #[arg(allow_negative_numbers = true)]
    #[schemars(range(min = 4, max = 30))]
    pub(crate) stp_forward_delay: Option<u16>,
    /// Whether to send multicast only where IGMP and MLD say that it is wanted [default: false]
    #[arg(id = "switch.mcast-snooping", long = "mcast-snooping", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) mcast_snooping: Option<bool>,
    /// Whether to ask hosts which multicast groups they want, while there is no other querier
    /// [default: false]
    #[arg(id = "switch.mcast-querier", long = "mcast-querier", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) mcast_querier: Option<bool>,
    /// Number of multicast groups that all hosts together may have joined [default: 4096]
    #[arg(id = "switch.mcast-groups", long = "mcast-groups", value_name = "NUMBER")]
    #[arg(value_parser = value_parser!(u32).range(MIN_GROUPS..))]
    #[schemars(range(min = MIN_GROUPS))]
    pub(crate) mcast_groups: Option<u32>,
    /// Account to run as once it listens, or its number; keeps CAP_NET_ADMIN and CAP_NET_RAW
    /// [default: the one that starts it]
    #[arg(id = "switch.user", long = "user", value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File to write the process's number to; removed at the end
    #[arg(id = "switch.pid-file", long = "pid-file", alias = "pidfile", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(crate) pid_file: Option<PathBuf>,
    /// Folder for state kept across restarts, such as which card MAC addresses of TAP devices
    /// are made from [default: /var/lib/etherws, if it exists]
    #[arg(id = "switch.state", long = "state", value_name = "DIR")]
    #[arg(value_parser = absolute())]
    pub(crate) state: Option<PathBuf>,
    /// Number of recent events that are kept for ctl events; 0: none [default: 1000]
    #[arg(id = "switch.events", long = "events", value_name = "NUMBER")]
    #[arg(value_parser = value_parser!(u16).range(..=MAX_EVENTS))]
    #[schemars(range(max = MAX_EVENTS))]
    pub(crate) events: Option<u16>,
    /// Whether to keep a list of hosts, with their addresses and names [default: true]
    #[arg(
        id = "switch.hosts",
        long = "no-hosts",
        help = "Keep no list of hosts, with their \
        addresses and names",
        num_args = 0,
        default_missing_value = "false"
    )]
    pub(crate) hosts: Option<bool>,
    /// Whether TAP devices and network interfaces send and receive LLDP, unless their lldp-status
    /// says otherwise [default: false]
    #[arg(id = "switch.lldp", long = "lldp", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) lldp: Option<bool>,
    /// MAC address of the switch in LLDP, spanning tree and other protocols, or random for another
    /// one at each start [default: a random one that is kept in the state folder]
    #[arg(id = "switch.mac", long = "mac", value_name = "ADDRESS")]
    pub(crate) mac: Option<String>,
}

/// `[port-defaults]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = only_for_all)]
#[command(next_help_heading = "Defaults for ports")]
pub(crate) struct PortDefaultsTable {
    /// In the file they stand in the table itself, where only what is known is let in.
    #[serde(rename = "(settings)")]
    #[schemars(flatten, with = "PortSettings")]
    #[command(flatten)]
    pub(crate) settings: PortDefaults,
}

/// Leaves out what is about one port.
fn only_for_all(schema: &mut Schema) {
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut);
    let is_for_all = |key: &str| Setting::find(key).is_none_or(|s| s.scope == Scope::Anywhere);
    keys.into_iter().for_each(|keys| keys.retain(|key, _| is_for_all(key)));
}

/// `[profile.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(transform = only_for_all)]
pub(crate) struct ProfileTable {
    /// Profile that gives what this one does not
    pub(crate) inherits: Option<String>,
    /// Users whose sessions have it; * is whoever is in no other profile
    pub(crate) users: Vec<String>,
    /// Maximum number of sessions of each of them [default: that of the tunnel]
    #[schemars(range(min = 1))]
    pub(crate) max_sessions: Option<usize>,
    /// What it gives
    #[serde(rename = "(settings)")]
    #[schemars(flatten)]
    pub(crate) settings: PortSettings,
}

/// `[tunnel]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Tunnel listener")]
pub(crate) struct Tunnel {
    /// Address to serve WebSockets on; empty: all addresses [default: all addresses]
    #[arg(id = "tunnel.host", long = "host", value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// TCP port [default: 80, or 443 with TLS]
    // 1.3 took prefixes for it: --pool-network must not make them ambiguous.
    #[arg(id = "tunnel.port", long = "port", aliases = ["po", "por"], value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// HTTP path [default: /]
    #[arg(id = "tunnel.path", long = "path", value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Passwords of clients, as written by etherws passwd or htpasswd [default: no
    /// password required]
    #[arg(id = "tunnel.htpasswd", long = "htpasswd", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(crate) htpasswd: Option<PathBuf>,
    /// Origin from which a browser may come besides the switch's own; * is any
    #[arg(id = "tunnel.allow-origin", long = "allow-origin", value_name = "URL")]
    pub(crate) allow_origin: Option<Vec<String>>,
    /// Maximum number of sessions [default: 4096]
    #[arg(id = "tunnel.max-sessions", long = "max-sessions", alias = "maxsessions")]
    #[arg(value_name = "NUMBER")]
    #[serde(alias = "maxsessions")]
    pub(crate) max_sessions: Option<usize>,
    /// Maximum number of sessions of one user [default: 2048]
    #[arg(id = "tunnel.max-sessions-per-user", long = "max-sessions-per-user")]
    #[arg(alias = "maxsessionsperuser", value_name = "NUMBER")]
    #[serde(alias = "maxsessionsperuser")]
    pub(crate) max_sessions_per_user: Option<usize>,
    /// Maximum number of sessions from one IPv4 address or IPv6 /64 [default: 2048]
    #[arg(id = "tunnel.max-sessions-per-address", long = "max-sessions-per-address")]
    #[arg(alias = "maxsessionsperaddress", value_name = "NUMBER")]
    #[serde(alias = "maxsessionsperaddress")]
    pub(crate) max_sessions_per_address: Option<usize>,
    /// Octets of data in a TCP segment at most, 88 to 32767, for paths that lose longer packets
    #[arg(id = "tunnel.mss", long = "mss", value_name = "OCTETS")]
    #[arg(value_parser = clap::value_parser!(u16).range(88..=32_767))]
    #[schemars(range(min = 88, max = 32_767))]
    pub(crate) mss: Option<u16>,
    /// What passes through tunnels: super-frames whole where both ends can, or finished frames
    /// only (plain) [default: super-frames]
    #[arg(id = "tunnel.wire", long = "wire", value_name = "WIRE")]
    pub(crate) wire: Option<Wire>,
    /// Links that a client's port may have at most; 1: none beside the first [default: 8]
    #[arg(id = "tunnel.max-links", long = "max-links", value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=8))]
    #[schemars(range(min = 1, max = 8))]
    pub(crate) max_links: Option<u8>,
    /// Reverse proxies whose word on where a client comes from is taken: addresses, prefixes, or
    /// unix for a Unix socket [default: none]
    #[arg(id = "tunnel.trusted-proxies", long = "trusted-proxies", value_name = "ADDRESS")]
    #[arg(value_delimiter = ',')]
    pub(crate) trusted_proxies: Option<Vec<String>>,
    /// Header in which they name the client: forwarded (RFC 7239), x-forwarded-for, or one that
    /// holds a single address, such as x-real-ip [default: x-forwarded-for]
    #[arg(id = "tunnel.forwarded-header", long = "forwarded-header", value_name = "NAME")]
    pub(crate) forwarded_header: Option<String>,
    /// Whether each connection must begin with a header of the PROXY protocol, version 1 or 2
    /// [default: false]
    #[arg(id = "tunnel.proxy-protocol", long = "proxy-protocol", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    #[arg(hide_possible_values = true)]
    pub(crate) proxy_protocol: Option<bool>,
    /// TLS of the tunnel listener.
    #[command(flatten)]
    pub(crate) tls: TunnelTls,
    /// Key and certificate of the tunnel listener from a public CA.
    #[command(flatten)]
    pub(crate) acme: Acme,
}

/// `[control]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Control listener")]
pub(crate) struct Control {
    /// Address to serve control on; empty: all addresses [default: 127.0.0.1]
    #[arg(id = "control.host", long = "ctlhost", value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// TCP port of control [default: 7867]
    #[arg(id = "control.port", long = "ctlport", value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// HTTP path of control [default: /ctl]
    #[arg(id = "control.path", long = "ctlpath", value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Unix socket to serve control on, only for the switch's user; replaces TCP, unless
    /// host or port is given
    #[arg(id = "control.socket", long = "ctlsock", value_name = "PATH")]
    #[arg(value_parser = absolute())]
    pub(crate) socket: Option<PathBuf>,
    /// Host name that control accepts, besides localhost and its address
    #[arg(id = "control.name", long = "ctlname", value_name = "NAME")]
    pub(crate) name: Option<Vec<String>>,
    /// Whether other machines may control without password or certificate [default: false]
    #[arg(id = "control.open", long = "ctlopen", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) open: Option<bool>,
    /// Passwords for control, as written by etherws passwd or htpasswd [default: no
    /// password required]
    #[arg(id = "control.htpasswd", long = "ctlhtpasswd", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(crate) htpasswd: Option<PathBuf>,
    /// Reverse proxies whose word on where a client comes from is taken: addresses, prefixes, or
    /// unix for a Unix socket [default: those of the tunnel]
    #[arg(id = "control.trusted-proxies", long = "ctl-trusted-proxies", value_name = "ADDRESS")]
    #[arg(value_delimiter = ',')]
    pub(crate) trusted_proxies: Option<Vec<String>>,
    /// Header in which they name the client: forwarded (RFC 7239), x-forwarded-for, or one that
    /// holds a single address, such as x-real-ip [default: that of the tunnel]
    #[arg(id = "control.forwarded-header", long = "ctl-forwarded-header", value_name = "NAME")]
    pub(crate) forwarded_header: Option<String>,
    /// Whether each connection must begin with a header of the PROXY protocol, version 1 or 2
    /// [default: false]
    #[arg(id = "control.proxy-protocol", long = "ctl-proxy-protocol", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    #[arg(hide_possible_values = true)]
    pub(crate) proxy_protocol: Option<bool>,
    /// TLS of the control listener.
    #[command(flatten)]
    pub(crate) tls: ControlTls,
    /// Who may do what by control.
    #[command(flatten)]
    pub(crate) roles: ControlRoles,
}

/// `[control.roles]`: users of htpasswd, names of client certificates, and accounts or, after an
/// @, groups of whoever connects by the Unix socket; * is whoever is let in. Without any of them
/// all may do everything
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct ControlRoles {
    /// User or @GROUP that may do everything [default: all, if nobody has a role]
    #[arg(id = "control.roles.admin", long = "ctladmin", value_name = "NAME")]
    pub(crate) admin: Option<Vec<String>>,
    /// User or @GROUP that may set up ports, interfaces and addresses
    #[arg(id = "control.roles.operator", long = "ctloperator", value_name = "NAME")]
    pub(crate) operator: Option<Vec<String>>,
    /// User or @GROUP that may read lists, metrics and events
    #[arg(id = "control.roles.viewer", long = "ctlviewer", value_name = "NAME")]
    pub(crate) viewer: Option<Vec<String>>,
}

/// The PEM files of a listener: one table, whose options have another name at each listener.
macro_rules! tls_table {
    (
        $name:ident, $table:literal, $key:literal, $cert:literal or $short:literal, $ca:literal,
        $revoked:literal
    ) => {
        #[doc = concat!("`[", $table, "]`")]
        #[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub(crate) struct $name {
            /// Private key, PEM
            #[arg(id = concat!($table, ".key"), long = $key, value_name = "FILE")]
            #[arg(value_parser = absolute())]
            pub(crate) key: Option<PathBuf>,
            /// Certificate chain, PEM
            // 1.3 took a prefix for it that that of the CAs must not make ambiguous.
            #[arg(id = concat!($table, ".cert"), long = $cert, alias = $short)]
            #[arg(value_name = "FILE", value_parser = absolute())]
            pub(crate) cert: Option<PathBuf>,
            /// Accept only clients with a certificate of these CAs, PEM
            #[arg(id = concat!($table, ".client-ca"), long = $ca, value_name = "FILE")]
            #[arg(value_parser = absolute())]
            pub(crate) client_ca: Option<PathBuf>,
            /// Client certificates that are not accepted any more: CRLs of the CAs, PEM, or
            /// names and serial numbers, one a line
            #[arg(id = concat!($table, ".revoked"), long = $revoked, value_name = "FILE")]
            #[arg(value_parser = absolute())]
            pub(crate) revoked: Option<PathBuf>,
        }

        impl $name {
            fn files(&self) -> [Option<&PathBuf>; 4] {
                [&self.key, &self.cert, &self.client_ca, &self.revoked].map(Option::as_ref)
            }
        }
    };
}

tls_table!(TunnelTls, "tunnel.tls", "sslkey", "sslcert" or "sslc", "sslclientca",
    "sslrevoked");
tls_table!(ControlTls, "control.tls", "ctlsslkey", "ctlsslcert" or "ctlsslc",
    "ctlsslclientca", "ctlsslrevoked");

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Log")]
pub(crate) struct Log {
    /// Whether to log each frame [default: false]
    #[arg(id = "log.debug", long = "debug", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) debug: Option<bool>,
    /// Configuration of logging, in the form of Python's logging.config.fileConfig
    // 1.3 took --l and --lo for it: --loop-guard must not make them ambiguous.
    #[arg(id = "log.conf", long = "logconf", aliases = ["l", "lo"], value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(crate) conf: Option<PathBuf>,
}

/// A path on the command line, which is relative to where the program starts: a daemon's
/// folder is `/`. Symbolic links stay: a renewed certificate may be behind the same link.
pub(crate) fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(path::absolute)
}

/// The keys whose values are paths.
fn path_keys() -> impl Iterator<Item = String> {
    let command = Config::augment_args(clap::Command::default());
    let options = command.get_arguments().filter(|o| o.get_value_hint() == ValueHint::AnyPath);
    options.map(|option| option.get_id().to_string()).collect::<Vec<_>>().into_iter()
}

/// `[[port]]`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub(crate) struct PortTable {
    /// Kind of the port
    #[serde(rename = "type")]
    #[schemars(required, schema_with = "kind")]
    pub(crate) kind: Option<String>,
    /// Its target, and the options that its kind has
    #[serde(flatten)]
    #[schemars(with = "KindOptions")]
    pub(crate) options: Map<String, Value>,
    /// tap, netdev: one IPv4 and one IPv6 address at most, as "192.0.2.1/24"
    pub(crate) addresses: Option<Vec<String>>,
    /// tap, netdev: largest packet in octets
    #[schemars(range(min = 576))]
    pub(crate) mtu: Option<u32>,
    /// Its own settings; they come before those of `[port-defaults]`.
    #[serde(rename = "(settings)", default)]
    #[schemars(flatten)]
    pub(crate) settings: PortSettings,
    /// Addresses that are behind it for good
    #[serde(default)]
    pub(crate) fdb: Vec<FdbTable>,
}

fn kind(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<_> = kinds().iter().map(|kind| kind.name).collect();
    json_schema!({"type": "string", "enum": names})
}

/// The options of all kinds, for the schema.
struct KindOptions;

impl JsonSchema for KindOptions {
    fn schema_name() -> Cow<'static, str> {
        "KindOptions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = all_options(Via::File, generator);
        json_schema!({"type": "object", "properties": options, "required": ["target"]})
    }
}

/// `[[port.fdb]]`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct FdbTable {
    /// Address, as "02:00:00:00:00:01"
    #[schemars(required)]
    pub(crate) mac: Option<String>,
    /// VLAN of the address; 0: none. Default: 0
    #[schemars(range(max = 4094))]
    pub(crate) vlan: Option<u16>,
}

/// The JSON schema of the file, for editors. Beside a key stands its option, if it has one.
pub(crate) fn schema() -> String {
    let mut schema = schemars::schema_for!(Config).to_value();
    let command = Config::augment_args(clap::Command::default());
    for option in command.get_arguments() {
        let key = pointer(&schema, option.get_id().as_str());
        let member = key.and_then(|pointer| schema.pointer_mut(&pointer));
        if let Some((member, name)) = member.zip(option.get_long()) {
            member["option"] = format!("--{name}").into();
        }
    }
    add_former_names(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// What the file still may have, as an editor should know it: former names of settings, and
/// those of all ports in `[switch]`.
fn add_former_names(schema: &mut Value) {
    let settings = schema["$defs"]["PortDefaultsTable"]["properties"].as_object().cloned();
    let settings = settings.unwrap_or_default();
    let Some(definitions) = schema["$defs"].as_object_mut() else { return };
    let deprecated = |name: &str, own: &Value, place: &str| {
        let mut former = own.clone();
        former["description"] = format!("Now {place}{name}").into();
        former["deprecated"] = true.into();
        former.as_object_mut().map(|former| former.remove("option"));
        former
    };
    for (table, definition) in definitions {
        let members = definition.get_mut("properties").and_then(Value::as_object_mut);
        let Some(members) = members else { continue };
        if table == "Switch" {
            for (name, own) in &settings {
                let former = || deprecated(name, own, "port-defaults.");
                members.entry(name.clone()).or_insert_with(former);
            }
        }
        for Setting { name, aliases, .. } in SETTINGS {
            let Some(own) = members.get(*name).cloned() else { continue };
            for alias in *aliases {
                members.insert((*alias).to_owned(), deprecated(name, &own, ""));
            }
        }
    }
}

/// Where in a schema the key stands.
fn pointer(schema: &Value, key: &str) -> Option<String> {
    // Settings of ports have no table in their ids.
    let key = if key.contains('.') { key } else { &format!("port-defaults.{key}") };
    key.split('.').try_fold(String::new(), |above, part| {
        let definition = schema.pointer(&format!("{above}/$ref")).and_then(Value::as_str);
        let table = definition.map_or(&*above, |reference| reference.trim_start_matches('#'));
        let own = format!("{table}/properties/{part}");
        schema.pointer(&own).map(|_| own)
    })
}

#[cfg(test)]
mod tests;

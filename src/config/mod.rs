//! The configuration file: its keys as types, which give the parser, the JSON schema and,
//! through [`resolve`], what the program runs. The command line is read into the same
//! types and laid over the file. Opens no socket and runs nothing.

mod change;
mod edit;
mod name;
mod read;
mod resolve;

use std::{borrow::Cow, path::PathBuf};

use etherws_actors::{
    guard::storm::StormLimit,
    kinds::{Via, all_options, kinds},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use self::{
    change::{Action, Change},
    edit::{Running, edit},
    read::{Fault, Faults, File, Source},
    resolve::{Port, Sw, resolve},
};

/// The whole file. What is missing in it has its default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(title = "Configuration of etherws sw")]
pub(crate) struct Config {
    /// The switch itself.
    pub(crate) switch: Switch,
    /// Where WebSocket clients come in.
    pub(crate) tunnel: Tunnel,
    /// Where control requests come in.
    pub(crate) control: Control,
    /// What is logged, and where to.
    pub(crate) log: Log,
    /// The ports, in the order of their numbers.
    pub(crate) port: Vec<PortTable>,
}

/// `[switch]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Switch {
    /// Seconds after which an address that was not seen again is forgotten. Default: 300
    #[schemars(range(min = 1))]
    pub(crate) ageout: Option<u32>,
    /// Threads that ports are spread over. Default: 1
    #[schemars(range(min = 1, max = 256))]
    pub(crate) threads: Option<u16>,
    /// Account to run as once it listens; by default the one that starts it
    pub(crate) user: Option<String>,
    /// Folder for what outlasts a restart, as the MAC addresses of TAP devices. Default:
    /// /var/lib/etherws, if it is there
    pub(crate) state: Option<PathBuf>,
    /// Whether to look for loops: two ports that lead to one network. Default: true
    pub(crate) loopguard: Option<bool>,
    /// Whether to keep a list of hosts, with their addresses and names. Default: true
    pub(crate) hosts: Option<bool>,
    /// Most MAC addresses that are learned behind a port. Default: 8192
    pub(crate) maxmacs: Option<usize>,
    /// Broadcast frames a second from a port, and at once, or "off". Default: "1000/4000"
    #[schemars(with = "Option<StormText>")]
    pub(crate) storm_broadcast: Option<Storm>,
    /// The same for multicast. Default: "5000/20000"
    #[schemars(with = "Option<StormText>")]
    pub(crate) storm_multicast: Option<Storm>,
    /// The same for frames to unknown addresses. Default: "5000/20000"
    #[schemars(with = "Option<StormText>")]
    pub(crate) storm_unicast: Option<Storm>,
}

/// `[tunnel]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Tunnel {
    /// Address to serve WebSockets on; "" is all addresses. Default: ""
    pub(crate) host: Option<String>,
    /// TCP port. Default: 80, or 443 with TLS
    pub(crate) port: Option<u16>,
    /// HTTP path. Default: "/"
    pub(crate) path: Option<String>,
    /// Passwords of clients, as written by etherws passwd or htpasswd; by default nobody
    /// is asked for one
    pub(crate) htpasswd: Option<PathBuf>,
    /// Origins from which a browser may come besides the switch's own; "*" is any.
    /// Default: []
    pub(crate) allow_origin: Option<Vec<String>>,
    /// Most sessions in all. Default: 4096
    pub(crate) maxsessions: Option<usize>,
    /// Most sessions of one user. Default: 2048
    pub(crate) maxsessionsperuser: Option<usize>,
    /// Most sessions from one IPv4 address, or IPv6 network of 64 bits. Default: 2048
    pub(crate) maxsessionsperaddress: Option<usize>,
    /// With it the tunnel speaks TLS.
    pub(crate) tls: Option<Tls>,
}

/// `[control]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Control {
    /// Address to serve control on; "" is all addresses. Default: "127.0.0.1"
    pub(crate) host: Option<String>,
    /// TCP port. Default: 7867
    pub(crate) port: Option<u16>,
    /// HTTP path. Default: "/ctl"
    pub(crate) path: Option<String>,
    /// Unix socket, for the switch's user alone; instead of TCP, unless host or port is
    /// given
    pub(crate) socket: Option<PathBuf>,
    /// Names by which control may be asked for, besides localhost and its address.
    /// Default: []
    pub(crate) name: Option<Vec<String>>,
    /// Whether it is for other machines without password or certificate. Default: false
    pub(crate) open: Option<bool>,
    /// Passwords, as written by etherws passwd or htpasswd; by default nobody is asked for
    /// one
    pub(crate) htpasswd: Option<PathBuf>,
    /// With it control speaks TLS.
    pub(crate) tls: Option<Tls>,
}

/// `[tunnel.tls]`, `[control.tls]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Tls {
    /// Private key, PEM
    pub(crate) key: Option<PathBuf>,
    /// Certificate chain, PEM
    pub(crate) cert: Option<PathBuf>,
    /// Lets in only clients with a certificate of these CAs, PEM
    pub(crate) client_ca: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Log {
    /// Whether to log each frame. Default: false
    pub(crate) debug: Option<bool>,
    /// Configuration of logging, in the form of Python's logging.config.fileConfig
    pub(crate) conf: Option<PathBuf>,
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
    /// Whether to drop all frames from and to the port. Default: false
    pub(crate) shut: Option<bool>,
    /// Whether to look for loops through it. Default: that of the switch, as below
    pub(crate) loopguard: Option<bool>,
    /// Most MAC addresses that are learned behind it
    pub(crate) maxmacs: Option<usize>,
    /// Broadcast frames a second from it, and at once, or "off"
    #[schemars(with = "Option<StormText>")]
    pub(crate) storm_broadcast: Option<Storm>,
    /// The same for multicast
    #[schemars(with = "Option<StormText>")]
    pub(crate) storm_multicast: Option<Storm>,
    /// The same for frames to unknown addresses
    #[schemars(with = "Option<StormText>")]
    pub(crate) storm_unicast: Option<Storm>,
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

/// A storm limit, as the options write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "StormText")]
pub(crate) struct Storm(pub(crate) StormLimit);

/// Frames a second, with a burst as "1000/4000", or "off".
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "no storm limit; write frames a second as 1000, with a burst as \"1000/4000\", or \"off\""
)]
enum StormText {
    Rate(u32),
    Text(#[schemars(regex(pattern = r"^(off|[0-9]+(/[0-9]+)?)$"))] String),
}

impl TryFrom<StormText> for Storm {
    type Error = etherws_actors::guard::storm::ParseStormLimitError;

    fn try_from(text: StormText) -> Result<Self, Self::Error> {
        match text {
            StormText::Rate(rate) => Ok(Self(StormLimit::with_rate(rate))),
            StormText::Text(text) => text.parse().map(Self),
        }
    }
}

/// Lays the first over the second, field by field.
macro_rules! lay {
    ($own:expr, $below:expr; $($field:ident),*) => {
        $($own.$field = $own.$field.take().or($below.$field);)*
    };
}

impl Config {
    /// This one, and `below` where it says nothing. The ports are those of both.
    pub(crate) fn over(mut self, below: Self) -> Self {
        let own = &mut self.switch;
        lay!(own, below.switch; ageout, threads, user, state, loopguard, hosts, maxmacs,
            storm_broadcast, storm_multicast, storm_unicast);
        let own = &mut self.tunnel;
        own.tls = Tls::over(own.tls.take(), below.tunnel.tls);
        lay!(own, below.tunnel; host, port, path, htpasswd, allow_origin, maxsessions,
            maxsessionsperuser, maxsessionsperaddress);
        let own = &mut self.control;
        own.tls = Tls::over(own.tls.take(), below.control.tls);
        lay!(own, below.control; host, port, path, socket, name, open, htpasswd);
        lay!(self.log, below.log; debug, conf);
        self.port.extend(below.port);
        self
    }
}

impl Tls {
    fn over(own: Option<Self>, below: Option<Self>) -> Option<Self> {
        match (own, below) {
            (Some(mut own), Some(below)) => {
                lay!(own, below; key, cert, client_ca);
                Some(own)
            }
            (own, below) => own.or(below),
        }
    }
}

/// The JSON schema of the file, for editors.
pub(crate) fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Config)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const EXAMPLE: &str = include_str!("../../packaging/etherws.toml");

    /// The example with what stands behind up to `marks` marks.
    fn example(marks: usize) -> String {
        let lines = EXAMPLE.lines().map(|line| {
            let bare = line.trim_start_matches('#');
            let is_setting = bare.starts_with('[') || bare.split(" = ").count() == 2;
            let is_setting = is_setting && !bare.starts_with(' ');
            if is_setting && line.len() - bare.len() <= marks { bare } else { line }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn read(text: &str) -> (File, Vec<Fault>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        fs::write(&path, text).unwrap();
        File::read(&path).unwrap()
    }

    #[test]
    fn the_example_is_good_and_its_defaults_are_the_programs() {
        let run = |text: &str| {
            let (file, faults) = read(text);
            format!("{:?}", resolve(&file.config, Some(&file), faults).unwrap())
        };
        let defaults = run("");
        // The one setting that the package has of its own.
        let own = "socket = \"/run/etherws/control.sock\"";
        assert!(run(EXAMPLE).contains("/run/etherws/control.sock"));
        assert_eq!(run(&EXAMPLE.replace(own, "")), defaults);
        let spelled_out = example(1).replace(own, "");
        assert!(spelled_out.contains("\nageout = 300"), "{spelled_out}");
        // Unset, they are these.
        let guards = "GuardArgs { maxmacs: Some(8192), storm_broadcast: Some(Rate { rate: 1000, \
                      burst: 4000 }), storm_multicast: Some(Rate { rate: 5000, burst: 20000 }), \
                      storm_unicast: Some(Rate { rate: 5000, burst: 20000 }) }";
        let declared = etherws_actors::settings::PortSettings::declared();
        assert_eq!(declared.storm_broadcast().to_string(), "1000/4000");
        assert_eq!(declared.storm_multicast().to_string(), "5000/20000");
        assert_eq!(declared.storm_unicast, declared.storm_multicast);
        assert_eq!(etherws_actors::fdb::DEFAULT_MAX_MACS, 8192);
        let none = "GuardArgs { maxmacs: None, storm_broadcast: None, storm_multicast: None, \
                    storm_unicast: None }";
        assert_eq!(run(&spelled_out).replace(guards, none), defaults);
    }

    #[test]
    fn the_example_names_every_key() {
        let (file, faults) = read(&example(2));
        assert_eq!(faults, []);
        let text = example(2);
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        for (table, definition) in schema["$defs"].as_object().unwrap() {
            let Some(keys) = definition["properties"].as_object() else { continue };
            for key in keys.keys().filter(|key| *key != "user" || table != "Switch") {
                let named = [format!("\n{key} = "), format!("{key}]")];
                assert!(named.iter().any(|form| text.contains(form)), "{table}: {key}");
            }
        }
        assert_eq!(file.config.port.len(), 3);
    }

    #[test]
    fn the_schema_that_is_checked_in_is_that_of_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.schema.json");
        let found = fs::read_to_string(path).unwrap_or_default();
        assert_eq!(found, schema(), "etherws check --schema >docs/config.schema.json");
    }

    #[test]
    fn every_option_has_a_key_and_every_key_an_option() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let table = |name: &str| schema["$defs"][name]["properties"].as_object().unwrap().clone();
        let mut keys = Vec::new();
        for (section, name) in
            [("switch", "Switch"), ("tunnel", "Tunnel"), ("control", "Control"), ("log", "Log")]
        {
            for key in table(name).keys() {
                match key.as_str() {
                    "tls" => keys.extend(table("Tls").keys().map(|k| format!("{section}.tls.{k}"))),
                    key => keys.push(format!("{section}.{key}")),
                }
            }
        }
        keys.sort();
        let mut named: Vec<_> = name::OPTIONS.iter().map(|(key, _)| (*key).to_owned()).collect();
        named.sort();
        assert_eq!(named, keys);
    }

    #[test]
    fn the_command_line_lies_over_the_file() {
        let config = |text: &str| read(text).0.config;
        let above = config("[switch]\nageout = 1\n[tunnel.tls]\nkey = \"/k\"");
        let below =
            config("[switch]\nageout = 2\nthreads = 3\n[tunnel.tls]\nkey = \"/o\"\ncert = \"/c\"");
        let both = above.over(below);
        assert_eq!((both.switch.ageout, both.switch.threads), (Some(1), Some(3)));
        let tls = both.tunnel.tls.unwrap();
        assert_eq!((tls.key, tls.cert), (Some("/k".into()), Some("/c".into())));
    }
}

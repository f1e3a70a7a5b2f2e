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
    kinds::{Via, all_options, kinds},
    settings::{PortSettings, Scope, Setting},
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
    /// Settings of all ports that have none of their own.
    pub(crate) port_defaults: PortDefaultsTable,
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
    /// Whether to keep a list of hosts, with their addresses and names. Default: true
    pub(crate) hosts: Option<bool>,
}

/// `[port-defaults]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = only_for_all)]
pub(crate) struct PortDefaultsTable {
    /// In the file they stand in the table itself, where only what is known is let in.
    #[serde(rename = "(settings)")]
    #[schemars(flatten)]
    pub(crate) settings: PortSettings,
}

/// Leaves out what two ports cannot share.
fn only_for_all(schema: &mut Schema) {
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut);
    let is_for_all = |key: &str| Setting::find(key).is_some_and(|s| s.scope == Scope::Anywhere);
    keys.into_iter().for_each(|keys| keys.retain(|key, _| is_for_all(key)));
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
        lay!(own, below.switch; ageout, threads, user, state, hosts);
        let own = &mut self.tunnel;
        own.tls = Tls::over(own.tls.take(), below.tunnel.tls);
        lay!(own, below.tunnel; host, port, path, htpasswd, allow_origin, maxsessions,
            maxsessionsperuser, maxsessionsperaddress);
        let own = &mut self.control;
        own.tls = Tls::over(own.tls.take(), below.control.tls);
        lay!(own, below.control; host, port, path, socket, name, open, htpasswd);
        lay!(self.log, below.log; debug, conf);
        let own = &mut self.port_defaults.settings;
        *own = own.or(&below.port_defaults.settings);
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
        // Unset, they are these, and read as they are written.
        let settings = |text: &str| read(text).0.config.port_defaults.settings;
        let declared = PortSettings::declared();
        let for_all = PortSettings { shut: None, ..declared };
        assert_eq!(settings(&spelled_out), for_all);
        let none = format!("{:?}", PortSettings::default());
        assert_eq!(run(&spelled_out).replace(&format!("{for_all:?}"), &none), defaults);
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

//! The control API's methods: one table for the dispatcher, the client and the
//! documentation. A method's params become a [`Command`] (see `params`) and back.

use std::net::IpAddr;

use etherws_actors::{
    control::{AddressSetting, Command, InterfaceSettings, NewPort},
    fdb::PortNumber,
    guard::storm::StormLimit,
    message::PortSettings,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Refusal,
    entry::{Entries, netmask},
    params::{self, Params},
    query::QUERIES,
};

/// What every method's name begins with.
pub(crate) const NAMESPACE: &str = "etherws.control.";

/// A method of the control API: all there is to say about it, in one place.
pub(crate) struct Method<C: 'static = Command> {
    /// Name behind [`NAMESPACE`].
    pub(crate) name: &'static str,
    /// What it does, in a line.
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/rpc.md is checked against it"))]
    pub(crate) doc: &'static str,
    /// What params ask for.
    pub(super) command: fn(Params<'_>) -> Result<C, Refusal>,
    /// The params of a command that this method carries, as etherws 1.3 takes them too;
    /// null for none. `None`: another method carries the command.
    pub(super) params: fn(&C) -> Option<Value>,
    /// Reads `result.entries`.
    pub(super) entries: fn(Value) -> serde_json::Result<Entries>,
}

/// All methods.
pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "listPort",
        doc: "All ports, by number.",
        command: |_| Ok(Command::ListPorts),
        params: |command| matches!(command, Command::ListPorts).then_some(Value::Null),
        entries: ports,
    },
    Method {
        name: "addPort",
        doc: "Opens a port and adds it to the switch. Entries: the new port.",
        command: params::add_port,
        params: |command| match command {
            Command::AddPort(new) => Some(new_port(new)),
            _ => None,
        },
        entries: ports,
    },
    Method {
        name: "setPort",
        doc: "Sets up a port. Entries: that port.",
        command: params::set_port,
        params: |command| match command {
            Command::SetPort { port, settings } => Some(port_settings(*port, settings)),
            _ => None,
        },
        entries: ports,
    },
    Method {
        name: "showPort",
        doc: "All there is to know of a port. Entries: that port, with more members.",
        command: |params| Ok(Command::ShowPort { port: params.port()? }),
        params: |command| match command {
            Command::ShowPort { port } => Some(json!({"port": port.get()})),
            _ => None,
        },
        entries: |entries| list(entries).map(Entries::Reports),
    },
    Method {
        name: "delPort",
        doc: "Deletes a port. Entries: that port, as it was.",
        command: |params| Ok(Command::DelPort { port: params.port()? }),
        params: |command| match command {
            Command::DelPort { port } => Some(json!({"port": port.get()})),
            _ => None,
        },
        entries: ports,
    },
    Method {
        name: "setInterface",
        doc: "Sets up the interface of a tap or netdev port: all of it, or nothing. \
              Entries: that interface.",
        command: params::set_interface,
        params: |command| match command {
            Command::SetInterface { port, settings } => Some(interface(*port, settings)),
            _ => None,
        },
        entries: interfaces,
    },
    Method {
        name: "listInterface",
        doc: "The interfaces of all tap and netdev ports, by number of the port.",
        command: |_| Ok(Command::ListInterfaces),
        params: |command| matches!(command, Command::ListInterfaces).then_some(Value::Null),
        entries: interfaces,
    },
    Method {
        name: "listFdb",
        doc: "The forwarding database, by VLAN and then address.",
        command: |_| Ok(Command::ListFdb),
        params: |command| matches!(command, Command::ListFdb).then_some(Value::Null),
        entries: fdb,
    },
    Method {
        name: "addFdb",
        doc: "Adds a static entry: an address that neither ages nor moves. Entries: that entry.",
        command: params::add_fdb,
        params: |command| match command {
            Command::AddFdb { vid, mac, port } => {
                Some(json!({"mac": mac.to_string(), "vid": vid.get(), "port": port.get()}))
            }
            _ => None,
        },
        entries: fdb,
    },
    Method {
        name: "delFdb",
        doc: "Deletes an entry, static or learned. Entries: that entry, as it was.",
        command: params::del_fdb,
        params: |command| match command {
            Command::DelFdb { vid, mac } => Some(json!({"mac": mac.to_string(), "vid": vid.get()})),
            _ => None,
        },
        entries: fdb,
    },
    Method {
        name: "flushFdb",
        doc: "Forgets what was learned. Entries: what was forgotten.",
        command: params::flush_fdb,
        params: |command| match command {
            Command::FlushFdb { port, all } => {
                Some(present(json!({"port": port.map(PortNumber::get), "all": all})))
            }
            _ => None,
        },
        entries: fdb,
    },
];

impl Method {
    /// The method of a full name.
    pub(crate) fn find(full_name: &str) -> Result<&'static Self, Refusal> {
        let name = full_name.strip_prefix(NAMESPACE).ok_or_else(|| {
            let text = format!("Invalid method namespace: {full_name}; it is {NAMESPACE}");
            Refusal::new("ValueError", text)
        })?;
        METHODS.iter().find(|method| method.name == name).ok_or_else(|| {
            let names = METHODS.iter().map(|method| method.name);
            let names: Vec<_> = names.chain(QUERIES.iter().map(|method| method.name)).collect();
            let text = format!("no method {name}; there are {}", names.join(", "));
            Refusal::new("AttributeError", text)
        })
    }
}

impl<C> Method<C> {
    /// The method among `methods` that carries `command`, and its params. There is one
    /// for each command.
    pub(crate) fn of<'a>(methods: &'a [Self], command: &C) -> Option<(&'a Self, Option<Value>)> {
        methods.iter().find_map(|method| {
            let params = (method.params)(command)?;
            Some((method, (!params.is_null()).then_some(params)))
        })
    }

    /// What `params` ask for.
    pub(crate) fn command(&self, params: Option<&Value>) -> Result<C, Refusal> {
        (self.command)(Params(params.unwrap_or(&Value::Null)))
    }

    /// Reads `result.entries`.
    pub(crate) fn entries(&self, entries: Value) -> serde_json::Result<Entries> {
        (self.entries)(entries)
    }
}

fn new_port(new: &NewPort) -> Value {
    match new {
        NewPort::Tap { name } => json!({"type": "tap", "target": name, "options": {}}),
        NewPort::Netdev { name } => json!({"type": "netdev", "target": name, "options": {}}),
        NewPort::Client(options) => json!({"type": "client", "target": options.url, "options": {
            "urls": (!options.more_urls.is_empty()).then_some(&options.more_urls),
            "user": options.credentials.as_ref().map(|cred| &cred.user),
            "passwd": options.credentials.as_ref().map(|cred| &cred.password),
            "cacerts": options.cacerts,
            "insecure": options.insecure,
            "cert": options.certificate.as_ref().map(|files| &files.cert),
            "key": options.certificate.as_ref().map(|files| &files.key),
            "proxy": options.proxy,
        }}),
    }
}

fn port_settings(port: PortNumber, settings: &PortSettings) -> Value {
    let limit = |limit: Option<StormLimit>| limit.map(|limit| limit.to_string());
    present(json!({
        "port": port.get(),
        "shut": settings.shut,
        "loopguard": settings.loop_guard,
        "maxmacs": settings.max_macs,
        "stormbroadcast": limit(settings.storm_broadcast),
        "stormmulticast": limit(settings.storm_multicast),
        "stormunicast": limit(settings.storm_unicast),
    }))
}

fn interface(port: PortNumber, settings: &InterfaceSettings) -> Value {
    // 1.3 knows dotted netmasks alone, and no IPv6.
    let (address, netmask) = match (settings.address, settings.prefix_len) {
        (Some(AddressSetting::Set(IpAddr::V6(address))), Some(prefix_len)) => {
            (Some(format!("{address}/{prefix_len}")), None)
        }
        (Some(AddressSetting::Set(address)), prefix_len) => {
            (Some(address.to_string()), prefix_len.map(netmask))
        }
        (Some(AddressSetting::Clear), _) => (Some(String::new()), None),
        (None, prefix_len) => (None, prefix_len.map(netmask)),
    };
    present(json!({"port": port.get(), "address": address, "netmask": netmask,
        "mtu": settings.mtu}))
}

/// `params` without the members that are null: 1.3's ctl leaves them out as well.
fn present(mut params: Value) -> Value {
    if let Value::Object(members) = &mut params {
        members.retain(|_, value| !value.is_null());
    }
    params
}

fn ports(entries: Value) -> serde_json::Result<Entries> {
    list(entries).map(Entries::Ports)
}

fn interfaces(entries: Value) -> serde_json::Result<Entries> {
    list(entries).map(Entries::Interfaces)
}

fn fdb(entries: Value) -> serde_json::Result<Entries> {
    list(entries).map(Entries::Fdb)
}

fn list<T: DeserializeOwned>(entries: Value) -> serde_json::Result<Vec<T>> {
    serde_json::from_value(entries)
}

#[cfg(test)]
mod tests {
    use etherws_actors::{
        control::{ClientOptions, Credentials},
        frame::{MacAddr, Vid},
        tunnel::ClientCertificate,
    };

    use super::*;

    fn set(address: &str) -> Option<AddressSetting> {
        Some(AddressSetting::Set(address.parse().expect("address")))
    }

    #[test]
    fn every_command_survives_the_wire() {
        let client = ClientOptions {
            url: "wss://h/p?q=1".to_owned(),
            more_urls: vec!["ws://i/".to_owned(), "ws://[::1]:81/".to_owned()],
            credentials: Some(Credentials { user: "u".to_owned(), password: "p:w".to_owned() }),
            cacerts: Some("/ca.pem".into()),
            insecure: true,
            certificate: Some(ClientCertificate {
                cert: "/own.pem".into(),
                key: "/own.key".into(),
            }),
            proxy: Some("http://a:b@h:1".to_owned()),
        };
        let plain = ClientOptions { url: "ws://h/".to_owned(), ..ClientOptions::default() };
        let port = PortNumber::new(7).expect("port");
        let interface = |address, prefix_len, mtu| Command::SetInterface {
            port,
            settings: InterfaceSettings { address, prefix_len, mtu },
        };
        let set_port = |settings| Command::SetPort { port, settings };
        let (vid, mac) = (Vid::new(4094).expect("a VLAN"), MacAddr([2, 0, 0, 0, 0, 9]));
        for command in [
            Command::ListPorts,
            Command::AddPort(NewPort::Tap { name: "ewp%d".to_owned() }),
            Command::AddPort(NewPort::Netdev { name: "eth0".to_owned() }),
            Command::AddPort(NewPort::Client(client)),
            Command::AddPort(NewPort::Client(plain)),
            set_port(PortSettings { shut: Some(true), ..PortSettings::default() }),
            set_port(PortSettings { shut: Some(false), ..PortSettings::default() }),
            set_port(PortSettings::default()),
            Command::DelPort { port },
            interface(None, None, None),
            interface(set("192.0.2.1"), None, Some(1500)),
            interface(set("192.0.2.1"), Some(17), None),
            interface(None, Some(0), None),
            interface(set("2001:db8::1"), Some(64), Some(1280)),
            interface(set("2001:db8::1"), None, None),
            interface(Some(AddressSetting::Clear), None, None),
            Command::ListInterfaces,
            Command::ListFdb,
            Command::ShowPort { port },
            set_port(PortSettings {
                shut: None,
                loop_guard: Some(false),
                max_macs: Some(9),
                storm_broadcast: Some(StormLimit::Off),
                storm_multicast: Some(StormLimit::Rate { rate: 7, burst: 9 }),
                storm_unicast: Some(StormLimit::with_rate(5)),
            }),
            Command::AddFdb { vid, mac, port },
            Command::DelFdb { vid: Vid::UNTAGGED, mac },
            Command::FlushFdb { port: None, all: true },
            Command::FlushFdb { port: Some(port), all: false },
        ] {
            let (method, params) = Method::of(METHODS, &command).expect("a method carries it");
            let back = method.command(params.as_ref()).expect("own params");
            assert_eq!(format!("{back:?}"), format!("{command:?}"));
            if let (
                Command::AddPort(NewPort::Client(back)),
                Command::AddPort(NewPort::Client(there)),
            ) = (&back, &command)
            {
                let secrets = |options: &ClientOptions| {
                    let password = options.credentials.clone().map(|cred| cred.password);
                    (password, options.proxy.clone())
                };
                assert_eq!(secrets(back), secrets(there));
            }
        }
    }

    #[test]
    fn params_of_1_3_keep_their_form() {
        let encoded =
            |command| Method::of(METHODS, &command).and_then(|(_, params)| params).expect("params");
        let port = PortNumber::FIRST;
        assert_eq!(
            encoded(Command::SetInterface {
                port,
                settings: InterfaceSettings {
                    address: set("192.0.2.1"),
                    prefix_len: Some(24),
                    mtu: None,
                },
            }),
            json!({"port": 1, "address": "192.0.2.1", "netmask": "255.255.255.0"})
        );
        let settings = PortSettings::default();
        assert_eq!(encoded(Command::SetPort { port, settings }), json!({"port": 1}));
    }

    #[test]
    fn the_document_names_every_method_as_the_table_does() {
        let document = include_str!("../../docs/rpc.md");
        let queries = QUERIES.iter().map(|method| (method.name, method.doc));
        for (name, doc) in METHODS.iter().map(|method| (method.name, method.doc)).chain(queries) {
            assert!(document.contains(&format!("`{name}`")), "{name}");
            assert!(document.contains(doc), "{name}: {doc}");
        }
    }
}

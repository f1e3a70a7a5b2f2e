//! The control API's methods: one table for the dispatcher, the client and the API
//! document. A method's params become a [`Request`] (see `params`) and back (`wire`).

use etherws_actors::{control::Command, fdb::PortNumber};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Refusal, Request,
    Request::{Discover, Program, Switch},
    discover,
    entry::{Entries, FdbLine, Host, Interface, Port, PortReport, Server, Stream, Token},
    params::{self, Params},
    query::Query,
    wire::{self, encode},
};
use crate::{capture::Capture, config::Change};

/// What every method's name begins with.
pub(crate) const NAMESPACE: &str = "etherws.control.";

/// A method of the control API: all there is to say about it, in one place.
pub(crate) struct Method {
    /// Name behind [`NAMESPACE`], or one that begins with `rpc.`.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) doc: &'static str,
    /// What its params are, an object; `None`: it has none.
    pub(super) params: Option<SchemaOf>,
    /// What its entries are.
    pub(super) entries: Entry,
    /// What params ask for.
    parse: fn(Params<'_>) -> Result<Request, Refusal>,
    /// The params of a request that this method carries, as etherws 1.3 takes them too;
    /// null for none. `None`: another method carries the request.
    encode: fn(&Request) -> Option<Value>,
}

/// A type's schema.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

// `result` of every method but one; as a doc comment it would stand in each of them.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Listing<T> {
    entries: Vec<T>,
}

/// What `result` of a method is.
pub(super) struct Entry {
    pub(super) schema: SchemaOf,
    read: fn(Value) -> serde_json::Result<Entries>,
}

impl Entry {
    /// The API document, and no list.
    const DOCUMENT: Self =
        Self { schema: discover::schema, read: |result| Ok(Entries::Document(result)) };

    /// A list of entries.
    const fn of<T: JsonSchema + DeserializeOwned>() -> Self
    where
        Entries: From<Vec<T>>,
    {
        Self {
            schema: SchemaGenerator::subschema_for::<Listing<T>>,
            read: |result| {
                serde_json::from_value(result).map(|list: Listing<T>| list.entries.into())
            },
        }
    }
}

/// All methods.
pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "listPort",
        doc: "All ports, by number.",
        params: None,
        entries: Entry::of::<Port>(),
        parse: |_| Ok(Switch(Command::ListPorts)),
        encode: |request| match request {
            Switch(Command::ListPorts) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "addPort",
        doc: "Opens a port and adds it to the switch. Entries: the new port.",
        params: Some(wire::AddPort::json_schema),
        entries: Entry::of::<Port>(),
        parse: params::add_port,
        encode: |request| match request {
            Switch(Command::AddPort { port, .. }) => Some(encode(wire::AddPort::from(port))),
            _ => None,
        },
    },
    Method {
        name: "setPort",
        doc: "Sets up a port. Entries: that port.",
        params: Some(wire::SetPort::json_schema),
        entries: Entry::of::<Port>(),
        parse: params::set_port,
        encode: |request| match request {
            Switch(Command::SetPort { port, settings, .. }) => {
                Some(encode(wire::SetPort::new(*port, settings)))
            }
            _ => None,
        },
    },
    Method {
        name: "showPort",
        doc: "All there is to know of a port. Entries: that port, with more members.",
        params: Some(wire::OnePort::json_schema),
        entries: Entry::of::<PortReport>(),
        parse: |params| Ok(Switch(Command::ShowPort { port: params.port()? })),
        encode: |request| match request {
            Switch(Command::ShowPort { port }) => Some(encode(wire::OnePort { port: port.get() })),
            _ => None,
        },
    },
    Method {
        name: "delPort",
        doc: "Deletes a port. Entries: that port, as it was.",
        params: Some(wire::OnePort::json_schema),
        entries: Entry::of::<Port>(),
        parse: |params| Ok(Switch(Command::DelPort { port: params.port()? })),
        encode: |request| match request {
            Switch(Command::DelPort { port }) => Some(encode(wire::OnePort { port: port.get() })),
            _ => None,
        },
    },
    Method {
        name: "setInterface",
        doc: "Sets up the interface of a tap or netdev port: all of it, or nothing. \
              Entries: that interface.",
        params: Some(wire::SetInterface::json_schema),
        entries: Entry::of::<Interface>(),
        parse: params::set_interface,
        encode: |request| match request {
            Switch(Command::SetInterface { port, settings }) => {
                Some(encode(wire::SetInterface::new(*port, settings)))
            }
            _ => None,
        },
    },
    Method {
        name: "listInterface",
        doc: "The interfaces of all tap and netdev ports, by number of the port.",
        params: None,
        entries: Entry::of::<Interface>(),
        parse: |_| Ok(Switch(Command::ListInterfaces)),
        encode: |request| match request {
            Switch(Command::ListInterfaces) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "listFdb",
        doc: "The forwarding database, by VLAN and then address.",
        params: None,
        entries: Entry::of::<FdbLine>(),
        parse: |_| Ok(Switch(Command::ListFdb)),
        encode: |request| match request {
            Switch(Command::ListFdb) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "addFdb",
        doc: "Adds a static entry: an address that neither ages nor moves. Entries: that entry.",
        params: Some(wire::AddFdb::json_schema),
        entries: Entry::of::<FdbLine>(),
        parse: params::add_fdb,
        encode: |request| match request {
            Switch(Command::AddFdb { vid, mac, port }) => Some(encode(wire::AddFdb {
                mac: mac.to_string(),
                vid: vid.get(),
                port: port.get(),
            })),
            _ => None,
        },
    },
    Method {
        name: "delFdb",
        doc: "Deletes an entry, static or learned. Entries: that entry, as it was.",
        params: Some(wire::DelFdb::json_schema),
        entries: Entry::of::<FdbLine>(),
        parse: params::del_fdb,
        encode: |request| match request {
            Switch(Command::DelFdb { vid, mac }) => {
                Some(encode(wire::DelFdb { mac: mac.to_string(), vid: vid.get() }))
            }
            _ => None,
        },
    },
    Method {
        name: "flushFdb",
        doc: "Forgets what was learned. Entries: what was forgotten.",
        params: Some(wire::FlushFdb::json_schema),
        entries: Entry::of::<FdbLine>(),
        parse: params::flush_fdb,
        encode: |request| match request {
            Switch(Command::FlushFdb { port, all }) => {
                Some(encode(wire::FlushFdb { port: port.map(PortNumber::get), all: *all }))
            }
            _ => None,
        },
    },
    Method {
        name: "listHosts",
        doc: "The hosts that have told an address or a name, by VLAN and then MAC address.",
        params: None,
        entries: Entry::of::<Host>(),
        parse: |_| Ok(Program(Query::ListHosts)),
        encode: |request| match request {
            Program(Query::ListHosts) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "showServer",
        doc: "What each listener has counted: connections, sessions, and whom it turned away.",
        params: None,
        entries: Entry::of::<Server>(),
        parse: |_| Ok(Program(Query::ShowServer)),
        encode: |request| match request {
            Program(Query::ShowServer) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "createToken",
        doc: "Makes a token that opens one tunnel, soon: `?token=...` in its URL. \
              Entries: the token.",
        params: Some(wire::CreateToken::json_schema),
        entries: Entry::of::<Token>(),
        parse: params::create_token,
        encode: |request| match request {
            Program(Query::CreateToken { user, ttl }) => {
                Some(encode(wire::CreateToken { user, ttl: Some(ttl.as_secs()) }))
            }
            _ => None,
        },
    },
    Method {
        name: "reload",
        doc: "Reads all files again, as SIGHUP does, and applies what has changed in the \
              configuration. Entries: what was changed.",
        params: None,
        entries: Entry::of::<Change>(),
        parse: |_| Ok(Program(Query::Reload)),
        encode: |request| match request {
            Program(Query::Reload) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "save",
        doc: "Writes the ports as they are into the configuration file. Entries: what was \
              written, and which ports were left out.",
        params: None,
        entries: Entry::of::<Change>(),
        parse: |_| Ok(Program(Query::Save)),
        encode: |request| match request {
            Program(Query::Save) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "monitor",
        doc: "What happens, as it happens: a stream of events. Entries: where to GET it.",
        params: None,
        entries: Entry::of::<Stream>(),
        parse: |_| Ok(Program(Query::Monitor)),
        encode: |request| match request {
            Program(Query::Monitor) => Some(Value::Null),
            _ => None,
        },
    },
    Method {
        name: "capture",
        doc: "Frames as they pass the switch: a stream of pcapng. Entries: where to GET it.",
        params: Some(wire::Capture::json_schema),
        entries: Entry::of::<Stream>(),
        parse: |Params(params)| Ok(Program(Query::Capture(Capture::from_params(params)?))),
        encode: |request| match request {
            Program(Query::Capture(capture)) => Some(encode(wire::Capture::from(capture))),
            _ => None,
        },
    },
    Method {
        name: "rpc.discover",
        doc: "This document, as OpenRPC: all methods, their params, results and errors.",
        params: None,
        entries: Entry::DOCUMENT,
        parse: |_| Ok(Discover),
        encode: |request| matches!(request, Discover).then_some(Value::Null),
    },
];

/// Least likeness of a name to one that was meant (Jaro's, as clap takes it).
const LIKENESS: f64 = 0.7;

/// The one of `names` that `name` is most like, if it is one at all.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let likeness =
        |known: &&'a str| (strsim::jaro(&name.to_lowercase(), &known.to_lowercase()), *known);
    let best = names.iter().map(likeness).max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(likeness, _)| *likeness > LIKENESS).map(|(_, known)| known)
}

impl Method {
    /// Name on the wire.
    pub(crate) fn full_name(&self) -> String {
        format!("{}{}", self.namespace(), self.name)
    }

    /// Names that begin with `rpc.` are the protocol's own (JSON-RPC 2.0, 4.3).
    fn namespace(&self) -> &'static str {
        if self.name.starts_with("rpc.") { "" } else { NAMESPACE }
    }

    /// The method of a full name.
    pub(crate) fn find(full_name: &str) -> Result<&'static Self, Refusal> {
        let is_it =
            |method: &&Self| full_name.strip_prefix(method.namespace()) == Some(method.name);
        METHODS.iter().find(is_it).ok_or_else(|| {
            let Some(name) = full_name.strip_prefix(NAMESPACE) else {
                let text = format!("Invalid method namespace: {full_name}; it is {NAMESPACE}");
                return Refusal::value(text);
            };
            let names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
            let likely = nearest(name, &names)
                .map_or_else(String::new, |likely| format!("did you mean {likely}? "));
            let text = format!("no method {name}; {likely}there are {}", names.join(", "));
            Refusal::attribute(text)
        })
    }

    /// The method that carries `request`, and its params. There is one for each request.
    pub(crate) fn of(request: &Request) -> Option<(&'static Self, Option<Value>)> {
        METHODS.iter().find_map(|method| {
            let params = (method.encode)(request)?;
            Some((method, (!params.is_null()).then_some(params)))
        })
    }

    /// What `params` ask for.
    pub(crate) fn request(&self, params: Option<&Value>) -> Result<Request, Refusal> {
        (self.parse)(Params(params.unwrap_or(&Value::Null)))
    }

    /// Reads `result`.
    pub(crate) fn entries(&self, result: Value) -> serde_json::Result<Entries> {
        (self.entries.read)(result)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use etherws_actors::{
        connect::{ClientCertificate, Credentials},
        control::NewPort,
        frame::{MacAddr, Vid},
        guard::storm::StormLimit,
        interface::{AddressSetting, InterfaceSettings},
        kinds::ClientOptions,
        settings::PortSettings,
    };

    use schemars::generate::SchemaSettings;
    use serde_json::json;

    use super::*;

    fn set(address: &str) -> Option<AddressSetting> {
        Some(AddressSetting::Set(address.parse().expect("address")))
    }

    /// Some of each kind, with all that they may hold.
    fn requests() -> impl Iterator<Item = Request> {
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
        let set_port = |settings| Command::SetPort { port, settings, clear: Vec::new() };
        let add_port = |port| Command::AddPort { port, settings: PortSettings::default() };
        let (vid, mac) = (Vid::new(4094).expect("a VLAN"), MacAddr([2, 0, 0, 0, 0, 9]));
        let capture = "ports=1,7&direction=rx&vlan=5&mac=02:00:00:00:00:09&ethertype=arp\
                       &snaplen=96&count=3&duration=9";
        let queries = [
            Query::ListHosts,
            Query::ShowServer,
            Query::Monitor,
            Query::Capture(Capture::default()),
            Query::Capture(Capture::from_query(capture).expect("a capture")),
            Query::Reload,
            Query::Save,
            Query::CreateToken { user: "jörg".into(), ttl: Duration::from_secs(7) },
        ];
        let commands = [
            Command::ListPorts,
            add_port(NewPort::Tap { name: "ewp%d".to_owned() }),
            add_port(NewPort::Netdev { name: "eth0".to_owned() }),
            add_port(NewPort::Client(client)),
            add_port(NewPort::Client(plain)),
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
                ..PortSettings::default()
            }),
            Command::AddFdb { vid, mac, port },
            Command::DelFdb { vid, mac },
            Command::DelFdb { vid: Vid::UNTAGGED, mac },
            Command::FlushFdb { port: None, all: true },
            Command::FlushFdb { port: Some(port), all: false },
        ];
        commands.map(Switch).into_iter().chain(queries.map(Program)).chain([Discover])
    }

    #[test]
    fn every_request_survives_the_wire() {
        for request in requests() {
            let (method, params) = Method::of(&request).expect("a method carries it");
            let back = method.request(params.as_ref()).expect("own params");
            assert_eq!(format!("{back:?}"), format!("{request:?}"));
            if let (
                Switch(Command::AddPort { port: NewPort::Client(back), .. }),
                Switch(Command::AddPort { port: NewPort::Client(there), .. }),
            ) = (&back, &request)
            {
                let secrets = |options: &ClientOptions| {
                    let password = options.credentials.clone().map(|cred| cred.password);
                    (password, options.proxy.clone())
                };
                assert_eq!(secrets(back), secrets(there));
            }
        }
    }

    /// The schema of a method's params.
    fn schema(method: &Method) -> Option<Value> {
        let mut generator = SchemaSettings::draft07().into_generator();
        let mut schema = method.params?(&mut generator);
        let definitions = generator.take_definitions(true);
        schema.insert("definitions".to_owned(), definitions.into());
        schema.insert("additionalProperties".to_owned(), false.into());
        Some(schema.into())
    }

    /// What is sent of [`requests`] by `method`.
    fn sent(method: &Method) -> Vec<(Request, Option<Value>)> {
        let own = requests().filter_map(|request| {
            let (carrier, params) = Method::of(&request)?;
            (carrier.name == method.name).then_some((request, params))
        });
        own.collect()
    }

    #[test]
    fn what_is_sent_is_what_the_schema_says_and_all_of_it_is_read() {
        for method in METHODS {
            let sent = sent(method);
            assert!(!sent.is_empty(), "{}", method.name);
            let Some(schema) = schema(method) else {
                assert!(sent.iter().all(|(_, params)| params.is_none()), "{}", method.name);
                continue;
            };
            let validator = jsonschema::draft7::new(&schema).expect("a schema");
            let documented = schema["properties"].as_object().expect("members").keys();
            let mut unread: BTreeSet<_> = documented.cloned().collect();
            for (request, params) in sent {
                let params = params.expect("params");
                let wrong: Vec<_> =
                    validator.iter_errors(&params).map(|error| error.to_string()).collect();
                assert!(wrong.is_empty(), "{}: {params}: {wrong:?}", method.name);
                unread.retain(|member| {
                    let mut without = params.clone();
                    without.as_object_mut().expect("an object").remove(member);
                    let without = method.request(Some(&without));
                    without.is_ok_and(|other| format!("{other:?}") == format!("{request:?}"))
                });
            }
            assert!(unread.is_empty(), "{}: {unread:?}", method.name);
        }
    }

    #[test]
    fn params_without_a_member_that_must_be_there_are_refused_by_its_name() {
        for method in METHODS {
            let Some(schema) = schema(method) else { continue };
            for member in schema["required"].as_array().into_iter().flatten() {
                let member = member.as_str().expect("a name");
                let (_, params) = sent(method).swap_remove(0);
                let mut params = params.expect("params");
                params.as_object_mut().expect("an object").remove(member);
                let refusal = method.request(Some(&params)).expect_err(member).to_string();
                let expected = format!("KeyError: '{member}' is missing in params");
                assert_eq!(refusal, expected, "{}", method.name);
            }
        }
    }

    #[test]
    fn params_of_1_3_keep_their_form() {
        let encoded =
            |command| Method::of(&Switch(command)).and_then(|(_, params)| params).expect("params");
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
        assert_eq!(
            encoded(Command::SetPort { port, settings, clear: Vec::new() }),
            json!({"port": 1})
        );
    }
}

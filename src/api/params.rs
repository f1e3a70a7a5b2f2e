//! Params of the control API's methods: from JSON to [`Request`]. As lenient as
//! etherws 1.3 where scripts may rely on it; a refusal names member, value and way
//! out, and no password.

use etherws_actors::{
    control::{Command, NewPort},
    error::one_line,
    fdb::PortNumber,
    frame::{MacAddr, Vid},
    guard::storm::StormLimit,
    kinds::ClientOptions,
    settings::PortSettings,
};
use serde_json::{Map, Value};

use super::{Refusal, Request, query::create_token as token};
use crate::parse::{check_client, client_certificate, credentials, interface_settings, mac, vid};

/// The members of a params object, or of the options in it.
#[derive(Clone, Copy)]
pub(super) struct Params<'a>(pub(super) &'a Value);

impl<'a> Params<'a> {
    fn members(self) -> Result<&'a Map<String, Value>, Refusal> {
        self.0
            .as_object()
            .ok_or_else(|| Refusal::wrong_type("params and options must be objects: {\"port\": 1}"))
    }

    /// A member; null counts as missing.
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn require(self, name: &str) -> Result<&'a Value, Refusal> {
        self.members()?;
        self.get(name).ok_or_else(|| Refusal::key(format!("'{name}' is missing in params")))
    }

    fn text(self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.get(name).map(|value| text(name, value)).transpose()
    }

    /// A list of strings; empty where it is missing.
    fn texts(self, name: &str) -> Result<Vec<String>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let wrong = || Refusal::wrong_type(format!("{name} must be a list of strings"));
        let texts = value.as_array().ok_or_else(wrong)?.iter();
        texts.map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    pub(super) fn port(self) -> Result<PortNumber, Refusal> {
        let value = self.require("port")?;
        let number = integer("port", value)?;
        let port = u32::try_from(number).ok().and_then(PortNumber::new);
        port.ok_or_else(|| Refusal::no_such_port(number))
    }

    fn mac(self) -> Result<MacAddr, Refusal> {
        mac(text("mac", self.require("mac")?)?)
    }

    fn vid(self) -> Result<Vid, Refusal> {
        self.get("vid").map_or(Ok(Vid::UNTAGGED), |value| vid(integer("vid", value)?))
    }

    fn max_macs(self) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.get("maxmacs") else { return Ok(None) };
        let number = integer("maxmacs", value)?;
        usize::try_from(number)
            .map(Some)
            .map_err(|_| Refusal::value(format!("Invalid maxmacs: {number}; give 0 or more")))
    }

    fn storm_limit(self, name: &str) -> Result<Option<StormLimit>, Refusal> {
        let limit = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse(),
            Some(rate) => rate.to_string().parse(),
        };
        limit.map(Some).map_err(|err| Refusal::value(format!("{name}: {}", one_line(&err))))
    }
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, Refusal> {
    // The value stays out of the text: it may be a password.
    value.as_str().ok_or_else(|| Refusal::wrong_type(format!("{name} must be a string, in quotes")))
}

/// Whatever Python's `int()` takes: scripts send a number as a string, too.
fn integer(name: &str, value: &Value) -> Result<i64, Refusal> {
    #[expect(clippy::cast_possible_truncation, reason = "as int(); `as` saturates")]
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(truth) => Some(i64::from(*truth)),
        _ => None,
    };
    number.ok_or_else(|| Refusal::value(format!("{name} must be a whole number, not {value}")))
}

/// Whatever Python takes for true: `"no"` is, 0 and `""` are not.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

pub(super) fn add_port(params: Params<'_>) -> Result<Request, Refusal> {
    let kind = text("type", params.require("type")?)?;
    let target = text("target", params.require("target")?)?.to_owned();
    let new = match kind {
        "tap" => NewPort::Tap { name: target },
        "netdev" => NewPort::Netdev { name: target },
        "client" => NewPort::Client(client_options(target, params.get("options"))?),
        other => {
            let text = format!("type must be tap, netdev or client, not {other:?}");
            return Err(Refusal::value(text));
        }
    };
    Ok(Command::AddPort { port: new, settings: PortSettings::default() }.into())
}

fn client_options(url: String, options: Option<&Value>) -> Result<ClientOptions, Refusal> {
    let options = Params(options.unwrap_or(&Value::Null));
    if !options.0.is_null() {
        options.members()?;
    }
    let user = options.text("user")?.filter(|user| !user.is_empty());
    let password = options.text("passwd")?.filter(|password| !password.is_empty());
    let proxy = options.text("proxy")?.filter(|proxy| !proxy.is_empty());
    let more_urls = options.texts("urls")?;
    check_client(&url, &more_urls, proxy)?;
    Ok(ClientOptions {
        url,
        more_urls,
        credentials: credentials(user, password)?,
        cacerts: options.text("cacerts")?.map(Into::into),
        insecure: options.get("insecure").is_some_and(truth),
        certificate: client_certificate(options.text("cert")?, options.text("key")?)?,
        proxy: proxy.map(str::to_owned),
    })
}

pub(super) fn set_port(params: Params<'_>) -> Result<Request, Refusal> {
    let settings = PortSettings {
        shut: params.get("shut").map(truth),
        loop_guard: params.get("loopguard").map(truth),
        max_macs: params.max_macs()?,
        storm_broadcast: params.storm_limit("stormbroadcast")?,
        storm_multicast: params.storm_limit("stormmulticast")?,
        storm_unicast: params.storm_limit("stormunicast")?,
        ..PortSettings::default()
    };
    Ok(Command::SetPort { port: params.port()?, settings, clear: Vec::new() }.into())
}

pub(super) fn add_fdb(params: Params<'_>) -> Result<Request, Refusal> {
    let (vid, mac) = (params.vid()?, params.mac()?);
    Ok(Command::AddFdb { vid, mac, port: params.port()? }.into())
}

pub(super) fn del_fdb(params: Params<'_>) -> Result<Request, Refusal> {
    Ok(Command::DelFdb { vid: params.vid()?, mac: params.mac()? }.into())
}

pub(super) fn flush_fdb(params: Params<'_>) -> Result<Request, Refusal> {
    let port = params.get("port").map(|_| params.port()).transpose()?;
    Ok(Command::FlushFdb { port, all: params.get("all").is_some_and(truth) }.into())
}

pub(super) fn create_token(params: Params<'_>) -> Result<Request, Refusal> {
    let user = text("user", params.require("user")?)?;
    let ttl = params.get("ttl").map(|ttl| integer("ttl", ttl)).transpose()?;
    token(user, ttl).map(Request::Program)
}

pub(super) fn set_interface(params: Params<'_>) -> Result<Request, Refusal> {
    let port = params.port()?;
    let netmask = match params.get("netmask") {
        Some(Value::String(netmask)) => Some(netmask.clone()),
        Some(length) => Some(integer("netmask", length)?.to_string()),
        None => None,
    };
    let mtu = params.get("mtu").map(|mtu| integer("mtu", mtu)).transpose()?;
    let settings = interface_settings(params.text("address")?, netmask.as_deref(), mtu)?;
    Ok(Command::SetInterface { port, settings }.into())
}

#[cfg(test)]
mod tests {
    use etherws_actors::interface::{AddressSetting, InterfaceSettings};
    use serde_json::json;

    use super::*;
    use crate::api::method::{Method, NAMESPACE};

    fn command(name: &str, params: Value) -> Result<Command, String> {
        let method = Method::find(&format!("{NAMESPACE}{name}")).expect("method");
        match method.request(Some(&params)) {
            Ok(Request::Switch(command)) => Ok(command),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    fn settings(params: Value) -> InterfaceSettings {
        match command("setInterface", params) {
            Ok(Command::SetInterface { settings, .. }) => settings,
            other => panic!("{other:?}"),
        }
    }

    fn set(address: &str) -> Option<AddressSetting> {
        Some(AddressSetting::Set(address.parse().expect("address")))
    }

    #[test]
    fn ports_are_whatever_pythons_int_takes() {
        for port in [json!(2), json!(2.9), json!("2"), json!(" +2 "), json!("02")] {
            let deleted = command("delPort", json!({"port": port, "unknown": [1]}));
            assert!(matches!(deleted, Ok(Command::DelPort { port }) if port.get() == 2), "{port}");
        }
        for (port, expected) in [
            (json!(0), "KeyError: 0: no such port"),
            (json!(-1), "KeyError: -1"),
            (json!(4_294_967_296_u64), "KeyError: 4294967296"),
            (json!(1e300), "KeyError: 9223372036854775807"),
            (json!("x"), "ValueError: port must be a whole number, not \"x\""),
            (json!([1]), "ValueError: port"),
            (Value::Null, "KeyError: 'port' is missing"),
        ] {
            let error = command("delPort", json!({"port": port})).expect_err("bad port");
            assert!(error.starts_with(expected), "{port}: {error}");
        }
        let error = command("delPort", json!([1])).expect_err("positional");
        assert!(error.starts_with("TypeError: params"), "{error}");
    }

    #[test]
    fn shut_is_whatever_python_takes_for_true_and_null_leaves_it() {
        for (shut, expected) in [
            (json!(true), Some(true)),
            (json!(false), Some(false)),
            (json!("no"), Some(true)),
            (json!(""), Some(false)),
            (json!(0), Some(false)),
            (json!(0.5), Some(true)),
            (json!([]), Some(false)),
            (json!({"a": 1}), Some(true)),
            (Value::Null, None),
        ] {
            let set = command("setPort", json!({"port": 1, "shut": shut}));
            assert!(
                matches!(set, Ok(Command::SetPort { settings, .. }) if settings.shut == expected),
                "{shut}"
            );
        }
        assert!(matches!(
            command("setPort", json!({"port": 1})),
            Ok(Command::SetPort { settings, .. }) if settings == PortSettings::default()
        ));
    }

    #[test]
    fn options_may_be_missing_or_null() {
        for params in [
            json!({"type": "client", "target": "ws://h/"}),
            json!({"type": "client", "target": "ws://h/", "options": null}),
            json!({"type": "client", "target": "ws://h/", "options":
                {"user": null, "passwd": null, "cacerts": null, "insecure": null}}),
        ] {
            let Ok(Command::AddPort { port: NewPort::Client(options), .. }) =
                command("addPort", params)
            else {
                panic!("client");
            };
            assert!(options.credentials.is_none() && !options.insecure && options.proxy.is_none());
        }
    }

    #[test]
    fn addresses_and_netmasks_in_every_form() {
        let both = |address: &str, prefix_len, mtu| InterfaceSettings {
            address: set(address),
            prefix_len,
            mtu,
        };
        for (params, expected) in [
            (json!({"address": "192.0.2.1"}), both("192.0.2.1", None, None)),
            (
                json!({"address": "192.0.2.1/24", "mtu": "1400"}),
                both("192.0.2.1", Some(24), Some(1400)),
            ),
            (
                json!({"address": "192.0.2.1", "netmask": "255.255.0.0"}),
                both("192.0.2.1", Some(16), None),
            ),
            (json!({"address": "192.0.2.1", "netmask": 16}), both("192.0.2.1", Some(16), None)),
            (
                json!({"address": "192.0.2.1/16", "netmask": "16"}),
                both("192.0.2.1", Some(16), None),
            ),
            (
                json!({"address": "2001:db8::1", "netmask": "64"}),
                both("2001:db8::1", Some(64), None),
            ),
            (json!({"address": "2001:db8::1/128"}), both("2001:db8::1", Some(128), None)),
            (
                json!({"netmask": "0.0.0.0", "address": null, "mtu": null}),
                InterfaceSettings { prefix_len: Some(0), ..InterfaceSettings::default() },
            ),
            (
                json!({"address": ""}),
                InterfaceSettings { address: Some(AddressSetting::Clear), ..Default::default() },
            ),
        ] {
            let mut params = params;
            params["port"] = json!(1);
            assert_eq!(settings(params.clone()), expected, "{params}");
        }
    }

    #[test]
    fn bad_params_are_refused_by_name() {
        for (method, params, expected) in [
            ("addPort", json!(null), "TypeError: params"),
            ("addPort", json!({"target": "x"}), "KeyError: 'type'"),
            ("addPort", json!({"type": "tap"}), "KeyError: 'target'"),
            ("addPort", json!({"type": "tun", "target": "x"}), "not \"tun\""),
            ("addPort", json!({"type": "tap", "target": 5}), "TypeError: target"),
            (
                "addPort",
                json!({"type": "client", "target": "http://u:pw@h/"}),
                "begins with neither ws",
            ),
            ("addPort", json!({"type": "client", "target": "ws://h/", "options": 1}), "options"),
            (
                "addPort",
                json!({"type": "client", "target": "ws://h/", "options": {"urls": "ws://i/"}}),
                "TypeError: urls",
            ),
            (
                "addPort",
                json!({"type": "client", "target": "ws://h/", "options": {"urls": ["i"]}}),
                "ValueError: \"i\" begins with neither",
            ),
            ("setInterface", json!({"port": 1, "address": "x"}), "Invalid address: x"),
            ("setInterface", json!({"port": 1, "address": "192.0.2.1/33"}), "/33"),
            ("setInterface", json!({"port": 1, "address": "192.0.2.1/"}), "192.0.2.1/;"),
            ("setInterface", json!({"port": 1, "address": 1}), "TypeError: address"),
            ("setInterface", json!({"port": 1, "netmask": "255.0.255.0"}), "255.0.255.0"),
            ("setInterface", json!({"port": 1, "netmask": "33"}), "netmask: 33"),
            ("setInterface", json!({"port": 1, "netmask": -1}), "netmask: -1"),
            ("setInterface", json!({"port": 1, "netmask": ""}), "Invalid netmask"),
            (
                "setInterface",
                json!({"port": 1, "address": "2001:db8::1", "netmask": "255.255.255.0"}),
                "up to 128",
            ),
            (
                "setInterface",
                json!({"port": 1, "address": "192.0.2.1/24", "netmask": "25"}),
                "leave one out",
            ),
            ("setInterface", json!({"port": 1, "address": "", "netmask": "24"}), "netmask without"),
            ("setInterface", json!({"port": 1, "mtu": 0}), "Invalid MTU: 0"),
            ("setInterface", json!({"port": 1, "mtu": 1e30}), "Invalid MTU"),
            ("setInterface", json!({"port": 1, "mtu": "big"}), "mtu must be"),
        ] {
            let error = command(method, params.clone()).expect_err(expected);
            assert!(error.contains(expected), "{method} {params}: {error}");
        }
    }

    #[test]
    fn no_refusal_holds_a_password() {
        for options in [
            json!({"passwd": "secret"}),
            json!({"user": "a:b", "passwd": "secret"}),
            json!({"user": "a", "passwd": {"x": "secret"}}),
            json!({"user": "a", "passwd": "secret", "cacerts": 1}),
            json!({"proxy": "socks5://u:secret@h:1"}),
            json!({"proxy": ["secret"]}),
        ] {
            let params = json!({"type": "client", "target": "ws://h/", "options": options});
            let error = command("addPort", params).expect_err("refused");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

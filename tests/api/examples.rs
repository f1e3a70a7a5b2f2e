//! Asks a running switch all examples of the document, in a network of its own, and
//! holds what comes back against what the document says.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{settle, validator};
use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    peers::tool,
    process::{run, run_with},
    switch::{Switch, command},
};

/// The examples, in the order in which they are asked.
const FILE: &str = "src/api/examples.json";

/// Members whose values another time changes: their kind alone is compared.
const VOLATILE: &[&str] = &[
    "addresses",
    "age",
    "configuration",
    "copied",
    "counters",
    "details",
    "discards",
    "expires",
    "host",
    "link",
    "octets-copied",
    "octets-rx",
    "octets-tx",
    "pid",
    "qr",
    "rtt",
    "rx",
    "since",
    "started",
    "time",
    "token",
    "tx",
    "uptime",
    "value",
];

/// What the switch, and a server that its client port reaches, are told. The ports are
/// the defaults: the network is the test's own.
const SWITCH: [&str; 11] = [
    "--no-loopguard",
    "--mac",
    "fe:00:00:00:00:01",
    "--host",
    "127.0.0.1",
    "--port",
    "80",
    "--ctlhost",
    "127.0.0.1",
    "--ctlport",
    "7867",
];
const SERVER: [&str; 8] =
    ["--host", "192.0.2.2", "--port", "80", "--ctlhost", "127.0.0.1", "--ctlport", "7868"];

/// One who waits for an operator, and one who is in.
const USERS: &str = r#"{"version": 1, "users": {
    "bob": {"since": 1790000000, "key": {"hash": "0b", "invitation": "1b", "until": 1795000000},
            "address": "198.51.100.2/24"},
    "carol": {"since": 1790000000, "key": {"hash": "0c", "invitation": "1c"}, "pending": true,
              "address": "198.51.100.3/24"}}}"#;

#[test]
fn every_example_is_what_a_switch_answers() {
    need!(tool("curl"));
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    namespace.ip("addr add 192.0.2.2/32 dev lo");
    // A TAP that says nothing by itself is learned nowhere.
    let quiet = namespace.run("sysctl", &["-w", "net.ipv6.conf.default.disable_ipv6=1"]);
    need!(if quiet.code == Some(0) { Ok(()) } else { Err(quiet.stderr) });
    let _server = Switch::start_at(&namespace.site, &SERVER);
    let dir = TempDir::new();
    let config = dir.at("etherws.toml");
    let url = "wss://hub.example/";
    let init = ["init", "--config", &config, "--no-tap", "--name", "hub", "--url", url];
    let address = ["--address", "198.51.100.1/24"];
    run(command(&namespace.site, &[&init[..], &address].concat())).ok();
    fs::write(dir.at("hub/users.json"), USERS).unwrap();
    let profile = "\n[profile.guests]\nusers = [\"alice\"]\ntrust = \"client\"\n";
    let text = fs::read_to_string(&config).unwrap();
    // Control is asked by TCP.
    let text = text.split("[control]").next().unwrap().to_owned() + profile;
    fs::write(&config, text).unwrap();
    let args = [&SWITCH[..], &["--config", &config]].concat();
    let switch = Switch::start_at(&namespace.site, &args);
    let ask = |method: &str, params: &Value| {
        let mut curl = switch.site.command("curl");
        curl.args(["-sS", "--fail", "-H", "Content-Type: application/json", "--data", "@-"]);
        curl.arg(switch.control_url());
        let mut body = json!({"jsonrpc": "2.0", "id": 1, "method": method});
        if !params.is_null() {
            body["params"] = params.clone();
        }
        let reply = run_with(curl, body.to_string().as_bytes()).ok().json();
        assert!(reply.get("result").is_some(), "{body}: {reply:#}");
        // Where this machine has the file is nobody's business.
        let result = reply["result"].to_string().replace(&dir.at(""), "/etc/etherws/");
        serde_json::from_str::<Value>(&result).unwrap()
    };
    let document = ask("rpc.discover", &Value::Null);
    let methods = document["methods"].as_array().unwrap();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut examples: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for example in &mut examples {
        let name = example["method"].as_str().unwrap().to_owned();
        let method = methods.iter().find(|method| short_name(method) == name).unwrap();
        let result = ask(method["name"].as_str().unwrap(), &example["params"]);
        let validator = validator(&document, &method["result"]["schema"]);
        let errors: Vec<_> =
            validator.iter_errors(&result).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}: {result:#}");
        if !alike(&example["result"], &result) {
            example["result"] = result;
        }
    }
    for method in methods.iter().filter(|method| method["name"] != "rpc.discover") {
        let name = short_name(method);
        assert!(examples.iter().any(|example| example["method"] == name), "no example of {name}");
    }
    settle(FILE, &format!("{:#}\n", Value::from(examples)));
}

fn short_name(method: &Value) -> &str {
    let name = method["name"].as_str().unwrap();
    name.strip_prefix("etherws.control.").unwrap_or(name)
}

/// Whether two results say the same, as far as it is the same at another time.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.keys().eq(other.keys())
                && one.iter().all(|(name, value)| match &other[name] {
                    other if VOLATILE.contains(&name.as_str()) => same_kind(value, other),
                    other => alike(value, other),
                })
        }
        // A device's own address is another one on each machine.
        (Value::String(one), Value::String(other))
            if [one, other].iter().all(|text| text.starts_with("fe:")) =>
        {
            true
        }
        (one, other) => one == other,
    }
}

fn same_kind(one: &Value, other: &Value) -> bool {
    match (one, other) {
        // A counter that is there no more is another answer.
        (Value::Object(one), Value::Object(other)) => one.keys().eq(other.keys()),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

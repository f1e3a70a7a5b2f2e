//! The methods: how lenient they are, what is sent of them, and that each says all that a
//! method has to say.

use clap::Args;
use etherws_actors::settings::Role;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    METHODS,
    call::{Call, Entry, Group, Method, Program},
    commands, find,
};
use crate::refusal::Refusal;

fn method(name: &str) -> &'static Method {
    METHODS.iter().find(|method| method.name == name).expect("a method")
}

fn reread(name: &str, params: &Value) -> Result<Value, String> {
    method(name).reread(Some(params)).map_err(|refusal| refusal.to_string())
}

fn refused(name: &str, params: &Value) -> String {
    let checked = (method(name).check)(params);
    checked.expect_err(&format!("{name} {params} is refused")).to_string()
}

#[test]
fn ports_are_whatever_pythons_int_takes_or_names() {
    for port in [json!(2), json!(2.9), json!("2"), json!(" +2 "), json!("02")] {
        let params = json!({"port": port, "unknown": null});
        assert_eq!(reread("delPort", &params), Ok(json!({"port": 2})), "{port}");
    }
    assert_eq!(reread("delPort", &json!({"port": "uplink"})), Ok(json!({"port": "uplink"})));
    for (port, expected) in [
        (json!(0), "ValueError: Invalid port: 0"),
        (json!(-1), "ValueError: Invalid port: -1"),
        (json!(1e300), "ValueError: Invalid port: 9223372036854775807"),
        (json!("1e3"), "ValueError: port must be a whole number or a port's name, not \"1e3\""),
        (json!([1]), "ValueError: port must be a whole number, not [1]"),
        (Value::Null, "KeyError: 'port' is missing"),
    ] {
        let error = refused("delPort", &json!({"port": port}));
        assert!(error.starts_with(expected), "{port}: {error}");
    }
    let error = refused("delPort", &json!([1]));
    assert!(error.starts_with("TypeError: params"), "{error}");
}

#[test]
fn shut_is_whatever_python_takes_for_true_and_null_leaves_it() {
    for (shut, expected) in [
        (json!(true), Some(true)),
        (json!(false), Some(false)),
        (json!("no"), Some(true)),
        (json!(""), Some(false)),
        (json!("off"), Some(false)),
        (json!(0), Some(false)),
        (json!(0.5), Some(true)),
        (json!([]), Some(false)),
        (json!({"a": 1}), Some(true)),
        (Value::Null, None),
    ] {
        let set = reread("setPort", &json!({"port": 1, "shut": shut})).expect("good params");
        assert_eq!(set.get("shut").and_then(Value::as_bool), expected, "{shut}");
    }
}

#[test]
fn settings_have_their_old_names_and_their_own_forms() {
    let params = json!({"port": "1", "loopguard": 0, "maxmacs": "9", "stormbroadcast": 7,
        "storm-unicast": "off", "name": "uplink", "offload": "tcp", "default": ["shut"]});
    let set = reread("setPort", &params).expect("good params");
    let expected = json!({"port": 1, "default": ["shut"], "name": "uplink", "loop-guard": false,
        "max-macs": 9, "storm-broadcast": "7/28", "storm-unicast": "off", "offload": "tcp"});
    assert_eq!(set, expected);
}

#[test]
fn options_may_be_missing_or_null() {
    for params in [
        json!({"type": "client", "target": "ws://h/"}),
        json!({"type": "client", "target": "ws://h/", "options": null}),
        json!({"type": "client", "target": "ws://h/", "options":
            {"user": null, "passwd": null, "cacerts": null, "insecure": null}}),
    ] {
        let read = reread("addPort", &params);
        let expected = json!({"type": "client", "target": "ws://h/", "options": {}});
        assert_eq!(read, Ok(expected), "{params}");
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
        ("addPort", json!({"type": "client", "target": "http://u:pw@h/"}), "write ws://HOST"),
        ("addPort", json!({"type": "client", "target": "ws://h/", "options": 1}), "options"),
        (
            "addPort",
            json!({"type": "client", "target": "ws://h/", "options": {"urls": "ws://i/"}}),
            "TypeError: urls",
        ),
        (
            "addPort",
            json!({"type": "client", "target": "ws://h/", "options": {"urls": ["i"]}}),
            "ValueError: \"i\" is not a WebSocket URL",
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
        let error = refused(method, &params);
        assert!(error.contains(expected), "{method} {params}: {error}");
    }
}

#[test]
fn what_control_may_not_set_is_refused_by_name() {
    let client = |options: Value| {
        let params = json!({"type": "client", "target": "ws://h/", "options": options});
        ("addPort", params)
    };
    let tap =
        |options: Value| ("addPort", json!({"type": "tap", "target": "x", "options": options}));
    for ((method, params), expected) in [
        (
            client(json!({"proxy-command": ["x"]})),
            "proxy-command is an option of the configuration file only",
        ),
        (
            client(json!({"password-file": "x"})),
            "password-file is an option of the configuration file only",
        ),
        (client(json!({"insecur": true})), "unknown option insecur; did you mean insecure?"),
        (client(json!({"max-macs": 5})), "unknown option max-macs; there are urls"),
        (tap(json!({"user": "x"})), "user is for client ports only; leave it out"),
        (
            ("addPort", json!({"type": "tap", "target": "x", "max-mac": 5})),
            "unknown param max-mac; did you mean max-macs?",
        ),
        (
            ("addPort", json!({"type": "client", "target": "ws://h/", "proxy-command": ["x"]})),
            "proxy-command is an option of the configuration file only",
        ),
        (
            ("setPort", json!({"port": 1, "password-file": "x"})),
            "password-file is an option of the configuration file only",
        ),
        (("setPort", json!({"port": 1, "nosuch": true})), "unknown param nosuch; there are"),
        (("setPort", json!({"port": 1, "shutt": true})), "unknown param shutt; did you mean shut?"),
        (("delPort", json!({"port": 1, "all": true})), "unknown param all; there are port"),
    ] {
        let error = refused(method, &params);
        assert!(error.contains(expected), "{method} {params}: {error}");
    }
    // What 1.3's ctl gives whatever the type is.
    let (method, params) =
        tap(json!({"user": null, "passwd": null, "cacerts": "", "insecure": false}));
    (self::method(method).check)(&params).expect("1.3's form");
}

#[test]
fn no_refusal_holds_a_password() {
    for options in [
        json!({"passwd": "secret"}),
        json!({"user": "a:b", "passwd": "secret"}),
        json!({"user": "a", "passwd": {"x": "secret"}}),
        json!({"user": "a", "passwd": "secret", "cacerts": 1}),
        json!({"proxy": "socks4://u:secret@h:1"}),
        json!({"header": ["Host: secret"]}),
        json!({"proxy-command": ["secret"]}),
        json!({"proxy": ["secret"]}),
    ] {
        let params = json!({"type": "client", "target": "ws://h/", "options": options});
        let error = refused("addPort", &params);
        assert!(!error.contains("secret"), "{error}");
    }
}

/// What `ctl` sends.
fn sent(line: &str) -> super::call::Request {
    let mut words = line.split(' ');
    let name = words.next().expect("a command");
    let (name, method) = commands().find(|(known, _)| *known == name).expect("a method");
    let matches = method.command(name).try_get_matches_from([name].into_iter().chain(words));
    method.given(&matches.expect("a good line")).expect("good values")
}

#[test]
fn params_of_1_3_keep_their_form() {
    for (line, expected) in [
        ("listport", Value::Null),
        ("setport --shut 1 7", json!({"port": 7, "shut": true})),
        ("setport 7", json!({"port": 7})),
        ("addport tap ewp%d", json!({"type": "tap", "target": "ewp%d", "options": {}})),
        (
            "addport client ws://h/ --user u --passwd p --insecure --cacerts f",
            json!({"type": "client", "target": "ws://h/", "options":
                {"user": "u", "passwd": "p", "cacerts": "f", "insecure": true}}),
        ),
        (
            "setif --address 192.0.2.1 --netmask 255.255.255.0 1",
            json!({"port": 1, "address": "192.0.2.1", "netmask": "255.255.255.0"}),
        ),
    ] {
        let request = sent(line);
        assert_eq!(request.params().cloned().unwrap_or_default(), expected, "{line}");
        assert!(!format!("{request:?}").contains("passwd"));
    }
}

#[test]
fn what_is_sent_is_what_the_schema_says() {
    for line in [
        "listport --type tap --state up --after 3 --limit 2 --user u --port uplink",
        "addport client wss://h/p?q=1 ws://i/ --user u --passwd p:w --cert c --key k --max-macs 5",
        "addport netdev eth0 --name uplink --description x --offload off",
        "setport uplink --loop-guard off --storm-multicast 7/9 --default shut",
        "showport 1",
        "delport 1",
        "setif 1 --address 2001:db8::1/64 --mtu 1400",
        "listif",
        "listfdb --port 1 --mac 02:00:00:00:00:09 --vlan 5 --static --after 5/02:00:00:00:00:01",
        "listbinding --port 1 --vlan 5 --mac 02:00:00:00:00:09 --ip ::1 --after 5/::2 --limit 3",
        "listmdb --port 1 --vlan 5 --group ff05::1 --after 5/239.1.1.1 --limit 3",
        "addfdb 02:00:00:00:00:09 7 --vlan 4094",
        "delfdb 02:00:00:00:00:09",
        "flushfdb 1 --all",
        "listhosts --user u --after 02:00:00:00:00:01 --limit 5",
        "createtoken --user jörg --ttl 7",
        "capture 1 7 --direction rx --vlan 5 --ethertype arp --snaplen 96 --count 3 --duration 9",
    ] {
        let request = sent(line);
        let mut generator = SchemaSettings::draft07().for_deserialize().into_generator();
        let mut schema = (request.method.params)(&mut generator);
        schema.insert("definitions".to_owned(), generator.take_definitions(true).into());
        let validator = jsonschema::draft7::new(&schema.into()).expect("a schema");
        let wrong: Vec<_> =
            validator.iter_errors(&request.params).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{line}: {}: {wrong:?}", request.params);
        assert_eq!(request.method.reread(Some(&request.params)), Ok(request.params.clone()));
        request.check().expect("good values");
    }
}

#[test]
fn a_method_has_a_line_of_help_a_role_and_an_example() {
    let examples: Vec<Value> =
        serde_json::from_str(include_str!("examples.json")).expect("examples");
    for method in METHODS {
        let doc = method.doc();
        assert!(doc.contains('.') && !doc.contains("  "), "{method:?}: {doc}");
        let has_example = examples.iter().any(|example| example["method"] == method.name);
        assert!(has_example || method.name == "rpc.discover", "{method:?} has no example");
        // Whoever changes something is noted; who captures, where that begins.
        let changes_nothing = ["capture", "ping", "doctor"].contains(&method.name);
        let is_noted = method.role != Role::Read && !changes_nothing;
        assert_eq!(method.audited, is_noted, "{method:?}");
        assert!(find(&method.full_name().into()).is_ok());
    }
    for name in METHODS.iter().flat_map(|method| method.aliases) {
        assert!(commands().all(|(command, _)| command != *name), "{name} is a command itself");
    }
}

/// Say it again.
///
/// Entries: the word.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
struct Echo {
    /// What to say.
    word: String,
}

/// A word.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Word {
    /// The word.
    word: String,
}

impl Entry for Word {
    const TITLES: &'static [&'static str] = &["Word"];

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![self.word.clone()]]
    }
}

impl Call for Echo {
    const NAME: &'static str = "echo";
    const GROUP: Group = Group::Operation;
    const ROLE: Role = Role::Read;
    type Entry = Word;

    async fn run(self, _: Program<'_>) -> Result<Vec<Word>, Refusal> {
        Ok(vec![Word { word: self.word }])
    }
}

#[test]
fn a_method_is_one_struct() {
    static ECHO: Method = Method::of::<Echo>();
    assert_eq!(ECHO.doc(), "Say it again. Entries: the word.");
    let command = ECHO.command("echo");
    assert_eq!(command.get_about().map(ToString::to_string).as_deref(), Some("Say it again"));
    let matches = command.try_get_matches_from(["echo", "hello"]).expect("a good line");
    let request = ECHO.given(&matches).expect("a request");
    assert_eq!(request.params, json!({"word": "hello"}));
    assert_eq!(
        ECHO.reread(Some(&json!({"word": 5}))).expect_err("no string").to_string(),
        "TypeError: word must be a string, in quotes"
    );
    let answer = ECHO.read(json!({"entries": [{"word": "hello"}]})).expect("an answer");
    assert_eq!(answer.tables[0].rows, [["hello"]]);
}

#[test]
fn what_is_far_too_long_is_refused_before_anything_is_made_of_it() {
    let long = "a".repeat(70_000);
    for params in [
        json!({"port": 1, "description": long}),
        json!({"port": 1, long.as_str(): 1}),
        json!({"port": vec![1; 9000]}),
    ] {
        assert_eq!(
            refused("setPort", &params),
            "ValueError: params are longer than 64 KiB; give fewer or shorter ones"
        );
    }
    let Err(error) = find(&json!(format!("etherws.control.{long}"))) else { panic!("no such") };
    assert_eq!(error.text(), "a method's name of 70016 octets; none is so long");
    let text = crate::parse::hint("option", &"b".repeat(1000), &["one"]);
    assert_eq!(text, "unknown option of 1000 octets; there are one");
}

#[test]
fn what_is_noted_of_params_holds_no_secret() {
    let noted = super::audit::without_secrets(json!({
        "type": "client", "target": "wss://u:hidden@h/lan?token=hidden",
        "options": {
            "passwd": "hidden", "user": "u", "urls": ["ws://u:hidden@h/?a=1"],
            "header": ["X-Key: hidden"], "proxy": "socks5://u:hidden@p:1080",
        },
    }));
    let text = noted.to_string();
    assert!(!text.contains("hidden"), "{text}");
    assert_eq!(noted["target"], "wss://h/lan?token=(secret)");
    assert_eq!(noted["options"]["header"], json!(["X-Key: (secret)"]));
    assert_eq!(noted["options"]["urls"], json!(["ws://h/?a=(secret)"]));
    assert_eq!(noted["options"]["user"], "u");
    for proxy in ["u:hidden@p:3128", "u:hid@den@p:3128", "http://u:hidden@p:3128"] {
        let noted = super::audit::without_secrets(json!({"proxy": proxy}));
        assert_eq!(noted["proxy"], "http://p:3128");
    }
    let noted = super::audit::without_secrets(json!({"proxy": "direct", "description": "a@b"}));
    assert_eq!(noted, json!({"proxy": "direct", "description": "a@b"}));
}

//! The API document: that it is true, whole, valid OpenRPC, and what stands in `docs/`.
//! `make docs` runs these tests with `ETHERWS_DOCS=write`: then they write what they
//! would compare.

mod examples;
mod reference;
mod roles;

use std::{collections::BTreeSet, env, fs, path::Path};

use jsonschema::{Registry, Validator, draft7};
use serde_json::{Value, json};

use crate::support::{
    http::ask,
    switch::{Switch, etherws},
};

/// What the document's first lines in `docs/rpc.md` and its last ones are.
const BEGIN: &str = "<!-- From here on `make docs` writes. -->\n";
const END: &str = "<!-- `make docs` writes up to here. -->\n";

/// Whether files are to be written.
fn writes() -> bool {
    env::var_os("ETHERWS_DOCS").is_some_and(|value| value == "write")
}

/// Compares a file of the repository with what it should be, or writes it.
pub(crate) fn settle(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if writes() {
        return fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "{name} is stale, run `make docs`; the first difference: {differs:#?}"
    );
}

fn discover(switch: &Switch) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}).to_string();
    ask(switch.control, "POST", "/ctl", &[], &body).json()["result"].take()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Checks instances of one of the document's schemas, whose references are relative to it.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = document.clone();
    whole["allOf"] = json!([schema]);
    draft7::new(&whole).unwrap()
}

#[test]
fn the_document_is_what_the_switch_and_ctl_say() {
    let switch = Switch::start(&[]);
    let document = discover(&switch);
    settle("docs/openrpc.json", &pretty(&document));
    assert_eq!(switch.ctl(&["discover"]).ok().stdout, pretty(&document));
    assert_eq!(switch.ctl(&["--json", "discover"]).ok().json(), document);
}

#[test]
fn the_reference_is_made_from_the_document() {
    let document = discover(&Switch::start(&[]));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rpc.md");
    let page = fs::read_to_string(page).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the beginning's mark");
    let (_, after) = rest.split_once(END).expect("the end's mark");
    let made = reference::markdown(&document);
    settle("docs/rpc.md", &format!("{before}{BEGIN}\n{made}\n{END}{after}"));
}

#[test]
fn the_document_is_valid_openrpc() {
    let document = discover(&Switch::start(&[]));
    let openrpc: Value = serde_json::from_str(include_str!("schemas/openrpc.json")).unwrap();
    let json_schema: Value =
        serde_json::from_str(include_str!("schemas/json-schema.json")).unwrap();
    // The former refers to the latter with and without the slash.
    let schemas = Registry::new()
        .add("https://meta.json-schema.tools/", &json_schema)
        .and_then(|schemas| schemas.add("https://meta.json-schema.tools", &json_schema))
        .and_then(|schemas| schemas.prepare())
        .unwrap();
    let validator = draft7::options().with_registry(&schemas).build(&openrpc).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut wrong = document;
    wrong["methods"][0].as_object_mut().unwrap().remove("params");
    assert!(!validator.is_valid(&wrong), "the schema is looked at");
}

#[test]
fn everything_in_the_document_is_described() {
    let document = discover(&Switch::start(&[]));
    let described =
        |what: &Value| what["description"].as_str().is_some_and(|text| !text.is_empty());
    for method in document["methods"].as_array().unwrap() {
        for param in method["params"].as_array().unwrap() {
            assert!(described(param), "{} {param}", method["name"]);
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(described(schema), "{name}");
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(described(schema), "{name} {member}");
        }
    }
}

#[test]
fn every_ctl_command_is_a_method_and_the_other_way_round() {
    // A view of `listPort` in the terminal.
    const VIEWS: [&str; 1] = ["top"];
    let document = discover(&Switch::start(&[]));
    let methods: BTreeSet<_> =
        document["methods"].as_array().unwrap().iter().map(command).collect();
    let help = etherws(&["ctl", "--help"]).ok().stdout;
    let (groups, _) = help.split_once("Options:\n").expect("options behind the commands");
    // What goes on in a further line stands further in.
    let commands = groups.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: BTreeSet<_> = commands
        .filter(|name| !name.is_empty() && !VIEWS.contains(name))
        .map(str::to_owned)
        .collect();
    assert_eq!(commands, methods);
}

/// The command of `etherws ctl` that calls a method.
fn command(method: &Value) -> String {
    let name = method["name"].as_str().unwrap().rsplit('.').next().unwrap();
    name.to_lowercase().replace("interface", "if")
}

//! The API document: OpenRPC 1.3, made from the table of methods, the types of their
//! params and entries, and examples that were asked of a running switch. Says nothing
//! that does not stand there.

use std::{future::ready, sync::LazyLock};

use clap::Args;
use etherws_actors::settings::Role;
use jsonrpsee_types::ErrorCode;
use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::to_raw_value};

use super::{
    METHODS,
    call::{Answer, Group, Method},
};
use crate::refusal::{Exception, Refusal};

/// The specification that the document follows, <https://spec.open-rpc.org>.
const OPENRPC: &str = "1.3.2";

/// Where OpenRPC says that its own schema is.
const META_SCHEMA: &str =
    "https://raw.githubusercontent.com/open-rpc/meta-schema/master/schema.json";

/// Requests and what came back, in the order in which they were asked. `make docs`
/// writes them anew.
const EXAMPLES: &str = include_str!("examples.json");

/// The errors that a request may end with: name in the document, code, and an example of
/// exception and text.
const ERRORS: [(&str, ErrorCode, Exception, &str); 4] = [
    ("ParseError", ErrorCode::ParseError, Exception::Value, "body is not valid JSON: ..."),
    ("InvalidRequest", ErrorCode::InvalidRequest, Exception::Key, "'method' is missing"),
    ("MethodNotFound", ErrorCode::MethodNotFound, Exception::Attribute, "no method listPorts; ..."),
    ("InvalidParams", ErrorCode::InvalidParams, Exception::Key, "'port' is missing in params"),
];

/// An example of a request.
#[derive(Deserialize)]
struct Example {
    /// Short name of the method.
    method: String,
    params: Value,
    result: Value,
}

/// The whole document.
pub(super) fn document() -> Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    DOCUMENT.clone()
}

fn make() -> Value {
    // A test reads the file too.
    let examples: Vec<Example> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    // What may be left out of params is one thing, what of an answer another.
    let mut taken = schemas(SchemaSettings::draft07().for_deserialize());
    let mut given = schemas(SchemaSettings::draft07().for_serialize());
    let methods: Vec<_> =
        METHODS.iter().map(|method| describe(method, &examples, &mut taken, &mut given)).collect();
    let mut schemas = taken.take_definitions(true);
    schemas.extend(given.take_definitions(true));
    let errors = ERRORS.map(|(name, code, exception, text)| {
        (name.to_owned(), json!(Refusal::new(exception, text).with_code(code)))
    });
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "etherws control",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The control API of a running switch, as docs/rpc.md tells it.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{
            "name": "default",
            "url": "http://127.0.0.1:7867/ctl",
            "description": "As --ctlhost, --ctlport and --ctlpath of etherws sw say.",
        }],
        "methods": methods,
        "components": { "schemas": schemas, "errors": Map::from_iter(errors) },
    })
}

fn schemas(settings: SchemaSettings) -> SchemaGenerator {
    settings
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .with_transform(RecursiveTransform(join_lines))
        .into_generator()
}

/// Descriptions come from comments, whose lines end where the file's do.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

fn describe(
    method: &Method,
    examples: &[Example],
    taken: &mut SchemaGenerator,
    given: &mut SchemaGenerator,
) -> Value {
    let mut params = (method.params)(taken);
    taken.transforms_mut().for_each(|transform| transform.transform(&mut params));
    let examples = examples.iter().filter(|example| example.method == method.name);
    json!({
        "name": method.full_name(),
        "summary": method.doc(),
        "x-group": method.group,
        "x-role": method.role,
        "x-audited": method.audited,
        "paramStructure": "by-name",
        "params": descriptors(params),
        "result": { "name": "result", "schema": (method.result)(given) },
        "errors": ERRORS.map(|(name, ..)| json!({"$ref": format!("#/components/errors/{name}")})),
        "examples": examples.map(pairing).collect::<Vec<_>>(),
    })
}

/// The members of a params object, each by itself, those that must be there first: OpenRPC
/// wants it so.
fn descriptors(mut params: Schema) -> Vec<Value> {
    let required = params.remove("required").unwrap_or_default();
    let is_required =
        |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let Some(Value::Object(members)) = params.remove("properties") else { return Vec::new() };
    let (first, others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|(name, _)| is_required(name));
    let descriptor = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let required = is_required(&name);
        json!({
            "name": name,
            "description": description.unwrap_or_default(),
            "required": required,
            "schema": schema,
        })
    };
    first.into_iter().chain(others).map(descriptor).collect()
}

fn pairing(example: &Example) -> Value {
    let params = example.params.as_object().into_iter().flatten();
    let params: Vec<_> =
        params.map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": example.method,
        "params": params,
        "result": { "name": "result", "value": example.result },
    })
}

/// Print the document of the control API, OpenRPC: all methods, their params and results.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
struct Discover {}

/// The one method whose result is no list.
pub(super) const DISCOVER: Method = Method {
    name: "rpc.discover",
    aliases: &[],
    group: Group::Operation,
    role: Role::Read,
    audited: false,
    params: Discover::json_schema,
    result: |_| Schema::new_ref(META_SCHEMA.to_owned()),
    run: |_, _| {
        let unlikely = |error: serde_json::Error| Refusal::runtime(error.to_string());
        Box::pin(ready(to_raw_value(&document()).map_err(unlikely)))
    },
    check: |_| Ok(()),
    reread: |_| Ok(json!({})),
    command: Discover::augment_args,
    given: |_| Ok(json!({})),
    read: |json, _| Ok(Answer { json, tables: Vec::new() }),
};

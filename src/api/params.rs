//! What etherws 1.3 takes for params, which scripts rely on: whatever Python's `int()` and
//! `bool()` take, and null for missing. Brings it into the form that a method's schema says,
//! in one place for all methods. A refusal names member, value and way out, and no password.

use std::borrow::Cow;

use etherws_actors::{kinds::kinds, settings::Setting};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value};

use super::call::brief;
use crate::{
    parse::{hint, truth},
    refusal::Refusal,
};

/// The schema of a text that may come as a number as well.
pub(super) struct NumberOrText;

impl JsonSchema for NumberOrText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NumberOrText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer"}, {"type": "string"}]})
    }
}

/// `params` as the schema has them.
pub(super) fn lenient(
    schema: fn(&mut SchemaGenerator) -> Schema,
    params: &Value,
) -> Result<Value, Refusal> {
    let settings = SchemaSettings::draft07().for_deserialize();
    let mut generator = settings.with(|it| it.inline_subschemas = true).into_generator();
    let schema = Value::from(schema(&mut generator));
    let none = Map::new();
    let members = match params {
        Value::Object(members) => members,
        Value::Array(list) if list.is_empty() => &none,
        Value::Null if schema["required"].as_array().is_none_or(Vec::is_empty) => &none,
        _ => return Err(no_object()),
    };
    let known = |name: &str| {
        let setting = Setting::find(name).map_or(name, |setting| setting.name);
        schema["properties"].get(setting).is_some()
    };
    // Those of an object in them are looked at where it is known which there are.
    let given = members.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
    if let Some(name) = given.into_iter().find(|name| !known(name)) {
        return Err(unknown(name, &schema));
    }
    object(&schema, members)
}

/// A method has no such param.
fn unknown(name: &str, schema: &Value) -> Refusal {
    if kinds().iter().any(|kind| kind.file_only.contains(&name)) {
        return Refusal::value(format!("{name} is an option of the configuration file only"));
    }
    let known = schema["properties"].as_object().into_iter().flatten();
    let known: Vec<_> = known.map(|(name, _)| name.as_str()).collect();
    Refusal::value(match &known[..] {
        [] => format!("unknown param {}; there are none", brief(&name.into())),
        known => hint("param", name, known),
    })
}

fn no_object() -> Refusal {
    Refusal::wrong_type("params and options must be objects: {\"port\": 1}")
}

fn object(schema: &Value, members: &Map<String, Value>) -> Result<Value, Refusal> {
    let mut taken = Map::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let own = |name: &str| schema["properties"].get(name);
        let alias = Setting::find(name).map(|setting| setting.name);
        let (name, schema) = match (own(name), alias) {
            (None, Some(alias)) => (alias, own(alias)),
            (schema, _) => (name.as_str(), schema),
        };
        let value = schema.map_or_else(|| Ok(value.clone()), |schema| member(name, schema, value));
        taken.insert(name.to_owned(), value?);
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !taken.contains_key(name) {
            return Err(Refusal::key(format!("'{name}' is missing in params")));
        }
    }
    Ok(taken.into())
}

fn member(name: &str, schema: &Value, value: &Value) -> Result<Value, Refusal> {
    let mut types = Vec::new();
    collect(schema, &mut types);
    let is = |name: &str| types.contains(&name);
    if is("object") {
        let members = value.as_object().ok_or_else(no_object)?;
        return object(properties(schema), members);
    }
    if is("array") {
        let wrong = || Refusal::wrong_type(format!("{name} must be a list of strings"));
        let list = value.as_array().ok_or_else(wrong)?;
        let item = |value| member(name, &schema["items"], value).map_err(|_| wrong());
        return list.iter().map(item).collect::<Result<Vec<_>, _>>().map(Value::from);
    }
    match (is("boolean"), is("integer"), is("string")) {
        (true, ..) => Ok(truth(value).into()),
        (_, true, false) => integer(name, value).map(Value::from),
        // A number or a text: as text.
        (_, true, true) => match value {
            Value::String(_) => Ok(value.clone()),
            _ => integer(name, value).map(|number| number.to_string().into()),
        },
        // The value stays out of the text: it may be a password.
        (_, _, true) if !value.is_string() => {
            Err(Refusal::wrong_type(format!("{name} must be a string, in quotes")))
        }
        _ => Ok(value.clone()),
    }
}

/// The types that a schema names, by itself or in its parts.
fn collect<'a>(schema: &'a Value, types: &mut Vec<&'a str>) {
    match &schema["type"] {
        Value::String(one) => types.push(one),
        Value::Array(list) => types.extend(list.iter().filter_map(Value::as_str)),
        _ => {}
    }
    for part in ["anyOf", "oneOf", "allOf"] {
        schema[part].as_array().into_iter().flatten().for_each(|one| collect(one, types));
    }
}

/// The part of a schema that has members.
fn properties(schema: &Value) -> &Value {
    let parts = ["anyOf", "oneOf", "allOf"].into_iter();
    let mut parts = parts.filter_map(|part| schema[part].as_array()).flatten();
    parts.find(|one| one["properties"].is_object()).unwrap_or(schema)
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
    number.ok_or_else(|| {
        Refusal::value(format!("{name} must be a whole number, not {}", brief(value)))
    })
}

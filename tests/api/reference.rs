//! The API document as a page to read: its methods, the types of their entries, and
//! nothing that the document does not say.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Columns of a line in a block of code.
const WIDTH: usize = 96;

/// The part of `docs/rpc.md` that is made.
pub(super) fn markdown(document: &Value) -> String {
    let mut page = String::from("## Methods\n");
    for method in list(&document["methods"]) {
        write_method(&mut page, method);
    }
    page += "\n## Types\n";
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        write_type(&mut page, name, schema, schemas);
    }
    page
}

fn write_method(page: &mut String, method: &Value) {
    let name = text(&method["name"]);
    let short = name.strip_prefix("etherws.control.").unwrap_or(name);
    writeln!(page, "\n### `{short}`\n\n{}", text(&method["summary"])).unwrap();
    let params = list(&method["params"]);
    if !params.is_empty() {
        page.push_str("\n| param | type | value |\n| --- | --- | --- |\n");
    }
    for param in params {
        let required = param["required"] == true;
        write_row(page, text(&param["name"]), &param["schema"], required, about(param));
    }
    let entries = &method["result"]["schema"]["properties"]["entries"];
    if entries.is_object() {
        writeln!(page, "\nEntries: {}.", kind(entries)).unwrap();
    }
    for example in list(&method["examples"]) {
        let params: Map<_, _> = list(&example["params"])
            .iter()
            .map(|param| (text(&param["name"]).to_owned(), param["value"].clone()))
            .collect();
        let mut request = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": name});
        if !params.is_empty() {
            request["params"] = params.into();
        }
        let result = &example["result"]["value"];
        writeln!(page, "\n```json\n{}\n{}\n```", code(&request), code(result)).unwrap();
    }
}

fn write_type(page: &mut String, name: &str, schema: &Value, all: &Map<String, Value>) {
    writeln!(page, "\n### {name}\n\n{}", about(schema)).unwrap();
    let Some(members) = schema["properties"].as_object() else { return };
    let is_base = |(other, base): &(&String, &Value)| {
        let Some(base) = base["properties"].as_object() else { return false };
        *other != name && base.iter().all(|(name, schema)| members.get(name) == Some(schema))
    };
    let base = all.iter().find(is_base);
    if let Some((base, _)) = base {
        writeln!(page, "\nAll members of {}, and:", link(base)).unwrap();
    }
    page.push_str("\n| member | type | value |\n| --- | --- | --- |\n");
    let inherited =
        |name: &str| base.is_some_and(|(_, base)| base["properties"].get(name).is_some());
    for (member, member_schema) in members.iter().filter(|(name, _)| !inherited(name)) {
        let required = list(&schema["required"]).iter().any(|name| name == member);
        write_row(page, member, member_schema, required, about(member_schema));
    }
}

fn write_row(page: &mut String, name: &str, schema: &Value, required: bool, about: &str) {
    let optional = if required { "" } else { "; optional" };
    let about = about.replace('|', "\\|");
    writeln!(page, "| `{name}` | {}{optional} | {about} |", kind(schema)).unwrap();
}

/// A type in words. What may be missing may be null as well: that is said once.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return link(reference.rsplit('/').next().unwrap());
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        let kinds = list(&schema[word]).iter().filter(|one| one["type"] != "null");
        let kinds: Vec<_> = kinds.map(kind).collect();
        if !kinds.is_empty() {
            return kinds.join(" or ");
        }
    }
    let values = list(&schema["enum"]).iter().chain(schema.get("const"));
    let values: Vec<_> = values.map(|value| format!("`{value}`")).collect();
    if !values.is_empty() {
        return values.join(", ");
    }
    let types: Vec<_> = list(&schema["type"]).iter().filter(|one| **one != "null").collect();
    if types.len() > 1 {
        return types.into_iter().map(|one| text(one).to_owned()).collect::<Vec<_>>().join(" or ");
    }
    match types.first().copied().unwrap_or_else(|| &schema["type"]) {
        kind if kind == "array" => format!("list of {}", self::kind(&schema["items"])),
        kind if kind == "object" && schema["additionalProperties"].is_object() => {
            format!("{} by name", self::kind(&schema["additionalProperties"]))
        }
        kind => text(kind).to_owned(),
    }
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// A value as code: on one line, or each member of the outermost things on lines of its
/// own, as they fit.
fn code(value: &Value) -> String {
    let mut words = Vec::new();
    split(value, &mut String::new(), &mut words);
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().unwrap();
        if line.is_empty() || line.len() + 1 + word.len() <= WIDTH {
            let gap = if line.trim().is_empty() { "" } else { " " };
            write!(line, "{gap}{word}").unwrap();
        } else {
            lines.push(format!("    {word}"));
        }
    }
    lines.join("\n")
}

/// Cuts a value where a line may end. `open` is what precedes the next word.
fn split(value: &Value, open: &mut String, words: &mut Vec<String>) {
    let (begin, end) = match value {
        Value::Object(_) => ('{', '}'),
        Value::Array(_) => ('[', ']'),
        _ => return words.push(format!("{}{value}", std::mem::take(open))),
    };
    open.push(begin);
    let start = words.len();
    let mut item = |value: &Value, open: &mut String| {
        if words.len() > start {
            words.last_mut().unwrap().push(',');
        }
        split(value, open, words);
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                write!(open, "\"{name}\": ").unwrap();
                item(value, open);
            }
        }
        _ => list(value).iter().for_each(|value| item(value, open)),
    }
    if words.len() == start {
        words.push(std::mem::take(open));
    }
    words.last_mut().unwrap().push(end);
}

fn about(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

//! etherws.toml(5), from the schema of the configuration file: its tables and keys, their
//! types, and what the schema says of them.

use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::Value;

use super::{NAME, SOURCE};
use crate::config;

/// What the schema does not say.
const DESCRIPTION: &str = "The configuration of etherws sw --config, in TOML. Missing keys \
    have their defaults. Command-line options override keys. Relative paths start at the file's \
    folder. etherws check reports the errors in a file, and etherws ctl reload applies its \
    changes to a running switch.";

/// A whole file; a test reads it.
const EXAMPLE: &str = r#"[tunnel]
htpasswd = "/etc/etherws/users"

[tunnel.tls]
key = "/etc/etherws/key.pem"
cert = "/etc/etherws/cert.pem"

[[port]]
type = "tap"
target = "ewp0"
addresses = ["192.0.2.1/24"]

[[port]]
type = "client"
target = "wss://hub.example.org/"
user = "site1"
password-file = "/etc/etherws/site1.password"
"#;

/// The page.
pub(super) fn page() -> Roff {
    let schema: Value = serde_json::from_str(&config::schema()).unwrap_or_default();
    let mut page = Roff::default();
    page.control("TH", ["etherws.toml", "5", "", SOURCE, NAME]);
    page.control("SH", ["NAME"]).text([roman("etherws.toml - configuration of etherws(1)")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(DESCRIPTION)]);
    table(&mut page, &schema, "", &schema);
    page.control("SH", ["EXAMPLE"]).control("EX", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("EE", []);
    page.control("SH", ["SEE ALSO"]).text([roman("etherws-sw(1), etherws-check(1)")]);
    page
}

/// The keys of a table, then its tables.
fn table(page: &mut Roff, schema: &Value, path: &str, own: &Value) {
    let members = own["properties"].as_object().into_iter().flatten();
    let members = members.filter(|(_, member)| member["deprecated"] != true);
    let (tables, keys): (Vec<_>, Vec<_>) =
        members.partition(|(_, member)| definition(schema, member).get("properties").is_some());
    for (key, member) in keys {
        page.control("TP", []).text([bold(key), roman(" = "), italic(kind(schema, member))]);
        page.text([roman(description(member))]);
    }
    for (key, member) in tables {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let title = match &member["type"] {
            Value::String(kind) if kind == "array" => format!("[[{path}]]"),
            Value::String(_) => format!("[{path}.NAME]"),
            _ => format!("[{path}]"),
        };
        page.control("SH", [title.as_str()]).text([roman(description(member))]);
        table(page, schema, &path, definition(schema, member));
    }
}

fn description(member: &Value) -> &str {
    member["description"].as_str().unwrap_or_default()
}

/// What a member's value, or each value of its list or of its table of tables, is defined as.
fn definition<'a>(schema: &'a Value, member: &'a Value) -> &'a Value {
    let reference = [
        &member["$ref"],
        &member["anyOf"][0]["$ref"],
        &member["items"]["$ref"],
        &member["additionalProperties"]["$ref"],
    ];
    let name = reference.into_iter().find_map(Value::as_str);
    name.and_then(|name| name.rsplit_once('/')).map_or(member, |(_, name)| &schema["$defs"][name])
}

/// What may be written behind a key.
fn kind(schema: &Value, member: &Value) -> String {
    let definition = definition(schema, member);
    let values = definition["oneOf"].as_array().or_else(|| definition["enum"].as_array());
    if let Some(values) = values {
        let names = values.iter().map(|one| one.get("const").unwrap_or(one).to_string());
        return names.collect::<Vec<_>>().join(" | ");
    }
    if let Some(forms) = definition["anyOf"].as_array() {
        let kinds = forms.iter().filter(|form| form["type"] != "null");
        return kinds.map(|form| kind(schema, form)).collect::<Vec<_>>().join(" | ");
    }
    let named = &definition["type"];
    match named.as_str().or_else(|| named[0].as_str()).unwrap_or_default() {
        "boolean" => "true | false".to_owned(),
        "integer" => "number".to_owned(),
        "array" => "list of strings".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_key_has_its_type_and_its_line() {
        let page = page().render();
        for expected in [
            "\\fBageout\\fR = \\fInumber\\fR\nSeconds",
            "\\fBstorm\\-broadcast\\fR = \\fInumber | string\\fR\n",
            "\\fBtype\\fR = \\fI\"tap\" | \"netdev\" | \"client\"\\fR\n",
            "\\fBaddresses\\fR = \\fIlist of strings\\fR\n",
            "\n.SH [control.tls]\n",
            "\n.SH [[port.fdb]]\n",
            "\n.SH [profile.NAME]\n",
            "\\fBinherits\\fR = \\fIstring\\fR\nProfile",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("= \\fI\\fR"), "{page}");
    }

    #[test]
    fn the_example_has_only_keys_that_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etherws.toml");
        fs::write(&path, EXAMPLE).unwrap();
        let (_, faults) = config::File::read(&path).unwrap();
        assert_eq!(faults, []);
    }
}

//! The documents: tables that are made from the program's own lists, which `make docs` writes,
//! and links that lead somewhere.

use std::{fs, path::Path};

use etherws_actors::{
    counters::{Discard, Incident},
    kinds::kinds,
    monitor::Kind,
    settings::{SETTINGS, Scope, Trust},
};

use serde_json::Value;

use crate::{api::settle, support::switch::etherws};

/// Compares the rows of the table after `titles` in a document, or writes them.
pub(crate) fn table(document: &str, titles: &str, rows: impl Iterator<Item = String>) {
    let text = fs::read_to_string(document).unwrap();
    let begin = text.find(titles).expect("the table's titles");
    let lines = text[begin..].split_inclusive('\n').take_while(|line| line.starts_with('|'));
    let lengths: Vec<_> = lines.map(str::len).collect();
    // The titles, and the line that divides them from the rows, stay.
    let from = begin + lengths[..2].iter().sum::<usize>();
    let to = begin + lengths.iter().sum::<usize>();
    let rows: String = rows.map(|row| format!("{row}\n")).collect();
    settle(document, &[&text[..from], &rows, &text[to..]].concat());
}

fn words<const N: usize>(list: [(&str, &str); N]) -> impl Iterator<Item = String> {
    list.into_iter().map(|(name, help)| format!("| `{name}` | {help} |"))
}

#[test]
fn the_tables_are_made_from_the_lists_of_the_program() {
    let settings = SETTINGS.iter().map(|setting| {
        let form = setting.form.replace('|', "\\|");
        let default = setting.default().map_or_else(|| "none".to_owned(), |it| format!("`{it}`"));
        let scope = match setting.scope {
            Scope::Anywhere => "",
            Scope::Port => " On a port only.",
            Scope::File => " In the configuration file only.",
        };
        format!("| `{}` | `{form}` | {default} | {}{scope} |", setting.name, setting.help)
    });
    table("docs/ports.md", "| setting | value | default | what it does |", settings);
    let sets = Trust::ALL.map(Trust::settings);
    let of_trust = SETTINGS.iter().filter_map(|setting| {
        let shown = sets.each_ref().map(|set| set.show(setting.name));
        let cells = shown.each_ref().map(|value| match value {
            Some(value) => format!("`{value}`"),
            None => format!("`{}`", setting.default().unwrap_or_default()),
        });
        let row = format!("| `{}` | {} |", setting.name, cells.join(" | "));
        shown.iter().any(Option::is_some).then_some(row)
    });
    table("docs/ports.md", "| setting | `client` | `uplink` |", of_trust);
    let discards = words(Discard::ALL.map(|it| (it.name(), it.help())));
    table("docs/traffic.md", "| reason | why a frame was discarded |", discards);
    let incidents = words(Incident::ALL.map(|it| (it.name(), it.help())));
    table("docs/traffic.md", "| incident | what happened |", incidents);
    let events = words(Kind::ALL.map(|it| (it.name(), it.help())));
    table("docs/events.md", "| event | when, and its members |", events);
}

#[test]
fn the_table_of_keys_is_made_from_the_schema() {
    let schema = etherws(&["check", "--schema"]).ok();
    settle("docs/config.schema.json", &schema.stdout);
    let schema = schema.json();
    let mut rows = Vec::new();
    keys(&schema, &schema, "", &mut rows);
    table("docs/config.md", "| key | option | what it says |", rows.into_iter());
    ports(&schema);
}

/// Keys of ports are named by the schema, so that none can be forgotten.
fn ports(schema: &Value) {
    let members = |table: &str| schema["$defs"][table]["properties"].as_object().unwrap();
    let is_now = |(_, member): &(&String, &Value)| member["deprecated"] != true;
    let of_file = |key: &str| kinds().iter().any(|kind| kind.file_only.contains(&key));
    let row = |key: &str, member: &Value, command: &str| {
        let text = member["description"].as_str().unwrap_or_default().replace('\n', " ");
        format!("| `{key}` | {command} | {text} |")
    };
    let mut rows: Vec<_> = members("PortTable")
        .iter()
        .filter(is_now)
        .map(|(key, member)| {
            let setting = SETTINGS.iter().find(|setting| setting.name == key);
            let command = match (key.as_str(), setting) {
                (_, Some(setting)) if setting.scope == Scope::File => "only in the file",
                ("type", _) => "`ctl addport`",
                ("addresses" | "mtu", _) => "`ctl setif`",
                ("fdb", _) => "`ctl addfdb`",
                (key, None) if of_file(key) => "only in the file",
                _ => "`ctl addport`, `ctl setport`",
            };
            row(key, member, command)
        })
        .collect();
    let fdb = members("FdbTable").iter();
    rows.extend(fdb.map(|(key, member)| row(&format!("fdb.{key}"), member, "`ctl addfdb`")));
    table("docs/config.md", "| key of a port | command | what it says |", rows.into_iter());
}

/// A row for each key of a table that has an option, and of the tables in it.
fn keys(schema: &Value, table: &Value, path: &str, rows: &mut Vec<String>) {
    for (key, member) in table["properties"].as_object().unwrap() {
        let name = member["$ref"].as_str().and_then(|name| name.strip_prefix("#"));
        if let Some(inner) = name.and_then(|name| schema.pointer(name)) {
            keys(schema, inner, &format!("{path}{key}."), rows);
        } else if let Some(option) = member["option"].as_str() {
            let text = member["description"].as_str().unwrap().replace('\n', " ");
            rows.push(format!("| `{path}{key}` | `{option}` | {text} |"));
        }
    }
}

/// Files and anchors that a document links to, without what is elsewhere.
pub(crate) fn links(text: &str) -> Vec<(String, String)> {
    // What stands between ``` is code.
    let text = text.split("```").step_by(2).collect::<String>();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let here = links.filter(|link| !link.contains("://"));
    let split = here.map(|link| link.split_once('#').unwrap_or((link, "")));
    split.map(|(file, anchor)| (file.to_owned(), anchor.to_owned())).collect()
}

/// Whether a heading has this anchor, by GitHub's rule.
pub(crate) fn has(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        let kept = heading.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).eq(anchor.chars())
    })
}

#[test]
fn the_documents_link_to_what_is_there_and_what_is_packaged() {
    let root = fs::canonicalize(env!("CARGO_MANIFEST_DIR")).unwrap();
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let packaged = |file: &Path| {
        let place = format!("usr/share/doc/etherws/{}", file.to_str().unwrap());
        assets.iter().any(|asset| {
            let [Some(from), Some(to)] = [0, 1].map(|column| asset.get(column)?.as_str()) else {
                return false; // A link.
            };
            let (start, end) = from.split_once('*').unwrap_or((from, ""));
            let folder = place.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
            let name = file.to_str().unwrap();
            folder.is_some_and(|it| it == to) && name.starts_with(start) && name.ends_with(end)
        })
    };
    let mut broken = Vec::new();
    let entries = [".", "docs"].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|it| it == "md")) {
        let document = path.strip_prefix(".").unwrap_or(&path);
        for (file, anchor) in links(&fs::read_to_string(&path).unwrap()) {
            let there = if file.is_empty() { path.clone() } else { path.with_file_name(&file) };
            let leads = fs::canonicalize(there).is_ok_and(|there| {
                (anchor.is_empty() || has(&fs::read_to_string(&there).unwrap(), &anchor))
                    && (!packaged(document) || packaged(there.strip_prefix(&root).unwrap()))
            });
            if !leads {
                broken.push(format!("{}: {file}#{anchor}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

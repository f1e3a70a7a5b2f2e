//! Writes ports into the text of a configuration file: changes the values that differ,
//! and leaves every other octet, comments among them. Never writes a password.

use std::net::IpAddr;

use etherws_actors::{
    fdb::PortNumber,
    frame::{MacAddr, Vid},
    kinds::PortSpec,
    settings::{PortSettings, Setting},
};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::{Action, Change, Port};
use crate::capture::mirror::Mirror;

/// A port as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) number: PortNumber,
    /// As the file has it, if it does.
    pub(crate) of_file: Option<Port>,
    pub(crate) new: PortSpec,
    /// Those of its own.
    pub(crate) settings: PortSettings,
    /// That control has set.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    pub(crate) mtu: Option<u32>,
    /// Static entries.
    pub(crate) fdb: Vec<(Vid, MacAddr)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Edited {
    pub(crate) text: String,
    pub(crate) changes: Vec<Change>,
}

/// `text` with the ports as they run. `tables` are those that it has, in its order.
///
/// # Errors
/// It is no TOML.
pub(crate) fn edit(
    text: &str,
    tables: &[(&Port, PortNumber)],
    running: &[Running],
) -> Result<Edited, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    let mut changes = Vec::new();
    let item = document.entry("port").or_insert_with(|| ArrayOfTables::new().into());
    if let Some(array) = item.as_array().filter(|array| !array.is_empty()) {
        let count = array.len();
        return Err(format!("its {count} ports stand in one line; write each as [[port]]"));
    }
    if !item.is_array_of_tables() {
        *item = ArrayOfTables::new().into();
    }
    let Some(ports) = item.as_array_of_tables_mut() else { return Ok(unchanged(text)) };
    // From the last, so that places stay right.
    for at in (0..ports.len()).rev() {
        let Some((port, number)) = table_of(ports, at, tables) else { continue };
        match running.iter().find(|running| running.number == number) {
            Some(running) => {
                let Some(table) = ports.get_mut(at) else { continue };
                let mut names = update(table, port, running);
                let mut change = |action, note: String| {
                    changes.push(Change::new(action, port.new.to_string()).port(number).note(note));
                };
                match update_options(table, port, running) {
                    Ok(true) => names.push("options"),
                    Ok(false) => {}
                    Err(reason) => change(Action::Kept, reason),
                }
                if !names.is_empty() {
                    change(Action::Changed, names.join(", "));
                }
            }
            None => {
                ports.remove(at);
                changes.push(Change::new(Action::Deleted, port.new.to_string()).port(number));
            }
        }
    }
    changes.reverse();
    for running in running.iter().filter(|running| running.of_file.is_none()) {
        let change = |action| Change::new(action, running.new.to_string()).port(running.number);
        match new_table(running) {
            Ok(table) => {
                ports.push(table);
                changes.push(change(Action::Added));
            }
            Err(reason) => changes.push(change(Action::Kept).note(reason)),
        }
    }
    if changes.iter().all(|change| change.action == Action::Kept) {
        return Ok(Edited { changes, ..unchanged(text) });
    }
    Ok(Edited { text: document.to_string(), changes })
}

/// `text`, which has the mirrors `old`, with the mirrors `new`.
///
/// # Errors
/// It is no TOML.
pub(crate) fn edit_mirrors(text: &str, old: &[Mirror], new: &[Mirror]) -> Result<Edited, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    let mut changes = Vec::new();
    let item = document.entry("mirror").or_insert_with(|| ArrayOfTables::new().into());
    let Some(tables) = item.as_array_of_tables_mut() else {
        let is_other = || "its mirrors stand in one line; write each as [[mirror]]".to_owned();
        return if old == new { Ok(unchanged(text)) } else { Err(is_other()) };
    };
    for (at, mirror) in old.iter().enumerate().rev().filter(|(_, one)| !new.contains(one)) {
        if at < tables.len() {
            tables.remove(at);
            changes.push(Change::new(Action::Deleted, mirror.title()));
        }
    }
    changes.reverse();
    for mirror in new.iter().filter(|one| !old.contains(one)) {
        let members = serde_json::to_value(mirror).map_err(|error| error.to_string())?;
        let mut table = Table::new();
        for (key, member) in members.as_object().into_iter().flatten() {
            if let Some(member) = toml_value(member) {
                table.insert(key, value(member));
            }
        }
        tables.push(table);
        changes.push(Change::new(Action::Added, mirror.title()));
    }
    if changes.is_empty() {
        return Ok(unchanged(text));
    }
    Ok(Edited { text: document.to_string(), changes })
}

fn unchanged(text: &str) -> Edited {
    Edited { text: text.to_owned(), changes: Vec::new() }
}

/// Which port the table at `at` is.
fn table_of<'a>(
    ports: &ArrayOfTables,
    at: usize,
    tables: &[(&'a Port, PortNumber)],
) -> Option<(&'a Port, PortNumber)> {
    let table = ports.get(at)?;
    let text = |key| table.get(key).and_then(Item::as_str);
    let own = (text("type")?, text("target")?);
    tables.iter().find(|(port, _)| (port.new.kind(), port.new.target()) == own).copied()
}

/// Brings a table to what its port is now; gives the keys that had to change.
fn update(table: &mut Table, port: &Port, running: &Running) -> Vec<&'static str> {
    let mut names = running.settings.differing(&port.settings);
    for name in &names {
        put_setting(table, name, &running.settings);
    }
    let addresses = port.addresses.clone().unwrap_or_default();
    let same = |own: &(IpAddr, u8)| addresses.contains(own);
    if addresses.len() != running.addresses.len() || !running.addresses.iter().all(same) {
        put(table, "addresses", Some(addresses_value(&running.addresses)));
        names.push("addresses");
    }
    if running.mtu.is_some() && running.mtu != port.mtu {
        put(table, "mtu", running.mtu.map(|mtu| i64::from(mtu).into()));
        names.push("mtu");
    }
    if port.fdb.len() != running.fdb.len() || !port.fdb.iter().all(|one| running.fdb.contains(one))
    {
        update_fdb(table, port, running);
        names.push("fdb");
    }
    names
}

/// Brings the options of its kind to what control has made of them; whether any had to change.
fn update_options(table: &mut Table, port: &Port, running: &Running) -> Result<bool, String> {
    // What the kernel calls an interface is no other option.
    if running.new.interface().is_some() || running.new == port.new {
        return Ok(false);
    }
    let new = running.new.for_file().map_err(|error| error.text)?;
    let old = port.new.for_file().unwrap_or_default();
    let keys: Vec<_> =
        old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    for key in &keys {
        match new.get(*key).and_then(toml_value) {
            Some(option) => put(table, key, Some(option)),
            None => {
                table.remove(key);
            }
        }
    }
    Ok(!keys.is_empty())
}

/// Changes a value, and leaves the comment behind it.
fn put(table: &mut Table, key: &str, new: Option<Value>) {
    let Some(mut new) = new else { return };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(key, value(new));
        }
    }
}

/// Writes a setting under the name that the table has for it, or takes it out.
fn put_setting(table: &mut Table, name: &str, settings: &PortSettings) {
    let aliases = Setting::find(name).map_or(&[][..], |setting| setting.aliases);
    let key = aliases.iter().copied().find(|alias| table.contains_key(alias)).unwrap_or(name);
    let text = settings.show(name);
    // Numbers and truth values are written as such.
    let value = text.map(|text| match serde_json::to_value(settings) {
        Ok(all) if all[name].is_boolean() => Value::from(all[name] == true),
        Ok(all) if all[name].is_number() => Value::from(all[name].as_i64().unwrap_or_default()),
        _ => Value::from(text),
    });
    match value {
        Some(_) => put(table, key, value),
        None => {
            table.remove(key);
        }
    }
}

fn new_table(running: &Running) -> Result<Table, String> {
    let mut table = Table::new();
    table.insert("type", value(running.new.kind()));
    for (key, option) in running.new.for_file().map_err(|error| error.text)? {
        if let Some(option) = toml_value(&option) {
            table.insert(&key, value(option));
        }
    }
    if !running.addresses.is_empty() {
        table.insert("addresses", value(addresses_value(&running.addresses)));
    }
    if let Some(mtu) = running.mtu {
        table.insert("mtu", value(i64::from(mtu)));
    }
    for name in running.settings.differing(&PortSettings::default()) {
        put_setting(&mut table, name, &running.settings);
    }
    if !running.fdb.is_empty() {
        let entries: ArrayOfTables = running.fdb.iter().map(fdb_table).collect();
        table.insert("fdb", entries.into());
    }
    Ok(table)
}

/// The same in TOML, which has no null.
fn toml_value(option: &serde_json::Value) -> Option<Value> {
    Some(match option {
        serde_json::Value::Bool(truth) => (*truth).into(),
        serde_json::Value::Number(number) => number.as_i64()?.into(),
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(list) => {
            list.iter().filter_map(toml_value).collect::<Array>().into()
        }
        serde_json::Value::Null | serde_json::Value::Object(_) => return None,
    })
}

fn addresses_value(addresses: &[(IpAddr, u8)]) -> Value {
    addresses
        .iter()
        .map(|(address, length)| format!("{address}/{length}"))
        .collect::<Array>()
        .into()
}

fn update_fdb(table: &mut Table, port: &Port, running: &Running) {
    let item = table.entry("fdb").or_insert_with(|| ArrayOfTables::new().into());
    if !item.is_array_of_tables() {
        *item = running.fdb.iter().map(fdb_table).collect::<ArrayOfTables>().into();
        return;
    }
    let Some(entries) = item.as_array_of_tables_mut() else { return };
    // In the file's order, as the port has them.
    for (at, entry) in port.fdb.iter().enumerate().rev() {
        if !running.fdb.contains(entry) && at < entries.len() {
            entries.remove(at);
        }
    }
    for entry in running.fdb.iter().filter(|entry| !port.fdb.contains(entry)) {
        entries.push(fdb_table(entry));
    }
}

fn fdb_table((vid, mac): &(Vid, MacAddr)) -> Table {
    let mut table = Table::new();
    table.insert("mac", value(mac.to_string()));
    if *vid != Vid::UNTAGGED {
        table.insert("vlan", value(i64::from(vid.get())));
    }
    table
}

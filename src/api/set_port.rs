//! The method that changes a port: its settings, and options of a client port.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
};

use clap::{ArgAction, ArgMatches, Args, FromArgMatches, parser::ValueSource};
use etherws_actors::{
    kinds::{Client, ClientOptions, Kind as _, KindInfo, Via},
    settings::{PortSettings, Role, Setting, SettingValue as _},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    audit::without_secrets,
    call::{Call, Group, Program, encode},
    port::{Port, PortRef},
    show_port::options_in_force,
};
use crate::{options::Secret, refusal::Refusal};

/// Set up a port.
///
/// What is missing or null stays as it is. Entries: that port.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct SetPort {
    /// Number, name or device of the port.
    #[arg(allow_negative_numbers = true)]
    port: PortRef,
    /// Settings to reset to their defaults, by name.
    #[arg(long = "default", value_name = "NAME")]
    #[serde(rename = "default", default, skip_serializing_if = "Vec::is_empty")]
    defaults: Vec<String>,
    /// URL of a client port's server, up to 8 of them: it is opened anew, under its number.
    #[arg(long = "url", value_name = "URL")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    urls: Vec<Secret>,
    #[command(flatten)]
    #[serde(flatten)]
    settings: PortSettings,
    /// Behind the settings: it takes what is left.
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) options: ClientChanges,
}

impl SetPort {
    /// Whether it is about options of a client port, and not about settings only.
    fn changes_options(&self) -> bool {
        !self.urls.is_empty() || !self.options.0.is_empty()
    }

    /// The options of a client port with what is given.
    fn changed(&self, client: &ClientOptions) -> Result<ClientOptions, Refusal> {
        let mut options = match encode(client) {
            Value::Object(options) => options,
            _ => Map::new(),
        };
        if let Some((Secret(first), more)) = self.urls.split_first() {
            options.insert("target".to_owned(), first.as_str().into());
            let more = more.iter().map(|Secret(url)| Value::from(url.as_str()));
            options.insert("urls".to_owned(), more.collect());
        }
        for (name, value) in &self.options.0 {
            if is_none(value) {
                options.remove(name);
            } else {
                options.insert(name.clone(), value.clone());
            }
        }
        if self.options.0.get("user").is_some_and(is_none) {
            options.remove("passwd");
            options.remove("password-file");
        }
        if self.options.0.contains_key("passwd") {
            options.remove("password-file");
        }
        serde_json::from_value(options.into()).map_err(|error| Refusal::value(error.to_string()))
    }

    /// The settings that are to go back to their defaults.
    fn cleared(&self) -> Result<Vec<&'static Setting>, Refusal> {
        let unknown = |name: &String| {
            let error = PortSettings::default().set(name, "").err();
            Refusal::value(error.map_or_else(String::new, |error| error.to_string()))
        };
        let find = |name: &String| Setting::find(name).ok_or_else(|| unknown(name));
        let cleared = self.defaults.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        check_scope(cleared.iter().copied().chain(self.settings.given()))?;
        Ok(cleared)
    }
}

/// What an operator should know who has a device follow a port that is not there: it may come.
pub(super) async fn missing_carrier(
    program: Program<'_>,
    settings: &PortSettings,
) -> Result<Option<String>, Refusal> {
    let Some(of) = &settings.carrier_from else { return Ok(None) };
    let is_there = match PortRef::from(of.to_string()).find(program).await {
        Ok(port) => program.control.show_port(port).await.is_ok(),
        Err(_) => false,
    };
    let text = format!(
        "carrier-from {of}: there is no such port, and the device has no carrier until there is one"
    );
    Ok((!is_there).then_some(text))
}

/// Options of a client port that are to be others, by name: all that control may give one. An
/// empty one is taken away.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub(crate) struct ClientChanges(Map<String, Value>);

impl From<Map<String, Value>> for ClientChanges {
    /// What no client port has is left out, as for `addPort`.
    fn from(mut members: Map<String, Value>) -> Self {
        let known = client_options(&mut SchemaGenerator::default());
        let of_file = KindInfo::find(Client::NAME).map_or(&[][..], |kind| kind.file_only);
        members.retain(|name, _| known.contains_key(name) || of_file.contains(&name.as_str()));
        Self(members)
    }
}

impl fmt::Debug for ClientChanges {
    /// The names: there may be a password among the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What takes an option away.
fn is_none(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(is_none),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(truth) => !truth,
        _ => true,
    }
}

/// Schemas of the options that may be changed, by name.
fn client_options(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let kind = KindInfo::find(Client::NAME);
    let options = kind.and_then(|kind| kind.options(Via::Control, generator));
    let mut options = options.unwrap_or_default();
    options.retain(|name, _| !["target", "urls"].contains(&name.as_str()));
    options
}

impl ClientChanges {
    /// An option that is given as a text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Gives an option.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Options that name files, of those that are given.
    fn files(&self) -> impl Iterator<Item = &'static str> {
        let files = KindInfo::find(Client::NAME).map_or(&[][..], |kind| kind.files);
        files.iter().copied().filter(|name| self.get(name).is_some_and(|file| !file.is_empty()))
    }

    /// Gives the files other names: what `rename` gives for each.
    pub(crate) fn rename_files(&mut self, rename: impl Fn(&Path) -> PathBuf) {
        for name in self.files().collect::<Vec<_>>() {
            let renamed = self.get(name).map(|file| rename(file.as_ref()));
            if let Some(renamed) = renamed.and_then(|path| path.into_os_string().into_string().ok())
            {
                self.set(name, renamed);
            }
        }
    }

    /// Refuses what only a file may give.
    fn check(&self) -> Result<(), Refusal> {
        let kind = KindInfo::find(Client::NAME);
        let of_file = kind.map_or(&[][..], |kind| kind.file_only);
        match of_file.iter().find(|name| self.0.contains_key(**name)) {
            Some(name) => {
                let text = format!("{name} is an option of the configuration file only");
                Err(Refusal::value(text))
            }
            None => Ok(()),
        }
    }
}

impl JsonSchema for ClientChanges {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ClientChanges".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut options = client_options(generator);
        for (name, schema) in &mut options {
            let help = schema["description"].as_str().unwrap_or_default();
            schema["description"] = format!("client: {help}{}", or_none(name)).into();
        }
        json_schema!({"type": "object", "properties": options})
    }
}

/// How an option is taken away.
fn or_none(name: &str) -> &'static str {
    match name {
        "insecure" => "",
        "mss" => "; 0: none",
        "user" => "; empty: none, and no password",
        _ => "; empty: none",
    }
}

impl Args for ClientChanges {
    fn augment_args(command: clap::Command) -> clap::Command {
        let of_kind = ClientOptions::augment_args(clap::Command::default());
        let options = of_kind.get_arguments().filter(|option| option.get_long().is_some());
        let options = options.cloned().map(|option| {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let suffix = or_none(option.get_id().as_str());
            let option = option.help(format!("{help}{suffix}")).help_heading("Client ports");
            match option.get_action() {
                ArgAction::SetTrue => option
                    .action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .value_name("on|off")
                    .value_parser(bool::parse)
                    .default_missing_value("on"),
                _ => option,
            }
        });
        command.args(options.collect::<Vec<_>>())
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ClientChanges {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Map::new();
        for (name, schema) in client_options(&mut SchemaGenerator::default()) {
            if matches.value_source(&name) != Some(ValueSource::CommandLine) {
                continue;
            }
            let texts = matches.get_raw(&name).into_iter().flatten();
            let texts: Vec<_> = texts.map(|text| text.to_string_lossy().into_owned()).collect();
            let is = |kind: &str| schema["type"] == kind || schema["type"][0] == kind;
            let first = texts.first().cloned().unwrap_or_default();
            let value = if is("array") {
                texts.into()
            } else if is("integer") {
                first.parse::<u64>().unwrap_or_default().into()
            } else if is("boolean") {
                bool::parse(&first).unwrap_or_default().into()
            } else {
                first.into()
            };
            given.insert(name, value);
        }
        Ok(Self(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Refuses settings that control may not set.
pub(super) fn check_scope(
    settings: impl IntoIterator<Item = &'static Setting>,
) -> Result<(), Refusal> {
    let check = |setting: &Setting| setting.check_control();
    let checked = settings.into_iter().try_for_each(check);
    checked.map_err(|error| Refusal::value(error.to_string()))
}

/// Who may name files of this host: whether one can be read, and what is in it, the answer
/// tells.
pub(super) const FILES: Role = Role::Admin;

/// Refuses settings that are not for who asks.
pub(super) fn check_role(
    mut settings: impl Iterator<Item = &'static Setting>,
    program: Program<'_>,
) -> Result<(), Refusal> {
    settings.try_for_each(|setting| program.caller.check(setting.role, setting.name))
}

impl Call for SetPort {
    const NAME: &'static str = "setPort";
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Operate;
    type Entry = Port;

    async fn run(self, program: Program<'_>) -> Result<Vec<Port>, Refusal> {
        self.options.check()?;
        let (port, cleared) = (self.port.find(program).await?, self.cleared()?);
        check_role(cleared.iter().copied().chain(self.settings.given()), program)?;
        let clear: Vec<_> = cleared.iter().map(|setting| setting.name).collect();
        if self.changes_options() {
            let known = program.control.known().into_iter().find(|(number, _)| *number == port);
            let mut new = match known {
                Some((_, known)) => known.new,
                None => {
                    return Err(Refusal::value(format!(
                        "port {} is a session, not a client port; only client ports have these options",
                        self.port
                    )));
                }
            };
            self.options.files().try_for_each(|name| program.caller.check(FILES, name))?;
            if let Some(client) = new.get_mut::<Client>() {
                *client = self.changed(client)?;
            }
            let note = missing_carrier(program, &self.settings).await?;
            let changed = program.control.change_port(port, new, self.settings, clear).await?;
            return Ok(vec![Port { note, ..changed.into() }]);
        }
        let note = missing_carrier(program, &self.settings).await?;
        let port = program.control.set_port(port, self.settings, clear).await?;
        Ok(vec![Port { note, ..port.into() }])
    }

    async fn subject(&self, program: Program<'_>) -> Option<String> {
        let port = self.port.find(program).await.ok()?;
        let report = program.control.show_port(port).await.ok()?;
        let options = program.control.known().into_iter().find(|(number, _)| *number == port);
        let options = options.filter(|_| self.changes_options()).map(|(_, known)| {
            let mut options = options_in_force(&known.new);
            let target = without_secrets(known.new.target().into());
            options.insert("target".to_owned(), target);
            Value::from(options).to_string()
        });
        let settings = self.settings.given().chain(self.cleared().ok()?);
        let names = settings.map(|setting| setting.name);
        let own = |name| report.own.show(name).unwrap_or_else(|| "default".to_owned());
        let values = names.map(|name| format!("{name} {}", own(name)));
        Some(options.into_iter().chain(values).collect::<Vec<_>>().join(", "))
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()?;
        self.options.check()?;
        self.cleared().map(drop)
    }

    fn command(command: clap::Command) -> clap::Command {
        // 1.3 took --s for it.
        Self::augment_args(command).mut_arg("shut", |shut| shut.alias("s"))
    }
}

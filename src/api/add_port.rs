//! The method that adds a port, of each kind that can be added: its options are the kind's
//! own. Passwords are among them: nothing but `Serialize` may show them.

use std::{borrow::Cow, fmt};

use clap::{ArgMatches, Args, FromArgMatches, Subcommand as _};
use etherws_actors::{
    kinds::{Kind as _, KindInfo, Netdev, PortSpec, Via, all_options, kinds},
    secret::shown,
    settings::{PortSettings, Role},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    call::{Call, Group, Program},
    port::Port,
    set_port::{FILES, check_role, check_scope, missing_carrier},
};
use crate::{
    netdev,
    parse::{self, PortFault},
    refusal::Refusal,
};

/// Add a port.
///
/// It is opened, and then added. Entries: the new port.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct AddPort {
    #[serde(rename = "type")]
    #[schemars(schema_with = "kind")]
    kind: String,
    #[schemars(schema_with = "target")]
    pub(crate) target: String,
    /// Options of this type of port.
    // A 1.3 switch wants it.
    #[serde(default)]
    #[schemars(with = "PortOptions")]
    pub(crate) options: Map<String, Value>,
    #[serde(flatten)]
    settings: PortSettings,
}

fn kind(_: &mut SchemaGenerator) -> Schema {
    let about = |kind: &KindInfo| format!("`{:?}`: {}.", kind.name, kind.help);
    let kinds = kinds();
    json_schema!({
        "type": "string",
        "enum": kinds.iter().map(|kind| kind.name).collect::<Vec<_>>(),
        "x-kinds": kinds.iter().map(|kind| (kind.name.to_owned(), kind.help.into())).collect::<Map<_, Value>>(),
        "description": kinds.iter().map(about).collect::<Vec<_>>().join(" "),
    })
}

fn target(generator: &mut SchemaGenerator) -> Schema {
    let target = all_options(Via::Control, generator).remove("target");
    target.and_then(|schema| schema.try_into().ok()).unwrap_or_default()
}

/// The options of all kinds of port.
struct PortOptions;

impl JsonSchema for PortOptions {
    fn schema_name() -> Cow<'static, str> {
        "PortOptions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut options = all_options(Via::Control, generator);
        options.retain(|name, _| name != "target");
        json_schema!({
            "type": "object",
            "description": "Options of a port; each may be missing or null. 1.3 knows `user`, \
                            `passwd`, `cacerts` and `insecure`.",
            "properties": options,
        })
    }
}

impl fmt::Debug for AddPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, target, settings, .. } = self;
        let mut debug = f.debug_struct("AddPort");
        debug.field("kind", kind).field("target", &shown(target)).field("settings", settings);
        debug.finish_non_exhaustive()
    }
}

impl FromArgMatches for AddPort {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let port = PortSpec::from_arg_matches(matches)?;
        let settings = matches.subcommand().map(|(_, of)| PortSettings::from_arg_matches(of));
        let mut add = Self {
            kind: String::new(),
            target: String::new(),
            options: Map::new(),
            settings: settings.transpose()?.unwrap_or_default(),
        };
        add.set(&port);
        Ok(add)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for AddPort {
    fn augment_args(command: clap::Command) -> clap::Command {
        PortSpec::augment_subcommands(command)
            .about("Add a port")
            .mut_subcommands(PortSettings::augment_args)
            .subcommand_required(true)
            .arg_required_else_help(true)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl AddPort {
    /// The port, whose options are checked.
    pub(crate) fn port(&self) -> Result<PortSpec, Refusal> {
        check_scope(self.settings.given())?;
        let mut members = self.options.clone();
        members.insert("target".to_owned(), self.target.as_str().into());
        parse::port(&self.kind, members, Via::Control).map_err(PortFault::first)
    }

    /// Makes it add `port`.
    pub(crate) fn set(&mut self, port: &PortSpec) {
        let mut options = port.options();
        options.retain(|name, value| {
            let is_given = match value {
                Value::Null | Value::Bool(false) => false,
                Value::Array(list) => !list.is_empty(),
                _ => true,
            };
            is_given && name != "target"
        });
        (self.kind, self.target) = (port.kind().to_owned(), port.target().to_owned());
        self.options = options;
    }
}

impl Call for AddPort {
    const NAME: &'static str = "addPort";
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Operate;
    type Entry = Port;

    async fn run(self, program: Program<'_>) -> Result<Vec<Port>, Refusal> {
        let port = self.port()?;
        check_role(self.settings.given(), program)?;
        port.files().into_iter().try_for_each(|name| program.caller.check(FILES, name))?;
        let note = (port.kind() == Netdev::NAME).then(|| netdev::warning(port.target())).flatten();
        let without = missing_carrier(program, &self.settings).await?;
        let port = program.control.add_port(port, self.settings).await?;
        Ok(vec![Port { note: note.or(without), ..port.into() }])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port().map(drop)
    }
}

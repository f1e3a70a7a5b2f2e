//! The kinds that there are, without their types: those of this crate, by their line in
//! [`KINDS`](super::KINDS), and those that a program brings, by [`register`].

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::{KINDS, Kind, PortSpec};

#[cfg(feature = "clap")]
use clap::Args as Arguments;
#[cfg(feature = "schemars")]
use {super::Via, schemars::JsonSchema as Described, serde_json::Map};

#[cfg(not(feature = "clap"))]
pub(super) trait Arguments {}
#[cfg(not(feature = "clap"))]
impl<T> Arguments for T {}

#[cfg(not(feature = "schemars"))]
pub(super) trait Described {}
#[cfg(not(feature = "schemars"))]
impl<T> Described for T {}

/// What there is to say of a kind.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct KindInfo {
    /// [`Kind::NAME`].
    pub name: &'static str,
    /// [`Kind::HELP`].
    pub help: &'static str,
    /// [`Kind::INTERFACE`].
    pub interface: bool,
    /// [`Kind::FILES`].
    pub files: &'static [&'static str],
    /// [`Kind::SECRETS`].
    pub secrets: &'static [&'static str],
    /// [`Kind::FILE_ONLY`].
    pub file_only: &'static [&'static str],
    pub(super) parse: fn(Value) -> serde_json::Result<PortSpec>,
    #[cfg(feature = "schemars")]
    schema: Option<fn(&mut schemars::SchemaGenerator) -> schemars::Schema>,
    #[cfg(feature = "clap")]
    pub(super) arguments: Option<(Augment, Given)>,
}

/// Adds the options of a kind to a command.
#[cfg(feature = "clap")]
pub(super) type Augment = fn(clap::Command) -> clap::Command;

/// Reads what was given of them.
#[cfg(feature = "clap")]
pub(super) type Given = fn(&clap::ArgMatches) -> Result<PortSpec, clap::Error>;

impl KindInfo {
    /// A kind from elsewhere: the command line and the API document do not know it.
    pub(super) const fn registered<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            help: K::HELP,
            interface: K::INTERFACE,
            files: K::FILES,
            secrets: K::SECRETS,
            file_only: K::FILE_ONLY,
            parse: |options| serde_json::from_value(options).map(PortSpec::new::<K>),
            #[cfg(feature = "schemars")]
            schema: None,
            #[cfg(feature = "clap")]
            arguments: None,
        }
    }

    /// A kind of this crate.
    pub(super) const fn of<K: Kind<Options: Arguments + Described>>() -> Self {
        Self {
            #[cfg(feature = "schemars")]
            schema: Some(K::Options::json_schema),
            #[cfg(feature = "clap")]
            arguments: Some((K::Options::augment_args, |matches| {
                use clap::FromArgMatches as _;
                K::Options::from_arg_matches(matches).map(PortSpec::new::<K>)
            })),
            ..Self::registered::<K>()
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        kinds().into_iter().find(|kind| kind.name == name)
    }

    /// JSON schemas of its options by name, of those that may come from there; `None` for
    /// a kind that was registered.
    #[cfg(feature = "schemars")]
    #[must_use]
    pub fn options(
        &self,
        from: Via,
        generator: &mut schemars::SchemaGenerator,
    ) -> Option<Map<String, Value>> {
        let mut schema = self.schema?(generator);
        let mut options = match schema.remove("properties") {
            Some(Value::Object(options)) => options,
            _ => Map::new(),
        };
        let foreign = match from {
            Via::Control => self.file_only,
            Via::File => self.secrets,
        };
        options.retain(|name, _| !foreign.contains(&name.as_str()));
        Some(options)
    }
}

/// JSON schemas of the options of all kinds of this crate, by name. Each says in `x-kinds`
/// what it is for each kind that has it, and `writeOnly` of a secret.
#[cfg(feature = "schemars")]
#[must_use]
pub fn all_options(from: Via, generator: &mut schemars::SchemaGenerator) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for kind in KINDS {
        for (name, mut schema) in kind.options(from, generator).unwrap_or_default() {
            let mut helps = match all.get(&name).map(|other| &other["x-kinds"]) {
                Some(Value::Object(helps)) => helps.clone(),
                _ => Map::new(),
            };
            helps.insert(kind.name.to_owned(), schema["description"].clone());
            let help = |(kind, help): (&String, &Value)| {
                format!("{kind}: {}", help.as_str().unwrap_or_default())
            };
            schema["description"] = helps.iter().map(help).collect::<Vec<_>>().join("; ").into();
            schema["x-kinds"] = helps.into();
            if kind.secrets.contains(&name.as_str()) {
                schema["writeOnly"] = true.into();
            }
            all.insert(name, schema);
        }
    }
    all
}

/// Kinds that programs have brought.
static REGISTERED: Mutex<Vec<KindInfo>> = Mutex::new(Vec::new());

/// Makes a kind from outside this crate known by its name, everywhere in the process. One
/// that has the name of another takes its place, unless that is a kind of this crate.
pub fn register<K: Kind>() {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|kind| kind.name != K::NAME);
    registered.push(KindInfo::registered::<K>());
}

/// All kinds that can be asked for: first those of this crate.
#[must_use]
pub fn kinds() -> Vec<KindInfo> {
    let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    KINDS.iter().chain(registered.iter()).copied().collect()
}

pub(super) fn names() -> Vec<&'static str> {
    kinds().iter().map(|kind| kind.name).collect()
}

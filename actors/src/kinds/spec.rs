//! A port as it is asked for: its kind, and the options that this kind has.
//!
//! The options of a kind are one struct: its fields are the keys of the configuration file,
//! the members of control's params and the options of the command line, and their comments
//! are the help. Nothing else names them. A kind is known by its line in [`KINDS`](super), or,
//! if a program brings it, by [`register`].

use std::{
    any::Any,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value};
use slog::Logger;

use super::KINDS;
use crate::{
    core::{fdb::PortNumber, interface::InterfaceSettings, settings::PortSettings},
    port::{Medium, PortError},
    supervisor::{self, AddError},
    switch::Switch,
};

/// A kind of port that can be asked for by name.
pub trait Kind: Medium + Sized {
    /// The word for it: `type` in the file and in control's params.
    const NAME: &'static str;

    /// What it is, in a few words without a stop.
    const HELP: &'static str = "";

    /// Whether its target is the name of a network interface of this host.
    const INTERFACE: bool = false;

    /// Options that are names of files, which the switch opens.
    const FILES: &'static [&'static str] = &[];

    /// Options that hold a password: they come by control, and never stand in a file.
    const SECRETS: &'static [&'static str] = &[];

    /// Options that only the configuration file may have: who may use control need not be
    /// one who may read every file of the switch.
    const FILE_ONLY: &'static [&'static str] = &[];

    /// All that can be said of one. As JSON it is an object with the text `target`.
    type Options: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// What it is to be joined to: with [`NAME`](Self::NAME), what a port of the file is told
    /// by. Must not hold a password.
    fn target(options: &Self::Options) -> &str;

    /// What is wrong with the options, as far as that shows without opening anything but
    /// the file of a password, which is read here. From a file, passwords are wrong.
    fn check(options: &mut Self::Options, from: Via) -> Vec<OptionError> {
        let _ = (options, from);
        Vec::new()
    }

    /// The medium with these options.
    ///
    /// # Errors
    /// Options that cannot work, however often it is tried.
    fn medium(options: Self::Options, context: &Context) -> Result<Self, PortError>;
}

/// What a medium is made with besides its options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// Where it may log.
    pub log: Logger,
    /// Where it may keep what is to outlast the program.
    pub store: Option<Arc<dyn Store>>,
}

/// What outlasts the program without being configuration: values by section and key. Only
/// an aid: what it does not know, or cannot keep, must do no harm.
pub trait Store: fmt::Debug + Send + Sync {
    /// What is kept under `key`.
    fn get(&self, section: &str, key: &str) -> Option<Value>;

    /// Keeps it. May wait for a disk: not for a thread that carries frames. A failure is
    /// told where the store logs.
    fn set(&self, section: &str, key: &str, value: Value);
}

/// Where options come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Control, or the program itself.
    Control,
    /// The configuration file.
    File,
}

/// An option that cannot be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct OptionError {
    /// Its name.
    pub key: &'static str,
    /// Names the value and the way out.
    pub text: String,
}

impl OptionError {
    /// An error of the option `key`.
    #[must_use]
    pub fn new(key: &'static str, text: impl Into<String>) -> Self {
        Self { key, text: text.into() }
    }
}

/// What was asked for is not a port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No kind has this name.
    #[error("type must be {}, not {given:?}", one_of(&names()))]
    Kind {
        /// As given.
        given: String,
    },
    /// The kind has no such options.
    #[error("options of a {kind} port")]
    Options {
        /// The kind.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(feature = "clap")]
use clap::Args as Arguments;
#[cfg(feature = "schemars")]
use schemars::JsonSchema as Described;

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
    parse: fn(Value) -> serde_json::Result<PortSpec>,
    #[cfg(feature = "schemars")]
    schema: Option<fn(&mut schemars::SchemaGenerator) -> schemars::Schema>,
    #[cfg(feature = "clap")]
    arguments: Option<(Augment, Given)>,
}

/// Adds the options of a kind to a command.
#[cfg(feature = "clap")]
type Augment = fn(clap::Command) -> clap::Command;

/// Reads what was given of them.
#[cfg(feature = "clap")]
type Given = fn(&clap::ArgMatches) -> Result<PortSpec, clap::Error>;

impl KindInfo {
    /// A kind from elsewhere: the command line and the API document do not know it.
    const fn registered<K: Kind>() -> Self {
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

/// JSON schemas of the options of all kinds of this crate, by name; each says whose it is.
#[cfg(feature = "schemars")]
#[must_use]
pub fn all_options(from: Via, generator: &mut schemars::SchemaGenerator) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for kind in KINDS {
        for (name, mut schema) in kind.options(from, generator).unwrap_or_default() {
            let help = schema["description"].as_str().unwrap_or_default();
            let mut help = format!("{}: {help}", kind.name);
            if let Some(other) = all.get(&name).and_then(|other| other["description"].as_str()) {
                help = format!("{other}; {help}");
            }
            schema["description"] = help.into();
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

fn names() -> Vec<&'static str> {
    kinds().iter().map(|kind| kind.name).collect()
}

/// A port to add. [`Display`](fmt::Display) gives kind and target.
pub struct PortSpec(Box<dyn Spec>);

impl PortSpec {
    /// A port of the kind `K`.
    #[must_use]
    pub fn new<K: Kind>(options: K::Options) -> Self {
        Self(Box::new(Typed::<K>(options)))
    }

    /// A port of the kind that is called `kind`, with all of its options.
    ///
    /// # Errors
    /// There is no such kind, or it has no such options.
    pub fn from_options(kind: &str, options: Map<String, Value>) -> Result<Self, SpecError> {
        let Some(kind) = KindInfo::find(kind) else {
            return Err(SpecError::Kind { given: kind.to_owned() });
        };
        (kind.parse)(options.into())
            .map_err(|source| SpecError::Options { kind: kind.name, source })
    }

    /// Name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind().name
    }

    /// What it is to be joined to.
    #[must_use]
    pub fn target(&self) -> &str {
        self.0.target()
    }

    /// Name of the network interface, for kinds that are one.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.0.kind().interface.then(|| self.target())
    }

    /// All options by name, `target` among them, passwords as well.
    #[must_use]
    pub fn options(&self) -> Map<String, Value> {
        self.0.options()
    }

    /// The options, if it is of the kind `K`.
    #[must_use]
    pub fn get<K: Kind>(&self) -> Option<&K::Options> {
        (&*self.0 as &dyn Any).downcast_ref::<Typed<K>>().map(|typed| &typed.0)
    }

    /// The options, if it is of the kind `K`.
    #[must_use]
    pub fn get_mut<K: Kind>(&mut self) -> Option<&mut K::Options> {
        (&mut *self.0 as &mut dyn Any).downcast_mut::<Typed<K>>().map(|typed| &mut typed.0)
    }

    /// The same, joined to something else.
    #[must_use]
    pub fn at(&self, target: &str) -> Self {
        self.edited(|options| {
            options.insert("target".to_owned(), target.into());
        })
    }

    /// The same with other names of files: what `rename` gives for each.
    #[must_use]
    pub fn with_files(&self, rename: impl Fn(&Path) -> PathBuf) -> Self {
        let files = self.0.kind().files;
        self.edited(|options| {
            for (_, value) in options.iter_mut().filter(|(key, _)| files.contains(&key.as_str())) {
                if let Some(renamed) = value
                    .as_str()
                    .and_then(|name| rename(name.as_ref()).into_os_string().into_string().ok())
                {
                    *value = renamed.into();
                }
            }
        })
    }

    fn edited(&self, edit: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let kind = self.0.kind();
        let mut options = self.options();
        edit(&mut options);
        (kind.parse)(options.into()).unwrap_or_else(|_| self.clone())
    }

    /// Whether both are the same port, whatever else is set of it: one of the file is told by
    /// kind and target.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.target() == other.target()
    }

    /// Makes the medium and drops it: what fails here fails when the port is added.
    ///
    /// # Errors
    /// See [`Kind::medium`].
    pub fn verify(&self, log: &Logger) -> Result<(), PortError> {
        self.0.verify(&Context { log: log.clone(), store: None })
    }

    /// See [`Kind::check`].
    pub fn check(&mut self, from: Via) -> Vec<OptionError> {
        self.0.check(from)
    }

    /// The options that differ from what is without them, as a file may have them.
    ///
    /// # Errors
    /// One of them may not stand in a file.
    pub fn for_file(&self) -> Result<Map<String, Value>, OptionError> {
        if let Some(error) = self.clone().check(Via::File).into_iter().next() {
            return Err(error);
        }
        let secrets = self.0.kind().secrets;
        let mut options = self.options();
        options.retain(|key, value| {
            let is_given = match &*value {
                Value::Null | Value::Bool(false) => false,
                Value::Array(list) => !list.is_empty(),
                _ => true,
            };
            is_given && !secrets.contains(&key.as_str())
        });
        Ok(options)
    }

    /// Adds it to a switch, on this Arbiter.
    pub(crate) fn add(self, to: Adding) -> LocalBoxFuture<'static, Result<PortNumber, AddError>> {
        self.0.add(to)
    }
}

impl fmt::Debug for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.target())
    }
}

impl Clone for PortSpec {
    fn clone(&self) -> Self {
        self.0.copy()
    }
}

impl PartialEq for PortSpec {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl Eq for PortSpec {}

/// An object with `type`, `target` and the options.
impl Serialize for PortSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Map::from_iter([("type".to_owned(), self.kind().into())]);
        members.extend(self.options());
        members.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PortSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let Some(Value::String(kind)) = members.remove("type") else {
            return Err(D::Error::missing_field("type"));
        };
        Self::from_options(&kind, members)
            .map_err(|error| D::Error::custom(crate::core::error::one_line(&error)))
    }
}

/// Where a port goes, and with what.
#[derive(Debug)]
pub(crate) struct Adding {
    pub(crate) switch: Addr<Switch>,
    pub(crate) settings: PortSettings,
    /// With settings of an interface, it need not open at once.
    pub(crate) interface: Option<Vec<InterfaceSettings>>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) log: Logger,
}

/// Options of which only the kind is not known any more.
trait Spec: Any + fmt::Debug + Send + Sync {
    fn kind(&self) -> KindInfo;
    fn target(&self) -> &str;
    fn options(&self) -> Map<String, Value>;
    fn check(&mut self, from: Via) -> Vec<OptionError>;
    fn verify(&self, context: &Context) -> Result<(), PortError>;
    fn copy(&self) -> PortSpec;
    fn equals(&self, other: &dyn Spec) -> bool;
    fn add(self: Box<Self>, to: Adding) -> LocalBoxFuture<'static, Result<PortNumber, AddError>>;
}

struct Typed<K: Kind>(K::Options);

impl<K: Kind> fmt::Debug for Typed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K: Kind> Spec for Typed<K> {
    fn kind(&self) -> KindInfo {
        KindInfo::registered::<K>()
    }

    fn target(&self) -> &str {
        <K as Kind>::target(&self.0)
    }

    fn options(&self) -> Map<String, Value> {
        match serde_json::to_value(&self.0) {
            Ok(Value::Object(options)) => options,
            // Not what a kind's options are to be: nothing of them can be told.
            _ => Map::new(),
        }
    }

    fn check(&mut self, from: Via) -> Vec<OptionError> {
        K::check(&mut self.0, from)
    }

    fn verify(&self, context: &Context) -> Result<(), PortError> {
        K::medium(self.0.clone(), context).map(drop)
    }

    fn copy(&self) -> PortSpec {
        PortSpec::new::<K>(self.0.clone())
    }

    fn equals(&self, other: &dyn Spec) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }

    fn add(self: Box<Self>, to: Adding) -> LocalBoxFuture<'static, Result<PortNumber, AddError>> {
        Box::pin(async move {
            let Adding { switch, settings, interface, store, log } = to;
            let context = Context { log: log.clone(), store };
            let medium = K::medium(self.0, &context).map_err(AddError::Open)?;
            let Some(interface) = interface else {
                return supervisor::add_with(&switch, medium, settings, &log).await;
            };
            let (number, tried) =
                supervisor::keep(&switch, medium, settings, interface, &log).await?;
            if K::INTERFACE {
                // A device opens quickly or not at all. Dropped without a word, it has been
                // tried as well.
                let _ = tried.await;
            }
            Ok(number)
        })
    }
}

#[cfg(feature = "clap")]
mod options {
    //! Kinds as subcommands, with the options that each has.

    use clap::{ArgMatches, Command, Error, FromArgMatches, Subcommand, error::ErrorKind};

    use super::{KINDS, KindInfo, PortSpec};

    impl Subcommand for PortSpec {
        fn augment_subcommands(command: Command) -> Command {
            let subcommand = |kind: &KindInfo| {
                let (augment, _) = kind.arguments?;
                // The comment on the options would be in the place of the kind's.
                Some(augment(Command::new(kind.name)).about(kind.help))
            };
            command.subcommands(KINDS.iter().filter_map(subcommand))
        }

        fn augment_subcommands_for_update(command: Command) -> Command {
            Self::augment_subcommands(command)
        }

        fn has_subcommand(name: &str) -> bool {
            KINDS.iter().any(|kind| kind.name == name)
        }
    }

    impl FromArgMatches for PortSpec {
        fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
            let found = matches.subcommand().and_then(|(name, matches)| {
                let kind = KINDS.iter().find(|kind| kind.name == name)?;
                let (_, parse) = kind.arguments?;
                Some(parse(matches))
            });
            found.unwrap_or_else(|| Err(Error::new(ErrorKind::MissingSubcommand)))
        }

        fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
            *self = Self::from_arg_matches(matches)?;
            Ok(())
        }
    }
}

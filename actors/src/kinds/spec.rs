//! A port as it is asked for: its kind, and the options that this kind has.

#[cfg(feature = "clap")]
mod options;

use std::{
    any::Any,
    fmt,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
};

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use slog::Logger;

use super::{Context, Kind, KindInfo, OptionError, Placement, Store, Via, info::names};
use crate::{
    core::{fdb::PortNumber, interface::InterfaceSettings, secret::shown, settings::PortSettings},
    port::PortError,
    supervisor::{self, AddError},
    switch::Switch,
};

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

/// A port to add. [`Display`](fmt::Display) gives kind and target, a URL [as it may be
/// shown](shown).
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

    /// Names of those of its options that name files of this host.
    #[must_use]
    pub fn files(&self) -> Vec<&'static str> {
        let (mut files, options) = (self.0.kind().files.to_vec(), self.options());
        files.retain(|name| options.get(*name).is_some_and(Value::is_string));
        files
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
        let threads = NonZero::<usize>::MIN;
        self.0.verify(&Context { log: log.clone(), store: None, threads })
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

    /// Whether a port that was added as `own` takes these options while it runs.
    #[must_use]
    pub fn is_taken_by(&self, own: &Self) -> bool {
        self.for_change(own).is_some()
    }

    /// Its options for a port that was added as `own` and runs; `None` where that does not take
    /// them.
    pub(crate) fn for_change(&self, own: &Self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.for_change(&*own.0)
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
        write!(f, "{} {}", self.kind(), shown(self.target()))
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
    /// Where its further links go.
    pub(crate) placement: Arc<Placement>,
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
    fn for_change(&self, own: &dyn Spec) -> Option<Arc<dyn Any + Send + Sync>>;
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

    fn for_change(&self, own: &dyn Spec) -> Option<Arc<dyn Any + Send + Sync>> {
        let Self(own) = (own as &dyn Any).downcast_ref::<Self>()?;
        K::takes(own, &self.0).then(|| Arc::new(self.0.clone()) as _)
    }

    fn copy(&self) -> PortSpec {
        PortSpec::new::<K>(self.0.clone())
    }

    fn equals(&self, other: &dyn Spec) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }

    fn add(self: Box<Self>, to: Adding) -> LocalBoxFuture<'static, Result<PortNumber, AddError>> {
        Box::pin(async move {
            let Adding { switch, settings, interface, placement, store, log } = to;
            let context = Context { log: log.clone(), store, threads: placement.threads() };
            let medium = K::medium(self.0, &context).map_err(AddError::Open)?;
            let further = medium.further();
            let number = match interface {
                None => supervisor::add_with(&switch, medium, settings, &log).await?,
                Some(interface) => {
                    let (number, tried) =
                        supervisor::keep(&switch, medium, settings, interface, &log).await?;
                    if K::INTERFACE {
                        // A device opens quickly or not at all. Dropped without a word, it has
                        // been tried as well.
                        let _ = tried.await;
                    }
                    number
                }
            };
            for link in further {
                let (switch, log) = (switch.clone(), log.clone());
                placement.spawn(move || async move {
                    // Refused if the port was deleted meanwhile.
                    let _ = supervisor::join(&switch, number, link(), &log).await;
                });
            }
            Ok(number)
        })
    }
}
